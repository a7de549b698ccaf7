"""L2 blocks: header, body, and what a seal adds.

A header names its parent, the Bitcoin block it has seen (the origin), the state root *after its
parent* (delayed execution keeps execution off the vote path) and the digests of its body. There is
no clock in it: the ledger's time is the median time past of the origin block (PROTOCOL.md section
4).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import ZERO32, BlockHeight, Epoch, Hash32, Height, View

BLOCK_VERSION: Final = 1
"""Version of the block format."""

TRANSACTIONS_BYTES_MAX: Final = 400_000
"""Bytes of user transactions in one block; a block must pass the network's frame limit with its
seal.
"""

TRANSACTIONS_COUNT_MAX: Final = 2_500
"""User transactions in one block."""

RECORDS_BYTES_MAX: Final = 200_000
"""Bytes of Bitcoin-derived records in one block: a settlement's deposits and payouts fit with
room.
"""

STAKE_RECORD_BYTES_MAX: Final = 32_768
"""Bytes of the one `stake` record that a block may carry (100 co-signers at 264 bytes)."""

SEAL_BYTES_MAX: Final = 262_144
"""Bytes of a seal body: the next set, the settlement plan and its lists."""

BLOCK_BYTES_MAX: Final = (
    TRANSACTIONS_BYTES_MAX + RECORDS_BYTES_MAX + STAKE_RECORD_BYTES_MAX + SEAL_BYTES_MAX + 1_024
)
"""Bytes of an encoded block."""


class BlockKind(IntEnum):
    """What a block is for."""

    GENESIS = 0
    """The parent of epoch 0's first block; known to all from the genesis file, never voted on."""
    ORDINARY = 1
    SEAL = 2
    """The last block of an epoch: origin exactly at the border, no user transactions."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The Bitcoin block that an L2 block has seen."""

    height: Height
    hash: Hash32
    median_time: int
    """Median time past in seconds: the ledger's clock."""

    def write(self, writer: Writer) -> Writer:
        return writer.u32(self.height).hash32(self.hash).u32(self.median_time)

    @classmethod
    def read(cls, reader: Reader) -> "Origin":
        return cls(Height(reader.u32()), reader.hash32(), reader.u32())


@dataclass(frozen=True, slots=True)
class Header:
    """What votes name by its digest. 264 bytes."""

    kind: BlockKind
    epoch: Epoch
    view: View
    """View in which the block was first proposed; a seal may be finalised by votes of a later
    view.
    """
    height: BlockHeight
    parent: Hash32
    """Digest of the parent's header."""
    origin: Origin
    body_digest: Hash32
    """`H_body` over the count and bytes of user transactions."""
    records_digest: Hash32
    """`H_records` over Bitcoin-derived records and the `stake` record."""
    seal_digest: Hash32
    """`H_seal` over the seal body; zeros when the block is no seal."""
    state_root: Hash32
    """State root after the parent."""
    leader: int
    """Index of the proposer in the epoch's set."""

    def encode(self) -> bytes:
        writer = Writer().u8(BLOCK_VERSION).u8(self.kind).u64(self.epoch).u64(self.view)
        writer.u64(self.height).hash32(self.parent)
        self.origin.write(writer)
        writer.hash32(self.body_digest).hash32(self.records_digest).hash32(self.seal_digest)
        return writer.hash32(self.state_root).u16(self.leader).bytes()

    @classmethod
    def read(cls, reader: Reader) -> "Header":
        reader.u8(BLOCK_VERSION, BLOCK_VERSION)
        kind = BlockKind(reader.u8(0, max(BlockKind)))
        epoch, view = Epoch(reader.u64()), View(reader.u64())
        height, parent = BlockHeight(reader.u64()), reader.hash32()
        origin = Origin.read(reader)
        body, records, seal, root = (reader.hash32() for _ in range(4))
        return cls(
            kind, epoch, view, height, parent, origin, body, records, seal, root, reader.u16()
        )

    def digest(self, network: str, chain_id: Hash32) -> Hash32:
        """The block digest: `H_block(chain_id || header)`."""
        return tagged_hash(network, Tag.BLOCK, chain_id, self.encode())


@dataclass(frozen=True, slots=True)
class Body:
    """The content of a block, in the order of execution: records first, then user transactions."""

    records: bytes = b""
    """Concatenated Bitcoin-derived records (`protocol/records.py`)."""
    stake_record: bytes = b""
    """At most one encoded `StakeRecord`, or empty (PROTOCOL.md section 5, step 8)."""
    transaction_count: int = 0
    transactions: bytes = b""
    """Concatenated canonical user transactions (`protocol/transactions.py`)."""
    seal: bytes = b""
    """Encoded `SealBody` of a seal block, or empty."""

    def body_digest(self, network: str) -> Hash32:
        count = self.transaction_count.to_bytes(4, "big")
        return tagged_hash(network, Tag.BODY, count, self.transactions)

    def records_digest(self, network: str) -> Hash32:
        length = len(self.records).to_bytes(4, "big")
        return tagged_hash(network, Tag.RECORDS, length, self.records, self.stake_record)

    def seal_digest(self, network: str) -> Hash32:
        return tagged_hash(network, Tag.SEAL, self.seal) if self.seal else ZERO32

    def write(self, writer: Writer) -> Writer:
        writer.var_bytes(self.records, RECORDS_BYTES_MAX)
        writer.var_bytes(self.stake_record, STAKE_RECORD_BYTES_MAX)
        writer.u32(self.transaction_count)
        writer.var_bytes(self.transactions, TRANSACTIONS_BYTES_MAX)
        return writer.var_bytes(self.seal, SEAL_BYTES_MAX)

    @classmethod
    def read(cls, reader: Reader) -> "Body":
        return cls(
            records=reader.var_bytes(RECORDS_BYTES_MAX),
            stake_record=reader.var_bytes(STAKE_RECORD_BYTES_MAX),
            transaction_count=reader.u32(0, TRANSACTIONS_COUNT_MAX),
            transactions=reader.var_bytes(TRANSACTIONS_BYTES_MAX),
            seal=reader.var_bytes(SEAL_BYTES_MAX),
        )


@dataclass(frozen=True, slots=True)
class Block:
    """A header and the body it commits to."""

    header: Header
    body: Body

    def encode(self) -> bytes:
        return self.body.write(Writer().var_bytes(self.header.encode(), 512)).bytes()

    @classmethod
    def decode(cls, encoded: bytes, network: str) -> "Block":
        """Strict inverse of `encode`; also checks that the header commits to the body.

        Raises CodecError.
        """
        reader = Reader(encoded)
        header_reader = Reader(reader.var_bytes(512))
        header = Header.read(header_reader)
        header_reader.finish()
        body = Body.read(reader)
        reader.finish()
        committed = (header.body_digest, header.records_digest, header.seal_digest)
        actual = (
            body.body_digest(network),
            body.records_digest(network),
            body.seal_digest(network),
        )
        if committed != actual:
            raise CodecError(CodecReason.VALUE, "the header does not commit to this body")
        if (header.kind is BlockKind.SEAL) != bool(body.seal):
            raise CodecError(
                CodecReason.VALUE, "a seal body belongs to a seal block and to no other"
            )
        return cls(header, body)
