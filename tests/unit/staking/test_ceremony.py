"""The rules of joining and renewal: who may register when, and what is kept."""

from dataclasses import replace

import pytest

from p2p_seq.bitcoin.scan import L1Block, RelevantTransaction
from p2p_seq.bitcoin.transaction import Transaction, TxIn
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.stakes import StakeRecord
from p2p_seq.protocol.tags import BitcoinTag
from p2p_seq.protocol.types import Epoch, Height, OutPoint
from p2p_seq.staking.ceremony import (
    CANDIDATES_MAX,
    OPERATOR_CANDIDATES_MAX,
    OPERATOR_OFFERS_MAX,
    STRANGER_OFFERS_MAX,
    Admission,
    CandidateList,
    OfferBudget,
    RenewalPolicy,
    choose_committee,
    first_reachable_epoch,
    is_renewal_due,
    renewal_start,
)
from p2p_seq.staking.registration import check_range, check_record
from p2p_seq.staking.scripts import StakeTerms
from p2p_seq.staking.stakes_on_bitcoin import find_stakes
from p2p_seq.staking.transactions import stake_outputs
from tests.support.keys import digest, key
from tests.support.registrations import (
    ANCHOR,
    DRAFT,
    PARAMS,
    Founded,
    bundle_of,
    keystore,
    offer_by,
    signed_record,
)

FOUNDED = Founded()
FIRST = 110


def _renewal(name: str = "renewal", index: int = 0, first: int = FIRST) -> StakeRecord:
    """Founder `index`'s second stake."""
    stake = FOUNDED.stores[index].stake(1)
    bundle = bundle_of(stake, first)
    return signed_record(stake, bundle, FOUNDED.committee_for(stake), digest(name))


RENEWAL = _renewal()


def test_a_renewal_and_a_newcomer_are_admitted() -> None:
    FOUNDED.admission().check_record(RENEWAL)
    check_record(RENEWAL, DRAFT)
    newcomer = keystore("newcomer").stake(0)
    record = signed_record(
        newcomer, bundle_of(newcomer, FIRST), FOUNDED.committee_for(newcomer), digest("join")
    )
    FOUNDED.admission().check_record(record)
    check_record(record, DRAFT)
    assert len(record.committee) == 3
    assert len(RENEWAL.committee) == 3


@pytest.mark.parametrize(
    ("epoch", "is_admitted"), [(FIRST - 2, True), (FIRST - 1, False), (FIRST, False)]
)
def test_a_record_enters_two_epochs_before_its_range(epoch: int, is_admitted: bool) -> None:
    admission = FOUNDED.admission(epoch)
    if is_admitted:
        admission.check_record(RENEWAL)
        return
    with pytest.raises(RemoteError, match="bundle-range: it begins too soon"):
        admission.check_record(RENEWAL)


def test_what_is_registered_is_not_registered_again() -> None:
    registry = FOUNDED.registry.with_record(RENEWAL)
    admission = replace(FOUNDED.admission(), registry=registry)
    with pytest.raises(RemoteError, match="bundle-keys: a key is registered already"):
        admission.check_record(RENEWAL)


@pytest.mark.parametrize("role", ["consensus", "vault", "reward", "peer"])
def test_no_key_of_another_operator_is_registered(role: str) -> None:
    """Two members with one vault key would make every node fail at the next hand-over."""
    stranger, other = keystore("stranger").stake(0), FOUNDED.stakes[2]
    clashing = replace(stranger, **{role: getattr(other, role)})
    record = signed_record(
        clashing, bundle_of(clashing, FIRST), FOUNDED.committee_for(clashing), digest("clash")
    )
    check_record(record, DRAFT)  # its signatures hold: whoever made it has the secret
    with pytest.raises(RemoteError, match="bundle-keys: a key is registered already"):
        FOUNDED.admission().check_record(record)


def test_a_renewal_has_a_new_vault_key() -> None:
    stake = replace(FOUNDED.stores[0].stake(1), vault=FOUNDED.stakes[0].vault)
    record = signed_record(
        stake, bundle_of(stake, FIRST), FOUNDED.committee_for(stake), digest("old vault key")
    )
    with pytest.raises(RemoteError, match="a key is registered already"):
        FOUNDED.admission().check_record(record)


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [
        (5, 4, "0 epochs"),
        (5, 5 + PARAMS.stake_epochs, "257 epochs"),
        (2**64 - 10, 2**64 - 1, "epoch 18446744073709551615 is too far"),
        (99_999_990, 99_999_995, "epoch 99999995 is too far"),
    ],
)
def test_ranges_without_a_refund_height_are_refused(first: int, last: int, why: str) -> None:
    """Before anything is derived from them: a height beyond its type would stop every voter."""
    bundle = replace(RENEWAL.bundle, first_epoch=Epoch(first), last_epoch=Epoch(last))
    record = replace(RENEWAL, bundle=bundle)
    for check in (
        lambda: check_range(bundle, DRAFT),
        lambda: FOUNDED.admission(1).check_record(record),
    ):
        with pytest.raises(RemoteError) as refusal:
            check()
        assert str(refusal.value) == f"bundle-range: {why}"


def test_the_committee_is_one_of_this_or_the_last_epoch() -> None:
    strangers = Founded(3, "other founder")
    others = replace(FOUNDED.admission(), registry=strangers.registry, sets=(strangers.members,))
    with pytest.raises(RemoteError, match="stake-committee: 3 members"):
        others.check_record(RENEWAL)
    after_a_switch = replace(others, sets=(strangers.members, FOUNDED.members))
    newcomer = keystore("late newcomer").stake(0)
    record = signed_record(
        newcomer, bundle_of(newcomer, FIRST), FOUNDED.committee_for(newcomer), digest("late")
    )
    after_a_switch.check_record(record)
    with pytest.raises(RemoteError, match="stake-committee"):
        replace(after_a_switch, sets=(strangers.members,)).check_record(record)


@pytest.mark.parametrize("change", ["short", "twice", "order", "own"])
def test_other_committees_are_refused(change: str) -> None:
    committee = list(RENEWAL.committee)
    if change == "short":
        committee = committee[:2]
    elif change == "twice":
        committee[2] = replace(committee[1], member=committee[2].member)
    elif change == "order":
        committee = [committee[1], committee[0], committee[2]]
    else:
        committee[2] = replace(committee[2], member=FOUNDED.records[0].consensus_key)
    with pytest.raises(RemoteError, match="stake-committee"):
        FOUNDED.admission().check_record(replace(RENEWAL, committee=tuple(committee)))


def test_the_next_range_overlaps_the_old_one_when_there_is_time() -> None:
    # Tip 20 epochs below the border: the end decides. K = 5, D = 2.
    tip = Height(ANCHOR + 80 * 5 + 2)
    assert renewal_start(DRAFT, Epoch(80), tip, Epoch(100)) == 99
    # Late: what Bitcoin can still bury decides, a_e >= tip + 3 + 2D.
    late = Height(ANCHOR + 99 * 5 + 4 + 2)
    assert first_reachable_epoch(DRAFT, Epoch(99), late) == 102
    assert renewal_start(DRAFT, Epoch(99), late, Epoch(100)) == 102
    far_behind = Height(ANCHOR + 120 * 5)
    assert renewal_start(DRAFT, Epoch(99), far_behind, Epoch(100)) == 122
    assert renewal_start(DRAFT, Epoch(99), late, None) == 102


def test_a_stake_that_starts_at_the_reachable_epoch_can_be_buried_and_recorded() -> None:
    for tip in range(ANCHOR, ANCHOR + 60):
        epoch = PARAMS.epoch_of_height(ANCHOR, Height(tip - PARAMS.burial_depth))
        first = first_reachable_epoch(DRAFT, epoch, Height(tip))
        snapshot = PARAMS.epoch_start(ANCHOR, first) - 2 * PARAMS.burial_depth
        assert snapshot >= tip + 3
        assert first >= epoch + 3


@pytest.mark.parametrize(
    ("automatic", "epoch", "is_due"),
    [(True, 75, False), (True, 76, True), (True, 130, True), (False, 100, False)],
)
def test_a_renewal_is_due_so_many_epochs_before_the_end(
    automatic: bool, epoch: int, is_due: bool
) -> None:
    policy = RenewalPolicy(automatic, 24)
    assert is_renewal_due(policy, Epoch(epoch), Epoch(100)) is is_due


def test_the_committee_is_frozen_from_those_who_answered() -> None:
    bundle = RENEWAL.bundle
    own = FOUNDED.admission().keys_of(bundle.keys.owner)
    offers = {
        m.key: offer_by(FOUNDED.secrets_of(m.key), bundle, m.key.hex())[0]
        for m in FOUNDED.members.members
    }
    chosen = choose_committee(FOUNDED.members, offers, own)
    assert chosen is not None
    assert [offer.member for offer in chosen] == [
        m.key for m in FOUNDED.members.members if m.key not in own
    ]
    del offers[chosen[0].member]
    assert choose_committee(FOUNDED.members, offers, own) is None


def test_strangers_do_not_use_up_the_allowance_of_operators() -> None:
    budget = OfferBudget()
    epoch = Epoch(7)
    for number in range(STRANGER_OFFERS_MAX):
        assert budget.take(epoch, key(f"stranger {number}"), is_registered=False)
    assert not budget.take(epoch, key("one more"), is_registered=False)
    for _ in range(OPERATOR_OFFERS_MAX):
        assert budget.take(epoch, key("operator"), is_registered=True)
    assert not budget.take(epoch, key("operator"), is_registered=True)
    assert budget.take(epoch, key("another operator"), is_registered=True)
    assert budget.take(Epoch(8), key("one more"), is_registered=False)


def test_candidates_wait_for_their_confirmation() -> None:
    waiting = CandidateList("regtest")
    assert waiting.add(RENEWAL)
    assert RENEWAL in waiting
    assert waiting.next() is None
    assert waiting.unconfirmed() == [RENEWAL]
    waiting.confirm(RENEWAL)
    assert waiting.next() == RENEWAL
    assert waiting.unconfirmed() == []


def test_candidates_that_no_block_can_take_are_forgotten() -> None:
    for admission in (
        FOUNDED.admission(FIRST),
        replace(FOUNDED.admission(), registry=FOUNDED.registry.with_record(RENEWAL)),
    ):
        waiting = CandidateList("regtest")
        waiting.add(RENEWAL)
        waiting.confirm(RENEWAL)
        waiting.prune(FOUNDED.admission())
        assert len(waiting) == 1
        waiting.prune(admission)
        assert len(waiting) == 0
        assert waiting.next() is None


def test_candidates_are_bounded_for_each_operator_and_together() -> None:
    waiting = CandidateList("regtest")
    same = [replace(RENEWAL, txid=digest(f"attempt {n}")) for n in range(3)]
    for record in same:
        assert waiting.add(record)
    assert len(waiting) == OPERATOR_CANDIDATES_MAX
    assert same[0] not in waiting
    for number in range(CANDIDATES_MAX):
        keys = replace(RENEWAL.bundle.keys, owner=key(f"owner {number}"))
        waiting.add(replace(RENEWAL, bundle=replace(RENEWAL.bundle, keys=keys)))
    assert len(waiting) == CANDIDATES_MAX
    assert waiting.add(replace(RENEWAL, txid=digest("attempt 4")))
    assert len(waiting) == CANDIDATES_MAX


def _stake_block(record: StakeRecord) -> tuple[StakeRecord, L1Block]:
    """A Bitcoin block with the stake transaction of `record`, and the record that names it."""
    terms = StakeTerms.of_record(record, PARAMS, ANCHOR)
    bundle = record.bundle.digest(PARAMS.network)
    outputs = stake_outputs(PARAMS.network, terms, bundle)
    transaction = Transaction(2, (TxIn(OutPoint(digest("coin"), 0)),), outputs)
    item = RelevantTransaction(1, transaction, BitcoinTag.STAKE, b"", ())
    block = L1Block(Height(300), digest("b"), digest("a"), 0, 0, (item,))
    return replace(record, txid=transaction.txid), block


def test_a_record_that_names_a_foreign_stake_does_not_hide_it() -> None:
    victim, block = _stake_block(RENEWAL)
    thief = replace(_renewal("thief", 1), txid=victim.txid)
    for order in ([victim, thief], [thief, victim]):
        records = {record.consensus_key: record for record in order}
        found = find_stakes(DRAFT, records, [block])
        assert found[victim.consensus_key].confirmed == 300
        assert found[thief.consensus_key].confirmed is None


def test_admission_is_the_state_after_one_block() -> None:
    admission: Admission = FOUNDED.admission()
    owner = FOUNDED.stakes[0].public().owner
    assert admission.keys_of(owner) == {FOUNDED.records[0].consensus_key}
    assert admission.keys_of(key("nobody")) == frozenset()
