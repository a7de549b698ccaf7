"""Transactions: strict parsing, and the same ids and sizes as an independent library."""

import pytest
from btclib.tx.tx import Tx
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.bitcoin.wire import BitcoinReason, read_compact_size, write_compact_size
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.types import Hash32, OutPoint
from tests.support.keys import transactions

SMALL = Transaction(
    2,
    (TxIn(OutPoint(Hash32(b"\x11" * 32), 1), b"", 0xFFFFFFFD, (b"\x22" * 64,)),),
    (TxOut(5_000, b"\x51\x20" + b"\x33" * 32),),
    7,
)


@given(transactions)
def test_parsing_inverts_serialising(transaction: Transaction) -> None:
    encoded = transaction.serialize()
    parsed = Transaction.parse(encoded)
    assert parsed == transaction
    assert parsed.serialize() == encoded
    assert parsed.txid == transaction.txid
    assert parsed.weight == transaction.weight


@given(transactions)
def test_ids_and_sizes_agree_with_an_independent_library(transaction: Transaction) -> None:
    oracle = Tx.parse(transaction.serialize(), check_validity=False)
    assert transaction.txid[::-1] == oracle.id
    assert transaction.wtxid[::-1] == oracle.hash
    assert (transaction.weight, transaction.vsize) == (oracle.weight, oracle.vsize)


@given(transactions, st.data())
def test_every_cut_is_refused(transaction: Transaction, data: st.DataObject) -> None:
    encoded = transaction.serialize()
    length = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(CodecError):
        Transaction.parse(encoded[:length])


@given(transactions, st.binary(min_size=1, max_size=3))
def test_trailing_bytes_are_refused(transaction: Transaction, tail: bytes) -> None:
    with pytest.raises(CodecError) as caught:
        Transaction.parse(transaction.serialize() + tail)
    assert caught.value.reason is CodecReason.TRAILING


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_is_its_own_spelling(garbage: bytes) -> None:
    try:
        transaction = Transaction.parse(garbage)
    except CodecError:
        return
    assert transaction.serialize() == garbage


@given(transactions, st.data())
def test_a_changed_byte_is_refused_or_is_its_own_spelling(
    transaction: Transaction, data: st.DataObject
) -> None:
    encoded = bytearray(transaction.serialize())
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        parsed = Transaction.parse(bytes(encoded))
    except CodecError:
        return
    assert parsed.serialize() == encoded


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0xFC, "fc"),
        (0xFD, "fdfd00"),
        (0xFFFF, "fdffff"),
        (0x10000, "fe00000100"),
        (0xFFFFFFFF, "feffffffff"),
        (0x100000000, "ff0000000001000000"),
    ],
)
def test_compact_sizes(value: int, encoded: str) -> None:
    raw = bytes.fromhex(encoded)
    assert write_compact_size(value) == raw
    assert read_compact_size(raw, 0) == (value, len(raw))


@pytest.mark.parametrize("encoded", ["fdfc00", "feffff0000", "ffffffffff00000000"])
def test_compact_sizes_that_are_too_wide_are_refused(encoded: str) -> None:
    with pytest.raises(CodecError) as caught:
        read_compact_size(bytes.fromhex(encoded), 0)
    assert caught.value.reason is BitcoinReason.COMPACT_SIZE


def _refusal(encoded: bytes) -> str:
    with pytest.raises(CodecError) as caught:
        Transaction.parse(encoded)
    return str(caught.value)


def test_refusals_name_the_reason() -> None:
    stripped = SMALL.serialize(include_witness=False)
    wide = stripped[:4] + b"\xfd\x01\x00" + stripped[5:]
    assert _refusal(wide) == "compact-size-not-minimal: 1 in 2 bytes at 4"
    empty = stripped[:4] + b"\x00\x01" + stripped[4:-4] + b"\x00" + stripped[-4:]
    assert _refusal(empty) == "witness-flag: all witnesses are empty"
    flag = SMALL.serialize()
    assert _refusal(flag[:5] + b"\x02" + flag[6:]) == "witness-flag: flag 2"
    rich = SMALL.__class__(2, SMALL.inputs, (TxOut(21 * 10**14 + 1, b""),), 7)
    assert _refusal(rich.serialize()) == "value-out-of-bounds: output of 2100000000000001 sat"
    many = stripped[:4] + b"\xfe\xff\xff\xff\xff" + stripped[5:]
    assert _refusal(many).startswith("length-out-of-bounds: 4294967295 items in ")
    none = Transaction(2, SMALL.inputs, (), 7).serialize()
    assert _refusal(none).startswith("length-out-of-bounds: 0 items in ")


def test_a_script_one_byte_beyond_the_end_is_refused() -> None:
    stripped = SMALL.serialize(include_witness=False)
    position = 4 + 1 + 41 + 1 + 8
    assert stripped[position] == 34
    longer = stripped[:position] + bytes([34 + 5]) + stripped[position + 1 :]
    assert _refusal(longer) == "truncated: script of 39 bytes at 56"
