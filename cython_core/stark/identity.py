"""The left side of the identity at the out-of-domain point: all constraints of a table, combined.

docs/proofs.md, step 5. Columns come as their values at zeta_t and g_h zeta_t; everything is an
element of the extension. The nodes of the key are evaluated one after the other, without recursion.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cython_core.air.table import Operation, Table
from cython_core.field._reference import (
    XONE,
    XZERO,
    Extension,
    P,
    inverse,
    root,
    xadd,
    xinverse,
    xmul,
    xpower,
    xscale,
    xsub,
)

X: Extension = (0, 1, 0, 0, 0)
"""The element that generates the extension."""


@dataclass(frozen=True, slots=True)
class BusChallenges:
    """gamma, and alpha_0 ... alpha_W."""

    gamma: Extension
    alphas: Sequence[Extension]

    def denominator(self, bus: int, elements: Sequence[Extension]) -> Extension:
        """d of docs/proofs.md, "Buses"."""
        total = xadd(self.gamma, xscale(self.alphas[0], bus + 1))
        for alpha, element in zip(self.alphas[1:], elements, strict=False):
            total = xadd(total, xmul(alpha, element))
        return total


@dataclass(frozen=True, slots=True)
class TableValues:
    """Opened values of one table; those at the next row by column."""

    main: Sequence[Extension]
    main_next: Mapping[int, Extension]
    preprocessed: Sequence[Extension]
    preprocessed_next: Mapping[int, Extension]
    auxiliary: Sequence[Extension]
    """Five for each group, then five for S."""
    sum_next: Sequence[Extension]
    terminal: Extension


@dataclass(frozen=True, slots=True)
class Point:
    """zeta_t, and the selectors there."""

    x: Extension
    log_height: int
    is_first: Extension
    is_last: Extension
    is_transition: Extension


def point_of(zeta: Extension, log_height: int, greatest_log: int) -> Point:
    """zeta must lie outside of the domain: the selectors divide by x - 1 and x - g_h^-1."""
    x = xpower(zeta, 1 << (greatest_log - log_height))
    vanishing = xsub(xpower(zeta, 1 << greatest_log), XONE)
    last = (inverse(root(log_height)), 0, 0, 0, 0)
    transition = xsub(x, last)
    return Point(
        x,
        log_height,
        is_first=xmul(vanishing, xinverse(xsub(x, XONE))),
        is_last=xmul(vanishing, xinverse(transition)),
        is_transition=transition,
    )


def compose(values: Sequence[Extension]) -> Extension:
    """y = sum X^i y_i: the value of a column of the extension from those of its base columns."""
    total = XZERO
    for value in reversed(values):
        total = xadd(xmul(total, X), value)
    return total


def constraint_count(table: Table) -> int:
    """How many coefficients step 4 draws for a table."""
    return len(table.constraints) + (len(table.groups) + 3 if table.interactions else 0)


def combination(
    table: Table,
    point: Point,
    values: TableValues,
    publics: Sequence[int],
    challenges: BusChallenges,
    coefficients: Sequence[Extension],
) -> Extension:
    """C_t at zeta_t."""
    nodes = _evaluate_nodes(table, point, values, publics)
    total = XZERO
    constraints = _all_constraints(table, point, values, challenges, nodes)
    for coefficient, constraint in zip(coefficients, constraints, strict=True):
        total = xadd(total, xmul(coefficient, constraint))
    return total


def _all_constraints(
    table: Table,
    point: Point,
    values: TableValues,
    challenges: BusChallenges,
    nodes: Sequence[Extension],
) -> Iterator[Extension]:
    """The table's own, then its groups, then first, transition and last of S."""
    for constraint in table.constraints:
        yield nodes[constraint]
    if not table.interactions:
        return
    phis = XZERO
    for number, group in enumerate(table.groups):
        phi = compose(values.auxiliary[5 * number : 5 * number + 5])
        phis = xadd(phis, phi)
        yield _group_constraint(table, group, phi, challenges, nodes)
    now = compose(values.auxiliary[-5:])
    after = compose(values.sum_next)
    yield xmul(point.is_first, now)
    yield xmul(point.is_transition, xsub(xsub(after, now), phis))
    yield xmul(point.is_last, xsub(xadd(now, phis), values.terminal))


def _group_constraint(
    table: Table,
    group: Sequence[int],
    phi: Extension,
    challenges: BusChallenges,
    nodes: Sequence[Extension],
) -> Extension:
    """phi prod d_i - sum_i m_i prod_{j != i} d_j."""
    product, numerator = XONE, XZERO
    for member in group:
        bus, multiplicity, elements = table.interactions[member]
        denominator = challenges.denominator(bus, [nodes[element] for element in elements])
        # (n / p) + (m / d) = (n d + m p) / (p d)
        numerator = xadd(xmul(numerator, denominator), xmul(nodes[multiplicity], product))
        product = xmul(product, denominator)
    return xsub(xmul(phi, product), numerator)


def _evaluate_nodes(
    table: Table, point: Point, values: TableValues, publics: Sequence[int]
) -> list[Extension]:
    periodic = [_periodic_value(column, point) for column in table.periodic]
    nodes: list[Extension] = []
    for operation, a, b in table.nodes:
        if operation == Operation.MULTIPLY:
            node = xmul(nodes[a], nodes[b])
        elif operation == Operation.ADD:
            node = xadd(nodes[a], nodes[b])
        elif operation == Operation.SUBTRACT:
            node = xsub(nodes[a], nodes[b])
        elif operation == Operation.MAIN:
            node = values.main_next[a] if b else values.main[a]
        elif operation == Operation.PREPROCESSED:
            node = values.preprocessed_next[a] if b else values.preprocessed[a]
        elif operation == Operation.CONSTANT:
            node = (a, 0, 0, 0, 0)
        elif operation == Operation.PUBLIC:
            node = (publics[a], 0, 0, 0, 0)
        elif operation == Operation.PERIODIC:
            node = periodic[a]
        else:
            node = _selector(operation, point)
        nodes.append(node)
    return nodes


def _selector(operation: int, point: Point) -> Extension:
    if operation == Operation.IS_FIRST:
        return point.is_first
    return point.is_last if operation == Operation.IS_LAST else point.is_transition


def _periodic_value(column: Sequence[int], point: Point) -> Extension:
    """The interpolation of a period of 2^m values over g_m, at x^(n / 2^m), by Lagrange.

    sum_i v_i g^i (z^(2^m) - 1) / (2^m (z - g^i)); z is in no subgroup of the domain.
    """
    log = len(column).bit_length() - 1
    z = xpower(point.x, 1 << (point.log_height - log))
    vanishing = xsub(xpower(z, len(column)), XONE)
    generator, power, total = root(log), 1, XZERO
    for value in column:
        if value:
            term = xinverse(xsub(z, (power, 0, 0, 0, 0)))
            total = xadd(total, xscale(term, value * power % P))
        power = power * generator % P
    return xscale(xmul(vanishing, total), inverse(len(column)))
