"""The transition program of the ledger: C for the node and for the machine, and its ELF.

The C stands here, its entry for the machine in `machine/`. `program.py` loads what was built.
"""
