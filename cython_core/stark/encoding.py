"""How numbers stand in a proof and in its transcript: docs/proofs.md, "Bytes". For the prover."""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from cython_core.air.table import PublicInteraction

PROOF_MAGIC: Final = b"P2SP"
PROOF_VERSION: Final = 1


def encode_elements(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def encode_extensions(values: Iterable[Sequence[int]]) -> bytes:
    return encode_elements([part for value in values for part in value])


def encode_publics(values: Sequence[int]) -> bytes:
    return struct.pack("<I", len(values)) + encode_elements(values)


def encode_interactions(interactions: Sequence[PublicInteraction]) -> bytes:
    """Count, then each one's bus, multiplicity and tuple."""
    encoded = [struct.pack("<I", len(interactions))]
    for bus, multiplicity, elements in interactions:
        encoded.append(encode_elements([bus, multiplicity, *elements]))
    return b"".join(encoded)
