"""What a block must contain, given its parent and its origin: a pure function.

The proposer puts it in, every voter computes it again and compares bytes (PROTOCOL.md section 4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from p2p_seq.bitcoin.scan import L1Block
from p2p_seq.chain.types import ChainState
from p2p_seq.protocol.blocks import Block, BlockKind
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.records import (
    DepositRecord,
    EpochRecord,
    PayoutRecord,
    Record,
    SettlementRecord,
    StakeLeafRecord,
    decode_records,
)
from p2p_seq.protocol.seals import SealBody
from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.stakes import StakeRecord
from p2p_seq.protocol.state import PendingPayout
from p2p_seq.protocol.types import ZERO32, Epoch, Hash32, Height, Sats, SatsPerKvb, XOnlyKey
from p2p_seq.settlement.bridge import BookedSettlement, BridgeState, advance
from p2p_seq.settlement.fees import deposit_charge
from p2p_seq.settlement.planning import PlanInputs, plan_settlement
from p2p_seq.staking.hand_over import due_hand_over
from p2p_seq.staking.registry import Registry


@dataclass(frozen=True, slots=True)
class Advanced:
    """An origin advance: the bridge after it, and the records that book it."""

    bridge: BridgeState
    records: tuple[Record, ...]


def advance_records(bridge: BridgeState, params: Params, blocks: Sequence[L1Block]) -> Advanced:
    """What Bitcoin did in `blocks`, ascending from above the parent's origin to the block's own."""
    after, booked = advance(bridge, params, blocks)
    return Advanced(after, () if booked is None else _booked(bridge, booked))


def _booked(before: BridgeState, booked: BookedSettlement) -> tuple[Record, ...]:
    """The settlement's record, then its deposits, then its payouts.

    A deposit is charged at twice the rate that was last buried before this settlement.
    """
    plan = booked.plan
    settlement = SettlementRecord(
        booked.txid,
        plan.last_epoch,
        booked.version,
        booked.fee,
        booked.vault_value,
        booked.feerate,
    )
    deposits = (
        DepositRecord(
            item.outpoint,
            item.value,
            item.recipient,
            deposit_charge(before.last_rate, before.generations[item.generation]),
        )
        for item in plan.deposits
    )
    payouts = (PayoutRecord(item.payout_id) for item in plan.payouts)
    return (settlement, *deposits, *payouts)


def stake_leaf(record: StakeRecord, params: Params, anchor: Height) -> StakeLeafRecord:
    """The record by which a registered stake enters the state."""
    return StakeLeafRecord(
        record.consensus_key,
        record.digest(params.network),
        record.bundle.first_epoch,
        record.bundle.last_epoch,
        params.refund_height(anchor, record.bundle.last_epoch),
    )


@dataclass(frozen=True, slots=True)
class Derived:
    """Everything that a parent and an origin fix of a block."""

    records: tuple[Record, ...]
    seal: SealBody | None
    outputs: Hash32
    """Outputs digest of the ended epoch when the block is a seal, else zeros."""
    next_set: SequencerSet
    """The set that votes on the block's children."""
    bridge: BridgeState
    """After the origin advance; the plan of a seal is applied when its digest is known."""
    registry: Registry
    blocks: tuple[L1Block, ...]
    """The Bitcoin blocks of the origin advance."""

    @property
    def seal_bytes(self) -> bytes:
        return b"" if self.seal is None else self.seal.encode()


def stated_outputs(block: Block) -> Hash32:
    """The outputs digest that a seal's first record states; zeros for other blocks.

    Raises CodecError when a seal does not begin with an epoch record.
    """
    if block.header.kind is not BlockKind.SEAL:
        return ZERO32
    records = decode_records(block.body.records)
    if not records or not isinstance(records[0], EpochRecord):
        raise CodecError(CodecReason.VALUE, "a seal begins with an epoch record")
    return records[0].outputs


@dataclass(frozen=True, slots=True)
class SealFacts:
    """What a seal's body depends on besides the parent: set, payouts, pool."""

    next_set: SequencerSet
    """Elected for the next epoch, as of the seal's origin."""
    payouts: Sequence[PendingPayout]
    """Pending after the parent, by ascending id."""
    fee_pool: Sats
    """After the parent."""
    bonds: Mapping[XOnlyKey, Sats]
    """Unspent bonds by vault key, as of the parent's origin."""


def seal_body(
    parent: ChainState, params: Params, facts: SealFacts, feerate: SatsPerKvb
) -> SealBody:
    """The body of the seal that ends the parent's epoch."""
    origin = parent.header.origin.height
    inputs = PlanInputs(
        epoch=parent.epoch,
        origin=origin,
        anchor=parent.registry.draft.anchor_height,
        fee_pool=facts.fee_pool,
        payouts=facts.payouts,
        bonds=facts.bonds,
        hand_over=due_hand_over(parent.registry, parent.bridge, facts.next_set, origin),
    )
    plan = plan_settlement(params, parent.bridge, inputs, feerate)
    members = tuple((member.key, member.weight) for member in facts.next_set.members)
    return SealBody(parent.epoch, members, feerate, b"" if plan is None else plan.encode())


def epoch_record(ended: Epoch, outputs: Hash32) -> EpochRecord:
    """First record of a seal: opens the next epoch and keeps the ended one's outputs."""
    return EpochRecord(Epoch(ended + 1), outputs)
