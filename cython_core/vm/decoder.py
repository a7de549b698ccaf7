"""Instruction words to the entries of the program table (shared reference trace.md, 1.4).

The decoder does everything that is static, so that cheating there has no form: operands of I and R
instructions share an operation, targets are absolute, equal sources become the dup flag.

Host operations are custom-0 instructions, `.insn r 0x0b, funct3, funct7, rd, rs1, rs2`; fields that
are not named are zero, everything else is no instruction:

    funct3 0  IN rd              rd not x0
    funct3 1  SIG rd             rd not x0
    funct3 2  OUT k, rs1         funct7 = k, below 8
    funct3 3  HALT
    funct3 4  B3 rs1, rs2        funct7 = flags of the compression; rs1, rs2 distinct, not x0
    funct3 5  MULP, SQRP, ADDP, SUBP, COPY rs1, rs2
                                 funct7 = which of them; rs1, rs2 distinct, not x0

What is no instruction becomes ILL with the word as its operand, and a FENCE becomes an addition to
x0 with the word as its operand: so different words nearly always give different entries. The only
instructions that share one are `op rd, rs1, x0` and `op-immediate rd, rs1, 0`, and the like of
them for upper immediates (`lui` beside `addi rd, x0`), which are the same step.
"""

import struct
from typing import Final, NamedTuple

from cython_core.vm.operations import DUP, FIELD, MASK, OUT_WORDS, Op

ENTRY_FORM: Final = struct.Struct("<4BI")
ENTRY_BYTES: Final = ENTRY_FORM.size

REGISTER_OPS: Final = {
    0x00: (Op.ADD, Op.SLL, Op.SLT, Op.SLTU, Op.XOR, Op.SRL, Op.OR, Op.AND),
    0x01: (Op.MUL, Op.MULH, Op.MULHSU, Op.MULHU, Op.DIV, Op.DIVU, Op.REM, Op.REMU),
    0x20: (Op.SUB, Op.ILL, Op.ILL, Op.ILL, Op.ILL, Op.SRA, Op.ILL, Op.ILL),
}
IMMEDIATE_OPS: Final = REGISTER_OPS[0x00]
LOAD_OPS: Final = (Op.LB, Op.LH, Op.LW, Op.ILL, Op.LBU, Op.LHU, Op.ILL, Op.ILL)
STORE_OPS: Final = (Op.SB, Op.SH, Op.SW, Op.ILL, Op.ILL, Op.ILL, Op.ILL, Op.ILL)
BRANCH_OPS: Final = (Op.BEQ, Op.BNE, Op.ILL, Op.ILL, Op.BLT, Op.BGE, Op.BLTU, Op.BGEU)


class Entry(NamedTuple):
    """One row of the program table; V2 compares all five fields."""

    op: int
    """With the dup flag in bit 7."""
    rd: int
    rs1: int
    rs2: int
    imm: int

    def encode(self) -> bytes:
        """Eight bytes."""
        return ENTRY_FORM.pack(*self)


def _signed(value: int, bits: int) -> int:
    """Sign-extended to a word."""
    return (value - (1 << bits) if value >> (bits - 1) else value) & MASK


def _two_sources(op: int, rd: int, rs1: int, rs2: int, imm: int) -> Entry:
    if rs1 == rs2 != 0:
        return Entry(op | DUP, rd, rs1, 0, imm)
    return Entry(op, rd, rs1, rs2, imm)


def _immediate(word: int, rd: int, funct3: int, rs1: int) -> Entry | None:
    op, imm = IMMEDIATE_OPS[funct3], _signed(word >> 20, 12)
    if op in (Op.SLL, Op.SRL):
        funct7, imm = word >> 25, word >> 20 & 31
        if op is Op.SRL and funct7 == 0x20:
            return Entry(Op.SRA, rd, rs1, 0, imm)
        return Entry(op, rd, rs1, 0, imm) if funct7 == 0 else None
    return Entry(op, rd, rs1, 0, imm)


def _branch(word: int, pc: int, funct3: int, rs1: int, rs2: int) -> Entry | None:
    offset = (word >> 31) << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 63) << 5
    offset |= (word >> 8 & 15) << 1
    target = (pc + _signed(offset, 13)) & MASK
    op = BRANCH_OPS[funct3]
    return _two_sources(op, 0, rs1, rs2, target) if op else None


def _jump(word: int, pc: int, rd: int) -> Entry:
    offset = (word >> 31) << 20 | (word >> 12 & 0xFF) << 12 | (word >> 20 & 1) << 11
    offset |= (word >> 21 & 0x3FF) << 1
    return Entry(Op.JAL, rd, 0, 0, (pc + _signed(offset, 21)) & MASK)


def _host(rd: int, funct3: int, rs1: int, rs2: int, funct7: int) -> Entry | None:
    is_pair = rd == 0 and rs1 not in (rs2, 0) and rs2 != 0
    match funct3:
        case 0 | 1 if rd and not (rs1 or rs2 or funct7):
            return Entry(Op.SIG if funct3 else Op.IN, rd, 0, 0, 0)
        case 2 if funct7 < OUT_WORDS and not (rd or rs2):
            return Entry(Op.OUT, 0, rs1, 0, funct7)
        case 3 if not (rd or rs1 or rs2 or funct7):
            return Entry(Op.HALT, 0, 0, 0, 0)
        case 4 if is_pair:
            return Entry(Op.B3, 0, rs1, rs2, funct7)
        case 5 if is_pair and funct7 < len(FIELD):
            return Entry(FIELD[funct7], 0, rs1, rs2, 0)
    return None


def _plain(word: int, pc: int) -> Entry | None:  # noqa: PLR0911 - one line an opcode
    rd, rs1, rs2 = word >> 7 & 31, word >> 15 & 31, word >> 20 & 31
    funct3, funct7 = word >> 12 & 7, word >> 25
    match word & 0x7F:
        case 0x33:
            op = REGISTER_OPS[funct7][funct3] if funct7 in REGISTER_OPS else Op.ILL
            return _two_sources(op, rd, rs1, rs2, 0) if op else None
        case 0x13:
            return _immediate(word, rd, funct3, rs1)
        case 0x37:
            return Entry(Op.ADD, rd, 0, 0, word & 0xFFFFF000)
        case 0x17:
            return Entry(Op.ADD, rd, 0, 0, (pc + (word & 0xFFFFF000)) & MASK)
        case 0x03 if LOAD_OPS[funct3]:
            return Entry(LOAD_OPS[funct3], rd, rs1, 0, _signed(word >> 20, 12))
        case 0x23 if STORE_OPS[funct3]:
            offset = _signed(funct7 << 5 | rd, 12)
            return _two_sources(STORE_OPS[funct3], 0, rs1, rs2, offset)
        case 0x63:
            return _branch(word, pc, funct3, rs1, rs2)
        case 0x6F:
            return _jump(word, pc, rd)
        case 0x67 if funct3 == 0:
            return Entry(Op.JALR, rd, rs1, 0, _signed(word >> 20, 12))
        case 0x0F if funct3 == 0:
            return Entry(Op.ADD, 0, 0, 0, word)
        case 0x0B:
            return _host(rd, funct3, rs1, rs2, funct7)
    return None


def illegal(word: int) -> Entry:
    """The entry of what is no instruction."""
    return Entry(Op.ILL, 0, 0, 0, word)


def decode(word: int, pc: int) -> Entry:
    """The table's entry for instruction `word` at address `pc`."""
    return _plain(word, pc) or illegal(word)
