"""Batches for the statement "tree-update" from a state tree that is about to be updated."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cython_core.chips.batch import LeafUpdate
from cython_core.hash import KEY_VALUE, b3
from cython_core.merkle import StateTree

VALUE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class TreeBatch:
    """What `tree_update_trace` takes, ascending by path."""

    updates: list[LeafUpdate]
    proof: bytes


def tree_batch(tree: StateTree, values: Mapping[bytes, bytes | None]) -> TreeBatch:
    """The batch that sets these leaves (path -> value of 64 bytes, None to delete) in a tree.

    Call it before the tree is updated. A deletion of what is not there is left out, for the
    statement has no word for it; ValueError when nothing remains.
    """
    updates = []
    for path in sorted(values):
        old, new = tree.get(path), values[path]
        if old is not None or new is not None:
            updates.append(LeafUpdate(path, _value_hash(old), _value_hash(new)))
    if not updates:
        raise ValueError("the batch changes nothing")
    paths = b"".join(update.path for update in updates)
    vanishing = bytes(update.after is None for update in updates)
    return TreeBatch(updates, tree.prove(paths, vanishing))


def _value_hash(value: bytes | None) -> bytes | None:
    return None if value is None else b3(KEY_VALUE, value)


def made_up_batch(leaves: int, updates: int, seed: int = 1) -> TreeBatch:
    """To measure with: a tree of random leaves and a batch like a block's, nine in ten updates of
    leaves that are there, the others new ones and a few deletions."""
    if not 0 < updates <= leaves:
        raise ValueError("a batch has at least one update and at most one for each leaf")
    chance = random.Random(seed)
    paths = [chance.randbytes(32) for _ in range(leaves)]
    tree = StateTree()
    tree.update(b"".join(paths), chance.randbytes(VALUE_BYTES * leaves), b"\1" * leaves)
    values: dict[bytes, bytes | None] = {}
    for path in chance.sample(paths, updates):
        kind = chance.random()
        touched = chance.randbytes(32) if kind < 0.08 else path
        values[touched] = None if kind > 0.98 else chance.randbytes(VALUE_BYTES)
    return tree_batch(tree, values)
