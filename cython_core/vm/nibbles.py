"""Arithmetic on nibbles, for the rules: written without the machine's definitions.

A word is eight digits of four bits, the lowest first, as Script sees it: sums carry from digit to
digit, orders compare digits from the top, products add up digit products. Nothing here divides:
whoever claims a violation brings quotient and remainder, and the claim is multiplied out. Numbers
of 256 bits are 64 digits, in products limbs of four digits; what is reduced modulo P256 has a hint
too, how often P256 was taken away.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from cython_core.vm.operations import P256, Op

Digits = tuple[int, ...]

ZERO: Final[Digits] = (0,) * 8
ONE: Final[Digits] = (1, *ZERO[1:])
ONES: Final[Digits] = (15,) * 8
XOR: Final = tuple(tuple(a ^ b for b in range(16)) for a in range(16))
AND: Final = tuple(tuple(a & b for b in range(16)) for a in range(16))


@lru_cache(maxsize=1 << 16)
def digits(word: int) -> Digits:
    """The digits of a word."""
    return tuple(word >> 4 * place & 15 for place in range(8))


def word(value: Sequence[int]) -> int:
    """The word of eight digits."""
    return sum(digit << 4 * place for place, digit in enumerate(value))


def add(a: Digits, b: Digits, carry: int = 0) -> tuple[Digits, int]:
    """Sum and the carry that comes out of it."""
    total = []
    for x, y in zip(a, b, strict=True):
        carry += x + y
        total.append(carry & 15)
        carry >>= 4
    return tuple(total), carry


def inverted(a: Digits) -> Digits:
    return tuple(15 - digit for digit in a)


def subtract(a: Digits, b: Digits) -> Digits:
    return add(a, inverted(b), 1)[0]


def negated(a: Digits) -> Digits:
    return subtract(ZERO, a)


def below(a: Digits, b: Digits) -> bool:
    """Unsigned order: the highest digit that differs decides."""
    for x, y in zip(reversed(a), reversed(b), strict=True):
        if x != y:
            return x < y
    return False


def is_negative(a: Digits) -> bool:
    return a[7] >= 8


def below_signed(a: Digits, b: Digits) -> bool:
    if is_negative(a) != is_negative(b):
        return is_negative(a)
    return below(a, b)


def product(a: Digits, b: Digits) -> tuple[Digits, Digits]:
    """Low and high word of the unsigned product, in columns."""
    columns = [0] * 16
    for place, x in enumerate(a):
        for other, y in enumerate(b):
            columns[place + other] += x * y
    carry = 0
    for place, column in enumerate(columns):
        carry += column
        columns[place] = carry & 15
        carry >>= 4
    return tuple(columns[:8]), tuple(columns[8:])


def by_table(table: Sequence[Sequence[int]], a: Digits, b: Digits) -> Digits:
    return tuple(table[x][y] for x, y in zip(a, b, strict=True))


def either(a: Digits, b: Digits) -> Digits:
    return inverted(by_table(AND, inverted(a), inverted(b)))


def _distance(b: Digits) -> int:
    return b[0] + 16 * (b[1] & 1)


def shifted_left(a: Digits, b: Digits) -> Digits:
    whole, bits = divmod(_distance(b), 4)
    moved = (0,) * whole + a[: 8 - whole]
    below_it = (0, *moved[:7])
    return tuple(
        (high << bits & 15) | low >> (4 - bits) for high, low in zip(moved, below_it, strict=True)
    )


def shifted_right(a: Digits, b: Digits, fill: int = 0) -> Digits:
    whole, bits = divmod(_distance(b), 4)
    moved = a[whole:] + (fill,) * whole
    above = (*moved[1:], fill)
    return tuple(
        low >> bits | (high << (4 - bits) & 15) for low, high in zip(moved, above, strict=True)
    )


def shifted_right_signed(a: Digits, b: Digits) -> Digits:
    return shifted_right(a, b, 15 if is_negative(a) else 0)


def _bit(truth: bool) -> Digits:
    return ONE if truth else ZERO


def _high(a: Digits, b: Digits, *, is_signed: bool) -> Digits:
    """High word with `a` signed, and `b` too if so: by products of magnitudes."""
    flips = is_negative(a) != (is_signed and is_negative(b))
    left = negated(a) if is_negative(a) else a
    right = negated(b) if is_signed and is_negative(b) else b
    low, high = product(left, right)
    if not flips:
        return high
    return add(inverted(high), ZERO, 1 if low == ZERO else 0)[0]


def quotient_and_remainder(a: Digits, b: Digits) -> tuple[Digits, Digits]:
    """Unsigned, b not zero: a hint, multiplied out."""
    hint = divmod(word(a), word(b))
    quotient, remainder = digits(hint[0]), digits(hint[1])
    low, high = product(quotient, b)
    total, carry = add(low, remainder)
    assert high == ZERO
    assert carry == 0
    assert total == a
    assert below(remainder, b)
    return quotient, remainder


def _divided(a: Digits, b: Digits, *, is_signed: bool, wants_quotient: bool) -> Digits:
    if b == ZERO:
        return ONES if wants_quotient else a
    left = negated(a) if is_signed and is_negative(a) else a
    right = negated(b) if is_signed and is_negative(b) else b
    quotient, remainder = quotient_and_remainder(left, right)
    if wants_quotient:
        flips = is_signed and is_negative(a) != is_negative(b)
        return negated(quotient) if flips else quotient
    return negated(remainder) if is_signed and is_negative(a) else remainder


ARITHMETIC: Final[dict[int, Callable[[Digits, Digits], Digits]]] = {
    Op.ADD: lambda a, b: add(a, b)[0],
    Op.SUB: subtract,
    Op.SLT: lambda a, b: _bit(below_signed(a, b)),
    Op.SLTU: lambda a, b: _bit(below(a, b)),
    Op.XOR: lambda a, b: by_table(XOR, a, b),
    Op.OR: either,
    Op.AND: lambda a, b: by_table(AND, a, b),
    Op.SLL: shifted_left,
    Op.SRL: shifted_right,
    Op.SRA: shifted_right_signed,
    Op.MUL: lambda a, b: product(a, b)[0],
    Op.MULH: lambda a, b: _high(a, b, is_signed=True),
    Op.MULHSU: lambda a, b: _high(a, b, is_signed=False),
    Op.MULHU: lambda a, b: product(a, b)[1],
    Op.DIV: lambda a, b: _divided(a, b, is_signed=True, wants_quotient=True),
    Op.DIVU: lambda a, b: _divided(a, b, is_signed=False, wants_quotient=True),
    Op.REM: lambda a, b: _divided(a, b, is_signed=True, wants_quotient=False),
    Op.REMU: lambda a, b: _divided(a, b, is_signed=False, wants_quotient=False),
}

BRANCHES: Final[dict[int, Callable[[Digits, Digits], bool]]] = {
    Op.BEQ: lambda a, b: a == b,
    Op.BNE: lambda a, b: a != b,
    Op.BLT: below_signed,
    Op.BGE: lambda a, b: not below_signed(a, b),
    Op.BLTU: below,
    Op.BGEU: lambda a, b: not below(a, b),
}

LIMB_BITS: Final = 16
FOLD: Final = (1 << 256) - P256
NUMBER_DIGITS: Final = 64
MODULUS: Final[Digits] = tuple(P256 >> 4 * place & 15 for place in range(NUMBER_DIGITS))


def joined(words: Sequence[int]) -> Digits:
    """The digits of a number of eight words."""
    return tuple(digit for part in words for digit in digits(part))


def _split(value: int, bits: int, count: int) -> tuple[int, ...]:
    """A hint in parts; one that does not fit is no hint."""
    assert 0 <= value < 1 << bits * count
    return tuple(value >> bits * place & ((1 << bits) - 1) for place in range(count))


def _together(value: Sequence[int], bits: int) -> int:
    return sum(part << bits * place for place, part in enumerate(value))


def _words(remainder: Digits) -> tuple[int, ...]:
    """The words of a remainder, which must be reduced."""
    assert below(remainder, MODULUS)
    return tuple(word(remainder[at : at + 8]) for at in range(0, NUMBER_DIGITS, 8))


def _carried(columns: Sequence[int]) -> tuple[int, ...]:
    """Columns as limbs."""
    limbs, carry = [], 0
    for column in columns:
        carry += column
        limbs.append(carry & ((1 << LIMB_BITS) - 1))
        carry >>= LIMB_BITS
    assert carry == 0
    return tuple(limbs)


def _times(multiple: int, value: Digits) -> Digits:
    """A small multiple, in one digit more."""
    total: Digits = (0,) * (NUMBER_DIGITS + 1)
    for _ in range(multiple):
        total = add(total, (*value, 0))[0]
    return total


def product_modulo(a: Digits, c: Digits) -> tuple[int, ...]:
    """a * c mod P256: with a hint q, a * c + q * FOLD = q * 2^256 + r in columns of limbs."""
    left, right = (_split(_together(value, 4), LIMB_BITS, 16) for value in (a, c))
    q, r = divmod(_together(left, LIMB_BITS) * _together(right, LIMB_BITS), P256)
    quotient, fold = _split(q, LIMB_BITS, 17), _split(FOLD, LIMB_BITS, 3)
    remainder = _split(r, LIMB_BITS, 16)
    columns = [0] * 34
    for first, second in ((left, right), (quotient, fold)):
        for place, x in enumerate(first):
            for other, y in enumerate(second):
                columns[place + other] += x * y
    assert _carried(columns) == (*remainder, *quotient, 0)
    return _words(_split(r, 4, NUMBER_DIGITS))


def sum_modulo(a: Digits, c: Digits) -> tuple[int, ...]:
    """c + a mod P256: with a hint q of 0 to 2, c + a = q * P256 + r."""
    q, r = divmod(_together(a, 4) + _together(c, 4), P256)
    remainder = _split(r, 4, NUMBER_DIGITS)
    assert add((*c, 0), (*a, 0)) == add(_times(q, MODULUS), (*remainder, 0))
    return _words(remainder)


def difference_modulo(a: Digits, c: Digits) -> tuple[int, ...]:
    """c - a mod P256: with a hint q of 0 to 3, c + q * P256 = P256 + a + r."""
    q, r = divmod(_together(c, 4) - _together(a, 4), P256)
    remainder = _split(r, 4, NUMBER_DIGITS)
    left = add(_times(1 - q, MODULUS), (*c, 0))
    assert left == add(_times(1, MODULUS), add((*a, 0), (*remainder, 0))[0])
    return _words(remainder)


FIELD: Final[dict[int, Callable[[Digits, Digits], tuple[int, ...]]]] = {
    Op.MULP: product_modulo,
    Op.SQRP: lambda a, _: product_modulo(a, a),
    Op.ADDP: sum_modulo,
    Op.SUBP: difference_modulo,
    Op.COPY: lambda a, _: tuple(word(a[at : at + 8]) for at in range(0, NUMBER_DIGITS, 8)),
}
"""The words at rs2 after an operation: `a` is the number at rs1, `c` the one at rs2 before."""
