"""Taking witness words apart: every word comes out right, every other number is refused."""

from functools import cache
from random import Random

import pytest

from p2p_seq.challenge.script.assembler import Assembler
from p2p_seq.challenge.script.limbs import (
    LIMB_FOLDS,
    limb,
    pack_bits,
    pack_words,
    shared_bit,
    unpack_block,
)
from tests.unit.challenge import spends
from tests.unit.challenge.spends import Leaf

EDGES = [0, 1, 15, 16, 0x0FFFFFFF, 0x10000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


@cache
def unpacking(words: int) -> Leaf:
    """A leaf that unpacks words and compares their digits with the witness."""
    wanted = [f"wanted{k}" for k in range(8 * words)]
    limbs = [f"limb{k}" for k in range(words)]

    def write(asm: Assembler) -> None:
        unpack_block(asm, limbs, "packed", spends.named_words("w", words))
        spends.expect(asm, spends.block_names("w", words), wanted)

    return spends.leaf([*wanted, *limbs, "packed"], write)


def witness(words: list[int]) -> spends.Witness:
    return spends.numbers([*spends.digits_of(words), *pack_words(words)])


def test_words_come_out() -> None:
    random = Random(3)
    script = unpacking(4)
    cases = [[edge] * 4 for edge in EDGES]
    cases += [[random.getrandbits(32) for _ in range(4)] for _ in range(60)]
    for words in cases:
        assert script.accepts(witness(words))
    assert script.emulated(witness(cases[-1]))


def test_many_words_share_one_packed_number() -> None:
    random = Random(4)
    for count in (1, 13, 17):
        words = [random.getrandbits(32) for _ in range(count)]
        assert unpacking(count).accepts(witness(words))
        other = [*words[:-1], words[-1] ^ 1 << 28]
        assert unpacking(count).accepts(witness(other))
        assert not unpacking(count).accepts([*witness(words)[:-1], witness(other)[-1]])


@pytest.mark.parametrize("word", [*EDGES, 0x12345678])
def test_every_other_number_is_refused(word: int) -> None:
    words = [word ^ 0x5A5A5A5A, word]
    script, honest = unpacking(2), witness(words)
    assert script.accepts(honest)
    shown = pack_words(words)
    for name, value in zip(("limb0", "limb1", "packed"), shown, strict=True):
        for element in spends.hostile(value):
            assert not script.accepts(script.changed(honest, name, element)), (name, element)


def test_numbers_that_carry_no_word() -> None:
    """Zero, the gap at each step, one too large: the last digit leaves its range."""
    holes = [0, 17 << 26, (17 << 26) + 1]
    number = 0
    for threshold in reversed(LIMB_FOLDS[:-1]):
        number += threshold
        holes.append(number)
    wanted = [f"wanted{k}" for k in range(8)]

    def write(asm: Assembler) -> None:
        unpack_block(asm, ["limb"], "packed", spends.named_words("w", 1))
        asm.drop(8)
        for _ in wanted:
            asm.drop()

    script = spends.leaf([*wanted, "limb", "packed"], write)
    good = spends.numbers([0] * 8 + pack_words([77]))
    assert script.accepts(good)
    for hole in holes:
        for value in (hole, -hole):
            element = spends.numbers([value])[0]
            assert not script.accepts(script.changed(good, "limb", element)), value
    for value in (0, 2, -2, 3, -3, 5):
        assert not script.accepts(script.changed(good, "packed", spends.numbers([value])[0]))


def test_missing_extra_and_swapped_items() -> None:
    script = unpacking(2)
    honest = witness([1, 2])
    assert not script.accepts(honest[1:])
    assert not script.accepts(honest[:-1])
    assert not script.accepts([b"", *honest])
    assert not script.accepts([*honest, b"\x01"])
    assert not script.accepts([*honest[:-3], honest[-2], honest[-3], honest[-1]])


def test_python_side() -> None:
    random = Random(5)
    words = [*EDGES, *(random.getrandbits(32) for _ in range(200))]
    assert all(abs(limb(word)) < 17 << 26 for word in words)
    numbers = {(limb(word), shared_bit(word)) for word in words}
    assert len(numbers) == len(set(words))
    assert [pack_bits(bits) for bits in ([0], [1], [0, 0], [1, 0], [0, 1])] == [1, -1, 3, -3, 1]
