"""Traces of the statement "tree-update": from a batch and a witness of the state tree.

The witness is that of `StateTree.prove` (docs/state-tree.md): the tree before, in preorder. This
module believes it; a wrong one gives traces that no proof can be made from, or a WitnessError.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cython_core.air.table import MODULUS
from cython_core.chips._blake3_trace import blake3_trace
from cython_core.chips.batch import EMPTY, LeafUpdate
from cython_core.chips.blake3 import KEYED_FLAGS
from cython_core.chips.tree_rules import (
    HASH_LIMBS,
    KEY_BATCH,
    KEY_LEAF,
    KEY_NODE,
    LAST_BIT_OF_LIMB,
    LAST_BIT_OF_LOW_BYTE,
    limbs_of,
)
from cython_core.chips.tree_update import tree_update_publics
from cython_core.field import Matrix
from cython_core.hash import b3

NODE_WIDTH: Final = 152
LEAF_WIDTH: Final = 154
DIGEST_PLACE: Final = 89
"""First column of the digest in tree-leaf."""
PATH_BITS: Final = 256
ITEM_EMPTY, ITEM_LEAF, ITEM_OTHER, ITEM_INNER, ITEM_OPAQUE, ITEM_OPENED = range(6)
"""The words of the witness."""


class WitnessError(ValueError):
    """A witness that does not belong to the batch."""


class State(NamedTuple):
    """A subtree at one time."""

    exists: int
    is_leaf: int
    hash: bytes

    @property
    def cells(self) -> tuple[int, ...]:
        return (self.exists, self.is_leaf, *limbs_of(self.hash))


NOTHING: Final = State(0, 0, EMPTY)


class Side(NamedTuple):
    """A side of a node: what the table tree-node has columns for."""

    before: State
    after: State
    is_linked: int = 0
    is_opaque: int = 0

    @property
    def cells(self) -> tuple[int, ...]:
        return (self.is_linked, self.is_opaque, *self.before.cells, *self.after.cells)


class Ending(NamedTuple):
    """A leaf in which a way down the tree may end: an update by its number, or another leaf."""

    path: bytes
    update: int | None
    value_before: bytes | None
    value_after: bytes | None


def bit_of(path: bytes, depth: int) -> int:
    return path[depth // 8] >> (7 - depth % 8) & 1


def bit_in_limb(depth: int) -> int:
    """The value, in its limb, of the bit that is read at a depth."""
    place = depth % 16
    return 1 << (7 - place if place < 8 else 23 - place)


def _crossing_cells(bit: int) -> tuple[int, int, int]:
    """crosses_byte, crosses_limb, crossing_witness."""
    product = (bit - LAST_BIT_OF_LOW_BYTE) * (bit - LAST_BIT_OF_LIMB)
    crosses = (int(bit == LAST_BIT_OF_LOW_BYTE), int(bit == LAST_BIT_OF_LIMB))
    return (*crosses, pow(product, -1, MODULUS) if product else 0)


CROSSING_CELLS: Final = [_crossing_cells(bit_in_limb(depth)) for depth in range(16)]


class TreeRows:
    """Collects the rows of the tables tree-node and tree-leaf and the hashes they ask for."""

    def __init__(self, updates: Sequence[LeafUpdate], proof: bytes) -> None:
        self.nodes: list[tuple[int, ...]] = []
        self.updated: list[tuple[int, ...]] = [()] * len(updates)
        self.untouched: list[tuple[int, ...]] = []
        self.hashes: dict[tuple[bytes, bytes], int] = {}
        self._proof = proof
        self._offset = 0
        endings = [
            Ending(update.path, number, update.before, update.after)
            for number, update in enumerate(updates)
        ]
        if not endings:
            raise ValueError("a batch has at least one update")
        self.root = self._below(endings, 0, 0)
        if self._offset != len(proof):
            raise WitnessError("the witness goes on after its last item")

    def _take(self, length: int) -> bytes:
        taken = self._proof[self._offset : self._offset + length]
        if len(taken) != length:
            raise WitnessError("the witness ends too early")
        self._offset += length
        return taken

    def hash(self, key: bytes, message: bytes) -> bytes:
        self.hashes[key, message] = self.hashes.get((key, message), 0) + 1
        return b3(key, message)

    def _below(
        self, endings: list[Ending], depth: int, prefix: int, *, is_virtual: bool = False
    ) -> Side:
        """The subtree at a position, and its rows. Below a virtual position the witness is silent:
        `endings` are then all that is there, before or after."""
        if not is_virtual:
            item = int.from_bytes(self._take(4), "little")
            if item == ITEM_OTHER:
                taken = self._take(64)
                other = Ending(taken[:32], None, taken[32:], taken[32:])
                endings = [*endings, other]
            elif item == ITEM_OPAQUE:
                state = State(1, 0, self._take(32))
                return Side(state, state, is_opaque=1)
            elif item == ITEM_OPENED:
                return self._opened(self._take(64), depth, prefix)
            elif item not in (ITEM_EMPTY, ITEM_LEAF, ITEM_INNER):
                raise WitnessError(f"unknown item {item}")
            is_virtual = item != ITEM_INNER
        if is_virtual and not endings:
            return Side(NOTHING, NOTHING)
        if is_virtual and len(endings) == 1 and depth > 0:
            return self._ending(endings[0], depth)
        if depth == PATH_BITS:
            raise WitnessError("two leaves have one path")
        row = len(self.nodes)
        self.nodes.append(())
        left, right = (
            self._below(
                [ending for ending in endings if bit_of(ending.path, depth) == side],
                depth + 1,
                prefix | side << (PATH_BITS - 1 - depth),
                is_virtual=is_virtual,
            )
            for side in (0, 1)
        )
        return self._node(row, depth, prefix, left, right)

    def _node(self, row: int, depth: int, prefix: int, left: Side, right: Side) -> Side:
        for side, other in ((left, right), (right, left)):
            if side.is_opaque and not other.after.exists:
                raise WitnessError("a sibling must be opened, for what is beside it vanishes")
        before = self._combined(left.before, right.before)
        after = self._combined(left.after, right.after)
        opaque = next((side.before.hash for side in (left, right) if side.is_opaque), None)
        bits = [0] * HASH_LIMBS
        bits[depth // 16] = bit_in_limb(depth)
        self.nodes[row] = (
            1,
            int(depth > 0),
            depth,
            depth // 16,
            *CROSSING_CELLS[depth % 16],
            0 if opaque is None else pow(sum(limbs_of(opaque)), -1, MODULUS),
            *bits,
            *limbs_of(prefix.to_bytes(32, "big")),
            *left.cells,
            *right.cells,
            *before.cells,
            *after.cells,
        )
        return Side(before, after, is_linked=1)

    def _combined(self, left: State, right: State) -> State:
        if not (left.exists or right.exists):
            return NOTHING
        lone = left if not right.exists else right if not left.exists else None
        if lone is not None and lone.is_leaf:
            return lone
        return State(1, 0, self.hash(KEY_NODE, left.hash + right.hash))

    def _leaf(self, path: bytes, value_hash: bytes | None) -> State:
        if value_hash is None:
            return NOTHING
        return State(1, 1, self.hash(KEY_LEAF, path + value_hash))

    def _ending(self, ending: Ending, depth: int) -> Side:
        before = self._leaf(ending.path, ending.value_before)
        is_update = ending.update is not None
        after = self._leaf(ending.path, ending.value_after) if is_update else before
        flags = [int(place == depth // 16) for place in range(HASH_LIMBS + 1)]
        bit = bit_in_limb(depth)
        is_in_high_byte = int(bit >= LAST_BIT_OF_LIMB)
        mask = 2 * bit - 256 if is_in_high_byte else 2 * bit - 1 | 0xFF00
        path_limbs = (*limbs_of(ending.path), 0)
        rest = path_limbs[depth // 16] & mask
        row = (
            *(int(is_update), int(not is_update), 0),
            *(before.exists, after.exists if is_update else 0),
            *(depth, depth // 16, bit, is_in_high_byte),
            *limbs_of(ending.path),
            *limbs_of(ending.value_before or EMPTY),
            *limbs_of(ending.value_after or EMPTY),
            *limbs_of(before.hash),
            *limbs_of(after.hash),
            *([0] * HASH_LIMBS),
            *flags,
            *(mask >> place & 1 for place in range(16)),
            *(rest >> place & 1 for place in range(16)),
        )
        if ending.update is None:
            self.untouched.append(row)
        else:
            self.updated[ending.update] = row
        return Side(before, after, is_linked=1)

    def _opened(self, sides: bytes, depth: int, prefix: int) -> Side:
        state = State(1, 0, self.hash(KEY_NODE, sides))
        self.untouched.append(
            (
                *(0, 0, 1, 0, 0),
                *(depth, depth // 16, bit_in_limb(depth), 0),
                *limbs_of(sides),
                *limbs_of(prefix.to_bytes(32, "big")),
                *limbs_of(state.hash),
                *limbs_of(state.hash),
                *([0] * (HASH_LIMBS + HASH_LIMBS + 1 + 32)),
            )
        )
        return Side(state, state, is_linked=1)


@dataclass(frozen=True)
class TreeUpdate:
    """Traces of one batch and what they prove."""

    matrices: tuple[Matrix, Matrix, Matrix]
    """In the order of the system's tables."""
    old_root: bytes
    new_root: bytes
    digest: bytes

    @property
    def publics(self) -> list[int]:
        return tree_update_publics(self.old_root, self.new_root, self.digest)


def tree_update_trace(updates: Sequence[LeafUpdate], proof: bytes) -> TreeUpdate:
    """Traces for a batch with the witness of `StateTree.prove` for exactly its paths.

    WitnessError when they do not belong together, as far as it is noticed here.
    """
    rows = TreeRows(updates, proof)
    leaves, digest = _leaf_rows(rows, updates)
    requests = b"".join(
        key + message + struct.pack("<2I", KEYED_FLAGS, count)
        for (key, message), count in rows.hashes.items()
    )
    return TreeUpdate(
        matrices=(
            blake3_trace(requests, _power_of_two(len(rows.hashes))),
            _matrix(rows.nodes, (), NODE_WIDTH),
            # The last row is no update.
            _matrix(leaves, _padding(digest), LEAF_WIDTH, len(updates) + 1),
        ),
        old_root=rows.root.before.hash,
        new_root=rows.root.after.hash,
        digest=digest,
    )


def _leaf_rows(
    rows: TreeRows, updates: Sequence[LeafUpdate]
) -> tuple[list[tuple[int, ...]], bytes]:
    """All rows of tree-leaf with their digests, the updates first, and the last digest."""
    digest = KEY_BATCH
    leaves = []
    for row, update in zip(rows.updated, updates, strict=True):
        if not row:
            raise WitnessError("the witness leaves an update out")
        leaves.append(_with_digest(row, digest))
        digest = rows.hash(digest, b"".join(update.leaves))
    leaves += [_with_digest(row, digest) for row in rows.untouched]
    return leaves, digest


def _with_digest(row: tuple[int, ...], digest: bytes) -> tuple[int, ...]:
    return (*row[:DIGEST_PLACE], *limbs_of(digest), *row[DIGEST_PLACE + HASH_LIMBS :])


def _padding(digest: bytes) -> tuple[int, ...]:
    return _with_digest((0,) * LEAF_WIDTH, digest)


def _power_of_two(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()


def _matrix(
    rows: list[tuple[int, ...]], padding: tuple[int, ...], width: int, least: int = 1
) -> Matrix:
    height = _power_of_two(max(len(rows), least))
    packed = struct.Struct(f"<{width}I")
    cells = b"".join(packed.pack(*row) for row in rows)
    filling = packed.pack(*padding) if padding else bytes(4 * width)
    return Matrix.from_rows(cells + filling * (height - len(rows)), height, width)
