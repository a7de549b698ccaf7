"""Sets: digest, order, cap, vault weights."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.sets import (
    Member,
    SequencerSet,
    SetError,
    SetReason,
    capped_weights,
    set_digest,
    vault_weights,
    weigh,
)
from p2p_seq.protocol.types import Sats, XOnlyKey


def key(number: int) -> XOnlyKey:
    return XOnlyKey(hashlib.sha256(f"key {number}".encode()).digest())


def make(weights: list[int]) -> SequencerSet:
    return SequencerSet.ordered(Member(key(n), weight) for n, weight in enumerate(weights))


weights_lists = st.lists(st.integers(1, 10**12), min_size=1, max_size=100)


def test_digest_by_words() -> None:
    members = make([5, 3, 2, 1, 1])
    tag = hashlib.sha256(b"p2pseq/regtest/set/v1").digest()
    words = (5).to_bytes(32, "big") + b"".join(member.key for member in members.members)
    words += b"".join(weight.to_bytes(8, "big") for weight in (5, 3, 2, 1)) + (1).to_bytes(8, "big")
    words += bytes(24)
    assert set_digest("regtest", members) == hashlib.sha256(tag + tag + words).digest()
    assert len(words) == 32 * (1 + 5 + 2)


def test_the_order_is_by_weight_then_by_hash() -> None:
    members = make([1, 1, 2, 1])
    assert members.weights == (2, 1, 1, 1)
    hashes = [hashlib.sha256(member.key).digest() for member in members.members[1:]]
    assert hashes == sorted(hashes)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([], SetReason.SIZE),
        ([Member(key(n), 1) for n in range(101)], SetReason.SIZE),
        ([Member(key(1), 1), Member(key(1), 1)], SetReason.KEY),
        ([Member(XOnlyKey(b"short"), 1)], SetReason.KEY),
        ([Member(key(1), 0)], SetReason.WEIGHT),
        ([Member(key(1), 2**63), Member(key(2), 2**63)], SetReason.WEIGHT),
        ([Member(key(1), 1), Member(key(2), 2)], SetReason.ORDER),
    ],
)
def test_wrong_sets_are_refused(members: list[Member], reason: SetReason) -> None:
    with pytest.raises(SetError) as caught:
        SequencerSet(members)
    assert caught.value.reason is reason


def test_the_quorum_is_more_than_two_thirds() -> None:
    three = make([1, 1, 1])
    assert not three.is_quorum(2)
    assert three.is_quorum(3)
    four = make([1, 1, 1, 1])
    assert four.is_quorum(3)
    assert not four.has_honest(1)
    assert four.has_honest(2)


@given(weights_lists)
def test_sets_have_one_spelling(weights: list[int]) -> None:
    members = make(weights)
    writer = Writer()
    members.write(writer)
    reader = Reader(writer.bytes())
    assert SequencerSet.read(reader) == members
    reader.finish()
    assert SequencerSet.from_pairs(members.pairs()) == members


@given(weights_lists)
def test_the_cap_is_the_highest_level_that_holds(weights: list[int]) -> None:
    capped = capped_weights(weights)
    if len(weights) < 4:
        assert capped == weights
        return
    assert 10 * max(capped) <= 3 * sum(capped)
    level = max(capped)
    assert capped == [min(weight, level) for weight in weights]
    if capped != weights:
        higher = [min(weight, level + 1) for weight in weights]
        assert 10 * max(higher) > 3 * sum(higher)


def test_a_whale_is_cut_to_thirty_percent() -> None:
    assert capped_weights([1_000_000, 70, 70, 70]) == [90, 70, 70, 70]
    assert capped_weights([1_000_000, 1, 1]) == [1_000_000, 1, 1]


def test_weights_from_stakes() -> None:
    unit = 100_000
    stakes = [(key(n), Sats(unit * 10 + n)) for n in range(4)]
    stakes += [(key(9), Sats(unit - 1)), (key(10), Sats(unit * 2 - 1))]
    members = weigh(stakes, 32)
    assert members.weights == (10, 10, 10, 10, 1)
    assert len(weigh(stakes, 2)) == 2
    with pytest.raises(SetError):
        weigh([(key(1), Sats(unit - 1))], 32)


@given(weights_lists)
def test_vault_weights_sum_to_hundred_and_keep_the_order(weights: list[int]) -> None:
    members = make(weights)
    shares = vault_weights(members)
    assert sum(shares) == 100
    assert min(shares) >= 1
    assert list(shares) == sorted(shares, reverse=True)


@given(st.lists(st.integers(50, 100), min_size=2, max_size=12))
def test_vault_weights_are_within_one_of_the_exact_share(weights: list[int]) -> None:
    members = make(weights)
    for share, weight in zip(vault_weights(members), members.weights, strict=True):
        assert abs(share - 100 * weight / members.total) < 1


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ([1, 1, 1, 1], (25, 25, 25, 25)),
        ([1, 1, 1], (34, 33, 33)),
        ([7], (100,)),
        ([1_000, 1, 1], (98, 1, 1)),
        ([3, 2, 2, 1], (38, 25, 25, 12)),
    ],
)
def test_vault_weights_by_largest_remainder(weights: list[int], shares: tuple[int, ...]) -> None:
    assert vault_weights(make(weights)) == shares
