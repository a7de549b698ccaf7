"""What a registration must satisfy, checked by every voter before it votes for the record.

PROTOCOL.md section 5. All of it is a function of the record, the draft and the set that was
current: no data that some nodes lack can decide eligibility (pitfall R1). That the stake
transaction is on Bitcoin, with exactly these outputs, is checked at the snapshot
(`stakes_on_bitcoin.py`).
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from p2p_seq.bitcoin.keys import is_xonly_key, verify
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.genesis import Draft, Genesis, SignedGenesis, founder_message
from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.stakes import (
    TEMPLATE_VERSION,
    Bundle,
    CommitteeEntry,
    StakeRecord,
    cosign_message,
    possession_message,
)
from p2p_seq.protocol.types import ZERO32, Epoch, Sats, XOnlyKey
from p2p_seq.staking.scripts import LOCK_TIME_HEIGHTS, StakeTerms
from p2p_seq.staking.transactions import PreSignatures, check_presignatures


class RegistrationReason(StrEnum):
    """Why a bundle or record is refused."""

    DRAFT = "bundle-draft"
    """It was made for another network."""
    TEMPLATE = "bundle-template"
    """A stake template that is not active here."""
    KEYS = "bundle-keys"
    """A key is no curve point, or one key has two roles."""
    POSSESSION = "bundle-possession"
    """A proof of possession does not verify."""
    RANGE = "bundle-range"
    """The epochs do not fit the template or are too early."""
    LISTS = "bundle-lists"
    """One-time keys or nonce pages are named, which this template does not have."""
    VALUE = "stake-value"
    """Below the minimum stake."""
    COMMITTEE = "stake-committee"
    """The committee is not more than two thirds of the set, or names strangers."""
    STATEMENT = "cosign-statement"
    """A member did not sign for its co-signing key."""
    GENESIS = "genesis-signature"
    """A founder's signature over the genesis does not verify."""


def check_bundle(bundle: Bundle, draft: Draft) -> None:
    """Raises RemoteError unless the bundle is well-formed for this network."""
    network = draft.params.network
    if bundle.draft_id != draft.draft_id:
        raise RemoteError(RegistrationReason.DRAFT, bundle.draft_id.hex())
    if bundle.template != TEMPLATE_VERSION:
        raise RemoteError(RegistrationReason.TEMPLATE, str(bundle.template))
    keys = [key for _, key in bundle.keys.by_role()]
    if len(set(keys)) != len(keys) or not all(is_xonly_key(key) for key in keys):
        raise RemoteError(RegistrationReason.KEYS, "five distinct curve points are wanted")
    owner = bundle.keys.owner
    for (role, key), signature in zip(bundle.keys.by_role(), bundle.possession, strict=True):
        message = possession_message(network, draft.draft_id, owner, role, key)
        if not verify(key, message, signature):
            raise RemoteError(RegistrationReason.POSSESSION, role.name.lower())
    check_range(bundle, draft)
    if (bundle.one_time_root, bundle.nonce_page_root) != (ZERO32, ZERO32):
        raise RemoteError(RegistrationReason.LISTS, "template 1 has no one-time keys or pages")


def check_range(bundle: Bundle, draft: Draft) -> None:
    """Raises RemoteError unless the range has a legal length and its refund height is one.

    Whatever is derived from a range (leaf records, scripts) relies on this: u64 epochs of a hostile
    record would overflow a height.
    """
    params = draft.params
    epochs = bundle.last_epoch - bundle.first_epoch + 1
    if not 1 <= epochs <= params.stake_epochs:
        raise RemoteError(RegistrationReason.RANGE, f"{epochs} epochs")
    if params.refund_height(draft.anchor_height, bundle.last_epoch) >= LOCK_TIME_HEIGHTS:
        raise RemoteError(RegistrationReason.RANGE, f"epoch {bundle.last_epoch} is too far")


def check_statements(bundle: Bundle, committee: Iterable[CommitteeEntry], draft: Draft) -> None:
    """Raises RemoteError unless each member signed for its co-signing key for this bundle."""
    network = draft.params.network
    bundle_hash = bundle.digest(network)
    for entry in committee:
        message = cosign_message(
            network, draft.draft_id, bundle_hash, entry.member, entry.cosign_key
        )
        if not verify(entry.member, message, entry.statement):
            raise RemoteError(RegistrationReason.STATEMENT, entry.member.hex())


def freeze_committee(
    members: SequencerSet, answered: Iterable[XOnlyKey], joiner: Iterable[XOnlyKey]
) -> tuple[XOnlyKey, ...] | None:
    """Who co-signs: those who answered, heaviest first, until more than two thirds of the weight.

    The joiner's own keys are excluded, also from the total. None when too few answered.
    """
    own = set(joiner)
    willing = set(answered) - own
    others = [member for member in members.members if member.key not in own]
    total = sum(member.weight for member in others)
    chosen: list[XOnlyKey] = []
    weight = 0
    for member in others:
        if member.key in willing:
            chosen.append(member.key)
            weight += member.weight
            if 3 * weight > 2 * total:
                return tuple(chosen)
    return None


def check_committee(
    members: SequencerSet, committee: Sequence[CommitteeEntry], joiner: Iterable[XOnlyKey]
) -> None:
    """Raises RemoteError unless the committee is a frozen committee of this set."""
    named = [entry.member for entry in committee]
    if freeze_committee(members, named, joiner) != tuple(named):
        raise RemoteError(RegistrationReason.COMMITTEE, f"{len(named)} members")
    if len({entry.cosign_key for entry in committee}) != len(committee):
        raise RemoteError(RegistrationReason.COMMITTEE, "a co-signing key stands twice")


def check_record(record: StakeRecord, draft: Draft) -> StakeTerms:
    """Raises RemoteError unless the record's own contents hold together; returns its terms.

    The committee's membership is checked apart, against the set (`check_committee`), because
    founders have one another.
    """
    params = draft.params
    check_bundle(record.bundle, draft)
    if record.value < params.stake_minimum:
        raise RemoteError(RegistrationReason.VALUE, f"{record.value} sat")
    check_statements(record.bundle, record.committee, draft)
    terms = StakeTerms.of_record(record, params, draft.anchor_height)
    check_presignatures(terms, record.txid, PreSignatures.of_record(record))
    return terms


def check_genesis(signed: SignedGenesis) -> None:
    """Raises RemoteError unless every founder's stake and signature holds.

    The committee of each founder is all the others (with one founder nobody co-signs, and the
    bond is not slashable against its owner: the status says so).
    """
    genesis = signed.genesis
    if len(signed.signatures) != len(genesis.founders) or not genesis.founders:
        raise RemoteError(RegistrationReason.GENESIS, "one signature a founder")
    message = founder_message(genesis)
    everyone = {founder.consensus_key for founder in genesis.founders}
    if len(everyone) != len(genesis.founders):
        raise RemoteError(RegistrationReason.KEYS, "a founder stands twice")
    for founder, signature in zip(genesis.founders, signed.signatures, strict=True):
        check_record(founder, genesis.draft)
        if {entry.member for entry in founder.committee} != everyone - {founder.consensus_key}:
            raise RemoteError(RegistrationReason.COMMITTEE, "not all the other founders")
        if not verify(founder.consensus_key, message, signature):
            raise RemoteError(RegistrationReason.GENESIS, founder.consensus_key.hex())


def renewal_range(draft: Draft, first: Epoch) -> tuple[Epoch, Epoch]:
    """The epochs of a new stake that starts with `first`."""
    return first, Epoch(first + draft.params.stake_epochs - 1)


def founder_set(genesis: Genesis) -> list[tuple[XOnlyKey, Sats]]:
    """Consensus keys and bonds of the founders, for weighing."""
    return [(founder.consensus_key, founder.value) for founder in genesis.founders]
