"""What the next seal settles: a pure function of the state after the seal's parent.

PROTOCOL.md sections 2, 4, 6 and 7. A proposer puts the plan into the seal, every voter computes it
again and compares; the only free choice is the feerate f_0 within its bounds. When the fee pool
cannot pay for everything the plan shrinks: payouts and deposits go, the hand-over stays.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from p2p_seq.bitcoin.script import dust_limit, pay_to_taproot
from p2p_seq.ledger.core import system_records_per_epoch
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.state import PendingPayout
from p2p_seq.protocol.types import ZERO32, Epoch, Height, Sats, SatsPerKvb, XOnlyKey
from p2p_seq.settlement.bridge import BridgeState, has_time_left
from p2p_seq.settlement.fees import (
    SETTLEMENT_VSIZE_MAX,
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

VAULT_VALUE_MIN: Final = dust_limit(pay_to_taproot(XOnlyKey(ZERO32)))
"""The least vault coin: relays drop a transaction with a smaller output."""

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
    context = state.context(params)
    affordable = _shrink(context, plan, inputs.fee_pool)
    if affordable is None or not _is_due(params, state, affordable):
        return None
    return replace(affordable, maximum_version=_last_version(context, affordable, inputs.fee_pool))


def _is_due(params: Params, state: BridgeState, plan: SettlementPlan) -> bool:
    """Whether there is something to settle: of what the pool pays, not of what was wished for."""
    waited = plan.last_epoch - state.settled_through
    has_content = plan.deposits or plan.payouts or plan.hand_over
    return bool(has_content) or waited >= params.idle_epochs


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
    """Drop newest deposits, then newest payouts, until version 0 can be built and paid.

    The limits of counts are those of the active generation; deposits to a larger one before it
    have heavier inputs, so the size is looked at as well.
    """

    def kept(deposits: int, payouts: int) -> SettlementPlan:
        return replace(plan, deposits=plan.deposits[:deposits], payouts=plan.payouts[:payouts])

    def fits(deposits: int, payouts: int) -> bool:
        return _is_payable(context, kept(deposits, payouts), 0, pool)

    payouts = len(plan.payouts)
    deposits = _most(len(plan.deposits), lambda count: fits(count, payouts))
    if deposits is not None:
        return kept(deposits, payouts)
    fewer = _most(payouts, lambda count: fits(0, count))
    return None if fewer is None else kept(0, fewer)


def _most(count: int, fits: Callable[[int], bool]) -> int | None:
    """The greatest number up to `count` that fits, by bisection; None when not even 0 does."""
    if fits(count):
        return count
    if not fits(0):
        return None
    least, beyond = 0, count
    while beyond - least > 1:
        middle = (least + beyond) // 2
        least, beyond = (middle, beyond) if fits(middle) else (least, middle)
    return least


def _last_version(context: SettlementContext, plan: SettlementPlan, pool: Sats) -> int:
    """The last version that differs from the one before and that the reserve pays.

    The reserve is min(pool, cost at f_max); versions stop where the feerate reaches f_max.
    """
    last = 0
    while last < VERSIONS_MAX:
        rate = feerate_of_version(plan.base_feerate, plan.maximum_feerate, last)
        if rate >= plan.maximum_feerate or not _is_payable(context, plan, last + 1, pool):
            break
        last += 1
    return last


def _is_payable(context: SettlementContext, plan: SettlementPlan, version: int, pool: Sats) -> bool:
    """Whether the pool pays this version, and what it leaves in the vault is relayed forward.

    A plan whose transaction nobody can build would stop every node that holds it.
    """
    size = worst_case_vsize(context, plan)
    fee = settlement_fee(size, plan.base_feerate, plan.maximum_feerate, version)
    received = plan.vault_value + sum(item.value for item in plan.deposits)
    left = received - sum(item.amount for item in plan.payouts) - fee
    return size <= SETTLEMENT_VSIZE_MAX and fee <= pool and left >= VAULT_VALUE_MIN
