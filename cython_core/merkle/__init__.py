"""The ledger's state tree: native, batched, with witnesses for the transition program.

`StateTree` keeps the state in memory and hashes a batch level by level. `transition` is the guest's
own code (guest/tree.c) compiled natively: it checks a witness of `StateTree.prove` and gives both
roots. `_reference` holds the pure-Python twins. Definitions: docs/state-tree.md.
"""

from cython_core.merkle._tree import StateTree
from cython_core.merkle._witness import WitnessError, transition, tree_path

__all__ = ["StateTree", "WitnessError", "transition", "tree_path"]
