"""Evaluates the nodes of a table in Python, over any arithmetic.

An arithmetic says what elements are and how they are added, subtracted and multiplied: integers for
a row of a trace, lists of them for many rows, elements of the extension at a point out of domain.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add, mul, sub
from typing import Final, Generic, TypeVar

from cython_core.air.table import MODULUS, Node, Operation

Element = TypeVar("Element")
Indexed = Sequence[Element] | Mapping[int, Element]
"""By column; a mapping where only some columns have values."""


@dataclass(frozen=True)
class Arithmetic(Generic[Element]):
    add: Callable[[Element, Element], Element]
    subtract: Callable[[Element, Element], Element]
    multiply: Callable[[Element, Element], Element]
    constant: Callable[[int], Element]
    """An integer below p as an element."""


@dataclass(frozen=True)
class Selectors(Generic[Element]):
    is_first: Element
    is_last: Element
    is_transition: Element


@dataclass(frozen=True)
class Row(Generic[Element]):
    """The leaves of the nodes: one row of a table, or the table at one point."""

    main: Indexed[Element]
    main_next: Indexed[Element]
    selectors: Selectors[Element]
    preprocessed: Indexed[Element] = field(default_factory=dict)
    preprocessed_next: Indexed[Element] = field(default_factory=dict)
    periodic: Indexed[Element] = field(default_factory=dict)


BASE: Final = Arithmetic[int](
    add=lambda a, b: (a + b) % MODULUS,
    subtract=lambda a, b: (a - b) % MODULUS,
    multiply=lambda a, b: a * b % MODULUS,
    constant=int,
)
"""Integers below p."""


def rows_arithmetic(count: int) -> Arithmetic[list[int]]:
    """`count` rows at once, as lists of integers below p."""

    def over_rows(
        operation: Callable[[int, int], int],
    ) -> Callable[[list[int], list[int]], list[int]]:
        return lambda a, b: [value % MODULUS for value in map(operation, a, b)]

    return Arithmetic(
        add=over_rows(add),
        subtract=over_rows(sub),
        multiply=over_rows(mul),
        constant=lambda value: [value] * count,
    )


def evaluate(
    nodes: Sequence[Node],
    row: Row[Element],
    publics: Sequence[int],
    arithmetic: Arithmetic[Element],
) -> list[Element]:
    """The value of each node. The nodes and the row fit together: rules.check_system saw to it."""
    operations: dict[int, Callable[[Element, Element], Element]] = {
        Operation.ADD: arithmetic.add,
        Operation.SUBTRACT: arithmetic.subtract,
        Operation.MULTIPLY: arithmetic.multiply,
    }
    values: list[Element] = []
    for node in nodes:
        operation = operations.get(node.operation)
        if operation is not None:
            values.append(operation(values[node.a], values[node.b]))
        else:
            values.append(_leaf(node, row, publics, arithmetic))
    return values


def _leaf(
    node: Node, row: Row[Element], publics: Sequence[int], arithmetic: Arithmetic[Element]
) -> Element:
    match Operation(node.operation):
        case Operation.CONSTANT:
            return arithmetic.constant(node.a)
        case Operation.PUBLIC:
            return arithmetic.constant(publics[node.a])
        case Operation.MAIN:
            return (row.main_next if node.b else row.main)[node.a]
        case Operation.PREPROCESSED:
            return (row.preprocessed_next if node.b else row.preprocessed)[node.a]
        case Operation.PERIODIC:
            return row.periodic[node.a]
        case Operation.IS_FIRST:
            return row.selectors.is_first
        case Operation.IS_LAST:
            return row.selectors.is_last
    return row.selectors.is_transition
