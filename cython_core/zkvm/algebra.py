"""The constraints' back end of the step definitions (vm/algebra.py).

Each operation of the algebra makes the columns and constraints that fix its result. What is written
once in `vm/semantics.py` thereby becomes, for each operation of the machine, the constraints of its
rows and the formulas that fill them.

Sums, differences and choices make nothing: their limbs are expressions that may leave the range of
16 bits, with bounds that say how far. Only where the limbs themselves matter is a word brought to
its canonical form, by carries and facts about its range. All bounds are far below p, so that what
is equal in the field is equal as integers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar, cast

from cython_core.zkvm.buses import CONJUNCTION, PAIR
from cython_core.zkvm.cells import ZERO, Cell, known
from cython_core.zkvm.fill import inverse, product_limb, quotient, remainder
from cython_core.zkvm.row_chip import RowChip, Scope
from cython_core.zkvm.words import (
    BYTE,
    LIMB,
    LIMB_BITS,
    LIMB_LIMIT,
    NOTHING,
    Bounds,
    Word,
    bit_word,
    chosen,
    constant_word,
    minus,
    plus,
    word_of,
)

T = TypeVar("T")

MASK: Final = 0xFFFFFFFF
BYTES: Final = 4


@dataclass(frozen=True, eq=False)
class Mask(Word):
    """All ones where the bit is set, else zero."""

    bit: Cell = ZERO


def carried(scope: Scope, total: Cell, limb: Cell, bounds: Bounds) -> tuple[Cell, Bounds]:
    """How often 2^16 is in a limb's total, as a sum of bits above the least possible."""
    carries = bounds.carries()
    times = (total.fill - limb.fill) >> LIMB_BITS
    carry = known(carries.least)
    for step in range(carries.least, carries.greatest):
        carry = carry + scope.bit(1 - times.below(step + 1))
    return Cell(carry.air, times), carries


class AirAlgebra:
    """Words of the rows of one operation of a chip."""

    def __init__(self, chip: RowChip, scope: Scope) -> None:
        self._chip = chip
        self._scope = scope
        self._known: dict[tuple[object, ...], object] = {}

    # Helpers

    def _once(self, name: str, operands: tuple[Word, ...], make: Callable[[Scope], T]) -> T:
        """What a gadget makes of some operands, made once: for all operations if it can be."""
        is_shared = all(word.shared for word in operands)
        store = self._chip.gadgets if is_shared else self._known
        key = (name, *operands)
        if key not in store:
            store[key] = make(self._chip.everywhere if is_shared else self._scope)
        return cast("T", store[key])

    def canonical(self, word: Word) -> Word:
        """The word with limbs in their range and of degree 1."""
        if word.is_canonical:
            return self._flat(word)
        value = word.value
        low = self._scope.limb(value & LIMB.greatest)
        high = self._scope.limb(value >> LIMB_BITS)
        self.settle(word, low, high)
        return word_of(low, high)

    def write(self, word: Word) -> None:
        """The word is what the operation computes: the chip's two columns for that hold it."""
        value = word.value
        target = self._scope.result(value & LIMB.greatest, value >> LIMB_BITS)
        self.settle(word, target.low, target.high)

    def settle(self, word: Word, low: Cell, high: Cell) -> None:
        """Requires that limbs, which are shown to be in range, are those of the word."""
        carry, carry_bounds = carried(self._scope, word.low, low, word.low_bounds)
        above = word.high + carry
        rest, _ = carried(self._scope, above, high, word.high_bounds + carry_bounds)
        self._scope.equal(low + carry * LIMB_LIMIT, word.low, "the low limb")
        self._scope.equal(high + rest * LIMB_LIMIT, above, "the high limb")

    def _flat(self, word: Word) -> Word:
        if word.degree <= 1:
            return word
        return replace(
            word, low=self._scope.flat(word.low), high=self._scope.flat(word.high), shared=False
        )

    def _bit(self, word: Word) -> Cell:
        """A bit's cell, of degree 1."""
        assert word.is_bit
        return self._scope.flat(word.low)

    # Arithmetic

    def constant(self, value: int) -> Word:
        return constant_word(value & MASK)

    def add(self, a: Word, b: Word) -> Word:
        return plus(a, b)

    def subtract(self, a: Word, b: Word) -> Word:
        return minus(a, b)

    def select(self, bit: Word, if_one: Word, if_zero: Word) -> Word:
        chooser = self._bit(bit)
        made = chosen(chooser, self._flat(if_one), self._flat(if_zero))
        if if_one.constant == MASK and if_zero.constant == 0:
            return Mask(made.low, made.high, bit=chooser)
        return made

    def less(self, a: Word, b: Word) -> Word:
        """The borrow of a - b."""
        first, second, scope = self.canonical(a), self.canonical(b), self._scope
        low_borrow = scope.bit(first.low.fill.below(second.low.fill))
        borrow = scope.bit(first.value.below(second.value))
        low = first.low - second.low + low_borrow * LIMB_LIMIT
        high = first.high - second.high - low_borrow + borrow * LIMB_LIMIT
        for name, limb in (("low", low), ("high", high)):
            scope.equal(scope.limb(limb.fill), limb, f"the {name} limb of a difference")
        return bit_word(borrow)

    def equal(self, a: Word, b: Word) -> Word:
        """1 if both differences are zero; else a combination of them has an inverse."""
        first, second = self.canonical(a), self.canonical(b)
        low, high = first.low - second.low, first.high - second.high
        scope = self._scope
        is_equal = scope.bit(first.value.equals(second.value))
        low_inverse = scope.free(inverse(low.fill))
        has_low = low.fill.equals(0)
        high_inverse = scope.free(has_low.choose(inverse(high.fill), 0))
        scope.require(is_equal * low, "equal low limbs")
        scope.require(is_equal * high, "equal high limbs")
        difference = low * low_inverse + high * high_inverse
        scope.require(is_equal + difference - 1, "equal, or a limb differs")
        return bit_word(is_equal)

    def require(self, bit: Word) -> None:
        self._scope.require(1 - bit.low, "a bit is set")

    # Bits

    def exclusive(self, a: Word, b: Word) -> Word:
        if a.is_bit and b.is_bit:
            product = self._scope.flat(a.low) * self._scope.flat(b.low)
            return bit_word(a.low + b.low - product * 2)
        if b.constant is not None and b.constant.bit_count() == 1:
            return self._flipped(a, b.constant.bit_length() - 1)
        if isinstance(b, Mask):
            return self._flipped_if(a, b.bit)
        both = self.conjunction(a, b)
        first, second = self.canonical(a), self.canonical(b)
        return word_of(
            first.low + second.low - both.low * 2, first.high + second.high - both.high * 2
        )

    def _flipped(self, a: Word, place: int) -> Word:
        """With its highest bit the other way; `a` has no higher one."""
        top = self._top(a, place)
        flipped = (1 << place % LIMB_BITS) - top * (1 << place % LIMB_BITS + 1)
        if place < LIMB_BITS:
            return replace(a, low=a.low + flipped, shared=False)
        return replace(a, high=a.high + flipped, shared=False)

    def _top(self, a: Word, place: int) -> Cell:
        """Bit `place`, the highest one that the canonical word can have."""
        limb, bounds = (a.low, a.low_bounds) if place < LIMB_BITS else (a.high, a.high_bounds)
        assert a.is_canonical
        assert bounds.greatest < 2 << place % LIMB_BITS
        assert place >= LIMB_BITS or a.high_bounds == NOTHING

        def make(scope: Scope) -> Cell:
            bit = scope.bit(limb.fill >> place % LIMB_BITS)
            # What is left is below 2^place: its multiple is in the range of a limb.
            rest = (limb - bit * (1 << place % LIMB_BITS)) * (1 << LIMB_BITS - place % LIMB_BITS)
            column = scope.limb(rest.fill)
            scope.equal(column, rest, "the bits below the highest")
            return bit

        return self._once(f"top {place}", (a,), make)

    def _flipped_if(self, a: Word, bit: Cell) -> Word:
        """Complemented where the bit is set."""
        word = self.canonical(a)
        return word_of(
            word.low + bit * (LIMB.greatest - word.low * 2),
            word.high + bit * (LIMB.greatest - word.high * 2),
        )

    def conjunction(self, a: Word, b: Word) -> Word:
        first, second = self.canonical(a), self.canonical(b)

        def make(scope: Scope) -> Word:
            limbs = []
            for x, y in ((first.low, second.low), (first.high, second.high)):
                results = []
                pairs = zip(self._split(scope, x), self._split(scope, y), strict=True)
                for left, right in pairs:
                    result = scope.free(left.fill & right.fill)
                    scope.fact(CONJUNCTION, [left, right, result])
                    results.append(result)
                limbs.append(results[0] + results[1] * 0x100)
            return word_of(*limbs)

        return self._once("conjunction", (first, second), make)

    def disjunction(self, a: Word, b: Word) -> Word:
        both = self.conjunction(a, b)
        first, second = self.canonical(a), self.canonical(b)
        return word_of(first.low + second.low - both.low, first.high + second.high - both.high)

    @staticmethod
    def _split(scope: Scope, limb: Cell) -> tuple[Cell, Cell]:
        """Two numbers that make up a limb: bytes, where facts say so."""
        low = scope.free(limb.fill & 0xFF)
        return low, (limb - low).divided(8)

    def _bytes(self, word: Word) -> list[Cell]:
        """The four bytes of a canonical word, lowest first."""
        assert word.is_canonical

        def make(scope: Scope) -> list[Cell]:
            found: list[Cell] = []
            for limb in (word.low, word.high):
                if limb.is_zero:
                    found += (ZERO, ZERO)
                    continue
                found += self._byte_pair(scope, limb)
            return found

        return self._once("bytes", (word,), make)

    def _byte_pair(self, scope: Scope, limb: Cell) -> tuple[Cell, Cell]:
        """The two bytes of a limb. Operations share the fact that bytes of the pool are bytes."""
        if scope.op is None:
            low, high = self._split(scope, limb)
            scope.fact(PAIR, [low, high])
        else:
            low, high = scope.byte_pair(limb.fill & 0xFF, limb.fill >> 8)
            scope.equal(low + high * 0x100, limb, "the bytes of a limb")
        return low, high

    # Shifts

    def shift_left(self, a: Word, distance: Word) -> Word:
        return self._shifted(a, distance, is_left=True)

    def shift_right(self, a: Word, distance: Word) -> Word:
        if distance.constant == 31:
            return bit_word(self._top(self.canonical(a), 31))
        return self._shifted(a, distance, is_left=False)

    def _shifted(self, a: Word, distance: Word, *, is_left: bool) -> Word:
        """Each byte times 2^k or 2^(8 - k), k the distance modulo 8, in two bytes; these are put
        together, and moved by whole bytes.
        """
        scope = self._scope
        factor, moves = self._distance(self.canonical(distance), is_left=is_left)
        lows, highs = [], []
        for byte in self._bytes(self.canonical(a)):
            product = byte * factor
            low, high = scope.byte_pair(product.fill & 0xFF, product.fill >> 8)
            scope.equal(low + high * 0x100, product, "a shifted byte")
            lows.append(low)
            highs.append(high)
        if is_left:
            parts = [low + high for low, high in zip(lows, [ZERO, *highs[:-1]], strict=True)]
        else:
            parts = [low + high for low, high in zip([*lows[1:], ZERO], highs, strict=True)]
        step = -1 if is_left else 1
        moved = []
        for place in range(BYTES):
            sources = [(move, place + step * by) for by, move in enumerate(moves)]
            terms = [move * parts[at] for move, at in sources if 0 <= at < BYTES]
            moved.append(sum(terms[1:], terms[0]))
        return word_of(moved[0] + moved[1] * 0x100, moved[2] + moved[3] * 0x100)

    def _distance(self, distance: Word, *, is_left: bool) -> tuple[Cell, list[Cell]]:
        """The factor for the distance within a byte, and whether it moves 0, 1, 2 or 3 bytes."""
        scope = self._scope
        bits = [scope.bit(distance.low.fill >> place & 1) for place in range(5)]
        rest = distance.low - sum((bit * (1 << at) for at, bit in enumerate(bits)), ZERO)
        column = scope.limb((rest.fill) >> 5)
        scope.equal(column * 32, rest, "what the distance leaves out")
        if is_left:
            steps = [1 + bit * ((1 << (1 << at)) - 1) for at, bit in enumerate(bits[:3])]
        else:
            steps = [
                (1 << (1 << at)) - bit * ((1 << (1 << at)) - 1) for at, bit in enumerate(bits[:3])
            ]
        factor = scope.flat(scope.flat(steps[0] * steps[1]) * steps[2])
        one, two = bits[3], bits[4]
        moves = [
            scope.flat(move)
            for move in ((1 - one) * (1 - two), one * (1 - two), (1 - one) * two, one * two)
        ]
        return (factor if is_left else factor * 2), moves

    # Products

    def product(self, a: Word, b: Word) -> tuple[Word, Word]:
        """By bytes, so that the sums of a limb stay below 2^27.

        What is carried must be below 2^14: with 16 bits, a limb and its carry could make up the sum
        plus p.
        """
        first, second = self.canonical(a), self.canonical(b)

        def make(scope: Scope) -> tuple[Word, Word]:
            x, y = self._bytes(first), self._bytes(second)
            sums = [
                sum((x[i] * y[at - i] for i in range(BYTES) if 0 <= at - i < BYTES), ZERO)
                for at in range(2 * BYTES)
            ]
            carry, limbs = ZERO, []
            for at in range(4):
                total = sums[2 * at] + sums[2 * at + 1] * 0x100 + carry
                limb = scope.limb(product_limb(first.value, second.value, at))
                limbs.append(limb)
                over = Cell(0, (total.fill - limb.fill) >> LIMB_BITS)
                carry = scope.carry(over.fill) if at < 3 else ZERO
                scope.equal(limb + carry * LIMB_LIMIT, total, f"limb {at} of a product")
            return word_of(limbs[0], limbs[1]), word_of(limbs[2], limbs[3])

        return self._once("product", (first, second), make)

    def division_hint(self, a: Word, b: Word) -> tuple[Word, Word]:
        hints = []
        for value in (quotient(a.value, b.value), remainder(a.value, b.value)):
            low = self._scope.limb(value & LIMB.greatest)
            hints.append(word_of(low, self._scope.limb(value >> LIMB_BITS)))
        return hints[0], hints[1]

    # Parts of words

    def take(self, word: Word, place: Word, bits: int) -> Word:
        if bits == 32:
            return word
        chosen_byte = self._chip.places(place)
        if bits == 16:
            halves = chosen_byte[0] * word.low + chosen_byte[2] * word.high
            return Word(halves, ZERO, LIMB, NOTHING)
        parts = zip(chosen_byte, self._bytes(word), strict=True)
        return Word(sum((at * byte for at, byte in parts), ZERO), ZERO, BYTE, NOTHING)

    def put(self, word: Word, place: Word, bits: int, part: Word) -> Word:
        if bits == 32:
            return part
        at = self._chip.places(place)
        if bits == 16:
            return word_of(
                word.low + at[0] * (part.low - word.low),
                word.high + at[2] * (part.low - word.high),
            )
        new, old = self._bytes(part)[0], self._bytes(word)
        changes = [at[number] * (new - old[number]) for number in range(BYTES)]
        return word_of(
            word.low + changes[0] + changes[1] * 0x100, word.high + changes[2] + changes[3] * 0x100
        )
