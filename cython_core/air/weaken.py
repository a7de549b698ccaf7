"""Systems with one rule left out, for tests that show that every rule is needed."""

from dataclasses import replace
from typing import Any

from cython_core.air.degrees import group_interactions, node_degrees
from cython_core.air.table import Table


def without_constraint(table: Table, index: int) -> Table:
    """The table with one constraint left out: for tests that every constraint is needed."""
    return replace(
        table,
        constraints=_left_out(table.constraints, index),
        labels=replace(table.labels, constraints=_left_out(table.labels.constraints, index)),
    )


def without_interaction(table: Table, index: int) -> Table:
    """The table with one interaction left out, the others grouped anew."""
    interactions = _left_out(table.interactions, index)
    return replace(
        table,
        interactions=interactions,
        groups=group_interactions(interactions, node_degrees(table.nodes)),
        labels=replace(table.labels, interactions=_left_out(table.labels.interactions, index)),
    )


def _left_out(items: tuple[Any, ...], index: int) -> tuple[Any, ...]:
    return items[:index] + items[index + 1 :]
