"""How cells of a table are computed from a row of the machine: integer formulas.

A formula is a graph of a few operations on integers over the words of a row. It is run in two
ways: as C that the build compiles (`fill_code`), and by `Interpreter`, its readable twin. Values
stay within 62 bits and a sign.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cython_core.air.table import MODULUS

WORD: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Fill:
    """A node: an operation and what it takes. Made by `node`, so that equal formulas are one."""

    operation: str
    arguments: tuple["Fill | int", ...]
    reads_columns: bool
    """Whether it takes the value of a column, which must be filled before."""

    def __add__(self, other: "Fill | int") -> "Fill":
        return node("add", self, other)

    def __radd__(self, other: int) -> "Fill":
        return node("add", other, self)

    def __sub__(self, other: "Fill | int") -> "Fill":
        return node("sub", self, other)

    def __rsub__(self, other: int) -> "Fill":
        return node("sub", other, self)

    def __mul__(self, other: "Fill | int") -> "Fill":
        return node("mul", self, other)

    __rmul__ = __mul__

    def __rshift__(self, distance: int) -> "Fill":
        """Rounds down."""
        return node("shr", self, distance)

    def __and__(self, mask: "Fill | int") -> "Fill":
        return node("and", self, mask)

    def equals(self, other: "Fill | int") -> "Fill":
        return node("eq", self, other)

    def below(self, other: "Fill | int") -> "Fill":
        return node("lt", self, other)

    def choose(self, if_one: "Fill | int", if_zero: "Fill | int") -> "Fill":
        """By this node, which is 0 or 1."""
        return node("choose", self, if_one, if_zero)

    @property
    def is_constant(self) -> bool:
        return self.operation == "const"


_nodes: dict[tuple[str, tuple["Fill | int", ...]], Fill] = {}


def _shared(operation: str, arguments: tuple["Fill | int", ...]) -> Fill:
    known = _nodes.get((operation, arguments))
    if known is None:
        reads = operation == "column" or any(
            argument.reads_columns for argument in arguments if isinstance(argument, Fill)
        )
        known = _nodes[operation, arguments] = Fill(operation, arguments, reads)
    return known


def constant(value: int) -> Fill:
    return _shared("const", (value,))


def part(word: int, shift: int = 0, mask: int = WORD) -> Fill:
    """Bits of a word of the row: (row[word] >> shift) & mask."""
    return _shared("row", (word, shift, mask))


def column_value(number: int) -> Fill:
    """What column `number` of the row was filled with."""
    return _shared("column", (number,))


def as_fill(value: "Fill | int") -> Fill:
    return value if isinstance(value, Fill) else constant(value)


def product_limb(a: Fill, b: Fill, limb: int) -> Fill:
    """Limb of 16 bits of the product of two words."""
    return node("product_limb", a, b, limb)


def quotient(a: Fill, b: Fill) -> Fill:
    """Of two words; all ones for b = 0, as the machine has it."""
    return node("quotient", a, b)


def remainder(a: Fill, b: Fill) -> Fill:
    return node("remainder", a, b)


def inverse(a: Fill) -> Fill:
    """In the field, of a difference of two limbs; 0 for 0."""
    return node("inverse", a)


def field_inverse(a: Fill) -> Fill:
    """In the field, of any integer; 0 for a multiple of p. Slow: for rows that are rare."""
    return node("field_inverse", a)


def node(operation: str, *arguments: "Fill | int") -> Fill:
    """A node with its constants folded. Distances and limbs are plain integers."""
    plain = PLAIN_ARGUMENTS.get(operation, ())
    taken = tuple(
        argument if place in plain or isinstance(argument, Fill) else constant(argument)
        for place, argument in enumerate(arguments)
    )
    known = [
        argument if isinstance(argument, int) else argument.arguments[0]
        for argument in taken
        if isinstance(argument, int) or argument.is_constant
    ]
    if len(known) == len(taken):
        values = [value for value in known if isinstance(value, int)]
        return constant(OPERATIONS[operation].compute(values))
    return _shared(operation, taken)


class Meaning(NamedTuple):
    compute: Callable[[Sequence[int]], int]
    code: str
    """C, with {0}, {1} for the arguments."""


OPERATIONS: Final[dict[str, Meaning]] = {
    "add": Meaning(lambda v: v[0] + v[1], "{0} + {1}"),
    "sub": Meaning(lambda v: v[0] - v[1], "{0} - {1}"),
    "mul": Meaning(lambda v: v[0] * v[1], "{0} * {1}"),
    "shr": Meaning(lambda v: v[0] >> v[1], "{0} >> {1}"),
    "and": Meaning(lambda v: v[0] & v[1], "{0} & {1}"),
    "eq": Meaning(lambda v: int(v[0] == v[1]), "{0} == {1}"),
    "lt": Meaning(lambda v: int(v[0] < v[1]), "{0} < {1}"),
    "choose": Meaning(lambda v: v[1] if v[0] else v[2], "{0} ? {1} : {2}"),
    "product_limb": Meaning(
        lambda v: v[0] * v[1] >> 16 * v[2] & 0xFFFF, "zk_product_limb({0}, {1}, {2})"
    ),
    "quotient": Meaning(lambda v: v[0] // v[1] if v[1] else WORD, "zk_quotient({0}, {1})"),
    "remainder": Meaning(lambda v: v[0] % v[1] if v[1] else v[0], "zk_remainder({0}, {1})"),
    "inverse": Meaning(lambda v: pow(v[0], MODULUS - 2, MODULUS), "zk_inverse({0})"),
    "field_inverse": Meaning(lambda v: pow(v[0], MODULUS - 2, MODULUS), "zk_field_inverse({0})"),
}
PLAIN_ARGUMENTS: Final[dict[str, tuple[int, ...]]] = {"shr": (1,), "product_limb": (2,)}
"""Places of arguments that are numbers of the formula and no nodes."""


class Interpreter:
    """Values of formulas on one row; `columns` are those that are filled so far."""

    def __init__(self, row: Sequence[int], columns: Sequence[int]) -> None:
        self._row = row
        self._columns = columns
        self._known: dict[Fill, int] = {}

    def value(self, formula: Fill | int) -> int:
        if isinstance(formula, int):
            return formula
        if formula.operation == "column":
            return self._columns[self.value(formula.arguments[0])]
        known = self._known.get(formula)
        if known is None:
            known = self._known[formula] = self._compute(formula)
        return known

    def _compute(self, formula: Fill) -> int:
        values = [self.value(argument) for argument in formula.arguments]
        if formula.operation == "const":
            return values[0]
        if formula.operation == "row":
            word, shift, mask = values
            return self._row[word] >> shift & mask
        return OPERATIONS[formula.operation].compute(values)
