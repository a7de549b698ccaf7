from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cython_core.field import Matrix

BLOCKS_MAX: Final[int]
"""Blocks of 16 elements of one row, all matrices of its height together."""
LOG_HEIGHT_MAX: Final[int]

def available_kernels() -> tuple[str, ...]:
    """Names of the kernels that this CPU runs, narrowest first."""

class RowHasher:
    """Hashes all rows of one height, block by block. Extensions use the methods of the .pxd."""

    def __init__(
        self, rows: int, blocks: int, coset_log: int | None = None, kernel: str = "auto"
    ) -> None:
        """`rows` is a power of two; `blocks` is that of a whole row.

        Without `coset_log` the rows come in the order of the positions. With it row c * n + r,
        n = rows / 2^coset_log, is row r of coset c, both in natural order, and `digests` puts it at
        position rev(c) * n + rev(r). ValueError for other shapes.
        """

    @property
    def rows(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    def absorb(self, matrix: Matrix, first_block: int = 0, first_row: int = 0) -> None:
        """The matrix is blocks first_block, ... of rows first_row, ...

        Each row must take each block once, in order; this is not checked.
        """

    def digests(self) -> bytes:
        """32 bytes per position, when all rows have taken all blocks."""

class CommitmentTree:
    """All nodes of a commitment (docs/proofs.md, "Commitment to matrices")."""

    log: int
    """Of the greatest height."""
    matrices: tuple[Matrix, ...]
    """What was committed to; empty if the tree was built from digests."""

    @staticmethod
    def from_digests(
        digests: Mapping[int, bytes | bytearray | memoryview | RowHasher], kernel: str = "auto"
    ) -> CommitmentTree:
        """By log2 of the height: the digests of that height's rows, in the order of positions."""

    @property
    def root(self) -> bytes: ...
    def node(self, level: int, index: int) -> bytes:
        """Node `index` of the 2^level nodes of a level. IndexError if there is none."""

    def open(self, positions: Iterable[int], domain_log: int) -> bytes:
        """The digests of an opening, its part 2; `rows_of` says what rows stand before them."""

    def open_rows(self, positions: Iterable[int], domain_log: int) -> bytes:
        """A whole opening. ValueError if the tree was built from digests."""

def commit_matrices(matrices: Sequence[Matrix], kernel: str = "auto") -> CommitmentTree:
    """Commits to matrices whose rows stand in the order of the positions; keeps them."""
