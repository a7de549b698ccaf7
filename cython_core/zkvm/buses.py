"""The buses between the tables of the machine, and what a tuple on each of them says.

    STATE    (clock, pc)             the machine is at pc before its step number `clock`
    MEMORY   (space, address, clock, low, high)
                                     since step `clock` the word there holds high * 2^16 + low
    PROGRAM  see PROGRAM_FIELDS                the program table has this entry
    OUT      (place, low, high)                the run shows this word of the statement
    RANGE    (x)                               0 <= x < 2^16
    PAIR     (x, y)                            both are bytes
    CONJUNCTION (x, y, z)                      x and y are bytes, z is their bitwise conjunction
    ALIGNED  (x, place)                        0 <= x < 2^16 and place = x mod 4

A row of the machine receives its state and sends the next one; the verifier sends the first, HALT
sends none. An access receives what the word held since its last access and sends what it holds
since this one. PROGRAM and the four below are facts: tables of the key send them as often as rows
receive them.

Addresses of instructions (pc) and of memory are those of words, a quarter of the byte address:
below 2^30, so that they are one element of the field. Words are two limbs of 16 bits. Every value
that is sent on MEMORY has limbs in range: the sender sees to it, so that who receives it need not.
"""

from typing import Final

from cython_core.air.language import Bus
from cython_core.chips.blake3 import HASH

SPACE_MEMORY: Final = 0
SPACE_REGISTER: Final = 1
"""Spaces of MEMORY. The address of a register is its number; register 0 is in no space."""

PROGRAM_FIELDS: Final = (
    "pc",
    "op",
    "dup",
    "rd",
    "rs1",
    "rs2",
    "imm_low",
    "imm_high",
    "reads_1",
    "reads_2",
    "writes",
    "alias_1",
    "alias_2",
)
"""pc is that of a word, op without its bit 7, which is dup. reads_i: rs_i is not 0; writes: rd is
not 0; alias_i: rd is rs_i and not 0."""

STATE: Final = Bus("state", 2)
MEMORY: Final = Bus("memory", 5)
PROGRAM: Final = Bus("program", len(PROGRAM_FIELDS))
OUT: Final = Bus("out", 3)
RANGE: Final = Bus("range", 1)
PAIR: Final = Bus("pair", 2)
CONJUNCTION: Final = Bus("conjunction", 3)
ALIGNED: Final = Bus("aligned", 2)

BUSES: Final = (STATE, MEMORY, PROGRAM, OUT, RANGE, PAIR, CONJUNCTION, ALIGNED, HASH)

FACTS_LOG: Final = 16
"""The table of facts about 16 bits has a row for each value."""
