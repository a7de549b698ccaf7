from typing import Final

TRAPS: Final[int]
"""States below or equal to this one, except 0, are traps, numbered as in errors.TrapKind."""
RUNNING: Final[int]
DONE: Final[int]
NO_ROOM: Final[int]

class Executor:
    """One run of a program table over an image and a witness. One thread at a time."""

    def __init__(
        self,
        rom: bytes,
        rom_base: int,
        entry: int,
        image: bytes,
        image_base: int,
        inputs: bytes,
        answers: bytes,
        cycles: int,
        memory_pages: int,
        with_rows: bool,
    ) -> None:
        """ValueError for lengths and addresses that do not fit together, MemoryError without
        memory. An image beyond the memory limit is a trap before the first step.
        """

    def run(self, cycles: int) -> int:
        """At least so many cycles more, or to the end; without rows. The state then."""

    def trace(self, rows: int, wide: int) -> tuple[bytes, bytes]:
        """The next rows, at most so many and at most so many wide ones among them: their slots and
        their wide records, as `records.decode_rows` reads them. Empty after the end.
        """

    def discard(self, rows: int, wide: int) -> int:
        """Writes rows like `trace` into room that is used again, and forgets them; how many there
        were.
        """

    def touched(self) -> bytes:
        """After the end of a run with rows: for each word that a step touched, addresses ascending,
        its byte address, clock and value, a u32 each. ValueError before the end.
        """

    @property
    def state(self) -> int: ...
    @property
    def pc(self) -> int: ...
    @property
    def cycles(self) -> int: ...
    @property
    def address(self) -> int:
        """What a trap is about: see errors.EXPLANATION."""

    @property
    def pages(self) -> int:
        """Pages of memory in use."""

    @property
    def inputs_read(self) -> int:
        """Words of the input that were read."""

    @property
    def outputs(self) -> tuple[tuple[int, int], ...]:
        """Of each word of the statement: how often it was shown, and what last."""

def multiply(left: bytes, right: bytes) -> bytes:
    """MULP on two numbers of 32 bytes, little endian."""

def compress(chaining: bytes, block: bytes, flags: int) -> bytes:
    """B3 on 32 and 64 bytes."""
