"""Tables of the machine's chips from rows of the machine (zkvm/_fill.pyx)."""

from cython_core.field import Matrix

class Tally:
    """How often each fact about 16 bits is asked for; zero at first."""

    def column(self, kind: str) -> bytes:
        """The counters of "range", "pair", "conjunction" or "aligned": 65,536 u32 of this machine.

        ValueError for another kind.
        """

    def add(self, kind: str, place: int) -> None:
        """One more fact "range" or "aligned". ValueError for others, or a place out of range."""

def fill(name: str, rows: bytes | bytearray | memoryview, height: int, tally: Tally) -> Matrix:
    """The table of a chip with `height` rows: first those of the machine, then zeros.

    `rows` has the chip's number of little-endian words for each (zkvm/rows.h). ValueError for an
    unknown chip, a wrong length, or more rows than the height; MemoryError.
    """
