"""The chips of numbers of 256 bits: products and squares, sums and differences modulo p256.

    product    [v2] := [v1] * [v2], [v2] := [v1]^2
    sum        [v2] := [v2] + [v1], [v2] := [v2] - [v1], [v2] := [v1]

p256 = 2^256 - D with D = 2^32 + 977 (SEC 2, section 2.4.1). Operands are any 256 bits; results of
all but the copy are below p256. Both addresses are multiples of 32; regions that meet cannot
balance (see `wide`).

Every equation is one of integers, limb by limb, whose sides are below the field's modulus p:

    product    a b + q D = q 2^256 + r        q below 2^257: its lowest 256 bits are limbs of
                                              16 bits, what is above them is the last carry, a bit
    sum        c + a + k D = k 2^256 + r      k is the last carry, 0 to 2
    difference a + r + e D + 2^256 = c + D + e 2^256     e - 1 is the last carry, -1 to 2

In a product bytes are multiplied: a limb's total is below 32 * 255^2 * 257 + 978 * 2^16 + 2^14, so
that what it carries is below 2^14.
"""

from collections.abc import Sequence
from typing import Final

from cython_core.air.table import MODULUS
from cython_core.vm.operations import P256, Op
from cython_core.vm.records import LINE_WORDS
from cython_core.zkvm.algebra import carried
from cython_core.zkvm.buses import PAIR, RANGE
from cython_core.zkvm.cells import ZERO, Cell
from cython_core.zkvm.fill import Fill, field_inverse
from cython_core.zkvm.row_chip import LIMB, WIDE_WORDS, RowChip, Scope, Second
from cython_core.zkvm.wide import LINE_A, LINE_C, LINE_LOG, OUT_AT, access_line
from cython_core.zkvm.words import (
    LIMB_BITS,
    LIMB_LIMIT,
    NOTHING,
    Bounds,
    Word,
    word_address,
)

LIMBS: Final = 2 * LINE_WORDS
BYTES: Final = 2 * LIMBS
EXCESS: Final = (1 << 256) - P256
"""D."""
EXCESS_LIMBS: Final = tuple(EXCESS >> LIMB_BITS * at & LIMB for at in range(LIMBS))
LOW_EXCESS: Final = EXCESS_LIMBS[0]
INVERSE: Final = pow(LOW_EXCESS, -1, LIMB_LIMIT)
"""Modulo 2^16: D is odd."""
P_INVERSE: Final = pow(P256, -1, LIMB_LIMIT)
CARRY_LIMIT: Final = 1 << 14
TOTAL_MAX: Final = BYTES * 255 * 255 * 257 + (LOW_EXCESS + 1) * LIMB + CARRY_LIMIT
LOW_LIMBS: Final = 3
"""p256 - 1 has only ones above these."""

assert (977, 0, 1, *(0,) * (LIMBS - 3)) == EXCESS_LIMBS
assert TOTAL_MAX < CARRY_LIMIT * LIMB_LIMIT
assert LIMB + CARRY_LIMIT * LIMB_LIMIT < MODULUS


def limbs_of(words: Sequence[Word]) -> list[Cell]:
    """The lowest first."""
    return [limb for word in words for limb in (word.low, word.high)]


class Number:
    """A chip of wide steps over two numbers, with its columns for them and for the result."""

    def __init__(self, name: str, ops: Sequence[Op]) -> None:
        self.chip = RowChip(
            name, [(op, True) for op in ops], second=Second.REGISTER, writes=False,
            row_words=WIDE_WORDS,
        )  # fmt: skip
        chip = self.chip
        for base in (chip.v1, chip.v2):
            chip.everywhere.fact(RANGE, [base.low.divided(LINE_LOG)])
        out = [chip.words(f"out[{at}]", OUT_AT + at) for at in range(LINE_WORDS)]
        self.result = limbs_of(out)
        for limb in self.result:
            chip.everywhere.fact(RANGE, [limb])
        self.operand = limbs_of(access_line(chip, "a", LINE_A, word_address(chip.v1)))
        target = word_address(chip.v2)
        self.accumulator = limbs_of(access_line(chip, "c", LINE_C, target, out))

    def reduced(self, scope: Scope) -> None:
        """The result is below p256: a limb above the lowest three is not all ones, or these are
        at most those of p256 - 1.
        """
        missing = sum_cells([LIMB - limb for limb in self.result[LOW_LIMBS:]])
        has_missing = scope.bit(1 - missing.fill.equals(0))
        scope.equal(
            has_missing, missing * scope.free(field_inverse(missing.fill)), "a limb has a zero"
        )
        borrow = ZERO
        greatest = P256 - 1
        for at in range(LOW_LIMBS):
            rest = (greatest >> LIMB_BITS * at & LIMB) - self.result[at] - borrow
            is_short = (1 - has_missing.fill) * rest.fill.below(0)
            borrow = scope.bit(is_short) if at < LOW_LIMBS - 1 else ZERO
            left = rest + borrow * LIMB_LIMIT
            shown = scope.limb((1 - has_missing.fill) * left.fill)
            scope.equal(shown, (1 - has_missing) * left, "what is left of the greatest number")


def sum_cells(cells: Sequence[Cell]) -> Cell:
    total = cells[0]
    for cell in cells[1:]:
        total = total + cell
    return total


def split(scope: Scope, limb: Cell) -> list[Cell]:
    """The two bytes of a limb, shown by a fact."""
    low = scope.free(limb.fill & 0xFF)
    high = (limb - low).divided(8)
    scope.fact(PAIR, [low, high])
    return [low, high]


def is_near_top(limbs: Sequence[Cell]) -> tuple[Fill, Fill]:
    """Whether a number is above 2^256 - 2^48, and how far it is below 2^256 then."""
    low = sum_cells([limb * (1 << LIMB_BITS * at) for at, limb in enumerate(limbs[:LOW_LIMBS])])
    missing = sum_cells([LIMB - limb for limb in limbs[LOW_LIMBS:]])
    return missing.fill.equals(0), (1 << LIMB_BITS * LOW_LIMBS) - low.fill


def overflow(left: Sequence[Cell], right: Sequence[Cell]) -> Fill:
    """Whether the quotient of a product by p256 has 257 bits: (2^256 - x) (2^256 - y) does so for
    x + y <= D.
    """
    (is_left, x), (is_right, y) = is_near_top(left), is_near_top(right)
    return is_left & is_right & (x + y).below(EXCESS + 1)


def products() -> RowChip:
    number = Number("product", [Op.MULP, Op.SQRP])
    chip, scope = number.chip, number.chip.everywhere
    is_square = chip.selectors[Op.SQRP]
    left: list[Cell] = []
    right: list[Cell] = []
    factors: list[Cell] = []
    for a, c in zip(number.operand, number.accumulator, strict=True):
        left += split(scope, a)
        chosen = scope.free(is_square.fill.choose(a.fill, c.fill))
        scope.require(chosen - c - is_square * (a - c), "the second factor")
        right += split(scope, chosen)
        factors.append(chosen)
    top = scope.bit(overflow(number.operand, factors))
    sums = [
        sum_cells([left[i] * right[at - i] for i in range(BYTES) if 0 <= at - i < BYTES])
        for at in range(2 * BYTES - 1)
    ] + [ZERO]
    quotient: list[Cell] = []
    carry = ZERO
    for at in range(2 * LIMBS):
        total = sums[2 * at] + sums[2 * at + 1] * 0x100 + carry
        if 2 <= at < LIMBS + 2:
            total = total + quotient[at - 2]
        if at < LIMBS:
            # D q has only limbs of q up to this one: it follows from what the limb must be.
            needed = (number.result[at].fill - total.fill) * INVERSE & LIMB
            quotient.append(scope.limb(needed))
            total = total + quotient[at] * LOW_EXCESS
        limb = number.result[at] if at < LIMBS else quotient[at - LIMBS]
        if at == LIMBS:
            total = total + top * LOW_EXCESS
        if at == LIMBS + 2:
            total = total + top
        over = (total.fill - limb.fill) >> LIMB_BITS
        carry = scope.carry(over) if at < 2 * LIMBS - 1 else top
        scope.equal(limb + carry * LIMB_LIMIT, total, f"limb {at} of a product")
    number.reduced(scope)
    chip.finish()
    return chip


def sums() -> RowChip:
    number = Number("sum", [Op.ADDP, Op.SUBP, Op.COPY])
    chip = number.chip
    copy = chip.scope(Op.COPY)
    for result, limb in zip(number.result, number.operand, strict=True):
        copy.equal(result, limb, "a copied limb")
    _sum(number, chip.scope(Op.ADDP))
    _difference(number, chip.scope(Op.SUBP))
    chip.finish()
    return chip


def _times(scope: Scope, fill: Fill, greatest: int) -> Cell:
    """How often p256 is taken, 0 to `greatest`."""
    count = fill & LIMB
    bits = [scope.bit(1 - count.below(step + 1)) for step in range(greatest)]
    return Cell(sum_cells(bits).air, count)


def _sum(number: Number, scope: Scope) -> None:
    a, c, result = number.operand, number.accumulator, number.result
    times = _times(scope, (c[0] + a[0] - result[0]).fill * P_INVERSE, 2)
    totals = [c[at] + a[at] + times * EXCESS_LIMBS[at] for at in range(LIMBS)]
    _chain(scope, totals, result, Bounds(0, 2 * LIMB + 2 * LOW_EXCESS), times)
    number.reduced(scope)


def _difference(number: Number, scope: Scope) -> None:
    a, c, result = number.operand, number.accumulator, number.result
    times = _times(scope, (result[0] + a[0] - c[0]).fill * P_INVERSE + 1, 3)
    totals = [a[at] + result[at] + (times - 1) * EXCESS_LIMBS[at] for at in range(LIMBS)]
    bounds = Bounds(-LOW_EXCESS, 2 * LIMB + 2 * LOW_EXCESS)
    _chain(scope, totals, c, bounds, times - 1)
    number.reduced(scope)


def _chain(
    scope: Scope, totals: Sequence[Cell], limbs: Sequence[Cell], bounds: Bounds, last: Cell
) -> None:
    """Totals are limbs and what they carry on; the last carry is known."""
    carry, carries = ZERO, NOTHING
    for at, (total, limb) in enumerate(zip(totals, limbs, strict=True)):
        over = total + carry
        if at < LIMBS - 1:
            carry, carries = carried(scope, over, limb, bounds + carries)
        else:
            carry = last
        scope.equal(limb + carry * LIMB_LIMIT, over, f"limb {at} of a sum")


NUMBER_CHIPS: Final = (products(), sums())
