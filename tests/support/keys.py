"""Deterministic keys and Hypothesis strategies shared by the tests of Bitcoin's rooms."""

import hashlib

from hypothesis import strategies as st

from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.bitcoin.wire import MAX_MONEY
from p2p_seq.protocol.types import Hash32, OutPoint, XOnlyKey
from p2p_seq.signer.schnorr import public_key


def secret(name: str) -> bytes:
    """A secret key that depends on nothing but its name."""
    return hashlib.sha256(f"test key {name}".encode()).digest()


def key(name: str) -> XOnlyKey:
    return public_key(secret(name))


def digest(name: str) -> Hash32:
    """32 bytes that depend on nothing but their name."""
    return Hash32(hashlib.sha256(f"test digest {name}".encode()).digest())


outpoints = st.builds(
    OutPoint,
    st.binary(min_size=32, max_size=32).map(Hash32),
    st.integers(0, 0xFFFFFFFE),
)
witnesses = st.lists(st.binary(max_size=300), max_size=3).map(tuple)
tx_inputs = st.builds(
    TxIn, outpoints, st.binary(max_size=300), st.integers(0, 0xFFFFFFFF), witnesses
)
tx_outputs = st.builds(TxOut, st.integers(0, MAX_MONEY), st.binary(max_size=300))
transactions = st.builds(
    Transaction,
    st.integers(0, 0xFFFFFFFF),
    st.lists(tx_inputs, min_size=1, max_size=4).map(tuple),
    st.lists(tx_outputs, min_size=1, max_size=4).map(tuple),
    st.integers(0, 0xFFFFFFFF),
)
