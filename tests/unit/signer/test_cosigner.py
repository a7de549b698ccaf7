"""One-use co-signing keys: one signature pair each, and nothing of them on the disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from p2p_seq.bitcoin.keys import verify
from p2p_seq.protocol.errors import LocalError, RemoteError
from p2p_seq.protocol.stakes import Bundle
from p2p_seq.protocol.types import Epoch, Sats
from p2p_seq.signer import registration
from p2p_seq.signer.cosigner import Cosigner
from p2p_seq.signer.signer import OperatorSigner, create_stake
from p2p_seq.staking.ceremony import OPERATOR_OFFERS_MAX, STRANGER_OFFERS_MAX
from p2p_seq.staking.messages import CosignRequest, Offer
from p2p_seq.staking.scripts import StakeTerms
from p2p_seq.staking.transactions import refund_message, slash_message
from p2p_seq.storage.cosign_store import Cosigned, CosignStore
from p2p_seq.storage.store import Store
from tests.support.keys import digest
from tests.support.registrations import (
    ANCHOR,
    BOND,
    PARAMS,
    Founded,
    bundle_of,
    keystore,
    offer_by,
)

FOUNDED = Founded()
JOINER = FOUNDED.stores[1].stake(1)
BUNDLE = bundle_of(JOINER, 110)


class PowerCut(BaseException):
    """The process ends here."""


@dataclass
class Member:
    """Founder 0's node, as far as it co-signs."""

    signer: OperatorSigner
    store: Store
    crash_at: str | None = None

    def cosigner(self) -> Cosigner:
        """A fresh one: what a restart leaves."""

        def crash_point(point: str) -> None:
            if point == self.crash_at:
                raise PowerCut

        return Cosigner("regtest", self.signer, CosignStore(self.store), crash_point)


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    create_stake(tmp_path, FOUNDED.stores[0], 0)
    signer = OperatorSigner(tmp_path, FOUNDED.stores[0], lambda _: None)
    store = Store.open(tmp_path / "chain")
    yield Member(signer, store)
    store.close()
    signer.close()


def _request(
    offer: Offer, bundle: Bundle = BUNDLE, txid: str = "txid", value: Sats = BOND
) -> CosignRequest:
    """The joiner's request, with the offers of the two others."""
    others = FOUNDED.committee_for(JOINER)
    offers = tuple(
        offer
        if other.public().consensus == offer.member
        else offer_by(other, bundle, other.public().consensus.hex())[0]
        for other in others
    )
    return CosignRequest(bundle, digest(txid), value, offers)


def test_a_member_signs_the_slash_and_the_refund_of_one_bond(member: Member) -> None:
    cosigner = member.cosigner()
    offer = cosigner.offer(BUNDLE, FOUNDED.admission())
    assert offer.member == FOUNDED.records[0].consensus_key
    request = _request(offer)
    answer = cosigner.cosign(request, FOUNDED.admission())
    terms = StakeTerms.of_record(request.unsigned_record(), PARAMS, ANCHOR)
    assert verify(offer.cosign_key, slash_message(terms, request.txid), answer.slash)
    assert verify(offer.cosign_key, refund_message(terms, request.txid), answer.refund)


def test_the_same_request_gets_the_same_answer_also_after_a_restart(member: Member) -> None:
    cosigner = member.cosigner()
    request = _request(cosigner.offer(BUNDLE, FOUNDED.admission()))
    answer = cosigner.cosign(request, FOUNDED.admission())
    assert cosigner.cosign(request, FOUNDED.admission()) == answer
    assert member.cosigner().cosign(request, FOUNDED.admission()) == answer


@pytest.mark.parametrize("change", ["txid", "value"])
def test_a_key_signs_for_one_stake_only(member: Member, change: str) -> None:
    cosigner = member.cosigner()
    offer = cosigner.offer(BUNDLE, FOUNDED.admission())
    cosigner.cosign(_request(offer), FOUNDED.admission())
    another = (
        _request(offer, txid="another")
        if change == "txid"
        else _request(offer, value=Sats(BOND + 1))
    )
    for each in (cosigner, member.cosigner()):
        with pytest.raises(RemoteError, match="cosign-key-gone"):
            each.cosign(another, FOUNDED.admission())


@pytest.mark.parametrize("point", ["cosign-before-write", "cosign-after-write"])
def test_a_crash_leaves_a_key_that_has_signed_at_most_once(member: Member, point: str) -> None:
    cosigner = member.cosigner()
    offer = cosigner.offer(BUNDLE, FOUNDED.admission())
    request = _request(offer)
    member.crash_at = point
    with pytest.raises(PowerCut):
        cosigner.cosign(request, FOUNDED.admission())
    member.crash_at = None
    restarted = member.cosigner()
    with pytest.raises(RemoteError, match="cosign-key-gone"):
        restarted.cosign(_request(offer, txid="another"), FOUNDED.admission())
    if point == "cosign-after-write":
        assert restarted.cosign(request, FOUNDED.admission()).slash
    else:
        with pytest.raises(RemoteError, match="cosign-key-gone"):
            restarted.cosign(request, FOUNDED.admission())


def test_no_secret_of_a_key_is_ever_on_the_disk(
    member: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[bytes] = []
    real: Callable[..., object] = registration.offer

    def spy(network: str, draft: bytes, bundle: bytes, consensus: bytes, fresh: bytes) -> object:
        drawn.append(fresh)
        return real(network, draft, bundle, consensus, fresh)

    monkeypatch.setattr(registration, "offer", spy)
    cosigner = member.cosigner()
    offer = cosigner.offer(BUNDLE, FOUNDED.admission())
    cosigner.offer(BUNDLE, FOUNDED.admission())
    monkeypatch.undo()
    signed = cosigner.cosign(_request(offer), FOUNDED.admission())
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert len(drawn) == 2
    assert signed.slash in written  # the search would find something
    assert not any(fresh in written for fresh in drawn)


def test_offers_are_bounded_in_each_epoch(member: Member) -> None:
    cosigner = member.cosigner()
    for _ in range(OPERATOR_OFFERS_MAX):
        cosigner.offer(BUNDLE, FOUNDED.admission())
    with pytest.raises(RemoteError, match="allowance-used-up"):
        cosigner.offer(BUNDLE, FOUNDED.admission())
    stranger = bundle_of(keystore("stranger").stake(0), 110)
    for _ in range(STRANGER_OFFERS_MAX):
        cosigner.offer(stranger, FOUNDED.admission())
    with pytest.raises(RemoteError, match="allowance-used-up"):
        cosigner.offer(stranger, FOUNDED.admission())
    cosigner.offer(BUNDLE, FOUNDED.admission(101))


def test_only_members_offer_and_nobody_for_itself(member: Member) -> None:
    outside = Founded(3, "another set")
    cosigner = member.cosigner()
    elsewhere = replace(FOUNDED.admission(), sets=(outside.members,))
    with pytest.raises(RemoteError, match="not-a-member"):
        cosigner.offer(BUNDLE, elsewhere)
    own = bundle_of(FOUNDED.stores[0].stake(1), 110)
    with pytest.raises(RemoteError, match="own-stake"):
        cosigner.offer(own, FOUNDED.admission())


def test_a_bundle_that_cannot_be_registered_gets_no_key(member: Member) -> None:
    cosigner = member.cosigner()
    with pytest.raises(RemoteError, match="bundle-range: it begins too soon"):
        cosigner.offer(BUNDLE, FOUNDED.admission(109))
    unproven = replace(BUNDLE, possession=BUNDLE.possession[1:] + BUNDLE.possession[:1])
    with pytest.raises(RemoteError, match="bundle-possession: owner"):
        cosigner.offer(unproven, FOUNDED.admission())


def test_a_request_that_voters_would_refuse_is_not_signed(member: Member) -> None:
    cosigner = member.cosigner()
    offer = cosigner.offer(BUNDLE, FOUNDED.admission())
    good = _request(offer)
    stolen = replace(good.committee[1], statement=good.committee[2].statement)
    wrong = [
        (replace(good, value=Sats(PARAMS.stake_minimum - 1)), "stake-value"),
        (replace(good, committee=good.committee[:2]), "stake-committee|cosign-key-gone"),
        (replace(good, committee=good.committee[::-1]), "stake-committee"),
        (
            replace(good, committee=(good.committee[0], stolen, good.committee[2])),
            "cosign-statement|cosign-key-gone",
        ),
        (replace(good, bundle=bundle_of(JOINER, 111)), "cosign-key-gone"),
    ]
    for request, why in wrong:
        with pytest.raises(RemoteError, match=why):
            cosigner.cosign(request, FOUNDED.admission())
    with pytest.raises(RemoteError, match="it begins too soon"):
        cosigner.cosign(good, FOUNDED.admission(109))
    # None of it used the key up.
    assert cosigner.cosign(good, FOUNDED.admission()).refund


def test_rows_of_old_epochs_are_dropped_and_no_row_is_overwritten(member: Member) -> None:
    store = CosignStore(member.store)
    keys = [FOUNDED.records[index].consensus_key for index in range(3)]
    signed = [
        Cosigned(Epoch(epoch), digest("request"), FOUNDED.records[0].owner_slash, answer)
        for epoch, answer in zip((1, 9, 10), [FOUNDED.records[0].owner_slash] * 3, strict=True)
    ]
    for name, row in zip(keys, signed, strict=True):
        store.write(name, row)
    assert [store.read(name) for name in keys] == [None, *signed[1:]]
    with pytest.raises(LocalError, match="signs twice"):
        store.write(keys[1], signed[2])
