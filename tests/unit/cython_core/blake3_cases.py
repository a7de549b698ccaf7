"""The BLAKE3 chip alone, and what its tests ask of it."""

import random
import struct
from functools import cache

from cython_core.air.language import build_system
from cython_core.air.table import PublicInteraction, System, Table
from cython_core.chips.blake3 import HASH, KEYED_FLAGS, blake3_table
from cython_core.field import Matrix

BITS = 512
CARRY = 512
MESSAGE = 544
CV = 576
A_XOR_C = 592
FLAGS = 600
MULTIPLICITY = 601
WIDTH = 602
SEED = 11


@cache
def system() -> System:
    return build_system([blake3_table()], [HASH])


def table() -> Table:
    return system().tables[0]


def request(key: bytes, message: bytes, flags: int = KEYED_FLAGS, multiplicity: int = 1) -> bytes:
    return key + message + struct.pack("<2I", flags, multiplicity)


def limbs(text: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(text) // 2}H", text)


def fact(key: bytes, message: bytes, out: bytes, flags: int = KEYED_FLAGS) -> tuple[int, ...]:
    cv = limbs(key)
    return (cv[0] + (flags << 16), *cv[1:], *limbs(message), *limbs(out))


def asked(*facts: tuple[int, ...]) -> list[PublicInteraction]:
    return [PublicInteraction(0, 1, each) for each in facts]


def random_requests(seed: int, count: int) -> list[tuple[bytes, bytes]]:
    chance = random.Random(seed)
    return [(chance.randbytes(32), chance.randbytes(64)) for _ in range(count)]


def matrix_of(rows: list[list[int]]) -> Matrix:
    return Matrix.from_columns([*zip(*rows, strict=True)])
