"""Seeded discrete-event simulation of the consensus core (consensus.md part D).

The core, the origin rule, the leader schedule and the rules of votes and certificates are the real
ones; the network, the disk, Bitcoin, blocks and signatures are models. `python -m p2p_seq.sim
--seeds A..B` runs seeds; one seed always gives the same run. The invariants are checked after every
event, at the level of votes and not only of blocks.
"""
