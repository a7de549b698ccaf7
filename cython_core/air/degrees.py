"""The rules of degree (docs/proofs.md, "Verification key" and "Buses").

A degree has two parts: multiples of the table's height n, and factors of is_transition, each of
which adds one to the degree in X. A constraint of degree 3 with j such factors has degree
3(n - 1) + j in X, which must stay below 3n for the quotient to fit: so j is at most 2.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from cython_core.air.table import Interaction, Node, Operation


class Degree(NamedTuple):
    columns: int
    transitions: int


CONSTRAINT_DEGREE_MAX: Final = Degree(3, 2)
ELEMENT_DEGREE_MAX: Final = Degree(2, 1)
"""Of an element of a tuple. One factor of is_transition, since a group multiplies two of them."""
MULTIPLICITY_DEGREE_MAX: Final = Degree(2, 1)
GROUP_DENOMINATOR_MAX: Final = CONSTRAINT_DEGREE_MAX.columns - 1
"""The auxiliary column multiplies the product of a group's denominators."""
GROUP_NUMERATOR_MAX: Final = CONSTRAINT_DEGREE_MAX.columns

DEGREE_CEILING: Final = 1 << 16
"""Degrees are counted up to here: a key from outside may square its way to numbers without end."""

_LEAF_DEGREES: Final = {
    Operation.CONSTANT: Degree(0, 0),
    Operation.PUBLIC: Degree(0, 0),
    Operation.MAIN: Degree(1, 0),
    Operation.PREPROCESSED: Degree(1, 0),
    Operation.PERIODIC: Degree(1, 0),
    Operation.IS_FIRST: Degree(1, 0),
    Operation.IS_LAST: Degree(1, 0),
    Operation.IS_TRANSITION: Degree(0, 1),
}


def node_degree(node: Node, earlier: Sequence[Degree]) -> Degree:
    """Degree of a node, given those of the nodes before it."""
    operation = Operation(node.operation)
    leaf = _LEAF_DEGREES.get(operation)
    if leaf is not None:
        return leaf
    a, b = earlier[node.a], earlier[node.b]
    if operation is Operation.MULTIPLY:
        return Degree(
            min(a.columns + b.columns, DEGREE_CEILING),
            min(a.transitions + b.transitions, DEGREE_CEILING),
        )
    return Degree(max(a.columns, b.columns), max(a.transitions, b.transitions))


def node_degrees(nodes: Iterable[Node]) -> list[Degree]:
    degrees: list[Degree] = []
    for node in nodes:
        degrees.append(node_degree(node, degrees))
    return degrees


def excess(degree: Degree, greatest: Degree) -> str | None:
    """What is wrong with a degree; None when it is within its bounds."""
    if degree.columns > greatest.columns:
        return f"has degree {degree.columns}, at most {greatest.columns} is possible"
    if degree.transitions > greatest.transitions:
        return (
            f"multiplies {degree.transitions} times by is_transition, "
            f"at most {greatest.transitions} is possible"
        )
    return None


def tuple_degree(interaction: Interaction, degrees: Sequence[Degree]) -> int:
    """Of the denominator: the greatest of the tuple's degrees, and at least 1."""
    return max([1, *(degrees[element].columns for element in interaction.elements)])


def fits_group(members: Sequence[Interaction], degrees: Sequence[Degree]) -> bool:
    """Whether these interactions may share an auxiliary column."""
    denominators = [tuple_degree(member, degrees) for member in members]
    product = sum(denominators)
    return product <= GROUP_DENOMINATOR_MAX and all(
        degrees[member.multiplicity].columns + product - own <= GROUP_NUMERATOR_MAX
        for member, own in zip(members, denominators, strict=True)
    )


def group_interactions(
    interactions: Sequence[Interaction], degrees: Sequence[Degree]
) -> tuple[tuple[int, ...], ...]:
    """Each interaction joins the first group that it fits, in order."""
    groups: list[list[int]] = []
    for number, interaction in enumerate(interactions):
        for group in groups:
            if fits_group([*(interactions[i] for i in group), interaction], degrees):
                group.append(number)
                break
        else:
            groups.append([number])
    return tuple(map(tuple, groups))
