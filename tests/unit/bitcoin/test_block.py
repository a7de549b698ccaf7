"""Blocks, headers, and proofs of inclusion with their known ambiguities."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.bitcoin.block import Block, BlockHeader, merkle_root
from p2p_seq.bitcoin.headers import (
    InclusionProof,
    check_headers,
    check_proof_of_work,
    prove_inclusion,
    target_of,
    verify_inclusion,
    work_of,
)
from p2p_seq.bitcoin.transaction import NULL_VOUT, Transaction, TxIn, TxOut
from p2p_seq.bitcoin.wire import BitcoinReason, sha256d
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.types import ZERO32, Hash32, OutPoint, display_id
from tests.support.keys import digest

MAIN_GENESIS = bytes.fromhex(
    "01000000" + "00" * 32 + "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a"
    "29ab5f49" + "ffff001d" + "1dac2b7c"
)


def _coinbase(height: int) -> Transaction:
    script = b"\x03" + height.to_bytes(3, "little") + b"\x00\x00"
    return Transaction(1, (TxIn(OutPoint(ZERO32, NULL_VOUT), script),), (TxOut(50, b"\x51"),))


def _spend(number: int) -> Transaction:
    return Transaction(2, (TxIn(OutPoint(digest(str(number)), 0)),), (TxOut(number, b"\x51"),))


def _block(transactions: tuple[Transaction, ...]) -> Block:
    root, _ = merkle_root([item.txid for item in transactions])
    return Block(BlockHeader(1, ZERO32, root, 1, 0x207FFFFF, 0), transactions)


def test_the_first_header_of_bitcoin() -> None:
    header = BlockHeader.parse(MAIN_GENESIS)
    assert display_id(header.hash) == (
        "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    )
    assert header.serialize() == MAIN_GENESIS
    check_proof_of_work(header, "main")
    assert work_of(header.bits) == 0x100010001
    with pytest.raises(CodecError) as caught:
        check_proof_of_work(replace(header, nonce=1), "main")
    assert str(caught.value) == "proof-of-work: hash above target"


def test_an_easier_target_than_the_chain_allows_is_refused() -> None:
    header = BlockHeader.parse(MAIN_GENESIS)
    for bits in (0x207FFFFF, 0x1D010000, 0x04800001, 0x00000000, 0xFF123456):
        with pytest.raises(CodecError) as caught:
            check_proof_of_work(replace(header, bits=bits), "main")
        assert caught.value.reason is BitcoinReason.PROOF_OF_WORK


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        (0x1D00FFFF, 0xFFFF << 208),
        (0x207FFFFF, 0x7FFFFF << 232),
        (0x05009234, 0x92340000),
        (0x01123456, 0x12),
        (0x02008000, 0x80),
        (0x01003456, 0),
    ],
)
def test_compact_targets(bits: int, target: int) -> None:
    assert target_of(bits) == target


def _mined(previous: Hash32) -> BlockHeader:
    header = BlockHeader(1, previous, ZERO32, 1, 0x207FFFFF, 0)
    while int.from_bytes(header.hash, "little") > target_of(header.bits):
        header = replace(header, nonce=header.nonce + 1)
    return header


def test_headers_must_link() -> None:
    first = _mined(ZERO32)
    second = _mined(first.hash)
    assert check_headers(ZERO32, [first, second], "regtest") == 4
    with pytest.raises(CodecError) as caught:
        check_headers(ZERO32, [second], "regtest")
    assert str(caught.value) == "header-link: a header names another predecessor"


@given(st.integers(1, 40))
def test_blocks_round_trip_and_prove_every_transaction(count: int) -> None:
    block = _block((_coinbase(1), *(_spend(number) for number in range(count - 1))))
    assert Block.parse(block.serialize()) == block
    for index in range(count):
        verify_inclusion(block.header.merkle_root, prove_inclusion(block, index))


def test_a_block_with_other_transactions_is_refused() -> None:
    block = _block((_coinbase(1), _spend(1)))
    other = Block(block.header, (block.transactions[0], _spend(2)))
    with pytest.raises(CodecError) as caught:
        Block.parse(other.serialize())
    assert str(caught.value) == "merkle-root"
    with pytest.raises(CodecError) as caught:
        Block.parse(block.serialize() + b"\x00")
    assert caught.value.reason is CodecReason.TRAILING


def test_a_repeated_last_transaction_is_refused() -> None:
    """CVE-2012-2459: the same root for three transactions and for those with the last one twice."""
    block = _block((_coinbase(1), _spend(1), _spend(2)))
    doubled = Block(block.header, (*block.transactions, block.transactions[2]))
    assert merkle_root([item.txid for item in doubled.transactions]) == (
        block.header.merkle_root,
        True,
    )
    with pytest.raises(CodecError) as caught:
        Block.parse(doubled.serialize())
    assert str(caught.value) == "merkle-mutated"


def _refused(root: Hash32, proof: InclusionProof) -> str:
    with pytest.raises(CodecError) as caught:
        verify_inclusion(root, proof)
    return str(caught.value)


def test_wrong_proofs_are_refused() -> None:
    block = _block((_coinbase(1), *(_spend(number) for number in range(4))))
    root = block.header.merkle_root
    proof = prove_inclusion(block, 3)
    assert _refused(root, replace(proof, index=2)) == "merkle-proof: the path ends elsewhere"
    assert _refused(root, replace(proof, index=8)) == "merkle-proof: index 8 at depth 3"
    other = replace(proof, transaction=_spend(9))
    assert _refused(root, other) == "merkle-proof: the path ends elsewhere"
    short = replace(proof, path=proof.path[:-1])
    assert _refused(root, short) == "merkle-proof: paths differ in length or are too long"
    no_coinbase = replace(proof, coinbase=block.transactions[1])
    assert _refused(root, no_coinbase) == "merkle-proof: the coinbase is transaction 0"
    fake = replace(proof, coinbase=_coinbase(2))
    assert _refused(root, fake) == "merkle-proof: the coinbase's path ends elsewhere"


def test_a_64_byte_transaction_cannot_pose_as_an_inner_node() -> None:
    """A miner puts a 64-byte transaction whose second half is the id of one that never existed."""
    forged = _spend(77)
    seed = Transaction(2, (TxIn(OutPoint(digest("x"), 0), b"\x51" * 3),), (TxOut(5, b"\x51"),))
    carrier = seed.serialize(include_witness=False)[:32] + forged.txid
    assert len(carrier) == 64
    coinbase = _coinbase(1)
    root = sha256d(coinbase.txid + sha256d(carrier))
    path = (Hash32(carrier[:32]), coinbase.txid)
    assert sha256d(coinbase.txid + sha256d(path[0] + forged.txid)) == root
    honest = (sha256d(carrier),)
    proof = InclusionProof(forged, 3, path, coinbase, honest)
    assert _refused(root, proof) == "merkle-proof: paths differ in length or are too long"


def test_an_inner_node_cannot_pose_as_a_transaction() -> None:
    block = _block((_coinbase(1), *(_spend(number) for number in range(3))))
    small = Transaction(2, (TxIn(OutPoint(digest("x"), 0)),), (TxOut(5, b"\x51" * 4),))
    assert len(small.serialize(include_witness=False)) == 64
    proof = replace(prove_inclusion(block, 1), transaction=small)
    assert _refused(block.header.merkle_root, proof) == (
        "merkle-proof: 64 bytes may be an inner node"
    )
