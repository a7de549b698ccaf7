"""Passes of the prover over columns (stark/_prover.pyx). Loops release the GIL.

Values are plain integers below p, extension elements tuples of five. ValueError for shapes that do
not fit one another and for kernels that this CPU lacks, MemoryError when memory is short.
"""

from collections.abc import Iterable, Mapping, Sequence

from cython_core.air.table import Table
from cython_core.commitment import RowHasher
from cython_core.field import Matrix

Extension = tuple[int, int, int, int, int]

def available_kernels() -> tuple[str, ...]:
    """Names of the instruction sets that this CPU runs, narrowest first."""

def interpolate(values: Matrix, coefficients: Matrix, panel: int) -> None:
    """Bit-reversed coefficients of one panel of values, into the same panel of another matrix."""

def extend(coefficients: Matrix, shift: int, values: Matrix, panel: int) -> None:
    """Values of one panel on shift * <g>, into the same panel of another matrix."""

def hash_coset(
    hasher: RowHasher,
    coefficients: Matrix,
    values: Matrix | None,
    coset: int,
    shift: int,
    first_block: int,
) -> None:
    """Absorb the rows of one coset (0 to 3), panel by panel; `values` are its values if known."""

class Opening:
    """Rows of a matrix at ascending bit-reversed positions of its codeword (4 * height).

    Where the values of a coset are at hand they are taken from there, else out of the coefficients.
    Panels may be opened by several threads.
    """

    def __init__(
        self,
        coefficients: Matrix,
        positions: Sequence[int],
        cosets: Mapping[int, Matrix],
        kernel: str = "auto",
    ) -> None: ...
    def open(self, panel: int) -> None: ...
    def encoded(self) -> bytes:
        """The canonical rows, one after the other, when all panels are opened."""

class Weights:
    """Powers of a point in the order of bit-reversed coefficients."""

    def __init__(self, point: Extension, log: int, kernel: str = "auto") -> None: ...

def evaluate(coefficients: Matrix, weights: Weights, columns: Iterable[int]) -> list[Extension]:
    """Values of some ascending columns at the point of the weights."""

def interpolate_coset(values: Matrix, shift: int) -> None:
    """In place: from values on shift * <g> to bit-reversed coefficients. Five columns."""

def add_lifted(coefficients: Matrix, total: Matrix) -> None:
    """Add f(X^k), f shorter by the factor k."""

def split_quotient(coefficients: Matrix) -> Matrix:
    """Q of 2N coefficients as the ten columns of Q_0 and Q_1."""

class Terms:
    """The share of one matrix in the combined columns of the DEEP polynomial."""

    def __init__(
        self,
        matrix: Matrix,
        here: Sequence[Extension],
        following: Mapping[int, Extension],
        kernel: str = "auto",
    ) -> None:
        """A coefficient for each column here, and {column: coefficient} for the next row."""

    def combine(self, first_block: int, last_block: int, combined: Matrix) -> None: ...

class Deep:
    """The DEEP polynomial on the cosets of the evaluation domain."""

    def __init__(
        self,
        combined: Matrix,
        points: Sequence[Extension],
        values: Sequence[Extension],
        kernel: str = "auto",
    ) -> None: ...
    def evaluate(self, coset: int, shift: int, evaluations: Matrix) -> None:
        """On one coset, into its quarter of the bit-reversed evaluations."""

class TableView:
    """A table on one domain at a time: what its constraints and buses say on each row."""

    table: Table
    log: int

    def __init__(
        self,
        table: Table,
        log: int,
        publics: Sequence[int],
        gamma: Extension,
        alphas: Sequence[Extension],
        kernel: str = "auto",
    ) -> None:
        """`alphas` begins with alpha_0."""

    def release(self) -> None:
        """Let go of the matrices of the domain at hand."""

    def on_trace(self, main: Matrix, preprocessed: Matrix | None) -> None:
        """The rows of the table themselves."""

    def on_coset(
        self, shift: int, main: Matrix, preprocessed: Matrix | None, auxiliary: Matrix | None
    ) -> None:
        """The rows of a coset outside of the trace domain."""

    def fractions(self, first_block: int, last_block: int, auxiliary: Matrix) -> None:
        """Fill rows of the auxiliary columns; the running sum's receive the sums of the rows."""

    def accumulate(self, auxiliary: Matrix) -> Extension:
        """The running sum from the sums of the rows; returns the terminal."""

    def set_coefficients(self, coefficients: Sequence[Extension], terminal: Extension) -> None:
        """Of the constraints, groups and the three of the running sum, over the vanishing value."""

    def quotient(self, first_block: int, last_block: int, quotient: Matrix, phase: int) -> None:
        """The combined constraints on the coset at hand: row 2r + phase of `quotient`."""
