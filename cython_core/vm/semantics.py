"""What each operation computes: the one step definition (shared reference trace.md, 4.1).

Written over `algebra.Algebra`, so that the reference machine, the constraints and the Script
predicates cannot drift apart. The operands of a family:

    ARITHMETIC  a = v1; b = v1 if dup, v2 if rs2, else imm    -> wv
    LOADS       the word at (v1 + imm) & ~3 and the place of the byte in it    -> wv
    STORES      word before, place, b = v1 if dup, else v2    -> word after
    BRANCHES    a = v1, b = v1 if dup, else v2                -> whether npc is imm
    WIDE        see `machine`

The specification is the RISC-V ISA manual, volume I, 20191213, chapters 2 and 7.
"""

from collections.abc import Callable
from typing import Any, Final

from cython_core.vm.algebra import Algebra, W
from cython_core.vm.operations import MASK, Op

SIGN: Final = 1 << 31

Arithmetic = Callable[[Algebra[Any], Any, Any], Any]
Load = Callable[[Algebra[Any], Any, Any], Any]
Store = Callable[[Algebra[Any], Any, Any, Any], Any]


def sign(w: Algebra[W], a: W) -> W:
    """Bit 31."""
    return w.shift_right(a, w.constant(31))


def less_signed(w: Algebra[W], a: W, b: W) -> W:
    """Order of two's complement: flipping the sign bits makes it the unsigned order."""
    flip = w.constant(SIGN)
    return w.less(w.exclusive(a, flip), w.exclusive(b, flip))


def complement(w: Algebra[W], bit: W) -> W:
    """1 - bit."""
    return w.exclusive(bit, w.constant(1))


def negated(w: Algebra[W], a: W) -> W:
    """Two's complement."""
    return w.subtract(w.constant(0), a)


def magnitude(w: Algebra[W], a: W) -> W:
    """The absolute value as an unsigned word; 2^31 for the least number."""
    return w.select(sign(w, a), negated(w, a), a)


def shift_right_arithmetic(w: Algebra[W], a: W, b: W) -> W:
    """Filled with the sign: complemented before and after, if it is set."""
    mask = w.select(sign(w, a), w.constant(MASK), w.constant(0))
    return w.exclusive(w.shift_right(w.exclusive(a, mask), b), mask)


def multiply_low(w: Algebra[W], a: W, b: W) -> W:
    return w.product(a, b)[0]


def multiply_high(w: Algebra[W], a: W, b: W) -> W:
    """A negative factor counts 2^32 too much: the other factor is taken off the high word."""
    high = multiply_high_mixed(w, a, b)
    return w.subtract(high, w.select(sign(w, b), a, w.constant(0)))


def multiply_high_mixed(w: Algebra[W], a: W, b: W) -> W:
    """a signed, b unsigned."""
    high = w.product(a, b)[1]
    return w.subtract(high, w.select(sign(w, a), b, w.constant(0)))


def multiply_high_unsigned(w: Algebra[W], a: W, b: W) -> W:
    return w.product(a, b)[1]


def divide(w: Algebra[W], a: W, b: W) -> tuple[W, W]:
    """Unsigned quotient and remainder, all ones and a for b = 0. q * b + r = a and r < b."""
    quotient, remainder = w.division_hint(a, b)
    low, high = w.product(quotient, b)
    total = w.add(low, remainder)
    by_zero = w.equal(b, w.constant(0))
    w.require(w.equal(high, w.constant(0)))
    w.require(w.equal(total, a))
    w.require(complement(w, w.less(total, low)))
    w.require(w.select(by_zero, w.constant(1), w.less(remainder, b)))
    return w.select(by_zero, w.constant(MASK), quotient), remainder


def quotient_unsigned(w: Algebra[W], a: W, b: W) -> W:
    return divide(w, a, b)[0]


def remainder_unsigned(w: Algebra[W], a: W, b: W) -> W:
    return divide(w, a, b)[1]


def quotient_signed(w: Algebra[W], a: W, b: W) -> W:
    """Rounds to zero. -2^31 / -1 is -2^31 by the arithmetic itself; division by zero is -1."""
    quotient = divide(w, magnitude(w, a), magnitude(w, b))[0]
    is_negative = w.exclusive(sign(w, a), sign(w, b))
    signed = w.select(is_negative, negated(w, quotient), quotient)
    return w.select(w.equal(b, w.constant(0)), w.constant(MASK), signed)


def remainder_signed(w: Algebra[W], a: W, b: W) -> W:
    """Has the sign of the dividend."""
    remainder = divide(w, magnitude(w, a), magnitude(w, b))[1]
    return w.select(sign(w, a), negated(w, remainder), remainder)


ARITHMETIC_STEPS: Final[dict[Op, Arithmetic]] = {
    Op.ADD: lambda w, a, b: w.add(a, b),
    Op.SUB: lambda w, a, b: w.subtract(a, b),
    Op.SLT: less_signed,
    Op.SLTU: lambda w, a, b: w.less(a, b),
    Op.XOR: lambda w, a, b: w.exclusive(a, b),
    Op.OR: lambda w, a, b: w.disjunction(a, b),
    Op.AND: lambda w, a, b: w.conjunction(a, b),
    Op.SLL: lambda w, a, b: w.shift_left(a, b),
    Op.SRL: lambda w, a, b: w.shift_right(a, b),
    Op.SRA: shift_right_arithmetic,
    Op.MUL: multiply_low,
    Op.MULH: multiply_high,
    Op.MULHSU: multiply_high_mixed,
    Op.MULHU: multiply_high_unsigned,
    Op.DIV: quotient_signed,
    Op.DIVU: quotient_unsigned,
    Op.REM: remainder_signed,
    Op.REMU: remainder_unsigned,
}


def extended(w: Algebra[W], part: W, bits: int) -> W:
    """Sign-extended from `bits` bits."""
    flip = w.constant(1 << (bits - 1))
    return w.subtract(w.exclusive(part, flip), flip)


LOAD_STEPS: Final[dict[Op, Load]] = {
    Op.LB: lambda w, word, place: extended(w, w.take(word, place, 8), 8),
    Op.LH: lambda w, word, place: extended(w, w.take(word, place, 16), 16),
    Op.LW: lambda w, word, place: w.take(word, place, 32),
    Op.LBU: lambda w, word, place: w.take(word, place, 8),
    Op.LHU: lambda w, word, place: w.take(word, place, 16),
}

STORE_STEPS: Final[dict[Op, Store]] = {
    Op.SB: lambda w, word, place, b: w.put(word, place, 8, b),
    Op.SH: lambda w, word, place, b: w.put(word, place, 16, b),
    Op.SW: lambda w, word, place, b: w.put(word, place, 32, b),
}

BRANCH_STEPS: Final[dict[Op, Arithmetic]] = {
    Op.BEQ: lambda w, a, b: w.equal(a, b),
    Op.BNE: lambda w, a, b: complement(w, w.equal(a, b)),
    Op.BLT: less_signed,
    Op.BGE: lambda w, a, b: complement(w, less_signed(w, a, b)),
    Op.BLTU: lambda w, a, b: w.less(a, b),
    Op.BGEU: lambda w, a, b: complement(w, w.less(a, b)),
}

ACCESS_BYTES: Final[dict[Op, int]] = {
    Op.LB: 1, Op.LH: 2, Op.LW: 4, Op.LBU: 1, Op.LHU: 2, Op.SB: 1, Op.SH: 2, Op.SW: 4,
}  # fmt: skip
"""An access is aligned to its size, so that it lies in one word."""
