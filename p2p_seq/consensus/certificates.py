"""What a node knows that a quorum said, and the votes from which it makes certificates.

`CertificateStore` holds one notarization and one nullification per view above the last finality,
and the highest finality. `VoteBook` counts votes, forms certificates and finds members that
contradict themselves. Both are bounded: by the window of views, by three kinds of votes per member
and view, and by the members.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from p2p_seq.consensus.types import ROOT_VIEW
from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.types import ZERO32, Hash32, Signature, View
from p2p_seq.protocol.votes import (
    Certificate,
    Conflict,
    Vote,
    VoteKind,
    VoteStatement,
    conflicting,
)

STATEMENTS_PER_KIND = 2
"""Statements of one kind and view that are counted for one member: the second is its own conviction
already, a third tells nothing new."""


@dataclass(frozen=True, slots=True)
class Base:
    """A notarized view on which a proposal may stand."""

    view: View
    block: Hash32
    outputs: Hash32

    @property
    def is_seal(self) -> bool:
        return self.outputs != ZERO32


class CertificateStore:
    """The certificates of one instance above its last finality, and that finality."""

    def __init__(self, root: Hash32) -> None:
        self._root = Base(ROOT_VIEW, root, ZERO32)
        self.notarized: dict[View, Certificate] = {}
        self.nullified: dict[View, Certificate] = {}
        self.final: Certificate | None = None
        self.best_notarized: View = ROOT_VIEW
        """Highest notarized view; also when it is final."""

    @property
    def final_view(self) -> View:
        return self.final.view if self.final else ROOT_VIEW

    @property
    def has_pending(self) -> bool:
        """Whether a notarized block waits for its finality: a reason to go on even without work."""
        return self.best_notarized > self.final_view

    def wants(self, statement: VoteStatement) -> bool:
        """Whether a certificate of this statement would be news."""
        if statement.view <= self.final_view:
            return False
        if statement.kind is VoteKind.NOTARIZE:
            return statement.view not in self.notarized
        return statement.kind is VoteKind.FINALIZE or statement.view not in self.nullified

    def add(self, certificate: Certificate) -> bool:
        """Whether it was news. A finality drops everything at and below its view."""
        statement = certificate.statement
        if not self.wants(statement):
            return False
        if statement.kind is VoteKind.NULLIFY:
            self.nullified[statement.view] = certificate
            return True
        self.best_notarized = max(self.best_notarized, statement.view)
        if statement.kind is VoteKind.NOTARIZE:
            self.notarized[statement.view] = certificate
            return True
        self.final = certificate
        for table in (self.notarized, self.nullified):
            for view in [view for view in table if view <= statement.view]:
                del table[view]
        return True

    def base(self, view: View) -> Base | None:
        """The certified block of a view, the root for view 0, None when there is no proof of it."""
        if view == self.final_view:
            certificate = self.final
            if certificate is None:
                return self._root
        else:
            certificate = self.notarized.get(view)
        if certificate is None:
            return None
        return Base(view, certificate.statement.block, certificate.statement.outputs)

    def best_base(self) -> Base:
        """Where the next proposal stands: on the highest notarized view."""
        base = self.base(self.best_notarized)
        assert base is not None
        return base

    def unproven(self, base: View, view: View) -> list[View]:
        """The views strictly between `base` and `view` that are not proven nullified.

        Simplex rule 4.3: a proposal skips only nullified views.
        """
        return [View(skipped) for skipped in range(base + 1, view) if skipped not in self.nullified]

    def proof(self, base: View, view: View) -> tuple[Certificate, ...]:
        """What a proposal carries: the certificate of its base and of every view it skips."""
        proof: list[Certificate] = []
        if base == self.final_view:
            if self.final is not None:
                proof.append(self.final)
        elif base in self.notarized:
            proof.append(self.notarized[base])
        skipped = (self.nullified.get(View(number)) for number in range(base + 1, view))
        proof.extend(certificate for certificate in skipped if certificate is not None)
        return tuple(proof)

    def gap(self, view: View) -> tuple[View, View] | None:
        """The range of views below `view` of which nothing is known, or None."""
        unknown = [
            number
            for number in range(self.final_view + 1, view)
            if number not in self.notarized and number not in self.nullified
        ]
        return (View(unknown[0]), View(unknown[-1])) if unknown else None

    def between(self, first: View, last: View) -> Iterator[Certificate]:
        """Certificates above the finality with views in `first..last`, ascending."""
        for number in range(max(first, self.final_view + 1), last + 1):
            for table in (self.notarized, self.nullified):
                certificate = table.get(View(number))
                if certificate is not None:
                    yield certificate


@dataclass(slots=True)
class _ViewVotes:
    """The votes of one view."""

    tallies: dict[VoteStatement, dict[int, Signature]] = field(default_factory=dict)
    by_member: dict[int, list[Vote]] = field(default_factory=dict)
    weight: int = 0
    """Weight of the members that voted anything in this view."""
    convicted: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Counted:
    """What adding a vote did."""

    is_new: bool
    certificate: Certificate | None = None
    """Made by this vote: the first time its statement has a quorum."""
    conflict: Conflict | None = None


_SEEN = Counted(False)


class VoteBook:
    """Votes by view, statement and member."""

    def __init__(self, members: SequencerSet) -> None:
        self._members = members
        self._views: dict[View, _ViewVotes] = {}

    def has(self, statement: VoteStatement, index: int) -> bool:
        """Whether this very vote was counted."""
        votes = self._views.get(statement.view)
        return votes is not None and index in votes.tallies.get(statement, ())

    def add(self, vote: Vote) -> Counted:
        """Count an authentic vote. The caller bounds the view."""
        statement, index, signature = vote
        votes = self._views.setdefault(statement.view, _ViewVotes())
        tally = votes.tallies.get(statement)
        if tally is not None and index in tally:
            return _SEEN
        earlier = votes.by_member.setdefault(index, [])
        kind_count = sum(other.statement.kind is statement.kind for other in earlier)
        if kind_count >= STATEMENTS_PER_KIND:
            return _SEEN
        conflict = None
        if index not in votes.convicted:
            for other in earlier:
                if conflicting(other.statement, statement):
                    conflict = Conflict(other, vote)
                    votes.convicted.add(index)
                    break
        if not earlier:
            votes.weight += self._members.weights[index]
        earlier.append(vote)
        if tally is None:
            tally = votes.tallies[statement] = {}
        before = self._members.weight_of(tally)
        tally[index] = signature
        certificate = None
        if not self._members.is_quorum(before):
            certificate = Certificate.form(statement, tally, self._members)
        return Counted(True, certificate, conflict)

    def has_honest(self, view: View) -> bool:
        """Whether an honest member certainly voted in this view (f < 1/3)."""
        votes = self._views.get(view)
        return votes is not None and self._members.has_honest(votes.weight)

    def prune(self, view: View) -> None:
        """Forget the votes below a view."""
        for old in [number for number in self._views if number < view]:
            del self._views[old]

    def __len__(self) -> int:
        """Number of votes held, for bounds in tests."""
        return sum(len(votes) for view in self._views.values() for votes in view.by_member.values())
