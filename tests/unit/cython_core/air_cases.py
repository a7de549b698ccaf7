"""Tables for the tests of cython_core.air, and their values by the interpreting evaluator."""

import random
import struct
from collections.abc import Sequence

from cython_core.air.evaluate import BASE, Row, Selectors, evaluate
from cython_core.air.expression import Expression
from cython_core.air.language import Bus, TableBuilder, build_system
from cython_core.air.table import MODULUS, Operation, System, Table

BLOCK_ROWS = 64
RESULTS = Bus("results", 2)
BYTES = Bus("bytes", 1)


def fibonacci(name: str = "fibonacci") -> TableBuilder:
    table = TableBuilder(name, smallest_log=1)
    a, b, is_wanted = table.main("a"), table.main("b"), table.main("is_wanted")
    table.require_boolean(is_wanted)
    table.require_first(a - table.public(0), "a starts as the statement says")
    table.require_first(b - 1, "b starts at one")
    table.require_transition(a.next - b, "a follows b")
    table.require_transition(b.next - a - b, "b is the sum of the two before it")
    table.send(RESULTS, [a, b], is_wanted)
    return table


def reader() -> TableBuilder:
    """Takes results, and says which bytes they are; with every kind of column."""
    table = TableBuilder("reader")
    x, y, count = table.main("x"), table.main("y"), table.main("count")
    row = table.preprocessed("row", range(4))
    phase = table.periodic("phase", [0, 1])
    table.receive(RESULTS, [x, y], count)
    table.send(BYTES, [row], phase)
    table.receive(BYTES, [row], phase)
    table.receive(BYTES, [x * y - x * y + row * phase], 0)
    table.require_last(count * (1 - phase), "an even row is not counted at the end")
    table.require_transition(row.next - row - 1, "rows count")
    return table


def small_system() -> System:
    return build_system([fibonacci(), reader()], [RESULTS, BYTES], public_count=1)


def fibonacci_trace(wanted: Sequence[int] = (4,)) -> list[list[int]]:
    a, b = [1], [1]
    for _ in range(7):
        a.append(b[-1])
        b.append(a[-2] + b[-1])
    return [a, b, [int(row in wanted) for row in range(8)]]


def honest_traces() -> list[list[list[int]]]:
    """The result of row 4 is read in row 1."""
    return [fibonacci_trace(), [[0, 5, 0, 0], [0, 8, 0, 0], [0, 1, 0, 0]]]


def random_table(seed: int, operations: int = 300) -> Table:
    """Nodes of all kinds, in constraints and tuples that use them more than once."""
    generator = random.Random(seed)
    table = TableBuilder(f"random {seed}", smallest_log=3)
    bus = Bus("any", 3)
    columns = table.main("c", 20)
    leaves: list[Expression] = [*columns, *(column.next for column in columns[:7])]
    leaves.append(table.preprocessed("p", range(8)))
    leaves.append(table.periodic("q", [1, 2, 3, 4]))
    leaves += [table.public(0), table.public(2), table.constant(5)]
    leaves += [table.is_first, table.is_last, table.is_transition]
    known = list(leaves)
    for _ in range(operations):
        a, b = generator.choice(known[-40:] + leaves), generator.choice(known + leaves)
        scalar = generator.choice([0, 1, 2, 2, 7, MODULUS - 1, generator.randrange(MODULUS)])
        known.append(
            generator.choice(
                [
                    lambda a=a, b=b: a + b,
                    lambda a=a, b=b: a - b,
                    lambda a=a, b=b: a * b if a.degree + b.degree <= 2 else a - b,
                    lambda a=a, scalar=scalar: a + scalar,
                    lambda a=a, scalar=scalar: scalar - a,
                    lambda a=a, scalar=scalar: a - scalar,
                    lambda a=a, scalar=scalar: a * scalar,
                    lambda a=a, b=b: a * 2 + b,
                    lambda a=a, b=b: a + a + b * 2,
                    lambda a=a: table.public(1) - a,
                    lambda a=a: a - table.public(2) * 3,
                ]
            )()
        )
    for number, expression in enumerate([*known[-90:], *leaves[:3], *leaves[-8:-6]]):
        if table._pool.nodes[expression.node].operation != Operation.CONSTANT:
            _try(lambda e=expression, n=number: table.require(e, f"rule {n}"))
    for number in range(12):
        elements = [generator.choice(known), generator.choice(leaves), number]
        _try(lambda e=elements: table.send(bus, e, generator.choice([1, leaves[0], e[1]])))
    return build_system([table], [bus], 3).tables[0]


def _try(step: object) -> None:
    """Leaves out what has too high a degree."""
    try:
        step()  # type: ignore[operator]
    except ValueError as error:
        assert "is_transition" in str(error) or "degree" in str(error)


def random_operands(table: Table, seed: int) -> list[list[int]]:
    """64 values of each operand, extremes among them."""
    generator = random.Random(seed)
    extremes = [0, 1, 2, MODULUS - 1, MODULUS - 2, (MODULUS - 1) // 2]
    return [
        [
            generator.choice(extremes) if generator.random() < 0.2 else generator.randrange(MODULUS)
            for _ in range(BLOCK_ROWS)
        ]
        for _ in table.operands
    ]


def expected_outputs(
    table: Table, operands: Sequence[Sequence[int]], publics: Sequence[int]
) -> list[list[int]]:
    """Values of the outputs by the interpreting evaluator, row by row."""
    rows = []
    for row in range(BLOCK_ROWS):
        leaves: dict[tuple[int, int, int], int] = {
            tuple(node): values[row] for node, values in zip(table.operands, operands, strict=True)
        }

        def by_column(
            operation: Operation, offset: int, leaves: dict[tuple[int, int, int], int] = leaves
        ) -> dict[int, int]:
            return {a: v for (op, a, b), v in leaves.items() if (op, b) == (operation, offset)}

        values = evaluate(
            table.nodes,
            Row(
                main=by_column(Operation.MAIN, 0),
                main_next=by_column(Operation.MAIN, 1),
                preprocessed=by_column(Operation.PREPROCESSED, 0),
                preprocessed_next=by_column(Operation.PREPROCESSED, 1),
                periodic=by_column(Operation.PERIODIC, 0),
                selectors=Selectors(
                    *(
                        leaves.get((operation, 0, 0), 0)
                        for operation in (
                            Operation.IS_FIRST,
                            Operation.IS_LAST,
                            Operation.IS_TRANSITION,
                        )
                    )
                ),
            ),
            publics,
            BASE,
        )
        rows.append([values[node] for node in table.outputs])
    return [list(column) for column in zip(*rows, strict=True)]


def pack(columns: Sequence[Sequence[int]]) -> bytes:
    words = [value for column in columns for value in column]
    return struct.pack(f"<{len(words)}I", *words)


def unpack(packed: bytes) -> list[list[int]]:
    words = struct.unpack(f"<{len(packed) // 4}I", packed)
    return [list(words[i : i + BLOCK_ROWS]) for i in range(0, len(words), BLOCK_ROWS)]
