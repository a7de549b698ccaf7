"""What the tests of fraud scripts share: spending a leaf on the real engine, witnesses, and plain
Python versions of what scripts compute.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from p2p_seq.bitcoin.engine import verify_input
from p2p_seq.bitcoin.script import encode_number
from p2p_seq.bitcoin.taproot import TaprootOutput
from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.challenge.script.assembler import Assembler
from p2p_seq.challenge.script.blake3 import INITIAL_VECTOR, PERMUTATION, digest_order
from p2p_seq.challenge.script.emulator import Emulator
from p2p_seq.protocol.types import Hash32, OutPoint

PADDED_ZERO = b"\x00"
NEGATIVE_ZERO = b"\x80"
Witness = list[bytes]


def engine_accepts(script: bytes, witness: Sequence[bytes]) -> bool:
    """Bitcoin Core's verdict on a script-path spend of an output with this one leaf."""
    output = TaprootOutput.of_scripts([script])
    spent = [TxOut(1_000, output.script)]
    spending = Transaction(
        2,
        (TxIn(OutPoint(Hash32(b"\1" * 32), 0)),),
        (TxOut(500, b"\x51"),),
    ).with_witnesses(((*witness, script, output.control_block(0)),))
    return verify_input(spending.serialize(), 0, spent)


@dataclass(frozen=True)
class Leaf:
    """A finished script, the names of its witness items, and what the assembler knew."""

    script: bytes
    names: tuple[str, ...]
    peak: int

    def accepts(self, witness: Sequence[bytes]) -> bool:
        """The engine's verdict."""
        return engine_accepts(self.script, witness)

    def emulated(self, witness: Sequence[bytes]) -> bool:
        """The emulator's verdict; its peak must be what the assembler knew."""
        emulator = Emulator(self.script, witness)
        verdict = emulator.accepts()
        assert not verdict or emulator.peak == self.peak
        return verdict

    def changed(self, witness: Witness, name: str, element: bytes) -> Witness:
        """The witness with another element under this name."""
        return [
            element if candidate == name else old
            for candidate, old in zip(self.names, witness, strict=True)
        ]


def leaf(names: Iterable[str], write: Callable[[Assembler], None]) -> Leaf:
    """A leaf for this witness; `write` must use all of it. One true item is put on the stack."""
    listed = tuple(names)
    asm = Assembler(listed)
    write(asm)
    assert not asm.stack, f"left on the stack: {asm.stack[-5:]}"
    assert not asm.alt
    asm.number(1)
    return Leaf(asm.script, listed, asm.peak)


def numbers(values: Iterable[int]) -> Witness:
    return [encode_number(value) for value in values]


def hostile(value: int) -> list[bytes]:
    """Elements that are no honest spelling of `value`: other numbers, and other spellings of it."""
    encoded = encode_number(value)
    sign = bytes([encoded[-1] & 0x80]) if encoded else b""
    magnitude = encoded[:-1] + bytes([encoded[-1] & 0x7F]) if encoded else b""
    padded = magnitude + (sign or b"\x00")
    return [
        encode_number(value + 1),
        encode_number(value - 1),
        encode_number(-value) if value else NEGATIVE_ZERO,
        padded,
        padded[:-1] + b"\0\0\0\0" + padded[-1:],
        encode_number(2**31 - 1),
        encode_number(1 - 2**31),
        encode_number(2**31),
    ]


def words_of(octets: bytes) -> list[int]:
    """Little-endian words."""
    return [int.from_bytes(octets[at : at + 4], "little") for at in range(0, len(octets), 4)]


def digits_of(words: Sequence[int]) -> list[int]:
    """Digits in the order of blocks on the stack, the deepest first."""
    return [words[word] >> 4 * place & 15 for word, place in digest_order(len(words))]


def named_words(prefix: str, count: int) -> list[list[str]]:
    """Names for the digits of words, digit 0 first."""
    return [[f"{prefix}{word}.{place}" for place in range(8)] for word in range(count)]


def block_names(prefix: str, count: int) -> list[str]:
    """The same names in the order of blocks on the stack."""
    return [f"{prefix}{word}.{place}" for word, place in digest_order(count)]


def expect(asm: Assembler, computed: Sequence[str], wanted: Sequence[str]) -> None:
    """... -> ...; fails unless the doubled digits are twice the wanted numbers"""
    for one, other in zip(computed, wanted, strict=True):
        asm.roll(one)
        asm.roll(other)
        asm.ops("DUP ADD NUMEQUALVERIFY")


def hash160(octets: bytes) -> bytes:
    return hashlib.new("ripemd160", hashlib.sha256(octets).digest()).digest()


def compress(chaining: Sequence[int], message: Sequence[int], length: int, flags: int) -> list[int]:
    """BLAKE3's compression with counter 0, the first eight words, as its paper writes it."""
    state = [*chaining, *INITIAL_VECTOR[:4], 0, 0, length, flags]

    def rotated(word: int, count: int) -> int:
        return (word >> count | word << 32 - count) & 0xFFFFFFFF

    def mix(a: int, b: int, c: int, d: int, x: int, y: int) -> None:
        for addend, right, left in ((x, 16, 12), (y, 8, 7)):
            state[a] = state[a] + state[b] + addend & 0xFFFFFFFF
            state[d] = rotated(state[d] ^ state[a], right)
            state[c] = state[c] + state[d] & 0xFFFFFFFF
            state[b] = rotated(state[b] ^ state[c], left)

    words = list(message)
    for _ in range(7):
        for k in range(4):
            mix(k, k + 4, k + 8, k + 12, words[2 * k], words[2 * k + 1])
        for k in range(4):
            b, c, d = 4 + (k + 1) % 4, 8 + (k + 2) % 4, 12 + (k + 3) % 4
            mix(k, b, c, d, words[8 + 2 * k], words[9 + 2 * k])
        words = [words[k] for k in PERMUTATION]
    return [state[k] ^ state[k + 8] for k in range(8)]
