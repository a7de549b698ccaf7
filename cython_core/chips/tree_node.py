"""The table tree-node: a row for each position with updates below it. See chips/tree_update.py."""

from collections.abc import Sequence
from typing import Final

from cython_core.air.language import Expression, TableBuilder
from cython_core.chips.blake3 import sum_of
from cython_core.chips.tree_rules import (
    FIRST_BIT,
    HASH_LIMBS,
    KEY_NODE,
    LAST_BIT_OF_LIMB,
    LAST_BIT_OF_LOW_BYTE,
    POSITION,
    Place,
    Subtree,
    ask_hash,
    limbs_of,
    subtree_columns,
    weighted_sum,
)

HALF: Final = (2**31 - 2**24 + 2) // 2
"""One half in the field."""


class Side:
    """What is below a position on one side."""

    def __init__(self, table: TableBuilder, name: str) -> None:
        self.name = name
        self.is_linked = table.main(f"{name}.is_linked")
        self.is_opaque = table.main(f"{name}.is_opaque")
        self.before = subtree_columns(table, f"{name}.before")
        self.after = subtree_columns(table, f"{name}.after")

    def require_kind(self, table: TableBuilder) -> None:
        """A side without a row of its own: opaque or empty, and the same before and after.

        is_opaque is 0 or 1 - is_linked: where it is not zero the hash is not zeros (`_opaque`), and
        where the hash is not zeros 1 - is_linked - is_opaque is zero.
        """
        name, is_linked, is_opaque = self.name, self.is_linked, self.is_opaque
        table.require_boolean(is_linked, f"{name}: linked or not")
        for time, subtree in (("before", self.before), ("after", self.after)):
            table.require(
                (1 - is_linked) * (subtree.exists - is_opaque),
                f"{name}: exists {time} when opaque",
            )
            table.require(
                (1 - is_linked) * subtree.is_leaf, f"{name}: not known to be a leaf {time}"
            )
        for limb in range(HASH_LIMBS):
            before, after = self.before.hash[limb], self.after.hash[limb]
            table.require(
                (1 - is_linked - is_opaque) * before, f"{name}: zeros when empty, limb {limb}"
            )
            table.require((1 - is_linked) * (after - before), f"{name}: untouched, limb {limb}")


class TreeNode:
    """Writes the table; each method adds one group of constraints."""

    def __init__(self) -> None:
        table = self.table = TableBuilder("tree-node")
        self.is_real = table.main("is_real")
        self.is_child = table.main("is_child")
        self.depth = table.main("depth")
        self.limb = table.main("limb")
        self.crosses_byte = table.main("crosses_byte")
        self.crosses_limb = table.main("crosses_limb")
        self.crossing_witness = table.main("crossing_witness")
        self.opaque_witness = table.main("opaque_witness")
        self.bits = table.main("bit", HASH_LIMBS)
        self.prefix = table.main("prefix", HASH_LIMBS)
        self.bit = sum_of([*self.bits])
        self.left = Side(table, "left")
        self.right = Side(table, "right")
        self.before = subtree_columns(table, "before")
        self.after = subtree_columns(table, "after")

    def write(self, old_root: Sequence[int], new_root: Sequence[int]) -> TableBuilder:
        self._place()
        self._root(old_root, new_root)
        self.left.require_kind(self.table)
        self.right.require_kind(self.table)
        self._opaque()
        self._combine("before", self.left.before, self.right.before, self.before)
        self._combine("after", self.left.after, self.right.after, self.after)
        self._links()
        return self.table

    def _place(self) -> None:
        """The bit that decides between left and right: its value, at its limb."""
        require, bit = self.table.require, self.bit
        for limb, column in enumerate(self.bits):
            require(column * (column - bit), f"the bit is in one limb, limb {limb}")
        require(weighted_sum(self.bits) - self.limb * bit, "the bit is in its limb")
        require(
            self.crosses_byte * (bit - LAST_BIT_OF_LOW_BYTE), "crosses to the high byte when due"
        )
        require(self.crosses_limb * (bit - LAST_BIT_OF_LIMB), "crosses to the next limb when due")
        neither = (bit - LAST_BIT_OF_LOW_BYTE) * (bit - LAST_BIT_OF_LIMB)
        require(
            neither * self.crossing_witness - self.is_real + self.crosses_byte + self.crosses_limb,
            "crosses whenever due",
        )

    def _root(self, old_root: Sequence[int], new_root: Sequence[int]) -> None:
        table = self.table
        table.require_boolean(self.is_real)
        table.require_first(self.is_real - 1, "the first row is real")
        table.require_first(self.is_child, "the first row has no parent")
        table.require_transition(
            self.is_child.next - self.is_real.next, "every other real row has a parent"
        )
        table.require_first(self.depth, "the root has depth zero")
        table.require_first(self.limb, "the root decides in limb zero")
        table.require_first(self.bit - FIRST_BIT, "the root decides by the first bit")
        for limb in range(HASH_LIMBS):
            table.require_first(self.prefix[limb], f"the root has no prefix, limb {limb}")
            for name, subtree, places in (
                ("old", self.before, old_root),
                ("new", self.after, new_root),
            ):
                table.require_first(
                    subtree.hash[limb] - table.public(places[limb]), f"{name} root, limb {limb}"
                )

    def _opaque(self) -> None:
        """The witness may be shared: a row with updates below has at most one opaque side."""
        for side, other in ((self.left, self.right), (self.right, self.left)):
            inverse = sum_of([*side.before.hash]) * self.opaque_witness
            self.table.require(
                side.is_opaque * (inverse - 1), f"{side.name}: an opaque hash is not zeros"
            )
            self.table.require(
                side.is_opaque * (1 - other.after.exists),
                f"{side.name}: nothing opaque beside what is empty afterwards",
            )

    def _combine(self, time: str, left: Subtree, right: Subtree, both: Subtree) -> None:
        table = self.table
        table.require(
            both.exists - (left.exists + right.exists - left.exists * right.exists),
            f"exists {time} when a side does",
        )
        lone_leaf = left.is_leaf * (1 - right.exists) + right.is_leaf * (1 - left.exists)
        table.require(both.is_leaf - lone_leaf, f"is a leaf {time} when a side is and all there is")
        for limb, hashed in enumerate(both.hash):
            table.require(
                (1 - both.is_node) * (hashed - left.hash[limb] - right.hash[limb]),
                f"has the hash {time} of the only leaf, limb {limb}",
            )

    def _links(self) -> None:
        table = self.table
        place = Place(self.depth, self.limb, self.bit, self.prefix)
        table.receive(
            POSITION, place.elements(self.before, self.after), self.is_child, "this position"
        )
        turned: list[Expression] = [
            prefix + bit for prefix, bit in zip(self.prefix, self.bits, strict=True)
        ]
        for side, prefix in ((self.left, [*self.prefix]), (self.right, turned)):
            below = Place(
                self.depth + 1,
                self.limb + self.crosses_limb,
                # Half of the bit; 2^15 where the bit is 1.
                (self.bit + self.crosses_byte * (2**16 - 1)) * HALF,
                prefix,
            )
            table.send(
                POSITION,
                below.elements(side.before, side.after),
                self.is_real * side.is_linked,
                f"{side.name} position",
            )
        for time, left, right, both in (
            ("before", self.left.before, self.right.before, self.before),
            ("after", self.left.after, self.right.after, self.after),
        ):
            ask_hash(
                table,
                limbs_of(KEY_NODE),
                [*left.hash, *right.hash],
                both.hash,
                self.is_real * both.is_node,
                f"hash {time}",
            )


def tree_node_table(old_root: Sequence[int], new_root: Sequence[int]) -> TableBuilder:
    """`old_root` and `new_root`: places of the roots' limbs among the public values."""
    return TreeNode().write(old_root, new_root)
