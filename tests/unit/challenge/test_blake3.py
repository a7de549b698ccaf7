"""BLAKE3 in Script on Bitcoin's engine, against the `blake3` package."""

from collections.abc import Sequence
from functools import cache
from random import Random

import blake3
import pytest

from p2p_seq.challenge.script.assembler import Assembler
from p2p_seq.challenge.script.blake3 import (
    INITIAL_VECTOR,
    KEYED_HASH,
    ROOM,
    SINGLE_BLOCK,
    Digits,
    compress,
    constant_word,
)
from p2p_seq.challenge.script.limbs import pack_words, unpack_block
from p2p_seq.challenge.script.tables import (
    LARGE_RANGE,
    SMALL_RANGE,
    drop_tables,
    push_tables,
)
from tests.unit.challenge import spends
from tests.unit.challenge.spends import Leaf, Witness


def block_items(prefix: str, words: int) -> list[str]:
    return [f"{prefix}:limb{k}" for k in range(words)] + [f"{prefix}:packed"]


def unpack(asm: Assembler, prefix: str, words: int) -> list[list[str]]:
    names = spends.named_words(prefix, words)
    *limbs, packed = block_items(prefix, words)
    unpack_block(asm, limbs, packed, names)
    return names


@cache
def compression(
    sum_range: int,
    words: int = 16,
    chaining_words: int = 0,
    out_words: int = 4,
    length: int = 64,
    flags: int = SINGLE_BLOCK,
) -> Leaf:
    """A leaf that compares a compression with digits from the witness.

    The message has `words` words from the witness; the chaining value too, or the constant one.
    """

    def write(asm: Assembler) -> None:
        tables = push_tables(asm, sum_range, ROOM)
        message: list[Digits] = [*unpack(asm, "m", words)]
        message += [constant_word(0)] * (16 - words)
        chaining: list[Digits] = [constant_word(word) for word in INITIAL_VECTOR]
        if chaining_words:
            chaining = [*unpack(asm, "c", chaining_words)]
            chaining += [constant_word(0)] * (8 - chaining_words)
        compress(asm, tables, message, chaining, length=length, flags=flags, out_words=out_words)
        drop_tables(asm, tables)
        digest = [asm.from_alt() for _ in range(8 * out_words)]
        spends.expect(asm, digest, wanted)

    wanted = [f"wanted{k}" for k in range(8 * out_words)]
    names = wanted + (block_items("c", chaining_words) if chaining_words else [])
    return spends.leaf(names + block_items("m", words), write)


def witness(digest: Sequence[int], message: Sequence[int], chaining: Sequence[int] = ()) -> Witness:
    shown = pack_words(chaining) if chaining else []
    return spends.numbers([*spends.digits_of(digest), *shown, *pack_words(message)])


@pytest.mark.parametrize("sum_range", [SMALL_RANGE, LARGE_RANGE, 144])
@pytest.mark.parametrize("out_words", [4, 8])
def test_hash_of_a_block(sum_range: int, out_words: int) -> None:
    script = compression(sum_range, out_words=out_words)
    random = Random(sum_range + out_words)
    blocks = [random.randbytes(64) for _ in range(5)] + [bytes(64), b"\xff" * 64]
    for block in blocks:
        digest = spends.words_of(blake3.blake3(block).digest())[:out_words]
        assert script.accepts(witness(digest, spends.words_of(block)))
        digest[random.randrange(out_words)] ^= 1 << random.randrange(32)
        assert not script.accepts(witness(digest, spends.words_of(block)))
    digest = spends.words_of(blake3.blake3(blocks[0]).digest())[:out_words]
    assert script.emulated(witness(digest, spends.words_of(blocks[0])))


def test_every_bit_of_the_block_counts() -> None:
    script = compression(LARGE_RANGE)
    random = Random(1)
    block = random.randbytes(64)
    digest = spends.words_of(blake3.blake3(block).digest())[:4]
    for _ in range(8):
        words = spends.words_of(block)
        words[random.randrange(16)] ^= 1 << random.randrange(32)
        assert not script.accepts(witness(digest, words))


@pytest.mark.parametrize("sum_range", [SMALL_RANGE, LARGE_RANGE])
def test_keyed_hash_of_a_narrow_record(sum_range: int) -> None:
    """Thirteen words, zeros, and a key whose second half is zero."""
    script = compression(sum_range, 13, 8, flags=SINGLE_BLOCK | KEYED_HASH)
    folded = compression(sum_range, 13, 4, flags=SINGLE_BLOCK | KEYED_HASH)
    random = Random(sum_range)
    for _ in range(4):
        record, salt = random.randbytes(52), random.randbytes(16)
        key = salt + bytes(16)
        digest = spends.words_of(blake3.blake3(record + bytes(12), key=key).digest())[:4]
        message, chaining = spends.words_of(record), spends.words_of(key)
        assert script.accepts(witness(digest, message, chaining))
        assert folded.accepts(witness(digest, message, chaining[:4]))
        digest[0] ^= 1
        assert not folded.accepts(witness(digest, message, chaining[:4]))


def test_compression_of_any_chaining_value() -> None:
    """As a wide row's instruction needs it: full output, other flags and length."""
    script = compression(LARGE_RANGE, 16, 8, 8, length=20, flags=4)
    random = Random(2)
    for _ in range(4):
        message = [random.getrandbits(32) for _ in range(16)]
        chaining = [random.getrandbits(32) for _ in range(8)]
        digest = spends.compress(chaining, message, 20, 4)
        assert script.accepts(witness(digest, message, chaining))
        digest[7] ^= 1 << 31
        assert not script.accepts(witness(digest, message, chaining))


def test_reference_of_the_tests() -> None:
    block = bytes(range(64))
    words = spends.compress(INITIAL_VECTOR, spends.words_of(block), 64, SINGLE_BLOCK)
    assert words == spends.words_of(blake3.blake3(block).digest())


def test_arguments() -> None:
    asm = Assembler()
    tables = push_tables(asm, 32, ROOM)
    word = constant_word(0)
    with pytest.raises(ValueError, match=r"^sums of 45 in tables for 32$"):
        compress(asm, tables, [word] * 16, [word] * 8)
    asm = Assembler()
    tables = push_tables(asm, SMALL_RANGE, 100)
    with pytest.raises(ValueError, match=r"^29 items too many above the tables$"):
        compress(asm, tables, [word] * 16, [word] * 8)
