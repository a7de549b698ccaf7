"""Winternitz signatures on Bitcoin's engine: honest ones, forged ones, equivocation."""

from collections.abc import Sequence
from functools import cache
from random import Random

import pytest

from p2p_seq.bitcoin.script import encode_number
from p2p_seq.challenge.script.assembler import Assembler
from p2p_seq.challenge.script.winternitz import (
    check_checksum,
    check_checksum_pairs,
    check_digits,
    check_equivocation,
    check_fixed_sum,
    check_pairs,
    drop_halves,
    fixed_sum,
    push_halves,
)
from tests.unit.challenge import spends
from tests.unit.challenge.signers import OneTimeKey, checksum_digits, hashed
from tests.unit.challenge.spends import Leaf, Witness

COUNT = 32
KEY = OneTimeKey("key", COUNT)
CHECKSUM_KEY = OneTimeKey("checksum", 3)


def balanced(random: Random) -> list[int]:
    """Digits of the fixed sum."""
    while True:
        digits = [random.randrange(16) for _ in range(COUNT)]
        if sum(digits) == fixed_sum(COUNT):
            return digits


def pairs(digits: Sequence[int], openings: Sequence[bytes]) -> Witness:
    shown = zip(reversed(digits), reversed(openings), strict=True)
    return [element for digit, opening in shown for element in (encode_number(digit), opening)]


def pair_names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{kind}{k}" for k in reversed(range(count)) for kind in ("digit", "open")]


@cache
def fixed_sum_leaf() -> Leaf:
    """Verifies digits that the script has on its stack, doubled as the compression leaves them."""
    openings = [f"open{k}" for k in range(COUNT)]
    digits = [f"digit{k}" for k in range(COUNT)]

    def write(asm: Assembler) -> None:
        push_halves(asm)
        check_digits(asm, digits, openings, KEY.ends)
        drop_halves(asm)
        check_fixed_sum(asm, COUNT)

    return spends.leaf([*openings, *digits], write)


def fixed_sum_witness(digits: Sequence[int], openings: Sequence[bytes]) -> Witness:
    return [*openings, *(encode_number(2 * digit) for digit in digits)]


def test_fixed_sum() -> None:
    random = Random(6)
    script = fixed_sum_leaf()
    for _ in range(10):
        digits = balanced(random)
        openings = KEY.sign(digits)
        assert script.accepts(fixed_sum_witness(digits, openings))
        place = random.randrange(COUNT)
        for change in (-1, 1):
            other = [d + change * (k == place) for k, d in enumerate(digits)]
            assert not script.accepts(fixed_sum_witness(other, openings))
    assert script.emulated(fixed_sum_witness(digits, openings))


def test_openings_hashed_on_make_no_other_message() -> None:
    """From a signature anybody has those of greater digits; their sum gives them away."""
    digits = balanced(Random(7))
    openings = KEY.sign(digits)
    place = next(k for k, digit in enumerate(digits) if digit < 15)
    digits[place] += 1
    openings[place] = hashed(openings[place], 1)
    assert not fixed_sum_leaf().accepts(fixed_sum_witness(digits, openings))


def test_sums_next_to_the_fixed_one() -> None:
    """Correctly opened, but no message of a fixed-sum key."""
    for total in (fixed_sum(COUNT) - 1, fixed_sum(COUNT) + 1):
        digits = balanced(Random(8))
        place = next(k for k, digit in enumerate(digits) if 0 < digit < 15)
        digits[place] += total - fixed_sum(COUNT)
        assert not fixed_sum_leaf().accepts(fixed_sum_witness(digits, KEY.sign(digits)))


@cache
def equivocation_leaf() -> Leaf:
    asm = Assembler(pair_names("", COUNT))
    check_equivocation(asm, KEY.ends)
    return Leaf(asm.script, tuple(pair_names("", COUNT)), asm.peak)


def deeper(one: Sequence[int], other: Sequence[int]) -> Witness:
    """Chain by chain the opening of the smaller digit: what a challenger shows."""
    digits = [min(pair) for pair in zip(one, other, strict=True)]
    return pairs(digits, KEY.sign(digits))


def test_equivocation() -> None:
    random = Random(9)
    script = equivocation_leaf()
    for _ in range(10):
        one, other = balanced(random), balanced(random)
        assert script.accepts(deeper(one, other))
        assert not script.accepts(deeper(one, one))
    assert script.emulated(deeper(one, other))


def test_two_messages_that_differ_least() -> None:
    one = balanced(Random(10))
    other = one.copy()
    up = next(k for k, digit in enumerate(one) if digit < 15)
    down = next(k for k, digit in enumerate(one) if digit > 0 and k != up)
    other[up] += 1
    other[down] -= 1
    assert equivocation_leaf().accepts(deeper(one, other))


def test_hostile_equivocation() -> None:
    """An honest signer who signed once cannot be accused with what it published."""
    script = equivocation_leaf()
    digits = balanced(Random(11))
    honest = pairs(digits, KEY.sign(digits))
    place = next(k for k, digit in enumerate(digits) if 0 < digit < 15)
    name, value = f"digit{place}", digits[place]
    for element in (
        encode_number(value - 1),
        encode_number(-1),
        encode_number(-16),
        b"\x80",
        b"\x00\x00\x00\x00\x80",
        b"",
        encode_number(16),
        encode_number(2**31),
    ):
        assert not script.accepts(script.changed(honest, name, element)), element
    assert not script.accepts(script.changed(honest, f"open{place}", b""))
    assert not script.accepts(script.changed(honest, f"open{place}", b"\x00" * 20))
    assert not script.accepts(honest[2:])
    assert not script.accepts([b"\x01", *honest])
    assert not script.accepts([*honest, b"\x01"])
    assert not script.accepts([honest[1], honest[0], *honest[2:]])
    assert not script.accepts([*honest[2:], *honest[:2]])


def test_a_digit_above_fifteen_counts_as_fifteen() -> None:
    """Its opening is the public end, which everybody knows: it helps nobody."""
    script = equivocation_leaf()
    digits = balanced(Random(12))
    honest = pairs(digits, KEY.sign(digits))
    place = next(k for k, digit in enumerate(digits) if digit < 15)
    for digit in (15, 16, 2**31 - 1):
        shown = script.changed(honest, f"digit{place}", encode_number(digit))
        shown = script.changed(shown, f"open{place}", KEY.ends[place])
        assert not script.accepts(shown)


@cache
def checksum_leaf() -> Leaf:
    openings = [f"open{k}" for k in range(COUNT)]
    digits = [f"digit{k}" for k in range(COUNT)]

    def write(asm: Assembler) -> None:
        check_checksum_pairs(asm, CHECKSUM_KEY.ends)
        asm.name("checksum")
        push_halves(asm)
        check_digits(asm, digits, openings, KEY.ends)
        drop_halves(asm)
        check_checksum(asm, COUNT)

    return spends.leaf([*openings, *digits, *pair_names("c", 3)], write)


def checksum_witness(digits: Sequence[int], checksum: Sequence[int]) -> Witness:
    shown = pairs(checksum, CHECKSUM_KEY.sign(checksum))
    return [*fixed_sum_witness(digits, KEY.sign(digits)), *shown]


@pytest.mark.parametrize("value", [None, 0, 15])
def test_checksum(value: int | None) -> None:
    random = Random(13)
    script = checksum_leaf()
    digits = [random.randrange(16) if value is None else value for _ in range(COUNT)]
    checksum = checksum_digits(digits)
    honest = checksum_witness(digits, checksum)
    assert script.accepts(honest)
    place = next((k for k, digit in enumerate(digits) if digit < 15), None)
    if place is not None:
        digits[place] += 1
        assert not script.accepts(checksum_witness(digits, checksum))
    for name, digit in zip(("cdigit0", "cdigit1", "cdigit2"), checksum, strict=True):
        for other in {-1, -16, 7, 14, 16} - ({16} if digit == 15 else {digit}):
            assert not script.accepts(script.changed(honest, name, encode_number(other)))


def test_public_ends_are_checked() -> None:
    with pytest.raises(ValueError, match=r"^public end of 19 bytes$"):
        check_pairs(Assembler(["digit", "open"]), [bytes(19)])
