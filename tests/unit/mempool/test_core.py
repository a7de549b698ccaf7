"""Each rule of the mempool by itself, at its limit and one beyond."""

import dataclasses
from typing import cast

import pytest

from p2p_seq.mempool.core import Mempool
from p2p_seq.mempool.native import NativeMempool
from p2p_seq.mempool.types import (
    REJECTION_HELP,
    Account,
    PoolLimits,
    Position,
    Prices,
    Rejection,
    SelectionLimits,
    SenderStatus,
    TransactionPool,
)
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.transactions import Order
from p2p_seq.protocol.types import BlockHeight
from tests.unit.mempool.support import (
    PRICES,
    DictLedger,
    key,
    parse,
    transfer,
    unsigned_batch,
    withdraw,
)

POOLS: dict[str, type[Mempool] | type[NativeMempool]] = {
    "pure": Mempool,
    "native": NativeMempool,
}
pool_class: type[Mempool] | type[NativeMempool] = Mempool


@pytest.fixture(params=POOLS, autouse=True)
def _each_pool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs on both."""
    monkeypatch.setitem(globals(), "pool_class", POOLS[request.param])


EVERYTHING = SelectionLimits(10_000, 10**9, 10**12)


def pool_with(
    balances: dict[int, int], limits: PoolLimits | None = None, nonce: int = 0
) -> tuple[TransactionPool, DictLedger]:
    ledger = DictLedger({key(name): Account(sats, nonce) for name, sats in balances.items()})
    ledger.accounts[key(999)] = Account(1_000, 0)
    return pool_class(ledger, PRICES, limits), ledger


def admit(pool: TransactionPool, *orders: Order) -> list[Rejection | None]:
    payload = unsigned_batch(*orders)
    return pool.admit_batch(payload, parse(payload))


def chosen(
    pool: TransactionPool, limits: SelectionLimits = EVERYTHING, ancestors: tuple[bytes, ...] = ()
) -> list[tuple[bytes, int, int]]:
    """`(sender, nonce, fee)` of the selection, in its order."""
    return [(one[3], one[5], one[6]) for one in parse(pool.select(limits, ancestors).transactions)]


def include(pool: TransactionPool, block: bytes, height: int, *orders: Order) -> None:
    payload = unsigned_batch(*orders)
    pool.include(block, BlockHeight(height), payload, parse(payload))


def finalise(
    pool: TransactionPool, ledger: DictLedger, block: bytes, height: int, *orders: Order
) -> None:
    parsed = parse(unsigned_batch(*orders))
    for one in parsed:
        assert ledger.execute(one)
    pool.finalise(block, BlockHeight(height), parsed)


def test_an_admitted_transaction_is_chosen_byte_for_byte() -> None:
    pool, _ = pool_with({1: 10_000})
    payload = unsigned_batch(transfer(1, 0), withdraw(1, 1))
    assert pool.admit_batch(payload, parse(payload)) == [None, None]
    selection = pool.select(EVERYTHING)
    assert selection.transactions == payload
    assert selection.count == 2
    assert selection.cycles == 16_000
    assert (len(pool), pool.size) == (2, len(payload))
    assert pool.encoded(selection.txids[1]) == payload[154:]
    assert pool.sender_status(key(1)) == SenderStatus(2, 2, 1_100 + 1_500)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (transfer(1, 0, fee=99), Rejection.FEE),
        (withdraw(1, 0, fee=499), Rejection.FEE),
        (withdraw(1, 0, amount=999), Rejection.PAYOUT),
        (withdraw(1, 0, script=b"\x6a\x01\x00"), Rejection.SCRIPT),
        (withdraw(1, 0, script=b""), Rejection.SCRIPT),
        (transfer(1, 0, amount=999, recipient=77), Rejection.CREATION),
        (transfer(2, 0), Rejection.ACCOUNT),
        (transfer(1, 6), Rejection.NONCE_USED),
        (transfer(1, 7 + 1_024), Rejection.NONCE_FAR),
        (transfer(1, 7, amount=9_901), Rejection.BALANCE),
        (transfer(1, 7, amount=2**64 - 1), Rejection.BALANCE),
        (transfer(1, 7, fee=2**64 - 1), Rejection.BALANCE),
    ],
)
def test_what_would_not_be_executed_is_refused(order: Order, reason: Rejection) -> None:
    pool, _ = pool_with({1: 10_000}, nonce=7)
    assert admit(pool, order) == [reason]
    assert len(pool) == 0
    assert pool.size == 0


@pytest.mark.parametrize(
    "order",
    [
        transfer(1, 7, amount=9_900),
        transfer(1, 7 + 1_023),
        transfer(1, 7, amount=1_000, recipient=77),
        transfer(1, 7, amount=0),
        withdraw(1, 7, amount=1_000),
        withdraw(1, 7, script=b"\x00\x14" + bytes(20)),
    ],
)
def test_what_is_exactly_at_a_limit_is_admitted(order: Order) -> None:
    pool, _ = pool_with({1: 10_000}, nonce=7)
    assert admit(pool, order) == [None]


def test_an_unknown_kind_has_no_price() -> None:
    pool, _ = pool_with({1: 10_000})
    payload = unsigned_batch(transfer(1, 0))
    offset, length, txid, sender, _, nonce, fee, amount = parse(payload)[0]
    unknown = (offset, length, txid, sender, 9, nonce, fee, amount)
    assert pool.admit_batch(payload, [unknown]) == [Rejection.KIND]


def test_the_compiled_pool_checks_what_it_indexes() -> None:
    pool = NativeMempool(DictLedger(), PRICES)
    with pytest.raises(ValueError, match=r"^a parsed transaction has eight fields$"):
        pool.admit_batch(b"", [(0, 154, bytes(32))])  # type: ignore[list-item]
    outside = (10, 154, bytes(32), key(1), 1, 0, 100, 5)
    with pytest.raises(ValueError, match=r"^a parsed transaction lies outside of its payload$"):
        pool.admit_batch(bytes(20), [outside])


def test_every_reason_says_why_and_what_to_do() -> None:
    assert set(REJECTION_HELP) == set(Rejection)
    assert all(why and do for why, do in REJECTION_HELP.values())


def test_the_balance_must_cover_all_waiting_transactions() -> None:
    pool, _ = pool_with({1: 3_299})
    orders = [transfer(1, nonce) for nonce in range(3)]
    assert admit(pool, *orders) == [None, None, Rejection.BALANCE]


def test_duplicates_and_final_transactions_are_told_apart() -> None:
    pool, ledger = pool_with({1: 10_000}, PoolLimits(final_memory=1))
    assert admit(pool, transfer(1, 0), transfer(1, 0)) == [None, Rejection.DUPLICATE]
    finalise(pool, ledger, b"a", 1, transfer(1, 0))
    assert admit(pool, transfer(1, 0)) == [Rejection.FINAL]
    finalise(pool, ledger, b"b", 2, transfer(1, 1))
    assert admit(pool, transfer(1, 0)) == [Rejection.NONCE_USED]
    assert admit(pool, transfer(1, 1)) == [Rejection.FINAL]


@pytest.mark.parametrize(
    ("old_fee", "new_fee", "reason"),
    [(100, 109, Rejection.UNDERPRICED), (100, 110, None), (105, 115, Rejection.UNDERPRICED),
     (105, 116, None)],
)  # fmt: skip
def test_a_replacement_pays_a_tenth_more(
    old_fee: int, new_fee: int, reason: Rejection | None
) -> None:
    pool, _ = pool_with({1: 10_000})
    assert admit(pool, transfer(1, 0, old_fee), transfer(1, 1)) == [None, None]
    assert admit(pool, transfer(1, 0, new_fee)) == [reason]
    kept = new_fee if reason is None else old_fee
    assert chosen(pool) == [(key(1), 0, kept), (key(1), 1, 100)]
    assert pool.size == 308


def test_a_replacement_may_use_the_balance_of_what_it_replaces() -> None:
    pool, _ = pool_with({1: 5_000})
    assert admit(pool, transfer(1, 0, amount=4_900)) == [None]
    assert admit(pool, transfer(1, 0, fee=110, amount=4_891)) == [Rejection.BALANCE]
    assert admit(pool, transfer(1, 0, fee=110, amount=4_890)) == [None]


def test_what_is_being_voted_on_is_not_replaced() -> None:
    pool, _ = pool_with({1: 10_000})
    admit(pool, transfer(1, 0))
    include(pool, b"block", 1, transfer(1, 0))
    assert admit(pool, transfer(1, 0, fee=1_000)) == [Rejection.DECIDING]
    pool.abandon(b"block")
    assert admit(pool, transfer(1, 0, fee=1_000)) == [None]


def test_the_sender_limit() -> None:
    pool, _ = pool_with({1: 10_000}, PoolLimits(per_sender_max=2))
    orders = [transfer(1, nonce) for nonce in range(3)]
    assert admit(pool, *orders) == [None, None, Rejection.SENDER_FULL]
    assert admit(pool, transfer(1, 1, fee=200)) == [None]


def test_selection_goes_by_tip_per_cycle_then_by_arrival_and_keeps_nonce_order() -> None:
    pool, _ = pool_with(dict.fromkeys(range(1, 5), 100000))
    admit(
        pool,
        transfer(1, 0, fee=100),
        transfer(1, 1, fee=900),
        transfer(2, 0, fee=160),
        transfer(3, 0, fee=160),
        withdraw(4, 0, fee=599),
    )
    # Tips per cycle: 0, 800/6000 (behind 0), 60/6000, 60/6000, 99/10000.
    assert [(name, fee) for name, _, fee in chosen(pool)] == [
        (key(2), 160),
        (key(3), 160),
        (key(4), 599),
        (key(1), 100),
        (key(1), 900),
    ]
    assert chosen(pool) == chosen(pool)


def test_a_hole_in_the_nonces_waits_until_it_is_filled() -> None:
    pool, _ = pool_with({1: 10_000})
    admit(pool, transfer(1, 2), transfer(1, 1))
    assert chosen(pool) == []
    assert not pool.has_pending()
    assert pool.sender_status(key(1)) == SenderStatus(0, 2, 2_200)
    admit(pool, transfer(1, 0))
    assert [nonce for _, nonce, _ in chosen(pool)] == [0, 1, 2]
    assert pool.has_pending()
    assert pool.sender_status(key(1)) == SenderStatus(3, 3, 3_300)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (SelectionLimits(1, 10**6, 10**6), [160]),
        (SelectionLimits(9, 153, 10**6), []),
        (SelectionLimits(9, 154 + 153, 10**6), [160]),
        (SelectionLimits(9, 154 + 154, 10**6), [160, 100]),
        (SelectionLimits(9, 10**6, 5_999), []),
        (SelectionLimits(9, 10**6, 12_000), [160, 100]),
        (SelectionLimits(9, 10**6, 22_000), [160, 550, 100]),
        (SelectionLimits(0, 10**6, 10**6), []),
    ],
)
def test_selection_stays_in_its_limits_and_fills_them(
    limits: SelectionLimits, expected: list[int]
) -> None:
    pool, _ = pool_with({1: 100_000, 2: 100_000, 3: 100_000})
    admit(pool, transfer(1, 0, fee=160), withdraw(2, 0, fee=550), transfer(3, 0, fee=100))
    assert [fee for _, _, fee in chosen(pool, limits)] == expected


def test_a_proposal_leaves_out_exactly_what_its_own_ancestors_hold() -> None:
    pool, _ = pool_with({1: 100_000, 2: 100_000})
    orders = [transfer(1, 0), transfer(1, 1), transfer(2, 0)]
    admit(pool, *orders)
    include(pool, b"one", 1, orders[0])
    include(pool, b"two", 2, orders[1], orders[2])
    include(pool, b"rival", 1, orders[2])
    assert len(chosen(pool)) == 3
    assert chosen(pool, EVERYTHING, (b"one",)) == [(key(1), 1, 100), (key(2), 0, 100)]
    assert chosen(pool, EVERYTHING, (b"one", b"two")) == []
    assert chosen(pool, EVERYTHING, (b"rival",)) == [(key(1), 0, 100), (key(1), 1, 100)]
    assert not pool.has_pending((b"one", b"two"))
    with pytest.raises(KeyError):
        pool.select(EVERYTHING, (b"unheard of",))


def test_positions_follow_the_blocks() -> None:
    pool, ledger = pool_with({1: 10_000})
    admit(pool, transfer(1, 0))
    txid = pool.select(EVERYTHING).txids[0]
    assert pool.position(txid) is Position.PENDING
    include(pool, b"block", 1, transfer(1, 0))
    include(pool, b"block", 1, transfer(1, 0))
    assert pool.live_blocks == 1
    assert pool.position(txid) is Position.PROPOSED
    finalise(pool, ledger, b"block", 1, transfer(1, 0))
    assert pool.position(txid) is None
    assert (len(pool), pool.live_blocks, pool.size) == (0, 0, 0)


def test_an_abandoned_block_gives_its_transactions_to_the_pool() -> None:
    pool, _ = pool_with({1: 10_000, 2: 10_000})
    admit(pool, transfer(1, 0))
    include(pool, b"block", 1, transfer(1, 0), transfer(2, 0))
    assert len(pool) == 1
    assert pool.abandon(b"block") == 1
    assert pool.abandon(b"block") == 0
    assert chosen(pool) == [(key(1), 0, 100), (key(2), 0, 100)]


def test_finality_abandons_rivals_and_keeps_what_comes_after() -> None:
    pool, ledger = pool_with(dict.fromkeys((1, 2, 3), 10000))
    include(pool, b"final", 5, transfer(1, 0))
    include(pool, b"rival", 5, transfer(2, 0))
    include(pool, b"child", 6, transfer(3, 0))
    finalise(pool, ledger, b"final", 5, transfer(1, 0))
    assert pool.live_blocks == 1
    assert chosen(pool, EVERYTHING, (b"child",)) == [(key(2), 0, 100)]


def test_finality_removes_what_it_made_impossible() -> None:
    pool, ledger = pool_with({1: 10_000})
    admit(pool, transfer(1, 0), transfer(1, 1, amount=4_000), transfer(1, 2), transfer(1, 5))
    # Another transaction with nonce 0, seen only in the block, takes most of the balance.
    finalise(pool, ledger, b"block", 1, transfer(1, 0, amount=5_000))
    assert chosen(pool) == [(key(1), 1, 100)]
    assert pool.sender_status(key(1)) == SenderStatus(2, 1, 4_100)


def test_an_account_that_is_gone_takes_its_transactions_along() -> None:
    pool, ledger = pool_with({1: 10_000})
    admit(pool, transfer(1, 0), transfer(1, 1))
    del ledger.accounts[key(1)]
    pool.finalise(b"block", BlockHeight(1), parse(unsigned_batch(transfer(1, 0))))
    assert len(pool) == 0
    assert pool.sender_status(key(1)) is None


def test_a_recreated_account_starts_far_above() -> None:
    pool, ledger = pool_with({1: 10_000})
    admit(pool, transfer(1, 0), transfer(1, 1))
    ledger.accounts[key(1)] = Account(10_000, 3 << 32)
    pool.finalise(b"block", BlockHeight(1), [])
    assert admit(pool, transfer(1, 2)) == [Rejection.NONCE_USED]
    assert admit(pool, transfer(1, 3 << 32)) == [None]
    assert chosen(pool) == [(key(1), 3 << 32, 100)]


def test_funds_count_from_the_block_that_brings_them() -> None:
    pool, ledger = pool_with({1: 1_100})
    assert admit(pool, transfer(1, 0), transfer(1, 1)) == [None, Rejection.BALANCE]
    ledger.accounts[key(1)] = Account(2_200, 0)
    assert admit(pool, transfer(1, 1)) == [Rejection.BALANCE]
    pool.finalise(b"block", BlockHeight(1), [])
    assert admit(pool, transfer(1, 1)) == [None]
    assert [nonce for _, nonce, _ in chosen(pool)] == [0, 1]


def test_a_full_pool_drops_the_last_of_the_cheapest_sender() -> None:
    pool, _ = pool_with(dict.fromkeys((1, 2, 3), 100000), PoolLimits(count_max=3))
    admit(pool, transfer(1, 0, fee=110), transfer(1, 1, fee=900), transfer(2, 0, fee=150))
    assert admit(pool, transfer(3, 0, fee=110)) == [Rejection.POOL_FULL]
    assert admit(pool, transfer(3, 0, fee=111)) == [None]
    assert chosen(pool) == [(key(2), 0, 150), (key(3), 0, 111), (key(1), 0, 110)]


def test_a_sender_does_not_displace_its_own_predecessors() -> None:
    pool, _ = pool_with({1: 100_000}, PoolLimits(count_max=2))
    admit(pool, transfer(1, 0), transfer(1, 1))
    assert admit(pool, transfer(1, 2, fee=5_000)) == [Rejection.POOL_FULL]
    assert [nonce for _, nonce, _ in chosen(pool)] == [0, 1]


def test_a_full_pool_keeps_what_is_being_voted_on() -> None:
    pool, _ = pool_with({1: 100_000, 2: 100_000, 3: 100_000}, PoolLimits(count_max=2))
    admit(pool, transfer(1, 0), transfer(2, 0, fee=120))
    include(pool, b"block", 1, transfer(1, 0))
    assert admit(pool, transfer(3, 0, fee=130)) == [None]
    assert [name for name, _, _ in chosen(pool)] == [key(3), key(1)]
    include(pool, b"block 2", 1, transfer(3, 0, fee=130))
    assert admit(pool, transfer(2, 0, fee=140)) == [Rejection.POOL_FULL]


def test_a_transaction_behind_a_hole_displaces_nobody_and_goes_first() -> None:
    pool, _ = pool_with(dict.fromkeys((1, 2, 3), 100000), PoolLimits(count_max=2))
    admit(pool, transfer(1, 1, fee=50_000), transfer(2, 0))
    assert admit(pool, transfer(2, 2, fee=9_000)) == [Rejection.POOL_FULL]
    assert admit(pool, transfer(3, 0)) == [None]
    assert [name for name, _, _ in chosen(pool)] == [key(2), key(3)]


def test_a_closed_hole_gives_the_real_rank() -> None:
    pool, _ = pool_with(dict.fromkeys((1, 2, 3), 100000), PoolLimits(count_max=3))
    admit(pool, transfer(1, 1, fee=9_000), transfer(1, 0, fee=9_000), transfer(2, 0, fee=150))
    assert admit(pool, transfer(3, 0, fee=160)) == [None]
    assert [name for name, _, _ in chosen(pool)] == [key(1), key(1), key(3)]


def test_the_byte_limit() -> None:
    pool, _ = pool_with({1: 100_000, 2: 100_000}, PoolLimits(bytes_max=2 * 154))
    assert admit(pool, transfer(1, 0), transfer(1, 1)) == [None, None]
    assert admit(pool, transfer(2, 0)) == [Rejection.POOL_FULL]
    assert admit(pool, withdraw(1, 0)) == [Rejection.POOL_FULL]
    assert pool.size == 308
    # One longer than what it displaces needs the room of two.
    assert admit(pool, withdraw(2, 0, fee=900)) == [None]
    assert (chosen(pool), pool.size) == ([(key(2), 0, 900)], 157)


def test_old_transactions_expire_with_what_stands_behind_them() -> None:
    pool, _ = pool_with({1: 100_000, 2: 100_000}, PoolLimits(expiry_blocks=10))
    admit(pool, transfer(1, 0), transfer(2, 0))
    pool.finalise(b"block", BlockHeight(5), [])
    admit(pool, transfer(1, 1))
    include(pool, b"live", 99, transfer(2, 0))
    pool.finalise(b"tenth", BlockHeight(10), [])
    assert len(pool) == 3
    pool.finalise(b"eleventh", BlockHeight(11), [])
    assert chosen(pool) == [(key(2), 0, 100)]


def test_new_prices_change_ranks_and_drop_what_pays_too_little() -> None:
    pool, _ = pool_with(dict.fromkeys((1, 2, 3), 100000))
    admit(
        pool,
        withdraw(1, 0, fee=500),
        transfer(1, 1, fee=9_000),
        withdraw(2, 0, fee=700),
        transfer(3, 0, fee=160),
    )
    assert chosen(pool)[0][0] == key(2)
    dearer = dataclasses.replace(PRICES, withdraw=650)
    pool.set_prices(dearer)
    assert pool.prices == dearer
    assert [name for name, _, _ in chosen(pool)] == [key(3), key(2)]
    assert admit(pool, withdraw(1, 0, fee=649)) == [Rejection.FEE]


def test_prices_follow_the_last_buried_rate_rounded_up() -> None:
    class Parameters:
        fee_transfer, fee_withdraw = 10, 20
        cycles_transfer, cycles_other = 6_000, 10_000
        payout_minimum, account_minimum = 1_000, 1_000

    parameters = cast("Params", Parameters())
    prices = [Prices.from_params(parameters, rate) for rate in (0, 1, 1_000, 1_001)]
    assert [price.withdraw for price in prices] == [20, 21, 106, 107]
    assert {price.transfer for price in prices} == {10}


def test_local_transactions_that_wait_are_offered_again() -> None:
    pool, _ = pool_with({1: 100_000, 2: 100_000})
    mine = unsigned_batch(transfer(1, 0), transfer(1, 1))
    pool.admit_batch(mine, parse(mine), is_local=True)
    admit(pool, transfer(2, 0))
    assert pool.arrivals == 3
    assert pool.waiting_local(1, 10) == [mine[:154]]
    assert pool.waiting_local(3, 10) == [mine[:154], mine[154:]]
    assert pool.waiting_local(3, 1) == [mine[:154]]
    include(pool, b"block", 1, transfer(1, 0))
    assert pool.waiting_local(3, 10) == [mine[154:]]


def test_a_node_that_never_proposes_keeps_its_heaps_small() -> None:
    pool, ledger = pool_with({1: 10**9})
    for nonce in range(4_000):
        admit(pool, transfer(1, nonce))
        finalise(pool, ledger, b"%d" % nonce, nonce + 1, transfer(1, nonce))
    assert max(pool.heap_sizes()) <= 1_100


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(PoolLimits)])
def test_limits_are_positive(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        PoolLimits(**{name: 0})
    assert str(caught.value) == "every limit of the mempool is at least 1"
