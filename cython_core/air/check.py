"""Checks traces against a system in plain Python, and says what is wrong with them.

For those who write tables and traces: a violation names the table, the row, the constraint and the
values it read, or the tuple of a bus that does not balance and who put it there. Selectors have the
values that the prover gives them, so that misuse of one (as a multiplicity) is found here.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from cython_core.air.evaluate import Row, Selectors, evaluate, rows_arithmetic
from cython_core.air.table import (
    ARITHMETIC,
    MODULUS,
    Node,
    Operation,
    PublicInteraction,
    System,
    Table,
)

BLOCK_ROWS: Final = 512
"""Rows that are evaluated at once: bounds the memory that a wide table takes."""
CONTRIBUTORS_SHOWN: Final = 6
GENERATOR: Final = 3
"""Of the multiplicative group of the field."""

Trace = Sequence[Sequence[int]]
"""The main columns of a table, from the first to the last."""


class MatrixLike(Protocol):
    """What is asked of a Matrix of cython_core.field."""

    @property
    def width(self) -> int: ...
    def column(self, column: int, /) -> list[int]: ...


class Violation(Exception):
    """A trace does not satisfy its system."""

    def __init__(self, message: str, *, table: str = "", row: int = -1, rule: str = "") -> None:
        super().__init__(message)
        self.table = table
        self.row = row
        self.rule = rule
        """Name of the constraint or of the bus."""


class Contribution(NamedTuple):
    bus: int
    elements: tuple[int, ...]
    multiplicity: int
    source: str
    row: int


def check(
    system: System,
    traces: Sequence[Trace | MatrixLike],
    publics: Sequence[int] = (),
    public_interactions: Sequence[PublicInteraction] = (),
) -> None:
    """Returns when the traces satisfy the system. Violation otherwise."""
    if len(traces) != len(system.tables):
        raise Violation(f"{len(traces)} traces; the system has {len(system.tables)} tables")
    if len(publics) != system.public_count:
        raise Violation(f"{len(publics)} public values; the system has {system.public_count}")
    columns = [_columns(trace) for trace in traces]
    balances: dict[int, dict[tuple[int, ...], int]] = defaultdict(lambda: defaultdict(int))
    for interaction in public_interactions:
        balances[interaction.bus][tuple(interaction.elements)] += interaction.multiplicity
    for table, trace in zip(system.tables, columns, strict=True):
        _check_shape(table, trace)
        for start, values in _blocks(table, trace, publics):
            _check_constraints(table, start, values)
            for put in _contributions(table, start, values):
                balances[put.bus][put.elements] += put.multiplicity
    for bus, tuples in sorted(balances.items()):
        for elements, balance in tuples.items():
            if balance % MODULUS:
                contributions = (
                    put
                    for table, trace in zip(system.tables, columns, strict=True)
                    for start, values in _blocks(table, trace, publics)
                    for put in _contributions(table, start, values)
                    if put.bus == bus and put.elements == elements
                )
                public = [p for p in public_interactions if (p.bus, p.elements) == (bus, elements)]
                raise _imbalance(system, bus, elements, balance, [*contributions], public)


def _columns(trace: Trace | MatrixLike) -> Trace:
    if isinstance(trace, Sequence):
        return trace
    return [trace.column(number) for number in range(trace.width)]


def _check_shape(table: Table, trace: Trace) -> None:
    def violation(message: str) -> Violation:
        return Violation(f"table {table.name!r}: {message}", table=table.name)

    if len(trace) != table.main_width:
        raise violation(f"{len(trace)} columns, not {table.main_width}")
    height = len(trace[0])
    for number, column in enumerate(trace):
        if len(column) != height:
            raise violation(f"column {number} has {len(column)} rows, the first has {height}")
        if min(column, default=0) < 0 or max(column, default=0) >= MODULUS:
            raise violation(f"column {number} has a value that is not 0 to p - 1")
    smallest, greatest = 1 << table.smallest_log, 1 << table.greatest_log
    if height & (height - 1) or not smallest <= height <= greatest:
        raise violation(f"{height} rows, not a power of two from {smallest} to {greatest}")
    if len(table.preprocessed) != table.preprocessed_width:
        raise violation("the values of its preprocessed columns are not known")


def _blocks(
    table: Table, trace: Trace, publics: Sequence[int]
) -> Iterator[tuple[int, list[list[int]]]]:
    """First row and values of all nodes, for BLOCK_ROWS rows at a time."""
    height = len(trace[0])
    root = pow(GENERATOR, (MODULUS - 1) // height, MODULUS)
    for start in range(0, height, BLOCK_ROWS):
        rows = range(start, min(start + BLOCK_ROWS, height))
        following = [(row + 1) % height for row in rows]
        block = Row(
            main=[[column[row] for row in rows] for column in trace],
            main_next={c: [trace[c][row] for row in following] for c in table.main_next},
            preprocessed=[[column[row] for row in rows] for column in table.preprocessed],
            preprocessed_next={
                c: [table.preprocessed[c][row] for row in following]
                for c in table.preprocessed_next
            },
            periodic=[[column[row % len(column)] for row in rows] for column in table.periodic],
            selectors=_selectors(rows, height, root),
        )
        yield start, evaluate(table.nodes, block, publics, rows_arithmetic(len(rows)))


def _selectors(rows: range, height: int, root: int) -> Selectors[list[int]]:
    """At x = root^row: (x^n - 1) / (x - 1), (x^n - 1) / (x - root^-1) and x - root^-1."""
    last_point = pow(root, -1, MODULUS)
    first_value, last_value = height, height * root % MODULUS
    point = pow(root, rows.start, MODULUS)
    transition = []
    for _ in rows:
        transition.append((point - last_point) % MODULUS)
        point = point * root % MODULUS
    return Selectors(
        is_first=[first_value if row == 0 else 0 for row in rows],
        is_last=[last_value if row == height - 1 else 0 for row in rows],
        is_transition=transition,
    )


def _check_constraints(table: Table, start: int, values: list[list[int]]) -> None:
    """Violation of the first row in which a constraint fails, for the first that does."""
    failures = [
        (next(offset for offset, value in enumerate(values[node]) if value), number)
        for number, node in enumerate(table.constraints)
        if any(values[node])
    ]
    if failures:
        offset, number = min(failures)
        name, row = table.labels.constraint(number), start + offset
        node = table.constraints[number]
        read = ", ".join(
            f"{_leaf_name(table, table.nodes[leaf])} = {values[leaf][offset]}"
            for leaf in _leaves(table, node)
        )
        raise Violation(
            f"table {table.name!r}, row {row}: constraint {name!r} is {values[node][offset]}, "
            f"not 0, with {read}",
            table=table.name,
            row=row,
            rule=name,
        )


def _leaves(table: Table, root: int) -> list[int]:
    """Nodes of columns, periodic columns and public values that a node depends on, ascending."""
    shown = {Operation.MAIN, Operation.PREPROCESSED, Operation.PERIODIC, Operation.PUBLIC}
    seen, waiting = {root}, [root]
    while waiting:
        node = table.nodes[waiting.pop()]
        if node.operation in ARITHMETIC:
            new = {node.a, node.b} - seen
            seen |= new
            waiting += new
    return [number for number in sorted(seen) if table.nodes[number].operation in shown]


def _leaf_name(table: Table, node: Node) -> str:
    names: dict[int, tuple[str, ...]] = {
        Operation.MAIN: table.labels.main,
        Operation.PREPROCESSED: table.labels.preprocessed,
        Operation.PERIODIC: table.labels.periodic,
    }
    known = names.get(node.operation, ())
    name = known[node.a] if node.a < len(known) else f"{Operation(node.operation).name} {node.a}"
    return f"{name}.next" if node.b else name


def _contributions(table: Table, start: int, values: list[list[int]]) -> Iterator[Contribution]:
    for number, interaction in enumerate(table.interactions):
        tuples = zip(*(values[element] for element in interaction.elements), strict=True)
        source = f"table {table.name!r}, {table.labels.interaction(number)!r}"
        multiplicities = values[interaction.multiplicity]
        for offset, (multiplicity, elements) in enumerate(zip(multiplicities, tuples, strict=True)):
            if multiplicity:
                yield Contribution(interaction.bus, elements, multiplicity, source, start + offset)


def _signed(multiplicity: int) -> int:
    multiplicity %= MODULUS
    return multiplicity - MODULUS if multiplicity > MODULUS // 2 else multiplicity


def _imbalance(
    system: System,
    bus: int,
    elements: tuple[int, ...],
    balance: int,
    contributions: Sequence[Contribution],
    public: Sequence[PublicInteraction],
) -> Violation:
    sources = [f"the statement {_signed(p.multiplicity):+d}" for p in public] + [
        f"{put.source}, row {put.row}: {_signed(put.multiplicity):+d}" for put in contributions
    ]
    more = len(sources) - CONTRIBUTORS_SHOWN
    shown = "; ".join(sources[:CONTRIBUTORS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return Violation(
        f"bus {system.bus_name(bus)!r}: {elements} is left with {_signed(balance):+d} ({shown})",
        rule=system.bus_name(bus),
    )
