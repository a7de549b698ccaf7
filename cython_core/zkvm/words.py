"""Words of 32 bits as two limbs, with what is known of them."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from cython_core.zkvm.cells import ZERO, Cell, known
from cython_core.zkvm.fill import WORD, Fill

LIMB_BITS: Final = 16
LIMB_LIMIT: Final = 1 << LIMB_BITS


class Bounds(NamedTuple):
    """Least and greatest value of a limb, as an integer."""

    least: int
    greatest: int

    def __add__(self, other: "Bounds") -> "Bounds":  # type: ignore[override]
        return Bounds(self.least + other.least, self.greatest + other.greatest)

    def __sub__(self, other: "Bounds") -> "Bounds":
        return Bounds(self.least - other.greatest, self.greatest - other.least)

    def __or__(self, other: "Bounds") -> "Bounds":
        """Of one or the other."""
        return Bounds(min(self.least, other.least), max(self.greatest, other.greatest))

    def carries(self) -> "Bounds":
        """Of the multiple of 2^16 that must be taken off to get a limb."""
        return Bounds(self.least >> LIMB_BITS, self.greatest >> LIMB_BITS)


BIT: Final = Bounds(0, 1)
BYTE: Final = Bounds(0, 0xFF)
LIMB: Final = Bounds(0, LIMB_LIMIT - 1)
NOTHING: Final = Bounds(0, 0)


@dataclass(frozen=True, eq=False)
class Word:
    """low + 2^16 high, modulo 2^32.

    A limb is an integer within its bounds. Where these are those of 16 bits, it is *the* limb of
    the value and the word is canonical; else the limbs only make up the value.
    """

    low: Cell
    high: Cell
    low_bounds: Bounds = LIMB
    high_bounds: Bounds = LIMB
    shared: bool = False
    """Whether it is the same for all operations of a chip."""

    @property
    def value(self) -> Fill:
        return self.low.fill + self.high.fill * LIMB_LIMIT & WORD

    @property
    def is_canonical(self) -> bool:
        return all(
            bounds.least >= 0 and bounds.greatest < LIMB_LIMIT
            for bounds in (self.low_bounds, self.high_bounds)
        )

    @property
    def degree(self) -> int:
        return max(self.low.degree, self.high.degree)

    @property
    def is_bit(self) -> bool:
        return (
            self.high_bounds == NOTHING
            and self.low_bounds.least >= 0
            and (self.low_bounds.greatest <= 1)
        )

    @property
    def constant(self) -> int | None:
        """The value, where it is one."""
        if isinstance(self.low.air, int) and isinstance(self.high.air, int):
            return (self.low.air + self.high.air * LIMB_LIMIT) & WORD
        return None


def word_of(low: Cell, high: Cell, *, shared: bool = False) -> Word:
    """A canonical word."""
    return Word(low, high, shared=shared)


def word_address(word: Word) -> Cell:
    """The address of a memory word from that of its first byte, a multiple of 4.

    Of another byte address it is an element that is no integer below 2^30.
    """
    return word.low.divided(2) + word.high * (LIMB_LIMIT // 4)


def bit_word(bit: Cell) -> Word:
    return Word(bit, ZERO, BIT, NOTHING)


def constant_word(value: int) -> Word:
    low, high = value & 0xFFFF, value >> 16 & 0xFFFF
    return Word(known(low), known(high), Bounds(low, low), Bounds(high, high), shared=True)


def plus(a: Word, b: Word) -> Word:
    """Limb by limb; nothing is carried."""
    return Word(
        a.low + b.low, a.high + b.high, a.low_bounds + b.low_bounds, a.high_bounds + b.high_bounds
    )


def minus(a: Word, b: Word) -> Word:
    return Word(
        a.low - b.low, a.high - b.high, a.low_bounds - b.low_bounds, a.high_bounds - b.high_bounds
    )


def chosen(bit: Cell, if_one: Word, if_zero: Word) -> Word:
    return Word(
        _either(bit, if_one.low, if_zero.low),
        _either(bit, if_one.high, if_zero.high),
        if_one.low_bounds | if_zero.low_bounds,
        if_one.high_bounds | if_zero.high_bounds,
    )


def _either(bit: Cell, if_one: Cell, if_zero: Cell) -> Cell:
    return if_zero + bit * (if_one - if_zero)
