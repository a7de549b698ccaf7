"""What the ledger's state holds: leaves, the constants and block contexts of the program.

Twin of `cython_core/guest/state.h` (values of 64 bytes) and of the inputs that `ledger.h` reads.
The path of a leaf is `b3(K_path, kind | 31 zeros | key)`; `cython_core.ledger` computes it.
"""

from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from struct import Struct
from typing import Final

from p2p_seq.protocol.blocks import Origin
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.tags import NETWORK_NAME, Tag
from p2p_seq.protocol.types import (
    BlockHeight,
    Epoch,
    Hash32,
    Height,
    OutPoint,
    Sats,
    SatsPerKvb,
    XOnlyKey,
)

LEAF_VALUE_BYTES: Final = 64
"""Length of every leaf's value."""

ACCOUNT_LAYOUT: Final = Struct("<4Q32x")
"""Little-endian, as the machine reads words: each transfer changes two accounts there."""

ACCOUNT_HEAD: Final = Struct("<2Q")
"""Balance and nonce, with which it begins."""

ACCOUNT_NONCE_SHIFT: Final = 32
"""A new account's nonce is `epoch << 32` plus the transactions executed in the epoch before it."""

PROGRAM_TAGS: Final = (
    Tag.TX,
    Tag.BODY,
    Tag.TRANSACTIONS,
    Tag.L1_INPUTS,
    Tag.INPUTS,
    Tag.OUTPUTS,
    Tag.HISTORY,
    Tag.WITHDRAWAL,
    Tag.BATCH,
)
"""Tags that the program hashes with, in the order of `enum ledger_tag`."""


class LeafKind(IntEnum):
    """What a leaf is; first byte of its name."""

    ACCOUNT = 1
    TOTALS = 2
    EPOCH = 3
    WITHDRAWALS = 4
    HISTORY = 5
    PAYOUT = 6
    STAKE = 7
    VAULT = 8


def numbered_key(number: int) -> bytes:
    """Key of a leaf that is named by a number."""
    return number.to_bytes(32, "big")


def ledger_constants(params: Params, chain_id: Hash32) -> bytes:
    """What the program reads once per run: 384 bytes."""
    if not NETWORK_NAME.match(params.network):
        raise ValueError(f"not a network name: {params.network!r}")
    writer = Writer().hash32(chain_id)
    for tag in PROGRAM_TAGS:
        writer.hash32(sha256(f"p2pseq/{params.network}/{tag.value}/v1".encode("ascii")).digest())
    for number in (
        params.account_minimum,
        params.payout_minimum,
        params.fee_transfer,
        params.fee_withdraw,
        params.cycles_transfer,
        params.cycles_other,
        params.epoch_cycle_limit,
        params.batches_per_epoch,
    ):
        writer.u64(number)
    return writer.bytes()


@dataclass(frozen=True, slots=True)
class BlockContext:
    """What consensus says about a block that is executed. 96 bytes.

    A seal executes as the first transition of the epoch that it opens, so its context has the new
    epoch. The leader is a reward key; of a seal or genesis block it earns nothing.
    """

    epoch: Epoch
    height: BlockHeight
    origin: Origin
    leader: XOnlyKey

    def encode(self) -> bytes:
        writer = Writer().u64(self.epoch).u64(self.height).u64(self.origin.height)
        writer.u64(self.origin.median_time).hash32(self.origin.hash)
        return writer.hash32(self.leader).bytes()


@dataclass(frozen=True, slots=True)
class OutputsFrame:
    """Words of an epoch's outputs that its state does not hold (relay.md 5.1)."""

    program: Hash32
    signing_set: Hash32
    next_set: Hash32
    origin: Origin
    """Of the last executed block: the seal's parent."""

    def encode(self) -> bytes:
        writer = Writer().hash32(self.program).hash32(self.signing_set)
        return writer.hash32(self.next_set).bytes()


@dataclass(frozen=True, slots=True)
class Account:
    """One key's account."""

    balance: Sats
    nonce: int
    """The nonce that its next transaction must have."""
    tokens: int = 0
    """Free governance tokens."""
    bonded: int = 0
    """Bonded governance tokens."""

    def encode(self) -> bytes:
        return ACCOUNT_LAYOUT.pack(self.balance, self.nonce, self.tokens, self.bonded)

    @classmethod
    def decode(cls, value: bytes) -> "Account":
        reader = Reader(value)
        words = ACCOUNT_LAYOUT.unpack(reader.fixed(LEAF_VALUE_BYTES - 32) + bytes(32))
        _zeros(reader, 32)
        return cls(Sats(words[0]), *words[1:])


@dataclass(frozen=True, slots=True)
class Totals:
    """The books: `wrapped + pending + fee_pool + insurance == vault` in every state."""

    wrapped: Sats
    """Sum of all balances."""
    pending: Sats
    """Sum of all pending payouts."""
    fee_pool: Sats
    """Settlement reserve: pays Bitcoin's fees."""
    insurance: Sats
    vault: Sats
    """Value of the last buried vault coin."""
    last_rate: SatsPerKvb
    """Feerate of the last buried settlement."""
    next_payout_id: int
    """From 1; 0 means "no payout" in receipts."""
    account_count: int

    @property
    def is_balanced(self) -> bool:
        """The supply rule of PROTOCOL.md section 4."""
        return self.wrapped + self.pending + self.fee_pool + self.insurance == self.vault

    def encode(self) -> bytes:
        writer = Writer().u64(self.wrapped).u64(self.pending).u64(self.fee_pool)
        writer.u64(self.insurance).u64(self.vault).u64(self.last_rate)
        return writer.u64(self.next_payout_id).u64(self.account_count).bytes()

    @classmethod
    def decode(cls, value: bytes) -> "Totals":
        reader = Reader(value)
        totals = cls(
            Sats(reader.u64()),
            Sats(reader.u64()),
            Sats(reader.u64()),
            Sats(reader.u64()),
            Sats(reader.u64()),
            SatsPerKvb(reader.u64()),
            reader.u64(),
            reader.u64(),
        )
        reader.finish()
        return totals


@dataclass(frozen=True, slots=True)
class EpochAccumulator:
    """What the last batch of an epoch must know of the whole epoch: three pages of leaves."""

    epoch: Epoch
    cycles_used: int
    batch: int
    """Index of the batch that the last block is in."""
    batch_cycles: int
    transaction_count: int
    block_count: int
    first_payout_id: int
    history_count: int
    """Epochs in the history tree."""
    pre_root: Hash32
    """State root before the epoch's first transition."""
    certificates: Hash32
    transactions_digest: Hash32
    l1_inputs: Hash32

    @classmethod
    def decode(cls, pages: tuple[bytes, bytes, bytes]) -> "EpochAccumulator":
        reader = Reader(b"".join(pages))
        accumulator = cls(
            epoch=Epoch(reader.u64()),
            cycles_used=reader.u64(),
            batch=reader.u64(),
            batch_cycles=reader.u64(),
            transaction_count=reader.u64(),
            block_count=reader.u64(),
            first_payout_id=reader.u64(),
            history_count=reader.u64(),
            pre_root=reader.hash32(),
            certificates=reader.hash32(),
            transactions_digest=reader.hash32(),
            l1_inputs=reader.hash32(),
        )
        reader.finish()
        return accumulator


@dataclass(frozen=True, slots=True)
class PendingPayout:
    """A withdrawal that no buried settlement has paid yet."""

    payout_id: int
    epoch: Epoch
    """Epoch whose block burnt it."""
    amount: Sats
    script: bytes

    @classmethod
    def decode(cls, payout_id: int, value: bytes) -> "PendingPayout":
        reader = Reader(value)
        epoch, amount, length = Epoch(reader.u64()), Sats(reader.u64()), reader.u8(0, 34)
        script = reader.fixed(34)
        _zeros(reader, 13)
        return cls(payout_id, epoch, amount, script[:length])


@dataclass(frozen=True, slots=True)
class StakeLeaf:
    """A registered stake, as far as the ledger knows it."""

    consensus_key: XOnlyKey
    record_digest: Hash32
    first_epoch: Epoch
    last_epoch: Epoch
    refund_height: Height

    @classmethod
    def decode(cls, consensus_key: XOnlyKey, value: bytes) -> "StakeLeaf":
        reader = Reader(value)
        leaf = cls(
            consensus_key,
            reader.hash32(),
            Epoch(reader.u64()),
            Epoch(reader.u64()),
            Height(reader.u32()),
        )
        _zeros(reader, 12)
        return leaf


@dataclass(frozen=True, slots=True)
class VaultLeaf:
    """The last buried vault coin."""

    outpoint: OutPoint
    version: int
    """Fee version of the settlement that made it."""
    settled_epochs: int
    """Last settled epoch + 1; 0 before the first settlement."""
    settlements: int
    """How many settlements are buried."""

    def encode(self) -> bytes:
        writer = Writer().outpoint(self.outpoint).u32(self.version).u64(self.settled_epochs)
        return writer.u64(self.settlements).u64(0).bytes()

    @classmethod
    def decode(cls, value: bytes) -> "VaultLeaf":
        reader = Reader(value)
        leaf = cls(reader.outpoint(), reader.u32(), reader.u64(), reader.u64())
        _zeros(reader, 8)
        return leaf


@dataclass(frozen=True, slots=True)
class GenesisState:
    """The state before the genesis block: the vault coin's value is the initial fee pool."""

    vault_outpoint: OutPoint
    vault_value: Sats
    first_rate: SatsPerKvb
    """The first "last rate": f_min."""
    tokens: tuple[tuple[XOnlyKey, int], ...] = ()
    """Governance tokens at the start, distinct keys."""

    def leaves(self) -> tuple[tuple[LeafKind, bytes, bytes], ...]:
        """(kind, key, value) of every leaf."""
        totals = Totals(
            wrapped=Sats(0),
            pending=Sats(0),
            fee_pool=self.vault_value,
            insurance=Sats(0),
            vault=self.vault_value,
            last_rate=self.first_rate,
            next_payout_id=1,
            account_count=len(self.tokens),
        )
        vault = VaultLeaf(self.vault_outpoint, version=0, settled_epochs=0, settlements=0)
        accounts = tuple(
            (LeafKind.ACCOUNT, bytes(key), Account(Sats(0), 0, tokens).encode())
            for key, tokens in self.tokens
        )
        return (
            (LeafKind.TOTALS, numbered_key(0), totals.encode()),
            (LeafKind.VAULT, numbered_key(0), vault.encode()),
            *accounts,
        )


def _zeros(reader: Reader, count: int) -> None:
    for _ in range(count):
        reader.u8(0, 0)
    reader.finish()
