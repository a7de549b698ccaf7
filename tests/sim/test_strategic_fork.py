"""The fork that random Twins do not find (pitfall E1), played by hand on real cores.

Members 0 and 1 are honest, 2 and 3 are not: half of the weight, so a fork is possible. The two
never sign two statements in one ZF slot. Both honest nodes finalise, different blocks; and the only
convictions there are come from pairs of notarize votes. That is why notarize has its own nonce.
"""

from p2p_seq.consensus.types import (
    BlocksFetched,
    BlockVerdict,
    CertificatesReceived,
    Evidence,
    Finalized,
    ForkDetected,
    ProposalReceived,
    Verdict,
    VotesReceived,
)
from p2p_seq.protocol.votes import Slot, slot_of
from tests.support.cores import (
    Harness,
    block,
    certificate,
    finalize,
    make_members,
    notarize,
    proposal,
    schedule_where,
    vote,
)

MEMBERS = make_members()
SCHEDULE = schedule_where(MEMBERS, [2, 3])


def accept(node: Harness, shown, base: int = 0) -> None:
    node.feed(ProposalReceived(proposal(shown, base)))
    node.feed(BlockVerdict(shown.digest, Verdict.VALID))


def deliver(node: Harness, statement, signers: tuple[int, ...]) -> list[object]:
    effects: list[object] = []
    for signer in signers:
        effects += node.feed(VotesReceived(signer, (vote(statement, signer),)))
    return effects


def test_the_fork_convicts_by_notarize_pairs_alone() -> None:
    first, rival = block("c", 1), block("c'", 1)
    child = block("x", 2, rival.digest)
    alice, bob = Harness(MEMBERS, SCHEDULE, 0), Harness(MEMBERS, SCHEDULE, 1)

    accept(alice, first)
    deliver(alice, notarize(first), (0, 2, 3))
    assert finalize(first) in alice.voted
    ends = deliver(alice, finalize(first), (0, 2, 3))
    assert [e.blocks for e in ends if isinstance(e, Finalized)] == [(first.digest,)]

    accept(bob, rival)
    deliver(bob, notarize(rival), (1, 2, 3))
    assert bob.core.view == 2
    accept(bob, child, base=1)
    deliver(bob, notarize(child), (1, 2, 3))
    ends = deliver(bob, finalize(child), (1, 2, 3))
    assert [e.blocks for e in ends if isinstance(e, Finalized)] == [(rival.digest, child.digest)]

    # The network heals. Alice sees what Bob saw.
    effects = list(
        alice.feed(
            CertificatesReceived(
                1,
                (
                    certificate(MEMBERS, notarize(rival), (1, 2, 3)),
                    certificate(MEMBERS, finalize(child), (1, 2, 3)),
                ),
            )
        )
    )
    effects += deliver(alice, notarize(rival), (1, 2, 3))
    effects += alice.feed(BlocksFetched((child, rival)))
    conflicts = [effect.conflict for effect in effects if isinstance(effect, Evidence)]
    assert {conflict.first.signer for conflict in conflicts} == {2, 3}
    for conflict in conflicts:
        slots = {slot_of(half.statement.kind) for half in conflict}
        assert slots == {Slot.NOTARIZE}
    assert any(isinstance(effect, ForkDetected) for effect in effects)
    assert alice.core.forked
