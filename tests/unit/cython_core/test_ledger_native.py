"""Bulk parsing against the Python twin, and the binding's refusals."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cython_core.ledger._ledger import (
    LedgerFault,
    MalformedTransaction,
    NativeLedger,
    TransactionParser,
    is_payable,
    leaf_paths,
)
from cython_core.merkle._tree import StateTree
from p2p_seq.protocol.errors import CodecError
from p2p_seq.protocol.state import ledger_constants
from p2p_seq.protocol.transactions import (
    SignedTransaction,
    Transfer,
    Withdraw,
    decode_transactions,
    is_payable_script,
)
from p2p_seq.protocol.types import Sats, Signature, XOnlyKey
from tests.unit.ledger.chains import BAD_SCRIPTS, CHAIN_ID, PARAMS, SCRIPTS, Chain

CONSTANTS = ledger_constants(PARAMS, CHAIN_ID)
KEYS = st.binary(min_size=32, max_size=32).map(XOnlyKey)
NUMBERS = st.integers(0, 2**64 - 1)
AMOUNTS = NUMBERS.map(Sats)
ORDERS = st.one_of(
    st.builds(Transfer, KEYS, NUMBERS, AMOUNTS, KEYS, AMOUNTS),
    st.builds(Withdraw, KEYS, NUMBERS, AMOUNTS, AMOUNTS, st.binary(max_size=34)),
)
SIGNED = st.builds(SignedTransaction, ORDERS, st.binary(min_size=64, max_size=64).map(Signature))


@given(st.lists(SIGNED, max_size=8))
def test_parse_batch_says_what_the_twin_says(transactions: list[SignedTransaction]) -> None:
    body = b"".join(transaction.encode() for transaction in transactions)
    parser = TransactionParser(CONSTANTS)
    offset = 0
    expected, triples = [], b""
    for transaction in transactions:
        order, encoded = transaction.order, transaction.encode()
        txid = transaction.id(PARAMS.network, CHAIN_ID)
        expected.append(
            (
                offset,
                len(encoded),
                txid,
                order.sender,
                order.kind,
                order.nonce,
                order.fee,
                order.amount,
            )
        )
        triples += order.sender + txid + transaction.signature
        offset += len(encoded)
    assert parser.parse_batch(body) == expected
    assert parser.signing_triples(body) == triples
    assert decode_transactions(body, len(transactions)) == tuple(transactions)


@settings(max_examples=200)
@given(st.lists(SIGNED, min_size=1, max_size=3), st.integers(0, 2**32))
def test_parser_and_twin_refuse_the_same_bytes(
    transactions: list[SignedTransaction], seed: int
) -> None:
    rng = random.Random(seed)
    body = bytearray(b"".join(transaction.encode() for transaction in transactions))
    length = len(transactions[0].encode())
    for position in (rng.choice((0, 1, 58, length - 65)), rng.randrange(length)):
        body[position] = rng.choice((0, 1, 2, 3, 34, 35, 255))
    changed = bytes(body[: rng.choice((len(body), len(body) - 1, length))])
    try:
        count = len(TransactionParser(CONSTANTS).parse_batch(changed))
    except MalformedTransaction as error:
        with pytest.raises(CodecError):
            decode_transactions(changed[error.offset :], 1)
        with pytest.raises(MalformedTransaction):
            TransactionParser(CONSTANTS).signing_triples(changed)
    else:
        twin = decode_transactions(changed, count)
        assert b"".join(transaction.encode() for transaction in twin) == changed


def test_malformed_bytes_are_located() -> None:
    good = SignedTransaction(
        Transfer(XOnlyKey(bytes(32)), 0, Sats(0), XOnlyKey(bytes(32)), Sats(0)),
        Signature(bytes(64)),
    ).encode()
    with pytest.raises(MalformedTransaction) as caught:
        TransactionParser(CONSTANTS).parse_batch(good + good + b"\x01\x01")
    assert (caught.value.index, caught.value.offset) == (2, 308)
    assert str(caught.value) == "no transaction at byte 308 (after 2 good ones)"


@given(st.one_of(st.sampled_from(SCRIPTS + BAD_SCRIPTS), st.binary(max_size=40)))
def test_payable_scripts_are_the_same_in_both(script: bytes) -> None:
    assert is_payable(script) == is_payable_script(script)


@pytest.mark.parametrize("script", SCRIPTS)
def test_one_changed_template_byte_is_not_payable(script: bytes) -> None:
    assert is_payable(script)
    for position in (0, 1):
        assert not is_payable(
            script[:position] + bytes([script[position] ^ 0x80]) + script[position + 1 :]
        )
    assert not is_payable(script + b"\x00")
    assert not is_payable(script[:-1])


def test_wrong_lengths_are_refused_at_the_door() -> None:
    ledger = NativeLedger(StateTree(), CONSTANTS)
    with pytest.raises(ValueError, match="constants have 384 bytes, not 383"):
        NativeLedger(StateTree(), CONSTANTS[:-1])
    with pytest.raises(ValueError, match="constants that make no sense"):
        TransactionParser(CONSTANTS[:-64] + bytes(64))
    with pytest.raises(ValueError, match="a block context has 96 bytes, not 95"):
        ledger.execute(bytes(95), b"", b"", 0)
    with pytest.raises(ValueError, match="a leaf's name has 33 bytes"):
        ledger.get(bytes(32))
    with pytest.raises(ValueError, match="a frame has 96 bytes, not 0"):
        ledger.outputs(b"", 0, 0)
    with pytest.raises(ValueError, match="names have 33 bytes each"):
        leaf_paths(bytes(34))
    with pytest.raises(LedgerFault):
        ledger.execute(bytes(96), b"", b"", 2**32 - 1)


def test_an_empty_tree_has_no_state_to_execute_on() -> None:
    with pytest.raises(LedgerFault) as caught:
        NativeLedger(StateTree(), CONSTANTS).execute(bytes(96), b"", b"", 0)
    assert caught.value.code == 7


def test_undo_and_redo_refuse_the_wrong_place() -> None:
    chain = Chain()
    native = chain.ledger.native
    context = chain.batch[-1].context.encode()
    first = native.execute(context, b"", b"", 0)
    second = native.execute(context, b"", b"", 0)
    with pytest.raises(ValueError, match="undo of an execution that is not the last"):
        native.undo(first)
    with pytest.raises(ValueError, match="redo of an execution that does not follow"):
        native.redo(first)
    native.undo(second)
    native.undo(first)
    assert native.root == first.pre_root
    native.redo(first)
    assert native.root == first.root
