"""Rules of the core, one scenario each."""

from dataclasses import replace

import pytest

from p2p_seq.consensus.core import Simplex
from p2p_seq.consensus.state import PROPOSAL_WINDOW, SILENT_VIEWS, VOTE_WINDOW
from p2p_seq.consensus.timers import TimerConfig
from p2p_seq.consensus.types import (
    STANDSTILL,
    BlockBuilt,
    BlocksFetched,
    BlockVerdict,
    BroadcastCertificates,
    BroadcastProposal,
    BuildBlock,
    CancelTimer,
    CastVote,
    CertificateRecord,
    CertificatesReceived,
    CertificatesRequested,
    Evidence,
    FetchBlock,
    FetchCertificates,
    Finalized,
    ForkDetected,
    OldMessage,
    Persist,
    ProposalReceived,
    ProposalRecord,
    Record,
    SendTo,
    SetTimer,
    Start,
    TimerFired,
    TimerId,
    TimerKind,
    ValidateBlock,
    Verdict,
    ViewEntered,
    VotesReceived,
    WorkChanged,
    decode_record,
)
from p2p_seq.protocol.types import View
from p2p_seq.protocol.votes import VoteKind
from tests.support.cores import (
    Harness,
    block,
    certificate,
    finalize,
    make_members,
    notarize,
    null,
    proposal,
    schedule_where,
    vote,
)

MEMBERS = make_members()
SCHEDULE = schedule_where(MEMBERS, [0, 1, 2, 3])
"""The leader of view v is member v - 1."""


def make(own: int | None, kind: type[Simplex] = Simplex) -> Harness:
    return Harness(MEMBERS, SCHEDULE, own, kind)


def of(effects: list[object], kind: type) -> list[object]:
    return [effect for effect in effects if isinstance(effect, kind)]


def votes_cast(effects: list[object]) -> list[object]:
    return [effect.statement for effect in effects if isinstance(effect, CastVote)]


def timer(kind: TimerKind, view: int) -> TimerId:
    return TimerId(kind, View(view))


def propose(node: Harness, reference, base: int = 0, view: int | None = None) -> list[object]:
    """Deliver a proposal and answer VALID."""
    effects = list(node.feed(ProposalReceived(proposal(reference, base, view))))
    effects += node.feed(BlockVerdict(reference.digest, Verdict.VALID))
    return effects


def notarized(node: Harness, reference, view: int | None = None) -> list[object]:
    proof = certificate(MEMBERS, notarize(reference, view), (0, 1, 2))
    return list(node.feed(CertificatesReceived(2, (proof,))))


def test_a_leader_builds_persists_sends_and_votes_in_this_order() -> None:
    node = make(0)
    assert of(node.start_effects, BuildBlock) == [
        BuildBlock(View(1), View(0), node.instance.root, required=False)
    ]
    first = block("a", 1)
    effects = node.feed(BlockBuilt(first))
    wanted = proposal(first)
    assert effects[:3] == [
        Persist((ProposalRecord(wanted),)),
        BroadcastProposal(wanted, ()),
        CastVote(notarize(first)),
    ]
    assert node.feed(BlockBuilt(block("b", 1))) == []


def test_a_valid_proposal_is_notarized_once() -> None:
    node = make(3)
    first = block("a", 1)
    assert of(node.feed(ProposalReceived(proposal(first))), ValidateBlock)
    effects = node.feed(BlockVerdict(first.digest, Verdict.VALID))
    assert votes_cast(effects) == [notarize(first)]
    assert effects.index(Persist((ProposalRecord(proposal(first)),))) < effects.index(
        CastVote(notarize(first))
    )
    assert node.feed(ProposalReceived(proposal(block("b", 1)))) == []


def test_an_invalid_proposal_is_nullified_at_once() -> None:
    node = make(3)
    first = block("a", 1)
    node.feed(ProposalReceived(proposal(first)))
    effects = node.feed(BlockVerdict(first.digest, Verdict.INVALID))
    assert votes_cast(effects) == [null(1)]


def test_an_unavailable_block_waits_and_is_asked_again_at_the_standstill() -> None:
    node = make(3)
    first = block("a", 1)
    node.feed(ProposalReceived(proposal(first)))
    assert votes_cast(node.feed(BlockVerdict(first.digest, Verdict.UNAVAILABLE))) == []
    again = node.feed(TimerFired(STANDSTILL))
    assert of(again, ValidateBlock)
    assert votes_cast(node.feed(BlockVerdict(first.digest, Verdict.VALID))) == [notarize(first)]


def test_a_certificate_is_durable_before_it_is_sent_or_acted_on() -> None:
    node = make(3)
    first = block("a", 1)
    propose(node, first)
    for signer in (0, 1):
        effects = node.feed(VotesReceived(signer, (vote(notarize(first), signer),)))
        assert not of(effects, Persist)
    effects = node.feed(VotesReceived(3, (vote(notarize(first), 3),)))
    formed = certificate(MEMBERS, notarize(first), (0, 1, 3))
    assert effects[:3] == [
        Persist((CertificateRecord(formed),)),
        BroadcastCertificates((formed,)),
        CastVote(finalize(first)),
    ]
    assert ViewEntered(View(2), 1) in effects


def test_nothing_is_finalized_after_a_nullify_and_notarizing_still_works() -> None:
    node = make(3)
    node.feed(WorkChanged(has_work=True))
    assert votes_cast(node.feed(TimerFired(timer(TimerKind.LEADER, 1)))) == [null(1)]
    first = block("a", 1)
    assert votes_cast(propose(node, first)) == [notarize(first)]
    assert votes_cast(notarized(node, first)) == []
    assert node.core.view == 2


def test_nothing_is_nullified_after_a_finalize() -> None:
    node = make(3)
    first = block("a", 1)
    propose(node, first)
    assert votes_cast(notarized(node, first)) == [finalize(first)]
    assert votes_cast(node.feed(TimerFired(timer(TimerKind.ADVANCE, 1)))) == []


def test_a_late_valid_verdict_still_notarizes_and_finalizes() -> None:
    node = make(3)
    first = block("a", 1)
    node.feed(ProposalReceived(proposal(first)))
    notarized(node, first)
    assert node.core.view == 2
    effects = node.feed(BlockVerdict(first.digest, Verdict.VALID))
    assert votes_cast(effects) == [notarize(first), finalize(first)]


def test_finality_reports_the_path_oldest_first() -> None:
    node = make(3)
    first, second = block("a", 1), block("b", 2, block("a", 1).digest)
    propose(node, first)
    notarized(node, first)
    propose(node, second, base=1)
    notarized(node, second)
    proof = certificate(MEMBERS, finalize(second), (0, 1, 2))
    effects = node.feed(CertificatesReceived(1, (proof,)))
    assert of(effects, Finalized) == [Finalized((first.digest, second.digest), proof, sealed=False)]
    assert effects.index(Persist((CertificateRecord(proof),))) < effects.index(
        of(effects, Finalized)[0]
    )


def test_missing_ancestors_are_fetched() -> None:
    node = make(3)
    first, second = block("a", 1), block("b", 2, block("a", 1).digest)
    proof = certificate(MEMBERS, finalize(second), (0, 1, 2))
    assert of(node.feed(CertificatesReceived(1, (proof,))), FetchBlock) == [
        FetchBlock(second.digest)
    ]
    assert node.core.view == 3
    assert node.feed(BlocksFetched((block("x", 2),))) == []
    effects = node.feed(BlocksFetched((second, first)))
    assert of(effects, Finalized) == [Finalized((first.digest, second.digest), proof, sealed=False)]


def test_a_skip_needs_its_nullification() -> None:
    node = make(3)
    second = block("b", 2)
    notarized(node, block("a", 1))
    node.feed(ProposalReceived(proposal(second, base=0)))
    assert not of(node.feed(BlockVerdict(second.digest, Verdict.VALID)), CastVote)
    proof = certificate(MEMBERS, null(1), (0, 1, 2))
    effects = node.feed(CertificatesReceived(0, (proof,)))
    assert of(effects, ValidateBlock)
    assert votes_cast(node.feed(BlockVerdict(second.digest, Verdict.VALID))) == [notarize(second)]


def test_a_proposal_below_the_finality_is_refused() -> None:
    node = make(3)
    first = block("a", 1)
    propose(node, first)
    node.feed(CertificatesReceived(0, (certificate(MEMBERS, finalize(first), (0, 1, 2)),)))
    effects = node.feed(ProposalReceived(proposal(block("b", 2), base=0)))
    assert votes_cast(effects) == [null(2)]


def test_a_leader_proves_what_it_skips() -> None:
    node = make(2)
    first = block("a", 1)
    proof = certificate(MEMBERS, notarize(first), (0, 1, 2))
    skipped = certificate(MEMBERS, null(2), (0, 1, 3))
    node.feed(CertificatesReceived(0, (proof,)))
    effects = node.feed(CertificatesReceived(0, (skipped,)))
    assert of(effects, BuildBlock) == [BuildBlock(View(3), View(1), first.digest, required=False)]
    third = block("c", 3, first.digest)
    sent = of(node.feed(BlockBuilt(third)), BroadcastProposal)
    assert sent == [BroadcastProposal(proposal(third, base=1), (proof, skipped))]


def test_an_idle_view_has_no_timer() -> None:
    node = make(3)
    assert [effect.timer for effect in of(node.start_effects, SetTimer)] == [STANDSTILL]
    assert votes_cast(node.feed(TimerFired(timer(TimerKind.LEADER, 1)))) == []


def test_work_arms_the_timers_and_its_end_disarms_them() -> None:
    node = make(3)
    armed = [effect.timer for effect in of(node.feed(WorkChanged(has_work=True)), SetTimer)]
    assert armed == [timer(TimerKind.LEADER, 1), timer(TimerKind.ADVANCE, 1)]
    ended = [effect.timer for effect in of(node.feed(WorkChanged(has_work=False)), CancelTimer)]
    assert ended == armed


def test_a_third_of_the_votes_arms_the_timers_of_who_knows_no_work() -> None:
    node = make(3)
    assert not of(node.feed(VotesReceived(0, (vote(null(1), 0),))), SetTimer)
    assert of(node.feed(VotesReceived(1, (vote(null(1), 1),))), SetTimer)


def test_a_proposal_ends_the_leader_timer() -> None:
    node = make(3)
    node.feed(WorkChanged(has_work=True))
    effects = node.feed(ProposalReceived(proposal(block("a", 1))))
    assert CancelTimer(timer(TimerKind.LEADER, 1)) in effects


def test_an_unfinalised_block_is_extended_without_work_but_not_at_once() -> None:
    node = make(1)
    first = block("a", 1)
    propose(node, first)
    effects = notarized(node, first)
    assert of(effects, BuildBlock) == [BuildBlock(View(2), View(1), first.digest, required=False)]
    assert timer(TimerKind.REQUIRE, 2) in [effect.timer for effect in of(effects, SetTimer)]
    effects = node.feed(TimerFired(timer(TimerKind.REQUIRE, 2)))
    assert of(effects, BuildBlock) == [BuildBlock(View(2), View(1), first.digest, required=True)]


def test_finality_in_time_stops_the_empty_block() -> None:
    node = make(1)
    first = block("a", 1)
    propose(node, first)
    notarized(node, first)
    proof = certificate(MEMBERS, finalize(first), (0, 1, 2))
    effects = node.feed(CertificatesReceived(0, (proof,)))
    assert CancelTimer(timer(TimerKind.REQUIRE, 2)) in effects
    assert not of(node.feed(TimerFired(timer(TimerKind.REQUIRE, 2))), BuildBlock)


def test_after_a_notarized_seal_only_the_seal_is_proposed() -> None:
    node = make(1)
    seal = block("s", 1, seal=True)
    propose(node, seal)
    effects = notarized(node, seal)
    assert not of(effects, BuildBlock)
    effects = node.feed(TimerFired(timer(TimerKind.REQUIRE, 2)))
    again = proposal(seal, base=1, view=2)
    assert of(effects, BroadcastProposal)[0].proposal == again
    effects = node.feed(BlockVerdict(seal.digest, Verdict.VALID))
    assert notarize(seal, view=2) in votes_cast(effects)
    assert notarize(seal, view=2).outputs == seal.outputs


def test_a_seal_that_is_proposed_again_is_judged_again() -> None:
    """Its origin may have left the best chain since: a verdict is good for one vote."""
    node = make(2)
    seal = block("s", 1, seal=True)
    assert votes_cast(propose(node, seal)) == [notarize(seal)]
    notarized(node, seal)
    again = proposal(seal, base=1, view=2)
    effects = node.feed(ProposalReceived(again))
    assert of(effects, ValidateBlock) == [ValidateBlock(again)]
    assert votes_cast(effects) == []
    assert votes_cast(node.feed(BlockVerdict(seal.digest, Verdict.UNAVAILABLE))) == []
    assert votes_cast(node.feed(BlockVerdict(seal.digest, Verdict.VALID))) == [
        notarize(seal, view=2)
    ]


def test_a_leader_judges_the_seal_that_it_proposes_again() -> None:
    node = make(1)
    seal = block("s", 1, seal=True)
    propose(node, seal)
    notarized(node, seal)
    effects = node.feed(TimerFired(timer(TimerKind.REQUIRE, 2)))
    again = proposal(seal, base=1, view=2)
    assert [item.proposal for item in of(effects, BroadcastProposal)] == [again]
    assert of(effects, ValidateBlock) == [ValidateBlock(again)]
    assert votes_cast(effects) == []
    assert votes_cast(node.feed(BlockVerdict(seal.digest, Verdict.VALID))) == [
        notarize(seal, view=2)
    ]


def test_two_views_that_wait_for_one_seal_are_judged_one_after_the_other() -> None:
    node = make(3)
    seal = block("s", 1, seal=True)
    propose(node, seal)
    notarized(node, seal)
    node.feed(ProposalReceived(proposal(seal, base=1, view=2)))
    node.feed(CertificatesReceived(2, (certificate(MEMBERS, null(2), (0, 1, 2)),)))
    node.feed(ProposalReceived(proposal(seal, base=1, view=3)))
    effects = node.feed(BlockVerdict(seal.digest, Verdict.VALID))
    assert votes_cast(effects) == [notarize(seal, view=2)]
    assert of(effects, ValidateBlock) == [ValidateBlock(proposal(seal, base=1, view=3))]
    assert votes_cast(node.feed(BlockVerdict(seal.digest, Verdict.VALID))) == [
        notarize(seal, view=3)
    ]


def test_a_new_block_on_a_notarized_seal_is_refused() -> None:
    node = make(3)
    seal = block("s", 1, seal=True)
    propose(node, seal)
    notarized(node, seal)
    effects = node.feed(ProposalReceived(proposal(block("b", 2, seal.digest), base=1)))
    assert votes_cast(effects) == [null(2)]


def test_an_ordinary_block_is_not_proposed_again() -> None:
    node = make(3)
    first = block("a", 1)
    propose(node, first)
    notarized(node, first)
    effects = node.feed(ProposalReceived(proposal(first, base=1, view=2)))
    assert votes_cast(effects) == [null(2)]


def test_a_seal_is_final_by_votes_of_a_later_view_and_ends_the_instance() -> None:
    node = make(3)
    seal = block("s", 1, seal=True)
    propose(node, seal)
    notarized(node, seal)
    assert votes_cast(propose(node, seal, base=1, view=2)) == [notarize(seal, view=2)]
    notarized(node, seal, view=2)
    proof = certificate(MEMBERS, finalize(seal, view=2), (0, 1, 2))
    effects = node.feed(CertificatesReceived(0, (proof,)))
    assert of(effects, Finalized) == [Finalized((seal.digest,), proof, sealed=True)]
    assert CancelTimer(STANDSTILL) in effects
    assert node.feed(ProposalReceived(proposal(block("b", 3, seal.digest), base=2))) == []
    assert node.feed(VotesReceived(2, (vote(notarize(seal), 2),))) == [SendTo(2, (proof,))]
    assert node.feed(OldMessage(2, null(1), is_certificate=False)) == [SendTo(2, (proof,))]
    assert node.feed(CertificatesReceived(2, (proof,))) == []


def test_standstill_says_everything_above_the_finality_again_with_backoff() -> None:
    node = make(3)
    first = block("a", 1)
    propose(node, first)
    notarized(node, first)
    node.feed(WorkChanged(has_work=True))
    node.feed(TimerFired(timer(TimerKind.LEADER, 2)))
    effects = node.feed(TimerFired(STANDSTILL))
    proof = certificate(MEMBERS, notarize(first), (0, 1, 2))
    assert of(effects, BroadcastCertificates) == [BroadcastCertificates((proof,))]
    assert votes_cast(effects) == [notarize(first), finalize(first), null(2)]
    assert of(effects, SetTimer)[-1] == SetTimer(STANDSTILL, 6_000)
    assert of(node.feed(TimerFired(STANDSTILL)), SetTimer)[-1] == SetTimer(STANDSTILL, 12_000)


def test_certificates_of_unknown_views_are_fetched() -> None:
    node = make(3)
    proof = certificate(MEMBERS, null(5), (0, 1, 2))
    effects = node.feed(CertificatesReceived(0, (proof,)))
    assert of(effects, FetchCertificates) == [FetchCertificates(View(1), View(4))]
    assert node.core.view == 6
    asked = node.feed(CertificatesRequested(2, View(1), View(9)))
    assert asked == [SendTo(2, (proof,))]


def test_who_repeats_old_votes_gets_the_finality() -> None:
    node = make(3)
    first = block("a", 1)
    propose(node, first)
    proof = certificate(MEMBERS, finalize(first), (0, 1, 2))
    node.feed(CertificatesReceived(0, (proof,)))
    assert node.feed(OldMessage(1, null(1), is_certificate=False)) == [SendTo(1, (proof,))]
    assert node.feed(OldMessage(1, finalize(first), is_certificate=True)) == []


def test_restart_continues_where_the_disk_is() -> None:
    node = make(3)
    first = block("a", 1)
    propose(node, first)
    notarized(node, first)
    node.feed(WorkChanged(has_work=True))
    node.feed(TimerFired(timer(TimerKind.LEADER, 2)))
    node.restart()
    assert node.core.view == 2
    assert votes_cast(propose(node, block("b", 2, first.digest), base=1)) == [
        notarize(block("b", 2, first.digest))
    ]
    assert node.voted == [notarize(first), finalize(first), null(2), node.voted[3]]


def test_a_tip_that_was_synchronised_beyond_the_certificates() -> None:
    node = make(3)
    blocks = [block("a", 1)]
    for view in range(2, 6):
        blocks.append(block(f"b{view}", view, blocks[-1].digest))
    propose(node, blocks[0])
    node.feed(CertificatesReceived(0, (certificate(MEMBERS, finalize(blocks[0]), (0, 1, 2)),)))
    node.core = Simplex.restore(
        node.instance, TimerConfig(), node.records, node.voted, blocks[3].digest, View(4)
    )
    effects = node.feed(Start())
    assert node.core.view == 5
    assert not of(effects, FetchBlock)
    proof = certificate(MEMBERS, finalize(blocks[3]), (0, 1, 2))
    node.feed(CertificatesReceived(0, (proof,)))
    assert votes_cast(propose(node, blocks[4], base=4)) == [notarize(blocks[4])]
    final = certificate(MEMBERS, finalize(blocks[4]), (0, 1, 2))
    effects = node.feed(CertificatesReceived(0, (final,)))
    assert of(effects, Finalized) == [Finalized((blocks[4].digest,), final, sealed=False)]
    assert not node.core.forked


@pytest.mark.parametrize("own", range(4))
def test_a_final_ancestor_of_a_synchronised_tip_is_no_fork(own: int) -> None:
    """Whoever leads next wants its best base, which lies below the tip that it synchronised."""
    node = make(own)
    blocks = [block("a", 1)]
    for view in range(2, 5):
        blocks.append(block(f"b{view}", view, blocks[-1].digest))
    propose(node, blocks[0])
    node.feed(CertificatesReceived(0, (certificate(MEMBERS, finalize(blocks[0]), (0, 1, 2)),)))
    node.core = Simplex.restore(
        node.instance, TimerConfig(), node.records, node.voted, blocks[3].digest, View(4)
    )
    effects = node.feed(Start())
    wanted = {effect.digest for effect in of(effects, FetchBlock)}
    assert wanted == ({blocks[0].digest} if node.core.leader(View(5)) == own else set())
    effects = node.feed(BlocksFetched((blocks[0],)))
    assert not of(effects, ForkDetected)
    assert not node.core.forked
    proof = certificate(MEMBERS, finalize(blocks[3]), (0, 1, 2))
    following = block("c", 5, blocks[3].digest)
    node.feed(CertificatesReceived(0, (proof,)))
    effects = node.feed(
        CertificatesReceived(0, (certificate(MEMBERS, finalize(following), (0, 1, 2)),))
    )
    effects += node.feed(BlocksFetched((following,)))
    assert [item.blocks for item in of(effects, Finalized)] == [(following.digest,)]


def test_a_wanted_ancestor_that_comes_after_the_finality_of_the_tip_is_no_fork() -> None:
    """A leader wanted the base that it knew of; the tip's finality overtakes the block."""
    node = make(3)
    blocks = [block("a", 1)]
    for view in range(2, 4):
        blocks.append(block(f"b{view}", view, blocks[-1].digest))
    node.core = Simplex.restore(
        node.instance, TimerConfig(), node.records, node.voted, blocks[2].digest, View(3)
    )
    node.feed(Start())
    lower = certificate(MEMBERS, finalize(blocks[0]), (0, 1, 2))
    node.feed(CertificatesReceived(0, (lower,)))
    effects = node.feed(TimerFired(STANDSTILL))  # the leader of view 4 asks for its base again
    assert blocks[0].digest in {effect.digest for effect in of(effects, FetchBlock)}
    node.feed(CertificatesReceived(0, (certificate(MEMBERS, finalize(blocks[2]), (0, 1, 2)),)))
    assert not of(node.feed(BlocksFetched((blocks[0],))), ForkDetected)
    assert not node.core.forked
    following = block("c", 4, blocks[2].digest)
    node.feed(BlockBuilt(following))
    effects = node.feed(
        CertificatesReceived(0, (certificate(MEMBERS, finalize(following), (0, 1, 2)),))
    )
    assert [item.blocks for item in of(effects, Finalized)] == [(following.digest,)]


def test_a_notarized_block_that_comes_after_another_became_final_is_no_fork() -> None:
    """View 1 was notarized and nullified; a view that skips it is final when its block arrives."""
    node = make(2)
    beside, final = block("a", 1), block("b", 2)
    node.feed(CertificatesReceived(0, (certificate(MEMBERS, notarize(beside), (0, 1, 3)),)))
    third = block("x", 2, beside.digest)
    effects = node.feed(ProposalReceived(proposal(third, base=1)))
    assert [effect.digest for effect in of(effects, FetchBlock)] == [beside.digest]
    node.feed(CertificatesReceived(0, (certificate(MEMBERS, null(1), (0, 1, 3)),)))
    node.core.state.tree.add(final)
    effects = node.feed(
        CertificatesReceived(0, (certificate(MEMBERS, finalize(final), (0, 1, 3)),))
    )
    assert [item.blocks for item in of(effects, Finalized)] == [(final.digest,)]
    assert not of(node.feed(BlocksFetched((beside,))), ForkDetected)
    assert not node.core.forked
    assert not node.core.state.wanted, "nobody asks for it again"


def test_crash_between_certificate_and_vote_makes_up_for_the_vote() -> None:
    node = make(3)
    first = block("a", 1)
    propose(node, first)
    notarized(node, first)
    node.voted.remove(finalize(first))
    assert finalize(first) in votes_cast(node.restart())


def test_a_restarted_leader_sends_the_same_proposal() -> None:
    node = make(0)
    first = block("a", 1)
    node.feed(BlockBuilt(first))
    effects = node.restart()
    assert of(effects, BroadcastProposal) == [BroadcastProposal(proposal(first), ())]
    assert not of(effects, BuildBlock)
    node.voted.clear()
    assert of(node.restart(), ValidateBlock) == [ValidateBlock(proposal(first))]


class VolatileCertificates(Simplex):
    """Mutant: votes are durable, certificates are not."""

    def _persist(self, records: tuple[Record, ...]) -> None:
        kept = tuple(record for record in records if isinstance(record, ProposalRecord))
        if kept:
            super()._persist(kept)


@pytest.mark.parametrize(("kind", "goes_on"), [(Simplex, True), (VolatileCertificates, False)])
def test_the_only_holder_of_a_notarization_crashes(kind: type[Simplex], goes_on: bool) -> None:
    """consensus.md D.6: A alone has notar(1), finalizes and crashes; 1 helped it and is silent now.

    0 and 3 gave the view up; they need A's nullify, which it may not give, or its certificate.
    """
    node = make(2, kind)
    first = block("a", 1)
    propose(node, first)
    proofs = tuple(vote(notarize(first), signer) for signer in (0, 1, 2))
    node.feed(VotesReceived(0, proofs))
    assert finalize(first) in node.voted
    node.restart()
    node.feed(WorkChanged(has_work=True))
    node.feed(VotesReceived(0, (vote(notarize(first), 0), vote(null(1), 0))))
    node.feed(VotesReceived(3, (vote(null(1), 3),)))
    node.feed(TimerFired(timer(TimerKind.LEADER, 1)))
    node.feed(TimerFired(timer(TimerKind.ADVANCE, 1)))
    assert (node.core.view > 1) is goes_on
    said = of(node.feed(TimerFired(STANDSTILL)), BroadcastCertificates)
    assert bool(said) is goes_on


def pass_views(node: Harness, first: int, last: int, signers: tuple[int, ...]) -> list[object]:
    effects: list[object] = []
    for view in range(first, last + 1):
        proof = certificate(MEMBERS, null(view), signers)
        effects = list(node.feed(CertificatesReceived(signers[0], (proof,))))
    return effects


def next_turn_of(leader: int, after: int) -> int:
    return next(view for view in range(after, after + 50) if SCHEDULE.leader(View(view)) == leader)


def test_a_silent_leader_is_skipped_and_comes_back() -> None:
    node = make(3)
    turn = next_turn_of(0, SILENT_VIEWS + 4)
    effects = pass_views(node, 1, turn - 1, (1, 2, 3))
    assert node.core.view == turn
    assert null(turn) in votes_cast(effects)
    following = next_turn_of(0, turn + 1)
    pass_views(node, turn, following - 2, (1, 2, 3))
    node.feed(VotesReceived(0, (vote(null(following - 1), 0),)))
    effects = pass_views(node, following - 1, following - 1, (1, 2, 3))
    assert node.core.view == following
    assert null(following) not in votes_cast(effects)


def test_silence_is_carried_into_the_next_epoch() -> None:
    node = make(3)
    pass_views(node, 1, 6, (1, 2, 3))
    assert node.core.unheard_views() == (6, 0, 0, 0)
    instance = replace(node.instance, unheard=node.core.unheard_views())
    node.core = Simplex(instance, TimerConfig())
    node.feed(Start())
    turn = next_turn_of(0, 4)
    effects = pass_views(node, 1, turn - 1, (1, 2, 3))
    assert node.core.view == turn < SILENT_VIEWS
    assert null(turn) in votes_cast(effects)


def test_after_a_jump_nobody_is_silent() -> None:
    node = make(3)
    pass_views(node, 1, 30, (1, 2, 3))
    assert node.core.unheard_views()[0] == 30
    effects = node.feed(CertificatesReceived(1, (certificate(MEMBERS, null(59), (1, 2, 3)),)))
    assert node.core.view == 60
    assert node.core.unheard_views()[0] == 0
    assert null(60) not in votes_cast(effects)


def test_nobody_is_skipped_without_a_quorum_that_is_heard() -> None:
    node = make(3)
    node.core.state.heard.update({0: View(1), 1: View(1), 2: View(1)})
    node.core.view = View(40)
    assert not node.core._is_silent(0)


@pytest.mark.parametrize(
    ("first", "second", "convicts"),
    [
        (notarize(block("a", 1)), notarize(block("b", 1)), True),
        (null(1), finalize(block("a", 1)), True),
        (finalize(block("a", 1)), finalize(block("b", 1)), True),
        (notarize(block("a", 1)), null(1), False),
        (notarize(block("a", 1)), finalize(block("b", 1)), False),
    ],
)
def test_evidence(first, second, convicts: bool) -> None:
    node = make(3)
    node.feed(VotesReceived(1, (vote(first, 1),)))
    effects = node.feed(VotesReceived(1, (vote(second, 1),)))
    assert bool(of(effects, Evidence)) is convicts
    assert not of(node.feed(VotesReceived(1, (vote(second, 1),))), Evidence)


def test_evidence_is_found_in_certificates() -> None:
    node = make(3)
    node.feed(VotesReceived(1, (vote(notarize(block("b", 1)), 1),)))
    assert len(of(notarized(node, block("a", 1)), Evidence)) == 1


def test_two_finalities_of_one_view_stop_the_instance() -> None:
    node = make(3)
    first, rival = block("a", 1), block("b", 1)
    propose(node, first)
    ours = certificate(MEMBERS, finalize(first), (0, 1, 2))
    theirs = certificate(MEMBERS, finalize(rival), (1, 2, 3))
    node.feed(CertificatesReceived(0, (ours,)))
    assert node.core.wants_certificate(theirs.statement)
    effects = node.feed(CertificatesReceived(0, (theirs,)))
    assert of(effects, ForkDetected) == [ForkDetected(ours, theirs)]
    assert node.core.forked
    assert votes_cast(propose(node, block("c", 2, first.digest), base=1)) == []


def test_a_finality_beside_the_final_chain_is_a_fork() -> None:
    node = make(3)
    first = block("a", 1)
    propose(node, first)
    node.feed(CertificatesReceived(0, (certificate(MEMBERS, finalize(first), (0, 1, 2)),)))
    rival, child = block("b", 1), block("c", 2, block("b", 1).digest)
    beside = certificate(MEMBERS, finalize(child), (1, 2, 3))
    node.feed(CertificatesReceived(0, (beside,)))
    effects = node.feed(BlocksFetched((child, rival)))
    assert len(of(effects, ForkDetected)) == 1


def test_far_votes_and_proposals_are_not_kept() -> None:
    node = make(3)
    assert node.core.wants_vote(vote(null(VOTE_WINDOW), 1))
    assert not node.core.wants_vote(vote(null(VOTE_WINDOW + 2), 1))
    assert not node.core.wants_vote(vote(null(1), 4))
    for view in range(1, 1_000):
        node.feed(VotesReceived(1, (vote(null(view), 1),)))
        for name in "abcdef":
            node.feed(VotesReceived(1, (vote(notarize(block(f"{name}{view}", view)), 1),)))
        node.feed(ProposalReceived(proposal(block(f"p{view}", view))))
    assert len(node.core.state.votes) <= 3 * (VOTE_WINDOW + 1)
    assert len(node.core.state.proposals) == PROPOSAL_WINDOW + 1


def test_an_observer_follows_and_says_nothing() -> None:
    node = make(None)
    first = block("a", 1)
    effects = list(node.feed(WorkChanged(has_work=True)))
    effects += propose(node, first)
    effects += notarized(node, first)
    proof = certificate(MEMBERS, finalize(first), (0, 1, 2))
    effects += node.feed(CertificatesReceived(0, (proof,)))
    effects += node.feed(TimerFired(STANDSTILL))
    said = (CastVote, BroadcastCertificates, BroadcastProposal, BuildBlock)
    assert not of(effects, said)  # type: ignore[arg-type]
    assert of(effects, Finalized) == [Finalized((first.digest,), proof, sealed=False)]


def test_records_have_one_spelling() -> None:
    seal = block("s", 4, seal=True)
    records: list[Record] = [
        ProposalRecord(proposal(seal, base=5, view=7)),
        CertificateRecord(certificate(MEMBERS, notarize(seal), (0, 1, 3))),
    ]
    for record in records:
        assert decode_record(record.encode()) == record
    assert notarize(seal).kind is VoteKind.NOTARIZE
