"""The opcodes of tapscript that fraud leaves use, and what each does to the height of the stack.

Source: Bitcoin Core `script/script.h` (numbers) and `script/interpreter.cpp` (effects). OP_SUCCESS
codes, disabled codes and everything about signatures are absent on purpose: a fraud leaf has none.
"""

from enum import IntEnum
from typing import Final


class Opcode(IntEnum):
    """By their names in Bitcoin Core, without the prefix."""

    NUMBER_0 = 0x00
    NEGATIVE_1 = 0x4F
    NUMBER_1 = 0x51
    NUMBER_16 = 0x60
    NOP = 0x61
    IF = 0x63
    NOTIF = 0x64
    ELSE = 0x67
    ENDIF = 0x68
    VERIFY = 0x69
    RETURN = 0x6A
    TOALTSTACK = 0x6B
    FROMALTSTACK = 0x6C
    DROP2 = 0x6D
    DUP2 = 0x6E
    DUP3 = 0x6F
    OVER2 = 0x70
    ROT2 = 0x71
    SWAP2 = 0x72
    DEPTH = 0x74
    DROP = 0x75
    DUP = 0x76
    NIP = 0x77
    OVER = 0x78
    PICK = 0x79
    ROLL = 0x7A
    ROT = 0x7B
    SWAP = 0x7C
    TUCK = 0x7D
    SIZE = 0x82
    EQUAL = 0x87
    EQUALVERIFY = 0x88
    INCREMENT = 0x8B
    DECREMENT = 0x8C
    NEGATE = 0x8F
    ABS = 0x90
    NOT = 0x91
    NOTEQUAL0 = 0x92
    ADD = 0x93
    SUB = 0x94
    BOOLAND = 0x9A
    BOOLOR = 0x9B
    NUMEQUAL = 0x9C
    NUMEQUALVERIFY = 0x9D
    NUMNOTEQUAL = 0x9E
    LESSTHAN = 0x9F
    GREATERTHAN = 0xA0
    LESSTHANOREQUAL = 0xA1
    GREATERTHANOREQUAL = 0xA2
    MIN = 0xA3
    MAX = 0xA4
    WITHIN = 0xA5
    SHA256 = 0xA8
    HASH160 = 0xA9


MOVES: Final[dict[Opcode, tuple[int, tuple[int, ...]]]] = {
    Opcode.DROP2: (2, ()),
    Opcode.DUP2: (2, (0, 1, 0, 1)),
    Opcode.DUP3: (3, (0, 1, 2, 0, 1, 2)),
    Opcode.OVER2: (4, (0, 1, 2, 3, 0, 1)),
    Opcode.ROT2: (6, (2, 3, 4, 5, 0, 1)),
    Opcode.SWAP2: (4, (2, 3, 0, 1)),
    Opcode.DROP: (1, ()),
    Opcode.DUP: (1, (0, 0)),
    Opcode.NIP: (2, (1,)),
    Opcode.OVER: (2, (0, 1, 0)),
    Opcode.ROT: (3, (1, 2, 0)),
    Opcode.SWAP: (2, (1, 0)),
    Opcode.TUCK: (2, (1, 0, 1)),
}
"""Codes that only move and copy: how many items they take, and which of them (0 = the deepest) they
leave, from the deepest up."""

COMPUTES: Final[dict[Opcode, tuple[int, int]]] = {
    Opcode.NOP: (0, 0),
    Opcode.VERIFY: (1, 0),
    Opcode.DEPTH: (0, 1),
    Opcode.PICK: (1, 1),
    Opcode.SIZE: (1, 2),
    Opcode.EQUAL: (2, 1),
    Opcode.EQUALVERIFY: (2, 0),
    Opcode.INCREMENT: (1, 1),
    Opcode.DECREMENT: (1, 1),
    Opcode.NEGATE: (1, 1),
    Opcode.ABS: (1, 1),
    Opcode.NOT: (1, 1),
    Opcode.NOTEQUAL0: (1, 1),
    Opcode.ADD: (2, 1),
    Opcode.SUB: (2, 1),
    Opcode.BOOLAND: (2, 1),
    Opcode.BOOLOR: (2, 1),
    Opcode.NUMEQUAL: (2, 1),
    Opcode.NUMEQUALVERIFY: (2, 0),
    Opcode.NUMNOTEQUAL: (2, 1),
    Opcode.LESSTHAN: (2, 1),
    Opcode.GREATERTHAN: (2, 1),
    Opcode.LESSTHANOREQUAL: (2, 1),
    Opcode.GREATERTHANOREQUAL: (2, 1),
    Opcode.MIN: (2, 1),
    Opcode.MAX: (2, 1),
    Opcode.WITHIN: (3, 1),
    Opcode.SHA256: (1, 1),
    Opcode.HASH160: (1, 1),
}
"""Codes that make new items: how many they take and leave. A computed PICK is one of them: it takes
an index and leaves a copy."""

_SPELLINGS: Final = {
    "2DROP": Opcode.DROP2,
    "2DUP": Opcode.DUP2,
    "3DUP": Opcode.DUP3,
    "2OVER": Opcode.OVER2,
    "2ROT": Opcode.ROT2,
    "2SWAP": Opcode.SWAP2,
    "1ADD": Opcode.INCREMENT,
    "1SUB": Opcode.DECREMENT,
    "0NOTEQUAL": Opcode.NOTEQUAL0,
}


def opcode(word: str) -> Opcode:
    """The opcode that a script in words means: `2DUP`, `1ADD`, `SWAP`."""
    return _SPELLINGS.get(word) or Opcode[word]
