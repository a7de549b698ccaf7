"""Words from the witness, taken apart into doubled nibbles, with every range enforced.

Stack items are scarce (1,000, and the witness counts from the start), so a 32-bit word arrives as
one number that carries 31 of its bits, the *limb*; the 32nd bits of several words share a further
number, the *packed* one.

Bits are not taken from the binary form, because Script cannot shift. They are *folded* in instead:
one step reads the sign of x as a bit and goes on with |x| - T, for a constant T. Whoever makes the
number goes backwards, x = -(x + T) for a bit 1 and x + T for a 0, and so can put any bits in. A
step is 6 bytes and T, without IF (comparing with a power of two and subtracting it: 11 and T).
With M the greatest magnitude that a step leaves, T = M + 1 makes the number unique.

Nothing a hostile witness can do makes a digit leave 0..15: bits are 0 or 1 by construction, and
what remains after the last step is checked. Numbers of more than 4 bytes fail; so do padded ones
and negative zero, by `minimal`."""

from collections.abc import Iterable, Sequence
from typing import Final

from p2p_seq.challenge.script.assembler import Assembler

DIGITS: Final = 8
WORD_BITS: Final = 32
SHARED_BIT: Final = 28
"""The bit of a word that its limb does not carry: the lowest of digit 7."""
LIMB_FOLDS: Final = (*(17 << k for k in reversed(range(26))), 9)
"""T of the 27 steps that give digits 7 to 1; the remainder is digit 0 less 8. Every limb is below
17 * 2^26 in magnitude, so it is a number of 4 bytes."""
PACKED_BITS_MAX: Final = 31
"""A packed number of n bits is odd and below 2^n in magnitude."""


def minimal(asm: Assembler) -> None:
    """... x -> ... x; fails unless x is the only minimal spelling of a number of at most 4 bytes"""
    asm.ops("DUP")
    asm.number(0)
    asm.ops("ADD OVER EQUALVERIFY")


def fold(asm: Assembler, threshold: int) -> None:
    """... x -> ... bit |x|-T"""
    asm.ops("DUP")
    asm.number(0)
    asm.ops("LESSTHAN SWAP ABS")
    asm.number(threshold)
    asm.ops("SUB")


def fold_away(asm: Assembler, threshold: int) -> None:
    """... x -> ... bit; altstack ... -> ... |x|-T"""
    asm.ops("DUP ABS")
    asm.number(threshold)
    asm.ops("SUB")
    asm.to_alt()
    asm.number(0)
    asm.ops("LESSTHAN")


def join_bits(asm: Assembler) -> None:
    """... b0 b1 b2 b3 -> ... 2 * (b0 + 2 b1 + 4 b2 + 8 b3)"""
    asm.ops("DUP ADD ADD DUP ADD ADD DUP ADD ADD DUP ADD")


def split_limb(asm: Assembler, names: Sequence[str]) -> None:
    """... shared limb -> ... digits 7, 6, .., 0, doubled; `shared` is the bit that the limb lacks

    `names`: of digit 0 first.
    """
    minimal(asm)
    steps = iter(LIMB_FOLDS)
    for place in reversed(range(1, DIGITS)):
        for _ in range(2 if place == DIGITS - 1 else 3):
            fold(asm, next(steps))
        fold_away(asm, next(steps))
        join_bits(asm)
        asm.name(names[place])
        asm.from_alt("")
    asm.number(8)
    asm.ops("ADD DUP")
    asm.number(0)
    asm.number(16)
    asm.ops("WITHIN VERIFY DUP ADD")
    asm.name(names[0])


def take_packed(asm: Assembler, packed: str) -> None:
    """... packed ... -> ...; altstack ... -> ... packed"""
    asm.roll(packed)
    minimal(asm)
    asm.to_alt()


def take_bit(asm: Assembler, bits: int) -> None:
    """altstack ... packed -> ... packed; ... -> ... bit, the first of the `bits` it has left"""
    asm.from_alt("")
    fold_away(asm, 1 << bits - 1)


def end_packed(asm: Assembler) -> None:
    """altstack ... packed -> ...; fails unless it had exactly the bits that were taken"""
    asm.from_alt("")
    asm.ops("NOT VERIFY")


def unpack_words(
    asm: Assembler, limbs: Sequence[str], words: Iterable[Sequence[str]], bits: int
) -> None:
    """Take limbs apart whose shared bits are the next ones of the packed number on the altstack.

    ... limbs ... -> ... words, each digit 7 first; altstack: packed -> packed without these bits

    `bits`: how many the packed number has left.
    """
    for limb, names in zip(limbs, words, strict=True):
        take_bit(asm, bits)
        bits -= 1
        asm.roll(limb)
        asm.name("")
        split_limb(asm, names)


def unpack_block(
    asm: Assembler, limbs: Sequence[str], packed: str, words: Sequence[Sequence[str]]
) -> None:
    """A block of words with a packed number of its own.

    ... limbs, packed ... -> ... words, each digit 7 first
    """
    take_packed(asm, packed)
    unpack_words(asm, limbs, words, len(limbs))
    end_packed(asm)


def pack_bits(bits: Sequence[int]) -> int:
    """The packed number that gives these bits, the first one first."""
    number = 0
    for place, bit in enumerate(reversed(bits)):
        number += 1 << place
        number = -number if bit else number
    return number


def shared_bit(word: int) -> int:
    """The bit of a word that goes into the packed number."""
    return word >> SHARED_BIT & 1


def limb(word: int) -> int:
    """The limb of a word."""
    order = [place + 4 * 7 for place in range(1, 4)]
    order += [place + 4 * digit for digit in reversed(range(1, 7)) for place in range(4)]
    number = (word & 15) - 8
    for threshold, place in zip(reversed(LIMB_FOLDS), reversed(order), strict=True):
        number += threshold
        number = -number if word >> place & 1 else number
    return number


def pack_words(words: Sequence[int]) -> list[int]:
    """What a witness shows for a block: its limbs and the packed number."""
    return [*map(limb, words), pack_bits([shared_bit(word) for word in words])]
