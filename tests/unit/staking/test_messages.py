"""The ceremony's messages: one spelling each, everything else refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.protocol.errors import CodecError
from p2p_seq.protocol.stakes import COMMITTEE_MAX, Bundle, RegisteredKeys
from p2p_seq.protocol.types import ZERO32, Epoch, Hash32, Sats, Signature, XOnlyKey
from p2p_seq.staking.messages import (
    CosignAnswer,
    CosignRequest,
    Offer,
    OfferRequest,
    decode_request,
)

words = st.binary(min_size=32, max_size=32)
signatures = st.binary(min_size=64, max_size=64).map(Signature)
epochs = st.integers(0, 2**64 - 1).map(Epoch)
keys = st.builds(RegisteredKeys, *[words.map(XOnlyKey)] * 5)
bundles = st.builds(
    Bundle,
    words.map(Hash32),
    st.integers(0, 2**16 - 1),
    keys,
    epochs,
    epochs,
    words.map(Hash32),
    words.map(Hash32),
    st.tuples(*[signatures] * 5),
)
offers = st.builds(Offer, words.map(XOnlyKey), words.map(XOnlyKey), signatures)
requests = st.one_of(
    st.builds(OfferRequest, bundles),
    st.builds(
        CosignRequest,
        bundles,
        words.map(Hash32),
        st.integers(0, 2**64 - 1).map(Sats),
        st.lists(offers, max_size=4).map(tuple),
    ),
)

OFFER = Offer(XOnlyKey(b"m" * 32), XOnlyKey(b"c" * 32), Signature(b"s" * 64))
NO_KEYS = RegisteredKeys(*[XOnlyKey(ZERO32)] * 5)
BUNDLE = Bundle(ZERO32, 1, NO_KEYS, Epoch(3), Epoch(9), ZERO32, ZERO32, (Signature(bytes(64)),) * 5)


@given(requests)
def test_requests_come_back_as_they_were(request: OfferRequest | CosignRequest) -> None:
    assert decode_request(request.encode()) == request


@given(requests, st.data())
def test_a_request_with_a_byte_more_or_less_is_refused(
    request: OfferRequest | CosignRequest, data: st.DataObject
) -> None:
    encoded = request.encode()
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for wrong in (encoded[:cut], encoded + b"\0"):
        with pytest.raises(CodecError):
            decode_request(wrong)


def test_an_unknown_kind_is_refused() -> None:
    for kind in (0, 3, 255):
        with pytest.raises(CodecError, match="value-out-of-bounds"):
            decode_request(bytes([kind]) + OfferRequest(BUNDLE).encode()[1:])


def test_a_committee_over_the_limit_is_refused() -> None:
    most = CosignRequest(BUNDLE, ZERO32, Sats(1), (OFFER,) * COMMITTEE_MAX)
    encoded = most.encode()
    assert decode_request(encoded) == most
    count_at = len(encoded) - COMMITTEE_MAX * 128 - 4
    assert encoded[count_at : count_at + 4] == COMMITTEE_MAX.to_bytes(4, "big")
    over = encoded[:count_at] + (COMMITTEE_MAX + 1).to_bytes(4, "big") + encoded[count_at + 4 :]
    with pytest.raises(CodecError, match="101 is over the limit of 100"):
        decode_request(over + OFFER.encode())


def test_answers_come_back_as_they_were() -> None:
    assert Offer.decode(OFFER.encode()) == OFFER
    answer = CosignAnswer(Signature(b"1" * 64), Signature(b"2" * 64))
    assert CosignAnswer.decode(answer.encode()) == answer
    for decode, encoded in ((Offer.decode, OFFER.encode()), (CosignAnswer.decode, answer.encode())):
        with pytest.raises(CodecError):
            decode(encoded + b"\0")
        with pytest.raises(CodecError):
            decode(encoded[:-1])


def test_requests_that_differ_have_different_names() -> None:
    base = CosignRequest(BUNDLE, ZERO32, Sats(1), (OFFER,))
    others = [
        CosignRequest(BUNDLE, Hash32(b"t" * 32), Sats(1), (OFFER,)),
        CosignRequest(BUNDLE, ZERO32, Sats(2), (OFFER,)),
        CosignRequest(BUNDLE, ZERO32, Sats(1), (OFFER, OFFER)),
    ]
    names = {request.digest("regtest") for request in (base, *others)}
    assert len(names) == 4
    assert base.digest("signet") != base.digest("regtest")
