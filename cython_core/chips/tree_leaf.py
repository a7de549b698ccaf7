"""The table tree-leaf: a row wherever a way down the tree ends. See chips/tree_update.py.

Kinds of rows: an *update* has a leaf before, after, or both; an *other* leaf is there and not
touched; an *opened* node is not touched, and shown to be a node: its path and value_before columns
are its sides, and its value_after columns its prefix. The prefix of a leaf has no columns, for it
is read off its path. Rows of no kind are padding.
"""

from collections.abc import Sequence
from typing import Final

from cython_core.air.language import Expression, TableBuilder
from cython_core.chips.blake3 import pack, sum_of
from cython_core.chips.tree_rules import (
    HASH_LIMBS,
    KEY_BATCH,
    KEY_LEAF,
    KEY_NODE,
    LIMB_BITS,
    POSITION,
    Place,
    Subtree,
    ask_hash,
    limbs_of,
    weighted_sum,
)

OPEN_IN_LOW_BYTE: Final = 0xFF00 - 1
"""The bits of a limb that a prefix leaves open are 2 bit - 1 and the high byte, or in the high byte
2 bit - 2^8: with this as 2 bit + OPEN_IN_LOW_BYTE, and less by OPEN_DIFFERENCE in the high byte."""
OPEN_DIFFERENCE: Final = OPEN_IN_LOW_BYTE + 0x100


class TreeLeaf:
    """Writes the table; each method adds one group of constraints."""

    def __init__(self) -> None:
        table = self.table = TableBuilder("tree-leaf")
        self.is_update = table.main("is_update")
        self.is_other = table.main("is_other")
        self.is_opened = table.main("is_opened")
        self.was_present = table.main("was_present")
        self.is_present = table.main("is_present")
        self.depth = table.main("depth")
        self.limb = table.main("limb")
        self.bit = table.main("bit")
        self.is_in_high_byte = table.main("is_in_high_byte")
        self.path = table.main("path", HASH_LIMBS)
        self.value_before = table.main("value_before", HASH_LIMBS)
        self.value_after = table.main("value_after", HASH_LIMBS)
        self.hash_before = table.main("hash_before", HASH_LIMBS)
        self.hash_after = table.main("hash_after", HASH_LIMBS)
        self.digest = table.main("digest", HASH_LIMBS)
        self.limb_flags = table.main("limb_flag", HASH_LIMBS + 1)
        self.mask = table.main("mask", LIMB_BITS)
        self.rest = table.main("rest", LIMB_BITS)
        self.is_leaf = self.is_update + self.is_other
        self.is_real = self.is_leaf + self.is_opened

    def write(self, digest: Sequence[int]) -> TableBuilder:
        self._kinds()
        self._path()
        self._hashes()
        self._digest(digest)
        return self.table

    def _kinds(self) -> None:
        """Each row has one kind or none.

        is_other is 0 or 1 - is_update: where it is not zero the leaf was present, so the row is
        one of a leaf. In the same way is_opened is 0 or 1 - is_leaf.
        """
        table = self.table
        table.require_boolean(self.is_update)
        table.require(
            self.is_opened * (self.is_opened - 1 + self.is_leaf), "an opened node is no leaf"
        )
        table.require_boolean(self.was_present)
        table.require_boolean(self.is_present)
        table.require(self.was_present * (1 - self.is_leaf), "only leaves were present")
        table.require(self.is_other * (1 - self.was_present), "another leaf was present")
        table.require(self.is_present * (1 - self.is_update), "only updated leaves become present")
        table.require(
            self.is_update * (1 - self.was_present) * (1 - self.is_present),
            "an update has a leaf before or after",
        )

    def _path(self) -> None:
        """Which bits of the path come after the prefix: `rest`, in the limb of the flag."""
        table, flags = self.table, self.limb_flags
        for flag in flags:
            table.require_boolean(flag)
        table.require(sum_of([*flags]) - self.is_leaf, "one limb flag in a row of a leaf")
        table.require(
            weighted_sum(flags) - self.is_leaf * self.limb, "the limb flag is that of the limb"
        )
        table.require_boolean(self.is_in_high_byte)
        open_bits = self.bit * 2 + OPEN_IN_LOW_BYTE - self.is_in_high_byte * OPEN_DIFFERENCE
        table.require(self.is_leaf * (pack([*self.mask]) - open_bits), "the mask of open bits")
        for place, (mask, rest) in enumerate(zip(self.mask, self.rest, strict=True)):
            table.require_boolean(mask)
            table.require(rest * (mask - rest), f"the rest has open bits only, bit {place}")

    def _prefix(self) -> list[Expression]:
        """The path up to its rest: whole limbs before the flag, a part of the limb at the flag."""
        rest = pack([*self.rest])
        of_leaf = [
            sum_of([*self.limb_flags[limb + 1 :]]) * path + self.limb_flags[limb] * (path - rest)
            for limb, path in enumerate(self.path)
        ]
        return [
            leaf + self.is_opened * opened
            for leaf, opened in zip(of_leaf, self.value_after, strict=True)
        ]

    def _hashes(self) -> None:
        table = self.table
        untouched = self.is_other + self.is_opened
        for limb in range(HASH_LIMBS):
            before, after = self.hash_before[limb], self.hash_after[limb]
            table.require(
                (self.is_leaf - self.was_present) * before, f"zeros when absent before, limb {limb}"
            )
            table.require(
                (self.is_update - self.is_present) * after + untouched * (after - before),
                f"zeros when absent after, the same when untouched, limb {limb}",
            )
        key = [
            self.was_present * leaf + self.is_opened * node
            for leaf, node in zip(limbs_of(KEY_LEAF), limbs_of(KEY_NODE), strict=True)
        ]
        ask_hash(
            table,
            key,
            [*self.path, *self.value_before],
            self.hash_before,
            self.was_present + self.is_opened,
            "hash before",
        )
        ask_hash(
            table,
            limbs_of(KEY_LEAF),
            [*self.path, *self.value_after],
            self.hash_after,
            self.is_present,
            "hash after",
        )
        place = Place(self.depth, self.limb, self.bit, self._prefix())
        before_it = Subtree(self.was_present + self.is_opened, self.was_present, self.hash_before)
        after_it = Subtree(
            self.is_present + untouched, self.is_present + self.is_other, self.hash_after
        )
        table.receive(POSITION, place.elements(before_it, after_it), self.is_real, "this position")

    def _digest(self, places: Sequence[int]) -> None:
        """The column holds the digest of the updates in the rows before."""
        table = self.table
        table.require_last(self.is_update, "the last row is no update")
        following = [column.next for column in self.digest]
        for limb, start in enumerate(limbs_of(KEY_BATCH)):
            digest = self.digest[limb]
            table.require_first(digest - start, f"the digest of nothing, limb {limb}")
            table.require_transition(
                (1 - self.is_update) * (following[limb] - digest), f"keep the digest, limb {limb}"
            )
            table.require_last(digest - table.public(places[limb]), f"the digest, limb {limb}")
        ask_hash(
            table,
            self.digest,
            [*self.hash_before, *self.hash_after],
            following,
            self.is_update,
            "next digest",
        )


def tree_leaf_table(digest: Sequence[int]) -> TableBuilder:
    """`digest`: places of the batch digest's limbs among the public values."""
    return TreeLeaf().write(digest)
