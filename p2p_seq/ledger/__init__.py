"""The ledger: executes blocks on the state tree, keeps what is not final undoable, answers queries.

`core.py` holds the rules that stay in Python (prices, the cycle budget), `executor.py` the state
with its branches, `witness.py` what the guest's run of a batch reads. The rules of execution are
the program in `cython_core/guest`; docs/ledger.md describes them.
"""
