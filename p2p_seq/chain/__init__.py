"""Blocks on their way to finality: what follows from a parent, what is valid, what is stored.

`types.py` is what a node knows after a block; `derive.py` computes what a child must contain
(pure); `validity.py` compares a proposal with it; `chain.py` keeps the tree of unfinalised blocks
above the finalised tip and writes finality to the store.
"""
