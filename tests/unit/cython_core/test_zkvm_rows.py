"""Rows sorted by chip, and what else a proof needs to know of a run: in C as by the machine."""

import random
import struct

import pytest

from cython_core.vm._executor import RUNNING, Executor
from cython_core.vm.machine import DEFAULT_LIMITS, Machine, stream_witness
from cython_core.vm.operations import DUP, NARROW, OP_MASK, WIDE, Op
from cython_core.vm.program import Program
from cython_core.vm.run import executor
from cython_core.zkvm._rows import RowSorter, TooManyRows
from tests.unit.cython_core.vm_programs import (
    HALT,
    IMAGE_BASE,
    branch,
    immediate,
    mulp,
    program_of,
    random_guest,
    set_register,
)
from tests.unit.cython_core.zkvm_cases import steps

SECOND = 128
CHIPS = [
    ("one", 16, [int(op) for op in NARROW]),
    ("second", 16, [SECOND + op for op in NARROW]),
    ("wide", 80, [SECOND + op for op in WIDE]),
]


def chip_of(row: list[int]) -> int:
    if Op(row[0] & OP_MASK) in WIDE:
        return 2
    return int(bool(row[0] & DUP or row[0] >> 24))


def sorter_of(program: Program, rows_max: int = 1 << 22) -> RowSorter:
    return RowSorter(CHIPS, program.rom_base, len(program.entries), rows_max)


def run_of(program: Program, inputs: bytes = b"", answers: bytes = b"") -> Executor:
    return executor(program, inputs, answers, DEFAULT_LIMITS, with_rows=True)


def sort(run: Executor, sorter: RowSorter, rows: int = 100, wide: int = 10) -> None:
    while run.state == RUNNING:
        sorter.add(*run.trace(rows, wide))


def test_rows_are_those_of_the_machine() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(20):
        guest = random_guest(rng)
        expected = steps(guest.program, guest.inputs, guest.answers)
        run, sorter = run_of(guest.program, guest.inputs, guest.answers), sorter_of(guest.program)
        sort(run, sorter, rng.randrange(1, 50), rng.randrange(1, 3))
        assert sorter.clock == len(expected)
        for number, (_, words, _) in enumerate(CHIPS):
            rows = [list(row) for row in struct.iter_unpack(f"={words}I", sorter.rows(number))]
            assert rows == [row for row in expected if chip_of(row) == number]
        times = [0] * len(guest.program.entries)
        for row in expected:
            times[(row[2] - guest.program.rom_base) // 4] += 1
        assert struct.unpack(f"={len(times)}I", sorter.times) == tuple(times)
        machine = Machine(guest.program, stream_witness(guest.inputs, guest.answers))
        while not machine.is_halted:
            machine.step()
        assert sorter.registers == tuple(machine.registers)
        touched = [(address, *cell) for address, cell in sorted(machine.memory.items())]
        assert list(struct.iter_unpack("=3I", run.touched())) == touched


def test_touched_words() -> None:
    program = program_of(HALT, image=bytes(range(1, 9)))
    run = run_of(program)
    with pytest.raises(ValueError, match="the run has not ended"):
        run.touched()
    run.trace(10, 1)
    assert run.touched() == b""
    plain = executor(program, b"", b"", DEFAULT_LIMITS, with_rows=False)
    plain.run(10)
    with pytest.raises(ValueError, match="not set up for that"):
        plain.touched()


LOOP = program_of(immediate("addi", 5, 5, 1), branch("bne", 5, 6, -4), HALT)


def test_a_table_has_no_more_rows_than_it_has() -> None:
    endless = program_of(immediate("addi", 5, 5, 1), branch("bne", 5, 0, -4))
    rows, wide = run_of(endless).trace(1001, 1)
    sorter = sorter_of(endless, 1000)
    why = "it has more than 1,000 rows of the table 'one', and a table has no more"
    with pytest.raises(TooManyRows, match=why):
        sorter.add(rows, wide)
    with pytest.raises(ValueError, match="takes no rows any more"):
        sorter.add(b"", b"")
    sorter = sorter_of(endless, 1001)
    sorter.add(rows, wide)
    assert len(sorter.rows(0)) == 1001 * 64 == len(sorter.rows(0).tobytes())


def test_what_is_refused() -> None:
    rows, wide = run_of(LOOP).trace(5, 1)
    other = program_of(HALT)
    with pytest.raises(ValueError, match="row 2 is no step of this program"):
        sorter_of(other).add(rows, wide)
    with pytest.raises(ValueError, match="no table accepts the operation of row 2"):
        RowSorter([("add", 16, [int(Op.ADD)])], 0x1000, 3, 10).add(rows, wide)
    with pytest.raises(ValueError, match="rows end in the middle of a record"):
        sorter_of(LOOP).add(rows[:-1], wide)
    with pytest.raises(ValueError, match="rows and wide records do not fit together"):
        sorter_of(LOOP).add(rows, bytes(256))
    words = [*set_register(5, IMAGE_BASE), *set_register(6, IMAGE_BASE + 64), mulp(5, 6), HALT]
    program = program_of(*words, image=bytes(range(128)))
    rows, wide = run_of(program).trace(10, 10)
    assert len(wide) == 256
    with pytest.raises(ValueError, match="rows and wide records do not fit together"):
        sorter_of(program).add(rows, b"")
    narrow = [("all", 16, [int(op) + place for op in Op for place in (0, SECOND)])]
    with pytest.raises(ValueError, match="no table accepts the operation of row 5"):
        RowSorter(narrow, 0x1000, len(words), 10).add(rows, wide)
    sorter = sorter_of(program)
    sorter.add(rows, wide)
    view = sorter.rows(2)
    assert view.readonly
    with pytest.raises(ValueError, match="takes no rows any more"):
        sorter.add(b"", b"")
    with pytest.raises(IndexError):
        sorter.rows(3)
    del sorter
    assert view.tobytes()[64:] == wide


@pytest.mark.parametrize(
    ("chips", "numbers", "why"),
    [
        ([("a", 16, [1]), ("b", 16, [1])], (0, 1, 1), "two chips accept the same"),
        ([("a", 16, [256])], (0, 1, 1), "two chips accept the same, or what is no operation"),
        ([("a", 15, [1])], (0, 1, 1), "a row has 16 or 80 words"),
        ([("a", 16, [])] * 65, (0, 1, 1), "there are too many chips"),
        ([], (2, 1, 1), "out of bounds"),
        ([], (0, 0, 1), "out of bounds"),
        ([], (0, 1, (1 << 24) + 1), "out of bounds"),
    ],
)
def test_what_no_sorter_is_made_of(
    chips: list[tuple[str, int, list[int]]], numbers: tuple[int, int, int], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        RowSorter(chips, *numbers)
