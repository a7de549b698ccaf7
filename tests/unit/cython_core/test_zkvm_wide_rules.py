"""Runs with a compression balance as a whole, and each rule of its chip keeps a forged one out."""

import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import pytest

from cython_core.air.check import check
from cython_core.air.table import MODULUS
from cython_core.vm import machine
from cython_core.vm.decoder import decode
from cython_core.vm.operations import OP_MASK, Op
from cython_core.zkvm.run_trace import run_tables
from cython_core.zkvm.statement import RunStatement, run_publics
from cython_core.zkvm.system import run_system
from cython_core.zkvm.wide import hash_requests
from tests.unit.cython_core import vm_programs as asm
from tests.unit.cython_core.zkvm_balance import Run
from tests.unit.cython_core.zkvm_cases import TABLES, cells_of
from tests.unit.cython_core.zkvm_forgery import rules_of
from tests.unit.cython_core.zkvm_wide_forgery import (
    CHAINING_AT,
    FLAGS,
    SET_UP,
    STEP,
    STORED,
    AnyOperands,
    forgeries,
    guest,
    on_flags,
    with_word,
)

TABLE: Final = TABLES["b3"]
LINE_BASES: Final = (32, 48, 64)
"""Words of a row: the bases of the record's lines."""
IDLE: Final = {
    "is_b3 is boolean": "a row with another selector has no registers, so that both operands are "
    "zero: one word cannot be received twice, not even in parts",
    "dup only in a step": "it says nothing by itself, and no row without a step is asked for it",
}
"""Rules that could be left out."""


@pytest.fixture
def any_operands(monkeypatch: pytest.MonkeyPatch) -> AnyOperands:
    @contextmanager
    def taking_all() -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setattr(machine, "misplaced", lambda *_: None)
            yield

    return taking_all


def seeded() -> random.Random:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    return random.Random(seed)


def test_honest_runs_balance() -> None:
    assert Run(guest(STEP)).complaints() == []
    twice = Run(
        guest(STEP, asm.b3(asm.LEFT, asm.RIGHT, 127), asm.store("sw", 5, asm.LEFT, 4), STEP)
    )
    assert twice.complaints() == []


def test_each_rule_alone_keeps_a_forged_run_out(any_operands: AnyOperands) -> None:
    """A run with one complaint, a broken rule, would be accepted without that rule."""
    needed = set()
    for trace in forgeries(any_operands):
        complaints = trace.complaints()
        assert len(complaints) == 1, (trace.kind, complaints)
        needed.add(complaints[0].split(" (")[0])
    labels = TABLE.labels
    rules = {*labels.constraints, *(labels.interactions[at] for at in rules_of("b3").facts)}
    assert rules - needed == set(IDLE)
    assert needed <= rules


def test_any_other_cell_keeps_a_run_out() -> None:
    """Whatever memory holds at the end: what a step writes is no choice."""
    rng = seeded()
    run = Run(guest(asm.store("sw", asm.LEFT, asm.LEFT, 8), STEP))
    place = run.place(Op.B3)
    honest = run.cells[place]
    for column, name in enumerate(TABLE.labels.main):
        for value in {(honest[column] + 1) % MODULUS, 0, 1, rng.randrange(MODULUS)}:
            if value != honest[column]:
                changed = [*honest[:column], value, *honest[column + 1 :]]
                assert run.complaints({place: changed}), (name, value)


def test_another_result() -> None:
    run = Run(guest(STEP))
    row = run.forged(Op.B3)
    row["out[7].high"] ^= 1
    (complaint,) = run.complaints({SET_UP: row.cells})
    assert complaint.startswith("hash ")


def test_flags_are_those_of_the_program() -> None:
    other = Run(guest(asm.b3(asm.LEFT, asm.RIGHT, FLAGS ^ 1))).forged(Op.B3)
    (complaint,) = Run(guest(STEP)).complaints({SET_UP: other.cells})
    assert complaint.startswith("program ")


def test_a_stale_read() -> None:
    """The word is read as it was before a store to it."""
    store = asm.store("sw", 0, asm.LEFT, 8)
    run = Run(guest(store, STEP))
    place = run.place(Op.B3)
    before = int.from_bytes(run.program.image[8:12], "little")
    stale = Run(guest(asm.store("sw", 0, asm.LEFT, 1024), STEP)).forged(Op.B3)
    assert stale["message[2].low"] == before & 0xFFFF != 0
    (first, *others) = run.complaints({place: stale.cells})
    assert all(complaint.startswith("memory ") for complaint in (first, *others))


@pytest.mark.parametrize("away", [0, 32], ids=["first line", "second line"])
def test_operands_that_meet(any_operands: AnyOperands, away: int) -> None:
    """No rule is broken; each word of the line is received twice, and there once."""
    with any_operands():
        run = Run(guest(STEP, chaining=asm.IMAGE_BASE + away))
    complaints = run.complaints()
    first = (asm.IMAGE_BASE + away) // 4
    assert [c.split(":")[0] for c in complaints] == [
        f"memory (0, {address})" for address in range(first, first + 8)
    ]


def test_bases_of_a_record_are_not_read() -> None:
    """Addresses are those of the registers, of which other rows say what they hold."""
    run = Run(guest(STEP))
    row = list(run.words[SET_UP])
    for place in LINE_BASES:
        row[place] += 64
    assert cells_of(run.chips[SET_UP], row) == run.cells[SET_UP]
    moved = Run(guest(STEP, chaining=asm.IMAGE_BASE + 1024)).forged(Op.B3)
    assert run.complaints({SET_UP: moved.cells})


def test_equal_compressions_are_one_request() -> None:
    """Two steps on lines with equal words, and a third on what the second left."""
    other = asm.set_register(asm.RIGHT, asm.IMAGE_BASE + 256)
    program = guest(STEP, *other, STEP, STEP, *(asm.show(place, asm.LEFT) for place in range(8)))
    image = program.image.ljust(256, b"\0") + program.image[CHAINING_AT : CHAINING_AT + 32]
    program = replace(program, image=image)
    run = Run(program)
    rows = [row for row in run.words if row[0] & OP_MASK == Op.B3]
    requests = hash_requests(b"".join(struct.pack("<80I", *row) for row in rows))
    assert [times for *_, times in struct.iter_unpack("<26I", requests)] == [2, 1]
    assert struct.unpack_from("<24I", requests) == (
        *rows[0][65:73],
        *rows[0][33:41],
        *rows[0][49:57],
    )
    assert run.complaints() == []
    tables = run_tables(program)
    publics = run_publics(program, tables.statement)
    check(
        run_system(program),
        tables.matrices,
        publics,
        RunStatement(program).interactions(publics),
    )
    with pytest.raises(ValueError, match="319 bytes are no rows of 320 bytes"):
        hash_requests(bytes(319))


def test_words_that_another_run_has() -> None:
    other = Run(with_word(guest(STEP), CHAINING_AT, STORED)).forged(Op.B3)
    assert Run(guest(STEP)).complaints({SET_UP: other.cells})


def test_flags_of_a_byte_rest_on_the_decoder() -> None:
    """The chip itself could take others for those of a byte."""
    for trace in on_flags():
        assert trace.complaints() == []
    for funct7 in range(128):
        entry = decode(asm.b3(asm.LEFT, asm.RIGHT, funct7), 0x1000)
        assert (entry.op, entry.imm) == (Op.B3, funct7)
