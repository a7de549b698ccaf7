from collections.abc import Sequence
from typing import Final

PANEL: Final[int]
"""Columns of a panel: 16."""

class Matrix:
    """Base field elements, zero at first, in panels of 16 columns. Values are plain, below p."""

    def __init__(self, height: int, width: int) -> None:
        """ValueError for a height below 1 or a negative width; MemoryError."""
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def panels(self) -> int: ...
    @classmethod
    def from_rows(cls, rows: bytes, height: int, width: int) -> Matrix:
        """Row by row, 4 bytes little-endian each. ValueError for another length or a value that is
        not below p."""
    @classmethod
    def from_columns(cls, columns: Sequence[Sequence[int]]) -> Matrix:
        """At least one column, all of one length. ValueError otherwise, and for values not in
        [0, p)."""
    def to_bytes(self) -> bytes:
        """The inverse of `from_rows`."""
    def get(self, row: int, column: int) -> int:
        """IndexError outside of the matrix."""
    def set(self, row: int, column: int, value: int) -> None:
        """IndexError outside of the matrix, ValueError for a value not in [0, p)."""
    def row(self, row: int) -> tuple[int, ...]: ...
    def column(self, column: int) -> list[int]: ...
    def copy(self) -> Matrix: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: None  # type: ignore[assignment]  # cells change
