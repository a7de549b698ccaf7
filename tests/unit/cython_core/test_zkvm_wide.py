"""The chip of B3: honest steps, single cells, misplaced operands, regions that meet."""

import random
import struct

import pytest

from cython_core.air.table import MODULUS
from cython_core.chips._blake3_trace import REQUEST_BYTES
from cython_core.vm.operations import Op
from cython_core.vm.wide import compress
from cython_core.zkvm import _fill
from cython_core.zkvm.buses import BUSES, MEMORY
from cython_core.zkvm.fill_code import filled
from cython_core.zkvm.wide import hash_requests
from tests.unit.cython_core.vm_programs import (
    HALT,
    IMAGE_BASE,
    LEFT,
    RIGHT,
    b3,
    program_of,
    set_register,
    show,
)
from tests.unit.cython_core.zkvm_cases import TABLES, chip_of, said, steps

CHIP = chip_of(Op.B3, has_second=True)
TABLE = TABLES[CHIP.name]
NAMES = [slot.name for slot in CHIP.slots]
MESSAGE_AT, CHAINING_AT = IMAGE_BASE + 128, IMAGE_BASE + 32


def rows(seed: int, flags: int = 27) -> list[list[int]]:
    """Two steps: the second takes what the first left."""
    image = random.Random(seed).randbytes(256)
    words = [
        *set_register(LEFT, MESSAGE_AT),
        *set_register(RIGHT, CHAINING_AT),
        b3(LEFT, RIGHT, flags),
        b3(LEFT, RIGHT, flags),
        *(show(place, 1) for place in range(8)),
        HALT,
    ]
    return [row for row in steps(program_of(*words, image=image)) if row[0] & 0x7F == Op.B3]


def cells_of(row: list[int]) -> list[int]:
    return filled(CHIP, [row])[0][0]


@pytest.mark.parametrize("flags", [0, 11, 27, 127])
def test_honest_steps_hold(flags: int) -> None:
    honest = rows(flags, flags)
    table, _ = filled(CHIP, honest)
    assert [said(TABLE, cells).broken for cells in table] == [(), ()]
    encoded = b"".join(struct.pack("<80I", *row) for row in honest)
    compiled = _fill.fill(CHIP.name, encoded, 2, _fill.Tally())
    assert [list(compiled.row(number)) for number in range(2)] == table


def test_requests_are_the_compressions_of_the_rows() -> None:
    honest = rows(3)
    requests = hash_requests(b"".join(struct.pack("<80I", *row) for row in honest))
    assert len(requests) == 2 * REQUEST_BYTES
    for number, row in enumerate(honest):
        words = struct.unpack_from("<26I", requests, number * REQUEST_BYTES)
        out = compress(words[:8], words[8:24], words[24])
        assert (tuple(out), words[24:]) == (tuple(row[24:32]), (27, 1))


@pytest.mark.parametrize("step", [1, MODULUS - 1, 1 << 16])
def test_any_other_cell_is_noticed(step: int) -> None:
    for row in rows(4):
        cells = cells_of(row)
        honest = said(TABLE, cells)
        for number, name in enumerate(NAMES):
            changed = [*cells[:number], (cells[number] + step) % MODULUS, *cells[number + 1 :]]
            found = said(TABLE, changed)
            assert found.broken or found.tuples != honest.tuples, name


@pytest.mark.parametrize(("column", "distance"), [("v1.low", 32), ("v1.low", 4), ("v2.low", 16)])
def test_operands_are_aligned(column: str, distance: int) -> None:
    """Also when nothing else of the row betrays it: addresses follow from the registers."""
    cells = cells_of(rows(5)[0])
    cells[NAMES.index(column)] += distance
    assert any("range" in rule for rule in said(TABLE, cells).broken)


def test_a_row_without_a_step_says_nothing() -> None:
    nothing = said(TABLE, [0] * len(NAMES))
    assert (dict(nothing.tuples), nothing.broken) == ({}, ())
    for number, name in enumerate(NAMES):
        cells = [0] * len(NAMES)
        cells[number] = 1
        found = said(TABLE, cells)
        assert found.broken or not found.tuples, name


def test_regions_that_meet_cannot_balance() -> None:
    """A word in both is received twice at clocks before the row's, and was sent once before it."""
    row = rows(6)[0]
    row[7] = MESSAGE_AT + 32
    found = said(TABLE, cells_of(row))
    bus, clock = BUSES.index(MEMORY), row[13]
    received = [
        key for key, times in found.tuples.items() if key[0] == bus and times == MODULUS - 1
    ]
    twice = [key[2] for key in received if key[1] == 0]
    assert len(twice) == 24
    assert len(set(twice)) == 16
    assert all(key[3] < clock for key in received)
