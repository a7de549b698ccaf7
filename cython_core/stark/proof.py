"""Proof files: a proof together with what it proves.

The bytes of docs/proofs.md, "Proof", mean nothing by themselves: somebody must say which statement
they are about and with which public values. The envelope does:

    magic "P2PF", version u32
    name of the statement (u8 length, lower case letters, digits, hyphens)
    context (u16 length), public values (u16 count, u32 each), proof (u32 length)

and nothing after it. Neither the key nor the public interactions are in it: they follow from the
statement, so that a file cannot bring its own. Decoding is strict, and what was decoded encodes to
the same bytes.

What has no proof is no `Proof`: it is a `NoProof`, which no verifier takes and which has no bytes.
"""

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final, TypeAlias

from cython_core.air.table import MODULUS
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.stark.statement import Statement

MAGIC: Final = b"P2PF"
VERSION: Final = 1
NAME: Final = re.compile(r"[a-z0-9-]{1,64}\Z", re.ASCII)
CONTEXT_BYTES_MAX: Final = 1024
"""docs/proofs.md, step 1."""
PUBLICS_MAX: Final = 1024
"""The most that a key may have."""
PROOF_BYTES_MAX: Final = 16 << 20
"""Ten times the proof of the greatest AIR that the engine is meant for."""
FILE_BYTES_MAX: Final = (
    (4 + 4 + 1 + 64) + (2 + CONTEXT_BYTES_MAX) + (2 + 4 * PUBLICS_MAX) + (4 + PROOF_BYTES_MAX)
)


@unique
class Absence(StrEnum):
    """Why there is no proof."""

    NOT_MADE = "not-made"
    """Nobody has made it yet."""
    NO_STATEMENT = "no-statement"
    """No statement of this program covers what would have to be proven."""
    NO_PROVER = "no-prover"
    """This installation has no compiled prover."""


@dataclass(frozen=True, slots=True)
class NoProof:
    """The absence of a proof, with the reason. Deliberately unlike a `Proof`."""

    absence: Absence


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof and what it claims. Whether it is right is not known before it is verified."""

    statement: str
    context: bytes
    publics: tuple[int, ...]
    body: bytes
    """docs/proofs.md, "Proof"."""

    def encode(self) -> bytes:
        """The file's bytes. ValueError for what no file can hold."""
        _check(self, ValueError)
        name = self.statement.encode("ascii")
        return b"".join(
            (
                MAGIC,
                struct.pack("<IB", VERSION, len(name)),
                name,
                struct.pack("<H", len(self.context)),
                self.context,
                struct.pack(f"<H{len(self.publics)}I", len(self.publics), *self.publics),
                struct.pack("<I", len(self.body)),
                self.body,
            )
        )

    @classmethod
    def decode(cls, encoded: bytes) -> "Proof":
        """The file of these bytes. Raises InvalidProof."""
        if len(encoded) > FILE_BYTES_MAX:
            raise _damaged(f"a file has at most {FILE_BYTES_MAX} bytes, not {len(encoded)}")
        cursor = _Cursor(encoded)
        if cursor.take(4) != MAGIC:
            raise _damaged("it does not begin like a proof file")
        (version,) = cursor.unpack("<I")
        if version != VERSION:
            raise _damaged(f"version {version} is not known")
        (length,) = cursor.unpack("<B")
        name = cursor.take(length).decode("latin-1")
        (length,) = cursor.unpack("<H")
        context = cursor.take(length)
        (count,) = cursor.unpack("<H")
        publics = cursor.unpack(f"<{count}I")
        (length,) = cursor.unpack("<I")
        proof = cls(name, context, publics, cursor.take(length))
        cursor.finish()
        _check(proof, _damaged)
        return proof


MaybeProof: TypeAlias = Proof | NoProof
"""For places where a proof may be missing: who verifies must look which it is first."""


def statement_of(proof: Proof, statements: Mapping[str, Statement]) -> Statement:
    """The statement that a file names. Raises InvalidProof."""
    statement = statements.get(proof.statement)
    if statement is None:
        raise InvalidProof(Reason.UNKNOWN_STATEMENT, repr(proof.statement))
    return statement


def _damaged(detail: str) -> InvalidProof:
    return InvalidProof(Reason.BAD_ENVELOPE, detail)


def _check(proof: Proof, error: Callable[[str], Exception]) -> None:
    """Raises the error for what breaks a limit."""
    if not NAME.match(proof.statement):
        raise error(f"{proof.statement!r} is no name of a statement")
    for what, count, greatest in (
        ("bytes of context", len(proof.context), CONTEXT_BYTES_MAX),
        ("public values", len(proof.publics), PUBLICS_MAX),
        ("bytes of proof", len(proof.body), PROOF_BYTES_MAX),
    ):
        if count > greatest:
            raise error(f"there are {count} {what}, at most {greatest} are allowed")
    if not all(0 <= value < MODULUS for value in proof.publics):
        raise error("a public value is not below p")


class _Cursor:
    """Reads a file from its beginning; a file that is too short is damaged."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded
        self._position = 0

    def take(self, count: int) -> bytes:
        start, self._position = self._position, self._position + count
        if self._position > len(self._encoded):
            raise _damaged(f"it ends after {len(self._encoded)} bytes")
        return self._encoded[start : self._position]

    def unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def finish(self) -> None:
        extra = len(self._encoded) - self._position
        if extra:
            raise _damaged(f"{extra} bytes follow the proof")
