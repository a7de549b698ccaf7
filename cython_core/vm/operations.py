"""Numbers and families of operations, and the constants of the machine.

The numbers are part of the row format: they are hashed, so they never change their meaning. ILL is
zero, so that an empty record holds no instruction.
"""

from enum import IntEnum
from typing import Final


class Op(IntEnum):
    """Bits 0 to 6 of a row's first byte."""

    ILL = 0
    """A word that is no instruction. No row may hold it."""
    ADD = 1
    SUB = 2
    SLT = 3
    SLTU = 4
    XOR = 5
    OR = 6
    AND = 7
    SLL = 8
    SRL = 9
    SRA = 10
    MUL = 11
    MULH = 12
    MULHSU = 13
    MULHU = 14
    DIV = 15
    DIVU = 16
    REM = 17
    REMU = 18
    LB = 19
    LH = 20
    LW = 21
    LBU = 22
    LHU = 23
    SB = 24
    SH = 25
    SW = 26
    BEQ = 27
    BNE = 28
    BLT = 29
    BGE = 30
    BLTU = 31
    BGEU = 32
    JAL = 33
    JALR = 34
    IN = 35
    """rd := the next word of the input, which is free witness."""
    SIG = 36
    """rd := the next answer of the signature check, 0 or 1."""
    OUT = 37
    """Shows rs1 as word imm of the statement."""
    HALT = 38
    PAD = 39
    """What stands in the slots after HALT."""
    B3 = 40
    """[rs2] := BLAKE3 compression, chaining value [rs2], message [rs1], flags imm."""
    MULP = 41
    """[rs2] := [rs1] * [rs2] mod P256."""
    SQRP = 42
    """[rs2] := [rs1]^2 mod P256."""
    ADDP = 43
    """[rs2] := [rs2] + [rs1] mod P256."""
    SUBP = 44
    """[rs2] := [rs2] - [rs1] mod P256."""
    COPY = 45
    """[rs2] := [rs1], as it is."""


ARITHMETIC: Final = frozenset(range(Op.ADD, Op.REMU + 1))
LOADS: Final = frozenset(range(Op.LB, Op.LHU + 1))
STORES: Final = frozenset(range(Op.SB, Op.SW + 1))
BRANCHES: Final = frozenset(range(Op.BEQ, Op.BGEU + 1))
FIELD: Final = (Op.MULP, Op.SQRP, Op.ADDP, Op.SUBP, Op.COPY)
"""The operations on numbers of 256 bits, in the order of their funct7."""
WIDE: Final = frozenset({Op.B3, *FIELD})
NARROW: Final = frozenset(set(Op) - {Op.ILL} - WIDE)

DUP: Final = 0x80
"""Bit 7 of the first byte: the second operand is the first one (rs1 = rs2, and rs2 reads 0)."""
OP_MASK: Final = 0x7F
MASK: Final = 0xFFFFFFFF
HALTED: Final = 0xFFFFFFFF
"""npc of HALT. Odd: JALR clears bit 0 and static targets are even, so nothing else reaches it."""
NO_ACCESS: Final = 1
"""Address of a row without memory access. Misaligned, so it never meets an access."""
CLOCK_MAX: Final = (1 << 24) - 1
"""A pointer of a wide record has 24 bits, and the range check of the proof as many."""
OUT_WORDS: Final = 8
"""Words of the statement."""
P256: Final = 2**256 - 2**32 - 977
"""The modulus of FIELD: the field of secp256k1 (SEC 2, section 2.4.1)."""
LINE_BYTES: Final = 32
BLOCK_BYTES: Final = 64
PAGE_BYTES: Final = 4096
"""Granule of the memory limit."""
MEMORY_PAGES: Final = 16_384
"""Default limit: 64 MiB of pages that a run touches."""
CYCLES: Final = 1 << 32
"""Default limit of a run without rows."""

assert OP_MASK + DUP == 0xFF
assert max(Op) <= OP_MASK
assert HALTED % 2 == 1
