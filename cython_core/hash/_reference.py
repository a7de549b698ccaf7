"""BLAKE3 keyed single-block hashing in plain Python: the twin that the kernels are tested against.

Written from the BLAKE3 paper (sections 2.1 to 2.3) and independent of the C code: state and message
as lists, the message permuted between rounds instead of an unrolled schedule.
"""

import struct
from typing import Final

INITIAL_VECTOR: Final = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
    0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
PERMUTATION: Final = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
ROUNDS: Final = 7
CHUNK_START: Final = 1
CHUNK_END: Final = 2
ROOT: Final = 8
KEYED_HASH: Final = 16
MASK: Final = 0xFFFFFFFF
COLUMNS_AND_DIAGONALS: Final = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


def _rotate_right(word: int, bits: int) -> int:
    return (word >> bits | word << (32 - bits)) & MASK


def _quarter(state: list[int], places: tuple[int, int, int, int], x: int, y: int) -> None:
    a, b, c, d = places
    for word, rotation_d, rotation_b in ((x, 16, 12), (y, 8, 7)):
        state[a] = (state[a] + state[b] + word) & MASK
        state[d] = _rotate_right(state[d] ^ state[a], rotation_d)
        state[c] = (state[c] + state[d]) & MASK
        state[b] = _rotate_right(state[b] ^ state[c], rotation_b)


def _single_block(key_words: tuple[int, ...], block: bytes, length: int, flags: int) -> bytes:
    words = list(struct.unpack("<16I", block))
    state = [*key_words, *INITIAL_VECTOR[:4], 0, 0, length, flags]
    for _ in range(ROUNDS):
        for index, places in enumerate(COLUMNS_AND_DIAGONALS):
            _quarter(state, places, words[2 * index], words[2 * index + 1])
        words = [words[place] for place in PERMUTATION]
    return struct.pack("<8I", *(state[index] ^ state[index + 8] for index in range(8)))


def b3(domain_key: bytes, message: bytes) -> bytes:
    """Keyed BLAKE3 of at most 64 bytes: 32 bytes. ValueError for a longer message or a bad key."""
    if len(domain_key) != 32:
        raise ValueError("a domain key has 32 bytes")
    if len(message) > 64:
        raise ValueError("a single-block message has at most 64 bytes")
    key_words = struct.unpack("<8I", domain_key)
    flags = CHUNK_START | CHUNK_END | ROOT | KEYED_HASH
    return _single_block(key_words, message.ljust(64, b"\0"), len(message), flags)


def b3_many(domain_key: bytes, messages: bytes) -> bytes:
    """n * 64 bytes -> n * 32 bytes, each message by itself. ValueError for other lengths."""
    if len(messages) % 64 != 0:
        raise ValueError("messages have 64 bytes each")
    return b"".join(
        b3(domain_key, messages[start : start + 64]) for start in range(0, len(messages), 64)
    )


def domain_key(domain: str) -> bytes:
    """K_<domain>: unkeyed BLAKE3 of `p2pseq/state/<domain>/v1`, 32 bytes."""
    text = f"p2pseq/state/{domain}/v1".encode()
    flags = CHUNK_START | CHUNK_END | ROOT
    return _single_block(INITIAL_VECTOR, text.ljust(64, b"\0"), len(text), flags)


KEY_VALUE: Final = domain_key("value")
KEY_LEAF: Final = domain_key("leaf")
KEY_NODE: Final = domain_key("node")
KEY_PATH: Final = domain_key("path")
