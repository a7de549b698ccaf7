"""The two look-up tables on the stack that all arithmetic on nibbles shares.

A nibble x lies on the stack doubled, as 2x, because two tables are interleaved at stride 2. With
`above` the number of items that lie above the tables, entry e of them is item `above + e` from the
top. Entries, for a sum s of nibbles in 0..R-1:

    2s        row pointer of s mod 16
    2s + 1    carry of s: 2 * (s div 16) + K
    2R + 32 * (x div 2) + (x mod 2) + 2y      2 * (x XOR y), two rows interleaved

A sum v = K + 2s is at once an index for PICK: it finds the row pointer of s when as many items lie
above as the tables were made for (`room`), and the carry when one item less does. The constant K
rides in the carry, so adding the next digits to a carry gives an index again. A row pointer plus 2y
is the index of 2 * (x XOR y), and alone that of 2x, both with one item less than `room` above.
"""

from dataclasses import dataclass
from typing import Final

from p2p_seq.challenge.script.assembler import Assembler

XOR_ENTRIES: Final = 256
TOP_ENTRY: Final = "tables"
"""The name of entry 0."""

LARGE_RANGE: Final = 80
"""R that lets a sum of five nibbles and its carry wait for its digits."""
SMALL_RANGE: Final = 48
"""R for three nibbles: 64 stack items less, compressions a little longer."""


@dataclass(frozen=True)
class NibbleTables:
    """Which tables are on the stack, and where."""

    sum_range: int
    """R: sums of nibbles are below it."""
    room: int
    """Items above the tables at a look-up."""

    @property
    def items(self) -> int:
        return 2 * self.sum_range + XOR_ENTRIES

    @property
    def zero(self) -> int:
        """K, the index of the sum 0."""
        return self.room

    def above(self, asm: Assembler) -> int:
        """Items that lie above the tables now. Below them any may come and go."""
        return asm.depth(TOP_ENTRY)

    def row_pointer(self, nibble: int) -> int:
        """The index of `nibble XOR 0` with `room - 1` items above."""
        return self.room - 1 + 2 * self.sum_range + 32 * (nibble // 2) + nibble % 2

    def entry(self, index: int) -> int:
        """What stands at entry `index`, counted from the top of the tables."""
        if index < 2 * self.sum_range:
            total, is_carry = divmod(index, 2)
            return 2 * (total // 16) + self.zero if is_carry else self.row_pointer(total % 16)
        pair, place = divmod(index - 2 * self.sum_range, 32)
        return 2 * ((2 * pair + place % 2) ^ (place // 2))


def push_tables(asm: Assembler, sum_range: int, room: int) -> NibbleTables:
    """... -> ... tables"""
    tables = NibbleTables(sum_range, room)
    for index in reversed(range(tables.items)):
        asm.number(tables.entry(index))
    asm.name(TOP_ENTRY)
    return tables


def drop_tables(asm: Assembler, tables: NibbleTables) -> None:
    """... tables -> ..."""
    if tables.above(asm):
        raise ValueError("items lie above the tables")
    asm.drop(tables.items)
