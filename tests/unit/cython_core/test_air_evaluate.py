"""The evaluator gives the same values over every arithmetic."""

import random

import pytest

from cython_core.air.evaluate import (
    BASE,
    Arithmetic,
    Element,
    Row,
    Selectors,
    evaluate,
    rows_arithmetic,
)
from cython_core.air.table import MODULUS
from cython_core.field import _reference as field
from tests.unit.cython_core.air_cases import random_table

Extension = tuple[int, int, int, int, int]


def embedded(value: int) -> Extension:
    return (value, 0, 0, 0, 0)


EXTENSION = Arithmetic[Extension](
    add=field.xadd, subtract=field.xsub, multiply=field.xmul, constant=embedded
)


def leaves(elements: list[Element]) -> Row[Element]:
    """The first elements as the leaves of a random table."""
    return Row(
        main=elements[:20],
        main_next=dict(enumerate(elements[20:27])),
        preprocessed=elements[27:28],
        periodic=elements[28:29],
        selectors=Selectors(*elements[29:32]),
    )


@pytest.mark.parametrize("seed", range(3))
def test_all_arithmetics_agree(seed: int) -> None:
    table = random_table(seed)
    generator = random.Random(seed)
    rows = [[generator.randrange(MODULUS) for _ in range(32)] for _ in range(3)]
    publics = [1, 2, MODULUS - 3]
    by_row = [evaluate(table.nodes, leaves(row), publics, BASE) for row in rows]
    columns = [list(column) for column in zip(*rows, strict=True)]
    at_once = evaluate(table.nodes, leaves(columns), publics, rows_arithmetic(3))
    assert at_once == [list(values) for values in zip(*by_row, strict=True)]
    extended = evaluate(table.nodes, leaves([*map(embedded, rows[0])]), publics, EXTENSION)
    assert extended == [*map(embedded, by_row[0])]
    assert len(set(by_row[0])) > len(table.nodes) // 2


def test_the_extension_is_more_than_its_base() -> None:
    """Products of proper elements of the extension reduce by its polynomial: X^4 * X = 1 - X^2."""
    table = random_table(0)
    generator = random.Random(1)
    elements = [tuple(generator.randrange(MODULUS) for _ in range(5)) for _ in range(32)]
    values = evaluate(table.nodes, leaves(elements), [1, 2, 3], EXTENSION)
    node = next(n for n in range(len(values)) if table.nodes[n].operation == 10)
    a, b = table.nodes[node].a, table.nodes[node].b
    assert values[node] == field.xmul(values[a], values[b])
    assert field.xmul((0, 0, 0, 0, 1), (0, 1, 0, 0, 0)) == (1, 0, MODULUS - 1, 0, 0)
