"""One-time Winternitz signatures with 16 steps a digit and HASH160 chains.

A secret s of a digit has the public end H^15(s). The signature of digit d is H^d(s), which whoever
verifies hashes 15 - d times more. From it anybody can make the signature of a greater digit, never
of a smaller one; so what is signed must have the property that no other message has all digits
greater or equal. Two ways:

* *fixed sum*: only messages whose digits sum to T = 7.5 * digits are valid. The signer grinds for
  it.
* *checksum*: three digits more sign 15 * digits - sum.

With fixed sums two signatures of different messages give openings (the smaller digit of each chain)
whose digits sum to less than T, which no single signature gives: equivocation is one verification.
"""

from collections.abc import Sequence
from typing import Final

from p2p_seq.challenge.script.assembler import Assembler

STEPS: Final = 15
"""Hashes from a secret to its public end."""
KEY_BYTES: Final = 20
CHECKSUM_DIGITS: Final = 3
_DIGIT: Final = "winternitz:digit"


def fixed_sum(digits: int) -> int:
    """T for messages of so many digits: the most frequent sum."""
    return 15 * digits // 2


def _hash_on(asm: Assembler) -> None:
    """... opening -> ... opening H(opening) .. H^15(opening)"""
    asm.ops("DUP HASH160 " * STEPS)


def _end_chain(asm: Assembler, public_end: bytes) -> None:
    """... 16 hashes, picked -> ...; fails unless the picked one is the public end"""
    if len(public_end) != KEY_BYTES:
        raise ValueError(f"public end of {len(public_end)} bytes")
    asm.element(public_end)
    asm.ops("EQUALVERIFY")
    asm.drop(STEPS + 1)


def check_pairs(asm: Assembler, public_ends: Sequence[bytes]) -> None:
    """... digit_n opening_n .. digit_1 opening_1 -> ... sum of the digits

    Digits come from the witness. One above 15 counts as 15; a negative one fails, as does an
    opening that does not lead to the end of its chain."""
    _check_pairs(asm, public_ends)
    _sum_of_alt(asm, len(public_ends))


def _check_pairs(asm: Assembler, public_ends: Sequence[bytes]) -> None:
    """... digit_n opening_n .. digit_1 opening_1 -> ...; altstack ... -> ... digit_1 .. digit_n"""
    for public_end in public_ends:
        _hash_on(asm)
        _take_digit(asm)
        asm.to_alt()
        asm.ops("PICK")
        _end_chain(asm, public_end)


def _take_digit(asm: Assembler) -> None:
    """... digit opening .. H^15(opening) -> ... opening .. H^15(opening) digit digit"""
    asm.name(_DIGIT, STEPS + 1)
    asm.roll(_DIGIT)
    asm.name("")
    asm.number(STEPS)
    asm.ops("MIN DUP")


def _sum_of_alt(asm: Assembler, count: int) -> None:
    """altstack: ... d_1 .. d_count -> ...; ... -> ... their sum"""
    for index in range(count):
        asm.from_alt("")
        if index:
            asm.ops("ADD")


def check_equivocation(asm: Assembler, public_ends: Sequence[bytes]) -> None:
    """... digit_n opening_n .. digit_1 opening_1 -> ... whether no single signature gives these"""
    check_pairs(asm, public_ends)
    asm.number(fixed_sum(len(public_ends)))
    asm.ops("LESSTHAN")


def push_halves(asm: Assembler) -> None:
    """... -> ... table of 31 items: item 2d from the top is d"""
    for index in reversed(range(2 * STEPS + 1)):
        asm.number(index // 2)


def drop_halves(asm: Assembler) -> None:
    """... table -> ..."""
    asm.drop(2 * STEPS + 1)


def check_digits(
    asm: Assembler,
    digits: Sequence[str],
    openings: Sequence[str],
    public_ends: Sequence[bytes],
) -> None:
    """Verify the openings for digits that the script has computed itself (doubled, in range).

    ... digits, openings ... halves -> ... halves; altstack ... -> ... d_1 .. d_n, not doubled

    The sum of the digits is still to be checked: `check_fixed_sum` or `check_checksum`.
    """
    for digit, opening, public_end in zip(digits, openings, public_ends, strict=True):
        asm.roll(digit)
        asm.ops("PICK DUP")
        asm.to_alt()
        asm.name(_DIGIT)
        asm.roll(opening)
        asm.name("")
        _hash_on(asm)
        asm.roll(_DIGIT)
        asm.ops("PICK")
        _end_chain(asm, public_end)


def check_fixed_sum(asm: Assembler, count: int) -> None:
    """altstack: ... d_1 .. d_count -> ...; fails unless they sum to T"""
    _sum_of_alt(asm, count)
    asm.number(fixed_sum(count))
    asm.ops("NUMEQUALVERIFY")


def check_checksum(asm: Assembler, count: int) -> None:
    """... c -> ..., altstack: ... d_1 .. d_count -> ...; fails unless c + sum = 15 * count"""
    for _ in range(count):
        asm.from_alt("")
        asm.ops("ADD")
    asm.number(STEPS * count)
    asm.ops("NUMEQUALVERIFY")


def check_checksum_pairs(asm: Assembler, public_ends: Sequence[bytes]) -> None:
    """... digit_2 opening_2 .. digit_0 opening_0 -> ... 256 digit_2 + 16 digit_1 + digit_0

    The pairs are those of the checksum; `public_ends` in the order 0, 1, 2.
    """
    _check_pairs(asm, public_ends)
    asm.from_alt("")
    for _ in range(CHECKSUM_DIGITS - 1):
        asm.ops("DUP ADD DUP ADD DUP ADD DUP ADD")
        asm.from_alt("")
        asm.ops("ADD")
