"""The rules of joining and renewal: who may register when, who co-signs, and what is kept.

Pure: `service.py` and the signer's `cosigner.py` ask here and act. The same `Admission` judges a
bundle before a member offers a key, a request before it signs, a finished record in a leader's list
and a record in a block, so a joiner cannot be refused at the end for something that the members
could have seen at the beginning (PROTOCOL.md section 5; pitfalls R1 to R3 and R13).

Deviations from the letter of PROTOCOL.md section 5: the committee may be frozen from the set of the
current epoch *or of the one before*. A ceremony that began just before the set changed would
otherwise leave a stake on Bitcoin that no block could ever take. Members of the epoch before are
locked in for W like the current ones, so their word costs them the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.genesis import Draft
from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.stakes import Bundle, CommitteeEntry, StakeRecord
from p2p_seq.protocol.types import Epoch, Hash32, Height, XOnlyKey
from p2p_seq.staking.messages import Offer
from p2p_seq.staking.registration import (
    RegistrationReason,
    check_committee,
    check_range,
    freeze_committee,
)
from p2p_seq.staking.registry import Registry

OVERLAP_EPOCHS: Final = 2
"""The new range begins so long before the old one ends: the vault's hand-over needs a settlement,
and the old stakes must cover it (PROTOCOL.md section 6)."""

RECORD_LEAD_EPOCHS: Final = 1
"""A record must be in a block of an epoch at least so far, and one more, before its first epoch:
the seal between them elects with it."""

CONFIRM_BLOCKS: Final = 3
"""Bitcoin blocks that a renewer allows its stake to wait for confirmation."""

OPERATOR_OFFERS_MAX: Final = 16
"""Keys that a member offers one registered operator in an epoch."""

STRANGER_OFFERS_MAX: Final = 16
"""Keys that a member offers all others together in an epoch (J, pitfall R2)."""

CANDIDATES_MAX: Final = 128
"""Finished records that a leader keeps."""

OPERATOR_CANDIDATES_MAX: Final = 2
"""Of these, records of one operator: the newest and the one before."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What the chain says about a registration: the state after some block."""

    draft: Draft
    registry: Registry
    epoch: Epoch
    """Epoch of the block that would take the record."""
    sets: tuple[SequencerSet, ...]
    """Sets whose members may co-sign: this epoch's, then that of the epoch before."""

    def keys_of(self, owner: XOnlyKey) -> frozenset[XOnlyKey]:
        """Consensus keys that an operator has registered."""
        records = self.registry.records.values()
        return frozenset(r.consensus_key for r in records if r.bundle.keys.owner == owner)

    def check_bundle(self, bundle: Bundle) -> None:
        """The part that depends on the chain. Raises RemoteError."""
        check_range(bundle, self.draft)
        if bundle.first_epoch <= self.epoch + RECORD_LEAD_EPOCHS:
            raise RemoteError(RegistrationReason.RANGE, "it begins too soon")
        own = bundle.keys
        one_use = {own.consensus, own.vault}
        everything = {key for _, key in own.by_role()}
        for record in self.registry.records.values():
            known = record.bundle.keys
            theirs = {key for _, key in known.by_role()}
            # Two members with one vault key would make a vault that nobody can describe, and two
            # with one peer key could not be told apart on the wire (pitfall U7).
            clashing = one_use if known.owner == own.owner else everything
            if clashing & theirs:
                raise RemoteError(RegistrationReason.KEYS, "a key is registered already")

    def check_committee(self, bundle: Bundle, committee: Sequence[CommitteeEntry]) -> None:
        """Raises RemoteError unless one of the sets could have frozen this committee."""
        own = self.keys_of(bundle.keys.owner)
        refusal: RemoteError | None = None
        for members in self.sets:
            try:
                check_committee(members, committee, own)
            except RemoteError as error:
                refusal = refusal or error
            else:
                return
        assert refusal is not None, "there is always a current set"
        raise refusal

    def check_record(self, record: StakeRecord) -> None:
        """Both of the above. Raises RemoteError; signatures are `registration.check_record`'s."""
        self.check_bundle(record.bundle)
        self.check_committee(record.bundle, record.committee)


@dataclass(frozen=True, slots=True)
class RenewalPolicy:
    """What an operator wants."""

    is_automatic: bool
    renew_epochs: int
    """A renewal begins when the newest own range ends within so many epochs."""


def first_reachable_epoch(draft: Draft, epoch: Epoch, tip: Height) -> Epoch:
    """The first epoch that a stake broadcast now can serve.

    Its record enters in this epoch or the next, and its confirmation, `CONFIRM_BLOCKS` above the
    tip at the latest, is at or below the snapshot `a_e - 2D`.
    """
    params, anchor = draft.params, draft.anchor_height
    deepest = tip + CONFIRM_BLOCKS + 2 * params.burial_depth
    blocks = max(0, deepest - anchor)
    by_bitcoin = -(-blocks // params.blocks_per_epoch)
    return Epoch(max(epoch + 2 + RECORD_LEAD_EPOCHS, by_bitcoin))


def renewal_start(draft: Draft, epoch: Epoch, tip: Height, newest_end: Epoch | None) -> Epoch:
    """First epoch of the next stake; `newest_end`: last epoch of the newest own range."""
    reachable = first_reachable_epoch(draft, epoch, tip)
    if newest_end is None:
        return reachable
    return Epoch(max(reachable, newest_end + 1 - OVERLAP_EPOCHS))


def is_renewal_due(policy: RenewalPolicy, epoch: Epoch, newest_end: Epoch) -> bool:
    """Whether the next stake should be made now."""
    return policy.is_automatic and newest_end - epoch <= policy.renew_epochs


def choose_committee(
    members: SequencerSet, offers: Mapping[XOnlyKey, Offer], own: Iterable[XOnlyKey]
) -> tuple[Offer, ...] | None:
    """The frozen committee of those who answered, None when they are too few."""
    frozen = freeze_committee(members, offers, own)
    return None if frozen is None else tuple(offers[key] for key in frozen)


@dataclass(slots=True)
class OfferBudget:
    """How many keys a member offers in an epoch: J, with a share of its own for each operator.

    Strangers cost nothing while there is no token bond, so they share one allowance and cannot use
    up that of the operators who have to renew.
    """

    epoch: Epoch | None = None
    by_owner: dict[XOnlyKey, int] = field(default_factory=dict)
    strangers: int = 0

    def take(self, epoch: Epoch, owner: XOnlyKey, *, is_registered: bool) -> bool:
        """Count one offer; False when the allowance is used up."""
        if epoch != self.epoch:
            self.epoch, self.strangers = epoch, 0
            self.by_owner.clear()
        if is_registered:
            used = self.by_owner.get(owner, 0)
            if used >= OPERATOR_OFFERS_MAX:
                return False
            self.by_owner[owner] = used + 1
            return True
        if self.strangers >= STRANGER_OFFERS_MAX:
            return False
        self.strangers += 1
        return True


@dataclass(slots=True)
class CandidateList:
    """Finished records that wait for a block. Bounded, also for each operator."""

    network: str
    records: dict[Hash32, StakeRecord] = field(default_factory=dict)
    """By record digest, oldest first."""
    confirmed: set[Hash32] = field(default_factory=set)
    """Those whose stake the leader's Bitcoin has seen."""

    def __contains__(self, record: StakeRecord) -> bool:
        return record.digest(self.network) in self.records

    def __len__(self) -> int:
        return len(self.records)

    def add(self, record: StakeRecord) -> bool:
        """Keep a record whose every signature was checked; False when there is no room.

        A third record of one operator replaces its oldest: only the owner's key can make one.
        """
        owner = record.bundle.keys.owner
        same = [d for d, known in self.records.items() if known.bundle.keys.owner == owner]
        if len(same) >= OPERATOR_CANDIDATES_MAX:
            self._drop(same[0])
        elif len(self.records) >= CANDIDATES_MAX:
            return False
        self.records[record.digest(self.network)] = record
        return True

    def _drop(self, digest: Hash32) -> None:
        self.records.pop(digest, None)
        self.confirmed.discard(digest)

    def prune(self, admission: Admission) -> None:
        """Forget what no later block can take: recorded, too late, or of an old set."""
        for digest, record in list(self.records.items()):
            try:
                admission.check_record(record)
            except RemoteError:
                self._drop(digest)

    def unconfirmed(self) -> list[StakeRecord]:
        return [r for digest, r in self.records.items() if digest not in self.confirmed]

    def confirm(self, record: StakeRecord) -> None:
        """Its stake transaction is in a block."""
        self.confirmed.add(record.digest(self.network))

    def next(self) -> StakeRecord | None:
        """The oldest record that a block may take."""
        for digest, record in self.records.items():
            if digest in self.confirmed:
                return record
        return None
