"""Pure-Python twins of the state tree and of the guest's witness check: recursive and plain.

They are written from docs/state-tree.md and share nothing with the C code but the definitions, so
that a test that compares both compares two derivations. `ReferenceTree` recomputes everything from
the set of leaves at each question; it has the interface of `StateTree`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from itertools import pairwise
from typing import Final

from cython_core.hash._reference import KEY_LEAF, KEY_NODE, KEY_VALUE, b3

EMPTY: Final = bytes(32)
PATH_BITS: Final = 256


@lru_cache(maxsize=1 << 14)
def leaf_hash(path: bytes, value: bytes) -> bytes:
    return b3(KEY_LEAF, path + b3(KEY_VALUE, value))


@lru_cache(maxsize=1 << 14)
def node_hash(left: bytes, right: bytes) -> bytes:
    return b3(KEY_NODE, left + right)


def path_bit(path: bytes, depth: int) -> int:
    """Bit `depth` of a path, the most significant bit of the first byte being bit 0."""
    return path[depth // 8] >> (7 - depth % 8) & 1


def split(paths: Sequence[bytes], depth: int) -> tuple[list[bytes], list[bytes]]:
    left = [path for path in paths if not path_bit(path, depth)]
    right = [path for path in paths if path_bit(path, depth)]
    return left, right


def root_of(leaves: dict[bytes, bytes], depth: int = 0) -> bytes:
    """Root of the subtree at `depth` with exactly these leaves (path -> value)."""
    return _root_of_hashes({path: leaf_hash(path, value) for path, value in leaves.items()}, depth)


def _root_of_hashes(hashes: dict[bytes, bytes], depth: int) -> bytes:
    if not hashes:
        return EMPTY
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    left, right = split(list(hashes), depth)
    return node_hash(
        _root_of_hashes({path: hashes[path] for path in left}, depth + 1),
        _root_of_hashes({path: hashes[path] for path in right}, depth + 1),
    )


def _cut(text: bytes, size: int, what: str) -> list[bytes]:
    if len(text) % size != 0:
        raise ValueError(f"{what} have {size} bytes each")
    return [text[start : start + size] for start in range(0, len(text), size)]


class ReferenceTree:
    """The interface of `StateTree` over a dictionary."""

    def __init__(self) -> None:
        self._leaves: dict[bytes, bytes] = {}

    @property
    def root(self) -> bytes:
        return root_of(self._leaves)

    def __len__(self) -> int:
        return len(self._leaves)

    def get(self, path: bytes) -> bytes | None:
        if len(path) != 32:
            raise ValueError("paths have 32 bytes each")
        return self._leaves.get(path)

    def get_many(self, paths: bytes) -> tuple[bytes, bytes]:
        found = [self._leaves.get(path) for path in _cut(paths, 32, "paths")]
        values = b"".join(bytes(64) if value is None else value for value in found)
        return values, bytes(value is not None for value in found)

    def update(self, paths: bytes, values: bytes, present: bytes) -> tuple[bytes, bytes, bytes]:
        path_list = _cut(paths, 32, "paths")
        value_list = _cut(values, 64, "values")
        if len(value_list) != len(path_list):
            raise ValueError("values have 64 bytes each, one for each path")
        if len(present) != len(path_list):
            raise ValueError("there is one presence flag for each path")
        if any(flag > 1 for flag in present):
            raise ValueError("a presence flag is 0 or 1")
        if len(set(path_list)) != len(path_list):
            raise ValueError("a path stands twice in one batch")
        old_values, old_present = self.get_many(paths)
        for path, value, flag in zip(path_list, value_list, present, strict=True):
            if flag:
                self._leaves[path] = value
            else:
                self._leaves.pop(path, None)
        return self.root, old_values, old_present

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(self._leaves.items()))


class Kind(Enum):
    """What a witness shows of a subtree."""

    EMPTY = auto()
    LEAF = auto()
    INNER = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Slot:
    """One leaf before and after; None is absence."""

    path: bytes
    old: bytes | None
    new: bytes | None


@dataclass(frozen=True, slots=True)
class Subtree:
    """A subtree before and after the transition."""

    before: bytes
    after: bytes
    kind_before: Kind
    kind_after: Kind

    @property
    def is_changed(self) -> bool:
        return (self.before, self.kind_before) != (self.after, self.kind_after)


class ReferenceWitnessError(ValueError):
    """A witness that the twin refuses. Reasons are the tree_status names of guest/tree.h."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Checker:
    """One recursive pass over a witness."""

    def __init__(self, proof: bytes) -> None:
        self._proof = proof
        self._offset = 0

    def take(self, length: int) -> bytes:
        taken = self._proof[self._offset : self._offset + length]
        if len(taken) != length:
            raise ReferenceWitnessError("truncated")
        self._offset += length
        return taken

    def finish(self) -> None:
        if self._offset != len(self._proof):
            raise ReferenceWitnessError("trailing")

    def subtree(self, slots: list[Slot], depth: int, prefix: str) -> Subtree:
        """`prefix` is the position as a string of bits, `slots` are those below it."""
        item = int.from_bytes(self.take(4), "little")
        if item == 3 and slots and depth < PATH_BITS:
            return self._inner(slots, depth, prefix)
        if item == 0:
            return self._leaves(slots, depth, {})
        if item == 1:
            existing = [slot for slot in slots if slot.old is not None]
            if len(existing) != 1:
                raise ReferenceWitnessError("contradiction")
            path, value = existing[0].path, existing[0].old
            assert value is not None
            return self._leaves(slots, depth, {path: leaf_hash(path, value)})
        if item == 2:
            return self._other(slots, depth, prefix)
        if item == 4 and not slots:
            digest = self.take(32)
            if digest == EMPTY:
                raise ReferenceWitnessError("item-invalid")
            return Subtree(digest, digest, Kind.UNKNOWN, Kind.UNKNOWN)
        if item == 5 and not slots and depth < PATH_BITS:
            left, right = self.take(32), self.take(32)
            if left == EMPTY and right == EMPTY:
                raise ReferenceWitnessError("malformed")
            digest = node_hash(left, right)
            return Subtree(digest, digest, Kind.INNER, Kind.INNER)
        raise ReferenceWitnessError("item-invalid")

    def _other(self, slots: list[Slot], depth: int, prefix: str) -> Subtree:
        path, value_hash = self.take(32), self.take(32)
        bits = "".join(str(path_bit(path, place)) for place in range(depth))
        if bits != prefix or any(slot.path == path for slot in slots):
            raise ReferenceWitnessError("path-invalid")
        return self._leaves(slots, depth, {path: b3(KEY_LEAF, path + value_hash)})

    def _leaves(self, slots: list[Slot], depth: int, before: dict[bytes, bytes]) -> Subtree:
        """A position with at most one leaf before; `before` maps its path to its hash."""
        if any(slot.old is not None and slot.path not in before for slot in slots):
            raise ReferenceWitnessError("contradiction")
        after = dict(before)
        for slot in slots:
            if slot.new is None:
                after.pop(slot.path, None)
            else:
                after[slot.path] = leaf_hash(slot.path, slot.new)
        kinds = [
            Kind.EMPTY if not hashes else Kind.LEAF if len(hashes) == 1 else Kind.INNER
            for hashes in (before, after)
        ]
        return Subtree(
            _root_of_hashes(before, depth), _root_of_hashes(after, depth), kinds[0], kinds[1]
        )

    def _inner(self, slots: list[Slot], depth: int, prefix: str) -> Subtree:
        sides = [[slot for slot in slots if path_bit(slot.path, depth) == side] for side in (0, 1)]
        left = self.subtree(sides[0], depth + 1, prefix + "0")
        right = self.subtree(sides[1], depth + 1, prefix + "1")
        shown = {left.kind_before, right.kind_before}
        if shown <= {Kind.EMPTY, Kind.LEAF} and Kind.EMPTY in shown:
            raise ReferenceWitnessError("malformed")
        before = node_hash(left.before, right.before)
        if not left.is_changed and not right.is_changed:
            return Subtree(before, before, Kind.INNER, Kind.INNER)
        present = [child for child in (left, right) if child.kind_after is not Kind.EMPTY]
        if not present:
            return Subtree(before, EMPTY, Kind.INNER, Kind.EMPTY)
        if len(present) == 1 and present[0].kind_after is Kind.UNKNOWN:
            raise ReferenceWitnessError("undecidable")
        if len(present) == 1 and present[0].kind_after is Kind.LEAF:
            return Subtree(before, present[0].after, Kind.INNER, Kind.LEAF)
        return Subtree(before, node_hash(left.after, right.after), Kind.INNER, Kind.INNER)


def transition(slots: Sequence[Slot], proof: bytes) -> tuple[bytes, bytes]:
    """The roots before and after. Raises ReferenceWitnessError like `transition` of the guest."""
    paths = [slot.path for slot in slots]
    if any(first >= second for first, second in pairwise(paths)):
        raise ReferenceWitnessError("slots-unsorted")
    checker = _Checker(proof)
    whole = checker.subtree(list(slots), 0, "")
    checker.finish()
    return whole.before, whole.after
