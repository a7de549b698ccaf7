"""Rewrites a tree witness for the guest: what stays in shape becomes steps of the steady pass.

`StateTree.prove` writes the general form (`cython_core/guest/tree.h`): every position in preorder.
Most slots of a batch exist before and after; a subtree whose slots all do is hashed much cheaper
as steps from the leaves up (`cython_core/guest/steady.h`). This module finds the largest such
subtrees, puts a STEADY item in their place and writes their steps.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from blake3 import blake3

from cython_core.hash._b3 import KEY_LEAF, KEY_NODE

LEVELS_MAX: Final = 24
"""Siblings of one step: its word has a bit for each."""

SIDES_SHIFT: Final = 8
ACTION_SHIFT: Final = 5


class Item(IntEnum):
    """Words of the general witness."""

    EMPTY = 0
    LEAF = 1
    OTHER = 2
    INNER = 3
    OPAQUE = 4
    OPENED = 5
    STEADY = 6


PAYLOAD_BYTES: Final = {
    Item.EMPTY: 0,
    Item.LEAF: 0,
    Item.OTHER: 64,
    Item.INNER: 0,
    Item.OPAQUE: 32,
    Item.OPENED: 64,
}


class Action(IntEnum):
    """What a finished step is."""

    WAITS = 0
    JOINS = 1
    ENDS = 2
    GOES_ON = 3


def word(number: int) -> bytes:
    """As the guest reads it."""
    return number.to_bytes(4, "little")


@dataclass(slots=True)
class Position:
    """A position of the tree before the batch, with what the witness shows there."""

    item: Item
    payload: bytes
    low: int
    high: int
    """The slots below it are [low, high)."""
    is_steady: bool = False
    """Every slot below is a leaf of its own that stays, and nothing else is said of any."""
    children: "tuple[Position, Position] | None" = None

    @property
    def has_slots(self) -> bool:
        return self.low != self.high

    def encode(self) -> bytes:
        return word(self.item) + self.payload

    def hash(self) -> bytes:
        """Of a position without slots."""
        if self.item is Item.OPAQUE:
            return self.payload
        if self.item is Item.EMPTY:
            return bytes(32)
        return blake3(self.payload, key=KEY_LEAF if self.item is Item.OTHER else KEY_NODE).digest()


class _Reader:
    """Reads a witness of `StateTree.prove`, which is trusted: this node has made it."""

    def __init__(self, proof: bytes, paths: Sequence[bytes], stays: Sequence[bool]) -> None:
        self._proof = proof
        self._next = 0
        self._numbers = [int.from_bytes(path, "big") for path in paths]
        self._stays = stays

    def position(self, low: int, high: int, prefix: int, depth: int) -> Position:
        """`prefix` is the least path below the position."""
        item = Item(self._proof[self._next])
        start = self._next + 4
        self._next = start + PAYLOAD_BYTES[item]
        found = Position(item, self._proof[start : self._next], low, high)
        if item is Item.INNER:
            middle = prefix | 1 << (255 - depth)
            split = bisect_left(self._numbers, middle, low, high)
            left = self.position(low, split, prefix, depth + 1)
            right = self.position(split, high, middle, depth + 1)
            found.children = (left, right)
            found.is_steady = all(child.is_steady or not child.has_slots for child in (left, right))
        else:
            found.is_steady = item is Item.LEAF and high == low + 1 and self._stays[low]
        return found


@dataclass(slots=True)
class TreeWitness:
    """A tree witness as the guest reads it."""

    proof: bytes = b""
    """General items; empty when the whole tree is steady."""
    steps: bytes = b""
    sides: dict[int, int] = field(default_factory=dict)
    """Of each steady slot: its side in its lowest node."""


class _Writer:
    def __init__(self) -> None:
        self.items: list[bytes] = []
        self.steps: list[bytes] = []
        self.sides: dict[int, int] = {}

    def write(self, position: Position) -> None:
        """Items of a position, steps of the steady subtrees in it."""
        if position.is_steady and position.has_slots:
            self.items.append(word(Item.STEADY))
            self.fold(position, Action.ENDS)
            return
        self.items.append(position.encode())
        if position.children is not None:
            for child in position.children:
                self.write(child)

    def fold(self, position: Position, action: Action) -> None:
        """Steps from the slots below up to `position`."""
        climbed: list[tuple[int, bytes]] = []
        while position.children is not None:
            left, right = position.children
            if left.has_slots and right.has_slots:
                self.fold(left, Action.WAITS)
                self.fold(right, Action.JOINS)
                break
            side = int(right.has_slots)
            climbed.append((side, (left if side else right).hash()))
            position = right if side else left
        climbed.reverse()
        if position.children is None:
            self.sides[position.low] = climbed[0][0] if climbed else 0
        while len(climbed) > LEVELS_MAX:
            self._step(climbed[:LEVELS_MAX], Action.GOES_ON)
            del climbed[:LEVELS_MAX]
        self._step(climbed, action)

    def _step(self, climbed: list[tuple[int, bytes]], action: Action) -> None:
        sides = sum(side << level for level, (side, _) in enumerate(climbed))
        self.steps.append(word(len(climbed) | action << ACTION_SHIFT | sides << SIDES_SHIFT))
        self.steps.extend(sibling for _, sibling in climbed)


def rewrite_witness(proof: bytes, paths: Sequence[bytes], stays: Sequence[bool]) -> TreeWitness:
    """The guest's form of a witness for slots with ascending `paths`.

    `stays` says of each slot whether its leaf is there before and after.
    """
    root = _Reader(proof, paths, stays).position(0, len(paths), 0, 0)
    writer = _Writer()
    writer.write(root)
    is_whole = root.is_steady and root.has_slots
    return TreeWitness(
        b"" if is_whole else b"".join(writer.items), b"".join(writer.steps), writer.sides
    )
