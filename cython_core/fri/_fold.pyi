from collections.abc import Sequence
from typing import Final

from cython_core.field import Matrix

FOLD_LOG_MAX: Final[int]

def available_kernels() -> tuple[str, ...]:
    """Names of the kernels that this CPU runs, narrowest first."""

def regroup(codeword: Matrix, fold_log: int) -> Matrix:
    """The layer of a codeword (five columns): row i holds the values at i 2^fold_log and on."""

def fold(
    layer: Matrix,
    fold_log: int,
    challenge: Sequence[int],
    next_fold_log: int = 0,
    kernel: str = "auto",
) -> Matrix:
    """Folds each row to one value; the result is a layer of 2^next_fold_log values a row."""

def interpolate(codeword: Matrix) -> Matrix:
    """Coefficients in ascending order, of as many values as there are rows, bit-reversed."""
