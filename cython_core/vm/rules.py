"""When a table of rows is a valid trace: V1 to V6 (shared reference trace.md, 2).

Each rule is a conjunction of clauses over one row, or over two rows, and static data. A clause has
a name and yields when it is violated; its negation is what a fraud fragment shows. Nothing here
uses the machine or its step definitions: results are recomputed on nibbles, addresses and
next addresses likewise, so that a mistake there and a mistake here do not hide each other.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from cython_core.vm import nibbles
from cython_core.vm.nibbles import digits, word
from cython_core.vm.operations import (
    BRANCHES,
    DUP,
    HALTED,
    LOADS,
    NARROW,
    NO_ACCESS,
    OP_MASK,
    OUT_WORDS,
    STORES,
    WIDE,
    Op,
)
from cython_core.vm.program import Program
from cython_core.vm.records import INACTIVE_LINE, PAD_ROW, Line, NarrowRow, Row, WideRow
from cython_core.vm.wide import compress

REGISTER: Final = 0
MEMORY: Final = 1
FOUR: Final = digits(4)
LINE: Final = digits(32)
HALT_OR_PAD: Final = frozenset({Op.HALT, Op.PAD})
HALF: Final = frozenset({Op.LH, Op.LHU, Op.SH})
WHOLE: Final = frozenset({Op.LW, Op.SW})
PLAIN_NEXT: Final = NARROW - BRANCHES - {Op.JAL, Op.JALR, Op.HALT, Op.PAD}


class Port(NamedTuple):
    """One read of a row: what it says about the last access."""

    space: int
    address: int
    clock: int
    value: int


def is_committed_wide(op: int) -> bool:
    """Whether a first byte names a wide operation; they have no dup flag."""
    return op in WIDE


def _plus(a: int, b: int) -> int:
    return word(nibbles.add(digits(a), digits(b))[0])


def lines(row: WideRow) -> tuple[Line, ...]:
    """The lines that a wide row reads."""
    return tuple(line for line in (row.a, row.b, row.c) if line.base != NO_ACCESS)


def ports(row: Row) -> Iterator[Port]:
    """The active ports of a row; the op of a narrow row does not matter."""
    if row.rs1:
        yield Port(REGISTER, row.rs1, row.t1, row.v1)
    if row.rs2:
        yield Port(REGISTER, row.rs2, row.t2, row.v2)
    if isinstance(row, NarrowRow):
        if row.ma != NO_ACCESS:
            yield Port(MEMORY, row.ma, row.tm, row.mv)
        return
    for line in lines(row):
        for place in range(8):
            address = _plus(line.base, 4 * place)
            yield Port(MEMORY, address, line.clocks[place], line.words[place])


def touched(row: Row) -> Iterator[tuple[int, int, int]]:
    """(space, address, value after the row), the destination first."""
    if isinstance(row, NarrowRow) and row.rd:
        yield REGISTER, row.rd, row.wv
    if row.rs1:
        yield REGISTER, row.rs1, row.v1
    if row.rs2:
        yield REGISTER, row.rs2, row.v2
    if isinstance(row, NarrowRow):
        if row.ma != NO_ACCESS:
            yield MEMORY, row.ma, row.mn
        return
    for place in range(8):
        yield MEMORY, _plus(row.v2, 4 * place), row.out[place]
    for line in lines(row)[:-1]:
        for place in range(8):
            yield MEMORY, _plus(line.base, 4 * place), line.words[place]


def post(row: Row, space: int, address: int) -> int | None:
    """The value after the row, or None when the row does not touch the address."""
    for other_space, other, value in touched(row):
        if (other_space, other) == (space, address):
            return value
    return None


def _registers(i: int, row: Row) -> Iterator[str]:
    for index, clock, value in ((row.rs1, row.t1, row.v1), (row.rs2, row.t2, row.v2)):
        if index == 0 and (clock or value):
            yield "v1.x0"
        elif clock >= i:
            yield "v1.register-pointer"
        elif clock == 0 and value:
            yield "v1.initial-register"


def _next(row: NarrowRow, op: int, b: int) -> int:
    plain = _plus(row.pc, 4)
    if op == Op.JAL:
        return row.imm
    if op == Op.JALR:
        target = digits(_plus(row.v1, row.imm))
        return word((target[0] & 14, *target[1:]))
    if op in BRANCHES and nibbles.BRANCHES[op](digits(row.v1), digits(b)):
        return row.imm
    return plain


def _byte_place(row: NarrowRow) -> tuple[int, int]:
    """Aligned address and place of a load's or store's operand."""
    address = digits(_plus(row.v1, row.imm))
    return word((address[0] & 12, *address[1:])), address[0] & 3


def _bytes(value: int) -> list[tuple[int, int]]:
    pairs = digits(value)
    return [(pairs[2 * place], pairs[2 * place + 1]) for place in range(4)]


def _loaded(op: int, value: int, place: int) -> int:
    cells = _bytes(value)[place:]
    length = 4 if op in WHOLE else 2 if op in HALF else 1
    low = [digit for cell in cells[:length] for digit in cell]
    fill = 15 if op in (Op.LB, Op.LH) and low[-1] >= 8 else 0
    return word([*low, *[fill] * (8 - len(low))])


def _stored(op: int, before: int, place: int, b: int) -> int:
    cells = _bytes(before)
    length = 4 if op in WHOLE else 2 if op in HALF else 1
    cells[place : place + length] = _bytes(b)[:length]
    return word([digit for cell in cells for digit in cell])


def _memory(i: int, row: NarrowRow, op: int, b: int) -> Iterator[str]:
    if op not in LOADS and op not in STORES:
        if (row.tm, row.ma, row.mv, row.mn) != (0, NO_ACCESS, 0, 0):
            yield "v1.no-access"
        return
    aligned, place = _byte_place(row)
    if (op in HALF and place & 1) or (op in WHOLE and place):
        yield "v1.misaligned"
        return
    if row.ma != aligned:
        yield "v1.address"
    if row.tm >= i:
        yield "v1.memory-pointer"
    if op in LOADS and row.mn != row.mv:
        yield "v1.load-keeps"
    if op in STORES and row.mn != _stored(op, row.mv, place, b):
        yield "v1.store-merges"


def _written(row: NarrowRow, op: int, b: int) -> int | None:
    """What rd gets; None when anything may stand there."""
    if op in nibbles.ARITHMETIC:
        return word(nibbles.ARITHMETIC[op](digits(row.v1), digits(b)))
    if op in LOADS:
        return _loaded(op, row.mv, _byte_place(row)[1])
    if op in (Op.JAL, Op.JALR):
        return _plus(row.pc, 4)
    return None if op in (Op.IN, Op.SIG) else 0


def _narrow(i: int, row: NarrowRow) -> Iterator[str]:
    op = row.op & OP_MASK
    if op not in NARROW:
        yield "v1.operation"
        return
    if op == Op.PAD:
        if row._replace(pc=HALTED) != PAD_ROW:
            yield "v1.pad"
        return
    is_dup = bool(row.op & DUP)
    b = row.v1 if is_dup else row.v2
    if op in nibbles.ARITHMETIC and not is_dup and row.rs2 == 0:
        b = row.imm
    yield from _registers(i, row)
    yield from _memory(i, row, op, b)
    if row.npc != (HALTED if op == Op.HALT else _next(row, op, b)):
        yield "v1.next"
    if row.rd == 0:
        if row.wv:
            yield "v1.written-x0"
        return
    written = _written(row, op, b)
    if written is not None and row.wv != written:
        yield "v1.result"
    if op == Op.SIG and row.wv > 1:
        yield "v1.signature-bit"


def _wide(i: int, row: WideRow) -> Iterator[str]:
    if not is_committed_wide(row.op):
        yield "v1.operation"
        return
    yield from _registers(i, row)
    is_b3 = row.op == Op.B3
    first, second = digits(row.v1), digits(row.v2)
    is_block = first[0] == 0 and first[1] & (3 if is_b3 else 1) == 0
    if not is_block or second[0] or second[1] & 1:
        yield "v1.wide-alignment"
        return
    block = 3 if is_b3 else 1
    if all(
        x & ~mask == y & ~mask
        for x, y, mask in zip(first, second, (15, block, *[0] * 6), strict=True)
    ):
        yield "v1.wide-overlap"
    bases = (row.v1, word(nibbles.add(first, LINE)[0]) if is_b3 else NO_ACCESS, row.v2)
    if (row.a.base, row.b.base, row.c.base) != bases:
        yield "v1.wide-base"
        return
    if not is_b3 and row.b != INACTIVE_LINE:
        yield "v1.wide-inactive"
    if any(clock >= i for line in lines(row) for clock in line.clocks):
        yield "v1.wide-pointer"
    if is_b3:
        out = compress(row.c.words, row.a.words + row.b.words, row.imm)
    else:
        out = nibbles.FIELD[row.op](nibbles.joined(row.a.words), nibbles.joined(row.c.words))
    if row.out != out:
        yield "v1.wide-result"
    if row.npc != _plus(row.pc, 4):
        yield "v1.next"


def local(program: Program, i: int, row: Row, last: int) -> Iterator[str]:
    """V1: clauses that row `i` of slots 1..last violates by itself."""
    yield from _narrow(i, row) if isinstance(row, NarrowRow) else _wide(i, row)
    if i == 1 and row.pc != program.entry:
        yield "v1.entry"
    if i == last and row.op not in HALT_OR_PAD:
        yield "v1.last"


def fetched(program: Program, row: Row) -> Iterator[str]:
    """V2."""
    if row.op == Op.PAD:
        if row.pc != HALTED:
            yield "v2.pad"
        return
    entry = program.fetch(row.pc)
    if entry is None:
        yield "v2.range"
    elif entry != row[:5]:
        yield "v2.entry"


def initial(program: Program, port: Port) -> bool:
    """V3a is violated: a word of memory never accessed before is not the image's."""
    return port.space == MEMORY and port.clock == 0 and port.value != program.initial(port.address)


def shown(row: Row, statement: bytes) -> bool:
    """V6 is violated: an OUT row shows another word than the statement has."""
    if row.op & OP_MASK != Op.OUT:
        return False
    place = row.imm % OUT_WORDS
    return row.v1 != int.from_bytes(statement[4 * place : 4 * place + 4], "little")


def access(i: int, port: Port, j: int, other: Row) -> str | None:
    """V3b and V4 for a port of row `i` against row `j`: the violated clause, or None."""
    if j == port.clock and 0 < j < i:
        value = post(other, port.space, port.address)
        if value is None:
            return "v3b.touches"
        return None if value == port.value else "v3b.value"
    if port.clock < j < i and post(other, port.space, port.address) is not None:
        return "v4.skipped"
    return None
