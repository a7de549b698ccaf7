"""Votes and certificates on the wire, and what verifies."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.protocol.errors import CodecError
from p2p_seq.protocol.sets import Member, SequencerSet
from p2p_seq.protocol.types import ZERO32, Epoch, Hash32, Signature, View
from p2p_seq.protocol.votes import (
    Certificate,
    Slot,
    Vote,
    VoteError,
    VoteKind,
    VoteReason,
    VoteStatement,
    conflicting,
    nullify,
    proposal_message,
    slot_of,
    verify_signatures,
    vote_message,
)
from p2p_seq.signer.schnorr import public_key, sign

NETWORK = "regtest"
CHAIN = Hash32(hashlib.sha256(b"chain").digest())
BLOCK = Hash32(hashlib.sha256(b"block").digest())
OUTPUTS = Hash32(hashlib.sha256(b"outputs").digest())
SECRETS = {public_key(secret): secret for secret in (bytes([n + 1]) * 32 for n in range(5))}
MEMBERS = SequencerSet.ordered(
    Member(key, weight) for key, weight in zip(SECRETS, (5, 4, 3, 2, 1), strict=True)
)


def statement(kind: VoteKind = VoteKind.NOTARIZE, outputs: Hash32 = ZERO32) -> VoteStatement:
    if kind is VoteKind.NULLIFY:
        return nullify(Epoch(7), View(9))
    return VoteStatement(kind, Epoch(7), View(9), BLOCK, outputs)


def signed(voted: VoteStatement, signer: int) -> Vote:
    message = vote_message(NETWORK, CHAIN, voted, MEMBERS.digest(NETWORK))
    return Vote(voted, signer, sign(SECRETS[MEMBERS.key(signer)], message))


def certificate(signers: list[int], voted: VoteStatement | None = None) -> Certificate:
    voted = voted or statement()
    signatures = tuple(signed(voted, signer).signature for signer in signers)
    return Certificate(voted, len(MEMBERS), tuple(signers), signatures)


def test_the_message_by_words() -> None:
    tag = hashlib.sha256(b"p2pseq/regtest/vote/v1").digest()
    set_hash = MEMBERS.digest(NETWORK)
    head = bytes(15) + b"\x03" + (7).to_bytes(8, "big") + (9).to_bytes(8, "big")
    body = CHAIN + head + BLOCK + OUTPUTS + set_hash
    assert len(body) == 5 * 32
    expected = hashlib.sha256(tag + tag + body).digest()
    voted = statement(VoteKind.FINALIZE, OUTPUTS)
    assert vote_message(NETWORK, CHAIN, voted, set_hash) == expected


def test_a_vote_is_147_bytes_and_verifies() -> None:
    vote = signed(statement(VoteKind.FINALIZE, OUTPUTS), 2)
    assert len(vote.encode()) == 147
    assert Vote.decode(vote.encode()) == vote
    assert verify_signatures([vote.check(MEMBERS, CHAIN, NETWORK)])
    other = vote._replace(signer=1)
    assert not verify_signatures([other.check(MEMBERS, CHAIN, NETWORK)])
    with pytest.raises(VoteError) as caught:
        vote._replace(signer=5).check(MEMBERS, CHAIN, NETWORK)
    assert str(caught.value) == "vote-signer: 5 of 5"


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_decoders(encoded: bytes) -> None:
    for decoder in (Vote.decode, Certificate.decode):
        try:
            decoded = decoder(encoded)
        except CodecError:
            continue
        assert decoded.encode() == encoded


@pytest.mark.parametrize(
    "wrong",
    [
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: b"\x00" + raw[1:],
        lambda raw: b"\x04" + raw[1:],
        lambda raw: b"\x02" + raw[1:],  # a nullify that names a block
        lambda raw: raw[:9] + bytes(8) + raw[17:],  # view 0
        lambda raw: raw[:17] + bytes(32) + raw[49:],  # a notarize that names none
        lambda raw: raw[:81] + b"\x00\x64" + raw[83:],  # signer 100
    ],
)
def test_malformed_votes_are_refused(wrong) -> None:
    raw = signed(statement(), 0).encode()
    with pytest.raises(CodecError):
        Vote.decode(wrong(raw))


def test_a_certificate_is_made_of_the_heaviest_voters() -> None:
    signatures = {signer: signed(statement(), signer).signature for signer in (0, 1, 2, 3, 4)}
    formed = Certificate.form(statement(), signatures, MEMBERS)
    assert formed is not None
    assert formed.signers == (0, 1, 2)
    formed.verify(MEMBERS, CHAIN, NETWORK)
    assert Certificate.decode(formed.encode()) == formed
    few = {signer: signatures[signer] for signer in (0, 1, 4)}
    assert Certificate.form(statement(), few, MEMBERS) is None
    assert formed.votes()[2] == signed(statement(), 2)


@pytest.mark.parametrize(
    ("signers", "reason"),
    [
        ([0, 1], VoteReason.QUORUM),
        ([0, 1, 4], VoteReason.QUORUM),
        ([0, 1, 2, 4], VoteReason.SUPERSET),
        ([0, 1, 2, 3, 4], VoteReason.SUPERSET),
    ],
)
def test_only_minimal_quorums_count(signers: list[int], reason: VoteReason) -> None:
    with pytest.raises(VoteError) as caught:
        certificate(signers).verify(MEMBERS, CHAIN, NETWORK)
    assert caught.value.reason is reason


def test_a_quorum_without_the_heaviest_counts() -> None:
    certificate([0, 2, 3, 4]).verify(MEMBERS, CHAIN, NETWORK)


def test_forged_and_foreign_certificates_are_refused() -> None:
    good = certificate([0, 1, 2], statement(VoteKind.NULLIFY))
    good.verify(MEMBERS, CHAIN, NETWORK)
    forged = good._replace(signatures=(good.signatures[1], good.signatures[0], good.signatures[2]))
    for wrong in (forged, good._replace(statement=nullify(Epoch(8), View(9)))):
        with pytest.raises(VoteError) as caught:
            wrong.verify(MEMBERS, CHAIN, NETWORK)
        assert caught.value.reason is VoteReason.SIGNATURE
    with pytest.raises(VoteError) as caught:
        good._replace(members=6).verify(MEMBERS, CHAIN, NETWORK)
    assert caught.value.reason is VoteReason.SIZE
    with pytest.raises(VoteError):
        good.verify(MEMBERS, Hash32(bytes(32)), NETWORK)


def test_bitmaps_beyond_the_set_are_refused() -> None:
    raw = bytearray(certificate([0, 1, 2]).encode())
    assert raw[81] == 5
    for bitmap in (0, 0b100111, 0xFF):
        raw[82] = bitmap
        with pytest.raises(CodecError):
            Certificate.decode(bytes(raw))


def test_broken_keys_do_not_verify() -> None:
    check = signed(statement(), 0).check(MEMBERS, CHAIN, NETWORK)
    assert not verify_signatures([check._replace(key=bytes([255]) * 32)])
    assert not verify_signatures([check._replace(signature=Signature(b"short"))])


def test_slots_say_what_conflicts() -> None:
    assert slot_of(VoteKind.NULLIFY) is slot_of(VoteKind.FINALIZE) is Slot.DECIDE
    final = statement(VoteKind.FINALIZE)
    assert conflicting(final, statement(VoteKind.NULLIFY))
    assert conflicting(statement(), statement(outputs=OUTPUTS))
    assert not conflicting(statement(), final)
    assert not conflicting(final, final)
    assert not conflicting(final, nullify(Epoch(7), View(10)))


def test_proposals_have_their_own_domain() -> None:
    proposed = proposal_message(NETWORK, CHAIN, Epoch(7), View(9), View(8), BLOCK)
    assert proposed != statement().message(NETWORK, CHAIN, MEMBERS.digest(NETWORK))
    assert proposed != proposal_message(NETWORK, CHAIN, Epoch(7), View(9), View(7), BLOCK)
