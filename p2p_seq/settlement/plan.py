"""What a seal plans to settle, and the commitment that its Bitcoin transaction carries.

The plan is in the seal block, in full, so that every signer rebuilds the same transaction from
finalised state. The commitment is computed from the plan and from what is known of the covered
epochs; plans contain lists, never the commitment (PROTOCOL.md section 2).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from p2p_seq.bitcoin.script import MAX_PAYOUT_SCRIPT, classify, dust_limit
from p2p_seq.bitcoin.wire import MAX_MONEY
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import (
    ZERO32,
    Epoch,
    Hash32,
    OutPoint,
    Sats,
    SatsPerKvb,
    XOnlyKey,
)
from p2p_seq.settlement.fees import VERSIONS_MAX
from p2p_seq.settlement.generation import VaultGeneration

PLAN_ITEMS_MAX: Final = 2_048
"""Deposits, and payouts, of one plan: above every I_MAX and P_MAX that 95,000 vB allow."""

COVERED_EPOCHS_MAX: Final = 65_536
"""Epochs of one settlement; more than a year without any."""

LAST_EPOCH_MAX: Final = 0xFFFFFFFF
"""The settlement's OP_RETURN has four bytes for the last epoch."""


@dataclass(frozen=True, slots=True)
class PlannedDeposit:
    """A buried deposit to be swept; in order of (height, transaction index, vout)."""

    outpoint: OutPoint
    value: Sats
    """What the output holds, before the charge for its input."""
    recipient: XOnlyKey
    user_key: XOnlyKey
    generation: int

    def write(self, writer: Writer) -> Writer:
        writer.outpoint(self.outpoint).u64(self.value)
        return writer.hash32(self.recipient).hash32(self.user_key).u16(self.generation)

    @classmethod
    def read(cls, reader: Reader) -> "PlannedDeposit":
        return cls(
            reader.outpoint(),
            Sats(reader.u64(1, MAX_MONEY)),
            reader.xonly(),
            reader.xonly(),
            reader.u16(),
        )


@dataclass(frozen=True, slots=True)
class PlannedPayout:
    """A withdrawal that the settlement pays; in ledger order, so by ascending id."""

    payout_id: int
    """u64 number of the withdrawal on the ledger."""
    amount: Sats
    """What the output holds."""
    script: bytes

    def write(self, writer: Writer) -> Writer:
        writer.u64(self.payout_id).u64(self.amount)
        return writer.var_bytes(self.script, MAX_PAYOUT_SCRIPT)

    @classmethod
    def read(cls, reader: Reader) -> "PlannedPayout":
        payout = cls(
            reader.u64(), Sats(reader.u64(1, MAX_MONEY)), reader.var_bytes(MAX_PAYOUT_SCRIPT)
        )
        if classify(payout.script) is None or payout.amount < dust_limit(payout.script):
            raise CodecError(CodecReason.VALUE, f"payout {payout.payout_id} cannot be paid")
        return payout


@dataclass(frozen=True, slots=True)
class SettlementPlan:
    """Everything that shapes a settlement except what the covered epochs computed."""

    first_epoch: Epoch
    """The epoch after the last settled one."""
    last_epoch: Epoch
    vault: OutPoint
    vault_value: Sats
    generation: int
    """Number of the generation that holds the vault coin."""
    deposits: tuple[PlannedDeposit, ...]
    payouts: tuple[PlannedPayout, ...]
    base_feerate: SatsPerKvb
    """f_0."""
    maximum_feerate: SatsPerKvb
    """f_max."""
    maximum_version: int
    """The last fee version that may be signed."""
    hand_over: VaultGeneration | None = None
    """The generation that output 0 pays, when it is not the present one."""

    @property
    def successor(self) -> int:
        """Number of the generation that output 0 pays."""
        return self.generation if self.hand_over is None else self.hand_over.number

    def encode(self) -> bytes:
        return self.write(Writer()).bytes()

    def write(self, writer: Writer) -> Writer:
        writer.u64(self.first_epoch).u64(self.last_epoch)
        writer.outpoint(self.vault).u64(self.vault_value).u16(self.generation)
        writer.sequence(self.deposits, PLAN_ITEMS_MAX, lambda w, item: item.write(w))
        writer.sequence(self.payouts, PLAN_ITEMS_MAX, lambda w, item: item.write(w))
        writer.u32(self.base_feerate).u32(self.maximum_feerate).u8(self.maximum_version)
        writer.u8(self.hand_over is not None)
        return writer if self.hand_over is None else self.hand_over.write(writer)

    @classmethod
    def read(cls, reader: Reader) -> "SettlementPlan":
        plan = cls(
            first_epoch=Epoch(reader.u64(0, LAST_EPOCH_MAX)),
            last_epoch=Epoch(reader.u64(0, LAST_EPOCH_MAX)),
            vault=reader.outpoint(),
            vault_value=Sats(reader.u64(1, MAX_MONEY)),
            generation=reader.u16(),
            deposits=reader.sequence(PLAN_ITEMS_MAX, PlannedDeposit.read),
            payouts=reader.sequence(PLAN_ITEMS_MAX, PlannedPayout.read),
            base_feerate=SatsPerKvb(reader.u32(1)),
            maximum_feerate=SatsPerKvb(reader.u32(1)),
            maximum_version=reader.u8(0, VERSIONS_MAX),
            hand_over=VaultGeneration.read(reader) if reader.u8(0, 1) else None,
        )
        plan._check()
        return plan

    @classmethod
    def decode(cls, encoded: bytes) -> "SettlementPlan":
        """Strict inverse of `encode`. Raises CodecError."""
        reader = Reader(encoded)
        plan = cls.read(reader)
        reader.finish()
        return plan

    def _check(self) -> None:
        """Relations that make a second spelling, or an impossible transaction."""
        spent = {item.outpoint for item in self.deposits} | {self.vault}
        ids = [item.payout_id for item in self.payouts]
        for holds, message in (
            (self.first_epoch <= self.last_epoch, "the epoch range is empty"),
            (self.last_epoch - self.first_epoch < COVERED_EPOCHS_MAX, "too many epochs"),
            (len(spent) == len(self.deposits) + 1, "an output is spent twice"),
            (_is_ascending(ids), "payouts are not in ledger order"),
            (self.base_feerate <= self.maximum_feerate, "the feerate is above its maximum"),
            (
                self.hand_over is None or self.hand_over.number == self.generation + 1,
                "the hand-over is not to the next generation",
            ),
        ):
            if not holds:
                raise CodecError(CodecReason.VALUE, message)

    def digest(self, network: str) -> Hash32:
        """`H_plan` of the encoding, for logs and for naming a plan in messages."""
        return tagged_hash(network, Tag.PLAN, self.encode())


def _is_ascending(numbers: list[int]) -> bool:
    return all(one < other for one, other in pairwise(numbers))


@dataclass(frozen=True, slots=True)
class SettledEpoch:
    """What the commitment says of one epoch."""

    statement: Hash32
    endorsed: Hash32 = ZERO32
    """M(e): hash of what was endorsed; zero while enforcement is 0."""


@dataclass(frozen=True, slots=True)
class SettledFacts:
    """What the commitment covers besides the plan."""

    epochs: tuple[SettledEpoch, ...]
    """One for each covered epoch, in order."""
    next_set: Hash32
    """Digest of the set that serves the epoch after the last one."""
    generation: Hash32
    """Digest of the vault generation that output 0 pays."""
    certified: tuple[tuple[Epoch, Hash32], ...] = ()
    """Newly certified epochs with the digest of their first finalised proof."""


def commitment_preimage(plan: SettlementPlan, facts: SettledFacts) -> bytes:
    """The bytes under `H_commit`, in the order of PROTOCOL.md section 2."""
    covered = plan.last_epoch - plan.first_epoch + 1
    if len(facts.epochs) != covered:
        raise ValueError(f"{len(facts.epochs)} statements for {covered} epochs")
    writer = Writer().u64(plan.first_epoch).u64(plan.last_epoch)
    writer.sequence(
        facts.epochs,
        COVERED_EPOCHS_MAX,
        lambda w, item: w.hash32(item.statement).hash32(item.endorsed),
    )
    writer.hash32(facts.next_set).hash32(facts.generation)
    writer.sequence(plan.payouts, PLAN_ITEMS_MAX, lambda w, item: item.write(w))
    writer.sequence(plan.deposits, PLAN_ITEMS_MAX, lambda w, item: item.write(w))
    writer.sequence(
        facts.certified, COVERED_EPOCHS_MAX, lambda w, item: w.u64(item[0]).hash32(item[1])
    )
    writer.u32(plan.base_feerate).u32(plan.maximum_feerate).u8(plan.maximum_version)
    return writer.bytes()


def commitment(network: str, plan: SettlementPlan, facts: SettledFacts) -> Hash32:
    """`H_commit`: what the settlement's OP_RETURN binds. The same for all fee versions."""
    return tagged_hash(network, Tag.COMMIT, commitment_preimage(plan, facts))
