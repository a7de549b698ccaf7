"""Which values a prover opens out of the domain, in which order (docs/proofs.md, step 5).

One list of blocks drives everything that goes through these values: reading them, evaluating the
constraints on them, and putting them into the DEEP quotient. A block is some columns of one matrix
at one point.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from cython_core.air.table import Table

DEGREE: Final = 5
"""Base columns of a column of the extension."""

QUOTIENT_COLUMNS: Final = 2 * DEGREE
"""Q_0 and Q_1."""


class Source(Enum):
    """The commitments, in the order in which they are opened."""

    PREPROCESSED = "preprocessed"
    MAIN = "main"
    AUXILIARY = "auxiliary"
    QUOTIENT = "quotient"


class Matrix(NamedTuple):
    """One matrix of a commitment; `table` is None for the quotient's."""

    table: int | None
    log_height: int
    width: int


class Block(NamedTuple):
    """Columns of one matrix, opened at zeta_t or at g_h zeta_t."""

    source: Source
    matrix: int
    """Place of the matrix in its commitment."""
    table: int | None
    columns: Sequence[int]
    is_next: bool


class Layout(NamedTuple):
    """The shape of everything that is committed to and opened."""

    matrices: dict[Source, list[Matrix]]
    """Heights are those of the tables; a commitment's rows are four times as many."""
    blocks: list[Block]

    def value_count(self) -> int:
        """How many extension elements are sent in step 5."""
        return sum(len(block.columns) for block in self.blocks)


def layout(tables: Sequence[Table], heights: Sequence[int]) -> Layout:
    """For tables of these heights (logs), in the order of the key."""
    matrices: dict[Source, list[Matrix]] = {source: [] for source in Source}
    blocks: list[Block] = []

    def add(source: Source, table: int | None, log_height: int, width: int) -> int:
        matrices[source].append(Matrix(table, log_height, width))
        return len(matrices[source]) - 1

    for number, (table, log) in enumerate(zip(tables, heights, strict=True)):
        for source, width, next_columns in (
            (Source.PREPROCESSED, table.preprocessed_width, table.preprocessed_next),
            (Source.MAIN, table.main_width, table.main_next),
            (Source.AUXILIARY, table.auxiliary_width, _running_sum(table)),
        ):
            if width:
                place = add(source, number, log, width)
                blocks.append(Block(source, place, number, range(width), is_next=False))
                blocks.append(Block(source, place, number, next_columns, is_next=True))
    place = add(Source.QUOTIENT, None, max(heights), QUOTIENT_COLUMNS)
    blocks.append(Block(Source.QUOTIENT, place, None, range(QUOTIENT_COLUMNS), is_next=False))
    return Layout(matrices, blocks)


def _running_sum(table: Table) -> range:
    """The five base columns of S, the last ones."""
    return range(max(0, table.auxiliary_width - DEGREE), table.auxiliary_width)
