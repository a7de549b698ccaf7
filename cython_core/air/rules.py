"""What every system must keep to for a key to be made of it: limits, ranges, degrees, groups.

The limits bound what a verifier does with a key; docs/proofs.md repeats them for both verifiers.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from cython_core.air.degrees import (
    CONSTRAINT_DEGREE_MAX,
    ELEMENT_DEGREE_MAX,
    MULTIPLICITY_DEGREE_MAX,
    Degree,
    excess,
    fits_group,
    node_degrees,
)
from cython_core.air.table import ARITHMETIC, MODULUS, Node, Operation, System, Table

BLOWUP_LOG: Final = 2
HEIGHT_LOG_MAX: Final = 22
QUERIES_MAX: Final = 256
GRINDING_MAX: Final = 32
"""Bits; 2^32 hashes take minutes."""
FOLD_LOG_MAX: Final = 4
FINAL_LOG_MAX: Final = 10
BUSES_MAX: Final = 64
BUS_WIDTH_MAX: Final = 64
PUBLICS_MAX: Final = 1024
TABLES_MAX: Final = 64
NAME_BYTES_MAX: Final = 64
WIDTH_MAX: Final = 4096
"""Of the main and of the preprocessed columns of a table."""
PERIODIC_MAX: Final = 256
PERIOD_LOG_MAX: Final = 10
NODES_MAX: Final = 1 << 18
CONSTRAINTS_MAX: Final = 1 << 16
INTERACTIONS_MAX: Final = 1 << 12
KEY_BYTES_MAX: Final = 1 << 24
assert NODES_MAX * 12 < KEY_BYTES_MAX


class InvalidKey(ValueError):
    """These bytes, or this system, are no verification key; the message says why."""


def within(what: str, value: int, least: int, greatest: int) -> None:
    if not least <= value <= greatest:
        raise InvalidKey(f"{what} is {value}, not {least} to {greatest}")


def check_system(system: System, max_height_log: int) -> None:
    """InvalidKey unless the system keeps to every rule."""
    within("number of buses", len(system.bus_widths), 0, BUSES_MAX)
    for width in system.bus_widths:
        within("width of a bus", width, 1, BUS_WIDTH_MAX)
    within("number of public values", system.public_count, 0, PUBLICS_MAX)
    within("number of tables", len(system.tables), 1, TABLES_MAX)
    names = [table.name for table in system.tables]
    if len(set(names)) != len(names):
        raise InvalidKey("two tables have one name")
    for table in system.tables:
        try:
            _check_shape(table, max_height_log)
            _check_nodes(table, system.public_count)
            _check_uses(table, system.bus_widths)
            _check_groups(table)
        except InvalidKey as error:
            raise InvalidKey(f"table {table.name!r}: {error}") from None


def _check_shape(table: Table, max_height_log: int) -> None:
    within("length of the name", len(table.name), 1, NAME_BYTES_MAX)
    if not all(" " <= character <= "~" for character in table.name):
        raise InvalidKey("the name is not of printable ASCII characters")
    within("main width", table.main_width, 1, WIDTH_MAX)
    within("preprocessed width", table.preprocessed_width, 0, WIDTH_MAX)
    within("greatest height log", table.greatest_log, 0, max_height_log)
    within("smallest height log", table.smallest_log, 0, table.greatest_log)
    if table.preprocessed_width and table.smallest_log != table.greatest_log:
        raise InvalidKey("preprocessed columns have one height")
    within("number of periodic columns", len(table.periodic), 0, PERIODIC_MAX)
    for column in table.periodic:
        period_log = len(column).bit_length() - 1
        if len(column) != 1 << max(period_log, 0):
            raise InvalidKey(f"a period of {len(column)} rows is no power of two")
        within("log of a period", period_log, 0, min(PERIOD_LOG_MAX, table.smallest_log))
        for value in column:
            within("periodic value", value, 0, MODULUS - 1)


def _check_nodes(table: Table, public_count: int) -> None:
    within("number of nodes", len(table.nodes), 0, NODES_MAX)
    for number, node in enumerate(table.nodes):
        try:
            _check_node(node, number, table, public_count)
        except InvalidKey as error:
            raise InvalidKey(f"node {number}: {error}") from None


def _check_node(node: Node, number: int, table: Table, public_count: int) -> None:
    within("operation", node.operation, 0, len(Operation) - 1)
    operation = Operation(node.operation)
    if operation in ARITHMETIC:
        within("a", node.a, 0, number - 1)
        within("b", node.b, 0, number - 1)
        return
    greatest_a = {
        Operation.CONSTANT: MODULUS - 1,
        Operation.MAIN: table.main_width - 1,
        Operation.PREPROCESSED: table.preprocessed_width - 1,
        Operation.PERIODIC: len(table.periodic) - 1,
        Operation.PUBLIC: public_count - 1,
    }.get(operation, 0)
    within("a", node.a, 0, greatest_a)
    within("b", node.b, 0, int(operation in {Operation.MAIN, Operation.PREPROCESSED}))


def _check_uses(table: Table, bus_widths: Sequence[int]) -> None:
    """What refers to nodes, and the degrees of these."""
    degrees = node_degrees(table.nodes)

    def check(what: str, node: int, greatest: Degree) -> None:
        within(f"node of {what}", node, 0, len(degrees) - 1)
        problem = excess(degrees[node], greatest)
        if problem is not None:
            raise InvalidKey(f"{what} {problem}")

    within("number of constraints", len(table.constraints), 0, CONSTRAINTS_MAX)
    for number, node in enumerate(table.constraints):
        check(f"constraint {table.labels.constraint(number)!r}", node, CONSTRAINT_DEGREE_MAX)
    within("number of interactions", len(table.interactions), 0, INTERACTIONS_MAX)
    for number, (bus, multiplicity, elements) in enumerate(table.interactions):
        name = f"interaction {table.labels.interaction(number)!r}"
        within(f"bus of {name}", bus, 0, len(bus_widths) - 1)
        within(f"width of {name}", len(elements), bus_widths[bus], bus_widths[bus])
        check(f"the multiplicity of {name}", multiplicity, MULTIPLICITY_DEGREE_MAX)
        for element in elements:
            check(f"an element of {name}", element, ELEMENT_DEGREE_MAX)


def _check_groups(table: Table) -> None:
    degrees = node_degrees(table.nodes)
    for group in table.groups:
        _check_ascending(group, len(table.interactions))
        if not fits_group([table.interactions[number] for number in group], degrees):
            raise InvalidKey(f"the degree of group {group} is above what a constraint can have")
    members = sorted(number for group in table.groups for number in group)
    if members != list(range(len(table.interactions))):
        raise InvalidKey("not every interaction is in exactly one group")


def _check_ascending(group: Iterable[int], count: int) -> None:
    before = -1
    for number in group:
        within("number of an interaction of a group", number, before + 1, count - 1)
        before = number
    if before < 0:
        raise InvalidKey("a group is empty")
