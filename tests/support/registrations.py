"""Founders, sets and registrations with real keys and signatures, without Bitcoin or a network."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from p2p_seq.protocol.genesis import Draft
from p2p_seq.protocol.params import Params, load_params
from p2p_seq.protocol.sets import SequencerSet, weigh
from p2p_seq.protocol.stakes import Bundle, StakeRecord
from p2p_seq.protocol.types import Epoch, Hash32, Height, Sats
from p2p_seq.signer import registration
from p2p_seq.signer.keystore import Keystore, StakeSecrets
from p2p_seq.staking.ceremony import Admission
from p2p_seq.staking.messages import CosignRequest, Offer
from p2p_seq.staking.registration import freeze_committee
from p2p_seq.staking.registry import Registry
from p2p_seq.staking.scripts import StakeTerms
from tests.support.keys import digest, secret

ROOT: Final = Path(__file__).resolve().parents[2]
PARAMS: Final[Params] = load_params(ROOT / "configs" / "networks" / "regtest.toml")
ANCHOR: Final = Height(200)
DRAFT: Final = Draft(PARAMS, ANCHOR, digest("network nonce"))
BOND: Final = Sats(1_000_000_000)


def keystore(name: str) -> Keystore:
    return Keystore(hashlib.sha256(f"seed of {name}".encode()).digest(), "regtest")


def bundle_of(stake: StakeSecrets, first: int, last: int | None = None) -> Bundle:
    end = first + PARAMS.stake_epochs - 1 if last is None else last
    return registration.make_bundle(PARAMS.network, DRAFT.draft_id, stake, Epoch(first), Epoch(end))


def offer_by(member: StakeSecrets, bundle: Bundle, name: str) -> tuple[Offer, bytes]:
    """A member's offer and the secret of its fresh key."""
    fresh = secret(f"cosign {name}")
    made = registration.offer(
        PARAMS.network, DRAFT.draft_id, bundle.digest(PARAMS.network), member.consensus, fresh
    )
    return Offer(made.member, made.cosign_key, made.statement), fresh


def signed_record(
    stake: StakeSecrets,
    bundle: Bundle,
    committee: Sequence[StakeSecrets],
    txid: Hash32,
    value: Sats = BOND,
) -> StakeRecord:
    """A record whose every signature holds, co-signed by `committee` in this order."""
    pairs = [
        offer_by(member, bundle, f"{txid.hex()} {index}") for index, member in enumerate(committee)
    ]
    request = CosignRequest(bundle, txid, value, tuple(offer for offer, _ in pairs))
    unsigned = request.unsigned_record()
    terms = StakeTerms.of_record(unsigned, PARAMS, ANCHOR)
    entries = tuple(
        offer.entry(*registration.presign(terms, txid, fresh)) for offer, fresh in pairs
    )
    owner = registration.presign_owner(terms, txid, stake.owner)
    return replace(unsigned, committee=entries, owner_slash=owner)


class Founded:
    """Founders with one stake each, and the set that they are."""

    def __init__(self, count: int = 4, name: str = "founder") -> None:
        self.stores = [keystore(f"{name} {index}") for index in range(count)]
        self.stakes = [store.stake(0) for store in self.stores]
        records = [
            signed_record(
                stake,
                bundle_of(stake, 0),
                [other for other in self.stakes if other is not stake],
                digest(f"founding stake {index}"),
            )
            for index, stake in enumerate(self.stakes)
        ]
        self.registry = Registry(DRAFT, {r.consensus_key: r for r in records})
        self.records = records
        self.members: SequencerSet = weigh(
            [(record.consensus_key, record.value) for record in records], PARAMS.set_maximum
        )

    def admission(self, epoch: int = 100) -> Admission:
        return Admission(DRAFT, self.registry, Epoch(epoch), (self.members,))

    def secrets_of(self, key: bytes) -> StakeSecrets:
        return next(s for s in self.stakes if s.public().consensus == key)

    def committee_for(self, owner: StakeSecrets) -> list[StakeSecrets]:
        """The frozen committee when everybody answers."""
        own = self.admission().keys_of(owner.public().owner)
        frozen = freeze_committee(self.members, [m.key for m in self.members.members], own)
        assert frozen is not None
        return [self.secrets_of(key) for key in frozen]
