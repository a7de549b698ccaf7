"""Tables for the proof engine that are shipped, and the statements that are made of them.

blake3          the BLAKE3 chip: facts about compressions
_blake3_trace   its trace, in C; `_reference` has the twin
tree_update     the statement "tree-update" and why it is sound; its tables are tree_node and
                tree_leaf, what these share is in tree_rules
batch           what the statement speaks of: leaf updates and their digest
tree_trace      its traces, from a batch and a witness
tree_batches    batches of a StateTree, and made-up ones to measure with
tree_proof      its proofs, from a batch to a file
statements      what can be proven, by name
"""

from cython_core.air.table import System
from cython_core.chips.tree_update import tree_update_system


def shipped_systems() -> tuple[System, ...]:
    """The systems that the build compiles. Imports nothing compiled, for the build calls it.

    The machine's is that of one program; its constraints are the same for all.
    """
    # Only here, for the machine's tables use the chip of this room.
    from cython_core.zkvm.system import sample_system

    return tree_update_system(), sample_system()
