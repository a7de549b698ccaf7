"""Generations, plans, the commitment, and the bytes that every signer has to agree on."""

import hashlib
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.protocol.codec import Reader
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.sets import vault_shares
from p2p_seq.protocol.types import Epoch, Hash32, OutPoint, Sats, SatsPerKvb, XOnlyKey
from p2p_seq.settlement.generation import VaultGeneration, VaultMember
from p2p_seq.settlement.plan import (
    PlannedDeposit,
    PlannedPayout,
    SettlementPlan,
    commitment,
    commitment_preimage,
)
from p2p_seq.settlement.scripts import (
    DepositRequest,
    SettlementNote,
    deposit_output,
    parse_deposit_op_return,
    parse_settlement_op_return,
    timeout_leaf,
    vault_leaf,
    vault_output,
)
from tests.support.keys import digest, key, outpoints
from tests.support.pegs import (
    GENERATIONS,
    NETWORK,
    TIMEOUT,
    deposit,
    facts,
    generation,
    payout,
    plan,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "settlement.json"

keys32 = st.binary(min_size=32, max_size=32).map(XOnlyKey)
amounts = st.integers(1_000, 10**12).map(Sats)
deposits = st.builds(PlannedDeposit, outpoints, amounts, keys32, keys32, st.integers(0, 9))
payouts = st.builds(
    PlannedPayout,
    st.integers(0, 2**64 - 1),
    amounts,
    st.sampled_from([b"\x51\x20" + b"\x05" * 32, b"\x00\x14" + b"\x03" * 20]),
)
plans = st.builds(
    SettlementPlan,
    first_epoch=st.integers(0, 50).map(Epoch),
    last_epoch=st.integers(50, 100).map(Epoch),
    vault=st.just(OutPoint(digest("vault"), 0)),
    vault_value=amounts,
    generation=st.just(1),
    deposits=st.lists(deposits, max_size=4, unique_by=lambda item: item.outpoint).map(tuple),
    payouts=st.lists(payouts, max_size=4, unique_by=lambda item: item.payout_id).map(
        lambda items: tuple(sorted(items, key=lambda item: item.payout_id))
    ),
    base_feerate=st.integers(1, 2_000).map(SatsPerKvb),
    maximum_feerate=st.integers(2_000, 200_000).map(SatsPerKvb),
    maximum_version=st.integers(0, 32),
    hand_over=st.none() | st.just(generation(2, [3, 2, 1])),
)


@given(plans)
def test_plans_round_trip(original: SettlementPlan) -> None:
    encoded = original.encode()
    assert SettlementPlan.decode(encoded) == original
    assert SettlementPlan.decode(encoded).encode() == encoded


@given(plans, st.data())
def test_a_changed_plan_is_refused_or_another_plan(
    original: SettlementPlan, data: st.DataObject
) -> None:
    encoded = bytearray(original.encode())
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        decoded = SettlementPlan.decode(bytes(encoded))
    except CodecError:
        return
    assert decoded != original
    assert decoded.encode() == encoded


@given(plans, st.data())
def test_cut_and_continued_plans_are_refused(original: SettlementPlan, data: st.DataObject) -> None:
    encoded = original.encode()
    with pytest.raises(CodecError):
        SettlementPlan.decode(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(CodecError) as caught:
        SettlementPlan.decode(encoded + b"\x00")
    assert caught.value.reason is CodecReason.TRAILING


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (replace(plan(), first_epoch=Epoch(5)), "the epoch range is empty"),
        (replace(plan(), last_epoch=Epoch(3 + 65_536)), "too many epochs"),
        (plan((deposit("a", 9), deposit("a", 9))), "an output is spent twice"),
        (
            plan((replace(deposit("a", 9), outpoint=OutPoint(digest("vault"), 0)),)),
            "an output is spent twice",
        ),
        (plan((), (payout(2, 1_000), payout(1, 1_000))), "payouts are not in ledger order"),
        (plan((), (payout(1, 1_000), payout(1, 1_000))), "payouts are not in ledger order"),
        (plan((), (payout(1, 329),)), "payout 1 cannot be paid"),
        (
            plan((), (replace(payout(1, 1_000), script=b"\x6a\x02ab"),)),
            "payout 1 cannot be paid",
        ),
        (
            replace(plan(), base_feerate=SatsPerKvb(50_001)),
            "the feerate is above its maximum",
        ),
        (replace(plan(), maximum_version=33), "33 is not in [0, 32]"),
        (
            plan(hand_over=generation(3, [1])),
            "the hand-over is not to the next generation",
        ),
    ],
)
def test_contradictory_plans_are_refused(wrong: SettlementPlan, message: str) -> None:
    with pytest.raises(CodecError) as caught:
        SettlementPlan.decode(wrong.encode())
    assert str(caught.value) == f"value-out-of-bounds: {message}"


def test_one_item_more_than_the_limit_is_refused() -> None:
    encoded = plan().encode()
    position = encoded.index((50_000_000).to_bytes(8, "big")) + 8 + 2
    assert encoded[position : position + 4] == bytes(4)
    many = encoded[:position] + (2_049).to_bytes(4, "big") + encoded[position + 4 :]
    with pytest.raises(CodecError) as caught:
        SettlementPlan.decode(many)
    assert str(caught.value) == "length-out-of-bounds: 2049 is over the limit of 2048"


def _written_out() -> bytes:
    """The commitment's preimage spelt from PROTOCOL.md by hand, without the codec."""
    swept, paid = deposit("a", 60_000), payout(1, 5_000)
    return b"".join(
        [
            (3).to_bytes(8, "big"),
            (4).to_bytes(8, "big"),
            (2).to_bytes(4, "big"),
            digest("statement 3") + bytes(32) + digest("statement 4") + bytes(32),
            digest("next set"),
            GENERATIONS[1].digest(NETWORK),
            (1).to_bytes(4, "big"),
            (1).to_bytes(8, "big") + (5_000).to_bytes(8, "big"),
            (34).to_bytes(4, "big") + paid.script,
            (1).to_bytes(4, "big"),
            swept.outpoint.txid + bytes(4) + (60_000).to_bytes(8, "big"),
            key("account a") + key("user a") + (1).to_bytes(2, "big"),
            (1).to_bytes(4, "big") + (2).to_bytes(8, "big") + digest("proof 2"),
            (2_000).to_bytes(4, "big") + (50_000).to_bytes(4, "big") + bytes([8]),
        ]
    )


def test_the_commitment_is_what_the_protocol_says() -> None:
    chosen = plan((deposit("a", 60_000),), (payout(1, 5_000),))
    known = replace(facts(), certified=((Epoch(2), digest("proof 2")),))
    assert commitment_preimage(chosen, known) == _written_out()
    prefix = hashlib.sha256(b"p2pseq/regtest/commit/v1").digest()
    assert commitment(NETWORK, chosen, known) == (
        hashlib.sha256(prefix + prefix + _written_out()).digest()
    )


def test_the_commitment_names_every_covered_epoch() -> None:
    short = replace(facts(), epochs=facts().epochs[:1])
    with pytest.raises(ValueError, match=r"^1 statements for 2 epochs$"):
        commitment(NETWORK, plan(), short)


def test_every_part_of_the_commitment_counts() -> None:
    base = plan((deposit("a", 60_000),), (payout(1, 5_000),))
    known = facts()
    changed_plans = [
        replace(base, deposits=(deposit("b", 60_000),)),
        replace(base, payouts=(payout(2, 5_000),)),
        replace(base, base_feerate=SatsPerKvb(2_001)),
        replace(base, maximum_feerate=SatsPerKvb(50_001)),
        replace(base, maximum_version=7),
        replace(base, first_epoch=Epoch(2), last_epoch=Epoch(3)),
    ]
    changed_facts = [
        replace(known, epochs=known.epochs[::-1]),
        replace(known, next_set=digest("other")),
        replace(known, generation=digest("other")),
        replace(known, certified=((Epoch(2), digest("proof")),)),
    ]
    all_of_them = [commitment(NETWORK, base, known), commitment("signet", base, known)]
    all_of_them += [commitment(NETWORK, item, known) for item in changed_plans]
    all_of_them += [commitment(NETWORK, base, item) for item in changed_facts]
    assert len(set(all_of_them)) == 12


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ([1], [100]),
        ([5, 5, 5], [34, 33, 33]),
        ([1, 1, 1, 1], [25, 25, 25, 25]),
        ([1000, 1, 1], [98, 1, 1]),
        ([300, 300, 300, *[1] * 97], [1] * 100),
        ([60, 30, 7, 3], [60, 30, 7, 3]),
        ([497, 497, 4, 2], [49, 49, 1, 1]),
    ],
)
def test_vault_weights(weights: list[int], shares: list[int]) -> None:
    assert list(vault_shares(weights)) == shares


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=100))
def test_vault_weights_sum_to_100_in_order(weights: list[int]) -> None:
    shares = vault_shares(weights)
    assert sum(shares) == 100
    assert min(shares) >= 1
    for (weight, share), (other_weight, other_share) in itertools.combinations(
        zip(weights, shares, strict=True), 2
    ):
        if weight > other_weight:
            assert share >= other_share
        if weight < other_weight:
            assert share <= other_share
        if weight == other_weight:
            assert share >= other_share


def test_generations_that_are_none_are_refused() -> None:
    members = GENERATIONS[1].members
    for wrong, message in [
        (members[:3], "weights must sum to 100"),
        ((members[0], *members[:3]), "keys must be distinct"),
    ]:
        with pytest.raises(ValueError, match=f"^{message}$"):
            VaultGeneration(1, wrong)
    encoded = GENERATIONS[1].encode()
    assert VaultGeneration.read(Reader(encoded)) == GENERATIONS[1]
    lighter = encoded[:-1] + bytes([encoded[-1] - 1])
    with pytest.raises(CodecError) as caught:
        VaultGeneration.read(Reader(lighter))
    assert str(caught.value) == "value-out-of-bounds: weights must sum to 100"


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 10**9)), min_size=1, max_size=8))
def test_the_lightest_spending_coalition(pairs: list[tuple[int, int]]) -> None:
    holder = generation(1, [weight for weight, _ in pairs])
    stakes = [stake for _, stake in pairs]
    cheapest = min(
        sum(stakes[i] for i in coalition)
        for size in range(1, len(pairs) + 1)
        for coalition in itertools.combinations(range(len(pairs)), size)
        if sum(holder.members[i].weight for i in coalition) >= 67
    )
    assert holder.lightest_spending_weight(stakes) == cheapest


def test_op_returns_round_trip_and_have_their_sizes() -> None:
    request = DepositRequest(258, key("account"), key("user"))
    note = SettlementNote(Epoch(7), digest("root"), digest("commitment"))
    assert len(request.script(NETWORK)) == 2 + 70
    assert len(note.script(NETWORK)) == 2 + 73
    assert parse_deposit_op_return(NETWORK, request.script(NETWORK)) == request
    assert parse_settlement_op_return(NETWORK, note.script(NETWORK)) == note


@given(st.data())
def test_changed_op_returns_are_refused_or_say_something_else(data: st.DataObject) -> None:
    request = DepositRequest(1, key("account"), key("user"))
    note = SettlementNote(Epoch(7), digest("root"), digest("commitment"))
    for original, parse in (
        (request, parse_deposit_op_return),
        (note, parse_settlement_op_return),
    ):
        script = bytearray(original.script(NETWORK))
        position = data.draw(st.integers(0, len(script) - 1))
        script[position] ^= data.draw(st.integers(1, 255))
        parsed = parse(NETWORK, bytes(script))
        assert parsed is None or (parsed != original and parsed.script(NETWORK) == script)
        if position < 6:
            assert parsed is None
        assert parse(NETWORK, bytes(script[:-1])) is None
        assert parse("signet", original.script(NETWORK)) is None


def _vectors() -> dict[str, str]:
    chosen = plan((deposit("a", 60_000),), (payout(1, 5_000),), generation(2, [3, 2, 1]))
    request = DepositRequest(1, key("account"), key("user"))
    note = SettlementNote(Epoch(7), digest("root"), digest("commitment"))
    member = VaultMember(key("alone"), 100)
    holder = GENERATIONS[0]
    return {
        "network": NETWORK,
        "deposit_op_return": request.script(NETWORK).hex(),
        "settlement_op_return": note.script(NETWORK).hex(),
        "vault_leaf_40_30_20_10": vault_leaf(holder).hex(),
        "vault_output_40_30_20_10": vault_output(holder).script.hex(),
        "vault_leaf_single": vault_leaf(VaultGeneration(0, (member,))).hex(),
        "generation_encoding": holder.encode().hex(),
        "generation_digest": holder.digest(NETWORK).hex(),
        "timeout_leaf_60": timeout_leaf(key("user"), TIMEOUT).hex(),
        "timeout_leaf_2016": timeout_leaf(key("user"), 2_016).hex(),
        "deposit_output": deposit_output(holder, key("user"), TIMEOUT).script.hex(),
        "plan": chosen.encode().hex(),
        "plan_digest": chosen.digest(NETWORK).hex(),
        "commitment_preimage": commitment_preimage(chosen, facts()).hex(),
        "commitment": commitment(NETWORK, chosen, facts()).hex(),
    }


def test_golden_vectors() -> None:
    """Bytes that other programs have to reproduce; they change with the format's version only."""
    assert _vectors() == json.loads(VECTORS.read_text())


def test_zero_is_what_the_commitment_has_for_unendorsed_epochs() -> None:
    assert facts().epochs[0].endorsed == Hash32(bytes(32))
