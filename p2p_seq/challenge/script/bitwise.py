"""Bitwise operations and shifts on doubled nibbles (words.py), XOR by the tables of tables.py.

x AND y is a quarter of 2x + 2y - 2 (x XOR y) in doubled digits, found in a short table of its own;
x OR y is x + y - (x AND y).
"""

from enum import Enum
from typing import Final

from p2p_seq.challenge.script.assembler import Assembler
from p2p_seq.challenge.script.tables import NibbleTables
from p2p_seq.challenge.script.words import DIGITS, Word, split_sum

SHIFT_BITS: Final = 5
_QUARTERS: Final = 61
_HALVES: Final = 31
_FILL: Final = "shift:fill"


class Bitwise(Enum):
    """What `bitwise` computes."""

    AND = "and"
    OR = "or"


def exclusive_or(asm: Assembler, tables: NibbleTables, one: Word, other: Word, names: Word) -> None:
    """tables ... -> tables ... one XOR other, as a block"""
    for place in reversed(range(DIGITS)):
        _xor_digit(asm, tables, one[place], other[place])
        asm.name(names[place])


def _xor_digit(asm: Assembler, tables: NibbleTables, one: str, other: str) -> None:
    """tables ... -> tables ... digit"""
    height = tables.above(asm)
    asm.pick(one)
    asm.number(height)
    asm.ops("ADD PICK")
    asm.pick(other)
    asm.number(height - tables.room + 1)
    asm.ops("ADD ADD PICK")


def bitwise(
    asm: Assembler,
    tables: NibbleTables,
    operation: Bitwise,
    operands: tuple[Word, Word],
    names: Word,
) -> None:
    """tables ... -> tables ... one AND other, or one OR other, as a block"""
    one, other = operands
    for index in reversed(range(_QUARTERS)):
        asm.number(2 * (index // 4))
    for place in range(DIGITS):
        asm.pick(one[place])
        asm.pick(other[place])
        asm.ops("ADD DUP")
        _xor_digit(asm, tables, one[place], other[place])
        asm.ops("SUB 1ADD PICK")
        asm.ops("NIP" if operation is Bitwise.AND else "SUB")
        asm.to_alt()
    asm.drop(_QUARTERS)
    for place in reversed(range(DIGITS)):
        asm.from_alt(names[place])


def shift_left(asm: Assembler, word: Word, amount: Word, names: Word) -> None:
    """... -> ... word << (amount mod 32), as a block"""
    bits = _amount_bits(asm, amount)
    for place in reversed(range(DIGITS)):
        asm.pick(word[place])
    for power, bit in enumerate(bits):
        _begin_stage(asm, bit)
        if power < 2:
            for _ in range(1 << power):
                _left_by_one(asm)
        else:
            for _ in range(1 << power - 2):
                _drop_deepest(asm)
                asm.number(0)
        _end_stage(asm)
    asm.rename_top(list(reversed(names)))
    for bit in bits:
        asm.roll(bit)
        asm.drop()


def _left_by_one(asm: Assembler) -> None:
    """... block -> ... block of twice the word"""
    for place in range(DIGITS):
        asm.ops("SWAP DUP ADD ADD" if place else "DUP ADD")
        split_sum(asm, place == DIGITS - 1)
    for _ in range(DIGITS):
        asm.from_alt("")


def shift_right(
    asm: Assembler, word: Word, amount: Word, names: Word, *, arithmetic: bool = False
) -> None:
    """... -> ... word >> (amount mod 32), as a block; copies of the sign come in if `arithmetic`

    The word is worked on with digit 7 on top, above a table that halves digits.
    """
    bits = _amount_bits(asm, amount)
    for index in reversed(range(_HALVES)):
        asm.number(2 * (index // 4))
    _push_fill(asm, word[DIGITS - 1] if arithmetic else None)
    for place in range(DIGITS):
        asm.pick(word[place])
    for power, bit in enumerate(bits):
        _begin_stage(asm, bit)
        if power < 2:
            for _ in range(1 << power):
                _right_by_one(asm)
        else:
            for _ in range(1 << power - 2):
                _drop_deepest(asm)
                asm.pick(_FILL)
        _end_stage(asm)
    for _ in range(DIGITS):
        asm.to_alt()
    asm.drop(1 + _HALVES + len(bits))
    for place in range(DIGITS):
        asm.from_alt(names[place])
    asm.roll_all(reversed(names))


def _push_fill(asm: Assembler, sign_digit: str | None) -> None:
    """... -> ... the doubled digit that comes in from above: 0 or 30"""
    if sign_digit is None:
        asm.number(0)
    else:
        asm.pick(sign_digit)
        asm.number(16)
        asm.ops("GREATERTHANOREQUAL")
        asm.begin_if()
        asm.number(30)
        asm.otherwise()
        asm.number(0)
        asm.end_if()
    asm.name(_FILL)


def _right_by_one(asm: Assembler) -> None:
    """... halves fill digit 0 .. digit 7 -> the same, the word halved"""
    asm.pick(_FILL)
    asm.number(16)
    asm.ops("MIN")
    for place in reversed(range(DIGITS)):
        asm.ops("SWAP DUP")
        asm.number(place + 3)
        asm.ops("ADD PICK ROT OVER ADD")
        asm.to_alt()
        asm.ops("DUP ADD SUB DUP ADD DUP ADD DUP ADD")
    asm.drop()
    for _ in range(DIGITS):
        asm.from_alt("")


def _amount_bits(asm: Assembler, amount: Word) -> list[str]:
    """... -> ... bits 4 to 0 of the word; their names, bit 0 first"""
    names = [f"shift:bit{power}" for power in range(SHIFT_BITS)]
    asm.pick(amount[1])
    for weight in (16, 8, 4):
        asm.number(weight)
        asm.ops("2DUP GREATERTHANOREQUAL")
        asm.begin_if()
        asm.ops("SUB")
        asm.otherwise()
        asm.ops("DROP")
        asm.end_if()
    asm.ops("0NOTEQUAL")
    asm.name(names[4])
    asm.pick(amount[0])
    for power in (3, 2, 1):
        asm.number(2 << power)
        asm.ops("2DUP GREATERTHANOREQUAL")
        asm.begin_if()
        asm.ops("SUB")
        asm.number(1)
        asm.otherwise()
        asm.ops("DROP")
        asm.number(0)
        asm.end_if()
        asm.ops("SWAP")
        asm.name(names[power], 1)
    asm.ops("0NOTEQUAL")
    asm.name(names[0])
    return names


def _begin_stage(asm: Assembler, bit: str) -> None:
    """... -> ...; what follows is done if the bit is set"""
    asm.rename_top([""] * DIGITS)
    asm.pick(bit)
    asm.begin_if()


def _end_stage(asm: Assembler) -> None:
    asm.rename_top([""] * DIGITS)
    asm.end_if()


def _drop_deepest(asm: Assembler) -> None:
    """... block -> ... block without its deepest item"""
    asm.rename_top([f"shift:{index}" for index in range(DIGITS)])
    asm.roll("shift:0")
    asm.drop()
