"""Weighted Simplex, one epoch, without I/O.

The paper is ePrint 2023/463; rules are numbered as in the simplex-docs of TON.
`Simplex.step(input)` returns effects in the order in which they must be performed.

Rule 1. A view is over when it is notarized, nullified or below a finality; the node is in the view
        after the highest of them.
Rule 3. The leader builds on the highest notarized view and proves the views in between nullified.
Rule 4. Notarize the first valid proposal of the view's leader whose base and skipped views are
        proven.
Rule 5. Finalize what this node notarized, once it is notarized, unless it nullified the view.
Rule 6. Nullify when the leader timer or the advance timer ends, or the proposal is invalid, unless
        this node finalized the view.
Rule 7. A certificate is durable, then sent once.
Rule 8. Standstill: without new finality everything above the last one is said again, with backoff.

Deviations:
(a) Rule 1 takes the highest certificate, not the lowest gap, so that a node that was away votes at
    once; gaps are fetched.
(b) The timers of a view run only while this node knows work, a notarized block waits for finality,
    a proposal is here, or members with more than a third of the weight voted in the view. An idle
    network is silent; docs/consensus.md says why it still is live.
(c) The leader after an unfinalised block waits for that finality before it adds an empty block.
(d) A leader that was not heard for `SILENT_VIEWS` views is skipped at once while a quorum is heard.
(e) After a notarized seal only the seal itself is proposed (PROTOCOL.md section 4).

Trust: whatever enters was authenticated by the shell. With a third or more Byzantine weight two
finalities may contradict each other; then the instance says so and votes no more.
"""

from collections.abc import Callable, Iterable
from typing import Any

from p2p_seq.consensus.certificates import Base
from p2p_seq.consensus.chain import Detached, Missing
from p2p_seq.consensus.state import (
    CERTIFICATE_WINDOW,
    CERTIFICATES_PER_MESSAGE,
    PROPOSAL_WINDOW,
    SILENT_VIEWS,
    UNHEARD_CAP,
    VOTE_WINDOW,
    VOTES_PER_STANDSTILL,
    restore_state,
)
from p2p_seq.consensus.timers import TimerConfig
from p2p_seq.consensus.types import (
    ROOT_VIEW,
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
    Effect,
    Evidence,
    FetchBlock,
    FetchCertificates,
    Finalized,
    ForkDetected,
    Input,
    Instance,
    OldMessage,
    Peer,
    Persist,
    Proposal,
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
)
from p2p_seq.protocol.types import Hash32, View
from p2p_seq.protocol.votes import Certificate, Vote, VoteKind, VoteStatement, nullify


class Simplex:
    """One epoch's consensus instance. Feed `Start` first."""

    def __init__(self, instance: Instance, timers: TimerConfig | None = None) -> None:
        self.instance = instance
        self.timers = timers or TimerConfig()
        self.state = restore_state(instance)
        self._init_volatile()

    @classmethod
    def restore(
        cls,
        instance: Instance,
        timers: TimerConfig,
        records: Iterable[Record],
        own_votes: Iterable[VoteStatement],
        tip: Hash32 | None = None,
        tip_view: View = ROOT_VIEW,
    ) -> "Simplex":
        """An instance after a restart; arguments as of `restore_state`."""
        simplex = cls(instance, timers)
        simplex.state = restore_state(instance, records, own_votes, tip, tip_view)
        simplex._init_volatile()
        return simplex

    def _init_volatile(self) -> None:
        self.view = View(0)
        """Current view; 0 before `Start`."""
        self.sealed = False
        """The seal is final here: the instance only answers."""
        self.forked = False
        self._has_work = False
        self._armed = False
        self._awaiting = False
        self._requiring = False
        self._attempt = 0
        self._heard_since = View(0)
        self._unheard = self.instance.unheard or (0,) * len(self.instance.members)
        self._gap_view = View(0)
        self._fresh: list[Certificate] = []
        self._touched: set[View] = set()
        self._out: list[Effect] = []
        self._handlers: dict[type, Callable[[Any], None]] = {
            Start: self._on_start,
            ProposalReceived: self._on_proposal,
            BlocksFetched: self._on_blocks,
            BlockVerdict: self._on_verdict,
            BlockBuilt: self._on_built,
            VotesReceived: self._on_votes,
            CertificatesReceived: self._on_certificates,
            CertificatesRequested: self._on_request,
            OldMessage: self._on_old_message,
            WorkChanged: self._on_work,
            TimerFired: self._on_timer,
        }

    def step(self, event: Input) -> list[Effect]:
        """Take one input. The effects must be performed in order."""
        self._handlers[type(event)](event)
        if self.view and not self.sealed:
            self._settle()
        effects, self._out = self._out, []
        return effects

    def leader(self, view: View) -> int:
        """Leader of a view within the windows; a shell checks proposals against it."""
        return self.instance.schedule.leader(view)

    def wants_proposal(self, epoch: int, view: View) -> bool:
        """Whether a proposal of this view would be news: ask before verifying it."""
        if epoch != self.instance.epoch or self._has_stopped:
            return False
        lowest = self.state.certificates.final_view
        return lowest < view <= self.view + PROPOSAL_WINDOW and view not in self.state.proposals

    def wants_vote(self, vote: Vote) -> bool:
        """Whether a vote would count: ask before verifying it. Votes of final views serve as
        evidence.
        """
        statement = vote.statement
        if statement.epoch != self.instance.epoch or vote.signer >= len(self.instance.members):
            return False
        if self.sealed or abs(statement.view - self.view) > VOTE_WINDOW:
            return False
        return not self.state.votes.has(statement, vote.signer)

    def wants_certificate(self, statement: VoteStatement) -> bool:
        """Whether a certificate would be news or proof of a fork: ask before verifying it."""
        if statement.epoch != self.instance.epoch or self.sealed:
            return False
        if statement.kind is VoteKind.FINALIZE:
            return self.state.certificates.wants(statement) or self._contradicts(statement)
        near = statement.view <= self.view + CERTIFICATE_WINDOW
        return near and self.state.certificates.wants(statement)

    def best_finality(self) -> Certificate | None:
        """The highest finality certificate, for status and for peers that are behind."""
        return self.state.certificates.final

    @property
    def _has_stopped(self) -> bool:
        """A seal is certified final, or a fork was seen: no more votes in this instance."""
        final = self.state.certificates.final
        return self.sealed or self.forked or (final is not None and final.statement.is_seal)

    def _on_start(self, _: Start) -> None:
        certificates = self.state.certificates
        highest = [
            self.state.tree.tip_view,
            certificates.final_view,
            *certificates.notarized,
            *certificates.nullified,
        ]
        self.view = View(max(highest) + 1)
        self._heard_since = View(max(highest))
        self._touched.update(certificates.notarized)
        self._set_standstill()
        self._enter()

    def _on_proposal(self, event: ProposalReceived) -> None:
        proposal = event.proposal
        if self.wants_proposal(proposal.epoch, proposal.view):
            self._hear(self.leader(proposal.view), proposal.view)
            self.state.add_proposal(proposal)

    def _on_blocks(self, event: BlocksFetched) -> None:
        state = self.state
        for block in event.blocks:
            if block.digest not in state.wanted:
                continue
            state.wanted.discard(block.digest)
            if block.view <= state.tree.tip_view:
                if self._lies_on_the_way_to_finality(block.digest):
                    self._declare_fork(state.certificates.final)
                    return
                continue  # it was wanted as a base, and the tip has passed it
            state.tree.add(block)
            final = state.certificates.final
            following = state.tree.path(final.statement.block) if final else None
            if isinstance(following, Missing):
                state.wanted.add(following.digest)
            self._adopt_certified(block.digest)

    def _lies_on_the_way_to_finality(self, digest: Hash32) -> bool:
        """Whether the highest finality rests on this block, of which the tip knows nothing."""
        final = self.state.certificates.final
        if final is None or final.view < self.state.tree.tip_view:
            return False  # the tip was synchronised beyond it
        way = self.state.tree.path(final.statement.block)
        return isinstance(way, Missing) and way.digest == digest

    def _adopt_certified(self, digest: Hash32) -> None:
        """A fetched block that is notarized stands for the proposal that was missed."""
        block = self.state.tree.get(digest)
        if block is None or block.view in self.state.proposals:
            return
        base = self.state.certificates.base(block.view)
        parent = self.state.tree.get(block.parent)
        if base is None or base.block != digest:
            return
        parent_view = parent.view if parent else self._view_of(block.parent)
        if parent_view is not None and parent_view < block.view:
            epoch = self.instance.epoch
            self.state.add_proposal(Proposal(epoch, block.view, parent_view, block))

    def _on_verdict(self, event: BlockVerdict) -> None:
        if event.digest not in self.state.judging:
            return
        if event.verdict is not Verdict.UNAVAILABLE:
            self.state.judging.discard(event.digest)
            self.state.verdicts[event.digest] = event.verdict

    def _on_built(self, event: BlockBuilt) -> None:
        block = event.block
        base_view = self._view_of(block.parent)
        if base_view is None or block.view != self.view or not self._may_propose():
            return
        proposal = Proposal(self.instance.epoch, self.view, base_view, block)
        if not self._unproven(proposal):
            self.state.verdicts[block.digest] = Verdict.VALID
            self._propose(proposal)

    def _on_votes(self, event: VotesReceived) -> None:
        behind = False
        for vote in event.votes:
            statement = vote.statement
            if statement.epoch != self.instance.epoch:
                continue
            final = self.state.certificates.final_view
            repeated = self.state.votes.has(statement, vote.signer)
            if statement.view <= final and (repeated or statement.view < final - 1):
                behind = True
            if self.wants_vote(vote):
                self._count(vote)
        if behind or self.sealed:
            self._answer(event.peer)

    def _count(self, vote: Vote) -> None:
        counted = self.state.votes.add(vote)
        if not counted.is_new:
            return
        self._hear(vote.signer, vote.statement.view)
        if counted.conflict is not None:
            self._out.append(Evidence(counted.conflict))
        if counted.certificate is not None:
            self._accept(counted.certificate)

    def _on_certificates(self, event: CertificatesReceived) -> None:
        behind = False
        for certificate in event.certificates:
            statement = certificate.statement
            if self.wants_certificate(statement):
                self._accept(certificate)
                for vote in certificate.votes():
                    if self.wants_vote(vote):
                        self._count(vote)
            else:
                behind = behind or self._is_behind(statement, is_certificate=True)
        if behind:
            self._answer(event.peer)

    def _on_request(self, event: CertificatesRequested) -> None:
        certificates = self.state.certificates
        answer: list[Certificate] = []
        if certificates.final is not None and event.first <= certificates.final_view:
            answer.append(certificates.final)
        last = min(event.last, View(event.first + CERTIFICATE_WINDOW))
        for certificate in certificates.between(event.first, last):
            if len(answer) >= CERTIFICATES_PER_MESSAGE:
                break
            answer.append(certificate)
        if answer and event.peer != self.instance.own_index:
            self._out.append(SendTo(event.peer, tuple(answer)))

    def _on_old_message(self, event: OldMessage) -> None:
        if self._is_behind(event.statement, event.is_certificate):
            self._answer(event.peer)

    def _is_behind(self, statement: VoteStatement, is_certificate: bool) -> bool:
        """Whether who repeats this is behind. Equal finalities are not answered: no ping-pong."""
        final = self.state.certificates.final_view
        if is_certificate:
            return statement.kind is VoteKind.FINALIZE and statement.view < final
        return self.sealed or statement.view <= final

    def _on_work(self, event: WorkChanged) -> None:
        self._has_work = event.has_work

    def _on_timer(self, event: TimerFired) -> None:
        timer = event.timer
        if self.sealed:
            return
        if timer.kind is TimerKind.STANDSTILL:
            self._say_again()
        elif timer.view == self.view and not self._has_stopped:
            if timer.kind is TimerKind.REQUIRE:
                self._requiring = False
                self._propose_required()
            elif self._armed:
                self._cast_nullify(self.view)  # rule 6

    def _settle(self) -> None:
        """Apply the rules until nothing changes."""
        while True:
            self._flush()
            if not self._has_stopped:
                self._cast_finalize_votes()
            self._report_finality()
            if self._has_stopped:
                self._stop_timers()
                return
            self._advance()
            if not self._judge_proposals():
                break
        self._update_timers()

    def _accept(self, certificate: Certificate) -> None:
        """Take a certificate that verifies or that was just formed."""
        statement = certificate.statement
        if statement.kind is VoteKind.FINALIZE and self._contradicts(statement):
            self._declare_fork(certificate)
            return
        if not self.state.certificates.add(certificate):
            return
        for index in certificate.signers:
            self._hear(index, statement.view)
        self._fresh.append(certificate)
        self._touched.add(statement.view)

    def _flush(self) -> None:
        """Rule 7: durable, then sent once."""
        if not self._fresh:
            return
        certificates = tuple(self._fresh)
        self._fresh = []
        self._persist(tuple(CertificateRecord(certificate) for certificate in certificates))
        if self.instance.own_index is not None:
            self._out.append(BroadcastCertificates(certificates))

    def _persist(self, records: tuple[Record, ...]) -> None:
        self._out.append(Persist(records))

    def _cast_finalize_votes(self) -> None:
        """Rule 5."""
        for view in sorted(self._touched):
            own = self.state.own.get(view)
            base = self.state.certificates.base(view)
            if own is None or own.notarize is None or base is None:
                continue
            if view > self.state.certificates.final_view and own.notarize.block == base.block:
                kind = VoteKind.FINALIZE
                statement = VoteStatement(kind, own.notarize.epoch, view, base.block, base.outputs)
                if own.finalize is None and not self._forbids_finalize(view):
                    self._cast(statement)
        self._touched.clear()

    def _forbids_finalize(self, view: View) -> bool:
        """Never finalize what this node gave up (Lemma 2.1)."""
        return self.state.own_votes(view).nullify is not None

    def _report_finality(self) -> None:
        state = self.state
        final = state.certificates.final
        if final is None or self.forked:
            return
        if final.view < state.tree.tip_view:
            return  # the shell applied more than this instance has seen: it synchronised
        path = state.tree.path(final.statement.block)
        if isinstance(path, Missing):
            self._want(path.digest)
        elif isinstance(path, Detached):
            self._declare_fork(final)
        elif path.blocks or (final.statement.is_seal and not self.sealed):
            state.tree.finalize(path)
            state.forget()
            self.sealed = final.statement.is_seal
            self._out.append(
                Finalized(tuple(block.digest for block in path.blocks), final, self.sealed)
            )
            self._attempt = 0
            if self.sealed:
                self._out.append(CancelTimer(STANDSTILL))
            else:
                self._set_standstill()

    def _advance(self) -> None:
        """Rule 1: the view after the highest certified one."""
        certificates = self.state.certificates
        highest = max(
            certificates.final_view,
            certificates.best_notarized,
            max(certificates.nullified, default=ROOT_VIEW),
        )
        if highest >= self.view:
            jumped = highest - self.view
            self._stop_timers()
            self.view = View(highest + 1)
            if jumped > 1:  # this node was away, not the others
                self.state.heard = {}
                self._heard_since = highest
                self._unheard = (0,) * len(self.instance.members)
            self._enter()

    def _enter(self) -> None:
        leader = self.leader(self.view)
        self._out.append(ViewEntered(self.view, leader))
        self.state.votes.prune(View(self.view - VOTE_WINDOW))
        if self._has_stopped:
            return
        if self.instance.own_index is None:
            return
        self._fetch_gap()
        if leader == self.instance.own_index:
            self._lead()
        elif self._is_silent(leader):
            self._cast_nullify(self.view)
        if self.view in self.state.rejected:
            self._cast_nullify(self.view)

    def _fetch_gap(self) -> None:
        gap = self.state.certificates.gap(self.view)
        if gap is not None and self._gap_view != self.view:
            self._gap_view = self.view
            self._out.append(FetchCertificates(*gap))

    def _may_propose(self) -> bool:
        if self._has_stopped or self.instance.own_index != self.leader(self.view):
            return False
        return (
            self.view not in self.state.proposals
            and self.state.own_votes(self.view).notarize is None
        )

    def _lead(self) -> None:
        """Rule 3. A proposal made before a restart is sent again, never another one."""
        proposal = self.state.proposals.get(self.view)
        if proposal is not None:
            self._broadcast_proposal(proposal)
        elif self._may_propose():
            base = self.state.certificates.best_base()
            if base.is_seal:
                return  # waits for its finality: `_update_timers` arms REQUIRE
            self._build(base, required=False)

    def _build(self, base: Base, required: bool) -> None:
        if not self.state.tree.knows(base.block):
            self._want(base.block)
        self._out.append(BuildBlock(self.view, base.view, base.block, required))

    def _propose_required(self) -> None:
        """The block below is still not final: extend it, or propose the seal again."""
        if not self._may_propose() or not self.state.certificates.has_pending:
            return
        base = self.state.certificates.best_base()
        if not base.is_seal:
            self._build(base, required=True)
            return
        seal = self.state.tree.get(base.block)
        if seal is None:
            self._want(base.block)
            return
        proposal = Proposal(self.instance.epoch, self.view, base.view, seal)
        if not self._unproven(proposal):
            self._propose(proposal)

    def _propose(self, proposal: Proposal) -> None:
        self.state.add_proposal(proposal)
        self._store(proposal)
        self._broadcast_proposal(proposal)

    def _store(self, proposal: Proposal) -> None:
        """What was proposed or voted for survives a crash, body included (rule 2)."""
        if proposal.view not in self.state.stored:
            self.state.stored.add(proposal.view)
            self._persist((ProposalRecord(proposal),))

    def _broadcast_proposal(self, proposal: Proposal) -> None:
        proof = self.state.certificates.proof(proposal.base_view, proposal.view)
        self._out.append(BroadcastProposal(proposal, proof[-CERTIFICATES_PER_MESSAGE:]))

    def _judge_proposals(self) -> bool:
        """Rule 4 for every unresolved proposal. Whether a vote may have changed anything."""
        if self.instance.own_index is None:
            return False
        for view in sorted(self.state.unresolved):
            proposal = self.state.proposals[view]
            verdict = self._judge(proposal)
            if verdict is Verdict.UNAVAILABLE:
                continue
            # Good for one vote: a seal may be proposed again after Bitcoin was reorganised.
            self.state.verdicts.pop(proposal.block.digest, None)
            self.state.unresolved.discard(view)
            if verdict is Verdict.INVALID:
                self.state.rejected.add(view)
                if view == self.view:
                    self._cast_nullify(view)
                continue
            self._store(proposal)
            self._cast(proposal.block.statement(VoteKind.NOTARIZE, proposal.epoch, view))
            self._touched.add(view)
        return bool(self._touched)

    def _judge(self, proposal: Proposal) -> Verdict:
        """Whether this node may notarize; asks for what is missing."""
        certificates = self.state.certificates
        if proposal.base_view < certificates.final_view:
            return Verdict.INVALID  # it skips a final view, which is never nullified
        base = certificates.base(proposal.base_view)
        if base is None or self._unproven(proposal):
            return Verdict.UNAVAILABLE
        if not self._stands_on(proposal, base):
            return Verdict.INVALID
        digest = proposal.block.digest
        verdict = self.state.verdicts.get(digest, Verdict.UNAVAILABLE)
        if not self.state.tree.knows(base.block):
            self._want(base.block)
        elif verdict is Verdict.UNAVAILABLE and digest not in self.state.judging:
            self.state.judging.add(digest)
            self._out.append(ValidateBlock(proposal))
        return verdict

    def _unproven(self, proposal: Proposal) -> list[View]:
        return self.state.certificates.unproven(proposal.base_view, proposal.view)

    @staticmethod
    def _stands_on(proposal: Proposal, base: Base) -> bool:
        """A new block on its parent, or a notarized seal again."""
        block = proposal.block
        if base.is_seal:
            return block.digest == base.block and block.outputs == base.outputs
        return block.view == proposal.view and block.parent == base.block

    def _cast(self, statement: VoteStatement) -> None:
        if self.instance.own_index is None:
            return
        self.state.own_votes(statement.view).record(statement)
        self._out.append(CastVote(statement))

    def _cast_nullify(self, view: View) -> None:
        own = self.state.own_votes(view)
        if own.finalize is None and own.nullify is None:
            self._cast(nullify(self.instance.epoch, view))

    def _delay(self, delay_ms: int) -> int:
        without = self.view - 1 - self.state.certificates.final_view
        return self.timers.stretched(delay_ms, without)

    def _must_progress(self) -> bool:
        """Deviation (b): whether anybody has a reason to want this view over."""
        own = self.state.own.get(self.view)
        return (
            self._has_work
            or self.state.certificates.has_pending
            or self.view in self.state.proposals
            or (own is not None and bool(own.cast()))
            or self.state.votes.has_honest(self.view)
        )

    def _update_timers(self) -> None:
        if self.instance.own_index is None:
            return
        must = self._must_progress()
        leader = TimerId(TimerKind.LEADER, self.view)
        advance = TimerId(TimerKind.ADVANCE, self.view)
        if must and not self._armed:
            self._armed = True
            if self.view not in self.state.proposals:
                self._awaiting = True
                self._out.append(SetTimer(leader, self._delay(self.timers.leader_ms)))
            self._out.append(SetTimer(advance, self._delay(self.timers.advance_ms)))
        elif self._armed and not must:
            self._armed = self._awaiting = False
            self._out.extend((CancelTimer(leader), CancelTimer(advance)))
        elif self._awaiting and self.view in self.state.proposals:
            self._awaiting = False
            self._out.append(CancelTimer(leader))
        require = TimerId(TimerKind.REQUIRE, self.view)
        if self._may_propose() and self.state.certificates.has_pending and not self._requiring:
            self._requiring = True
            self._out.append(SetTimer(require, self._delay(self.timers.require_ms)))
        elif self._requiring and not self.state.certificates.has_pending:
            self._requiring = False
            self._out.append(CancelTimer(require))

    def _stop_timers(self) -> None:
        """Timers of the current view."""
        if self._armed:
            self._armed = self._awaiting = False
            self._out.append(CancelTimer(TimerId(TimerKind.LEADER, self.view)))
            self._out.append(CancelTimer(TimerId(TimerKind.ADVANCE, self.view)))
        if self._requiring:
            self._requiring = False
            self._out.append(CancelTimer(TimerId(TimerKind.REQUIRE, self.view)))

    def _set_standstill(self) -> None:
        self._out.append(SetTimer(STANDSTILL, self.timers.standstill(self._attempt)))

    def _say_again(self) -> None:
        """Rule 8. Long lists go out in turns."""
        state = self.state
        above = list(state.certificates.between(ROOT_VIEW, self.view))
        if len(above) > CERTIFICATES_PER_MESSAGE:
            start = self._attempt * CERTIFICATES_PER_MESSAGE % len(above)
            above = (above + above)[start : start + CERTIFICATES_PER_MESSAGE]
        if state.certificates.final is not None:
            above.insert(0, state.certificates.final)
        if above and self.instance.own_index is not None:
            self._out.append(BroadcastCertificates(tuple(above)))
        if not self._has_stopped:
            proposal = state.proposals.get(self.view)
            if proposal is not None and self.leader(self.view) == self.instance.own_index:
                self._broadcast_proposal(proposal)
            for view in sorted(state.own)[-VOTES_PER_STANDSTILL:]:
                self._out.extend(CastVote(statement) for statement in state.own[view].cast())
            self._gap_view = View(0)
            if self.instance.own_index is not None:
                self._fetch_gap()
                self._retry_build()
        state.judging.clear()
        state.requested.clear()
        for digest in sorted(state.wanted):
            self._want(digest)
        self._attempt += 1
        self._set_standstill()

    def _retry_build(self) -> None:
        """A leader that lacked a block or a proof when its turn came asks again."""
        if self._may_propose() and not self._requiring:
            self._lead()

    def _want(self, digest: Hash32) -> None:
        self.state.wanted.add(digest)
        if digest not in self.state.requested:
            self.state.requested.add(digest)
            self._out.append(FetchBlock(digest))

    def _view_of(self, digest: Hash32) -> View | None:
        """The highest certified view of a block that is still of use as a base."""
        certificates = self.state.certificates
        final = certificates.base(certificates.final_view)
        views = [
            view
            for view, certificate in certificates.notarized.items()
            if certificate.statement.block == digest
        ]
        if final is not None and final.block == digest:
            views.append(final.view)
        return max(views, default=None)

    def _hear(self, index: int, view: View) -> None:
        if view > self.state.heard.get(index, ROOT_VIEW):
            self.state.heard[index] = view

    def _last_heard(self, index: int) -> int:
        return self.state.heard.get(index, self._heard_since - self._unheard[index])

    def unheard_views(self) -> tuple[int, ...]:
        """Views since each member was heard, by index: `Instance.unheard` of the next epoch.

        The shell carries them over by key; a member that is new there counts as just heard.
        """
        own = self.instance.own_index
        return tuple(
            0 if index == own else max(0, min(UNHEARD_CAP, self.view - 1 - self._last_heard(index)))
            for index in range(len(self.instance.members))
        )

    def _is_silent(self, leader: int) -> bool:
        """Deviation (d)."""
        oldest = self.view - SILENT_VIEWS
        if self._last_heard(leader) >= oldest:
            return False
        own = self.instance.own_index
        active = {index for index, view in self.state.heard.items() if view >= oldest} - {own}
        weight = self.instance.members.weight_of(active)
        weight += self.instance.members.weights[own] if own is not None else 0
        return self.instance.members.is_quorum(weight)

    def _contradicts(self, statement: VoteStatement) -> bool:
        """Whether a finality contradicts what is final here."""
        final = self.state.certificates.final
        if final is not None and statement.view == final.view:
            return statement.block != final.statement.block
        return self.state.tree.contradicts(statement.view, statement.block)

    def _declare_fork(self, certificate: Certificate | None) -> None:
        final = self.state.certificates.final
        if not self.forked and certificate is not None and final is not None:
            self.forked = True
            self._persist((CertificateRecord(certificate),))
            self._out.append(ForkDetected(final, certificate))

    def _answer(self, peer: Peer) -> None:
        """A peer that is behind gets the finality that brings it here."""
        final = self.state.certificates.final
        if final is not None and peer != self.instance.own_index:
            self._out.append(SendTo(peer, (final,)))
