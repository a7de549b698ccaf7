"""Rows of a run sorted by chip, and rows of the tables of memory (zkvm/rows.h)."""

from collections.abc import Iterable, Sequence
from typing import Final

WORDS_PER_NARROW: Final[int]
WORDS_PER_WIDE: Final[int]
"""Of a sorted row: 16, and 80 for a chip of wide rows."""

class TooManyRows(ValueError):
    """A run that a table has no room for; the message says which."""

class NoTable(ValueError):
    """A row of an operation that no chip accepts; the message says which."""

class RowSorter:
    """Takes the rows of one run in pieces, then gives them chip by chip. One thread at a time."""

    def __init__(
        self,
        chips: Sequence[tuple[str, int, Iterable[int]]],
        rom_base: int,
        rom_count: int,
        rows_max: int,
    ) -> None:
        """`chips`: name, words of a sorted row, and what it accepts: numbers of operations, and 128
        more with a second register. ValueError for what does not fit together.
        """

    def add(self, rows: bytes, wide: bytes) -> None:
        """The next rows, as the executor gives them. Not after the first of `rows`.

        TooManyRows for more than `rows_max` of a chip, NoTable for a row that no chip accepts,
        ValueError for what is no row of the program. Afterwards the sorter is of no use.
        """

    def rows(self, chip: int) -> memoryview:
        """A chip's rows, in the order of the run. IndexError for another chip."""

    @property
    def clock(self) -> int:
        """How many rows there were."""

    @property
    def times(self) -> bytes:
        """Of each instruction, u32: how often it was executed."""

    @property
    def registers(self) -> tuple[tuple[int, int], ...]:
        """Clock and value of each register at the end; zeros for register 0."""

class FactCounts:
    """How often the tables of memory ask for facts (`facts.KINDS`)."""

    def column(self, kind: str) -> bytes:
        """65,536 counters, u32. ValueError for an unknown kind."""

def image_rows(
    touched: bytes | bytearray | memoryview, first: int, image: bytes, height: int
) -> bytes:
    """Rows of the table "image", three u32 each: clock and limbs of each word at the end.

    `touched` as `Executor.touched` gives it, `first` the word address of the image. ValueError for
    lengths that do not fit.
    """

def memory_rows(
    touched: bytes | bytearray | memoryview, first: int, end: int, facts: FactCounts
) -> bytes:
    """The rows in use of the table "memory", nine u32 each; what they ask for is counted.

    `first` and `end` are the image's edges. ValueError for lengths that do not fit.
    """
