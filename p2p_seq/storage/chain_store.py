"""What the chain, the consensus and the settlement keep, as typed rows of the tables.

One `write_final` call is one transaction: a block is final on disk with its leaves, receipts,
index, bridge and certificate, or not at all. Callers decide *when* something must be durable; this
file only knows *where* it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from p2p_seq.consensus.types import CertificateRecord, ProposalRecord, Record, decode_record
from p2p_seq.protocol.errors import LocalError
from p2p_seq.protocol.records import (
    DepositRecord,
    PayoutRecord,
    SettlementRecord,
    decode_records,
)
from p2p_seq.protocol.seals import SealedEpoch
from p2p_seq.protocol.stakes import StakeRecord
from p2p_seq.protocol.transactions import RECEIPT_BYTES
from p2p_seq.protocol.types import BlockHeight, Epoch, Hash32, OutPoint
from p2p_seq.protocol.votes import Certificate
from p2p_seq.storage.store import Store, WriteTransaction
from p2p_seq.storage.tables import Table

META_TIP: Final = b"final-tip"
"""L2 height u64 | digest 32 | root 32 of the finalised tip."""

RANGE_BLOCKS_HARD: Final = 4_096
"""Blocks that one answer may hold; a node that was behind may have one certificate for more."""

RANGE_BYTES_HARD: Final = 6 * 1024 * 1024
"""Bytes of blocks that one answer may hold: below the network's limit of 8 MiB."""

META_SEED: Final = b"seed"
"""epoch u64 | seed 32 of the leaders that were drawn last."""

BRIDGES_KEPT: Final = 2
"""Bridge states kept on disk: the tip's and the one before."""

RECEIPT_PAYOUT_OFFSET: Final = 16
"""Where a receipt names its payout (`protocol/transactions.py`)."""

NO_PAYOUT: Final = bytes(8)

FIRST_PAYOUT: Final = 2
"""Output of a settlement that pays its first payout (PROTOCOL.md section 2)."""

NAME_BYTES: Final = 33
VALUE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class FinalBlock:
    """Everything that becomes durable when a block becomes final."""

    height: BlockHeight
    digest: Hash32
    root: Hash32
    """State root after the block."""
    encoded: bytes
    records: bytes
    """Bitcoin-derived records of the block."""
    receipts: bytes
    txids: Sequence[bytes]
    names: bytes
    """Changed leaves: names n*33, values n*64, present n*1."""
    values: bytes
    present: bytes
    bridge: bytes
    stake_record: StakeRecord | None
    sealed: SealedEpoch | None
    """Set when the block is a seal."""


@dataclass(frozen=True, slots=True)
class Tip:
    """The finalised tip."""

    height: BlockHeight
    digest: Hash32
    root: Hash32


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _record_key(epoch: Epoch, record: Record) -> bytes:
    if isinstance(record, CertificateRecord):
        statement = record.certificate.statement
        return _number(epoch) + b"\x01" + _number(statement.view) + bytes([statement.kind])
    return _number(epoch) + b"\x02" + _number(record.proposal.view) + b"\x00"


class ChainStore:
    """Typed access for one node; see the module docstring."""

    def __init__(self, store: Store, live: Store | None = None) -> None:
        """`store` holds what is final, `live` what the running epoch needs to go on after a crash.

        They are two environments because LMDB has one writer: a large final block is written off
        the event loop, and votes must not wait for it. Without `live` both are one.
        """
        self.store = store
        self.live = store if live is None else live

    def write_final(self, blocks: Sequence[FinalBlock], certificate: Certificate | None) -> None:
        """Make `blocks` (ascending) final; `certificate` is the last one's, None for genesis."""
        with self.store.write() as change:
            for block in blocks:
                self._write_block(change, block)
            last = blocks[-1]
            if certificate is not None:
                key = _number(last.height)
                change.put(Table.CERTIFICATES, key, certificate.encode())
            change.put(Table.META, META_TIP, _number(last.height) + last.digest + last.root)

    def _write_block(self, change: WriteTransaction, block: FinalBlock) -> None:
        key = _number(block.height)
        change.put(Table.BLOCKS, block.digest, block.encoded)
        change.put(Table.FINAL, key, block.digest + block.root)
        change.put(Table.RECEIPTS, key, block.receipts)
        for index, txid in enumerate(block.txids):
            change.put(Table.TRANSACTIONS, txid, key + index.to_bytes(4, "big"))
        for index, present in enumerate(block.present):
            name = block.names[NAME_BYTES * index : NAME_BYTES * (index + 1)]
            if present:
                start = VALUE_BYTES * index
                change.put(Table.LEAVES, name, block.values[start : start + VALUE_BYTES])
            else:
                change.delete(Table.LEAVES, name)
        change.put(Table.BRIDGE, key, block.bridge)
        if block.height >= BRIDGES_KEPT:
            change.delete(Table.BRIDGE, _number(block.height - BRIDGES_KEPT))
        if block.stake_record is not None:
            record = block.stake_record
            change.put(Table.STAKES, record.consensus_key, key + record.encode())
        if block.sealed is not None:
            change.put(Table.SEALS, _number(block.sealed.epoch), block.sealed.encode())
        _index_payouts(change, block)
        _index_records(change, block)

    def tip(self) -> Tip | None:
        """None before genesis was written."""
        with self.store.read() as view:
            value = view.get(Table.META, META_TIP)
        if value is None:
            return None
        height = BlockHeight(int.from_bytes(value[:8], "big"))
        return Tip(height, Hash32(value[8:40]), Hash32(value[40:72]))

    def leaves(self) -> tuple[bytes, bytes]:
        """All leaves of the finalised state: packed names n*33 and values n*64."""
        names: list[bytes] = []
        values: list[bytes] = []
        with self.store.read() as view:
            for name, value in view.scan(Table.LEAVES):
                names.append(name)
                values.append(value)
        return b"".join(names), b"".join(values)

    def bridge(self, height: BlockHeight) -> bytes:
        with self.store.read() as view:
            value = view.get(Table.BRIDGE, _number(height))
        if value is None:
            raise LocalError(f"no bridge state at the finalised height {height}")
        return value

    def stake_records(self) -> list[StakeRecord]:
        """Every record of a finalised block."""
        with self.store.read() as view:
            return [StakeRecord.decode(value[8:]) for _, value in view.scan(Table.STAKES)]

    def sealed(self, epoch: Epoch) -> SealedEpoch | None:
        with self.store.read() as view:
            value = view.get(Table.SEALS, _number(epoch))
        return None if value is None else SealedEpoch.decode(value)

    def seed(self, epoch: Epoch) -> Hash32 | None:
        """The seed of an epoch's leaders, if they were drawn and are the last that were."""
        with self.live.read() as view:
            value = view.get(Table.META, META_SEED)
        return Hash32(value[8:]) if value is not None and value[:8] == _number(epoch) else None

    def write_seed(self, epoch: Epoch, seed: Hash32) -> None:
        with self.live.write() as change:
            change.put(Table.META, META_SEED, _number(epoch) + seed)

    def block(self, digest: Hash32) -> bytes | None:
        """An encoded block, final or proposed."""
        with self.store.read() as view:
            final = view.get(Table.BLOCKS, digest)
        if final is not None or self.live is self.store:
            return final
        with self.live.read() as view:
            return view.get(Table.BLOCKS, digest)

    def digest_at(self, height: BlockHeight) -> tuple[Hash32, Hash32] | None:
        """Digest of the final block at a height, and the state root after it."""
        with self.store.read() as view:
            value = view.get(Table.FINAL, _number(height))
        return None if value is None else (Hash32(value[:32]), Hash32(value[32:64]))

    def certificate(self, height: BlockHeight) -> bytes | None:
        """The finality certificate of a final block; None where a descendant's speaks for it."""
        with self.store.read() as view:
            return view.get(Table.CERTIFICATES, _number(height))

    def receipts(self, height: BlockHeight) -> bytes | None:
        with self.store.read() as view:
            return view.get(Table.RECEIPTS, _number(height))

    def find_transaction(self, txid: bytes) -> tuple[BlockHeight, int] | None:
        """Height and index of a finalised transaction."""
        with self.store.read() as view:
            value = view.get(Table.TRANSACTIONS, txid)
        if value is None:
            return None
        return BlockHeight(int.from_bytes(value[:8], "big")), int.from_bytes(value[8:], "big")

    def settled(self, last_epoch: int) -> tuple[Hash32, int] | None:
        """Bitcoin txid and fee version of the buried settlement that ends with this epoch."""
        with self.store.read() as view:
            value = view.get(Table.SETTLED, _number(last_epoch))
        return None if value is None else (Hash32(value[:32]), int.from_bytes(value[32:36], "big"))

    def settlement_of(self, epoch: Epoch) -> tuple[int, Hash32] | None:
        """(last epoch, Bitcoin txid) of the buried settlement that covers an epoch."""
        with self.store.read() as view:
            for key, value in view.scan(Table.SETTLED, start=_number(epoch)):
                return int.from_bytes(key, "big"), Hash32(value[:32])
        return None

    def payout_source(self, payout_id: int) -> tuple[Hash32, BlockHeight] | None:
        """The ledger transaction that burnt for a payout, and its block's height."""
        with self.store.read() as view:
            value = view.get(Table.PAYOUTS, _number(payout_id))
        if value is None:
            return None
        return Hash32(value[:32]), BlockHeight(int.from_bytes(value[32:], "big"))

    def payout_paid(self, payout_id: int) -> tuple[Epoch, int] | None:
        """(last epoch of the settlement, output index) of a paid payout."""
        with self.store.read() as view:
            value = view.get(Table.PAID, _number(payout_id))
        if value is None:
            return None
        return Epoch(int.from_bytes(value[:8], "big")), int.from_bytes(value[8:], "big")

    def minted(self, outpoint: OutPoint) -> tuple[Epoch, int] | None:
        """(last epoch of the sweeping settlement, satoshi credited) of a minted deposit."""
        with self.store.read() as view:
            value = view.get(Table.MINTED, outpoint.txid + outpoint.vout.to_bytes(4, "big"))
        if value is None:
            return None
        return Epoch(int.from_bytes(value[:8], "big")), int.from_bytes(value[8:], "big")

    def final_range(
        self, first: BlockHeight, count_max: int, bytes_max: int
    ) -> tuple[list[bytes], bytes | None]:
        """Encoded final blocks from `first` on, ending at one that has a certificate of its own.

        At least up to the first such block, then more while they fit. ([], None) when there is
        no certified block at or above `first`, or it is too far for one answer.
        """
        blocks: list[bytes] = []
        end = 0
        certificate: bytes | None = None
        size = 0
        with self.store.read() as view:
            for key, value in view.scan(Table.FINAL, start=_number(first)):
                encoded = view.get(Table.BLOCKS, value[:32])
                if encoded is None:
                    raise LocalError(f"final block {value[:32].hex()} is missing")
                size += len(encoded)
                is_over = len(blocks) >= count_max or size > bytes_max
                if certificate is not None and is_over:
                    break
                if len(blocks) >= RANGE_BLOCKS_HARD or size > RANGE_BYTES_HARD:
                    break  # a peer that followed in smaller steps can serve this
                blocks.append(encoded)
                own = view.get(Table.CERTIFICATES, key)
                if own is not None:
                    end, certificate = len(blocks), own
                    if Certificate.decode(own).statement.is_seal:
                        break
        return blocks[:end], certificate

    def write_records(
        self, epoch: Epoch, records: Iterable[Record], blocks: Iterable[tuple[Hash32, bytes]]
    ) -> None:
        """One commit: durable records of an instance and the bodies of its proposals."""
        with self.live.write() as change:
            for digest, encoded in blocks:
                change.put(Table.BLOCKS, digest, encoded)
            for record in records:
                change.put(Table.CONSENSUS, _record_key(epoch, record), record.encode())

    def records(self, epoch: Epoch) -> list[Record]:
        """The durable records of an instance."""
        with self.live.read() as view:
            found = view.scan(Table.CONSENSUS, prefix=_number(epoch))
            return [decode_record(value) for _, value in found]

    def forget_records(self, below: Epoch) -> None:
        """Drop the records of instances before `below`, and proposals that did not become final."""
        with self.live.write() as change:
            stale: list[tuple[bytes, bytes]] = []
            for key, value in change.scan(Table.CONSENSUS):
                if key >= _number(below):
                    break
                stale.append((key, value))
            for key, value in stale:
                change.delete(Table.CONSENSUS, key)
                record = decode_record(value)
                if isinstance(record, ProposalRecord):
                    self._forget_body(change, record)

    def _forget_body(self, change: WriteTransaction, record: ProposalRecord) -> None:
        digest = record.proposal.block.digest
        encoded = change.get(Table.BLOCKS, digest)
        if encoded is None:
            return
        height = _height_of(encoded)
        final = change.get(Table.FINAL, _number(height))
        if final is None or final[:32] != digest:
            change.delete(Table.BLOCKS, digest)

    def write_share(self, epoch: Epoch, version: int, key: bytes, share: bytes) -> None:
        """One signer's signatures over one version of an epoch's settlement."""
        row = _number(epoch) + version.to_bytes(4, "big") + key
        with self.live.write() as change:
            change.put(Table.SHARES, row, share)

    def shares(self, epoch: Epoch) -> Iterator[tuple[int, bytes, bytes]]:
        """(version, vault key, share) of an epoch's settlement."""
        with self.live.read() as view:
            rows = list(view.scan(Table.SHARES, prefix=_number(epoch)))
        for key, value in rows:
            yield int.from_bytes(key[8:12], "big"), key[12:44], value

    def write_settlement(self, epoch: Epoch, version: int, transaction: bytes) -> None:
        """A completely signed settlement, to be rebroadcast until one version is buried."""
        row = _number(epoch) + version.to_bytes(4, "big")
        with self.live.write() as change:
            change.put(Table.SETTLEMENTS, row, transaction)

    def settlements(self, epoch: Epoch) -> list[tuple[int, bytes]]:
        with self.live.read() as view:
            rows = list(view.scan(Table.SETTLEMENTS, prefix=_number(epoch)))
        return [(int.from_bytes(key[8:12], "big"), value) for key, value in rows]


def _index_payouts(change: WriteTransaction, block: FinalBlock) -> None:
    """Which transaction burnt for which payout: from the receipts."""
    for index, txid in enumerate(block.txids):
        start = RECEIPT_BYTES * index + RECEIPT_PAYOUT_OFFSET
        payout = block.receipts[start : start + 8]
        if payout != NO_PAYOUT:
            change.put(Table.PAYOUTS, payout, txid + _number(block.height))


def _index_records(change: WriteTransaction, block: FinalBlock) -> None:
    """What a buried settlement swept and paid."""
    settled: SettlementRecord | None = None
    payouts = 0
    for record in decode_records(block.records):
        if isinstance(record, SettlementRecord):
            settled = record
            row = record.txid + record.version.to_bytes(4, "big") + _number(block.height)
            change.put(Table.SETTLED, _number(record.last_epoch), row)
        elif isinstance(record, DepositRecord) and settled is not None:
            key = record.outpoint.txid + record.outpoint.vout.to_bytes(4, "big")
            row = _number(settled.last_epoch) + _number(record.value - record.fee)
            change.put(Table.MINTED, key, row)
        elif isinstance(record, PayoutRecord) and settled is not None:
            row = _number(settled.last_epoch) + (FIRST_PAYOUT + payouts).to_bytes(4, "big")
            change.put(Table.PAID, _number(record.payout_id), row)
            payouts += 1


def _height_of(encoded_block: bytes) -> int:
    """L2 height in an encoded block: after length 4, version 1, kind 1, epoch 8, view 8."""
    return int.from_bytes(encoded_block[22:30], "big")
