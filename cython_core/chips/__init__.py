"""Tables for the proof engine that are shipped, and the statements that are made of them.

blake3          the BLAKE3 chip: facts about compressions
_blake3_trace   its trace, in C; `_reference` has the twin
"""

from cython_core.air.language import build_system
from cython_core.air.table import System
from cython_core.chips.blake3 import HASH, blake3_table


def hash_system() -> System:
    """The BLAKE3 chip alone; who sends on HASH are the public interactions."""
    return build_system([blake3_table()], [HASH])


def shipped_systems() -> tuple[System, ...]:
    """The systems that the build compiles. Imports nothing compiled, for the build calls it."""
    return (hash_system(),)
