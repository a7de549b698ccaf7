"""What a prover gets: runs of larger batches, cut epochs, and steps for deep leaves."""

import random
from dataclasses import replace

import pytest

from cython_core.ledger._ledger import LedgerFault, NativeLedger
from cython_core.merkle._tree import StateTree
from p2p_seq.ledger import steady
from p2p_seq.ledger.guest import cut_batches, epoch_runs, prepare_run
from p2p_seq.ledger.witness import HEAD_WORDS, BatchBlock
from p2p_seq.protocol.records import encode_records, genesis_epoch_record
from p2p_seq.protocol.state import (
    Account,
    BlockContext,
    LeafKind,
    Totals,
    ledger_constants,
    numbered_key,
)
from p2p_seq.protocol.transactions import Order, Transfer, Withdraw
from p2p_seq.protocol.types import BlockHeight, Epoch, Sats, SatsPerKvb, XOnlyKey
from tests.unit.ledger.chains import (
    ANCHOR,
    CHAIN_ID,
    PARAMS,
    SCRIPTS,
    SMALL,
    Chain,
    random_orders,
    random_seal,
    signed,
)
from tests.unit.ledger.machine import run_both

ACCOUNTS = 500
BALANCE = 3_000
PROOF_WORDS_AT = 4 * 5


def account(number: int) -> XOnlyKey:
    return XOnlyKey(number.to_bytes(32, "little"))


def crowd() -> NativeLedger:
    """A ledger before its genesis block, with ACCOUNTS accounts."""
    money = ACCOUNTS * BALANCE
    totals = Totals(
        Sats(money), Sats(0), Sats(0), Sats(0), Sats(money), SatsPerKvb(1_000), 1, ACCOUNTS
    )
    leaves = {bytes([LeafKind.TOTALS]) + numbered_key(0): totals.encode()}
    for number in range(ACCOUNTS):
        leaves[bytes([LeafKind.ACCOUNT]) + account(number)] = Account(Sats(BALANCE), 0).encode()
    ledger = NativeLedger(StateTree(), ledger_constants(PARAMS, CHAIN_ID))
    ledger.load(b"".join(leaves), b"".join(leaves.values()))
    return ledger


def crowd_block(height: int, orders: list[Order], records: bytes = b"") -> BatchBlock:
    context = BlockContext(Epoch(0), BlockHeight(height), ANCHOR, account(0))
    body = b"".join(signed(order) for order in orders)
    return BatchBlock(context, records, body, len(orders))


def crowd_orders(rng: random.Random, count: int, *, is_calm: bool) -> list[Order]:
    """First orders of different accounts; calm ones open, empty and pay out nothing."""
    orders: list[Order] = []
    for number in rng.sample(range(ACCOUNTS), count):
        choice = 0.0 if is_calm else rng.random()
        fee = Sats(200)
        if choice < 0.5:
            recipient = account(rng.randrange(ACCOUNTS))
            orders.append(Transfer(account(number), 0, fee, recipient, Sats(1_000)))
        elif choice < 0.7:  # opens an account, or fails to
            recipient = account(ACCOUNTS + rng.randrange(50))
            orders.append(
                Transfer(account(number), 0, fee, recipient, Sats(rng.choice((1, 1_500))))
            )
        elif choice < 0.85:  # empties the sender
            recipient = account(rng.randrange(ACCOUNTS))
            orders.append(Transfer(account(number), 0, fee, recipient, Sats(BALANCE - fee)))
        else:
            orders.append(Withdraw(account(number), 0, fee, Sats(1_000), rng.choice(SCRIPTS)))
    return orders


def crowd_batch(seed: int, *, is_calm: bool) -> tuple[NativeLedger, list[BatchBlock]]:
    """A ledger before the blocks of its first batch."""
    rng = random.Random(seed)
    opening = crowd_block(0, [], encode_records([genesis_epoch_record()]))
    counts = [rng.randint(0, 60) for _ in range(3)]
    blocks = [
        crowd_block(height, crowd_orders(rng, count, is_calm=is_calm))
        for height, count in enumerate(counts, 1)
    ]
    return crowd(), [opening, *blocks]


def run_natively(ledger: NativeLedger, blocks: list[BatchBlock]) -> bytes:
    for block in blocks:
        ledger.execute(
            block.context.encode(), block.records, block.transactions, block.transaction_count
        )
    return ledger.root


@pytest.mark.parametrize("is_calm", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_runs_of_a_crowd_agree_with_the_ledger(seed: int, is_calm: bool) -> None:
    ledger, blocks = crowd_batch(seed, is_calm=is_calm)
    run = prepare_run(ledger.tree, ledger.constants, blocks, None)
    assert run_both(run.inputs, run.answers).statement == run.statement
    assert run.result.pre_root == ledger.root
    assert run.result.post_root == run_natively(ledger, blocks)


def test_a_batch_that_opens_and_closes_nothing_needs_no_proof() -> None:
    ledger, blocks = crowd_batch(1, is_calm=True)
    run_natively(ledger, blocks)
    rng = random.Random(5)
    limit = 40 * PARAMS.cycles_transfer
    params = replace(PARAMS, epoch_cycle_limit=9 * limit, batches_per_epoch=9)
    constants = ledger_constants(params, CHAIN_ID)
    orders = crowd_orders(rng, 30, is_calm=True)
    run = prepare_run(ledger.tree, constants, [crowd_block(4, orders)], None)
    assert run.inputs[PROOF_WORDS_AT : PROOF_WORDS_AT + 4] == bytes(4)
    assert run_both(run.inputs, run.answers).statement == run.statement


@pytest.mark.parametrize("seed", range(6))
def test_leaves_deeper_than_a_step_go_on(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where 24 levels were not enough: here two are."""
    monkeypatch.setattr(steady, "LEVELS_MAX", 2)
    ledger, blocks = crowd_batch(seed, is_calm=seed % 2 == 0)
    run = prepare_run(ledger.tree, ledger.constants, blocks, None)
    assert run_both(run.inputs, run.answers).post_root == run_natively(ledger, blocks)


def test_no_step_can_be_left_out_or_changed() -> None:
    """Every word behind the orders is a step, an item or a hash: none of them is free."""
    ledger, blocks = crowd_batch(3, is_calm=False)
    run = prepare_run(ledger.tree, ledger.constants, blocks, None)
    rng = random.Random(4)
    words = len(run.inputs) // 4
    start = words - 2_000
    for _ in range(120):
        at = 4 * rng.randrange(start, words)
        mutated = bytearray(run.inputs)
        mutated[at + rng.randrange(4)] ^= 1 << rng.randrange(8)
        with_gap = run.inputs[:at] + run.inputs[at + 4 :]
        for wrong in (bytes(mutated), with_gap):
            try:
                result = run_both(wrong, run.answers)
            except LedgerFault:
                continue
            assert result.statement == run.statement  # a bit that no step looks at


def test_a_claimed_value_must_be_the_trees() -> None:
    ledger, blocks = crowd_batch(2, is_calm=True)
    run = prepare_run(ledger.tree, ledger.constants, blocks, None)
    at = run.inputs.rindex(BALANCE.to_bytes(8, "little") + bytes(8))
    richer = run.inputs[:at] + (BALANCE + 1).to_bytes(8, "little") + run.inputs[at + 8 :]
    with pytest.raises(LedgerFault) as caught:
        run_both(richer, run.answers)
    assert caught.value.code == 11


def test_a_claimed_root_must_be_the_trees() -> None:
    ledger, blocks = crowd_batch(2, is_calm=True)
    run = prepare_run(ledger.tree, ledger.constants, blocks, None)
    at = 4 * (HEAD_WORDS - 8)
    assert run.inputs[at : at + 32] == ledger.root
    with pytest.raises(LedgerFault):
        run_both(run.inputs[:at] + bytes(32) + run.inputs[at + 32 :], run.answers)


def long_epoch(seed: int) -> tuple[Chain, list[BatchBlock], bytes]:
    """A chain at the end of an epoch with several batches, its blocks, the block before them."""
    rng = random.Random(seed)
    chain = Chain(params=SMALL)
    chain.fund(60_000, 10**6, 10**6, 10**6)
    before = chain.head
    chain.seal(*random_seal(rng, chain))
    blocks = [chain.batch[-1]]
    for _ in range(12):
        try:
            chain.block([], random_orders(rng, chain, 12))
        except LedgerFault as fault:
            assert fault.code == 3  # the budget
            break
        blocks.append(chain.batch[-1])
    return chain, blocks, before


@pytest.mark.parametrize("seed", range(6))
def test_an_epoch_is_proven_by_its_batches(seed: int) -> None:
    chain, blocks, before = long_epoch(seed)
    outputs, _ = chain.ledger.outputs(chain.frame(), chain.head)
    after = chain.ledger.root_after(chain.head)
    batches = cut_batches(SMALL, blocks)
    assert len(batches) > 1
    assert [block for batch in batches for block in batch] == blocks
    chain.ledger.move_to(type(chain.head)(before))
    native = chain.ledger.native
    root = native.root
    runs = list(epoch_runs(native, SMALL, blocks, chain.frame()))
    assert len(runs) == len(batches)
    for index, run in enumerate(runs):
        assert run_both(run.inputs, run.answers).statement == run.statement
        assert run.result.pre_root == root
        root = run.result.post_root
        is_last = index == len(runs) - 1
        assert run.result.outputs_digest == (outputs if is_last else bytes(32))
    assert root == after
