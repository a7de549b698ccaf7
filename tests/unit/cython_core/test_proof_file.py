"""Proof files: one spelling for each, limits on everything, and absences that are no proofs."""

import random
from dataclasses import replace

import pytest

from cython_core.air.table import MODULUS
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.stark.proof import (
    CONTEXT_BYTES_MAX,
    FILE_BYTES_MAX,
    PROOF_BYTES_MAX,
    PUBLICS_MAX,
    Absence,
    NoProof,
    Proof,
    statement_of,
)

PROOF = Proof("tree-update", b"payee", (1, 2, MODULUS - 1), b"\x01\x02\x03\x04\x05")


def refused(encoded: bytes) -> str:
    with pytest.raises(InvalidProof) as caught:
        Proof.decode(encoded)
    assert caught.value.reason is Reason.BAD_ENVELOPE
    return caught.value.detail


def test_golden_file() -> None:
    fields = ["50325046", "01000000", "0b", b"tree-update".hex(), "0500", b"payee".hex()]
    fields += ["0300", "01000000", "02000000", "0000007f", "05000000", "0102030405"]
    assert PROOF.encode().hex() == "".join(fields)


@pytest.mark.parametrize(
    "proof",
    [
        PROOF,
        Proof("a", b"", (), b""),
        Proof("0-9", bytes(CONTEXT_BYTES_MAX), (0,) * PUBLICS_MAX, bytes(1000)),
        Proof("a" * 64, b"", (), b"x"),
    ],
)
def test_round_trip(proof: Proof) -> None:
    assert Proof.decode(proof.encode()) == proof


def test_the_greatest_file() -> None:
    proof = Proof("a" * 64, bytes(CONTEXT_BYTES_MAX), (1,) * PUBLICS_MAX, bytes(PROOF_BYTES_MAX))
    encoded = proof.encode()
    assert len(encoded) == FILE_BYTES_MAX
    assert Proof.decode(encoded) == proof
    assert refused(encoded + b"\0") == (
        f"a file has at most {FILE_BYTES_MAX} bytes, not {FILE_BYTES_MAX + 1}"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"statement": ""}, "'' is no name of a statement"),
        ({"statement": "Tree"}, "'Tree' is no name of a statement"),
        ({"statement": "a\n"}, "'a\\n' is no name of a statement"),
        ({"statement": "a" * 65}, f"{'a' * 65!r} is no name of a statement"),
        (
            {"context": bytes(CONTEXT_BYTES_MAX + 1)},
            "there are 1025 bytes of context, at most 1024 are allowed",
        ),
        (
            {"publics": (0,) * (PUBLICS_MAX + 1)},
            "there are 1025 public values, at most 1024 are allowed",
        ),
        ({"publics": (MODULUS,)}, "a public value is not below p"),
        ({"publics": (-1,)}, "a public value is not below p"),
        (
            {"body": bytes(PROOF_BYTES_MAX + 1)},
            "there are 16777217 bytes of proof, at most 16777216 are allowed",
        ),
    ],
)
def test_limits_when_writing(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        replace(PROOF, **change).encode()  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_limits_when_reading() -> None:
    encoded = PROOF.encode()
    assert refused(b"") == "it ends after 0 bytes"
    assert refused(b"P2SP" + encoded[4:]) == "it does not begin like a proof file"
    assert refused(encoded[:4] + b"\x02" + encoded[5:]) == "version 2 is not known"
    assert refused(encoded.replace(b"tree", b"Tree")) == "'Tree-update' is no name of a statement"
    assert (
        refused(encoded.replace(b"tree", b"\xfftre")) == "'ÿtre-update' is no name of a statement"
    )
    assert refused(encoded.replace(b"\0\0\0\x7f", b"\1\0\0\x7f")) == "a public value is not below p"
    assert refused(encoded + b"\0") == "1 bytes follow the proof"
    too_long = encoded.replace(b"\5\0payee", b"\1\4" + bytes(CONTEXT_BYTES_MAX + 1))
    assert refused(too_long) == "there are 1025 bytes of context, at most 1024 are allowed"


def test_every_truncation_is_refused() -> None:
    encoded = PROOF.encode()
    for length in range(len(encoded)):
        assert refused(encoded[:length]) == f"it ends after {length} bytes"


def test_what_decodes_encodes_to_the_same_bytes() -> None:
    randomness, encoded, decoded = random.Random(1), PROOF.encode(), 0
    for _ in range(2_000):
        changed = bytearray(encoded)
        changed[randomness.randrange(len(changed))] ^= 1 << randomness.randrange(8)
        try:
            proof = Proof.decode(bytes(changed))
        except InvalidProof as error:
            assert error.reason is Reason.BAD_ENVELOPE
            continue
        assert proof.encode() == changed
        decoded += 1
    assert decoded > 0


def test_an_unknown_statement() -> None:
    with pytest.raises(InvalidProof) as caught:
        statement_of(PROOF, {})
    assert str(caught.value) == "unknown-statement: 'tree-update'"


def test_a_missing_proof_is_no_proof() -> None:
    missing = NoProof(Absence.NOT_MADE)
    assert not isinstance(missing, Proof)
    assert not hasattr(missing, "encode")
    assert not hasattr(missing, "body")
