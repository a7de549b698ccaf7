"""The table "facts": everything about 16 bits that other tables ask for (zkvm/buses.py).

Row r speaks of r itself, of its bytes x = r mod 2^8 and y, and of r mod 4. All of it is part of the
key; the prover says only how often each fact is asked for. A multiplicity may be any element: more
or fewer facts than there are receivers leave the bus unbalanced, and what is no fact is in no row.
"""

from typing import Final

from cython_core.air.language import TableBuilder
from cython_core.zkvm.buses import ALIGNED, CONJUNCTION, FACTS_LOG, PAIR, RANGE

KINDS: Final = ("range", "pair", "conjunction", "aligned")
"""Counters in the order of the table's columns; at x for `range` and `aligned`, else x + 256 y."""


def facts_table(log: int = FACTS_LOG) -> TableBuilder:
    """`log` is even; one below 16 gives a table of fewer facts, for tests."""
    table = TableBuilder("facts")
    half = log // 2
    numbers = range(1 << log)
    x = table.preprocessed("x", [number & (1 << half) - 1 for number in numbers])
    y = table.preprocessed("y", [number >> half for number in numbers])
    both = table.preprocessed("x & y", [number & number >> half for number in numbers])
    place = table.preprocessed("number mod 4", [number & 3 for number in numbers])
    number = x + y * (1 << half)
    times = {kind: table.main(f"{kind} times") for kind in KINDS}
    table.send(RANGE, [number], times["range"])
    table.send(PAIR, [x, y], times["pair"])
    table.send(CONJUNCTION, [x, y, both], times["conjunction"])
    table.send(ALIGNED, [number, place], times["aligned"])
    return table
