"""The language in which constraints are written.

    table = TableBuilder("fibonacci")
    a, b, is_wanted = table.main("a"), table.main("b"), table.main("is_wanted")
    table.require_boolean(is_wanted)
    table.require_first(a - 1, "a starts at one")
    table.require_transition(a.next - b, "a follows b")
    table.require_transition(b.next - a - b, "b is the sum of the two before it")
    table.send(results, [a, b], multiplicity=is_wanted)
    system = build_system([table], buses=[results], public_count=0)

Expressions are polynomials over the columns of one table: `+`, `-` and `*` with expressions of the
same table and with integers, which are taken modulo p. Equal expressions are one node, constants
are folded and what nothing uses is dropped, so that an expression can be written wherever it is
clearest. A constraint is an expression that must vanish in every row; the degree rules are checked
where it is written, and an error names it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, overload

from cython_core.air.degrees import (
    CONSTRAINT_DEGREE_MAX,
    ELEMENT_DEGREE_MAX,
    MULTIPLICITY_DEGREE_MAX,
    Degree,
    excess,
    group_interactions,
    node_degrees,
)
from cython_core.air.expression import (
    AirError,
    Column,
    Expression,
    NodePool,
    Operand,
    powers_sum,
    reachable,
)
from cython_core.air.table import (
    MODULUS,
    Interaction,
    Labels,
    Node,
    Operation,
    System,
    Table,
)

__all__ = [
    "AirError",
    "Bus",
    "Column",
    "Expression",
    "Operand",
    "TableBuilder",
    "build_system",
    "powers_sum",
]

GREATEST_LOG: Final = 22
"""Tables have at most 2^22 rows (docs/proofs.md, "Field, domains")."""


@dataclass(frozen=True, eq=False)
class Bus:
    """Carries tuples of `width` elements between tables. Its name is for people only."""

    name: str
    width: int


class TableBuilder:
    """Collects columns, constraints and interactions of one table."""

    def __init__(self, name: str, smallest_log: int = 0, greatest_log: int = GREATEST_LOG) -> None:
        self.name = name
        self._logs = (smallest_log, greatest_log)
        self._pool = NodePool(name)
        self._main: list[str] = []
        self._preprocessed: dict[str, tuple[int, ...]] = {}
        self._periodic: dict[str, tuple[int, ...]] = {}
        self._constraints: dict[str, int] = {}
        self._interactions: dict[str, tuple[Bus, int, tuple[int, ...]]] = {}

    # Columns

    @overload
    def main(self, name: str) -> Column: ...
    @overload
    def main(self, name: str, count: int) -> list[Column]: ...
    def main(self, name: str, count: int | None = None) -> Column | list[Column]:
        """A column that the prover fills, or `count` of them: name[0], name[1], ..."""
        if count is not None:
            return [self.main(f"{name}[{index}]") for index in range(count)]
        if name in self._main:
            raise self._pool.error(f"there are two main columns {name!r}")
        self._main.append(name)
        return self._column(Node(Operation.MAIN, len(self._main) - 1), name)

    def preprocessed(self, name: str, values: Iterable[int]) -> Column:
        """A column that is part of the key. Its values fix the height of the table."""
        column = tuple(value % MODULUS for value in values)
        if name in self._preprocessed:
            raise self._pool.error(f"there are two preprocessed columns {name!r}")
        lengths = {len(other) for other in self._preprocessed.values()} | {len(column)}
        if len(lengths) != 1 or not _is_power_of_two(len(column)):
            raise self._pool.error(
                f"preprocessed column {name!r}: {len(column)} values; it takes one power of two "
                "for all preprocessed columns"
            )
        self._preprocessed[name] = column
        height_log = len(column).bit_length() - 1
        self._logs = (height_log, height_log)
        return self._column(Node(Operation.PREPROCESSED, len(self._preprocessed) - 1), name)

    def periodic(self, name: str, values: Iterable[int]) -> Expression:
        """A column that repeats these values, as many as a power of two, and costs nothing."""
        column = tuple(value % MODULUS for value in values)
        if name in self._periodic:
            raise self._pool.error(f"there are two periodic columns {name!r}")
        if not _is_power_of_two(len(column)):
            raise self._pool.error(f"periodic column {name!r}: {len(column)} is no power of two")
        self._periodic[name] = column
        return self._column(Node(Operation.PERIODIC, len(self._periodic) - 1), name)

    def _column(self, node: Node, name: str) -> Column:
        self._pool.leaf_names[node] = name
        return Column(self._pool, self._pool.number(node), name)

    def public(self, index: int) -> Expression:
        """A public value of the system, the same in every row."""
        return self._pool.intern(Node(Operation.PUBLIC, index))

    def constant(self, value: int) -> Expression:
        return self._pool.intern(Node(Operation.CONSTANT, value % MODULUS))

    @property
    def is_first(self) -> Expression:
        """Zero in all rows but the first; a factor of degree 1. Its value there is the height.

        So it says where a constraint holds, and is no multiplicity: that takes a column.
        """
        return self._pool.intern(Node(Operation.IS_FIRST))

    @property
    def is_last(self) -> Expression:
        """Zero in all rows but the last, and not one there; a factor of degree 1."""
        return self._pool.intern(Node(Operation.IS_LAST))

    @property
    def is_transition(self) -> Expression:
        """Zero in the last row and nowhere else; not one in the others. A factor without degree."""
        return self._pool.intern(Node(Operation.IS_TRANSITION))

    # Constraints

    def require(self, expression: Operand, name: str) -> None:
        """The expression vanishes in every row."""
        if not name or name in self._constraints:
            raise self._pool.error(f"each constraint has a name of its own: {name!r}")
        node = self._pool.coerce(expression)
        self._check_degree(node, CONSTRAINT_DEGREE_MAX, f"constraint {name!r}")
        if self._pool.nodes[node].operation == Operation.CONSTANT:
            raise self._pool.error(f"constraint {name!r} is the constant {expression!r}")
        self._constraints[name] = node

    def require_first(self, expression: Operand, name: str) -> None:
        """The expression vanishes in the first row."""
        self.require(self.is_first * expression, name)

    def require_last(self, expression: Operand, name: str) -> None:
        self.require(self.is_last * expression, name)

    def require_transition(self, expression: Operand, name: str) -> None:
        """The expression vanishes in every row but the last: for what speaks of the next row."""
        self.require(self.is_transition * expression, name)

    def require_boolean(self, expression: Expression, name: str | None = None) -> None:
        """The expression is zero or one in every row."""
        self.require(expression * (expression - 1), name or f"{expression!r} is boolean")

    # Buses

    def send(
        self,
        bus: Bus,
        elements: Sequence[Operand],
        multiplicity: Operand = 1,
        name: str | None = None,
    ) -> None:
        """Each row puts the tuple on the bus `multiplicity` times."""
        self._interact(bus, elements, multiplicity, name or f"send {bus.name}")

    def receive(
        self,
        bus: Bus,
        elements: Sequence[Operand],
        multiplicity: Operand = 1,
        name: str | None = None,
    ) -> None:
        """Each row takes the tuple from the bus `multiplicity` times."""
        self._interact(bus, elements, 0 - multiplicity, name or f"receive {bus.name}")

    def _interact(
        self, bus: Bus, elements: Sequence[Operand], multiplicity: Operand, name: str
    ) -> None:
        label, number = name, 2
        while label in self._interactions:
            label, number = f"{name} {number}", number + 1
        if len(elements) != bus.width:
            raise self._pool.error(
                f"{label!r}: {len(elements)} elements; bus {bus.name!r} has width {bus.width}"
            )
        nodes = tuple(self._pool.coerce(element) for element in elements)
        for position, node in enumerate(nodes):
            self._check_degree(node, ELEMENT_DEGREE_MAX, f"{label!r}: element {position}")
        count = self._pool.coerce(multiplicity)
        self._check_degree(count, MULTIPLICITY_DEGREE_MAX, f"{label!r}: the multiplicity")
        self._interactions[label] = (bus, count, nodes)

    # Result

    def build(self, buses: Sequence[Bus] = ()) -> Table:
        """The table as numbers; a bus is known by its place in `buses`."""
        bus_numbers = {bus: number for number, bus in enumerate(buses)}
        roots = list(self._constraints.values())
        for label, (bus, multiplicity, elements) in self._interactions.items():
            if bus not in bus_numbers:
                raise self._pool.error(f"{label!r}: bus {bus.name!r} is not one of the system's")
            roots += (multiplicity, *elements)
        nodes, places = reachable(self._pool.nodes, roots)
        interactions = tuple(
            Interaction(bus_numbers[bus], places[count], tuple(places[e] for e in elements))
            for bus, count, elements in self._interactions.values()
        )
        longest = max((len(column) for column in self._periodic.values()), default=1)
        smallest = max(self._logs[0], longest.bit_length() - 1)
        if smallest > self._logs[1]:
            raise self._pool.error(
                f"it has a period of {longest} rows and at most {1 << self._logs[1]} rows"
            )
        return Table(
            name=self.name,
            main_width=len(self._main),
            preprocessed_width=len(self._preprocessed),
            smallest_log=smallest,
            greatest_log=self._logs[1],
            periodic=tuple(self._periodic.values()),
            nodes=nodes,
            constraints=tuple(places[node] for node in self._constraints.values()),
            interactions=interactions,
            groups=group_interactions(interactions, node_degrees(nodes)),
            labels=Labels(
                main=tuple(self._main),
                preprocessed=tuple(self._preprocessed),
                periodic=tuple(self._periodic),
                constraints=tuple(self._constraints),
                interactions=tuple(self._interactions),
            ),
            preprocessed=tuple(self._preprocessed.values()),
        )

    def _check_degree(self, node: int, greatest: Degree, what: str) -> None:
        problem = excess(self._pool.degrees[node], greatest)
        if problem is not None:
            raise self._pool.error(f"{what} {problem}")


def build_system(
    tables: Sequence[TableBuilder], buses: Sequence[Bus] = (), public_count: int = 0
) -> System:
    """Numbers tables and buses in the given order."""
    built = tuple(table.build(buses) for table in tables)
    for table in built:
        for node in table.nodes:
            if node.operation == Operation.PUBLIC and node.a >= public_count:
                raise AirError(
                    f"table {table.name!r}: public value {node.a} of {public_count} public values"
                )
    return System(
        tables=built,
        bus_widths=tuple(bus.width for bus in buses),
        public_count=public_count,
        bus_names=tuple(bus.name for bus in buses),
    )


def _is_power_of_two(count: int) -> bool:
    return count > 0 and count & (count - 1) == 0
