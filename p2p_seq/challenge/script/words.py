"""32-bit arithmetic on doubled nibbles, for the predicates of fraud leaves.

Operands are words by the names of their digits, digit 0 first; they are copied and stay where they
are. A word that is made lies on top as a block, digit 7 deepest. Nothing here needs tables, so it
works at any height.
"""

from collections.abc import Sequence
from typing import Final

from p2p_seq.challenge.script.assembler import Assembler

DIGITS: Final = 8
Word = Sequence[str]


def add(asm: Assembler, one: Word, other: Word, names: Word) -> None:
    """... -> ... one + other mod 2^32, as a block"""
    for place in range(DIGITS):
        asm.pick(one[place])
        asm.pick(other[place])
        asm.ops("ADD ADD" if place else "ADD")
        split_sum(asm, place == DIGITS - 1)
    _end_block(asm, names)


def subtract(asm: Assembler, one: Word, other: Word, names: Word) -> None:
    """... -> ... one - other mod 2^32, as a block"""
    for place in range(DIGITS):
        is_top = place == DIGITS - 1
        asm.pick(one[place])
        asm.pick(other[place])
        asm.ops("SUB SWAP SUB DUP" if place else "SUB DUP")
        asm.number(0)
        asm.ops("LESSTHAN")
        asm.begin_if()
        asm.number(32)
        asm.ops("ADD")
        if not is_top:
            asm.number(2)
            asm.otherwise()
            asm.number(0)
        asm.end_if()
        _keep_digit(asm, is_top)
    _end_block(asm, names)


def split_sum(asm: Assembler, is_top: bool) -> None:
    """... s -> ... [carry]; altstack ... -> ... s mod 32, for s < 64; a carry is 0 or 2"""
    asm.number(32)
    asm.ops("2DUP GREATERTHANOREQUAL")
    asm.begin_if()
    asm.ops("SUB")
    if not is_top:
        asm.number(2)
    asm.otherwise()
    asm.ops("DROP")
    if not is_top:
        asm.number(0)
    asm.end_if()
    _keep_digit(asm, is_top)


def _keep_digit(asm: Assembler, is_top: bool) -> None:
    """... digit [carry] -> ... [carry]; altstack ... -> ... digit"""
    if not is_top:
        asm.ops("SWAP")
    asm.to_alt()


def _end_block(asm: Assembler, names: Word) -> None:
    """altstack ... digit 0 .. digit 7 -> ...; ... -> ... block"""
    for place in reversed(range(DIGITS)):
        asm.from_alt(names[place])


def less(asm: Assembler, one: Word, other: Word, *, signed: bool = False) -> None:
    """... -> ... 1 if one < other else 0"""
    for place in range(DIGITS):
        for word in (one, other):
            asm.pick(word[place])
            if signed and place == DIGITS - 1:
                _sign_digit(asm)
        if place:
            asm.ops("SUB SWAP SUB")
            asm.number(0)
        asm.ops("LESSTHAN")


def _sign_digit(asm: Assembler) -> None:
    """... digit 7 -> ... the same, less 32 when its top bit is set"""
    asm.ops("DUP")
    asm.number(16)
    asm.ops("GREATERTHANOREQUAL")
    asm.begin_if()
    asm.number(32)
    asm.ops("SUB")
    asm.end_if()


def equal(asm: Assembler, one: Word, other: Word) -> None:
    """... -> ... 1 if the words are equal else 0"""
    for place in range(DIGITS):
        asm.pick(one[place])
        asm.pick(other[place])
        asm.ops("NUMEQUAL BOOLAND" if place else "NUMEQUAL")


def equals_constant(asm: Assembler, word: Word, constant: int) -> None:
    """... -> ... 1 if the word is this constant else 0"""
    for place in range(DIGITS):
        asm.pick(word[place])
        asm.number(2 * (constant >> 4 * place & 15))
        asm.ops("NUMEQUAL BOOLAND" if place else "NUMEQUAL")


def to_number(asm: Assembler, word: Word, digits: int = 7) -> None:
    """... -> ... twice the number that the lowest digits (at most 7) make"""
    for place in reversed(range(digits)):
        if place < digits - 1:
            asm.ops("DUP ADD " * 4)
        asm.pick(word[place])
        if place < digits - 1:
            asm.ops("ADD")
