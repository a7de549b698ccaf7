"""Verifying a proof file: its statement gives key and public interactions, a verifier decides.

There are two verifiers, and which one runs is the caller's choice: both accept the same proofs. The
compiled one is the default where it is built.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from typing import Final, Protocol

from cython_core.air.key import InvalidKey, VerificationKey, decode_key
from cython_core.air.table import PublicInteraction
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.stark.proof import Proof
from cython_core.stark.statement import Statement

HEIGHTS_OFFSET: Final = 4 + 4 + 32
"""Of the heights in a proof: behind magic, version and digest of the key."""


class VerifierName(StrEnum):
    """The two verifiers."""

    COMPILED = "compiled"
    PYTHON = "python"


MODULES: Final[Mapping[VerifierName, str]] = {
    VerifierName.COMPILED: "cython_core.stark._verify",
    VerifierName.PYTHON: "cython_core.stark.verifier",
}


class Verify(Protocol):
    """What both verifiers are. Raises InvalidProof."""

    def __call__(
        self,
        key: bytes,
        publics: Sequence[int],
        interactions: Sequence[PublicInteraction],
        context: bytes,
        proof: bytes,
    ) -> None: ...


def find_verifier(name: VerifierName) -> Verify | None:
    """The verifier, or None where it is not built."""
    try:
        verify: Verify = import_module(MODULES[name]).verify
    except ImportError:
        return None
    return verify


def default_verifier() -> VerifierName:
    """The compiled one where it is built."""
    if find_verifier(VerifierName.COMPILED) is None:
        return VerifierName.PYTHON
    return VerifierName.COMPILED


def derived_interactions(statement: Statement, publics: Sequence[int]) -> list[PublicInteraction]:
    """The public interactions of a statement. Raises InvalidProof for values it cannot have."""
    if len(publics) != statement.public_count():
        detail = f"{len(publics)} public values, {statement.public_count()} are due"
        raise InvalidProof(Reason.BAD_PUBLICS, detail)
    try:
        return statement.interactions(publics)
    except ValueError as error:
        raise InvalidProof(Reason.BAD_PUBLICS, str(error)) from None


def check_proof(proof: Proof, statement: Statement, verify: Verify) -> None:
    """Nothing if the proof shows its statement. Raises InvalidProof."""
    if proof.statement != statement.name:
        raise InvalidProof(Reason.UNKNOWN_STATEMENT, f"this is no proof of {statement.name}")
    interactions = derived_interactions(statement, proof.publics)
    verify(statement.key(), proof.publics, interactions, proof.context, proof.body)


def claimed_heights(proof: Proof, key: VerificationKey) -> list[int]:
    """Logs of the heights that a proof claims, unverified. Raises InvalidProof."""
    tables = key.system.tables
    heights = proof.body[HEIGHTS_OFFSET : HEIGHTS_OFFSET + len(tables)]
    if len(heights) != len(tables):
        raise InvalidProof(Reason.TRUNCATED, "it ends before the heights of the tables")
    for table, height in zip(tables, heights, strict=True):
        if not table.smallest_log <= height <= table.greatest_log:
            raise InvalidProof(Reason.BAD_HEIGHT, f"table {table.name}: 2^{height} rows")
    return list(heights)


def statement_key(statement: Statement) -> VerificationKey:
    """The decoded key of a statement. Raises InvalidProof for a key that is none."""
    try:
        return decode_key(statement.key())
    except InvalidKey as error:
        raise InvalidProof(Reason.BAD_KEY, str(error)) from None
