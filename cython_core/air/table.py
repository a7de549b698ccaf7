"""A table of constraints as plain numbers: what the verification key says, and names for people.

Tables come from `cython_core.air.language` or from a decoded key. Both are the same type; names and
preprocessed values are not part of the key and do not take part in comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Final, NamedTuple

MODULUS: Final = 2**31 - 2**24 + 1
"""p, the order of KoalaBear. Repeated from cython_core.field, which needs its extensions built."""


class Operation(IntEnum):
    """First number of a node (docs/proofs.md, "Verification key")."""

    CONSTANT = 0
    MAIN = 1
    PREPROCESSED = 2
    PERIODIC = 3
    PUBLIC = 4
    IS_FIRST = 5
    IS_LAST = 6
    IS_TRANSITION = 7
    ADD = 8
    SUBTRACT = 9
    MULTIPLY = 10


SCALARS: Final = frozenset({Operation.CONSTANT, Operation.PUBLIC})
"""Leaves with one value for all rows."""
ARITHMETIC: Final = frozenset({Operation.ADD, Operation.SUBTRACT, Operation.MULTIPLY})
"""Operations whose a and b are earlier nodes."""


class Node(NamedTuple):
    """One step of the evaluation; what a and b are depends on the operation."""

    operation: int
    a: int = 0
    b: int = 0


class Interaction(NamedTuple):
    """What each row of a table puts on a bus. A receive has the negated multiplicity."""

    bus: int
    multiplicity: int
    """Node of the multiplicity."""
    elements: tuple[int, ...]
    """Nodes of the tuple."""


class PublicInteraction(NamedTuple):
    """What the statement itself puts on a bus, known to the verifier."""

    bus: int
    multiplicity: int
    """In the field: a receive is p - 1."""
    elements: tuple[int, ...]


@dataclass(frozen=True)
class Labels:
    """Names for error messages. Those of a decoded key are empty."""

    main: tuple[str, ...] = ()
    preprocessed: tuple[str, ...] = ()
    periodic: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    interactions: tuple[str, ...] = ()

    def constraint(self, index: int) -> str:
        return self.constraints[index] if index < len(self.constraints) else f"number {index}"

    def interaction(self, index: int) -> str:
        return self.interactions[index] if index < len(self.interactions) else f"number {index}"


@dataclass(frozen=True)
class Table:
    name: str
    main_width: int
    preprocessed_width: int
    smallest_log: int
    """Bounds of the height, as logarithms; equal where there are preprocessed columns."""
    greatest_log: int
    periodic: tuple[tuple[int, ...], ...]
    """One period of each periodic column."""
    nodes: tuple[Node, ...]
    constraints: tuple[int, ...]
    interactions: tuple[Interaction, ...]
    groups: tuple[tuple[int, ...], ...]
    """Interactions that share an auxiliary column."""
    labels: Labels = field(default=Labels(), compare=False, repr=False)
    preprocessed: tuple[Sequence[int], ...] = field(default=(), compare=False, repr=False)
    """Values of the preprocessed columns; empty in a decoded key, which has only their root."""

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        """Nodes a prover asks for: constraints, then each interaction's multiplicity and tuple."""
        found = list(self.constraints)
        for interaction in self.interactions:
            found += (interaction.multiplicity, *interaction.elements)
        return tuple(found)

    @cached_property
    def operands(self) -> tuple[Node, ...]:
        """Leaves with a value for each row, in order of appearance, each once."""
        leaves = (
            node
            for node in self.nodes
            if node.operation not in SCALARS and node.operation not in ARITHMETIC
        )
        return tuple(dict.fromkeys(leaves))

    @cached_property
    def buses_alone(self) -> "Table":
        """The table without its constraints and without the nodes that are only theirs."""
        needed = {node for one in self.interactions for node in (one.multiplicity, *one.elements)}
        for index in range(len(self.nodes) - 1, -1, -1):
            if index in needed and self.nodes[index].operation in ARITHMETIC:
                needed |= {self.nodes[index].a, self.nodes[index].b}
        places = {node: place for place, node in enumerate(sorted(needed))}
        nodes = (self.nodes[index] for index in places)
        return replace(
            self,
            nodes=tuple(
                Node(node.operation, places[node.a], places[node.b])
                if node.operation in ARITHMETIC
                else node
                for node in nodes
            ),
            constraints=(),
            interactions=tuple(
                Interaction(
                    one.bus, places[one.multiplicity], tuple(places[node] for node in one.elements)
                )
                for one in self.interactions
            ),
        )

    @cached_property
    def main_next(self) -> tuple[int, ...]:
        """Main columns that the nodes read in the next row, ascending."""
        return self._next_columns(Operation.MAIN)

    @cached_property
    def preprocessed_next(self) -> tuple[int, ...]:
        return self._next_columns(Operation.PREPROCESSED)

    def _next_columns(self, operation: Operation) -> tuple[int, ...]:
        return tuple(sorted({n.a for n in self.nodes if n.operation == operation and n.b == 1}))

    @property
    def auxiliary_width(self) -> int:
        """Base columns of the auxiliary matrix: five for each group and for the running sum."""
        return 5 * (len(self.groups) + 1) if self.interactions else 0


@dataclass(frozen=True)
class System:
    """The tables of a proof, the widths of the buses between them, the number of public values."""

    tables: tuple[Table, ...]
    bus_widths: tuple[int, ...]
    public_count: int
    bus_names: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def bus_name(self, bus: int) -> str:
        return self.bus_names[bus] if bus < len(self.bus_names) else f"number {bus}"

    def table(self, name: str) -> Table:
        return self.tables[self.table_number(name)]

    def table_number(self, name: str) -> int:
        for number, table in enumerate(self.tables):
            if table.name == name:
                return number
        raise KeyError(name)

    def with_table(self, changed: Table) -> "System":
        """The system with its table of the same name replaced: for tests of weakened systems."""
        number = self.table_number(changed.name)
        return replace(self, tables=(*self.tables[:number], changed, *self.tables[number + 1 :]))
