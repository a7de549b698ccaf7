"""The program against the model, rule by rule and over random chains."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from p2p_seq.ledger.types import BlockFault
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.records import (
    DepositRecord,
    EpochRecord,
    PayoutRecord,
    Record,
    SettlementRecord,
    StakeLeafRecord,
)
from p2p_seq.protocol.transactions import Order, ReceiptCode, Transfer, Withdraw
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
from tests.unit.ledger.chains import (
    BAD_SCRIPTS,
    KEYS,
    LEADER,
    PARAMS,
    SCRIPTS,
    Chain,
    random_order,
    random_orders,
    random_seal,
    settlement,
)

ALICE, BOB, CAROL = KEYS[:3]
WITHDRAW_FEE = 20 + 130
"""Price of a withdrawal at the rate of 1,501 sat/kvB that `funded` leaves."""


def funded(*amounts: int) -> Chain:
    """A chain in epoch 1 whose first accounts hold `amounts` less the deposit's fee."""
    chain = Chain()
    chain.fund(*amounts)
    return chain


def pay(chain: Chain, sender: XOnlyKey, to: XOnlyKey, amount: int, fee: int = 10) -> Transfer:
    """The sender's next transfer."""
    nonce = chain.model.state.accounts[sender][1]
    return Transfer(sender, nonce, Sats(fee), to, Sats(amount))


def burn(chain: Chain, sender: XOnlyKey, amount: int, script: bytes = SCRIPTS[4]) -> Withdraw:
    """The sender's next withdrawal."""
    nonce = chain.model.state.accounts[sender][1]
    return Withdraw(sender, nonce, Sats(WITHDRAW_FEE), Sats(amount), script)


def only_code(chain: Chain, order: Order) -> ReceiptCode:
    """Receipt code of a block with this one order."""
    (receipt,) = chain.block([], [order]).receipts()
    chain.check()
    return receipt.code


def test_the_withdrawal_price_is_what_the_tests_think() -> None:
    chain = funded(50_250)
    assert chain.model.price(burn(chain, ALICE, 1_000)) == WITHDRAW_FEE


def test_transfer_moves_amount_and_splits_the_fee() -> None:
    chain = funded(50_250)
    before = chain.ledger.totals(chain.head)
    assert only_code(chain, pay(chain, ALICE, BOB, 2_000, fee=1_013)) is ReceiptCode.OK
    after = chain.ledger.totals(chain.head)
    alice, bob = (chain.ledger.account(key, chain.head) for key in (ALICE, BOB))
    leader = chain.ledger.account(LEADER, chain.head)
    assert alice is not None
    assert bob is not None
    assert leader is not None
    assert (alice.balance, bob.balance) == (50_000 - 2_000 - 1_013, 2_000)
    # Of the price of 10 sat: 4 to the leader, 2 insurance, 4 pool; the tip of 1,003 to the leader.
    assert leader.balance == 4 + 1_003
    assert (after.fee_pool - before.fee_pool, after.insurance - before.insurance) == (4, 2)


def test_a_leader_without_account_gives_up_a_small_share() -> None:
    chain = funded(50_250)
    before = chain.ledger.totals(chain.head).fee_pool
    chain.block([], [pay(chain, ALICE, BOB, 2_000)])
    assert chain.ledger.account(LEADER, chain.head) is None
    assert chain.ledger.totals(chain.head).fee_pool == before + 8


def test_dropped_transactions_change_nothing_but_the_count() -> None:
    chain = funded(50_250, 1_000_250)
    nonce = chain.model.state.accounts[ALICE][1]
    wrong = {
        ReceiptCode.DROPPED_NO_ACCOUNT: Transfer(CAROL, 0, Sats(10), BOB, Sats(1_000)),
        ReceiptCode.DROPPED_NONCE: Transfer(ALICE, nonce + 1, Sats(10), BOB, Sats(1_000)),
        ReceiptCode.DROPPED_PRICE: Transfer(ALICE, nonce, Sats(9), BOB, Sats(1_000)),
        ReceiptCode.DROPPED_FEE: Transfer(ALICE, nonce, Sats(50_001), BOB, Sats(1)),
    }
    for code, order in wrong.items():
        before = chain.ledger.totals(chain.head)
        assert only_code(chain, order) is code
        assert chain.ledger.totals(chain.head) == before
        assert chain.model.state.accounts[ALICE] == (50_000, nonce)


def test_a_withdrawal_must_pay_for_its_output() -> None:
    chain = funded(50_250)
    nonce = chain.model.state.accounts[ALICE][1]
    cheap = Withdraw(ALICE, nonce, Sats(WITHDRAW_FEE - 1), Sats(1_000), SCRIPTS[0])
    assert only_code(chain, cheap) is ReceiptCode.DROPPED_PRICE


def test_failed_transactions_cost_fee_and_nonce() -> None:
    chain = funded(50_250)
    failures = [
        (ReceiptCode.FAILED_BALANCE, lambda: pay(chain, ALICE, BOB, 2**64 - 1)),
        (ReceiptCode.FAILED_ACCOUNT_MIN, lambda: pay(chain, ALICE, BOB, 999)),
        (ReceiptCode.FAILED_ACCOUNT_MIN, lambda: pay(chain, ALICE, BOB, 0)),
        (ReceiptCode.FAILED_BALANCE, lambda: burn(chain, ALICE, 50_000)),
        (ReceiptCode.FAILED_DUST, lambda: burn(chain, ALICE, 999)),
        *(
            (ReceiptCode.FAILED_SCRIPT, lambda bad=bad: burn(chain, ALICE, 1_000, bad))
            for bad in BAD_SCRIPTS
        ),
    ]
    for code, make in failures:
        balance, nonce = chain.model.state.accounts[ALICE]
        order = make()
        assert only_code(chain, order) is code
        assert chain.model.state.accounts[ALICE] == (balance - order.fee, nonce + 1)


@pytest.mark.parametrize("amount", [0, 1, 1_000, 49_990])
def test_a_transfer_to_oneself_moves_nothing(amount: int) -> None:
    chain = funded(50_250)
    assert only_code(chain, pay(chain, ALICE, ALICE, amount)) is ReceiptCode.OK
    account = chain.ledger.account(ALICE, chain.head)
    assert account is not None
    assert account.balance == 50_000 - 10


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_withdrawal_becomes_a_pending_payout(script: bytes) -> None:
    chain = funded(50_250)
    (receipt,) = chain.block([], [burn(chain, ALICE, 1_000, script)]).receipts()
    (payout,) = chain.ledger.pending_payouts(chain.head)
    assert receipt.payout_id == payout.payout_id == 1
    assert (payout.epoch, payout.amount, payout.script) == (1, 1_000, script)
    chain.check()


def test_an_emptied_account_never_replays_its_transactions() -> None:
    """Deleted and opened again within one block, its nonces go on from where they were."""
    chain = funded(2_270, 1_000_250)
    first = pay(chain, ALICE, BOB, 1_000)
    second = Transfer(ALICE, first.nonce + 1, Sats(10), BOB, Sats(1_000))
    refill = pay(chain, BOB, ALICE, 5_000)
    receipts = chain.block([], [first, second, refill, first, second]).receipts()
    assert [receipt.code for receipt in receipts] == [
        ReceiptCode.OK,
        ReceiptCode.OK,
        ReceiptCode.OK,
        ReceiptCode.DROPPED_NONCE,
        ReceiptCode.DROPPED_NONCE,
    ]
    account = chain.ledger.account(ALICE, chain.head)
    assert account is not None
    assert account.nonce == second.nonce + 1
    chain.check()


def test_deposits_are_minted_and_small_ones_go_to_the_pool() -> None:
    chain = Chain()
    chain.seal(*settlement(chain, [(ALICE, 50_000), (BOB, 1_249), (CAROL, 200), (ALICE, 300)]))
    chain.check()
    alice = chain.ledger.account(ALICE, chain.head)
    assert alice is not None
    assert alice.balance == 50_000 - 250 + 50
    assert chain.ledger.account(BOB, chain.head) is None
    assert chain.ledger.account(CAROL, chain.head) is None


def test_payouts_leave_with_their_settlement() -> None:
    chain = funded(100_250)
    chain.block([], [burn(chain, ALICE, 4_000)])
    chain.block([], [burn(chain, ALICE, 5_000)])
    chain.seal(*settlement(chain, [], payouts=(2,)))
    chain.check()
    assert [payout.payout_id for payout in chain.ledger.pending_payouts(chain.head)] == [1]


def contradictions(chain: Chain) -> dict[str, list[Record]]:
    """Records that no honest voter derives."""
    good = settlement(chain, [(ALICE, 50_000)], payouts=(1,))
    head = good[0]
    assert isinstance(head, SettlementRecord)
    pool = chain.model.state.fee_pool

    def changed(**fields: object) -> list[Record]:
        values = {name: getattr(head, name) for name in SettlementRecord.__slots__}
        return [SettlementRecord(**{**values, **fields}), *good[1:]]  # type: ignore[arg-type]

    stake = StakeLeafRecord(BOB, ZERO32, Epoch(1), Epoch(2), Height(5))
    return {
        "vault value": changed(vault_value=Sats(head.vault_value + 1)),
        "fee over the pool": changed(
            fee=Sats(pool + 1), vault_value=Sats(head.vault_value + head.fee - pool - 1)
        ),
        "epoch not over": changed(last_epoch=Epoch(chain.epoch + 1)),
        "epoch settled before": changed(last_epoch=Epoch(0)),
        "absurd rate": changed(rate=SatsPerKvb(2**41)),
        "deposit without settlement": good[1:2],
        "payout without settlement": good[2:],
        "payout twice": [*good, good[2]],
        "unknown payout": [*good[:2], PayoutRecord(7)],
        "deposit missing": [head, *good[2:]],
        "stake between": [head, stake, *good[1:]],
        "stake twice": [stake, stake],
        "stake backwards": [StakeLeafRecord(BOB, ZERO32, Epoch(2), Epoch(1), Height(5))],
        "epoch in the middle": [stake, EpochRecord(Epoch(9), ZERO32)],
        "deposit fee over value": [
            head,
            DepositRecord(OutPoint(ZERO32, 0), Sats(5), ALICE, Sats(6)),
        ],
    }


CONTRADICTIONS = (
    "vault value",
    "fee over the pool",
    "epoch not over",
    "epoch settled before",
    "absurd rate",
    "deposit without settlement",
    "payout without settlement",
    "payout twice",
    "unknown payout",
    "deposit missing",
    "stake between",
    "stake twice",
    "stake backwards",
    "epoch in the middle",
    "deposit fee over value",
)


def test_every_contradiction_is_tested() -> None:
    chain = funded(9_000_250)
    chain.block([], [burn(chain, ALICE, 4_000)])
    assert tuple(contradictions(chain)) == CONTRADICTIONS


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradicting_records_are_refused_whole(name: str) -> None:
    chain = funded(9_000_250)
    chain.block([], [burn(chain, ALICE, 4_000)])
    records = contradictions(chain)[name]
    root = chain.ledger.native.root
    with pytest.raises(RemoteError) as caught:
        chain.seal(*records)
    assert caught.value.reason is BlockFault.RECORD
    chain.ledger.move_to(chain.head)
    assert chain.ledger.native.root == root


def test_an_epoch_opens_once_and_only_forward() -> None:
    chain = funded(50_250)
    for opening in (EpochRecord(Epoch(1), ZERO32), EpochRecord(Epoch(0), ZERO32)):
        with pytest.raises(RemoteError, match="block-record"):
            chain.block([opening], [], epoch=opening.epoch)
    with pytest.raises(RemoteError, match="block-record"):
        chain.block([EpochRecord(Epoch(2), ZERO32)], [pay(chain, ALICE, BOB, 1_000)], epoch=2)


def test_a_block_of_another_epoch_is_refused() -> None:
    chain = funded(50_250)
    with pytest.raises(RemoteError) as caught:
        chain.block([], [], epoch=2)
    assert str(caught.value) == "block-context: block at height 2"


@pytest.mark.parametrize("price", [1, 2, 3, 99, 101, 333, 9_999])
def test_fees_split_with_the_rest_to_the_pool(price: int) -> None:
    chain = Chain(params=replace(PARAMS, fee_transfer=price, fee_withdraw=price + 1))
    chain.fund(100_250, 100_250)
    before = chain.ledger.totals(chain.head)
    chain.block([], [pay(chain, ALICE, BOB, 2_000, fee=price + 2_000)])
    after, leader = chain.ledger.totals(chain.head), chain.ledger.account(LEADER, chain.head)
    assert leader is not None
    assert leader.balance == price * 40 // 100 + 2_000
    assert after.insurance - before.insurance == price * 20 // 100
    assert after.fee_pool - before.fee_pool == price - price * 40 // 100 - price * 20 // 100
    chain.block([], [burn(chain, ALICE, 1_000 + price)])
    chain.check()


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_random_chains_agree_with_the_model(seed: int) -> None:
    rng = random.Random(seed)
    chain = funded(*(rng.choice((1_500, 60_000, 10**6)) for _ in range(4)))
    for _ in range(rng.randint(1, 12)):
        if rng.random() < 0.25:
            chain.seal(*random_seal(rng, chain))
        else:
            chain.block([], random_orders(rng, chain, 12))
        chain.check()
    chain.seal()


class LedgerMachine(RuleBasedStateMachine):
    """Orders are collected one by one and executed in blocks; seals come when they come."""

    @initialize(amounts=st.lists(st.sampled_from([1_300, 5_000, 10**6]), min_size=2, max_size=5))
    def start(self, amounts: list[int]) -> None:
        self.chain = funded(*amounts)
        self.orders: list[Order] = []
        self.nonces: dict[bytes, int] = {}

    @rule(seed=st.integers(0, 2**32))
    def order(self, seed: int) -> None:
        self.orders.append(random_order(random.Random(seed), self.chain, self.nonces))

    @rule()
    def block(self) -> None:
        self.chain.block([], self.orders)
        self.orders, self.nonces = [], {}

    @rule(seed=st.integers(0, 2**32))
    def seal(self, seed: int) -> None:
        self.chain.seal(*random_seal(random.Random(seed), self.chain))
        self.orders, self.nonces = [], {}

    @invariant()
    def ledger_is_the_model(self) -> None:
        self.chain.check()


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=20, stateful_step_count=25)


def test_history_and_withdrawals_trees_of_every_size() -> None:
    """Frontier roots against the naive tree, through all shapes up to 17 leaves."""
    chain = funded(9_000_250)
    for count in range(18):
        orders: list[Order] = []
        for index in range(count):
            order = burn(chain, ALICE, 1_000)
            orders.append(
                Withdraw(ALICE, order.nonce + index, order.fee + 100, order.amount, order.script)
            )
        chain.block([], orders)
        chain.seal()
    assert len(chain.model.state.history) == 19
    chain.check()


def test_hash_names_are_what_they_seem() -> None:
    """Two chains that differ in one origin hash have different input digests."""
    left, right = funded(50_250), funded(50_250)
    right.origin = type(right.origin)(right.origin.height, Hash32(b"\x01" * 32), 5)
    left.block([], [])
    right.block([], [])
    assert (
        left.ledger.accumulator(left.head).l1_inputs
        != right.ledger.accumulator(right.head).l1_inputs
    )
