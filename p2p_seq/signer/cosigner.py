"""The member's side of a registration: one-use co-signing keys (PROTOCOL.md section 5, steps 3 and
6).

Safety of every bond rests on one honest member whose key is gone. A key that was on a disk is hard
to delete: the store copies pages on writing, file systems keep journals, flash keeps blocks, and
somebody may have taken a backup. So a co-signing key is never written at all. It lives in memory
from the offer to the signature, usually well below a second; a member that stops in between has
lost it, and the joiner begins again with fresh keys, which it has to be able to do anyway.

Order of signing: sign in memory, write what was signed durably, forget the key, hand out. Whoever
asks again with the same request gets the stored signatures; every other request for the key is
refused, also after a restart.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.stakes import Bundle
from p2p_seq.protocol.types import Epoch, Hash32, XOnlyKey
from p2p_seq.signer import registration
from p2p_seq.signer.signer import OperatorSigner
from p2p_seq.staking.ceremony import Admission, OfferBudget
from p2p_seq.staking.messages import CosignAnswer, CosignRequest, Offer
from p2p_seq.staking.registration import (
    RegistrationReason,
    check_bundle,
    check_statements,
)
from p2p_seq.staking.scripts import StakeTerms
from p2p_seq.storage.cosign_store import Cosigned, CosignStore

PENDING_MAX: Final = 256
"""Keys that wait for their request; an epoch's allowances are smaller (`staking.ceremony`)."""


class CosignReason(StrEnum):
    """Why a member does not offer or sign."""

    NOT_MEMBER = "not-a-member"
    """This node is not in the running epoch's set."""
    ALLOWANCE = "allowance-used-up"
    """As many keys as this member offers in an epoch."""
    KEY_GONE = "cosign-key-gone"
    """No such key is held here: never offered, signed already, or lost in a restart."""
    OWN = "own-stake"
    """An operator does not co-sign its own stake."""


@dataclass(slots=True)
class _Pending:
    """A key that was offered and has not signed."""

    secret: bytes
    bundle: Hash32
    member: XOnlyKey
    epoch: Epoch


class Cosigner:
    """Offers keys and signs with them, each once."""

    def __init__(
        self,
        network: str,
        signer: OperatorSigner,
        store: CosignStore,
        crash_point: Callable[[str], None],
    ) -> None:
        self._network = network
        self._signer = signer
        self._store = store
        self._crash_point = crash_point
        self._pending: dict[XOnlyKey, _Pending] = {}
        self._budget = OfferBudget()

    def __repr__(self) -> str:
        return f"Cosigner({len(self._pending)} keys)"

    def offer(self, bundle: Bundle, admission: Admission) -> Offer:
        """A fresh key for a bundle that may still be registered. Raises RemoteError."""
        member = self._member(admission)
        owner = bundle.keys.owner
        if owner == self._signer.operator:
            raise RemoteError(CosignReason.OWN)
        admission.check_bundle(bundle)
        check_bundle(bundle, admission.draft)
        is_registered = bool(admission.keys_of(owner))
        if not self._budget.take(admission.epoch, owner, is_registered=is_registered):
            raise RemoteError(CosignReason.ALLOWANCE)
        self._forget_stale(admission.epoch)
        secret = secrets.token_bytes(32)
        digest = bundle.digest(self._network)
        made = registration.offer(
            self._network,
            admission.draft.draft_id,
            digest,
            self._signer.secrets_of(member).consensus,
            secret,
        )
        self._pending[made.cosign_key] = _Pending(secret, digest, member, admission.epoch)
        return Offer(made.member, made.cosign_key, made.statement)

    def cosign(self, request: CosignRequest, admission: Admission) -> CosignAnswer:
        """Slash and refund signatures over the bond of a stake. Raises RemoteError.

        Everything that voters will check of the record is checked here first, except the
        signatures that are being collected.
        """
        digest = request.digest(self._network)
        for entry in request.committee:
            signed = self._store.read(entry.cosign_key)
            if signed is not None and signed.request == digest:
                return CosignAnswer(signed.slash, signed.refund)
        key = self._key_for(request)
        terms = self._terms(request, admission)
        pending = self._pending[key]
        slash, refund = registration.presign(terms, request.txid, pending.secret)
        self._crash_point("cosign-before-write")
        self._store.write(key, Cosigned(admission.epoch, digest, slash, refund))
        self._crash_point("cosign-after-write")
        del self._pending[key]
        return CosignAnswer(slash, refund)

    def _member(self, admission: Admission) -> XOnlyKey:
        """The own consensus key in the running set."""
        own = self._signer.consensus_keys()
        for member in admission.sets[0].members:
            if member.key in own:
                return member.key
        raise RemoteError(CosignReason.NOT_MEMBER)

    def _key_for(self, request: CosignRequest) -> XOnlyKey:
        """The own key in the committee, if it was offered for this bundle."""
        digest = request.bundle.digest(self._network)
        for entry in request.committee:
            pending = self._pending.get(entry.cosign_key)
            if pending and (pending.bundle, pending.member) == (digest, entry.member):
                return entry.cosign_key
        raise RemoteError(CosignReason.KEY_GONE)

    def _terms(self, request: CosignRequest, admission: Admission) -> StakeTerms:
        """The terms that the signatures are for, checked against template and set."""
        draft = admission.draft
        record = request.unsigned_record()
        if record.value < draft.params.stake_minimum:
            raise RemoteError(RegistrationReason.VALUE, f"{record.value} sat")
        admission.check_record(record)
        check_statements(record.bundle, record.committee, draft)
        return StakeTerms.of_record(record, draft.params, draft.anchor_height)

    def _forget_stale(self, epoch: Epoch) -> None:
        """Drop keys whose ceremony is over for everybody, and the oldest when there are many."""
        for key, pending in list(self._pending.items()):
            if pending.epoch + 1 < epoch or len(self._pending) >= PENDING_MAX:
                del self._pending[key]
