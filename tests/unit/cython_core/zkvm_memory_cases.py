"""Tables of memory against an environment that may claim anything.

The environment stands for the rows of steps: it takes what an address holds at first and gives back
what it holds at the end, as often as a test wants. Facts are answered where they are true.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cython_core.air.check import Violation, check
from cython_core.air.evaluate import BASE, Row, Selectors, evaluate
from cython_core.air.table import MODULUS, PublicInteraction, System, Table
from cython_core.zkvm.buses import ALIGNED, BUSES, MEMORY, RANGE
from cython_core.zkvm.memory_tables import memory_table

MemoryRow = list[int]
USED, IMAGE, ABOVE, BORROW, LOW, HIGH, CLOCK, VALUE_LOW, VALUE_HIGH = range(9)
LIMBS = 1 << 16
TABLE = memory_table(range(4)).build(BUSES)
NAMES = TABLE.labels.main


def system_of(table: Table, public_count: int = 4) -> System:
    """A system of one table, on the machine's buses."""
    return System(
        (table,), tuple(b.width for b in BUSES), public_count, tuple(b.name for b in BUSES)
    )


def said(
    table: Table, rows: Sequence[Sequence[int]], publics: Sequence[int]
) -> Counter[tuple[int, ...]]:
    """(bus, elements...) that the rows put on buses, with their multiplicities."""
    tuples: Counter[tuple[int, ...]] = Counter()
    for number, row in enumerate(rows):
        following = rows[(number + 1) % len(rows)]
        leaves = Row(
            main=list(row),
            main_next={column: following[column] for column in table.main_next},
            preprocessed=[column[number] for column in table.preprocessed],
            selectors=Selectors(0, 0, 0),
        )
        values = evaluate(table.nodes, leaves, publics, BASE)
        for interaction in table.interactions:
            elements = tuple(values[element] for element in interaction.elements)
            tuples[interaction.bus, *elements] += values[interaction.multiplicity]
    return tuples


def is_fact(bus: int, elements: Sequence[int]) -> bool:
    if BUSES[bus] is RANGE:
        return elements[0] < LIMBS
    return BUSES[bus] is ALIGNED and elements[0] < LIMBS and elements[1] == elements[0] % 4


Said = tuple[int, tuple[int, ...]]
"""A tuple of the bus MEMORY, and how often it is sent."""


def opened(address: int, value: int = 0, space: int = 0) -> Said:
    """The environment takes what is there at first."""
    return -1, (space, address, 0, value % LIMBS, value // LIMBS)


def closed(address: int, clock: int, value: int, space: int = 0) -> Said:
    """The environment gives what is there at the end."""
    return 1, (space, address, clock, value % LIMBS, value // LIMBS)


def violation(
    table: Table, rows: Sequence[Sequence[int]], publics: Sequence[int], environment: Sequence[Said]
) -> str | None:
    """The rule that is broken."""
    memory = BUSES.index(MEMORY)
    interactions = [
        PublicInteraction(memory, times % MODULUS, elements) for times, elements in environment
    ]
    for (bus, *elements), times in said(table, rows, publics).items():
        if is_fact(bus, elements):
            interactions.append(PublicInteraction(bus, -times % MODULUS, tuple(elements)))
    columns = [[cell % MODULUS for cell in column] for column in zip(*rows, strict=True)]
    try:
        check(system_of(table, len(publics)), [columns], publics, interactions)
    except Violation as found:
        return found.rule
    return None


@dataclass
class Claim:
    """Rows of "memory", the image's edges, and what the environment says of addresses."""

    rows: list[MemoryRow]
    first: int
    end: int
    environment: list[Said]
    table: Table = TABLE

    @property
    def publics(self) -> list[int]:
        return [self.first % LIMBS, self.first // LIMBS, self.end % LIMBS, self.end // LIMBS]

    def violation(self) -> str | None:
        return violation(self.table, self.rows, self.publics, self.environment)


def row_of(address: int, clock: int = 0, value: int = 0, **cells: int) -> MemoryRow:
    """A row in use."""
    row = [1, 0, 0, 0, address % LIMBS, address // LIMBS, clock, value % LIMBS, value // LIMBS]
    return changed(row, **cells)


def changed(row: MemoryRow, **cells: int) -> MemoryRow:
    """A copy with other cells; spaces in names are written _."""
    names = [name.replace(" ", "_") for name in NAMES]
    copy = list(row)
    for name, cell in cells.items():
        copy[names.index(name)] = cell
    return copy


PADDING = changed([0] * 9, is_above=1)


def compared(rows: Sequence[MemoryRow], end: int) -> list[MemoryRow]:
    """The rows with their borrows."""
    made = [list(row) for row in rows]
    for here, following in pairwise(made):
        least = end % LIMBS if here[IMAGE] else here[LOW] + 1
        if here[USED] and following[USED]:
            here[BORROW] = int(following[LOW] < least)
    return made


def padded(rows: Sequence[MemoryRow]) -> list[MemoryRow]:
    height = 1 << len(rows).bit_length()
    return [*rows, *([PADDING] * (height - len(rows)))]


def honest_rows(touched: Sequence[tuple[int, int, int]], first: int, end: int) -> list[MemoryRow]:
    """The rows in use for words as address, clock and value, addresses of words ascending."""
    below = [row_of(*word) for word in touched if word[0] < first]
    above = [row_of(*word, is_above=1) for word in touched if word[0] >= end]
    return compared([*below, row_of(first, is_image=1), *above], end)


def honest(touched: Sequence[tuple[int, int, int]], first: int, end: int) -> Claim:
    outside = [word for word in touched if not first <= word[0] < end]
    environment = [opened(word[0]) for word in outside] + [closed(*word) for word in outside]
    return Claim(padded(honest_rows(touched, first, end)), first, end, environment)


def changes(
    rows: Sequence[Sequence[int]], delta: int
) -> Iterator[tuple[int, int, list[list[int]]]]:
    """Row, column, and all rows with that cell changed."""
    for row, cells in enumerate(rows):
        for column in range(len(cells)):
            copy = [list(other) for other in rows]
            copy[row][column] = (copy[row][column] + delta) % MODULUS
            yield row, column, copy
