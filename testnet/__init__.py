"""A whole network on one machine: Bitcoin, the founders' ceremony, sequencer processes, a demo.

`layout` says where everything is, `state` what runs (so that a second terminal can join in),
`processes` starts and ends operating-system processes, `launch` puts a network up and down,
`pegs` and `table` show it, `acts` and `peg_act` play the demo. What the demo's end compares is
recomputed by `p2p_seq.epochs.recompute`.
"""
