"""Bitcoin's own byte formats: compact sizes, double SHA-256, and the reasons why its bytes are
refused.

Sources: Bitcoin Core `serialize.h` (compact sizes must be minimal), BIP144 (witness format).
"""

import hashlib
from enum import StrEnum
from typing import Final

from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.types import Hash32

MAX_BLOCK_WEIGHT: Final = 4_000_000
"""Consensus limit of a block, weight units; nothing inside a block is longer than this in bytes."""

MAX_MONEY: Final = 21_000_000 * 100_000_000
"""Consensus bound of one output's value, sat."""

WITNESS_SCALE: Final = 4
"""Weight units of one byte outside the witness (BIP141)."""


class BitcoinReason(StrEnum):
    """Why Bitcoin bytes are refused beyond their mere layout."""

    COMPACT_SIZE = "compact-size-not-minimal"
    """A count is written in more bytes than it needs: a second spelling."""
    WITNESS_FLAG = "witness-flag"
    """The segwit flag is not 1, or announces witnesses that are all empty."""
    MERKLE_ROOT = "merkle-root"
    """The transactions are not those that the header commits to."""
    MERKLE_MUTATED = "merkle-mutated"
    """Equal neighbours in the Merkle tree: several transaction lists have this root
    (CVE-2012-2459).
    """
    MERKLE_PROOF = "merkle-proof"
    """A Merkle proof does not lead to the root, or could be read in another way."""
    PROOF_OF_WORK = "proof-of-work"
    """A header's hash is above its target, or its target is not allowed."""
    HEADER_LINK = "header-link"
    """A header does not name the one before it."""
    ADDRESS = "address"
    """A text is not an address of the wanted network."""
    KEY = "key"
    """Bytes are not a point of the curve."""
    SCRIPT = "script"
    """An output script is not of a kind that may be used here."""


def sha256d(encoded: bytes) -> Hash32:
    """Bitcoin's hash of transactions, headers and Merkle nodes."""
    return Hash32(hashlib.sha256(hashlib.sha256(encoded).digest()).digest())


def write_compact_size(value: int) -> bytes:
    """The only accepted encoding of a count."""
    if value < 0xFD:
        return value.to_bytes(1, "little")
    if value <= 0xFFFF:
        return b"\xfd" + value.to_bytes(2, "little")
    if value <= 0xFFFFFFFF:
        return b"\xfe" + value.to_bytes(4, "little")
    return b"\xff" + value.to_bytes(8, "little")


def write_var_bytes(value: bytes) -> bytes:
    """A compact size, then that many bytes."""
    return write_compact_size(len(value)) + value


def read_compact_size(encoded: bytes, position: int) -> tuple[int, int]:
    """Value and position after it. Raises CodecError unless it is minimal and inside `encoded`."""
    if position >= len(encoded):
        raise CodecError(CodecReason.TRUNCATED, f"compact size at {position}")
    first = encoded[position]
    if first < 0xFD:
        return first, position + 1
    width = 2 << (first - 0xFD)
    end = position + 1 + width
    if end > len(encoded):
        raise CodecError(CodecReason.TRUNCATED, f"compact size at {position}")
    value = int.from_bytes(encoded[position + 1 : end], "little")
    smallest = 0xFD if width == 2 else 1 << (4 * width)
    if value < smallest:
        raise CodecError(BitcoinReason.COMPACT_SIZE, f"{value} in {width} bytes at {position}")
    return value, end
