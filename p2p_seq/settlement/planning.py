"""What the next seal settles: a pure function of the state after the seal's parent.

PROTOCOL.md sections 2, 4, 6 and 7. A proposer puts the plan into the seal, every voter computes it
again and compares; the only free choice is the feerate f_0 within its bounds. When the fee pool
cannot pay for everything the plan shrinks: payouts and deposits go, the hand-over stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from p2p_seq.ledger.core import system_records_per_epoch
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.state import PendingPayout
from p2p_seq.protocol.types import Epoch, Height, Sats, SatsPerKvb, XOnlyKey
from p2p_seq.settlement.bridge import BridgeState, has_time_left
from p2p_seq.settlement.fees import (
    VERSIONS_MAX,
    deposit_charge,
    feerate_of_version,
    is_feerate_allowed,
    settlement_fee,
    settlement_limits,
)
from p2p_seq.settlement.generation import VaultGeneration
from p2p_seq.settlement.plan import PlannedDeposit, PlannedPayout, SettlementPlan
from p2p_seq.settlement.transactions import SettlementContext, worst_case_vsize

BOOKING_RECORDS: Final = 8
"""Records of an epoch besides deposits and payouts: epoch, settlement, stakes."""


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """Everything that a plan depends on, all of it finalised with the seal's parent."""

    epoch: Epoch
    """The epoch that the seal ends."""
    origin: Height
    """Origin height of the seal's parent."""
    anchor: Height
    """G."""
    fee_pool: Sats
    payouts: Sequence[PendingPayout]
    """By ascending id."""
    bonds: Mapping[XOnlyKey, Sats]
    """Unspent bond behind each vault key of the active generation."""
    hand_over: VaultGeneration | None
    """The generation to hand over to, when one is due."""


def is_withdrawable(
    params: Params, anchor: Height, settled_through: int, epoch: Epoch, origin: Height
) -> bool:
    """WITHDRAWABLE while enforcement is 0: committed, and W blocks after the seal's height."""
    border = params.epoch_start(anchor, Epoch(epoch + 1))
    return epoch <= settled_through and origin >= border + params.challenge_window


def feerate_bounds(params: Params, state: BridgeState) -> tuple[SatsPerKvb, SatsPerKvb]:
    """The least and greatest f_0 that a seal may propose."""
    least = max(params.feerate_minimum * 1_000, -(-state.last_rate // 2))
    most = min(params.feerate_maximum * 1_000, state.last_rate * 2)
    return SatsPerKvb(least), SatsPerKvb(most)


def is_feerate_valid(params: Params, state: BridgeState, feerate: SatsPerKvb) -> bool:
    """Whether a seal may propose this f_0 (section 7)."""
    return is_feerate_allowed(
        feerate,
        state.last_rate,
        SatsPerKvb(params.feerate_minimum * 1_000),
        SatsPerKvb(params.feerate_maximum * 1_000),
    )


def plan_settlement(
    params: Params, state: BridgeState, inputs: PlanInputs, feerate: SatsPerKvb
) -> SettlementPlan | None:
    """The plan of the seal of `inputs.epoch`; None when nothing is due or one is in flight."""
    if state.in_flight is not None:
        return None
    plan = SettlementPlan(
        first_epoch=Epoch(state.settled_through + 1),
        last_epoch=inputs.epoch,
        vault=state.vault,
        vault_value=state.vault_value,
        generation=state.active.number,
        deposits=_deposits(params, state, inputs),
        payouts=_payouts(params, state, inputs),
        base_feerate=feerate,
        maximum_feerate=SatsPerKvb(params.feerate_maximum * 1_000),
        maximum_version=0,
        hand_over=inputs.hand_over,
    )
    waited = inputs.epoch - state.settled_through
    due = plan.deposits or plan.payouts or plan.hand_over or waited >= params.idle_epochs
    if not due:
        return None
    affordable = _shrink(state.context(params), plan, inputs.fee_pool)
    if affordable is None:
        return None
    return replace(
        affordable, maximum_version=_last_version(state.context(params), affordable, inputs)
    )


def _payouts(params: Params, state: BridgeState, inputs: PlanInputs) -> tuple[PlannedPayout, ...]:
    _, fitting = settlement_limits(state.active)
    most = min(fitting, _record_room(params))
    ready = [
        PlannedPayout(item.payout_id, item.amount, item.script)
        for item in inputs.payouts
        if is_withdrawable(params, inputs.anchor, state.settled_through, item.epoch, inputs.origin)
    ]
    return tuple(ready[:most])


def _deposits(params: Params, state: BridgeState, inputs: PlanInputs) -> tuple[PlannedDeposit, ...]:
    """The oldest sweepable deposits that stay under the peg cap."""
    fitting, _ = settlement_limits(state.active)
    most = min(fitting, _record_room(params))
    room = peg_cap(params, state.active, inputs.bonds) - state.vault_value
    chosen: list[PlannedDeposit] = []
    for pending in state.deposits:
        if len(chosen) == most:
            break
        deposit = pending.deposit
        generation = state.generations.get(deposit.generation)
        if generation is None or not has_time_left(params, pending.height, inputs.origin):
            continue
        minted = deposit.value - deposit_charge(state.last_rate, generation)
        if minted < params.account_minimum or deposit.value > room:
            continue
        room -= deposit.value
        chosen.append(deposit)
    return tuple(chosen)


def _record_room(params: Params) -> int:
    """Deposits, and payouts, of one plan: booking them must fit what the epoch's cycle budget
    keeps for records, or the epoch could not be proven (PROTOCOL.md section 3).
    """
    return max(1, (system_records_per_epoch(params) - BOOKING_RECORDS) // 2)


def peg_cap(params: Params, generation: VaultGeneration, bonds: Mapping[XOnlyKey, Sats]) -> Sats:
    """Half of what burns of the lightest coalition that can spend the vault (section 6, V10)."""
    stakes = [bonds.get(member.key, Sats(0)) for member in generation.members]
    lightest = generation.lightest_spending_weight(stakes)
    return Sats(lightest * (100 - params.challenger_share_percent) // 200)


def _shrink(context: SettlementContext, plan: SettlementPlan, pool: Sats) -> SettlementPlan | None:
    """Drop newest deposits, then newest payouts, until version 0 is paid from the pool."""
    while _fee(context, plan, 0) > pool:
        if plan.deposits:
            plan = replace(plan, deposits=plan.deposits[:-1])
        elif plan.payouts:
            plan = replace(plan, payouts=plan.payouts[:-1])
        else:
            return None
    return plan


def _last_version(context: SettlementContext, plan: SettlementPlan, inputs: PlanInputs) -> int:
    """The last version that differs from the one before and that the reserve pays.

    The reserve is min(pool, cost at f_max); versions stop where the feerate reaches f_max.
    """
    last = 0
    while last < VERSIONS_MAX:
        rate = feerate_of_version(plan.base_feerate, plan.maximum_feerate, last)
        if rate >= plan.maximum_feerate or _fee(context, plan, last + 1) > inputs.fee_pool:
            break
        last += 1
    return last


def _fee(context: SettlementContext, plan: SettlementPlan, version: int) -> Sats:
    size = worst_case_vsize(context, plan)
    return settlement_fee(size, plan.base_feerate, plan.maximum_feerate, version)
