"""Bitcoin Core's engine behind our door: signatures, odd arguments, blocks."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from p2p_seq.bitcoin.engine import (
    KernelChain,
    first_invalid_input,
    open_chain,
    verify_input,
    verify_transaction,
)
from p2p_seq.bitcoin.sighash import SighashType, TaprootSighash, witness_signature
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.protocol.errors import CodecError, OperatorError
from p2p_seq.protocol.types import Hash32, OutPoint
from p2p_seq.signer.schnorr import sign_key_path
from tests.support.keys import key, secret

SPENT = [TxOut(50_000, key_path_script(key("engine"))), TxOut(7, b"\x51")]
UNSIGNED = Transaction(
    2,
    (TxIn(OutPoint(Hash32(b"\1" * 32), 0)), TxIn(OutPoint(Hash32(b"\2" * 32), 3))),
    (TxOut(40_000, b"\x51"),),
)


def signed(spent: Sequence[TxOut] = SPENT) -> Transaction:
    message = TaprootSighash(UNSIGNED, spent).key_path(0, SighashType.DEFAULT)
    signature = sign_key_path(secret("engine"), message)
    witness = witness_signature(signature, SighashType.DEFAULT)
    return UNSIGNED.with_witnesses(((witness,), ()))


def test_valid_spend_of_two_kinds() -> None:
    encoded = signed().serialize()
    assert verify_input(encoded, 0, SPENT)
    assert verify_input(encoded, 1, SPENT)
    assert verify_transaction(encoded, SPENT)
    assert first_invalid_input(encoded, SPENT) is None


def test_every_change_breaks_the_signature() -> None:
    encoded = signed().serialize()
    other_amount = [SPENT[0]._replace(value=50_001), SPENT[1]]
    other_sibling = [SPENT[0], TxOut(8, b"\x51")]
    assert not verify_input(encoded, 0, other_amount)
    assert not verify_input(encoded, 0, other_sibling)
    assert first_invalid_input(UNSIGNED.serialize(), SPENT) == 0
    closed = [SPENT[0], TxOut(7, b"\x00")]
    assert first_invalid_input(signed(closed).serialize(), closed) == 1
    assert not verify_transaction(signed(closed).serialize(), closed)


def test_arguments_that_would_end_the_process() -> None:
    encoded = signed().serialize()
    with pytest.raises(ValueError, match=r"^input 2 of 2$"):
        verify_input(encoded, 2, SPENT)
    with pytest.raises(ValueError, match=r"^input -1 of 2$"):
        verify_input(encoded, -1, SPENT)
    with pytest.raises(ValueError, match=r"^1 spent outputs for 2 inputs$"):
        verify_input(encoded, 0, SPENT[:1])
    with pytest.raises(CodecError):
        verify_input(encoded + b"\0", 0, SPENT)
    with pytest.raises(CodecError):
        verify_input(b"", 0, SPENT)


def test_empty_script_is_no_crash() -> None:
    assert not verify_input(signed().serialize(), 1, [SPENT[0], TxOut(7, b"")])


def test_chain_on_disk(tmp_path: Path) -> None:
    with open_chain(tmp_path) as chain:
        genesis, height = chain.tip()
        assert height == 0
        assert len(chain.genesis()) == 285
        chain.reopen()
        assert chain.tip() == (genesis, 0)
        assert chain.process(b"garbage").reject_reason == "bad-block-encoding"
        assert chain.process(chain.genesis()).is_new is False
        with pytest.raises(OperatorError) as refused:
            KernelChain(tmp_path)
        assert refused.value.what == f"cannot open the Bitcoin chain in {tmp_path}"
    with open_chain(tmp_path) as chain:
        assert chain.tip() == (genesis, 0)
