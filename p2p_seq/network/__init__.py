"""How nodes speak to one another: one narrow interface, a hardened py-libp2p backend, a simulation.

`types.py` is the interface and is cheap to import; `libp2p_network.py` is the real thing and
imports libp2p (1.7 s) when it is opened; `sim.py` is the same interface inside one process, by a
seed. docs/network.md says what is promised, what is not, and why.
"""
