"""32-bit arithmetic of fraud predicates on Bitcoin's engine, against Python."""

from collections.abc import Callable
from functools import cache, partial
from random import Random

import pytest

from p2p_seq.challenge.script import bitwise, words
from p2p_seq.challenge.script.assembler import Assembler
from p2p_seq.challenge.script.bitwise import Bitwise
from p2p_seq.challenge.script.limbs import pack_words, unpack_block
from p2p_seq.challenge.script.tables import NibbleTables, drop_tables, push_tables
from tests.unit.challenge import spends
from tests.unit.challenge.spends import Leaf

MASK = 0xFFFFFFFF
EDGES = [0, 1, 2, 15, 16, 31, 32, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFE, MASK]
ROOM = 64

Names = list[str]
Operation = Callable[[Assembler, NibbleTables, Names, Names, Names], None]


def signed(word: int) -> int:
    return word - (word >> 31 << 32)


def plain(function: Callable[..., None]) -> Operation:
    """An operation that needs no tables."""
    return lambda asm, _tables, one, other, names: function(asm, one, other, names)


def looked_up(operation: Bitwise) -> Operation:
    return lambda asm, tables, one, other, names: bitwise.bitwise(
        asm, tables, operation, (one, other), names
    )


WORDS: dict[str, tuple[Operation, Callable[[int, int], int]]] = {
    "add": (plain(words.add), lambda a, b: a + b & MASK),
    "subtract": (plain(words.subtract), lambda a, b: a - b & MASK),
    "xor": (
        bitwise.exclusive_or,
        lambda a, b: a ^ b,
    ),
    "and": (looked_up(Bitwise.AND), lambda a, b: a & b),
    "or": (looked_up(Bitwise.OR), lambda a, b: a | b),
    "shift_left": (plain(bitwise.shift_left), lambda a, b: a << (b & 31) & MASK),
    "shift_right": (plain(bitwise.shift_right), lambda a, b: a >> (b & 31)),
    "shift_right_arithmetic": (
        plain(partial(bitwise.shift_right, arithmetic=True)),
        lambda a, b: signed(a) >> (b & 31) & MASK,
    ),
}

NUMBERS: dict[str, tuple[Callable[[Assembler, Names, Names], None], Callable[[int, int], int]]] = {
    "less": (words.less, lambda a, b: a < b),
    "less_signed": (
        partial(words.less, signed=True),
        lambda a, b: signed(a) < signed(b),
    ),
    "equal": (words.equal, lambda a, b: a == b),
    "equals_constant": (
        lambda asm, one, _other: words.equals_constant(asm, one, 0x80000001),
        lambda a, _b: a == 0x80000001,
    ),
    "to_number": (
        lambda asm, one, _other: words.to_number(asm, one),
        lambda a, _b: 2 * (a & 0x0FFFFFFF),
    ),
    "to_number_of_three_digits": (
        lambda asm, one, _other: words.to_number(asm, one, 3),
        lambda a, _b: 2 * (a & 0xFFF),
    ),
}


def operands(asm: Assembler) -> tuple[Names, Names]:
    one, other = spends.named_words("w", 2)
    unpack_block(asm, ["limb0", "limb1"], "packed", [one, other])
    return one, other


def drop_operands(asm: Assembler, *words_: Names) -> None:
    for name in [name for word in words_ for name in word]:
        asm.roll(name)
        asm.drop()


@cache
def word_leaf(name: str) -> Leaf:
    wanted = [f"wanted{k}" for k in range(8)]

    def write(asm: Assembler) -> None:
        tables = push_tables(asm, 48, ROOM)
        one, other = operands(asm)
        (result,) = spends.named_words("r", 1)
        before = asm.height
        WORDS[name][0](asm, tables, one, other, result)
        assert asm.height == before + 8
        assert asm.stack[-8:] == spends.block_names("r", 1)
        spends.expect(asm, spends.block_names("r", 1), wanted)
        drop_operands(asm, one, other)
        drop_tables(asm, tables)

    return spends.leaf([*wanted, "limb0", "limb1", "packed"], write)


@cache
def number_leaf(name: str) -> Leaf:
    def write(asm: Assembler) -> None:
        one, other = operands(asm)
        before = asm.height
        NUMBERS[name][0](asm, one, other)
        assert asm.height == before + 1
        asm.roll("wanted")
        asm.ops("NUMEQUALVERIFY")
        drop_operands(asm, one, other)

    return spends.leaf(["wanted", "limb0", "limb1", "packed"], write)


def cases(seed: str) -> list[tuple[int, int]]:
    random = Random(seed)
    pairs = [(a, b) for a in EDGES for b in EDGES]
    pairs += [(random.getrandbits(32), random.getrandbits(32)) for _ in range(60)]
    pairs += [(word, word) for word in (random.getrandbits(32), random.getrandbits(32))]
    return random.sample(pairs, 70) + [(0x89ABCDEF, amount) for amount in range(32)]


@pytest.mark.parametrize("name", WORDS)
def test_words(name: str) -> None:
    script, meaning = word_leaf(name), WORDS[name][1]
    for one, other in cases(name):
        shown = pack_words([one, other])
        result = meaning(one, other)
        good = spends.numbers([*spends.digits_of([result]), *shown])
        assert script.accepts(good), (one, other)
        bad = spends.numbers([*spends.digits_of([result ^ 1 << one % 32]), *shown])
        assert not script.accepts(bad), (one, other)
    assert script.emulated(good)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str) -> None:
    script, meaning = number_leaf(name), NUMBERS[name][1]
    for one, other in cases(name):
        shown = pack_words([one, other])
        result = int(meaning(one, other))
        assert script.accepts(spends.numbers([result, *shown])), (one, other)
        wrong = 1 - result if result < 2 else result + 1
        assert not script.accepts(spends.numbers([wrong, *shown])), (one, other)
    assert script.emulated(spends.numbers([result, *shown]))
