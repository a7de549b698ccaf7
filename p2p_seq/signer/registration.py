"""Signatures of a registration: possession proofs, co-signing offers and pre-signatures.

A co-signing key is drawn fresh, kept only until it has signed one slash and one refund, and then
deleted: one honest member who deleted its key is what makes a bond safe from collusion with its
owner (PROTOCOL.md section 5, step 6). The order is: write "signed", make it durable, delete the
key, and only then hand the signatures out. A member that crashes in between has lost its key and
will not sign again; the joiner starts over with fresh keys.
"""

from dataclasses import dataclass

from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.protocol.genesis import Draft
from p2p_seq.protocol.stakes import (
    TEMPLATE_VERSION,
    Bundle,
    StakeRecord,
    cosign_message,
    possession_message,
)
from p2p_seq.protocol.types import ZERO32, Epoch, Hash32, SatsPerKvb, Signature, XOnlyKey
from p2p_seq.signer import schnorr
from p2p_seq.signer.keystore import StakeSecrets
from p2p_seq.staking.scripts import StakeTerms
from p2p_seq.staking.transactions import (
    PreSignatures,
    build_refund,
    check_refund,
    refund_message,
    slash_message,
)


def make_bundle(
    network: str, draft_id: Hash32, stake: StakeSecrets, first: Epoch, last: Epoch
) -> Bundle:
    """The bundle of a new stake, with a proof of possession by each key."""
    keys = stake.public()
    possession = tuple(
        schnorr.sign(
            secret,
            possession_message(network, draft_id, keys.owner, role, schnorr.public_key(secret)),
        )
        for role, secret in stake.by_role()
    )
    return Bundle(draft_id, TEMPLATE_VERSION, keys, first, last, ZERO32, ZERO32, possession)


@dataclass(frozen=True, slots=True)
class CosignOffer:
    """A member's fresh key for one bundle."""

    member: XOnlyKey
    cosign_key: XOnlyKey
    statement: Signature


def offer(
    network: str, draft_id: Hash32, bundle: Hash32, consensus_secret: bytes, cosign_secret: bytes
) -> CosignOffer:
    """The offer of a member whose fresh secret is `cosign_secret`."""
    member = schnorr.public_key(consensus_secret)
    cosign_key = schnorr.public_key(cosign_secret)
    message = cosign_message(network, draft_id, bundle, member, cosign_key)
    return CosignOffer(member, cosign_key, schnorr.sign(consensus_secret, message))


def presign(terms: StakeTerms, txid: Hash32, cosign_secret: bytes) -> tuple[Signature, Signature]:
    """A committee member's slash and refund signatures over S."""
    return (
        schnorr.sign(cosign_secret, slash_message(terms, txid)),
        schnorr.sign(cosign_secret, refund_message(terms, txid)),
    )


def presign_owner(terms: StakeTerms, txid: Hash32, owner_secret: bytes) -> Signature:
    """The owner's slash signature over S."""
    return schnorr.sign(owner_secret, slash_message(terms, txid))


def sign_refund(
    record: StakeRecord,
    draft: Draft,
    owner_secret: bytes,
    destination: bytes,
    feerate: SatsPerKvb,
) -> Transaction:
    """The complete refund of a bond to one output script, accepted by Bitcoin's engine.

    Valid in a block above height T. Raises RemoteError when the pre-signatures do not hold or the
    fee eats the bond.
    """
    terms = StakeTerms.of_record(record, draft.params, draft.anchor_height)
    refund = build_refund(terms, record.txid, PreSignatures.of_record(record), destination, feerate)
    for_bond, for_connector = refund.messages()
    return check_refund(
        refund,
        schnorr.sign(owner_secret, for_bond),
        schnorr.sign(owner_secret, for_connector),
    )
