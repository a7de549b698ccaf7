"""What is wrong with committed rows: every fragment that they carry, in one pass.

A table is a list of `cap` rows, the index being the clock; slot 0 is ignored. A fragment names the
rule's clause and the one or two rows that show it; `holds` checks it from these rows alone, as
Script will.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from cython_core.vm.errors import GuestTrap
from cython_core.vm.machine import Limits, Machine
from cython_core.vm.operations import HALTED, MASK, OP_MASK, PAGE_BYTES, Op
from cython_core.vm.program import Program
from cython_core.vm.records import PAD_ROW, NarrowRow, Row
from cython_core.vm.rules import access, fetched, initial, local, ports, shown, touched

ALL_PAGES: Final = (1 << 32) // PAGE_BYTES


class Fragment(NamedTuple):
    """A shown violation: row `i`, for rules over two rows also the earlier row `j`."""

    clause: str
    i: int
    j: int = 0
    port: int = 0
    """Which of the row's ports, for V3 and V4."""


def padded(rows: Sequence[Row], capacity: int) -> list[Row]:
    """The table of a run: slot 0, the rows, PAD. ValueError when they do not fit."""
    if len(rows) > capacity - 1:
        raise ValueError(f"{len(rows)} rows do not fit into {capacity} slots")
    return [PAD_ROW, *rows, *[PAD_ROW] * (capacity - 1 - len(rows))]


def _alone(program: Program, table: Sequence[Row], i: int, statement: bytes) -> Iterator[Fragment]:
    row = table[i]
    for clause in local(program, i, row, len(table) - 1):
        yield Fragment(clause, i)
    for clause in fetched(program, row):
        yield Fragment(clause, i)
    if shown(row, statement):
        yield Fragment("v6.statement", i)


def find(program: Program, table: Sequence[Row], statement: bytes) -> Iterator[Fragment]:
    """Every fragment of an available table, by ascending `i`."""
    last: dict[tuple[int, int], int] = {}
    for i in range(1, len(table)):
        row = table[i]
        yield from _alone(program, table, i, statement)
        if i > 1 and table[i - 1].npc != row.pc:
            yield Fragment("v5.next", i, i - 1)
        for number, port in enumerate(ports(row)):
            if initial(program, port):
                yield Fragment("v3a.image", i, 0, number)
            candidates = (port.clock, last.get((port.space, port.address), 0))
            for j in dict.fromkeys(candidates):
                if 0 < j < i and (clause := access(i, port, j, table[j])):
                    yield Fragment(clause, i, j, number)
        for space, address, _ in touched(row):
            last[space, address] = i


def holds(program: Program, table: Sequence[Row], statement: bytes, fragment: Fragment) -> bool:
    """Whether a fragment shows a violation; looks at its rows only."""
    clause, i, j, number = fragment
    if not 0 < i < len(table) or not 0 <= j < i:
        return False
    row = table[i]
    if clause == "v5.next":
        return j == i - 1 and j > 0 and table[j].npc != row.pc
    if clause.startswith(("v3", "v4")):
        port = list(ports(row))[number]
        if clause == "v3a.image":
            return initial(program, port)
        return j > 0 and access(i, port, j, table[j]) == clause
    return fragment in _alone(program, table, i, statement)


def first_difference(program: Program, table: Sequence[Row]) -> int | None:
    """The first slot in which the table is not the execution with its own witness, or None.

    The witness is what its own IN and SIG rows show; the last slot must be HALT or PAD.
    """

    def witness(clock: int, op: Op) -> int:
        row = table[clock]
        is_answer = isinstance(row, NarrowRow) and row.op & OP_MASK == op
        answer = row.wv if is_answer and isinstance(row, NarrowRow) else 0
        return answer & 1 if op is Op.SIG else answer & MASK

    machine = Machine(program, witness, Limits(len(table), ALL_PAGES))
    for i in range(1, len(table)):
        if machine.pc == HALTED:
            if table[i] != PAD_ROW:
                return i
            continue
        try:
            row = machine.step()
        except GuestTrap:
            return i
        if row != table[i]:
            return i
    return None if machine.pc == HALTED else len(table) - 1


def is_valid(program: Program, table: Sequence[Row], statement: bytes) -> bool:
    """The verdict of re-execution: a valid trace for the statement."""
    if first_difference(program, table) is not None:
        return False
    return not any(shown(row, statement) for row in table[1:])
