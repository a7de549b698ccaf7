"""The statement "tree-update": a batch of updates leads from one root of the state tree to another.

Public values, 16 limbs each (16 bits, little-endian): the old root, the new root, the digest of the
batch. An update is a path with the leaf's hash before and after, zeros where there is no leaf; at
least one is there. The digest is a chain over the updates in the order of the batch:

    D_0 = K_batch = BLAKE3("p2pseq/state/batch/v1")       D_i = b3(D_{i-1}, before_i | after_i)

It binds all of them, for b3 with an earlier digest as the key is the compression that BLAKE3 itself
chains: two batches with one digest are a collision of it. The path is bound as a part of the
leaves.

    blake3      facts about compressions (chips/blake3.py), asked for on the bus HASH tree-node   a
    row for each position of the tree that has updates below; the root in the first row tree-leaf
    a row for each place where a way down ends: an update, another leaf, an opened node

A **position** is a prefix of paths. A row of tree-node knows of its two sides, before and after the
batch: whether a subtree exists, whether it is a single leaf, its hash. It combines each pair by the
definition of the tree (docs/state-tree.md): nothing and nothing is nothing; a leaf and nothing is
that leaf; all else is a node, the hash of both. The rule is the same before and after and also at
virtual positions, those below an empty place or below a leaf, where the tree has no node: so an
insertion that splits a leaf and a deletion that lifts one are no special cases.

A side is *linked*: a row of its own says what it is (bus POSITION); or *opaque*: it exists, is not
touched, and may be a leaf or a node; or else empty and not touched. An opaque side must not stand
beside what is empty afterwards, for there it would matter what it is: then it has a row in
tree-leaf that shows it as another leaf or as an opened node.

Why nobody can prove a false statement. Assume that nobody finds a collision of keyed BLAKE3, and
that the old root is the root of a well-formed tree.

 1. Multiplicities of rows that ask are 0 or 1 (is_real, is_child and the kinds of leaf rows are,
    hence `exists` and `is_leaf` by induction), so what is asked for has an answer: a hash is a fact
    of the chip, and a linked side has a row.
 2. *Rows are a tree.* Each real row takes its own position from the bus once, and only a row of
    tree-node puts it there, whose depth is smaller by one; the first row of tree-node takes
    nothing, all other real rows do. Depths are modulo p, so a cycle would need p rows. So from
    every real row the way up ends in the first row, and by induction from there no two rows have
    one position. No row stands apart, no update is left out of the tree.
 3. *Positions are right.* Prefix, limb and bit start at the root as they must and each step down
    is a function: bit halves; after bit 0 of a limb comes bit 15, after bit 8 the next limb (paths
    are read from the most significant bit of each byte, limbs are little-endian). Whether a step
    crosses is exact in real rows: the witness of (bit - 1)(bit - 256) exists where neither holds.
    The right side adds the bit to the prefix. No row of tree-node is at depth 256: there is no
    limb 16.
 4. *Paths are right.* The prefix of a leaf row is its path without what comes after: the limbs
    before `limb` whole, in that limb path - rest, then zeros. The bits of rest are open ones, those
    that come after the prefix (`mask`; is_in_high_byte is free, but a wrong one has no mask, or one
    without bits). The prefix that the parent sends has no open bits, by 3, and limbs of the path
    have 16 bits because they are hashed: so path = prefix + rest without a carry, and the path
    begins with the prefix. Two leaf rows are at positions of which neither is above the other, by
    2, so their paths differ: no path is updated twice, and another leaf is not an updated one.
 5. *Before.* From the root down, the hash before is the one that stands at the position in the tree
    that the old root is of, and existence and leafness are true: a node's hash determines its
    sides; a leaf's hash determines its path; zeros are no hash of anything, and an opaque side is
    not zeros. K_leaf and K_node differ, so a leaf is no node. Where the rule gives a leaf or
    nothing, at most one side exists and is that leaf. So an update's leaf before is the tree's.
 6. *After.* The same rule over the same positions with other leaves gives the new tree: what has no
    updates below is the same, and where an opaque side makes a node, the node is there whatever
    that side is.
 7. Limbs in a hashed message or in its result have 16 bits, since the chip takes them from bits. A
    hash that is not asked for is zeros or another's. So no value has two spellings.
 8. Rows that are not real put nothing on a bus, and the digest passes through them unchanged. The
    last row of tree-leaf is no update, so each digest has a next row to stand in.
"""

import struct
from collections.abc import Sequence
from typing import Final

from cython_core.air.language import TableBuilder, build_system
from cython_core.air.table import System
from cython_core.chips.blake3 import HASH, blake3_table
from cython_core.chips.tree_leaf import tree_leaf_table
from cython_core.chips.tree_node import tree_node_table
from cython_core.chips.tree_rules import HASH_LIMBS, POSITION, limbs_of

PUBLIC_COUNT: Final = 3 * HASH_LIMBS
OLD_ROOT: Final = range(HASH_LIMBS)
"""Places among the public values."""
NEW_ROOT: Final = range(HASH_LIMBS, 2 * HASH_LIMBS)
DIGEST: Final = range(2 * HASH_LIMBS, 3 * HASH_LIMBS)


def tree_update_system() -> System:
    tables: list[TableBuilder] = [
        blake3_table(),
        tree_node_table(OLD_ROOT, NEW_ROOT),
        tree_leaf_table(DIGEST),
    ]
    return build_system(tables, [HASH, POSITION], PUBLIC_COUNT)


def tree_update_publics(old_root: bytes, new_root: bytes, digest: bytes) -> list[int]:
    """The public values. ValueError unless each has 32 bytes."""
    if any(len(part) != 2 * HASH_LIMBS for part in (old_root, new_root, digest)):
        raise ValueError("roots and digests have 32 bytes each")
    return [*limbs_of(old_root), *limbs_of(new_root), *limbs_of(digest)]


def tree_update_meaning(publics: Sequence[int]) -> tuple[bytes, bytes, bytes]:
    """Old root, new root and batch digest of public values. ValueError when they are no limbs."""
    if len(publics) != PUBLIC_COUNT or any(not 0 <= limb < 1 << 16 for limb in publics):
        raise ValueError(f"the public values are {PUBLIC_COUNT} limbs of 16 bits")
    old_root, new_root, digest = (
        struct.pack(f"<{HASH_LIMBS}H", *(publics[place] for place in places))
        for places in (OLD_ROOT, NEW_ROOT, DIGEST)
    )
    return old_root, new_root, digest
