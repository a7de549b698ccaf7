"""A row in words, for people."""

from cython_core.vm.operations import DUP, NO_ACCESS, OP_MASK, Op
from cython_core.vm.records import NarrowRow, Row

HEADINGS = "row  pc: operation operands | sources @ last access | memory @ last access | rd -> npc"


def _operation(row: Row) -> str:
    try:
        name = Op(row.op & OP_MASK).name
    except ValueError:
        name = f"op{row.op & OP_MASK}"
    return name + ("*" if row.op & DUP else "")


def _sources(row: Row) -> str:
    used = ((row.rs1, row.t1, row.v1), (row.rs2, row.t2, row.v2))
    return " ".join(f"x{index}=0x{value:08x}@{clock}" for index, clock, value in used if index)


def _memory(row: Row) -> str:
    if not isinstance(row, NarrowRow):
        out = "".join(word.to_bytes(4, "little").hex() for word in row.out)
        return f"[0x{row.c.base:08x}]={out}"
    if row.ma == NO_ACCESS:
        return ""
    change = f"0x{row.mv:08x}" if row.mv == row.mn else f"0x{row.mv:08x}->0x{row.mn:08x}"
    return f"[0x{row.ma:08x}]={change}@{row.tm}"


def describe(number: int, row: Row) -> str:
    """One line: the columns of HEADINGS. `*` marks a second source that is the first."""
    written = f"x{row.rd}=0x{row.wv:08x}" if isinstance(row, NarrowRow) and row.rd else ""
    head = f"{number:>8}  0x{row.pc:08x}: {_operation(row):<7} 0x{row.imm:08x}"
    return f"{head} | {_sources(row)} | {_memory(row)} | {written} -> 0x{row.npc:08x}"
