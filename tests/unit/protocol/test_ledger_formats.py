"""Transactions, receipts, records and leaves: one spelling each, and nothing else decodes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.protocol.codec import Reader
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.records import (
    MONEY_MAX,
    RECORD_BYTES,
    DepositRecord,
    EpochRecord,
    PayoutRecord,
    Record,
    RecordKind,
    SettlementRecord,
    StakeLeafRecord,
    decode_records,
    encode_records,
)
from p2p_seq.protocol.state import (
    Account,
    GenesisState,
    LeafKind,
    PendingPayout,
    Totals,
    VaultLeaf,
    numbered_key,
)
from p2p_seq.protocol.transactions import (
    TRANSACTION_BYTES,
    Receipt,
    ReceiptCode,
    SignedTransaction,
    TransactionKind,
    Transfer,
    Withdraw,
    decode_receipts,
)
from p2p_seq.protocol.types import (
    Epoch,
    Hash32,
    Height,
    OutPoint,
    Sats,
    SatsPerKvb,
    Signature,
    XOnlyKey,
)

VECTORS = json.loads(Path("tests/vectors/ledger.json").read_text(encoding="ascii"))
HASHES = st.binary(min_size=32, max_size=32).map(Hash32)
KEYS = st.binary(min_size=32, max_size=32).map(XOnlyKey)
NUMBERS = st.integers(0, 2**64 - 1)
MONEY = st.integers(0, MONEY_MAX).map(Sats)
U32 = st.integers(0, 2**32 - 1)
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        SettlementRecord,
        HASHES,
        NUMBERS.map(Epoch),
        U32,
        NUMBERS.map(Sats),
        MONEY,
        NUMBERS.map(SatsPerKvb),
    ),
    st.builds(DepositRecord, st.builds(OutPoint, HASHES, U32), MONEY, KEYS, MONEY),
    st.builds(PayoutRecord, NUMBERS),
    st.builds(
        StakeLeafRecord, KEYS, HASHES, NUMBERS.map(Epoch), NUMBERS.map(Epoch), U32.map(Height)
    ),
    st.builds(EpochRecord, NUMBERS.map(Epoch), HASHES),
)


@given(st.lists(RECORDS, max_size=6))
def test_records_round_trip(records: list[Record]) -> None:
    encoded = encode_records(records)
    assert decode_records(encoded) == tuple(records)
    assert len(encoded) == sum(RECORD_BYTES[RecordKind(r.encode()[0])] for r in records)


@given(st.lists(RECORDS, min_size=1, max_size=3), st.integers(1, 8))
def test_cut_records_do_not_decode(records: list[Record], cut: int) -> None:
    with pytest.raises(CodecError) as caught:
        decode_records(encode_records(records)[:-cut])
    assert caught.value.reason is CodecReason.TRUNCATED


@pytest.mark.parametrize("kind", [0, 6, 255])
def test_unknown_record_kinds_do_not_decode(kind: int) -> None:
    with pytest.raises(CodecError) as caught:
        decode_records(bytes([kind]) + bytes(100))
    assert caught.value.reason is CodecReason.VALUE


def test_a_vault_over_all_money_does_not_decode() -> None:
    record = DepositRecord(
        OutPoint(Hash32(bytes(32)), 0), Sats(MONEY_MAX + 1), XOnlyKey(bytes(32)), Sats(0)
    )
    with pytest.raises(CodecError):
        decode_records(record.encode())


@pytest.mark.parametrize("vector", VECTORS["transactions"])
def test_transaction_vectors_decode_and_encode(vector: dict[str, str]) -> None:
    encoded = bytes.fromhex(vector["encoded"])
    transaction = SignedTransaction.decode(encoded)
    assert transaction.encode() == encoded
    assert len(encoded) == TRANSACTION_BYTES[transaction.order.kind]
    assert transaction.id("regtest", Hash32(b"\x11" * 32)).hex() == vector["id"]


def test_ids_bind_network_and_chain() -> None:
    transaction = SignedTransaction.decode(bytes.fromhex(VECTORS["transactions"][0]["encoded"]))
    ids = {
        transaction.id(network, Hash32(chain * 32))
        for network in ("regtest", "signet")
        for chain in (b"\x11", b"\x12")
    }
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("position", "value", "reason"),
    [
        (0, 2, CodecReason.VALUE),
        (1, 0, CodecReason.VALUE),
        (1, 3, CodecReason.VALUE),
        (58, 35, CodecReason.VALUE),
        (92, 1, CodecReason.VALUE),
    ],
)
def test_other_spellings_do_not_decode(position: int, value: int, reason: CodecReason) -> None:
    order = Withdraw(XOnlyKey(bytes(32)), 0, Sats(0), Sats(0), b"\x51")
    encoded = bytearray(SignedTransaction(order, Signature(bytes(64))).encode())
    encoded[position] = value
    with pytest.raises(CodecError) as caught:
        SignedTransaction.decode(bytes(encoded))
    assert caught.value.reason is reason


def test_lengths_are_exact() -> None:
    order = Transfer(XOnlyKey(bytes(32)), 0, Sats(0), XOnlyKey(bytes(32)), Sats(0))
    encoded = SignedTransaction(order, Signature(bytes(64))).encode()
    for wrong, reason in (
        (encoded[:-1], CodecReason.TRUNCATED),
        (encoded + b"\x00", CodecReason.TRAILING),
    ):
        with pytest.raises(CodecError) as caught:
            SignedTransaction.decode(wrong)
        assert caught.value.reason is reason
    with pytest.raises(ValueError, match="field of 34 bytes got 35"):
        Withdraw(order.sender, 0, Sats(0), Sats(0), bytes(35)).encode_unsigned()


@given(
    st.lists(
        st.builds(
            Receipt,
            st.sampled_from(ReceiptCode),
            st.sampled_from(TransactionKind),
            U32,
            NUMBERS.map(Sats),
            NUMBERS,
        ),
        max_size=5,
    )
)
def test_receipts_round_trip(receipts: list[Receipt]) -> None:
    encoded = b"".join(receipt.encode() for receipt in receipts)
    assert decode_receipts(encoded) == tuple(receipts)


def test_unknown_receipt_codes_do_not_decode() -> None:
    good = Receipt(ReceiptCode.OK, TransactionKind.TRANSFER, 0, Sats(1), 0).encode()
    with pytest.raises(CodecError, match="5 is no receipt code"):
        Receipt.read(Reader(b"\x05" + good[1:]))
    with pytest.raises(CodecError):
        Receipt.read(Reader(good[:2] + b"\x01" + good[3:]))


def test_codes_below_sixteen_left_no_trace() -> None:
    assert [code.name for code in ReceiptCode if code.is_dropped] == [
        "DROPPED_NO_ACCOUNT",
        "DROPPED_NONCE",
        "DROPPED_PRICE",
        "DROPPED_FEE",
    ]


def test_leaf_values_round_trip() -> None:
    account = Account(Sats(5), 6, 7, 8)
    assert Account.decode(account.encode()) == account
    numbers = (Sats(1), Sats(2), Sats(3), Sats(4), Sats(10), SatsPerKvb(6), 7, 8)
    totals = Totals(*numbers)
    assert Totals.decode(totals.encode()) == totals
    assert totals.is_balanced
    assert not Totals(Sats(2), *numbers[1:]).is_balanced
    vault = VaultLeaf(OutPoint(Hash32(b"\x01" * 32), 2), 3, 4, 5)
    assert VaultLeaf.decode(vault.encode()) == vault


def test_bytes_that_no_leaf_has_do_not_decode() -> None:
    with pytest.raises(CodecError):
        Account.decode(Account(Sats(5), 6).encode()[:-1] + b"\x01")
    with pytest.raises(CodecError):
        PendingPayout.decode(1, bytes(16) + b"\x23" + bytes(47))


def test_genesis_books_are_balanced() -> None:
    outpoint = OutPoint(Hash32(b"\x01" * 32), 0)
    genesis = GenesisState(outpoint, Sats(5_000), SatsPerKvb(1_000), ((XOnlyKey(b"\x02" * 32), 9),))
    leaves = {(kind, key): value for kind, key, value in genesis.leaves()}
    totals = Totals.decode(leaves[LeafKind.TOTALS, numbered_key(0)])
    assert totals.is_balanced
    assert (totals.fee_pool, totals.account_count) == (5_000, 1)
    assert VaultLeaf.decode(leaves[LeafKind.VAULT, numbered_key(0)]).outpoint == outpoint
    assert Account.decode(leaves[LeafKind.ACCOUNT, b"\x02" * 32]) == Account(Sats(0), 0, 9)
