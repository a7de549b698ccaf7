"""Stake, slash and refund on Bitcoin's own engine, with every variation that has to be refused."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.bitcoin.engine import first_invalid_input, verify_input, verify_transaction
from p2p_seq.bitcoin.keys import is_xonly_key
from p2p_seq.bitcoin.script import check_signature
from p2p_seq.bitcoin.sighash import SighashType, witness_signature
from p2p_seq.bitcoin.taproot import key_path_script, leaf_hash
from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.bitcoin.wallet import Coin, UnsignedTransaction
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.types import Height, OutPoint, Sats, SatsPerKvb, Signature
from p2p_seq.signer.schnorr import sign
from p2p_seq.signer.spending import sign_payment
from p2p_seq.staking.scripts import (
    BURN_KEY,
    BURN_SEED,
    ConnectorSpend,
    StakeNote,
    StakeTerms,
    owner_leaf,
    parse_stake_op_return,
)
from p2p_seq.staking.transactions import (
    PreSignatures,
    build_refund,
    build_slash,
    build_stake,
    check_presignatures,
    check_refund,
    check_stake,
    refund_message,
    slash_message,
)
from tests.support.keys import digest, key, secret

VECTORS = Path(__file__).parents[2] / "vectors" / "staking.json"
NETWORK = "regtest"
RATE = SatsPerKvb(2_000)
CHALLENGER = key_path_script(key("challenger"))
HOME = key_path_script(key("home"))
TXID = digest("stake txid")


def _terms(members: int = 4, fraud_leaves: Sequence[bytes] = ()) -> StakeTerms:
    return StakeTerms(
        key("owner"),
        key("consensus"),
        tuple(key(f"cosign {i}") for i in range(members)),
        Height(400),
        Sats(1_000_000_000),
        Sats(900_000_000),
        tuple(leaf_hash(script) for script in fraud_leaves),
    )


def _presigned(terms: StakeTerms, members: int = 4) -> PreSignatures:
    slash, refund = slash_message(terms, TXID), refund_message(terms, TXID)
    names = [f"cosign {i}" for i in range(members)]
    return PreSignatures(
        sign(secret("owner"), slash),
        tuple(sign(secret(name), slash) for name in names),
        tuple(sign(secret(name), refund) for name in names),
    )


def _slashed(terms: StakeTerms, presigned: PreSignatures) -> Transaction:
    slash = build_slash(terms, TXID, presigned, CHALLENGER, RATE)
    return slash.complete_key_leak(sign(secret("consensus"), slash.key_leak_message))


def _resigned(terms: StakeTerms, transaction: Transaction) -> Transaction:
    """The same slash with F signed anew: what a thief of the consensus key can do."""
    unsigned = UnsignedTransaction(transaction, terms.spent_outputs)
    message = unsigned.sighash.script_path(1, terms.connector.leaves[1])
    connector = transaction.inputs[1].witness
    witness = (bytes(sign(secret("consensus"), message)), *connector[1:])
    return transaction.with_witnesses((transaction.inputs[0].witness, witness))


@pytest.mark.parametrize("members", [0, 1, 4, 22])
def test_slash_and_refund_are_accepted(members: int) -> None:
    terms = _terms(members)
    presigned = _presigned(terms, members)
    check_presignatures(terms, TXID, presigned)
    slashed = _slashed(terms, presigned)
    assert verify_transaction(slashed.serialize(), terms.spent_outputs)
    assert slashed.outputs[0] == terms.burn_output
    free = terms.value + 1_000 - terms.burn
    assert slashed.outputs[1].value == free - -(-slashed.vsize * RATE // 1_000)
    refund = build_refund(terms, TXID, presigned, HOME, RATE)
    bond, connector = refund.messages()
    complete = check_refund(refund, sign(secret("owner"), bond), sign(secret("owner"), connector))
    assert complete.lock_time == 400
    assert refund.unsigned.fee == -(-complete.vsize * RATE // 1_000)


def test_weights_with_four_cosigners() -> None:
    terms = _terms()
    presigned = _presigned(terms)
    refund = build_refund(terms, TXID, presigned, HOME, RATE)
    complete = refund.complete(*(sign(secret("owner"), item) for item in refund.messages()))
    assert (_slashed(terms, presigned).weight, complete.weight) == (1_417, 1_249)
    more = _terms(32)
    assert _slashed(more, _presigned(more, 32)).weight - 1_417 == 28 * 100 + 2


def test_the_challenger_chooses_further_outputs_and_a_lower_fee() -> None:
    terms = _terms()
    slashed = _slashed(terms, _presigned(terms))
    free = terms.value + 1_000 - terms.burn
    for outputs in ([TxOut(free, HOME)], [TxOut(1_000, HOME)] * 5, []):
        varied = _resigned(terms, replace(slashed, outputs=(terms.burn_output, *outputs)))
        assert verify_transaction(varied.serialize(), terms.spent_outputs)


def test_every_variation_of_a_slash_that_touches_what_was_signed_is_refused() -> None:
    terms = _terms()
    slashed = _slashed(terms, _presigned(terms))
    bond, connector = slashed.inputs
    burn = slashed.outputs[0]
    variations = {
        "lower burn": replace(
            slashed, outputs=(burn._replace(value=burn.value - 1), *slashed.outputs[1:])
        ),
        "burn to the owner": replace(slashed, outputs=(burn._replace(script=HOME),)),
        "burn not first": replace(slashed, outputs=slashed.outputs[::-1]),
        "other sequence of S": replace(slashed, inputs=(bond._replace(sequence=0), connector)),
        "other sequence of F": replace(slashed, inputs=(bond, connector._replace(sequence=0))),
        "other version": replace(slashed, version=3),
        "other lock time": replace(slashed, lock_time=400),
    }
    accepted = [
        name
        for name, varied in variations.items()
        if verify_input(_resigned(terms, varied).serialize(), 0, terms.spent_outputs)
    ]
    assert accepted == []


def test_a_slash_takes_no_further_input_for_its_fee() -> None:
    terms = _terms()
    slashed = _slashed(terms, _presigned(terms))
    extra = TxIn(OutPoint(digest("fee coin"), 0), witness=(bytes(64),))
    spent = (*terms.spent_outputs, TxOut(50_000, HOME))
    varied = replace(slashed, inputs=(*slashed.inputs, extra))
    assert not verify_input(varied.serialize(), 0, spent)


def test_s_cannot_be_taken_without_f() -> None:
    terms = _terms()
    slashed = _slashed(terms, _presigned(terms))
    alone = replace(slashed, inputs=slashed.inputs[:1])
    assert not verify_input(alone.serialize(), 0, terms.spent_outputs[:1])
    other = slashed.inputs[1]._replace(previous=OutPoint(digest("another F"), 1))
    replaced = replace(slashed, inputs=(slashed.inputs[0], other))
    assert not verify_input(replaced.serialize(), 0, terms.spent_outputs)


def _refunded(terms: StakeTerms, presigned: PreSignatures) -> Transaction:
    refund = build_refund(terms, TXID, presigned, HOME, RATE)
    return refund.complete(*(sign(secret("owner"), item) for item in refund.messages()))


def _owner_signed(terms: StakeTerms, transaction: Transaction) -> Transaction:
    """The same refund with the owner's two signatures anew."""
    unsigned = UnsignedTransaction(transaction, terms.spent_outputs)
    bond, connector = (item.witness for item in transaction.inputs)
    one = sign(secret("owner"), unsigned.sighash.script_path(0, terms.bond.leaves[0]))
    two = sign(secret("owner"), unsigned.sighash.script_path(1, terms.connector.leaves[0]))
    return transaction.with_witnesses(((bytes(one), *bond[1:]), (bytes(two), *connector[1:])))


def test_the_owner_chooses_outputs_and_fee_of_the_refund() -> None:
    terms = _terms()
    refunded = _refunded(terms, _presigned(terms))
    for outputs in ((TxOut(5, b"\x51"),), (TxOut(terms.value, HOME), TxOut(700, CHALLENGER))):
        varied = _owner_signed(terms, replace(refunded, outputs=outputs))
        assert verify_transaction(varied.serialize(), terms.spent_outputs)


def test_a_third_party_cannot_change_the_refund() -> None:
    terms = _terms()
    refunded = _refunded(terms, _presigned(terms))
    varied = replace(refunded, outputs=(TxOut(refunded.outputs[0].value, CHALLENGER),))
    assert first_invalid_input(varied.serialize(), terms.spent_outputs) == 0
    assert not verify_input(varied.serialize(), 1, terms.spent_outputs)


@pytest.mark.parametrize("lock_time", [0, 399, 401])
def test_the_refund_has_its_lock_time_only(lock_time: int) -> None:
    """An earlier one also fails the owner leaf; a later one fails the committee's signatures."""
    terms = _terms()
    refunded = _refunded(terms, _presigned(terms))
    varied = _owner_signed(terms, replace(refunded, lock_time=lock_time)).serialize()
    assert not verify_input(varied, 0, terms.spent_outputs)
    assert verify_input(varied, 1, terms.spent_outputs) is (lock_time > 400)


def test_the_refund_needs_a_sequence_that_enables_its_lock_time() -> None:
    terms = _terms()
    refunded = _refunded(terms, _presigned(terms))
    bond, connector = refunded.inputs
    varied = replace(refunded, inputs=(bond, connector._replace(sequence=0xFFFFFFFF)))
    varied = _owner_signed(terms, varied)
    assert first_invalid_input(varied.serialize(), terms.spent_outputs) == 0
    assert not verify_input(varied.serialize(), 1, terms.spent_outputs)


def test_the_owner_cannot_refund_early_through_its_own_key_leak() -> None:
    """R: the owner knows its consensus key, opens F by that leaf and sets no lock time."""
    terms = _terms()
    refunded = _refunded(terms, _presigned(terms))
    for lock_time in (0, 400):
        draft = replace(refunded, lock_time=lock_time)
        unsigned = UnsignedTransaction(draft, terms.spent_outputs)
        leaf = terms.connector.leaves[1]
        leaked = sign(secret("consensus"), unsigned.sighash.script_path(1, leaf))
        owner = sign(secret("owner"), unsigned.sighash.script_path(0, terms.bond.leaves[0]))
        bond = (bytes(owner), *refunded.inputs[0].witness[1:])
        connector = (bytes(leaked), terms.key_leak_script, terms.connector.control_block(1))
        varied = draft.with_witnesses((bond, connector)).serialize()
        assert verify_input(varied, 1, terms.spent_outputs)
        assert verify_input(varied, 0, terms.spent_outputs) is (lock_time == 400)


def test_presignatures_of_one_kind_do_not_serve_as_the_other() -> None:
    terms = _terms()
    presigned = _presigned(terms)
    swapped = replace(
        presigned,
        committee_slash=presigned.committee_refund,
        committee_refund=presigned.committee_slash,
    )
    slashed = _slashed(terms, swapped)
    assert not verify_input(slashed.serialize(), 0, terms.spent_outputs)
    refunded = _refunded(terms, swapped)
    assert not verify_input(refunded.serialize(), 0, terms.spent_outputs)


def _refusal(terms: StakeTerms, presigned: PreSignatures) -> str:
    with pytest.raises(RemoteError) as caught:
        check_presignatures(terms, TXID, presigned)
    return str(caught.value)


def test_every_wrong_presignature_is_found_and_named() -> None:
    terms = _terms()
    good = _presigned(terms)
    forged = Signature(good.owner_slash[:-1] + bytes([good.owner_slash[-1] ^ 1]))
    engine_says = "slash-presignature: the engine refuses the spend of S"
    assert _refusal(terms, replace(good, owner_slash=forged)) == engine_says
    for position in range(4):
        slash = list(good.committee_slash)
        slash[position] = forged
        assert _refusal(terms, replace(good, committee_slash=tuple(slash))) == engine_says
        refund = list(good.committee_refund)
        refund[position] = forged
        assert _refusal(terms, replace(good, committee_refund=tuple(refund))) == (
            f"refund-presignature: of co-signer {position}"
        )
    assert _refusal(terms, replace(good, committee_slash=good.committee_slash[1:])) == (
        "presignature-count: one slash signature a co-signer"
    )
    assert _refusal(terms, replace(good, committee_refund=good.committee_refund[:-1])) == (
        "presignature-count: one refund signature a co-signer"
    )
    reordered = replace(good, committee_slash=good.committee_slash[::-1])
    assert _refusal(terms, reordered) == engine_says


@pytest.mark.parametrize(
    "change",
    [
        {"refund_height": Height(401)},
        {"burn": Sats(899_999_999)},
        {"value": Sats(1_000_000_001)},
        {"consensus": key("another consensus key")},
        {"owner": key("another owner")},
        {"fraud_leaves": (digest("leaf"),)},
    ],
)
def test_presignatures_bind_every_term(change: dict[str, object]) -> None:
    good = _presigned(_terms())
    other = replace(_terms(), **change)  # type: ignore[arg-type]
    with pytest.raises(RemoteError):
        check_presignatures(other, TXID, good)


def test_presignatures_bind_the_stake_transaction() -> None:
    with pytest.raises(RemoteError):
        check_presignatures(_terms(), digest("another stake"), _presigned(_terms()))


def test_any_fraud_leaf_slashes() -> None:
    fraud = [check_signature(key(f"fraud {i}")) for i in range(3)]
    terms = _terms(fraud_leaves=fraud)
    presigned = _presigned(terms)
    for index, script in enumerate(fraud):
        control = terms.connector.control_block(2 + index)
        witness_weight = 1 + 65 + 1 + len(script) + 1 + len(control)
        slash = build_slash(terms, TXID, presigned, CHALLENGER, RATE, witness_weight)
        message = slash.unsigned.sighash.script_path(1, terms.connector.leaves[2 + index])
        witness = (bytes(sign(secret(f"fraud {index}"), message)), script, control)
        slashed = slash.complete(witness)
        assert verify_transaction(slashed.serialize(), terms.spent_outputs)
        assert slash.unsigned.fee == -(-slashed.vsize * RATE // 1_000)
        assert terms.connector_spend(witness) is ConnectorSpend.FRAUD


def test_what_a_spend_of_f_means() -> None:
    terms = _terms()
    presigned = _presigned(terms)
    slashed, refunded = _slashed(terms, presigned), _refunded(terms, presigned)
    assert terms.connector_spend(slashed.inputs[1].witness) is ConnectorSpend.KEY_LEAK
    assert terms.connector_spend(refunded.inputs[1].witness) is ConnectorSpend.OWNER
    with_annex = (*refunded.inputs[1].witness, b"\x50")
    assert terms.connector_spend(with_annex) is ConnectorSpend.OWNER


def test_a_bond_that_cannot_pay_its_fee_is_refused() -> None:
    terms = replace(_terms(), value=Sats(2_000), burn=Sats(2_000))
    presigned = _presigned(terms)
    with pytest.raises(RemoteError) as caught:
        build_slash(terms, TXID, presigned, CHALLENGER, RATE)
    assert str(caught.value) == "bond-below-fee: 1000 sat are free, 290 would be left"
    with pytest.raises(RemoteError) as caught:
        build_refund(terms, TXID, presigned, HOME, SatsPerKvb(10_000))
    assert str(caught.value) == "bond-below-fee: 3000 sat are bonded, -130 would be left"


def _stake() -> tuple[StakeTerms, UnsignedTransaction]:
    terms = _terms()
    coin = Coin(OutPoint(digest("coin"), 3), TxOut(1_100_000_000, key_path_script(key("wallet"))))
    return terms, build_stake(NETWORK, terms, digest("bundle"), [coin], HOME, RATE)


def test_the_stake_transaction_is_what_its_terms_say() -> None:
    terms, unsigned = _stake()
    signed = sign_payment(unsigned, [secret("wallet")])
    assert verify_transaction(signed.serialize(), unsigned.spent)
    assert signed.txid == unsigned.transaction.txid
    check_stake(NETWORK, terms, digest("bundle"), signed)
    assert signed.outputs[3].script == HOME
    note = parse_stake_op_return(NETWORK, signed.outputs[2].script)
    assert note == StakeNote(key("consensus"), digest("bundle"))


def test_other_stake_transactions_are_refused() -> None:
    terms, unsigned = _stake()
    transaction = unsigned.transaction
    outputs = transaction.outputs
    legacy = replace(transaction, inputs=(transaction.inputs[0]._replace(script_sig=b"\x51"),))
    cases = [
        (replace(transaction, outputs=(outputs[1], outputs[0], *outputs[2:])), "stake-outputs"),
        (replace(transaction, outputs=outputs[:2]), "stake-outputs"),
        (
            replace(transaction, outputs=(outputs[0]._replace(value=5), *outputs[1:])),
            "stake-outputs",
        ),
        (legacy, "stake-inputs"),
    ]
    for wrong, reason in cases:
        with pytest.raises(RemoteError) as caught:
            check_stake(NETWORK, terms, digest("bundle"), wrong)
        assert caught.value.reason == reason
    with pytest.raises(RemoteError):
        check_stake(NETWORK, terms, digest("another bundle"), transaction)


def test_stake_notes_are_strict() -> None:
    script = StakeNote(key("consensus"), digest("bundle")).script(NETWORK)
    assert len(script) == 2 + 68
    assert parse_stake_op_return("signet", script) is None
    assert parse_stake_op_return(NETWORK, script[:-1]) is None
    assert parse_stake_op_return(NETWORK, script[:6] + bytes(32) + script[38:]) is None


@given(st.data())
def test_changed_stake_notes_are_refused_or_say_something_else(data: st.DataObject) -> None:
    note = StakeNote(key("consensus"), digest("bundle"))
    script = bytearray(note.script(NETWORK))
    position = data.draw(st.integers(0, len(script) - 1))
    script[position] ^= data.draw(st.integers(1, 255))
    parsed = parse_stake_op_return(NETWORK, bytes(script))
    assert parsed is None or (parsed != note and parsed.script(NETWORK) == script)


def test_the_burn_key_is_derived_from_its_name() -> None:
    """The first point among SHA256(seed || counter): nobody chose it."""
    candidates = (
        hashlib.sha256(BURN_SEED + counter.to_bytes(4, "big")).digest() for counter in range(100)
    )
    assert next(item for item in candidates if is_xonly_key(item)) == BURN_KEY


def test_impossible_terms_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^a slash burns 0 of 1000000000 sat$"):
        replace(_terms(), burn=Sats(0))
    with pytest.raises(ValueError, match=r"^committee of 101$"):
        replace(_terms(), committee=(key("a"),) * 101)
    for height in (0, 500_000_000):
        with pytest.raises(ValueError, match=rf"^refund height {height}$"):
            owner_leaf(key("owner"), Height(height))


def _vectors() -> dict[str, str]:
    terms = _terms(2)
    presigned = _presigned(terms, 2)
    return {
        "network": NETWORK,
        "stake_op_return": StakeNote(key("consensus"), digest("bundle")).script(NETWORK).hex(),
        "bond_leaf": terms.bond_script.hex(),
        "bond_output": terms.bond.script.hex(),
        "owner_leaf": terms.owner_script.hex(),
        "key_leak_leaf": terms.key_leak_script.hex(),
        "connector_output": terms.connector.script.hex(),
        "burn_output": terms.burn_output.serialize().hex(),
        "slash_message": slash_message(terms, TXID).hex(),
        "refund_message": refund_message(terms, TXID).hex(),
        "slash": _slashed(terms, presigned).serialize().hex(),
        "refund": _refunded(terms, presigned).serialize().hex(),
    }


def test_golden_vectors() -> None:
    """Bytes that other programs have to reproduce; they change with the template's version only."""
    assert _vectors() == json.loads(VECTORS.read_text())


def test_presignature_elements_carry_their_type() -> None:
    terms = _terms()
    presigned = _presigned(terms)
    slash_witness = _slashed(terms, presigned).inputs[0].witness
    assert [element[64:] for element in slash_witness[:5]] == [b"\x03"] * 5
    refund_witness = _refunded(terms, presigned).inputs[0].witness
    assert [element[64:] for element in refund_witness[:5]] == [b"", *[b"\x02"] * 4]
    assert witness_signature(presigned.owner_slash, SighashType.SINGLE) == slash_witness[0]
