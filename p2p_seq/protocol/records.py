"""Bitcoin-derived records: what a block says that Bitcoin did.

Every voter derives them itself from the origin blocks and finalised state and compares bytes; the
program in C checks that they fit the books (`cython_core/guest/records.c`). Fixed layouts,
big-endian, concatenated in the order of execution. The deposits and payouts of a settlement follow
its record; an `EpochRecord` comes first in a seal block and nowhere else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.types import (
    ZERO32,
    Epoch,
    Hash32,
    Height,
    OutPoint,
    Sats,
    SatsPerKvb,
    XOnlyKey,
)


class RecordKind(IntEnum):
    """First byte of a record."""

    SETTLEMENT = 1
    DEPOSIT = 2
    PAYOUT = 3
    STAKE = 4
    EPOCH = 5


RECORD_BYTES: Final = {
    RecordKind.SETTLEMENT: 69,
    RecordKind.DEPOSIT: 85,
    RecordKind.PAYOUT: 9,
    RecordKind.STAKE: 85,
    RecordKind.EPOCH: 41,
}
"""Length of a record by its kind."""

MONEY_MAX: Final = Sats(21_000_000 * 100_000_000)
"""No vault holds more (Bitcoin Core, consensus/amount.h)."""


@dataclass(frozen=True, slots=True)
class SettlementRecord:
    """A settlement transaction is buried; its first output is the new vault coin."""

    txid: Hash32
    last_epoch: Epoch
    version: int
    """Which of the seal's fee versions Bitcoin took."""
    fee: Sats
    """Fee the transaction really paid; leaves the fee pool."""
    vault_value: Sats
    """Old coin plus swept deposits minus payouts minus fee."""
    rate: SatsPerKvb
    """What it paid per 1,000 virtual bytes: the next "last buried rate"."""

    def encode(self) -> bytes:
        writer = Writer().u8(RecordKind.SETTLEMENT).hash32(self.txid).u64(self.last_epoch)
        writer.u32(self.version).u64(self.fee).u64(self.vault_value)
        return writer.u64(self.rate).bytes()

    @classmethod
    def read(cls, reader: Reader) -> "SettlementRecord":
        return cls(
            reader.hash32(),
            Epoch(reader.u64()),
            reader.u32(),
            Sats(reader.u64()),
            Sats(reader.u64(maximum=MONEY_MAX)),
            SatsPerKvb(reader.u64()),
        )


@dataclass(frozen=True, slots=True)
class DepositRecord:
    """A deposit that the settlement swept: minted now, because Bitcoin has decided (pitfall V3)."""

    outpoint: OutPoint
    value: Sats
    recipient: XOnlyKey
    fee: Sats
    """What its input costs; goes to the fee pool. The recipient gets `value - fee`."""

    def encode(self) -> bytes:
        writer = Writer().u8(RecordKind.DEPOSIT).outpoint(self.outpoint).u64(self.value)
        return writer.hash32(self.recipient).u64(self.fee).bytes()

    @classmethod
    def read(cls, reader: Reader) -> "DepositRecord":
        return cls(
            reader.outpoint(),
            Sats(reader.u64(maximum=MONEY_MAX)),
            reader.xonly(),
            Sats(reader.u64(maximum=MONEY_MAX)),
        )


@dataclass(frozen=True, slots=True)
class PayoutRecord:
    """A pending payout that the settlement paid."""

    payout_id: int

    def encode(self) -> bytes:
        return Writer().u8(RecordKind.PAYOUT).u64(self.payout_id).bytes()

    @classmethod
    def read(cls, reader: Reader) -> "PayoutRecord":
        return cls(reader.u64())


@dataclass(frozen=True, slots=True)
class StakeLeafRecord:
    """A registered stake enters the state; the full record travels beside it in the block."""

    consensus_key: XOnlyKey
    record_digest: Hash32
    first_epoch: Epoch
    last_epoch: Epoch
    refund_height: Height

    def encode(self) -> bytes:
        writer = Writer().u8(RecordKind.STAKE).hash32(self.consensus_key)
        writer.hash32(self.record_digest).u64(self.first_epoch).u64(self.last_epoch)
        return writer.u32(self.refund_height).bytes()

    @classmethod
    def read(cls, reader: Reader) -> "StakeLeafRecord":
        return cls(
            reader.xonly(),
            reader.hash32(),
            Epoch(reader.u64()),
            Epoch(reader.u64()),
            Height(reader.u32()),
        )


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Opens an epoch. The record of epoch 0 is in the genesis block and names no outputs."""

    epoch: Epoch
    """The new one."""
    outputs: Hash32
    """Outputs digest of the epoch that has just ended; zeros for epoch 0."""

    def encode(self) -> bytes:
        return Writer().u8(RecordKind.EPOCH).u64(self.epoch).hash32(self.outputs).bytes()

    @classmethod
    def read(cls, reader: Reader) -> "EpochRecord":
        return cls(Epoch(reader.u64()), reader.hash32())


Record = SettlementRecord | DepositRecord | PayoutRecord | StakeLeafRecord | EpochRecord

_READERS: Final[dict[RecordKind, Callable[[Reader], Record]]] = {
    RecordKind.SETTLEMENT: SettlementRecord.read,
    RecordKind.DEPOSIT: DepositRecord.read,
    RecordKind.PAYOUT: PayoutRecord.read,
    RecordKind.STAKE: StakeLeafRecord.read,
    RecordKind.EPOCH: EpochRecord.read,
}


def encode_records(records: Sequence[Record]) -> bytes:
    """The bytes of a block's records."""
    return b"".join(record.encode() for record in records)


def decode_records(encoded: bytes) -> tuple[Record, ...]:
    """Strict inverse of `encode_records`. Raises CodecError."""
    reader = Reader(encoded)
    records: list[Record] = []
    while not reader.at_end():
        kind = RecordKind(reader.u8(min(RecordKind), max(RecordKind)))
        records.append(_READERS[kind](reader))
    return tuple(records)


def genesis_epoch_record() -> EpochRecord:
    """First record of the genesis block: it opens epoch 0."""
    return EpochRecord(Epoch(0), ZERO32)
