"""Epochs after their seal: what their batches are, natively and as runs of the guest."""
