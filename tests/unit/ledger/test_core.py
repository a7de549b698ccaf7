"""Prices and the cycle budget: the twin that proposers use against the program that decides."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_seq.ledger.core import (
    EpochBudget,
    block_cycles,
    output_fee,
    price,
    system_records_per_epoch,
)
from p2p_seq.ledger.types import BlockFault
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.transactions import Order, TransactionKind, Transfer, Withdraw
from p2p_seq.protocol.types import Sats, SatsPerKvb
from tests.unit.ledger.chains import KEYS, PARAMS, SCRIPTS, SMALL, Chain, signed


@pytest.mark.parametrize(("rate", "fee"), [(0, 0), (1, 1), (1_000, 86), (1_001, 87), (11, 1)])
def test_output_fee_is_twice_the_rate_rounded_up(rate: int, fee: int) -> None:
    assert output_fee(SatsPerKvb(rate)) == fee
    assert price(PARAMS, TransactionKind.WITHDRAW, SatsPerKvb(rate)) == 20 + fee
    assert price(PARAMS, TransactionKind.TRANSFER, SatsPerKvb(rate)) == 10


def orders_of(transfers: int, withdrawals: int) -> list[Order]:
    """Orders that are dropped: only their kinds count."""
    return [
        *(Transfer(KEYS[0], 0, Sats(10), KEYS[1], Sats(1)) for _ in range(transfers)),
        *(Withdraw(KEYS[0], 0, Sats(10), Sats(1), SCRIPTS[0]) for _ in range(withdrawals)),
    ]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), batches=st.integers(1, 4))
def test_the_budget_is_the_programs(seed: int, batches: int) -> None:
    """Blocks that the twin admits execute; blocks that it refuses are refused with BUDGET."""
    rng = random.Random(seed)
    chain = Chain(params=replace(SMALL, batches_per_epoch=batches))
    refused = 0
    for _ in range(24):
        transfers, withdrawals = rng.randint(0, 30), rng.randint(0, 10)
        accumulator = chain.ledger.accumulator(chain.head)
        budget = EpochBudget.after(accumulator)
        cycles = block_cycles(chain.params, transfers, withdrawals, 0)
        orders = orders_of(transfers, withdrawals)
        body = b"".join(signed(order) for order in orders)
        assert chain.ledger.static_cycles(b"", body, len(orders)) == cycles
        after = budget.charge(chain.params, cycles)
        room = budget.room_for_users(chain.params, 0)
        fits = cycles - block_cycles(chain.params, 0, 0, 0) <= room
        if not orders or after.admits_users(chain.params):
            assert not orders or fits
            chain.block([], orders)
            assert EpochBudget.after(chain.ledger.accumulator(chain.head)) == after
        else:
            assert not fits
            refused += 1
            with pytest.raises(RemoteError) as caught:
                chain.block([], orders)
            assert caught.value.reason is BlockFault.BUDGET
        chain.check()


def test_the_budget_runs_out_and_comes_back_with_the_next_epoch() -> None:
    chain = Chain(params=SMALL)
    orders = orders_of(20, 0)
    # 500,000 per batch, 900,000 in all; a block is 130,000; the first batch has epoch 0's opening.
    for _ in range(5):
        chain.block([], orders)
    with pytest.raises(RemoteError, match="block-budget"):
        chain.block([], orders)
    for _ in range(3):
        chain.block([], [])
    chain.seal()
    chain.block([], orders)


@pytest.mark.parametrize(("spare", "batch"), [(0, 0), (-1, 1)])
def test_a_block_that_just_fits_stays_in_its_batch(spare: int, batch: int) -> None:
    """Epoch 0's opening (40,000) and one block of 10 transfers (70,000) fill a batch exactly."""
    limit = 40_000 + 70_000 + spare
    chain = Chain(params=replace(SMALL, epoch_cycle_limit=4 * limit, batches_per_epoch=4))
    chain.block([], orders_of(10, 0))
    chain.check()
    assert chain.ledger.accumulator(chain.head).batch == batch


def test_user_blocks_may_reach_nine_tenths_and_no_more() -> None:
    """Epoch 0's opening (36,000) and a block of five transfers (54,000) use 90,000 in all."""
    prices = replace(SMALL, cycles_transfer=9_000, cycles_other=9_000, batches_per_epoch=1)
    Chain(params=replace(prices, epoch_cycle_limit=100_000)).block([], orders_of(5, 0))
    with pytest.raises(RemoteError, match="block-budget"):
        Chain(params=replace(prices, epoch_cycle_limit=99_990)).block([], orders_of(5, 0))


def test_records_fit_into_the_reserve() -> None:
    assert system_records_per_epoch(PARAMS) == 150
