"""Weighted Simplex: who orders the ledger's blocks, and when a block is final.

The core (`core.Simplex`) is sans-IO: inputs in, effects out, no clock, no disk, no keys. One
instance runs one epoch. `election`, `schedule` and `origin` are the pure rules around it.
docs/consensus.md explains all of it.
"""
