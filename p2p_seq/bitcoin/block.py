"""Bitcoin blocks and their headers, parsed strictly.

`Block.parse` also checks that the transactions are those that the header commits to, so that
whoever holds a `Block` holds what its hash names. Proof of work and links between headers are in
`headers.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from struct import Struct
from typing import Final, Self

from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.bitcoin.wire import (
    MAX_BLOCK_WEIGHT,
    BitcoinReason,
    read_compact_size,
    sha256d,
    write_compact_size,
)
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.types import Hash32

HEADER_BYTES: Final = 80
_HEADER: Final = Struct("<I32s32sIII")
_MINIMUM_TRANSACTION_BYTES: Final = 60


@dataclass(frozen=True)
class BlockHeader:
    """The 80 bytes that miners work on."""

    version: int
    previous: Hash32
    merkle_root: Hash32
    time: int
    """Unix seconds as the miner states them."""
    bits: int
    """The target in compact form."""
    nonce: int

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Raises CodecError unless `encoded` has exactly 80 bytes."""
        if len(encoded) != HEADER_BYTES:
            raise CodecError(CodecReason.LENGTH, f"header of {len(encoded)} bytes")
        version, previous, merkle_root, time, bits, nonce = _HEADER.unpack(encoded)
        return cls(version, Hash32(previous), Hash32(merkle_root), time, bits, nonce)

    def serialize(self) -> bytes:
        return _HEADER.pack(
            self.version, self.previous, self.merkle_root, self.time, self.bits, self.nonce
        )

    @cached_property
    def hash(self) -> Hash32:
        """The block's id, internal byte order."""
        return sha256d(self.serialize())


@dataclass(frozen=True)
class Block:
    """A header and the transactions that it commits to, the coinbase first."""

    header: BlockHeader
    transactions: tuple[Transaction, ...]

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Raises CodecError for wrong bytes and for transactions that the header does not name."""
        if not HEADER_BYTES < len(encoded) <= MAX_BLOCK_WEIGHT:
            raise CodecError(CodecReason.LENGTH, f"block of {len(encoded)} bytes")
        encoded = bytes(encoded)
        header = BlockHeader.parse(encoded[:HEADER_BYTES])
        count, position = read_compact_size(encoded, HEADER_BYTES)
        if not 1 <= count <= (len(encoded) - position) // _MINIMUM_TRANSACTION_BYTES:
            raise CodecError(CodecReason.LENGTH, f"{count} transactions")
        transactions: list[Transaction] = []
        for _ in range(count):
            transaction, position = Transaction.parse_at(encoded, position)
            transactions.append(transaction)
        if position != len(encoded):
            raise CodecError(CodecReason.TRAILING, f"{len(encoded) - position} bytes")
        root, is_mutated = merkle_root([item.txid for item in transactions])
        if is_mutated:
            raise CodecError(BitcoinReason.MERKLE_MUTATED)
        if root != header.merkle_root:
            raise CodecError(BitcoinReason.MERKLE_ROOT)
        return cls(header, tuple(transactions))

    def serialize(self) -> bytes:
        parts = [self.header.serialize(), write_compact_size(len(self.transactions))]
        parts += (transaction.serialize() for transaction in self.transactions)
        return b"".join(parts)

    @property
    def hash(self) -> Hash32:
        return self.header.hash


def merkle_root(ids: Sequence[Hash32]) -> tuple[Hash32, bool]:
    """Bitcoin's Merkle root of one id or more, and whether two neighbours were equal.

    An odd level repeats its last node, so a list that already repeats it has the same root
    (CVE-2012-2459); such a list is reported, never accepted.
    """
    if not ids:
        raise ValueError("no ids")
    level: list[Hash32] = list(ids)
    is_mutated = False
    while len(level) > 1:
        if any(level[i] == level[i + 1] for i in range(0, len(level) - 1, 2)):
            is_mutated = True
        if len(level) % 2:
            level.append(level[-1])
        level = [sha256d(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0], is_mutated
