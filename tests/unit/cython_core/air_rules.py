"""Which rules of a table rows break: all of them, where the checker stops at the first."""

from collections.abc import Sequence
from typing import NamedTuple

from cython_core.air.evaluate import Row, Selectors, evaluate, rows_arithmetic
from cython_core.air.table import Table

BLOCK = 1024


class Pair(NamedTuple):
    """A row of a table with this many rows, and the next."""

    number: int
    height: int
    cells: Sequence[int]
    following: Sequence[int]


class Put(NamedTuple):
    """What a row puts on a bus."""

    interaction: int
    bus: int
    multiplicity: int
    elements: tuple[int, ...]


class Outcome(NamedTuple):
    residuals: tuple[int, ...]
    """Of each constraint; zero where it holds."""
    puts: tuple[Put, ...]

    def broken(self, table: Table) -> set[str]:
        names = table.labels.constraints
        return {names[number] for number, value in enumerate(self.residuals) if value}


def pairs_of(rows: Sequence[Sequence[int]]) -> list[Pair]:
    height = len(rows)
    return [Pair(i, height, rows[i], rows[(i + 1) % height]) for i in range(height)]


def outcomes(table: Table, pairs: Sequence[Pair], publics: Sequence[int] = ()) -> list[Outcome]:
    """In the order of the pairs."""
    return [
        outcome
        for start in range(0, len(pairs), BLOCK)
        for outcome in _block(table, pairs[start : start + BLOCK], publics)
    ]


def _block(table: Table, pairs: Sequence[Pair], publics: Sequence[int]) -> list[Outcome]:
    # No multiplicity and no element has a selector, so only whether it is zero counts.
    row = Row(
        main=[[*column] for column in zip(*(pair.cells for pair in pairs), strict=True)],
        main_next=[[*column] for column in zip(*(pair.following for pair in pairs), strict=True)],
        periodic=[
            [column[pair.number % len(column)] for pair in pairs] for column in table.periodic
        ],
        selectors=Selectors(
            is_first=[int(pair.number == 0) for pair in pairs],
            is_last=[int(pair.number == pair.height - 1) for pair in pairs],
            is_transition=[int(pair.number != pair.height - 1) for pair in pairs],
        ),
    )
    values = evaluate(table.nodes, row, publics, rows_arithmetic(len(pairs)))
    found = []
    for index in range(len(pairs)):
        puts = tuple(
            Put(
                number,
                interaction.bus,
                values[interaction.multiplicity][index],
                tuple(values[element][index] for element in interaction.elements),
            )
            for number, interaction in enumerate(table.interactions)
            if values[interaction.multiplicity][index]
        )
        found.append(Outcome(tuple(values[node][index] for node in table.constraints), puts))
    return found
