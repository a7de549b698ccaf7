"""Cells: an expression of the constraint language together with the formula of its value.

Arithmetic on cells does both at once, so that what a constraint says and what fills its columns
cannot drift apart.
"""

from dataclasses import dataclass
from typing import Union

from cython_core.air.language import Expression
from cython_core.air.table import MODULUS
from cython_core.zkvm.fill import Fill, as_fill, node

Value = Union["Cell", int]


@dataclass(frozen=True, slots=True)
class Cell:
    air: Expression | int
    fill: Fill

    def __add__(self, other: Value) -> "Cell":
        return Cell(self.air + air_of(other), node("add", self.fill, fill_of(other)))

    def __sub__(self, other: Value) -> "Cell":
        return Cell(self.air - air_of(other), node("sub", self.fill, fill_of(other)))

    def __mul__(self, other: Value) -> "Cell":
        return Cell(self.air * air_of(other), node("mul", self.fill, fill_of(other)))

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: int) -> "Cell":
        return Cell(other - self.air, node("sub", other, self.fill))

    def divided(self, log: int) -> "Cell":
        """By 2^log; only where the value is a multiple of it."""
        return Cell(self.air * pow(1 << log, -1, MODULUS), self.fill >> log)

    @property
    def degree(self) -> int:
        return 0 if isinstance(self.air, int) else self.air.degree

    @property
    def is_zero(self) -> bool:
        return self.fill.is_constant and self.fill.arguments[0] == 0 and self.air == 0


def known(value: int) -> Cell:
    """A constant."""
    return Cell(value, as_fill(value))


def air_of(value: Value) -> Expression | int:
    return value.air if isinstance(value, Cell) else value


def fill_of(value: Value) -> Fill:
    return value.fill if isinstance(value, Cell) else as_fill(value)


ZERO = known(0)
