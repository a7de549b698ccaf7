"""What one instance of the consensus remembers: votes cast, proposals, blocks, certificates.

`InstanceState` has no rules of its own; `core.Simplex` applies them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from p2p_seq.consensus.certificates import CertificateStore, VoteBook
from p2p_seq.consensus.chain import BlockTree
from p2p_seq.consensus.types import (
    ROOT_VIEW,
    CertificateRecord,
    Instance,
    Proposal,
    Record,
    Verdict,
)
from p2p_seq.protocol.errors import LocalError
from p2p_seq.protocol.types import Hash32, View
from p2p_seq.protocol.votes import Certificate, VoteKind, VoteStatement

VOTE_WINDOW: Final = 64
"""Votes are held for so many views before and after the current one."""

PROPOSAL_WINDOW: Final = 16
"""Proposals are held for so many views after the current one."""

CERTIFICATE_WINDOW: Final = 1_024
"""Certificates of views further ahead wait until a finality makes them near."""

CERTIFICATES_PER_MESSAGE: Final = 128
"""Certificates in one message at most: about 32 kB with 4 members, 550 kB with 100."""

VOTES_PER_STANDSTILL: Final = 64
"""Views whose own votes are said again in one standstill."""

SILENT_VIEWS: Final = 8
"""A leader not heard for more than so many views is skipped at once while a quorum is heard."""

UNHEARD_CAP: Final = 1_000
"""Views of silence that are counted across epochs."""


@dataclass(slots=True)
class OwnVotes:
    """What this node signed in one view: the whole safety state of it (consensus.md section 0)."""

    notarize: VoteStatement | None = None
    nullify: VoteStatement | None = None
    finalize: VoteStatement | None = None

    def record(self, statement: VoteStatement) -> None:
        """Remember a vote. Raises LocalError if an honest member may not cast it."""
        if self.forbids(statement):
            raise LocalError(f"own votes {self} forbid {statement}")
        if statement.kind is VoteKind.NOTARIZE:
            self.notarize = statement
        elif statement.kind is VoteKind.NULLIFY:
            self.nullify = statement
        else:
            self.finalize = statement

    def forbids(self, statement: VoteStatement) -> bool:
        """Whether the vote would contradict an earlier one: second N, second F, Z and F."""
        if statement.kind is VoteKind.NOTARIZE:
            return self.notarize not in (None, statement)
        if statement.kind is VoteKind.NULLIFY:
            return self.finalize is not None
        return self.nullify is not None or self.finalize not in (None, statement)

    def cast(self) -> list[VoteStatement]:
        """The votes of the view, in the order N, Z, F."""
        votes = (self.notarize, self.nullify, self.finalize)
        return [statement for statement in votes if statement is not None]


@dataclass(slots=True)
class InstanceState:
    """Memory of one instance. `restore_state` makes it from what was durable."""

    certificates: CertificateStore
    votes: VoteBook
    tree: BlockTree
    own: dict[View, OwnVotes] = field(default_factory=dict)
    proposals: dict[View, Proposal] = field(default_factory=dict)
    """The first proposal of each view above the finality."""
    unresolved: set[View] = field(default_factory=set)
    """Views whose proposal is neither voted for nor rejected."""
    rejected: set[View] = field(default_factory=set)
    """Views whose proposal is invalid."""
    stored: set[View] = field(default_factory=set)
    """Views whose proposal is durable."""
    verdicts: dict[Hash32, Verdict] = field(default_factory=dict)
    """Answers about blocks above the finality, until a vote rests on them; UNAVAILABLE is none."""
    judging: set[Hash32] = field(default_factory=set)
    """Blocks that the shell was asked about and has not answered."""
    wanted: set[Hash32] = field(default_factory=set)
    """Missing blocks that are certified or stand on a path to one."""
    requested: set[Hash32] = field(default_factory=set)
    """Wanted blocks for which `FetchBlock` was emitted since the last standstill."""
    heard: dict[int, View] = field(default_factory=dict)
    """Highest view in which each member was heard."""

    def own_votes(self, view: View) -> OwnVotes:
        return self.own.setdefault(view, OwnVotes())

    def add_proposal(self, proposal: Proposal) -> None:
        view = proposal.view
        self.proposals[view] = proposal
        self.tree.add(proposal.block)
        self.wanted.discard(proposal.block.digest)
        own = self.own.get(view)
        if own is None or own.notarize is None:
            self.unresolved.add(view)

    def forget(self) -> None:
        """Drop what lies at or below the finality."""
        final = self.certificates.final_view
        self.own = {view: own for view, own in self.own.items() if view > final}
        for view in [view for view in self.proposals if view <= final]:
            del self.proposals[view]
        self.unresolved = {view for view in self.unresolved if view > final}
        self.rejected = {view for view in self.rejected if view > final}
        self.stored = {view for view in self.stored if view > final}
        live = {proposal.block.digest for proposal in self.proposals.values()}
        self.verdicts = {key: verdict for key, verdict in self.verdicts.items() if key in live}
        self.judging &= live
        bases = {item.statement.block for item in self.certificates.notarized.values()}
        self.wanted &= bases
        self.requested &= bases


def restore_state(
    instance: Instance,
    records: Iterable[Record] = (),
    own_votes: Iterable[VoteStatement] = (),
    tip: Hash32 | None = None,
    tip_view: View = ROOT_VIEW,
) -> InstanceState:
    """The memory of an instance after a restart.

    `records`: everything that `Persist` wrote for this epoch, in any order. `own_votes`: what the
    guard holds for this epoch. `tip`, `tip_view`: the last block that the shell applied (header
    view), if any.
    """
    state = InstanceState(
        CertificateStore(instance.root),
        VoteBook(instance.members),
        BlockTree(instance.root),
    )
    if tip is not None:
        state.tree = BlockTree(tip, tip_view)
    certificates: list[Certificate] = []
    for record in records:
        if isinstance(record, CertificateRecord):
            certificates.append(record.certificate)
        else:
            state.add_proposal(record.proposal)
            state.stored.add(record.proposal.view)
    for certificate in certificates:
        state.certificates.add(certificate)
    for statement in own_votes:
        if statement.epoch == instance.epoch:
            state.own_votes(statement.view).record(statement)
    voted = {view for view, own in state.own.items() if own.notarize is not None}
    state.unresolved -= voted
    state.forget()
    return state
