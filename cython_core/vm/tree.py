"""The trace tree: commitment to the rows of one run (shared reference trace.md, 1 and 1.1).

A table has G groups of 4^d slots: slot 0 (PAD), the rows of the run, PAD to the end. A group is a
4-ary tree of depth d over its slots.

    leaf(block, salt) = BLAKE3(block padded to 64 bytes, key = salt | 0^16)[:16]
    node(a, b, c, d)  = BLAKE3(a | b | c | d)[:16]
    slot              = leaf of a narrow record, or node of the leaves of H, A, B and C
    last slot         = the same under its own salt BLAKE3(salt | u32 nonce)[:16]

The nonce of a group is the smallest for which the 32 nibbles of the root add up to the digit sum:
a one-time signature of such a root needs no checksum. Numbers are little endian. The salt is public
and the same for all (PROTOCOL.md section 3), so the tree is a function of the finalised chain.

This module is the definition, and what checks openings; `_tree` builds the same from the rows that
the executor yields, and `committed` is the way in.

Deviations: a nonce is below 2^20, so that a digit sum that no root has is told. With the digit sum
of the protocol a group has none with probability e^-16000.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, unique
from functools import cached_property
from itertools import count, islice
from typing import Final

from blake3 import blake3

from cython_core.vm.operations import CLOCK_MAX
from cython_core.vm.program import DIGEST_BYTES, node
from cython_core.vm.records import (
    LEAF_BYTES,
    NARROW_BYTES,
    PAD_ROW,
    WIDE_BYTES,
    NarrowRow,
    Row,
    decode_narrow,
    decode_wide,
)

SALT_BYTES: Final = 16
SLOTS_MAX: Final = CLOCK_MAX + 1
DEPTH_MAX: Final = 12
NONCES: Final = 1 << 20
ROOT_DIGITS: Final = 2 * DIGEST_BYTES
DIGIT_MAX: Final = 15
DIGIT_SUM: Final = DIGIT_MAX * ROOT_DIGITS // 2
"""240: the most frequent sum, one root in 65 has it."""
SIBLING_BYTES: Final = 3 * DIGEST_BYTES
OPENING_HEADER: Final = struct.Struct("<BBII")

assert 4**DEPTH_MAX == SLOTS_MAX


class Unreachable(ValueError):
    """No nonce gives the digit sum."""


class MalformedOpening(ValueError):
    """Bytes that are no opening."""


@dataclass(frozen=True)
class Shape:
    """G groups of 4^d slots. Raises ValueError out of bounds."""

    groups: int
    depth: int

    def __post_init__(self) -> None:
        if not (1 <= self.depth <= DEPTH_MAX and 1 <= self.groups <= SLOTS_MAX >> 2 * self.depth):
            raise ValueError("a tree has at most 2^24 slots and a depth from 1 to 12")

    @property
    def group_slots(self) -> int:
        return 1 << 2 * self.depth

    @property
    def capacity(self) -> int:
        """Slots of the table: one more than rows that fit."""
        return self.groups * self.group_slots


def digit_sum(digest: bytes) -> int:
    """The sum of the nibbles."""
    return sum(byte // 16 + byte % 16 for byte in digest)


def leaf(block: bytes, salt: bytes) -> bytes:
    """The digest of a narrow record or of a part of a wide one."""
    return blake3(block.ljust(LEAF_BYTES, b"\0"), key=salt + bytes(16)).digest(DIGEST_BYTES)


def nonce_salt(salt: bytes, nonce: int) -> bytes:
    """The salt of the last slot of a group."""
    return blake3(salt + nonce.to_bytes(4, "little")).digest(SALT_BYTES)


def row_digest(row: Row, salt: bytes) -> bytes:
    """The digest of a slot."""
    leaves = [leaf(block, salt) for block in row.leaves()]
    return leaves[0] if len(leaves) == 1 else node(leaves)


def trace_root(roots: Sequence[bytes]) -> bytes:
    """What M(e) names of the groups of one batch: BLAKE3(root | root | ...), 32 bytes."""
    return blake3(b"".join(roots)).digest()


@unique
class View(IntEnum):
    """What of a slot an opening shows."""

    NARROW = 0
    HEAD = 1
    A = 2
    B = 3
    C = 4
    WIDE = 5
    """All four parts."""


PARTS: Final = (View.HEAD, View.A, View.B, View.C)
CONTENT_BYTES: Final = {
    View.NARROW: NARROW_BYTES,
    **dict.fromkeys(PARTS, LEAF_BYTES),
    View.WIDE: WIDE_BYTES,
}


@dataclass(frozen=True)
class Opening:
    """A record, or a part of one, with its path to the root of its group."""

    view: View
    index: int
    nonce: int
    """Of the group when the slot is its last one, else 0."""
    content: bytes
    siblings: tuple[bytes, ...]
    """Of each level the three others from left to right, 48 bytes, the deepest level first. A part
    has one level more.
    """

    @property
    def depth(self) -> int:
        return len(self.siblings) - (self.view in PARTS)

    @property
    def group(self) -> int:
        return self.index >> 2 * self.depth

    def encode(self) -> bytes:
        """view u8 | depth u8 | index u32 | nonce u32 | content | siblings."""
        header = OPENING_HEADER.pack(self.view, self.depth, self.index, self.nonce)
        return header + self.content + b"".join(self.siblings)

    def row(self) -> Row:
        """The record of a NARROW or WIDE opening."""
        assert self.view not in PARTS
        return (
            decode_narrow(self.content) if self.view is View.NARROW else decode_wide(self.content)
        )


def _is_well_formed(opening: Opening) -> bool:
    """What has to hold in any tree."""
    view, index, content, depth = opening.view, opening.index, opening.content, opening.depth
    if not 1 <= depth <= DEPTH_MAX or not 0 <= index < SLOTS_MAX:
        return False
    is_last = (index + 1) % (1 << 2 * depth) == 0
    if not 0 <= opening.nonce < (NONCES if is_last else 1):
        return False
    if any(len(level) != SIBLING_BYTES for level in opening.siblings):
        return False
    if len(content) != CONTENT_BYTES[view]:
        return False
    # The last four bytes of a line are zero in the only spelling of a record (records.py).
    first_line = LEAF_BYTES if view is View.WIDE else 0
    lines = content[first_line:] if view not in (View.NARROW, View.HEAD) else b""
    return not any(any(lines[at - 4 : at]) for at in range(LEAF_BYTES, len(lines) + 1, LEAF_BYTES))


def decode_opening(encoded: bytes) -> Opening:
    """Strict inverse of `encode`. Raises MalformedOpening."""
    if len(encoded) < OPENING_HEADER.size:
        raise MalformedOpening("an opening ends before its record")
    number, depth, index, nonce = OPENING_HEADER.unpack_from(encoded)
    if number not in list(View):
        raise MalformedOpening(f"there is no view {number}")
    view = View(number)
    end = OPENING_HEADER.size + CONTENT_BYTES[view]
    levels = depth + (view in PARTS)
    if len(encoded) != end + SIBLING_BYTES * levels:
        raise MalformedOpening("an opening is longer or shorter than it says")
    path = [encoded[at : at + SIBLING_BYTES] for at in range(end, len(encoded), SIBLING_BYTES)]
    opening = Opening(view, index, nonce, encoded[OPENING_HEADER.size : end], tuple(path))
    if not _is_well_formed(opening):
        raise MalformedOpening("an opening has a depth, index, nonce or record that none has")
    return opening


def _parent(siblings: bytes, position: int, digest: bytes) -> bytes:
    """The node in which `digest` is the child at `position`."""
    at = DIGEST_BYTES * position
    return node([siblings[:at], digest, siblings[at:]])


def root_under(own_salt: bytes, opening: Opening) -> bytes:
    """The root of the group in which a well-formed opening is one, its slot hashed under
    `own_salt`: whoever cheats may choose what salt a slot has.
    """
    view, content = opening.view, opening.content
    blocks = [content[at : at + LEAF_BYTES] for at in range(0, len(content), LEAF_BYTES)]
    leaves = [leaf(block, own_salt) for block in blocks]
    digest = node(leaves) if view is View.WIDE else leaves[0]
    path = list(opening.siblings)
    if view in PARTS:
        digest = _parent(path.pop(0), PARTS.index(view), digest)
    for level, others in enumerate(path):
        digest = _parent(others, opening.index >> 2 * level & 3, digest)
    return digest


def implied_root(salt: bytes, opening: Opening) -> bytes:
    """The root of the group in which a well-formed opening is one, under the salt that is due."""
    is_last = (opening.index + 1) % (1 << 2 * opening.depth) == 0
    return root_under(nonce_salt(salt, opening.nonce) if is_last else salt, opening)


def opens(shape: Shape, salt: bytes, roots: Sequence[bytes], opening: Opening) -> bool:
    """Whether an opening shows what stands in the table with these group roots."""
    assert len(roots) == shape.groups
    assert len(salt) == SALT_BYTES
    if not _is_well_formed(opening):
        return False
    if opening.depth != shape.depth or opening.index >= shape.capacity:
        return False
    return implied_root(salt, opening) == roots[opening.group]


@dataclass(frozen=True)
class OpenedRow:
    """A slot with all that its openings need."""

    index: int
    nonce: int
    """As in Opening."""
    row: Row
    own_salt: bytes
    """The salt of this slot."""
    siblings: tuple[bytes, ...]
    """Without the level of the parts."""

    def opening(self, view: View | None = None) -> Opening:
        """An opening of the whole row, or of a part. ValueError for a view that it has not."""
        blocks = self.row.leaves()
        whole = View.NARROW if isinstance(self.row, NarrowRow) else View.WIDE
        chosen = whole if view is None else view
        if chosen is whole:
            return Opening(chosen, self.index, self.nonce, self.row.encode(), self.siblings)
        if isinstance(self.row, NarrowRow) or chosen is View.NARROW:
            raise ValueError(f"row {self.index} has no view {chosen.name}")
        place = PARTS.index(chosen)
        leaves = [leaf(block, self.own_salt) for block in blocks]
        others = b"".join(leaves[:place] + leaves[place + 1 :])
        return Opening(chosen, self.index, self.nonce, blocks[place], (others, *self.siblings))


class GroupTree:
    """The tree of one group, all of it. `rows` are those of its first slots, PAD is the rest."""

    def __init__(
        self, rows: Sequence[Row], depth: int, salt: bytes, target: int = DIGIT_SUM
    ) -> None:
        """Raises Unreachable."""
        self.depth, self.salt = depth, salt
        self.slots = 1 << 2 * depth
        assert len(rows) <= self.slots
        self.rows = rows
        self.pads = [row_digest(PAD_ROW, salt)]
        self.levels = [[row_digest(row, salt) for row in rows[: self.slots - 1]]]
        """Of each level the first nodes; PAD subtrees follow, and the last slot's ancestor."""
        for level in range(depth):
            # All but the ancestor of the last slot, which waits for the nonce.
            known = min(-(-len(self.levels[level]) // 4), self.slots // 4 ** (level + 1) - 1)
            self.levels.append([node(self._children(level, block)) for block in range(known)])
            self.pads.append(node([self.pads[level]] * 4))
        self.nonce, self.last = self._ground(target)
        """`last` are the ancestors of the last slot, its own digest first and the root last."""

    def _node(self, level: int, place: int) -> bytes:
        known = self.levels[level]
        return known[place] if place < len(known) else self.pads[level]

    def _children(self, level: int, block: int) -> list[bytes]:
        return [self._node(level, 4 * block + child) for child in range(4)]

    def row(self, slot: int) -> Row:
        return self.rows[slot] if slot < len(self.rows) else PAD_ROW

    def _ground(self, target: int) -> tuple[int, list[bytes]]:
        row = self.row(self.slots - 1)
        for nonce in islice(count(), NONCES):
            chain = [row_digest(row, nonce_salt(self.salt, nonce))]
            for level in range(self.depth):
                others = self._children(level, self.slots // 4 ** (level + 1) - 1)[:3]
                chain.append(node([*others, chain[-1]]))
            if digit_sum(chain[-1]) == target:
                return nonce, chain
        raise Unreachable(f"no nonce below {NONCES:,} gives a root its digit sum")

    @property
    def root(self) -> bytes:
        return self.last[-1]

    def siblings(self, slot: int) -> tuple[bytes, ...]:
        """The path of a slot, as in Opening."""
        path = []
        for level in range(self.depth):
            place = slot >> 2 * level
            nodes = self._children(level, place // 4)
            if place // 4 == self.slots // 4 ** (level + 1) - 1:
                nodes[3] = self.last[level]
            del nodes[place % 4]
            path.append(b"".join(nodes))
        return tuple(path)


@dataclass(frozen=True)
class Tree:
    """The twin of the compiled builder, from rows: also from those that no machine would write."""

    shape: Shape
    salt: bytes
    rows: Sequence[Row]
    """Slots 1, 2, ..., at most capacity - 1."""
    target: int = DIGIT_SUM

    def __post_init__(self) -> None:
        if len(self.rows) >= self.shape.capacity:
            raise ValueError("there are more rows than slots")
        if len(self.salt) != SALT_BYTES:
            raise ValueError(f"a salt has {SALT_BYTES} bytes")

    @cached_property
    def groups(self) -> tuple[GroupTree, ...]:
        """Raises Unreachable."""
        table, size = [PAD_ROW, *self.rows], self.shape.group_slots
        starts = range(0, self.shape.capacity, size)
        filled = [
            GroupTree(table[at : at + size], self.shape.depth, self.salt, self.target)
            for at in starts
            if at < len(table)
        ]
        left = self.shape.groups - len(filled)
        empty = [GroupTree([], self.shape.depth, self.salt, self.target)] if left else []
        return (*filled, *empty * left)

    @property
    def roots(self) -> tuple[bytes, ...]:
        return tuple(group.root for group in self.groups)

    @property
    def nonces(self) -> tuple[int, ...]:
        return tuple(group.nonce for group in self.groups)

    def open_row(self, index: int) -> OpenedRow:
        """A slot with its path."""
        group = self.groups[index // self.shape.group_slots]
        slot = index % self.shape.group_slots
        siblings = group.siblings(slot)
        is_last = slot == self.shape.group_slots - 1
        return opened_row(
            self.salt, index, group.row(slot), siblings, group.nonce if is_last else None
        )


def opened_row(
    salt: bytes, index: int, row: Row, siblings: tuple[bytes, ...], nonce: int | None
) -> OpenedRow:
    """`nonce` is None for a slot that is not the last of its group."""
    own = salt if nonce is None else nonce_salt(salt, nonce)
    return OpenedRow(index, nonce or 0, row, own, siblings)
