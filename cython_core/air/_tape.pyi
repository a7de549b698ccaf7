from typing import Final

from cython_core.air.table import Table

BLOCK_ROWS: Final[int]
"""Rows that a program evaluates at once."""

def available_kernels() -> tuple[str, ...]:
    """Names of the instruction sets that this CPU runs and this build has, narrowest first."""

class Program:
    """A table's constraints and interactions, ready to be evaluated for blocks of rows.

    By the code that was generated for the table, where there is some; by the interpreter otherwise,
    or where `generated` is false. Both give the same values. ValueError for an unknown kernel.
    """

    is_generated: bool
    kernel: str

    def __init__(self, table: Table, kernel: str = "auto", *, generated: bool = True) -> None: ...
    @property
    def operand_count(self) -> int: ...
    @property
    def output_count(self) -> int: ...
    @property
    def public_count(self) -> int:
        """Public values that are read: those below this number."""
    @property
    def slot_count(self) -> int:
        """Values that the interpreter holds at once, beside operands and outputs."""
    @property
    def instruction_count(self) -> int: ...
    def evaluate(self, operands: bytes, publics: bytes = b"", repetitions: int = 1) -> bytes:
        """Outputs of BLOCK_ROWS rows; all are u32 little-endian, plain values below p, 64 of each
        operand (`Table.operands`) and output (`Table.outputs`) side by side. Repeated for who
        measures time. ValueError for another length or a value that is not below p."""
