"""The vault leaf, deposits, settlements and reclaims on Bitcoin's own engine."""

import itertools
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.bitcoin.engine import first_invalid_input, verify_input, verify_transaction
from p2p_seq.bitcoin.sighash import SighashType, TaprootSighash, witness_signature
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.types import OutPoint, Sats, SatsPerKvb, Signature, XOnlyKey
from p2p_seq.settlement.fees import (
    SETTLEMENT_VSIZE_MAX,
    feerate_of_version,
    is_feerate_allowed,
    settlement_limits,
)
from p2p_seq.settlement.generation import VaultGeneration
from p2p_seq.settlement.plan import commitment
from p2p_seq.settlement.scripts import (
    VAULT_LEAF,
    DepositRequest,
    RecoveryLeaf,
    deposit_output,
    deposits_in,
    threshold_script,
    threshold_stack,
    vault_leaf,
    vault_output,
)
from p2p_seq.settlement.transactions import (
    Settlement,
    SettlementContext,
    build_reclaim,
    build_settlement,
    deposit_outputs,
    version_of,
    worst_case_vsize,
)
from p2p_seq.signer.schnorr import sign
from tests.support.keys import digest, key, secret
from tests.support.pegs import (
    CONTEXT,
    GENERATIONS,
    NETWORK,
    STATE_ROOT,
    TIMEOUT,
    deposit,
    facts,
    generation,
    payout,
    plan,
    signatures_by,
    vault_names,
)

SIX = generation(7, [30, 25, 20, 12, 8, 5])
DESTINATION = key_path_script(key("destination"))


def _spend_of(script: bytes, value: int = 100_000) -> tuple[Transaction, list[TxOut]]:
    transaction = Transaction(
        2, (TxIn(OutPoint(digest("coin"), 0)),), (TxOut(value - 1_000, DESTINATION),)
    )
    return transaction, [TxOut(value, script)]


def test_all_64_subsets_of_6_weighted_keys() -> None:
    output = vault_output(SIX)
    transaction, spent = _spend_of(output.script)
    message = TaprootSighash(transaction, spent).script_path(0, output.leaves[VAULT_LEAF])
    names = vault_names(7, 6)
    signatures = {name: bytes(sign(secret(name), message)) for name in names}
    accepted = 0
    for present in itertools.product([False, True], repeat=6):
        weight = sum(
            member.weight for member, here in zip(SIX.members, present, strict=True) if here
        )
        stack = [
            signatures[name] if here else b""
            for name, here in zip(reversed(names), reversed(present), strict=True)
        ]
        witness = (*stack, vault_leaf(SIX), output.control_block(VAULT_LEAF))
        signed = transaction.with_witnesses((witness,)).serialize()
        assert verify_input(signed, 0, spent) == (weight >= 67)
        available = {
            key(name): Signature(signatures[name])
            for name, here in zip(names, present, strict=True)
            if here
        }
        chosen = threshold_stack(SIX, available)
        assert (chosen is not None) == (weight >= 67)
        if chosen is not None:
            witness = (*chosen, *witness[-2:])
            assert verify_input(transaction.with_witnesses((witness,)).serialize(), 0, spent)
        accepted += weight >= 67
    assert 0 < accepted < 64


def _signed_by_all(holder: VaultGeneration) -> tuple[Transaction, list[TxOut], list[bytes]]:
    output = vault_output(holder)
    transaction, spent = _spend_of(output.script)
    message = TaprootSighash(transaction, spent).script_path(0, output.leaves[VAULT_LEAF])
    names = vault_names(holder.number, len(holder.members))
    stack = [bytes(sign(secret(name), message)) for name in reversed(names)]
    return transaction, spent, [*stack, vault_leaf(holder), output.control_block(VAULT_LEAF)]


def test_a_wrong_signature_in_place_of_an_absent_one_spoils_the_spend() -> None:
    transaction, spent, witness = _signed_by_all(SIX)
    assert verify_input(transaction.with_witnesses((tuple(witness),)).serialize(), 0, spent)
    wrong = list(witness)
    wrong[0] = wrong[1]
    assert not verify_input(transaction.with_witnesses((tuple(wrong),)).serialize(), 0, spent)
    missing = witness[1:]
    assert not verify_input(transaction.with_witnesses((tuple(missing),)).serialize(), 0, spent)
    extra = [b"", *witness]
    assert not verify_input(transaction.with_witnesses((tuple(extra),)).serialize(), 0, spent)


@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_any_weights_and_any_signers(weights: list[int], random: Random) -> None:
    holder = generation(9, weights)
    transaction, spent, witness = _signed_by_all(holder)
    weight = 0
    for position, member in enumerate(holder.members):
        if random.random() < 0.25:
            witness[len(holder.members) - 1 - position] = b""
        else:
            weight += member.weight
    signed = transaction.with_witnesses((tuple(witness),)).serialize()
    assert verify_input(signed, 0, spent) == (weight >= 67)


@pytest.mark.parametrize(
    ("count", "vsize"), [(4, 148), (7, 214), (15, 377), (32, 715), (100, 2_048)]
)
def test_input_sizes_with_two_thirds_signing(count: int, vsize: int) -> None:
    """A vault coin without a recovery leaf; a second leaf costs 8 vB more."""
    holder = generation(3, [1] * count)
    _, _, witness = _signed_by_all(holder)
    stack = {member.key: sign(secret("x"), digest("m")) for member in holder.members}
    chosen = threshold_stack(holder, stack)
    assert chosen is not None
    full = (*chosen, *witness[-2:])
    with_input = Transaction(2, (TxIn(OutPoint(digest("a"), 0), witness=full),), (TxOut(0, b""),))
    without = Transaction(2, (TxIn(OutPoint(digest("a"), 0)),), (TxOut(0, b""),))
    extra = with_input.weight - 2 - without.weight
    assert -(-(4 * 41 + extra) // 4) == vsize


def _build(version: int = 0, **changes: object) -> Settlement:
    deposits = (deposit("a", 100_000_000), deposit("b", 70_000, holder=0))
    payouts = (payout(1, 30_000_000), payout(2, 1_000))
    chosen = replace(plan(deposits, payouts), **changes)  # type: ignore[arg-type]
    return build_settlement(
        CONTEXT, chosen, version, STATE_ROOT, commitment(NETWORK, chosen, facts())
    )


ALL_NAMES = vault_names(0, 4) + vault_names(1, 4)


def test_a_settlement_is_accepted_with_just_enough_weight_on_every_input() -> None:
    settlement = _build()
    names = vault_names(0, 4)[:2] + vault_names(1, 4)[1:]
    signatures = signatures_by(settlement, names)
    for member, by_input in signatures.items():
        assert settlement.has_valid_signatures(member, by_input)
    signed = settlement.assemble(signatures)
    assert signed is not None
    assert verify_transaction(signed.serialize(), settlement.unsigned.spent)
    assert signed.txid == settlement.txid
    assert signed.vsize <= settlement.worst_vsize
    too_few = {k: v for k, v in signatures.items() if k != key("vault 1 1")}
    assert settlement.assemble(too_few) is None


def test_the_worst_case_size_is_the_size_with_all_keys() -> None:
    settlement = _build()
    signatures = signatures_by(settlement, ALL_NAMES)
    witnesses = []
    for index, (holder, output) in enumerate(
        zip(settlement.holders, settlement.taproots, strict=True)
    ):
        stack = [bytes(signatures[member.key][index]) for member in reversed(holder.members)]
        witnesses.append((*stack, vault_leaf(holder), output.control_block(VAULT_LEAF)))
    signed = settlement.unsigned.transaction.with_witnesses(tuple(witnesses))
    assert verify_transaction(signed.serialize(), settlement.unsigned.spent)
    assert signed.vsize == settlement.worst_vsize
    assert settlement.fee == -(-settlement.worst_vsize * 2_000 // 1_000)


def test_versions_differ_in_the_vault_value_alone() -> None:
    versions = [_build(version) for version in range(4)]
    for before, after in itertools.pairwise(versions):
        assert after.fee > before.fee
        one, other = before.unsigned.transaction, after.unsigned.transaction
        assert one.inputs == other.inputs
        assert one.outputs[1:] == other.outputs[1:]
        assert one.outputs[0].script == other.outputs[0].script
        assert before.vault_value - after.vault_value == after.fee - before.fee
    signed = versions[2].assemble(signatures_by(versions[2], ALL_NAMES))
    assert signed is not None
    assert version_of(versions, signed) is versions[2]
    assert version_of(versions[:2], signed) is None


def test_a_signature_binds_everything() -> None:
    settlement = _build()
    signed = settlement.assemble(signatures_by(settlement, ALL_NAMES))
    assert signed is not None
    spent = settlement.unsigned.spent
    outputs = list(signed.outputs)
    stolen = [outputs[0]._replace(value=outputs[0].value - 1), *outputs[1:]]
    variations = [
        replace(signed, outputs=tuple(stolen)),
        replace(signed, outputs=tuple(outputs[:-1])),
        replace(signed, outputs=(*outputs[:2], outputs[3], outputs[2])),
        replace(signed, version=3),
        replace(signed, lock_time=1),
        replace(signed, inputs=(signed.inputs[0]._replace(sequence=0), *signed.inputs[1:])),
    ]
    assert [first_invalid_input(item.serialize(), spent) for item in variations] == [0] * 6


def test_signatures_of_strangers_or_for_other_inputs_do_not_count() -> None:
    settlement = _build()
    by_input = signatures_by(settlement, ["vault 1 0"])[key("vault 1 0")]
    assert settlement.inputs_of(key("vault 1 0")) == (0, 1)
    assert settlement.inputs_of(key("vault 0 0")) == (2,)
    assert not settlement.has_valid_signatures(key("stranger"), {})
    assert not settlement.has_valid_signatures(key("stranger"), by_input)
    assert not settlement.has_valid_signatures(key("vault 1 1"), by_input)
    assert not settlement.has_valid_signatures(key("vault 1 0"), {0: by_input[0]})
    assert not settlement.has_valid_signatures(key("vault 1 0"), {0: by_input[1], 1: by_input[1]})
    assert not settlement.has_valid_signatures(key("vault 1 0"), {**by_input, 2: by_input[0]})


def test_a_hand_over_pays_the_next_generation() -> None:
    successor = generation(2, [1, 1, 1])
    settlement = _build(hand_over=successor)
    outputs = settlement.unsigned.transaction.outputs
    assert outputs[0].script == vault_output(successor).script
    assert settlement.holders[0].number == 1
    signed = settlement.assemble(signatures_by(settlement, ALL_NAMES))
    assert signed is not None
    assert verify_transaction(signed.serialize(), settlement.unsigned.spent)


@pytest.mark.parametrize(
    ("changes", "version", "message"),
    [
        ({"generation": 5}, 0, "unknown-generation: generation 5"),
        ({}, 9, "fee-version: 9 of 8"),
        ({"payouts": (payout(1, 150_069_000),)}, 0, "vault-underfunded: -372 sat would be left"),
    ],
)
def test_impossible_plans_are_refused(
    changes: dict[str, object], version: int, message: str
) -> None:
    with pytest.raises(RemoteError) as caught:
        _build(version, **changes)
    assert str(caught.value) == message


@pytest.mark.parametrize("count", [1, 4, 32, 100])
def test_the_limits_fill_what_relays_forward(count: int) -> None:
    holder = generation(1, [1] * count)
    context = SettlementContext(NETWORK, {1: holder}, TIMEOUT)
    deposits_limit, payouts_limit = settlement_limits(holder)
    deposits = tuple(deposit(str(i), 60_000) for i in range(deposits_limit))
    payouts = tuple(payout(i, 1_000) for i in range(payouts_limit))
    full = plan(deposits, payouts)
    size = worst_case_vsize(context, full)
    assert SETTLEMENT_VSIZE_MAX - 4_000 < size <= SETTLEMENT_VSIZE_MAX
    many = tuple(payout(i, 1_000) for i in range(payouts_limit + 100))
    with pytest.raises(RemoteError) as caught:
        build_settlement(context, replace(full, payouts=many), 0, STATE_ROOT, digest("c"))
    assert str(caught.value) == f"settlement-too-large: {size + 4_300} vB"


def test_feerates_are_integers_that_everybody_computes_alike() -> None:
    rates = [feerate_of_version(SatsPerKvb(1_001), SatsPerKvb(5_000), b) for b in range(6)]
    assert rates == [1_001, 1_501, 2_252, 3_378, 5_000, 5_000]
    low, high = SatsPerKvb(1_000), SatsPerKvb(50_000)
    for proposed, is_allowed in [(999, False), (1_000, True), (4_000, True), (4_001, False)]:
        assert is_feerate_allowed(SatsPerKvb(proposed), SatsPerKvb(2_000), low, high) is is_allowed
    assert not is_feerate_allowed(SatsPerKvb(999), SatsPerKvb(2_000), SatsPerKvb(1), high)


def _reclaim_case() -> tuple[list[TxOut], Transaction]:
    holder = GENERATIONS[1]
    reclaim = build_reclaim(
        holder,
        key("user"),
        TIMEOUT,
        OutPoint(digest("v-in"), 0),
        Sats(100_000),
        DESTINATION,
        SatsPerKvb(2_000),
    )
    signed = reclaim.complete(sign(secret("user"), reclaim.message))
    assert reclaim.unsigned.fee == -(-signed.vsize * 2_000 // 1_000)
    return list(reclaim.unsigned.spent), signed


def test_the_user_takes_a_deposit_back_after_the_timeout_only() -> None:
    spent, signed = _reclaim_case()
    assert verify_transaction(signed.serialize(), spent)
    early = replace(signed, inputs=(signed.inputs[0]._replace(sequence=TIMEOUT - 1),))
    output = deposit_output(GENERATIONS[1], key("user"), TIMEOUT)
    message = TaprootSighash(early, spent).script_path(0, output.leaves[1])
    witness = (bytes(sign(secret("user"), message)), *signed.inputs[0].witness[1:])
    assert not verify_transaction(early.with_witnesses((witness,)).serialize(), spent)


def test_a_reclaim_by_another_key_is_refused() -> None:
    spent, signed = _reclaim_case()
    output = deposit_output(GENERATIONS[1], key("user"), TIMEOUT)
    message = TaprootSighash(signed, spent).script_path(0, output.leaves[1])
    witness = (bytes(sign(secret("thief"), message)), *signed.inputs[0].witness[1:])
    assert not verify_transaction(signed.with_witnesses((witness,)).serialize(), spent)


def test_a_reclaim_that_costs_more_than_it_returns_is_refused() -> None:
    with pytest.raises(RemoteError) as caught:
        build_reclaim(
            GENERATIONS[1],
            key("user"),
            TIMEOUT,
            OutPoint(digest("v-in"), 0),
            Sats(500),
            DESTINATION,
            SatsPerKvb(2_000),
        )
    assert str(caught.value) == "vault-underfunded: 500 sat do not pay their way back"


def test_the_recovery_leaf_spends_the_vault_after_its_timeout_only() -> None:
    helpers = generation(8, [1, 1, 1]).members
    recovery = RecoveryLeaf(helpers, 67, 26_208)
    output = vault_output(GENERATIONS[1], recovery)
    assert recovery.script().hex().startswith("026066b275")
    for sequence, is_ripe in [(26_208, True), (26_207, False), (0xFFFFFFFD, False)]:
        transaction, spent = _spend_of(output.script)
        transaction = replace(
            transaction, inputs=(transaction.inputs[0]._replace(sequence=sequence),)
        )
        message = TaprootSighash(transaction, spent).script_path(0, output.leaves[1])
        names = vault_names(8, 3)
        stack = (bytes(sign(secret(name), message)) for name in reversed(names))
        witness = (*stack, recovery.script(), output.control_block(1))
        signed = transaction.with_witnesses((witness,)).serialize()
        assert verify_input(signed, 0, spent) is is_ripe
    settlement = build_settlement(
        replace(CONTEXT, recovery=recovery), plan(), 0, STATE_ROOT, digest("c")
    )
    signed_settlement = settlement.assemble(signatures_by(settlement, vault_names(1, 4)))
    assert signed_settlement is not None
    assert verify_transaction(signed_settlement.serialize(), settlement.unsigned.spent)


def test_the_vault_signs_defaults_only_in_settlements_but_the_leaf_takes_other_types() -> None:
    """The engine would take a signature of another type; `has_valid_signatures` does not."""
    settlement = _build()
    leaf = settlement.taproots[0].leaves[VAULT_LEAF]
    message = settlement.unsigned.sighash.script_path(0, leaf, SighashType.NONE)
    signature = sign(secret("vault 1 0"), message)
    assert len(witness_signature(signature, SighashType.NONE)) == 65
    assert not settlement.has_valid_signatures(key("vault 1 0"), {0: signature, 1: signature})


def test_deposits_are_found_as_announced() -> None:
    request = DepositRequest(1, key("account"), key("user"))
    outputs = deposit_outputs(NETWORK, GENERATIONS[1], request, Sats(60_000), TIMEOUT)
    change = TxOut(5, DESTINATION)
    inputs = (TxIn(OutPoint(digest("i"), 0)),)
    transaction = Transaction(2, inputs, (change, *outputs, outputs[0]))
    found = deposits_in(NETWORK, transaction, GENERATIONS, TIMEOUT)
    assert [(item.vout, item.value) for item in found] == [(1, 60_000), (3, 60_000)]
    assert all(item.request == request for item in found)
    other_timeout = deposits_in(NETWORK, transaction, GENERATIONS, TIMEOUT + 1)
    other_network = deposits_in("signet", transaction, GENERATIONS, TIMEOUT)
    unknown = deposits_in(NETWORK, transaction, {0: GENERATIONS[0]}, TIMEOUT)
    doubled = replace(transaction, outputs=(*transaction.outputs, outputs[1]))
    assert other_timeout == other_network == unknown == ()
    assert deposits_in(NETWORK, doubled, GENERATIONS, TIMEOUT) == ()


def test_a_deposit_to_a_recipient_that_cannot_exist_is_none() -> None:
    wrong = DepositRequest(1, XOnlyKey(bytes(32)), key("user"))
    outputs = deposit_outputs(NETWORK, GENERATIONS[1], wrong, Sats(60_000), TIMEOUT)
    transaction = Transaction(2, (TxIn(OutPoint(digest("i"), 0)),), outputs)
    assert deposits_in(NETWORK, transaction, GENERATIONS, TIMEOUT) == ()


@given(st.integers(1, 100))
def test_multiplication_by_every_weight(weight: int) -> None:
    """One signer of weight w passes a threshold of w and no higher one, on the engine."""
    member = replace(GENERATIONS[1].members[0], weight=weight)
    for threshold, is_enough in [(weight, True), (weight + 1, False)]:
        script = threshold_script([member], threshold)
        output = vault_output(GENERATIONS[1])
        output = replace(output, leaves=(type(output).of_scripts([script]).leaves[0],))
        transaction, spent = _spend_of(output.script)
        message = TaprootSighash(transaction, spent).script_path(0, output.leaves[0])
        witness = (bytes(sign(secret("vault 1 0"), message)), script, output.control_block(0))
        signed = transaction.with_witnesses((witness,)).serialize()
        assert verify_input(signed, 0, spent) is is_enough
