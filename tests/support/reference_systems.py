"""Tiny systems for tests of provers and verifiers: keys, honest traces and public values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.support.reference_air import Air, Key, P, Parameters, Table, encode
from tests.support.reference_prover import Columns, PublicInteraction, preprocessed_root, prove

PARAMETERS = Parameters()


@dataclass(frozen=True)
class Case:
    """All that a prover needs; `prove` calls the reference prover."""

    name: str
    key: bytes
    publics: tuple[int, ...]
    mains: Sequence[Columns]
    preprocessed: Sequence[Columns]
    interactions: tuple[PublicInteraction, ...] = ()
    context: bytes = b""

    def prove(self) -> bytes:
        return prove(
            self.key,
            self.publics,
            self.mains,
            self.preprocessed,
            self.interactions,
            self.context,
        )


def fibonacci_table() -> Table:
    air = Air(Table("fibonacci", 2))
    a, b = air.main(0), air.main(1)
    air.require(
        air.first * (a - air.public(0)),
        air.first * (b - air.public(1)),
        air.transition * (air.main(0, 1) - b),
        air.transition * (air.main(1, 1) - (a + b)),
        air.last * (b - air.public(2)),
    )
    return air.table


def fibonacci_columns(first: int, second: int, log: int) -> list[list[int]]:
    a, b = [first % P], [second % P]
    for _ in range((1 << log) - 1):
        following = b[-1], (a[-1] + b[-1]) % P
        a.append(following[0])
        b.append(following[1])
    return [a, b]


def fibonacci(log: int = 4, parameters: Parameters = PARAMETERS, first: int = 1) -> Case:
    """One table, no buses, no preprocessed columns."""
    columns = fibonacci_columns(first, 1, log)
    key = Key(parameters, [], 3, [fibonacci_table()])
    publics = (first, 1, columns[1][-1])
    return Case("fibonacci", encode(key), publics, [columns], [[]], (), b"to whom it is paid")


def values_table() -> Table:
    """Values that are looked up by the rows that are marked, and sent to the public by the first.

    Selectors are not 0 and 1 on the rows, so that the first row is marked by a column.
    """
    air = Air(Table("values", 4, 0, 1))
    value, marked, first, square = (air.main(i) for i in range(4))
    even = air.periodic((1, 0))
    air.require(
        marked * (marked - 1),
        air.first * (first - 1),
        air.transition * air.main(2, 1),
        square - value * value,
        even * (marked - 1) * marked,
    )
    air.interact(0, marked, value)
    air.interact(1, first, square, value, air.public(0) + even)
    air.interact(1, 0 - marked * first, value * value, value, air.constant(9))
    return air.group((0, 1), (2,))


def range_table(log: int) -> Table:
    """All integers below 2^log, each as often as it is looked up."""
    air = Air(Table("range", 1, 2, log, log))
    number, times = air.preprocessed(0), air.main(0)
    air.require(air.transition * (air.preprocessed(0, 1) - number - 1), air.preprocessed(1) - 7)
    air.interact(0, 0 - times, number)
    return air.group((0,))


def single_table() -> Table:
    """Any height, also one row."""
    air = Air(Table("single", 1, 0, 0, 3))
    air.require(air.main(0) - air.public(1), air.first * air.last * (air.main(0) - 3))
    air.interact(1, 1, air.main(0), air.main(0), air.public(1))
    air.interact(1, 0 - air.constant(1), air.main(0), air.main(0), air.public(1))
    return air.group((1,), (0,))


def mixed(
    values_log: int = 4,
    range_log: int = 3,
    single_log: int = 0,
    parameters: Parameters = PARAMETERS,
    seed: int = 1,
) -> Case:
    """Tables of different heights, with buses, periodic and preprocessed columns, and publics."""
    count, limit = 1 << values_log, 1 << range_log
    values = [(seed + 5 * i * i) % limit for i in range(count)]
    marked = [int(i % 3 != 1) for i in range(count)]
    first = [int(i == 0) for i in range(count)]
    times = [0] * limit
    for value, is_marked in zip(values, marked, strict=True):
        times[value] += is_marked
    fixed = [list(range(limit)), [7] * limit]
    square = [value * value for value in values]
    start = values[0]
    publics = (40, 3)
    interactions = (
        PublicInteraction(1, P - 1, (start * start, start, 40 + 1)),
        PublicInteraction(1, 1, (start * start, start, 9)),
    )
    tables = [values_table(), range_table(range_log), fibonacci_table(), single_table()]
    # The last result of the sequence is then publics[1]: a table without buses among the others.
    tables[2] = replace(tables[2], constraints=tables[2].constraints[2:4])
    tables[2].nodes = [(op, min(a, 1) if op == 4 else a, b) for op, a, b in tables[2].nodes]
    preprocessed: list[Columns] = [[], fixed, [], []]
    root = preprocessed_root([columns for columns in preprocessed if columns])
    mains: list[Columns] = [
        [values, marked, first, square],
        [times],
        fibonacci_columns(seed, 2, 2),
        [[3] * (1 << single_log)],
    ]
    key = encode(Key(parameters, [1, 3], 2, tables, root))
    context = seed.to_bytes(4, "little")
    return Case("mixed", key, publics, mains, preprocessed, interactions, context)


def cases() -> list[Case]:
    return [
        fibonacci(),
        fibonacci(1, replace(PARAMETERS, final_log=3, query_grinding=0, commit_grinding=0)),
        mixed(),
        mixed(3, 5, 2, replace(PARAMETERS, fold_log=3, final_log=0)),
        mixed(2, 3, 1, replace(PARAMETERS, fold_log=1, queries=3)),
        fibonacci(0, replace(PARAMETERS, query_grinding=0)),
        fibonacci(6, replace(PARAMETERS, fold_log=4, queries=12)),
    ]
