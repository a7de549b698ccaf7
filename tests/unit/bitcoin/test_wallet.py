"""Keys, signing, coin selection, fees and change."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.bitcoin.engine import verify_transaction
from p2p_seq.bitcoin.keys import is_xonly_key, parse_xonly_key, tweak_add, verify
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.bitcoin.wallet import Coin, build_child, build_payment, fee_for, key_path_vsize
from p2p_seq.protocol.errors import CodecError, LocalError, RemoteError
from p2p_seq.protocol.types import OutPoint, SatsPerKvb, XOnlyKey
from p2p_seq.signer.schnorr import GROUP_ORDER, is_secret, public_key, sign
from p2p_seq.signer.spending import sign_payment
from tests.support.keys import digest, key, secret

RATE = SatsPerKvb(1_500)
CHANGE = key_path_script(key("change"))


def _coins(values: list[int]) -> list[Coin]:
    return [
        Coin(OutPoint(digest(f"coin {i}"), i), TxOut(value, key_path_script(key(f"owner {i}"))))
        for i, value in enumerate(values)
    ]


def test_signatures_are_deterministic_and_bound_to_key_and_message() -> None:
    signature = sign(secret("a"), digest("m"))
    assert signature == sign(secret("a"), digest("m"))
    assert verify(key("a"), digest("m"), signature)
    assert not verify(key("b"), digest("m"), signature)
    assert not verify(key("a"), digest("n"), signature)
    assert not verify(key("a"), digest("m"), signature[:-1])
    assert not verify(key("a"), digest("m")[:-1], signature)
    assert not verify(key("a")[:-1], digest("m"), signature)


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=70))
def test_hostile_bytes_never_verify_and_never_raise(
    hostile_key: bytes, message: bytes, signature: bytes
) -> None:
    assert not verify(hostile_key, message, signature)


def test_keys_that_are_no_points_are_refused() -> None:
    assert is_xonly_key(key("a"))
    for encoded in (b"", key("a")[:31], key("a") + b"\x00", b"\xff" * 32, bytes(32)):
        assert not is_xonly_key(encoded)
        with pytest.raises(CodecError):
            parse_xonly_key(encoded)
        with pytest.raises(CodecError):
            tweak_add(XOnlyKey(encoded), bytes(32))
    with pytest.raises(CodecError):
        tweak_add(key("a"), b"\xff" * 32)


@pytest.mark.parametrize(
    "wrong", [b"", bytes(32), GROUP_ORDER.to_bytes(32, "big"), b"\xff" * 32, b"\x01" * 31]
)
def test_what_is_no_secret_signs_nothing_and_is_not_shown(wrong: bytes) -> None:
    assert not is_secret(wrong)
    for act in (lambda: sign(wrong, bytes(32)), lambda: public_key(wrong)):
        with pytest.raises(LocalError) as caught:
            act()
        assert str(caught.value) == "not a secret key of secp256k1"


def test_only_messages_of_32_bytes_are_signed() -> None:
    with pytest.raises(LocalError) as caught:
        sign(secret("a"), b"short")
    assert str(caught.value) == "a message to sign has 32 bytes, not 5"


def test_a_payment_is_accepted_and_its_fee_is_what_the_size_costs() -> None:
    coins = _coins([40_000, 90_000, 20_000])
    outputs = [TxOut(100_000, key_path_script(key("payee"))), TxOut(0, b"\x6a\x01x")]
    unsigned = build_payment(coins, outputs, CHANGE, RATE)
    signed = sign_payment(unsigned, [secret(f"owner {i}") for i in range(3)])
    assert verify_transaction(signed.serialize(), unsigned.spent)
    assert signed.outputs[:2] == tuple(outputs)
    assert signed.outputs[2].script == CHANGE
    assert unsigned.fee == fee_for(signed.vsize, RATE) == -(-signed.vsize * RATE // 1000)
    assert [coin.value for coin in unsigned.spent] == [90_000, 40_000]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_same_coins_in_any_order_make_the_same_payment(order: tuple[int, ...]) -> None:
    coins = _coins([50_000, 50_000, 60_000])
    outputs = [TxOut(55_000, CHANGE)]
    shuffled = [coins[i] for i in order]
    assert build_payment(shuffled, outputs, CHANGE, RATE) == build_payment(
        coins, outputs, CHANGE, RATE
    )


@given(
    st.lists(st.integers(1, 200_000), min_size=1, max_size=8),
    st.lists(st.integers(330, 100_000), min_size=1, max_size=4),
    st.integers(0, 50_000),
)
def test_payments_balance(values: list[int], amounts: list[int], rate: int) -> None:
    outputs = [TxOut(amount, CHANGE) for amount in amounts]
    feerate = SatsPerKvb(rate)
    cheapest = [
        sum(sorted(values)[-count:]) - fee_for(key_path_vsize(count, outputs), feerate)
        for count in range(1, len(values) + 1)
    ]
    if max(cheapest) < sum(amounts):
        with pytest.raises(RemoteError):
            build_payment(_coins(values), outputs, CHANGE, feerate)
        return
    unsigned = build_payment(_coins(values), outputs, CHANGE, feerate)
    transaction = unsigned.transaction
    size = key_path_vsize(len(transaction.inputs), transaction.outputs)
    minimum = fee_for(size, feerate)
    assert minimum <= unsigned.fee < minimum + 330 + fee_for(44, feerate)
    assert transaction.outputs[: len(outputs)] == tuple(outputs)


def test_dust_and_poverty_are_named() -> None:
    with pytest.raises(RemoteError) as caught:
        build_payment(_coins([50_000]), [TxOut(329, CHANGE)], CHANGE, RATE)
    assert str(caught.value) == "dust-output: an output of 329 sat"
    with pytest.raises(RemoteError) as caught:
        build_payment(_coins([5_000]), [TxOut(5_000, CHANGE)], CHANGE, RATE)
    assert str(caught.value) == "insufficient-funds: 5000 sat in 1 coins, 5167 needed"
    with pytest.raises(RemoteError) as caught:
        build_payment([], [TxOut(5_000, CHANGE)], CHANGE, RATE)
    assert str(caught.value) == "insufficient-funds: 0 sat in 0 coins, 5000 needed"


def test_a_strangers_coin_is_not_signed() -> None:
    unsigned = build_payment(_coins([50_000]), [TxOut(1_000, CHANGE)], CHANGE, RATE)
    with pytest.raises(LocalError) as caught:
        sign_payment(unsigned, [secret("stranger")])
    assert str(caught.value) == "an input of the payment belongs to another wallet"


@pytest.mark.parametrize("rate", [500, 1_500, 20_000])
def test_a_child_pays_for_its_parent(rate: int) -> None:
    parent = build_payment(_coins([90_000]), [TxOut(40_000, b"\x51\x20" + key("a"))], CHANGE, RATE)
    signed_parent = sign_payment(parent, [secret("owner 0")])
    child = build_child(parent, signed_parent.vsize, 1, CHANGE, SatsPerKvb(rate))
    owner = TxOut(child.spent[0].value, key_path_script(key("change")))
    assert child.spent == (owner,)
    signed = sign_payment(child, [secret("change")])
    assert verify_transaction(signed.serialize(), child.spent)
    together = signed.vsize + signed_parent.vsize
    if rate > RATE:
        assert parent.fee + child.fee == -(-together * rate // 1_000)
    else:
        assert child.fee == -(-signed.vsize * rate // 1_000)


def test_a_child_that_cannot_pay_is_refused() -> None:
    parent = build_payment(_coins([90_000]), [TxOut(40_000, b"\x51\x20" + key("a"))], CHANGE, RATE)
    with pytest.raises(RemoteError) as caught:
        build_child(parent, 154, 1, CHANGE, SatsPerKvb(200_000))
    assert str(caught.value) == "insufficient-funds: 49769 sat, 52769 needed for the fee"


@pytest.mark.parametrize(("change", "has_change"), [(330, True), (329, False), (0, False)])
def test_change_below_the_dust_limit_goes_to_the_miner(change: int, has_change: bool) -> None:
    outputs = [TxOut(40_000, CHANGE)]
    fee = fee_for(key_path_vsize(1, [*outputs, TxOut(0, CHANGE)]), RATE)
    unsigned = build_payment(_coins([40_000 + fee + change]), outputs, CHANGE, RATE)
    assert len(unsigned.transaction.outputs) == 1 + has_change
    assert unsigned.fee == fee + (0 if has_change else change)
