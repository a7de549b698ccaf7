"""The chips of 256-bit numbers: honest steps, falsified ones, and a signature in a proof."""

import random
import struct
from collections.abc import Sequence

import pytest

from cython_core.air.table import MODULUS
from cython_core.stark.checking import VerifierName, find_verifier
from cython_core.vm.operations import P256, Op
from cython_core.vm.program import load_elf
from cython_core.zkvm import _fill
from cython_core.zkvm.fill_code import filled
from cython_core.zkvm.proof import prove_run, verify_run
from tests.unit.cython_core.secp_cases import (
    GUEST,
    input_of,
    invalid,
    is_valid,
    official_valid,
    statement_of,
)
from tests.unit.cython_core.vm_programs import (
    HALT,
    IMAGE_BASE,
    LEFT,
    RIGHT,
    host,
    program_of,
    set_register,
    show,
)
from tests.unit.cython_core.zkvm_cases import TABLES, chip_of, said, steps

FUNCTIONS = {Op.MULP: 0, Op.SQRP: 1, Op.ADDP: 2, Op.SUBP: 3, Op.COPY: 4}
EDGES = (0, 1, 2, P256 - 2, P256 - 1, P256, P256 + 1, 2**256 - 1, 2**256 - 977, 2**32 + 976, 2**48)


def row_of(op: Op, operand: int, accumulator: int) -> list[int]:
    """The row of one step on these numbers."""
    image = operand.to_bytes(32, "little") + accumulator.to_bytes(32, "little")
    words = [
        *set_register(LEFT, IMAGE_BASE),
        *set_register(RIGHT, IMAGE_BASE + 32),
        host(5, FUNCTIONS[op], rs1=LEFT, rs2=RIGHT),
        *(show(place, 1) for place in range(8)),
        HALT,
    ]
    (row,) = (row for row in steps(program_of(*words, image=image)) if row[0] & 0x7F == op)
    return row


def numbers(count: int) -> list[tuple[int, int]]:
    rng = random.Random(5)
    pairs = [(a, b) for a in EDGES for b in EDGES]
    return [*pairs, *((rng.getrandbits(256), rng.getrandbits(256)) for _ in range(count))]


@pytest.mark.parametrize("op", FUNCTIONS)
def test_honest_steps_hold(op: Op) -> None:
    chip = chip_of(op, has_second=True)
    rows = [row_of(op, *pair) for pair in numbers(20)]
    table, _ = filled(chip, rows)
    for pair, cells in zip(numbers(20), table, strict=True):
        assert said(TABLES[chip.name], cells).broken == (), (op, pair)
    height = 1 << (len(rows) - 1).bit_length()
    encoded = b"".join(struct.pack("<80I", *row) for row in rows)
    compiled = _fill.fill(chip.name, encoded, height, _fill.Tally())
    assert [list(compiled.row(number)) for number in range(len(rows))] == table


def with_result(op: Op, row: Sequence[int], result: int) -> list[int]:
    """The row's cells for another result, as a cheat would fill them."""
    forged = list(row)
    forged[24:32] = struct.unpack("<8I", result.to_bytes(32, "little"))
    return filled(chip_of(op, has_second=True), [forged])[0][0]


@pytest.mark.parametrize("op", FUNCTIONS)
def test_wrong_results_break_a_rule(op: Op) -> None:
    table = TABLES[chip_of(op, has_second=True).name]
    for operand, accumulator in numbers(4)[:: 1 if op is Op.COPY else 3]:
        row = row_of(op, operand, accumulator)
        right = int.from_bytes(struct.pack("<8I", *row[24:32]), "little")
        wrong = {
            right + 1,
            right - 1,
            right + P256,
            right - P256,
            right ^ 1 << 255,
            right ^ 1 << 32,
        }
        for result in wrong:
            if 0 <= result < 2**256 and result != right:
                assert said(table, with_result(op, row, result)).broken, (op, operand, result)


BORROWS = {
    Op.MULP: {"bit.all.2", "bit.all.3"},
    Op.SQRP: {"bit.all.2", "bit.all.3"},
    Op.ADDP: {"bit.33", "bit.34"},
    Op.SUBP: {"bit.49", "bit.50"},
    Op.COPY: set(),
}
"""Of the comparison with p256, which only results near it need."""
INVERSES = {"free.all.48", "free.0"}
"""Of what the higher limbs lack of being all ones, where that is zero."""


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize("pair", [(3, 2**255 - 19), (P256 - 1, 1), (P256 - 1, 0), (0, P256 - 1)])
def test_any_other_cell_is_noticed(op: Op, pair: tuple[int, int]) -> None:
    """But for the columns that other operations of the chip use, and those named above."""
    chip = chip_of(op, has_second=True)
    table = TABLES[chip.name]
    cells = filled(chip, [row_of(op, *pair)])[0][0]
    honest = said(table, cells)
    unnoticed = set()
    for number, slot in enumerate(chip.slots):
        if {None, op} & slot.fills.keys():
            changed = [*cells[:number], (cells[number] + 1) % MODULUS, *cells[number + 1 :]]
            found = said(table, changed)
            if not found.broken and found.tuples == honest.tuples:
                unnoticed.add(slot.name)
    assert unnoticed == BORROWS[op] or unnoticed <= INVERSES


def test_signatures_are_verified_inside_a_proof() -> None:
    """The statement counts the valid ones of two; both verifiers take the proof."""
    program = load_elf((GUEST / "secp/verify.elf").read_bytes())
    cases = [official_valid()["1"], next(iter(invalid().values()))]
    assert [is_valid(case) for case in cases] == [True, False]
    proof, outcome = prove_run(program, input_of(cases))
    print(f"{outcome.cycles} rows, {len(proof.body)} bytes")
    for name in VerifierName:
        assert verify_run(program, proof, find_verifier(name)) == statement_of(cases, 1)
