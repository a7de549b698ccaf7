"""Batches of leaf updates: what the statement "tree-update" speaks of, in plain Python.

`batch_digest` is what the public digest means; who knows a batch compares it with the proof's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from cython_core.chips.tree_rules import KEY_BATCH, KEY_LEAF

EMPTY: Final = bytes(32)
"""Stands for the hash of a leaf that is not there."""


@dataclass(frozen=True, slots=True)
class LeafUpdate:
    """The value hash of one leaf before and after, of 32 bytes; None where there is no leaf."""

    path: bytes
    before: bytes | None
    after: bytes | None

    def __post_init__(self) -> None:
        present = [value for value in (self.before, self.after) if value is not None]
        if not present:
            raise ValueError("an update has a leaf before or after")
        if any(len(part) != len(EMPTY) for part in (self.path, *present)):
            raise ValueError("paths and value hashes have 32 bytes each")

    @property
    def leaves(self) -> tuple[bytes, bytes]:
        """Hashes of the leaf before and after, zeros where it is absent."""
        return leaf_hash(self.path, self.before), leaf_hash(self.path, self.after)


def leaf_hash(path: bytes, value_hash: bytes | None) -> bytes:
    if value_hash is None:
        return EMPTY
    return blake3(path + value_hash, key=KEY_LEAF).digest()


def batch_digest(updates: Iterable[LeafUpdate]) -> bytes:
    """The digest of a batch, whose order counts: the state room's order is ascending by path."""
    digest = KEY_BATCH
    for update in updates:
        digest = blake3(b"".join(update.leaves), key=digest).digest()
    return digest
