"""The whole peg over several epochs: real keys, real Bitcoin blocks, books that always balance."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2p_seq.bitcoin.embedded.node import BlockRefusedError
from p2p_seq.bitcoin.embedded.policy import TransactionRefusedError
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import Transaction, TxOut
from p2p_seq.chain.chain import Finalised
from p2p_seq.protocol.types import Hash32, OutPoint, Sats, SatsPerKvb
from p2p_seq.settlement.bridge import VaultBrokenError
from p2p_seq.settlement.scripts import vault_output
from p2p_seq.settlement.transactions import build_reclaim
from p2p_seq.signer import schnorr
from tests.support.keys import key, secret
from tests.support.networks import (
    USER,
    NetworkTemplate,
    Participant,
    World,
    found_network,
)

DEPOSIT = 10_000_000


def check_books(one: Participant) -> None:
    """The supply rule of PROTOCOL.md section 4, and that bridge and ledger name one vault coin."""
    totals = one.chain.ledger.totals(one.final.digest)
    vault = one.chain.ledger.vault(one.final.digest)
    assert totals.is_balanced
    assert totals.vault == one.final.bridge.vault_value
    assert vault.outpoint == one.final.bridge.vault
    assert vault.settled_epochs == one.final.bridge.settled_through + 1
    coin = one.world.node.chain.index.coin(one.final.bridge.vault)
    if coin is not None:
        assert coin.output.value == totals.vault


async def settle(one: Participant, version: int = 0) -> int:
    """Sign, bury and book the settlement in flight; returns its fee."""
    world = one.world
    settlement = one.final.bridge.versions(world.params)[version]
    world.node.accept(world.settle(settlement, frozenset({version % 4})).serialize())
    world.mine(world.params.burial_depth + 1)
    while one.final.bridge.in_flight is not None:
        await one.catch_up_with_bitcoin()
        check_books(one)
        if one.final.bridge.in_flight is not None:
            world.mine()
    assert one.final.bridge.vault.txid == settlement.txid
    return settlement.fee


async def next_plan(one: Participant) -> Finalised:
    sealed = await one.seal_epoch()
    check_books(one)
    assert sealed.sealed is not None
    return sealed


async def fund(one: Participant, amount: int = DEPOSIT) -> int:
    """A deposit of the user, minted; returns the credited balance."""
    await one.follow()
    await one.world.deposit(one.final, amount)
    one.world.mine()
    while True:
        await next_plan(one)
        plan = one.final.bridge.in_flight
        assert plan is not None
        await settle(one)
        if plan.plan.deposits:
            break
    account = one.chain.ledger.account(key(USER), one.final.digest)
    assert account is not None
    return account.balance


async def test_a_round_trip_with_an_exact_supply(world: World) -> None:
    one = world.participant()
    check_books_at_start = one.chain.ledger.totals(one.final.digest)
    assert check_books_at_start.is_balanced
    balance = await fund(one)
    assert DEPOSIT - 5_000 < balance < DEPOSIT
    withdrawn = await one.extend([one.withdraw(1_000_000, "payee")])
    assert withdrawn.receipts[0] == 0
    check_books(one)
    (pending,) = one.chain.ledger.pending_payouts(one.final.digest)
    burnt_in = pending.epoch
    while not (one.final.bridge.in_flight and one.final.bridge.in_flight.plan.payouts):
        if one.final.bridge.in_flight is not None:
            await settle(one)
        await next_plan(one)
    planned = one.final.bridge.in_flight
    border = world.params.epoch_start(world.genesis.draft.anchor_height, burnt_in)
    window = world.params.blocks_per_epoch + world.params.challenge_window
    assert planned.border >= border + window
    await settle(one)
    assert one.chain.ledger.pending_payouts(one.final.digest) == ()
    paid = world.node.chain.index.coin(one.final.bridge.vault._replace(vout=2))
    assert paid is not None
    assert (paid.output.value, paid.output.script) == (1_000_000, key_path_script(key("payee")))
    assert one.chain.store.payout_paid(pending.payout_id) is not None


async def test_every_fee_version_is_booked_as_bitcoin_buried_it(world: World) -> None:
    one = world.participant()
    await one.follow()
    for wanted in (0, 2, 1, 5):
        await next_plan(one)
        before = one.chain.ledger.totals(one.final.digest)
        flight = one.final.bridge.in_flight
        assert flight is not None
        versions = one.final.bridge.versions(world.params)
        version = min(wanted, len(versions) - 1)
        fees = [settlement.fee for settlement in versions]
        assert fees == sorted(set(fees))
        fee = await settle(one, version)
        after = one.chain.ledger.totals(one.final.digest)
        assert before.vault - after.vault == fee == versions[version].fee
        assert before.fee_pool - after.fee_pool == fee


async def test_a_deposit_that_was_taken_back_voids_the_plan_and_is_never_minted(
    world: World,
) -> None:
    one = world.participant()
    await one.follow()
    taken = await world.deposit(one.final, DEPOSIT)
    kept = await world.deposit(one.final, 2 * DEPOSIT, "other")
    world.mine()
    await until_a_deposit_is_planned(one)
    assert one.final.bridge.in_flight is not None
    planned = one.final.bridge.in_flight.plan
    assert len(planned.deposits) == 2
    # Nobody settles; the user's timeout passes and the user takes the deposit back.
    world.mine(world.params.deposit_timeout)
    world.node.accept(way_back(one, taken.outpoint(0)))
    world.mine(world.params.burial_depth + 1)
    await one.catch_up_with_bitcoin()
    await next_plan(one)
    again = one.final.bridge.in_flight
    assert again is not None
    assert again.plan.first_epoch == planned.first_epoch
    assert again.plan.vault == planned.vault
    assert again.plan.last_epoch > planned.last_epoch
    assert again.plan.deposits == ()  # the other one is too old to be planned, too
    await settle(one)
    assert one.chain.ledger.account(key(USER), one.final.digest) is None
    assert one.chain.ledger.account(key("other"), one.final.digest) is None
    assert world.node.chain.index.coin(kept.outpoint(0)) is not None


async def until_a_deposit_is_planned(one: Participant) -> None:
    """Settle what comes before, and stop at the plan that wants a deposit."""
    while not (one.final.bridge.in_flight and one.final.bridge.in_flight.plan.deposits):
        if one.final.bridge.in_flight is not None:
            await settle(one)
        await next_plan(one)


def way_back(one: Participant, deposit: OutPoint) -> bytes:
    """The user's own spend of a deposit, which its timeout allows."""
    reclaim = build_reclaim(
        one.final.bridge.active,
        key(f"{USER} timeout"),
        one.world.params.deposit_timeout,
        deposit,
        Sats(DEPOSIT),
        key_path_script(key("home")),
        SatsPerKvb(2_000),
    )
    return reclaim.complete(schnorr.sign(secret(f"{USER} timeout"), reclaim.message)).serialize()


@pytest.mark.parametrize("is_reorganised", [False, True])
@pytest.mark.parametrize("is_swept", [False, True])
async def test_sweep_and_timeout_race_for_one_block(
    world: World, is_swept: bool, is_reorganised: bool
) -> None:
    """Both are signed and valid for the same Bitcoin block, which takes one of them: the account is
    credited exactly when it is the sweep. A reorganisation that turns the race before it is buried
    decides anew.
    """
    one = world.participant()
    await one.follow()
    deposit = (await world.deposit(one.final, DEPOSIT)).outpoint(0)
    world.mine()
    await until_a_deposit_is_planned(one)
    world.mine(world.params.deposit_timeout)
    sweep = world.settle(one.final.bridge.versions(world.params)[0]).serialize()
    reclaim = way_back(one, deposit)
    miner = key_path_script(key("miner"))
    with pytest.raises(BlockRefusedError, match="bad-txns-inputs-missingorspent"):
        world.node.generate_block([sweep, reclaim], miner, True)

    winner, loser = (sweep, reclaim) if is_swept else (reclaim, sweep)
    if is_reorganised:
        world.node.generate_block([loser], miner, True)
        await one.catch_up_with_bitcoin()
        check_books(one)
        world.reorg(1, is_empty=True)
    world.node.generate_block([winner], miner, True)
    with pytest.raises(TransactionRefusedError, match="missing"):
        world.node.accept(loser)
    world.mine(world.params.burial_depth + 1)
    await one.catch_up_with_bitcoin()
    check_books(one)

    assert world.node.chain.index.coin(deposit) is None
    assert one.final.bridge.in_flight is None
    account = one.chain.ledger.account(key(USER), one.final.digest)
    minted = one.chain.store.minted(deposit)
    if is_swept:
        assert account is not None
        assert minted is not None
        assert account.balance == minted[1] > DEPOSIT - 5_000
        assert one.final.bridge.vault.txid == Transaction.parse(sweep).txid
    else:
        assert account is None
        assert minted is None
    await next_plan(one)
    again = one.final.bridge.in_flight
    assert again is not None
    assert again.plan.deposits == ()
    await settle(one)
    assert one.chain.ledger.account(key(USER), one.final.digest) == account


async def test_a_spend_of_the_vault_that_is_no_settlement_breaks_the_chain(world: World) -> None:
    one = world.participant()
    await one.follow()
    await next_plan(one)
    settlement = one.final.bridge.versions(world.params)[0]
    other = build_stolen(world, one)
    world.node.accept(other)
    world.mine(world.params.burial_depth + 1)
    await one.follow()
    assert settlement.txid != Hash32(bytes(32))
    with pytest.raises(VaultBrokenError, match="by a transaction that is no planned settlement"):
        await one.catch_up_with_bitcoin()


def build_stolen(world: World, one: Participant) -> bytes:
    """The members pay the vault coin to somebody."""
    settlement = one.final.bridge.versions(world.params)[0]
    unsigned = settlement.unsigned
    script = key_path_script(key("thief"))
    value = settlement.vault_value
    transaction = replace(unsigned.transaction, outputs=(TxOut(value, script),))
    stolen = replace(settlement, unsigned=replace(unsigned, transaction=transaction))
    assert vault_output(one.final.bridge.active).script != script
    return world.settle(stolen).serialize()


@pytest.fixture(scope="module")
def poor_template(tmp_path_factory: pytest.TempPathFactory) -> NetworkTemplate:
    return found_network(tmp_path_factory.mktemp("poor"), vault_value=Sats(1_000))


async def test_a_pool_that_runs_dry_stops_settling_and_nothing_else(
    poor_template: NetworkTemplate, tmp_path: Path
) -> None:
    """No plan may leave the vault coin below what relays forward: nobody could build it."""
    with poor_template.open(tmp_path) as world:
        one = world.participant()
        await one.follow()
        settled = 0
        for _ in range(5):
            await next_plan(one)
            if one.final.bridge.in_flight is not None:
                versions = one.final.bridge.versions(world.params)
                await settle(one, len(versions) - 1)
                settled += 1
        assert settled >= 1
        assert one.final.bridge.in_flight is None
        assert one.final.epoch >= 5
