"""The transforms in plain Python, over one column: the twin of the kernels.

`evaluate` is the definition; `forward` and `inverse` are the quick recursions. A column is a list
of plain values. Coefficients are in bit-reversed order: entry `bit_reverse(i)` is coefficient i.
"""

from collections.abc import Sequence

from cython_core.field import _reference as field
from cython_core.field._reference import P, bit_reverse, root


def evaluate(coefficients: Sequence[int], point: int) -> int:
    """The polynomial with these coefficients, in natural order, at a point."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * point + coefficient) % P
    return value


def log_of(height: int) -> int:
    """ValueError unless `height` is a power of two."""
    if height < 1 or height & (height - 1):
        raise ValueError(f"{height} is not a power of two")
    return height.bit_length() - 1


def reverse_rows(rows: Sequence[int]) -> list[int]:
    """Entry i goes to `bit_reverse(i)`."""
    log = log_of(len(rows))
    return [rows[bit_reverse(index, log)] for index in range(len(rows))]


def forward(coefficients: Sequence[int], shift: int = 1) -> list[int]:
    """Values at shift * g^r in natural order, of coefficients in bit-reversed order."""
    height = len(coefficients)
    log = log_of(height)
    if height == 1:
        return list(coefficients)
    # f(x) = even(x^2) + x odd(x^2), and x^2 runs over the coset of half the size twice.
    even = forward(coefficients[: height // 2], shift * shift % P)
    odd = forward(coefficients[height // 2 :], shift * shift % P)
    generator, point = root(log), shift
    low, high = [], []
    for a, b in zip(even, odd, strict=True):
        term = point * b
        low.append((a + term) % P)
        high.append((a - term) % P)
        point = point * generator % P
    return low + high


def _halves(values: Sequence[int]) -> list[int]:
    height = len(values)
    if height == 1:
        return list(values)
    generator, point = field.inverse(root(log_of(height))), 1
    even, odd = [], []
    for a, b in zip(values[: height // 2], values[height // 2 :], strict=True):
        even.append((a + b) % P)
        odd.append((a - b) * point % P)
        point = point * generator % P
    return _halves(even) + _halves(odd)


def inverse(values: Sequence[int]) -> list[int]:
    """Coefficients in bit-reversed order, of values at g^r in natural order: `forward` undone."""
    scale = field.inverse(len(values))
    return [coefficient * scale % P for coefficient in _halves(values)]
