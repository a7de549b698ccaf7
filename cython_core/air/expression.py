"""Expressions: polynomials over the columns of one table, kept as shared nodes.

Each table has a pool. An operation of two expressions asks the pool for its node: equal nodes are
one, operations of constants are folded, and adding zero or multiplying by one is no operation.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Union

from cython_core.air.degrees import Degree, node_degree
from cython_core.air.table import ARITHMETIC, MODULUS, Node, Operation

Operand = Union["Expression", int]


class AirError(ValueError):
    """A table that cannot be: says which table and which constraint."""


class Expression:
    """A polynomial over the columns of a table. Made by a TableBuilder and by arithmetic."""

    __slots__ = ("node", "pool")

    def __init__(self, pool: "NodePool", node: int) -> None:
        self.pool = pool
        self.node = node

    def __add__(self, other: Operand) -> "Expression":
        return self.pool.combine(Operation.ADD, self, other)

    def __sub__(self, other: Operand) -> "Expression":
        return self.pool.combine(Operation.SUBTRACT, self, other)

    def __mul__(self, other: Operand) -> "Expression":
        return self.pool.combine(Operation.MULTIPLY, self, other)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: int) -> "Expression":
        return self.pool.combine(Operation.SUBTRACT, other, self)

    def __neg__(self) -> "Expression":
        return self.pool.combine(Operation.SUBTRACT, 0, self)

    def __bool__(self) -> bool:
        raise TypeError("an expression has no truth value: its value depends on the row")

    @property
    def degree(self) -> int:
        return self.pool.degrees[self.node].columns

    def __repr__(self) -> str:
        return self.pool.describe(self.node)


class Column(Expression):
    """A main or preprocessed column in the current row."""

    __slots__ = ("name",)

    def __init__(self, pool: "NodePool", node: int, name: str) -> None:
        super().__init__(pool, node)
        self.name = name

    @property
    def next(self) -> Expression:
        """The column in the next row; in the last row that is the first row."""
        node = self.pool.nodes[self.node]
        return self.pool.intern(Node(node.operation, node.a, 1))


def powers_sum(elements: Iterable[Operand], base: int) -> Operand:
    """element_0 + base * element_1 + base^2 * element_2 ...: limbs or bits put together."""
    total: Operand = 0
    for element in reversed(list(elements)):
        total = total * base + element
    return total


class NodePool:
    """The nodes of a table that is being written."""

    def __init__(self, table_name: str) -> None:
        self.table_name = table_name
        self.nodes: list[Node] = []
        self.degrees: list[Degree] = []
        self.leaf_names: dict[Node, str] = {}
        self._numbers: dict[Node, int] = {}

    def error(self, message: str) -> AirError:
        return AirError(f"table {self.table_name!r}: {message}")

    def number(self, node: Node) -> int:
        number = self._numbers.get(node)
        if number is None:
            number = self._numbers[node] = len(self.nodes)
            self.degrees.append(node_degree(node, self.degrees))
            self.nodes.append(node)
        return number

    def intern(self, node: Node) -> Expression:
        return Expression(self, self.number(node))

    def coerce(self, operand: Operand) -> int:
        if isinstance(operand, Expression):
            if operand.pool is not self:
                raise self.error(f"{operand!r} belongs to table {operand.pool.table_name!r}")
            return operand.node
        return self.number(Node(Operation.CONSTANT, operand % MODULUS))

    def combine(self, operation: Operation, left: Operand, right: Operand) -> Expression:
        a, b = self.coerce(left), self.coerce(right)
        simpler = self._simplify(operation, a, b)
        if simpler is not None:
            return Expression(self, simpler)
        if operation is not Operation.SUBTRACT and a > b:
            a, b = b, a
        return self.intern(Node(operation, a, b))

    def _simplify(self, operation: Operation, a: int, b: int) -> int | None:
        """The node that an operation with constants comes to, where it needs no operation."""
        left, right = self._constant_value(a), self._constant_value(b)
        if left is not None and right is not None:
            return self.coerce(_FOLD[operation](left, right))
        if operation is Operation.SUBTRACT:
            if a == b:
                return self.coerce(0)
            return a if right == 0 else None
        if left is not None:
            a, b, right = b, a, left
        if operation is Operation.ADD:
            return a if right == 0 else None
        if right == 0:
            return b
        if right == MODULUS - 1:
            return self.number(Node(Operation.SUBTRACT, self.coerce(0), a))
        return a if right == 1 else None

    def _constant_value(self, number: int) -> int | None:
        node = self.nodes[number]
        return node.a if node.operation == Operation.CONSTANT else None

    def describe(self, number: int, depth: int = 4) -> str:
        """The formula, its deepest parts left out."""
        node = self.nodes[number]
        operation = Operation(node.operation)
        if operation in ARITHMETIC:
            if depth == 0:
                return "..."
            a, b = self.describe(node.a, depth - 1), self.describe(node.b, depth - 1)
            return f"({a} {_SIGNS[operation]} {b})"
        if operation is Operation.CONSTANT:
            return str(node.a)
        if operation is Operation.PUBLIC:
            return f"public({node.a})"
        if node.b == 1:
            return self.leaf_names[node._replace(b=0)] + ".next"
        return self.leaf_names.get(node, operation.name.lower())


_FOLD: Final = {
    Operation.ADD: int.__add__,
    Operation.SUBTRACT: int.__sub__,
    Operation.MULTIPLY: int.__mul__,
}
_SIGNS: Final = {Operation.ADD: "+", Operation.SUBTRACT: "-", Operation.MULTIPLY: "*"}


def reachable(
    nodes: Sequence[Node], roots: Iterable[int]
) -> tuple[tuple[Node, ...], dict[int, int]]:
    """The nodes that the roots need, each root's own closely before it, and their new numbers."""
    places: dict[int, int] = {}
    kept: list[Node] = []
    for root in roots:
        waiting = [root]
        while waiting:
            number = waiting[-1]
            node = nodes[number]
            operands = (node.a, node.b) if node.operation in ARITHMETIC else ()
            missing = [operand for operand in operands if operand not in places]
            if number not in places and missing:
                waiting += reversed(missing)
                continue
            waiting.pop()
            if number in places:
                continue
            places[number] = len(kept)
            kept.append(node._replace(a=places[node.a], b=places[node.b]) if operands else node)
    return tuple(kept), places
