"""Signature hashes and taproot outputs against an independent library and the real engine."""

import itertools

import pytest
from btclib.script import sig_hash, taproot
from btclib.tx.tx import Tx
from btclib.tx.tx_out import TxOut as OracleOut
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.bitcoin.engine import verify_input, verify_transaction
from p2p_seq.bitcoin.script import check_signature
from p2p_seq.bitcoin.sighash import SighashType, TaprootSighash, witness_signature
from p2p_seq.bitcoin.taproot import (
    NUMS_KEY,
    LeafTree,
    TaprootOutput,
    commits_to_leaf,
    key_path_script,
    leaf_hash,
    read_leaf_spend,
)
from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.protocol.types import Hash32, OutPoint
from p2p_seq.signer.schnorr import sign, sign_key_path
from tests.support.keys import digest, key, secret

ANNEX = b"\x50annex"
LEAF = check_signature(key("leaf"))
OUTPUT = TaprootOutput.of_scripts([LEAF, b"\x51"])
TRANSACTION = Transaction(
    2,
    tuple(TxIn(OutPoint(digest(f"in {i}"), i), b"", 0xFFFFFFFD - i) for i in range(3)),
    tuple(TxOut(1_000 * i + 1, b"\x51" * i) for i in range(3)),
    101,
)


def _spent(is_script_path: bool) -> list[TxOut]:
    script = OUTPUT.script if is_script_path else key_path_script(key("owner"))
    return [TxOut(10_000 + i, script) for i in range(3)]


@pytest.mark.parametrize(
    ("kind", "is_script_path", "annex"),
    list(itertools.product(SighashType, [False, True], [None, ANNEX])),
)
def test_the_28_signature_hashes(
    kind: SighashType, is_script_path: bool, annex: bytes | None
) -> None:
    spent = _spent(is_script_path)
    ours = TaprootSighash(TRANSACTION, spent)
    oracle_tx = Tx.parse(TRANSACTION.serialize(), check_validity=False)
    oracle_spent = [OracleOut.parse(item.serialize()) for item in spent]
    extension = leaf_hash(LEAF) + b"\x00\xff\xff\xff\xff" if is_script_path else b""
    for index in range(3):
        if is_script_path:
            message = ours.script_path(index, leaf_hash(LEAF), kind, annex)
        else:
            message = ours.key_path(index, kind, annex)
        assert message == sig_hash.taproot(
            oracle_tx, index, oracle_spent, kind, int(is_script_path), annex or b"", extension
        )
        signature = (
            sign(secret("leaf"), message)
            if is_script_path
            else sign_key_path(secret("owner"), message)
        )
        stack = [witness_signature(signature, kind)]
        stack += [LEAF, OUTPUT.control_block(0)] if is_script_path else []
        stack += [annex] if annex else []
        witnesses = [()] * 3
        witnesses[index] = tuple(stack)
        signed = TRANSACTION.with_witnesses(tuple(witnesses)).serialize()
        assert verify_input(signed, index, spent)


def test_single_without_its_output_is_a_bug_of_the_caller() -> None:
    transaction = Transaction(2, TRANSACTION.inputs, TRANSACTION.outputs[:1], 0)
    sighash = TaprootSighash(transaction, _spent(False))
    with pytest.raises(ValueError, match=r"^SIGHASH_SINGLE of input 1 has no output$"):
        sighash.key_path(1, SighashType.SINGLE)


def _oracle_tree(scripts: list[bytes]) -> bytes:
    """The same shape by recursion: pairs joined level by level, an odd last node moves up."""
    nodes = [taproot.leaf_hash(0xC0, script) for script in scripts]
    while len(nodes) > 1:
        pairs = [sorted(nodes[i : i + 2]) for i in range(0, len(nodes), 2)]
        nodes = [
            pair[0] if len(pair) == 1 else sig_hash.tagged_hash(b"TapBranch", pair[0] + pair[1])
            for pair in pairs
        ]
    return nodes[0]


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=20))
def test_outputs_and_control_blocks_agree_with_an_independent_library(scripts: list[bytes]) -> None:
    output = TaprootOutput.of_scripts(scripts)
    root = _oracle_tree(scripts)
    assert output.merkle_root == root
    oracle_key, _ = taproot.output_pubkey_from_merkle_root_var(NUMS_KEY, root)
    assert output.output_key == oracle_key
    for index, script in enumerate(scripts):
        control = output.control_block(index)
        assert taproot.check_output_pubkey(oracle_key, script, control)
        assert commits_to_leaf(output.script, script, control)
        assert not commits_to_leaf(output.script, script + b"\x51", control)
        flipped = bytes([control[0] ^ 1]) + control[1:]
        assert not commits_to_leaf(output.script, script, flipped)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_every_leaf_of_a_tree_spends_on_the_engine(count: int) -> None:
    scripts = [check_signature(key(f"leaf {i}")) for i in range(count)]
    output = TaprootOutput.of_scripts(scripts)
    spent = [TxOut(1_000, output.script)]
    transaction = Transaction(2, TRANSACTION.inputs[:1], TRANSACTION.outputs)
    for index, script in enumerate(scripts):
        message = TaprootSighash(transaction, spent).script_path(0, leaf_hash(script))
        signature = sign(secret(f"leaf {index}"), message)
        witness = (bytes(signature), script, output.control_block(index))
        signed = transaction.with_witnesses((witness,))
        assert verify_transaction(signed.serialize(), spent)
        assert read_leaf_spend(witness) == (witness[:1], *witness[1:])
        assert read_leaf_spend((*witness, ANNEX)) == (witness[:1], *witness[1:])


@pytest.mark.parametrize(
    "witness",
    [(), (b"",), (bytes(64),), (bytes(64), ANNEX), (b"\x51", bytes(32)), (b"\x51", bytes(34))],
)
def test_other_witnesses_reveal_no_leaf(witness: tuple[bytes, ...]) -> None:
    assert read_leaf_spend(witness) is None


def test_a_tree_of_a_hundred_thousand_leaves_has_short_paths() -> None:
    leaves = [Hash32(index.to_bytes(32, "big")) for index in range(100_000)]
    tree = LeafTree(iter(leaves))
    assert len(tree.path(0)) == 17
    with pytest.raises(ValueError, match=r"^leaf 100000 of 100000$"):
        tree.path(100_000)
