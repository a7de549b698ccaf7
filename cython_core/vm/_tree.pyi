from collections.abc import Sequence
from typing import Final

DIGEST_BYTES: int
WIDE_BYTES: Final[int]
DEPTH_MAX: Final[int]
NONCES: Final[int]

class Unreachable(ValueError):
    """No nonce gives the digit sum."""

class TraceTree:
    """Group roots of the rows of one run, and paths of watched slots. One thread at a time."""

    def __init__(
        self,
        groups: int,
        depth: int,
        salt: bytes,
        digit_sum: int,
        watched: Sequence[int] = (),
        only_watched: bool = False,
        kernel: str = "auto",
    ) -> None:
        """`watched` are slots in ascending order. With `only_watched`, groups without one are
        passed over and have no root. ValueError for parameters out of bounds and for a kernel that
        this CPU lacks, MemoryError without memory.
        """

    def absorb(self, slots: bytes, wide: bytes) -> None:
        """The next rows, as `records.decode_rows` reads them. ValueError for more rows than slots
        and for bytes that are no rows, Unreachable; the tree is of no use afterwards.
        """

    def finish(self) -> None:
        """No more rows. Raises Unreachable."""

    @property
    def roots(self) -> tuple[bytes, ...]:
        """Of all groups, when the tree is finished; zeros where one was passed over."""

    @property
    def nonces(self) -> tuple[int, ...]: ...
    def record(self, number: int) -> tuple[bytes, bool]:
        """Of the watched slot of that number: its record with zeros behind it to 256 bytes, and
        whether it is wide.
        """

    def path(self, number: int) -> bytes:
        """For each level, the lowest first, the four nodes of 16 bytes among which the ancestor of
        the watched slot is.
        """
