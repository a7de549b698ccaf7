"""Narrow types: bare `int` and `bytes` do not cross the edge of a room (HOUSE_STYLE 5)."""

from typing import NamedTuple, NewType

Height = NewType("Height", int)
"""Height of a Bitcoin block."""

BlockHeight = NewType("BlockHeight", int)
"""Height of an L2 block: the number of its ancestors, genesis being 0."""

Epoch = NewType("Epoch", int)
"""Number of an epoch; never reused, also not after a recovery (PROTOCOL.md section 1)."""

View = NewType("View", int)
"""View of one epoch's consensus instance, from 1."""

Sats = NewType("Sats", int)
"""Amount of bitcoin in satoshi."""

SatsPerKvb = NewType("SatsPerKvb", int)
"""Feerate in satoshi per 1,000 virtual bytes."""

Hash32 = NewType("Hash32", bytes)
"""A 32-byte digest. Bitcoin's block and transaction ids are in internal byte order (as hashed)."""

XOnlyKey = NewType("XOnlyKey", bytes)
"""A 32-byte x-only secp256k1 key (BIP340)."""

Signature = NewType("Signature", bytes)
"""A 64-byte BIP340 signature."""

ZERO32 = Hash32(bytes(32))
"""The digest that stands for "none" in signed records."""


class OutPoint(NamedTuple):
    """An output of a Bitcoin transaction."""

    txid: Hash32
    """Internal byte order."""
    vout: int

    def __str__(self) -> str:
        return f"{self.txid[::-1].hex()}:{self.vout}"


def display_id(digest: bytes) -> str:
    """The hexadecimal spelling of a Bitcoin id that people and JSON-RPC use (bytes reversed)."""
    return digest[::-1].hex()


def parse_display_id(text: str) -> Hash32:
    """Inverse of `display_id`. Raises ValueError when `text` is not 64 hexadecimal digits."""
    digest = bytes.fromhex(text)
    if len(digest) != 32 or len(text) != 64:
        raise ValueError(f"not a 32-byte id: {text!r}")
    return Hash32(digest[::-1])
