"""Cores connected by hand: directed scenarios choose every message."""

import hashlib

from p2p_seq.consensus.core import Simplex
from p2p_seq.consensus.schedule import LeaderSchedule
from p2p_seq.consensus.timers import TimerConfig
from p2p_seq.consensus.types import (
    BlockReference,
    CastVote,
    Effect,
    Instance,
    Persist,
    Proposal,
    Record,
    Start,
)
from p2p_seq.protocol.sets import Member, SequencerSet
from p2p_seq.protocol.types import ZERO32, Epoch, Hash32, Signature, View, XOnlyKey
from p2p_seq.protocol.votes import Certificate, Vote, VoteKind, VoteStatement, nullify

EPOCH = Epoch(3)
ROOT = Hash32(hashlib.sha256(b"root").digest())


def digest(name: str) -> Hash32:
    return Hash32(hashlib.sha256(name.encode()).digest())


def make_members(weights: tuple[int, ...] = (1, 1, 1, 1)) -> SequencerSet:
    return SequencerSet.ordered(
        Member(XOnlyKey(digest(f"key {index}")), weight) for index, weight in enumerate(weights)
    )


def schedule_where(members: SequencerSet, leaders: list[int]) -> LeaderSchedule:
    """A schedule whose first leaders are these; found by trying seeds."""
    for number in range(100_000):
        schedule = LeaderSchedule(members, digest(f"seed {number}"))
        if [schedule.leader(View(view + 1)) for view in range(len(leaders))] == leaders:
            return schedule
    raise AssertionError(f"no seed gives {leaders}")


class Harness:
    """One core, what it persisted and what it voted."""

    def __init__(
        self,
        members: SequencerSet,
        schedule: LeaderSchedule,
        own: int | None,
        kind: type[Simplex] = Simplex,
    ) -> None:
        self.instance = Instance(EPOCH, members, schedule, ROOT, own)
        self.kind = kind
        self.records: list[Record] = []
        self.voted: list[VoteStatement] = []
        self.core = kind(self.instance, TimerConfig())
        self.start_effects = self.feed(Start())

    def feed(self, event: object) -> list[Effect]:
        """One input; durable effects are remembered. Votes are not fed back."""
        effects = self.core.step(event)  # type: ignore[arg-type]
        for effect in effects:
            if isinstance(effect, Persist):
                self.records.extend(effect.records)
            if isinstance(effect, CastVote) and effect.statement not in self.voted:
                self.voted.append(effect.statement)
        return effects

    def restart(self) -> list[Effect]:
        """Lose everything that was not durable."""
        self.core = self.kind.restore(self.instance, TimerConfig(), self.records, self.voted)
        return self.feed(Start())


def vote(statement: VoteStatement, signer: int) -> Vote:
    return Vote(statement, signer, Signature(bytes([signer]) * 64))


def certificate(
    members: SequencerSet, statement: VoteStatement, signers: tuple[int, ...]
) -> Certificate:
    signatures = {signer: Signature(bytes([signer]) * 64) for signer in signers}
    formed = Certificate.form(statement, signatures, members)
    assert formed is not None
    return formed


def block(name: str, view: int, parent: Hash32 = ROOT, seal: bool = False) -> BlockReference:
    outputs = digest(f"outputs {name}") if seal else ZERO32
    return BlockReference(digest(name), View(view), parent, outputs)


def proposal(reference: BlockReference, base: int = 0, view: int | None = None) -> Proposal:
    return Proposal(EPOCH, View(view or reference.view), View(base), reference)


def notarize(reference: BlockReference, view: int | None = None) -> VoteStatement:
    return reference.statement(VoteKind.NOTARIZE, EPOCH, View(view or reference.view))


def finalize(reference: BlockReference, view: int | None = None) -> VoteStatement:
    return reference.statement(VoteKind.FINALIZE, EPOCH, View(view or reference.view))


def null(view: int) -> VoteStatement:
    return nullify(EPOCH, View(view))
