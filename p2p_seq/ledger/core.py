"""Pure rules around execution: what a transaction costs, what fits into an epoch's cycle budget.

The budget is the twin of `charge_cycles` in `cython_core/guest/ledger.c`: a proposer asks it what
still fits, a voter whether a block may be voted for without executing it. Both need only the
accumulator after the block's parent and the kind bytes of the block.
"""

from dataclasses import dataclass
from typing import Final

from p2p_seq.protocol.params import USER_BUDGET_PERCENT, Params
from p2p_seq.protocol.state import EpochAccumulator
from p2p_seq.protocol.transactions import TransactionKind
from p2p_seq.protocol.types import Sats, SatsPerKvb

PAYOUT_OUTPUT_VSIZE: Final = 43
"""Virtual bytes of the largest payout output (P2TR, P2WSH); PROTOCOL.md section 1, P_MAX."""

BATCH_OVERHEAD_STEPS: Final = 2
"""Boot and outputs of a guest run, each at the price of "every other kind"."""

if USER_BUDGET_PERCENT != 90:
    raise AssertionError("guest/ledger.c has the user's nine tenths as a constant")


def output_fee(rate: SatsPerKvb) -> Sats:
    """What a withdrawal pays for its output on Bitcoin: twice the last buried rate, rounded up."""
    return Sats(-(-2 * PAYOUT_OUTPUT_VSIZE * rate // 1000))


def price(params: Params, kind: TransactionKind, rate: SatsPerKvb) -> Sats:
    """The least fee of a kind; what a transaction offers above it is a tip to the leader."""
    if kind is TransactionKind.WITHDRAW:
        return Sats(params.fee_withdraw + output_fee(rate))
    return Sats(params.fee_transfer)


def block_cycles(params: Params, transfers: int, withdrawals: int, records: int) -> int:
    """Fixed worst-case price of a block in guest cycles, the block itself included."""
    return params.cycles_transfer * transfers + params.cycles_other * (1 + withdrawals + records)


@dataclass(frozen=True, slots=True)
class EpochBudget:
    """How much of an epoch's cycles its blocks have used."""

    batch: int
    """Index of the batch that the last block is in."""
    batch_cycles: int
    """Used of that batch; 0 before its first block."""

    @classmethod
    def after(cls, accumulator: EpochAccumulator) -> "EpochBudget":
        """The budget as the state after a block's parent has it."""
        return cls(accumulator.batch, accumulator.batch_cycles)

    def charge(self, params: Params, cycles: int) -> "EpochBudget":
        """The budget after a block of `cycles`: it never straddles two batches."""
        batch, used = self.batch, self.batch_cycles
        if used and used + cycles > _batch_limit(params):
            batch, used = batch + 1, 0
        if not used:
            used = BATCH_OVERHEAD_STEPS * params.cycles_other
        return EpochBudget(batch, used + cycles)

    def admits_users(self, params: Params) -> bool:
        """Whether a block with user transactions may end here: the last tenth is for records."""
        limit = _batch_limit(params)
        reached = self.batch * limit + self.batch_cycles
        return self.batch_cycles <= limit and reached <= params.epoch_cycle_limit // 10 * 9

    def room_for_users(self, params: Params, record_count: int) -> int:
        """Cycles that user transactions of the next block may use; 0 when none may enter.

        `record_count` records enter the same block first.
        """
        limit, fixed = _batch_limit(params), block_cycles(params, 0, 0, record_count)
        user_limit = params.epoch_cycle_limit // 10 * 9
        overhead = BATCH_OVERHEAD_STEPS * params.cycles_other
        used = self.batch_cycles or overhead
        here = min(limit - used, user_limit - self.batch * limit - used) - fixed
        room = user_limit - (self.batch + 1) * limit
        there = min(limit, room) - overhead - fixed if self.batch_cycles else 0
        # A block too large for what is left of this batch goes to the next one as a whole.
        return max(here, there, 0)


def system_records_per_epoch(params: Params) -> int:
    """Records that fit into the tenth of the budget that user transactions leave free."""
    reserve = params.epoch_cycle_limit - params.epoch_cycle_limit // 10 * 9
    return reserve // params.cycles_other


def _batch_limit(params: Params) -> int:
    return params.epoch_cycle_limit // params.batches_per_epoch
