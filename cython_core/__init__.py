"""Hot loops and the transition program, in Cython and C. Imports nothing of `p2p_seq`."""
