"""Each clause of the rules is needed: for each there is a cheat that nothing else catches.

Deleting a clause from the rules would leave its cheat without a fragment, so no clause is a luxury.
The list of clauses is read from the source: a new clause needs its cheat here.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from cython_core.vm import finder, rules
from cython_core.vm.finder import find, holds, is_valid, padded
from cython_core.vm.operations import HALTED, P256, Op
from cython_core.vm.program import Program
from cython_core.vm.records import PAD_ROW, Line, NarrowRow, Row, WideRow
from cython_core.vm.wide import compress, multiply
from tests.unit.cython_core.vm_forgery import HALT_ROW, carried_on, statement_of
from tests.unit.cython_core.vm_programs import (
    CODE_BASE,
    FIELD,
    HALT,
    IMAGE_BASE,
    b3,
    immediate,
    jal,
    load,
    mulp,
    program_of,
    read_answer,
    register,
    set_register,
    show,
    store,
)

CLAUSE = re.compile(r'"(v\d[ab]?\.[a-z0-9-]+)"')
NOTHING = immediate("addi", 0, 0, 0)
ZERO_LINE = (0,) * 8


@dataclass
class Cheat:
    program: Program
    table: list[Row]
    statement: bytes | None = None
    """By default what its OUT rows show."""


CHEATS: dict[str, Callable[[], Cheat]] = {}


def cheats(clause: str) -> Callable[[Callable[[], Cheat]], Callable[[], Cheat]]:
    def keep(made: Callable[[], Cheat]) -> Callable[[], Cheat]:
        assert clause not in CHEATS
        CHEATS[clause] = made
        return made

    return keep


def with_fields(fields: Mapping[str, object], row: Row) -> Row:
    return row._replace(**fields)  # type: ignore[arg-type]


def changed(
    *words: int, at: int, image: bytes = b"", answers: bytes = b"", **fields: object
) -> Cheat:
    """A run whose row `at` has other fields, carried on."""
    program = program_of(*words, HALT, image=image)
    change = partial(with_fields, fields)
    rows = carried_on(program, {at: change}, b"", answers)
    return Cheat(program, padded(rows, len(rows) + 3))


def by_hand(program: Program, *rows: Row) -> Cheat:
    return Cheat(program, padded(rows, len(rows) + 3))


def step(program: Program, at: int, **fields: int) -> NarrowRow:
    """A row of the instruction number `at`, with zeros where nothing is said."""
    pc = CODE_BASE + 4 * at
    entry = program.fetch(pc)
    assert entry is not None
    row = NarrowRow(*entry, pc, pc + 4, 0, 0, 0, 0, 0, 1, 0, 0, 0)
    return row._replace(npc=HALTED)._replace(**fields) if entry.op == Op.HALT else (
        row._replace(**fields)
    )  # fmt: skip


@cheats("v1.x0")
def _() -> Cheat:
    return changed(show(0, 0), at=1, v1=7)


@cheats("v1.register-pointer")
def _() -> Cheat:
    return changed(immediate("addi", 5, 0, 1), show(0, 5), at=2, t1=2)


@cheats("v1.initial-register")
def _() -> Cheat:
    return changed(show(0, 5), at=1, v1=7)


@cheats("v1.no-access")
def _() -> Cheat:
    return changed(NOTHING, at=1, ma=0x100, mn=5)


@cheats("v1.misaligned")
def _() -> Cheat:
    program = program_of(load("lw", 5, 0, 2), HALT)
    return by_hand(program, step(program, 0, ma=0), step(program, 1))


@cheats("v1.address")
def _() -> Cheat:
    return changed(load("lw", 5, 0, 0), at=1, ma=4)


@cheats("v1.memory-pointer")
def _() -> Cheat:
    return changed(NOTHING, load("lw", 5, 0, 0), at=2, tm=2)


@cheats("v1.load-keeps")
def _() -> Cheat:
    return changed(load("lw", 5, 0, 0), at=1, mn=5)


@cheats("v1.store-merges")
def _() -> Cheat:
    return changed(store("sb", 0, 0, 1), at=1, mn=0x100)


@cheats("v1.operation")
def _() -> Cheat:
    program = program_of(0x73, HALT)
    return by_hand(program, step(program, 0), step(program, 1))


@cheats("v1.pad")
def _() -> Cheat:
    cheat = changed(NOTHING, at=1)
    cheat.table[-1] = PAD_ROW._replace(wv=1)
    return cheat


@cheats("v1.next")
def _() -> Cheat:
    return changed(NOTHING, NOTHING, at=1, npc=CODE_BASE + 8)


@cheats("v1.written-x0")
def _() -> Cheat:
    return changed(NOTHING, at=1, wv=1)


@cheats("v1.result")
def _() -> Cheat:
    return changed(immediate("addi", 5, 0, 1), show(0, 5), at=1, wv=2)


@cheats("v1.signature-bit")
def _() -> Cheat:
    return changed(read_answer(5), show(0, 5), at=1, answers=b"\1", wv=2)


def wide_program(operation: int, v1: int, v2: int) -> Program:
    return program_of(*set_register(5, v1), *set_register(6, v2), operation, HALT)


def wide_cheat(operation: int, v1: int, v2: int, **fields: object) -> Cheat:
    """The honest rows before a wide row, the row as the definitions would have it, HALT."""
    program = wide_program(operation, v1, v2)
    rows = carried_on(program, {}, cycles=4)
    pc = CODE_BASE + 16
    entry = program.fetch(pc)
    assert entry is not None
    is_b3 = entry.op == Op.B3
    a = Line(v1, ZERO_LINE, ZERO_LINE)
    b = Line(v1 + 32, ZERO_LINE, ZERO_LINE) if is_b3 else Line(1, ZERO_LINE, ZERO_LINE)
    c = Line(v2, ZERO_LINE, ZERO_LINE)
    out = compress(ZERO_LINE, ZERO_LINE * 2, entry.imm) if is_b3 else multiply(ZERO_LINE, ZERO_LINE)
    row = WideRow(*entry, pc, pc + 4, 2, v1, 4, v2, out, a, b, c)
    return by_hand(program, *rows, with_fields(fields, row), step(program, 5))


FIRST, SECOND = IMAGE_BASE, IMAGE_BASE + 128


@cheats("v1.wide-alignment")
def _() -> Cheat:
    return wide_cheat(b3(5, 6), FIRST + 32, SECOND)


@cheats("v1.wide-overlap")
def _() -> Cheat:
    return wide_cheat(b3(5, 6), FIRST, FIRST + 32)


@cheats("v1.wide-base")
def _() -> Cheat:
    return wide_cheat(b3(5, 6), FIRST, SECOND, a=Line(FIRST + 256, ZERO_LINE, ZERO_LINE))


@cheats("v1.wide-inactive")
def _() -> Cheat:
    return wide_cheat(mulp(5, 6), FIRST, SECOND, b=Line(1, (5,) * 8, ZERO_LINE))


@cheats("v1.wide-pointer")
def _() -> Cheat:
    return wide_cheat(mulp(5, 6), FIRST, SECOND, a=Line(FIRST, ZERO_LINE, (5, *ZERO_LINE[1:])))


@cheats("v1.wide-result")
def _() -> Cheat:
    return wide_cheat(mulp(5, 6), FIRST, SECOND, out=(1, *ZERO_LINE[1:]))


@pytest.mark.parametrize("maker", FIELD)
@pytest.mark.parametrize("wrong", [1, P256])
def test_a_wrong_number_is_a_wrong_result(maker: Callable[[int, int], int], wrong: int) -> None:
    """Another number than 0 o 0, and the same one not reduced: only the result shows it."""
    out = tuple(wrong >> 32 * place & 0xFFFFFFFF for place in range(8))
    cheat = wide_cheat(maker(5, 6), FIRST, SECOND, out=out)
    fragments = list(find(cheat.program, cheat.table, statement_of(cheat.table)))
    assert [fragment.clause for fragment in fragments] == ["v1.wide-result"]
    honest = wide_cheat(maker(5, 6), FIRST, SECOND)
    assert list(find(honest.program, honest.table, statement_of(honest.table))) == []


@cheats("v1.entry")
def _() -> Cheat:
    program = program_of(NOTHING, HALT)
    return by_hand(program, step(program, 1))


@cheats("v1.last")
def _() -> Cheat:
    program = program_of(jal(0, 0))
    return Cheat(program, padded(carried_on(program, {}, cycles=9), 10))


@cheats("v2.pad")
def _() -> Cheat:
    program = program_of(NOTHING, jal(0, 0))
    return by_hand(program, step(program, 0), PAD_ROW._replace(pc=CODE_BASE + 4))


@cheats("v2.range")
def _() -> Cheat:
    program = program_of(NOTHING)
    return by_hand(program, step(program, 0), HALT_ROW._replace(pc=CODE_BASE + 4))


@cheats("v2.entry")
def _() -> Cheat:
    return changed(immediate("addi", 5, 0, 1), show(0, 5), at=1, imm=2, wv=2)


@cheats("v3a.image")
def _() -> Cheat:
    words = [*set_register(6, IMAGE_BASE), load("lw", 5, 6, 0)]
    return changed(*words, at=3, image=b"\1\0\0\0", mv=2, mn=2, wv=2)


@cheats("v3b.touches")
def _() -> Cheat:
    return changed(immediate("addi", 5, 0, 1), NOTHING, show(0, 5), at=3, t1=2)


@cheats("v3b.value")
def _() -> Cheat:
    return changed(immediate("addi", 5, 0, 1), show(0, 5), at=2, v1=2)


@cheats("v4.skipped")
def _() -> Cheat:
    words = [immediate("addi", 5, 0, 1), immediate("addi", 5, 0, 2), show(0, 5)]
    return changed(*words, at=3, t1=1, v1=1)


@cheats("v5.next")
def _() -> Cheat:
    program = program_of(NOTHING, NOTHING, HALT)
    return by_hand(program, step(program, 0), step(program, 2))


@cheats("v6.statement")
def _() -> Cheat:
    cheat = changed(show(0, 5), at=1)
    cheat.statement = b"\1" + bytes(31)
    return cheat


def clauses_in_the_source() -> set[str]:
    found: set[str] = set()
    for module in (rules, finder):
        assert module.__file__
        found |= set(CLAUSE.findall(Path(module.__file__).read_text(encoding="utf-8")))
    return found


def test_every_clause_has_its_cheat() -> None:
    assert clauses_in_the_source() == set(CHEATS)
    assert len(CHEATS) == 32


@pytest.mark.parametrize("clause", sorted(CHEATS))
def test_nothing_else_catches_this_cheat(clause: str) -> None:
    cheat = CHEATS[clause]()
    statement = statement_of(cheat.table) if cheat.statement is None else cheat.statement
    assert not is_valid(cheat.program, cheat.table, statement)
    fragments = list(find(cheat.program, cheat.table, statement))
    assert {fragment.clause for fragment in fragments} == {clause}
    assert all(holds(cheat.program, cheat.table, statement, one) for one in fragments)


@pytest.mark.parametrize(
    "words",
    [
        [load("lb", 5, 0, 3), store("sb", 5, 0, 3), load("lw", 6, 0, 0)],
        [register("add", 5, 5, 5), register("sub", 0, 5, 5), store("sw", 5, 5, 0)],
        [jal(5, 4), immediate("addi", 5, 5, 0), show(3, 5)],
    ],
)
def test_an_inactive_port_meets_nothing(words: list[int]) -> None:
    """Rows without memory access beside rows that touch addresses 0 and 1 (trace.md 5.2, 1)."""
    program = program_of(*words, HALT)
    rows = carried_on(program, {})
    table = padded(rows, len(rows) + 2)
    assert list(find(program, table, statement_of(rows))) == []
