"""The compiled verifier. Every call releases the GIL while it runs."""

from collections.abc import Iterable, Sequence

def verify(
    key: bytes,
    publics: Sequence[int],
    interactions: Sequence[tuple[int, int, Sequence[int]]],
    context: bytes,
    proof: bytes,
) -> None:
    """Nothing if the proof is valid, InvalidProof with a reason otherwise.

    `interactions` are the statement's own: bus, multiplicity, elements of each.
    """

def verify_encoded(
    key: bytes, publics: bytes, interactions: bytes, context: bytes, proof: bytes
) -> None:
    """The same, with publics as 4 bytes each and interactions as they are absorbed."""

def encode_words(numbers: Iterable[int]) -> bytes: ...
def encode_interactions(
    interactions: Sequence[tuple[int, int, Sequence[int]]],
) -> bytes: ...
def bus_widths(key: bytes) -> tuple[int, ...]:
    """Empty if these bytes are no key."""

def memory_bytes(key: bytes) -> int:
    """What the verifier allocates for proofs under this key; 0 if these bytes are no key."""
