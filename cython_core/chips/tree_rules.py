"""What the tables of the tree share: keys, the bus of positions, subtrees as expressions."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cython_core.air.language import Bus, Column, Expression, Operand, TableBuilder
from cython_core.chips.blake3 import HASH, KEYED_FLAGS

HASH_LIMBS: Final = 16
LIMB_BITS: Final = 16
FIRST_BIT: Final = 1 << 7
"""In its limb, of the bit of a path that is read first: the highest of the low byte."""
LAST_BIT_OF_LOW_BYTE: Final = 1
LAST_BIT_OF_LIMB: Final = 1 << 8

# The keys are repeated from cython_core.hash, which needs its extensions built. A test compares.
KEY_LEAF: Final = bytes.fromhex("c43defee302cff5ff386f95b12d81a31f1e209eb8f9e0242e9c3a6e6c841a58e")
KEY_NODE: Final = bytes.fromhex("4c84937c064d6e47301aa72d425beded7618275cf94a8d52ac7d02d91cee43e5")
KEY_BATCH: Final = bytes.fromhex("04a31bcf6f251b6b3ae4efcf94cb5e0e1bae0365dafb97ee6fe346b242a347ef")
"""BLAKE3("p2pseq/state/batch/v1"): the digest of a batch without updates."""

POSITION: Final = Bus("position", 3 + HASH_LIMBS + 2 * (2 + HASH_LIMBS))
"""depth, limb, bit, prefix; then before and after: exists, is_leaf, hash."""


def limbs_of(digest: bytes) -> tuple[int, ...]:
    """Limbs of 16 bits of an even number of bytes, the low byte first."""
    return struct.unpack(f"<{len(digest) // 2}H", digest)


@dataclass(frozen=True)
class Subtree:
    """What is at a position, at one time."""

    exists: Expression
    is_leaf: Expression
    hash: Sequence[Expression]

    @property
    def is_node(self) -> Expression:
        """For a subtree that combines others: two or more leaves."""
        return self.exists - self.is_leaf

    @property
    def elements(self) -> list[Expression]:
        return [self.exists, self.is_leaf, *self.hash]


def subtree_columns(table: TableBuilder, name: str) -> Subtree:
    return Subtree(
        table.main(f"{name}.exists"),
        table.main(f"{name}.is_leaf"),
        table.main(f"{name}.hash", HASH_LIMBS),
    )


@dataclass(frozen=True)
class Place:
    """A position: the first `depth` bits of a path, and which bit comes next."""

    depth: Expression
    limb: Expression
    bit: Expression
    prefix: Sequence[Expression]

    def elements(self, before: Subtree, after: Subtree) -> list[Expression]:
        """The tuple of the bus POSITION."""
        place = [self.depth, self.limb, self.bit, *self.prefix]
        return [*place, *before.elements, *after.elements]


def ask_hash(
    table: TableBuilder,
    key: Sequence[Operand],
    message: Sequence[Expression],
    out: Sequence[Expression],
    multiplicity: Expression,
    name: str,
) -> None:
    """`out` = b3(key, message), limb by limb, where the multiplicity is one."""
    elements = [key[0] + KEYED_FLAGS * 2**16, *key[1:], *message, *out]
    table.send(HASH, elements, multiplicity, name)


def weighted_sum(columns: Sequence[Column]) -> Expression:
    """Of the columns, each times its place: which one is set, of columns of which one is."""
    total = columns[1] + 0
    for place, column in enumerate(columns[2:], start=2):
        total = total + column * place
    return total
