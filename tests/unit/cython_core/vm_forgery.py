"""Cheats: tables of rows that are not what the program did, made to look as honest as possible."""

import random
from collections.abc import Callable, Mapping, Sequence

from cython_core.vm.errors import GuestTrap
from cython_core.vm.finder import padded
from cython_core.vm.machine import Cell, Machine, run_reference, stream_witness
from cython_core.vm.operations import HALTED, MASK, Op
from cython_core.vm.program import Program
from cython_core.vm.records import PAD_ROW, Line, NarrowRow, Row, WideRow
from tests.unit.cython_core.vm_programs import Guest

Change = Callable[[Row], Row]
Table = list[Row]
HALT_ROW = PAD_ROW._replace(op=Op.HALT)


def adopt(machine: Machine, row: Row) -> None:
    """Make the machine believe that `row` is what happened at its clock."""
    now = machine.clock
    for index in (row.rs1, row.rs2):
        if index:
            machine.registers[index] = Cell(now, machine.registers[index].value)
    if isinstance(row, NarrowRow):
        if row.rd:
            machine.registers[row.rd] = Cell(now, row.wv)
        if row.ma != 1:
            machine.memory[row.ma] = Cell(now, row.mn)
    else:
        for place, word in enumerate(row.out):
            machine.memory[row.c.base + 4 * place] = Cell(now, word)
    machine.pc = row.npc


def carried_on(
    program: Program,
    changes: Mapping[int, Change],
    inputs: bytes = b"",
    answers: bytes = b"",
    cycles: int = 5_000,
) -> list[Row]:
    """The rows of a run in which the rows of some clocks are others, and all that follows fits."""
    machine = Machine(program, stream_witness(inputs, answers))
    rows: list[Row] = []
    while not machine.is_halted and machine.clock < cycles:
        try:
            row = machine.step()
        except GuestTrap:
            break
        if machine.clock in changes:
            row = changes[machine.clock](row)
            adopt(machine, row)
        rows.append(row)
    return rows


def statement_of(rows: Sequence[Row]) -> bytes:
    """The words that the OUT rows show; zeros where there are none."""
    words = [0] * 8
    for row in rows:
        if row.op & 0x7F == Op.OUT:
            words[row.imm % 8] = row.v1
    return b"".join(word.to_bytes(4, "little") for word in words)


def changed_number(rng: random.Random, value: int, i: int) -> int:
    options = (0, 1, value ^ 1 << rng.randrange(32), value + 1, value - 1, i, i - 1, i + 1,
               rng.randrange(i + 2), rng.getrandbits(32), HALTED)  # fmt: skip
    return rng.choice(options) & MASK


def _other_line(rng: random.Random, line: Line, i: int) -> Line:
    place = rng.randrange(8)
    kind = rng.randrange(3)
    if kind == 0:
        return line._replace(base=changed_number(rng, line.base, i) & ~3 | line.base & 3)
    if kind == 1:
        words = list(line.words)
        words[place] = changed_number(rng, words[place], i)
        return line._replace(words=tuple(words))
    clocks = list(line.clocks)
    clocks[place] = changed_number(rng, clocks[place], i) & 0xFFFFFF
    return line._replace(clocks=tuple(clocks))


def with_one_field_changed(rng: random.Random, row: Row, i: int) -> Row:
    """Any field of the record, sometimes to a telling value."""
    name = rng.choice(row._fields)
    if isinstance(row, WideRow):
        if name in ("a", "b", "c"):
            return row._replace(**{name: _other_line(rng, getattr(row, name), i)})
        if name == "out":
            out = list(row.out)
            out[rng.randrange(8)] ^= 1 << rng.randrange(32)
            return row._replace(out=tuple(out))
    value = getattr(row, name)
    if name == "op":
        return row._replace(op=rng.choice((rng.randrange(47), value ^ 0x80)))
    if name in ("rd", "rs1", "rs2"):
        return row._replace(**{name: rng.randrange(32)})
    return row._replace(**{name: changed_number(rng, value, i)})


def one_field(rng: random.Random, guest: Guest, table: Table) -> Table:
    i = rng.randrange(1, len(table))
    table[i] = with_one_field_changed(rng, table[i], i)
    return table


def wide_field(rng: random.Random, guest: Guest, table: Table) -> Table:
    """Any field of a wide row, sometimes both factors at once; of another row without one."""
    places = [i for i, row in enumerate(table) if isinstance(row, WideRow)]
    at = rng.choice(places or [1])
    table[at] = with_one_field_changed(rng, table[at], at)
    if rng.random() < 0.2:
        table[at] = with_one_field_changed(rng, table[at], at)
    return table


def slot_zero(rng: random.Random, guest: Guest, table: Table) -> Table:
    table[0] = with_one_field_changed(rng, table[1], 1)
    return table


def carried(rng: random.Random, guest: Guest, table: Table) -> Table:
    """A result, address, value or npc that is wrong, with all that follows from it."""
    honest = run_reference(guest.program, guest.inputs, guest.answers)[0]
    at = rng.randrange(1, len(honest) + 1)
    fields = ("wv", "mn", "mv", "v1", "v2", "npc", "ma", "t1", "tm")

    def change(row: Row) -> Row:
        if isinstance(row, WideRow):
            return with_one_field_changed(rng, row, at)
        name = rng.choice(fields)
        value = getattr(row, name)
        other = changed_number(rng, value, at)
        if name == "npc":
            other = rng.choice(table).pc
        if name == "ma" and value != 1:
            other &= ~3
        return row._replace(**{name: other})

    rows = carried_on(guest.program, {at: change}, guest.inputs, guest.answers, 2 * len(table))
    return padded(rows[: len(table) - 1], len(table))


def stale_read(rng: random.Random, guest: Guest, table: Table) -> Table:
    """A port shows what an earlier row left, or nothing, and the row computes with it."""
    at = rng.randrange(1, len(table))
    earlier = table[rng.randrange(at)]
    row = table[at]
    if isinstance(row, NarrowRow) and isinstance(earlier, NarrowRow):
        other = rng.choice(((0, 0), (earlier.t1, earlier.v1), (at - 1, earlier.wv)))
        table[at] = row._replace(t1=other[0], v1=other[1])
    return table


def dropped(rng: random.Random, guest: Guest, table: Table) -> Table:
    at = rng.randrange(1, len(table))
    return [*table[:at], *table[at + 1 :], PAD_ROW]


def doubled(rng: random.Random, guest: Guest, table: Table) -> Table:
    at = rng.randrange(1, len(table))
    return [*table[:at], table[at], *table[at:-1]]


def swapped(rng: random.Random, guest: Guest, table: Table) -> Table:
    i, j = rng.randrange(1, len(table)), rng.randrange(1, len(table))
    table[i], table[j] = table[j], table[i]
    return table


def cut(rng: random.Random, guest: Guest, table: Table) -> Table:
    """Ends early: with PAD alone, with a false HALT, or with a PAD that has the right pc."""
    at = rng.randrange(1, len(table))
    pc = table[at].pc
    end = rng.choice((PAD_ROW, HALT_ROW._replace(pc=pc), PAD_ROW._replace(pc=pc)))
    return padded([*table[1:at], end], len(table))


def runs_on(rng: random.Random, guest: Guest, table: Table) -> Table:
    """Does not stop at HALT, or not in time."""
    if rng.random() < 0.5:
        return table[: rng.randrange(2, len(table))]
    last = max(i for i, row in enumerate(table) if row.op == Op.HALT)
    return [*table[: last + 1], *table[1 : len(table) - last]]


def other_witness(rng: random.Random, guest: Guest, table: Table) -> Table:
    """A valid trace, perhaps for another statement."""
    rows = carried_on(guest.program, {}, rng.randbytes(160), bytes(40))
    return padded(rows[: len(table) + 9], max(len(rows) + 2, len(table) + 10))


def other_form(rng: random.Random, guest: Guest, table: Table) -> Table:
    """Narrow records for wide rows and the other way round."""
    at = rng.randrange(1, len(table))
    row = table[at]
    if isinstance(row, WideRow):
        table[at] = NarrowRow(*row[:11], 0, 1, 0, 0, 0)
    else:
        line = Line(row.v1, (0,) * 8, (0,) * 8)
        table[at] = WideRow(*row[:11], (0,) * 8, line, line, line)
    return table


def unset_pointer(rng: random.Random, guest: Guest, table: Table) -> Table:
    """Pointers to the row itself, the future, or the row before."""
    at = rng.randrange(1, len(table))
    row, pointer = table[at], rng.choice((at, at + 1, max(0, at - 1), 0))
    if isinstance(row, WideRow):
        line = rng.choice(("a", "b", "c"))
        clocks = (pointer, *getattr(row, line).clocks[1:])
        table[at] = row._replace(**{line: getattr(row, line)._replace(clocks=clocks)})
    else:
        table[at] = row._replace(**{rng.choice(("t1", "t2", "tm")): pointer})
    return table


def garbage(rng: random.Random, guest: Guest, table: Table) -> Table:
    at = rng.randrange(1, len(table))
    table[at] = NarrowRow(*rng.randbytes(4), *(rng.getrandbits(32) for _ in range(12)))
    return table


ADVERSARIES = (
    one_field, wide_field, slot_zero, carried, stale_read, dropped, doubled, swapped, cut, runs_on,
    other_witness, other_form, unset_pointer, garbage,
)  # fmt: skip
