"""The tables of facts and of the program: they hold what they should, and nothing else."""

import random
import struct
from collections.abc import Mapping
from itertools import pairwise

import pytest

from cython_core.air.check import Violation, check
from cython_core.air.language import Bus
from cython_core.air.table import MODULUS, PublicInteraction, System, Table
from cython_core.vm.decoder import Entry
from cython_core.vm.operations import DUP, Op
from cython_core.vm.program import ENTRIES_PER_BLOCK, Program
from cython_core.zkvm.buses import (
    ALIGNED,
    BUSES,
    CONJUNCTION,
    FACTS_LOG,
    PAIR,
    PROGRAM,
    PROGRAM_FIELDS,
    RANGE,
)
from cython_core.zkvm.facts import KINDS, facts_table
from cython_core.zkvm.program_table import entries_of, fields_of, program_table
from cython_core.zkvm.row_chips import ROW_CHIPS
from cython_core.zkvm.run_trace import facts_trace, new_sorter, places_of, program_trace
from tests.unit.cython_core.vm_programs import HALT, immediate, program_of, register

SMALL = 4
"""Log of a table of facts about 4 bits: bytes have 2."""
TABLE = facts_table(SMALL).build(BUSES)
Asked = Mapping[tuple[Bus, tuple[int, ...]], int]


class Counts:
    """Counters as bytes."""

    def __init__(self, log: int, **places: list[int]) -> None:
        self._log = log
        self._places = places

    def column(self, kind: str, /) -> bytes:
        counts = [0] * (1 << self._log)
        for place in self._places.get(kind, []):
            counts[place] += 1
        return struct.pack(f"={1 << self._log}I", *counts)


def broken(table: Table, columns: list[list[int]], asked: Asked) -> str | None:
    """The rule that is broken when others receive what is asked."""
    widths, names = zip(*((bus.width, bus.name) for bus in BUSES), strict=True)
    interactions = [
        PublicInteraction(BUSES.index(bus), -times % MODULUS, elements)
        for (bus, elements), times in asked.items()
    ]
    try:
        check(System((table,), widths, 0, names), [columns], [], interactions)
    except Violation as found:
        return found.rule
    return None


def test_facts_of_four_bits_one_by_one() -> None:
    for x in (-1, 0, 1, 2, 3, 4, 5, 14, 15, 16):
        for y in (-1, 0, 1, 2, 3, 4):
            asked = {(RANGE, (x,)): 1, (PAIR, (x, y)): 2, (ALIGNED, (x, y)): 1}
            for bus, elements in asked:
                true = {
                    RANGE: 0 <= x < 16,
                    PAIR: 0 <= x < 4 and 0 <= y < 4,
                    ALIGNED: 0 <= x < 16 and y == x % 4,
                }[bus]
                place = x + 4 * y if bus is PAIR else x
                counts = Counts(SMALL, **{bus.name: [place] if 0 <= place < 16 else []})
                matrix = facts_trace([counts], SMALL)
                columns = [matrix.column(number) for number in range(matrix.width)]
                in_field = tuple(element % MODULUS for element in elements)
                assert (broken(TABLE, columns, {(bus, in_field): 1}) is None) == true


def test_conjunctions() -> None:
    for x in range(4):
        for y in range(4):
            matrix = facts_trace([Counts(SMALL, conjunction=[x + 4 * y])], SMALL)
            columns = [matrix.column(number) for number in range(matrix.width)]
            for z in range(4):
                asked: dict[tuple[Bus, tuple[int, ...]], int] = {(CONJUNCTION, (x, y, z)): 1}
                assert (broken(TABLE, columns, asked) is None) == (z == x & y)


def test_facts_of_sixteen_bits() -> None:
    x, y, both, place = facts_table().build(BUSES).preprocessed
    numbers = range(1 << FACTS_LOG)
    assert x == tuple(number % 256 for number in numbers)
    assert y == tuple(number // 256 for number in numbers)
    assert both == tuple(a & b for a, b in zip(x, y, strict=True))
    assert place == tuple(number % 4 for number in numbers)


def test_counters_are_added_up() -> None:
    one = Counts(SMALL, range=[1, 1, 15], aligned=[8])
    other = Counts(SMALL, range=[1], pair=[3], conjunction=[0])
    matrix = facts_trace([one, other], SMALL)
    assert matrix.width == len(KINDS)
    assert matrix.column(0) == [0, 3, *[0] * 13, 1]
    assert [sum(matrix.column(number)) for number in range(4)] == [4, 1, 1, 1]
    with pytest.raises(ValueError, match="the counter 'range' has 1024 bytes, not 64"):
        facts_trace([Counts(8)], SMALL)


def test_each_multiplicity_matters() -> None:
    counts = Counts(SMALL, range=[1, 1, 15], pair=[6], conjunction=[15], aligned=[7])
    asked = {(RANGE, (1,)): 2, (RANGE, (15,)): 1, (PAIR, (2, 1)): 1, (CONJUNCTION, (3, 3, 3)): 1,
             (ALIGNED, (7, 3)): 1}  # fmt: skip
    matrix = facts_trace([counts], SMALL)
    columns = [matrix.column(number) for number in range(matrix.width)]
    assert broken(TABLE, columns, asked) is None
    for number, column in enumerate(columns):
        for row in range(len(column)):
            copy = [list(other) for other in columns]
            copy[number][row] = (copy[number][row] + 1) % MODULUS
            assert broken(TABLE, copy, asked) == KINDS[number]


# The program's table


def made_of(*entries: Entry, base: int = 0x1000) -> Program:
    rom = b"".join(entry.encode() for entry in entries)
    return Program(base, base, rom, 0x20000, b"")


SIX = program_of(
    register("add", 5, 5, 5),
    register("xor", 6, 5, 6),
    immediate("addi", 0, 0, -1),
    0,
    register("sub", 7, 5, 6),
    HALT,
    0,
    0,
    0,
)


def test_fields_of_entries() -> None:
    columns = program_table(SIX).build(BUSES).preprocessed
    assert len(columns) == len(PROGRAM_FIELDS)
    rows = list(zip(*columns, strict=True))
    assert rows == [
        (0x400, Op.ADD, 1, 5, 5, 0, 0, 0, 1, 0, 1, 1, 0),
        (0x401, Op.XOR, 0, 6, 5, 6, 0, 0, 1, 1, 1, 0, 1),
        (0x402, Op.ADD, 0, 0, 0, 0, 0xFFFF, 0xFFFF, 0, 0, 0, 0, 0),
        (0x403, Op.ILL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (0x404, Op.SUB, 0, 7, 5, 6, 0, 0, 1, 1, 1, 0, 0),
        (0x405, Op.HALT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        *[(0,) * 13] * 2,
    ]


def test_no_chip_accepts_what_is_no_operation() -> None:
    accepted = [op for chip in ROW_CHIPS for op, _ in chip.accepts]
    assert not {Op.ILL, Op.PAD} & {*accepted}
    assert all(place % 128 in set(Op) for chip in ROW_CHIPS for place in places_of(chip))


def test_entries_are_sent_as_often_as_they_are_taken() -> None:
    table = program_table(SIX).build(BUSES)
    times = [3, 0, 1, 0, 0, 1, 0, 0, 0]
    matrix = program_trace(SIX, struct.pack("=9I", *times))
    columns = [matrix.column(0)]
    assert columns == [[*times[:6], 0, 0]]
    asked = {
        (PROGRAM, fields_of(0x400 + place, SIX.entries[place])): count
        for place, count in enumerate(times)
        if count
    }
    assert broken(table, columns, asked) is None
    for row in range(8):
        copy = [list(columns[0])]
        copy[0][row] += 1
        assert broken(table, copy, asked) == "program"
    with pytest.raises(struct.error):
        program_trace(SIX, bytes(4))


def test_empty_entries_at_the_end_are_left_out_like_in_the_root() -> None:
    short = program_of(HALT)
    long = program_of(HALT, *[0] * (ENTRIES_PER_BLOCK - 1))
    assert short.root == long.root
    assert entries_of(short) == entries_of(long) == short.entries
    assert len(entries_of(program_of(0, 0))) == 1


HALTS = Entry(Op.HALT, 0, 0, 0, 0)


def test_code_above_2_31_is_refused() -> None:
    assert entries_of(made_of(HALTS, base=(1 << 31) - 4)) == (HALTS,)
    with pytest.raises(ValueError, match="its code ends at 0x80000004; runs are proven of code "
                                         "below 0x80000000"):  # fmt: skip
        entries_of(made_of(HALTS, base=1 << 31))


def test_a_misaligned_target_must_not_be_taken_for_an_instruction() -> None:
    for multiple in range(3):
        for op in (Op.JAL, Op.BEQ, Op.BGEU):
            target = 0x1004 + multiple * MODULUS
            if target >> 32:
                continue
            entries = (Entry(op, 0, 0, 0, target), HALTS)
            if target % 4 == 0:
                assert entries_of(made_of(*entries)) == entries
                continue
            with pytest.raises(ValueError, match=f"the target {target:#x} at 0x1000 is no address"):
                entries_of(made_of(*entries))
    for target in (0x1002, 0x1001, 0x1003, 0x0FFC, 0x0FFC + MODULUS, 0x1008 + MODULUS):
        assert entries_of(made_of(Entry(Op.BNE, 0, 0, 0, target), HALTS))
    # As an operand it means nothing.
    assert entries_of(made_of(Entry(Op.ADD, 1, 0, 0, 0x1004 + MODULUS), HALTS))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(Entry(Op.ADD, 1, 2, 3, 4), id="two second operands"),
        pytest.param(Entry(Op.ADD | DUP, 1, 2, 0, 4), id="dup and an immediate"),
        pytest.param(Entry(Op.XOR | DUP, 1, 2, 3, 0), id="dup and a register"),
        pytest.param(Entry(Op.SW, 0, 2, 2, 0), id="one register as two sources"),
        pytest.param(Entry(Op.MULP, 0, 2, 0, 0), id="a wide step at x0"),
        pytest.param(Entry(Op.B3, 1, 2, 3, 27), id="a wide step with a destination"),
        pytest.param(Entry(Op.B3, 0, 2, 3, 0x7F0B), id="flags above a byte"),
        pytest.param(Entry(Op.B3, 0, 2, 3, 0x1000B), id="flags above a limb"),
    ],
)
def test_entries_that_no_decoder_makes_are_refused(entry: Entry) -> None:
    with pytest.raises(ValueError, match="the entry at 0x1000 is none that the decoder makes"):
        entries_of(made_of(entry, HALTS))
    assert entries_of(made_of(Entry(Op.SW, 0, 2, 3, 4), HALTS))


def test_what_the_decoder_writes_is_never_refused() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    kinds = (0x63, 0x6F, 0x33, 0x13, 0x23, 0x03, 0x67, 0x37, 0x17, 0x0B)
    words = [rng.choice(kinds) | rng.getrandbits(25) << 7 for _ in range(1 << 12)]
    assert len(entries_of(program_of(*words, HALT))) == len(words) + 1


def test_chips_share_nothing() -> None:
    accepted = sorted(place for chip in ROW_CHIPS for place in places_of(chip))
    assert all(one < other for one, other in pairwise(accepted))
    assert new_sorter(SIX).clock == 0
