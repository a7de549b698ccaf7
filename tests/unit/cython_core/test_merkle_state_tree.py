"""The native state tree and its twin: same interface, same tests, same roots."""

import json
import random
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cython_core.hash import available_kernels
from cython_core.merkle import StateTree, tree_path
from cython_core.merkle._reference import ReferenceTree, leaf_hash, node_hash, root_of
from tests.unit.cython_core.tree_cases import BATCHES, Batch, near, random_batch, value_of

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "state_tree.json").read_text())
EMPTY = bytes(32)
Tree = StateTree | ReferenceTree
IMPLEMENTATIONS = ("reference", *available_kernels())


@pytest.fixture(params=IMPLEMENTATIONS)
def tree(request: pytest.FixtureRequest) -> Tree:
    return make_tree(request.param)


def make_tree(name: str) -> Tree:
    return ReferenceTree() if name == "reference" else StateTree(name)


def path_of(*bits: int) -> bytes:
    """A path that starts with these bits and goes on with zeros."""
    return (int("".join(map(str, bits)), 2) << (256 - len(bits))).to_bytes(32, "big")


def put(tree: Tree, leaves: dict[bytes, bytes | None]) -> bytes:
    return tree.update(*Batch(leaves).columns())[0]


def test_empty_tree(tree: Tree) -> None:
    assert tree.root == EMPTY
    assert len(tree) == 0
    assert tree.get(bytes(32)) is None
    assert list(tree.items()) == []
    assert tree.update(b"", b"", b"") == (EMPTY, b"", b"")


def test_one_leaf_is_the_root(tree: Tree) -> None:
    assert put(tree, {path_of(1, 0): value_of(1)}) == leaf_hash(path_of(1, 0), value_of(1))


def test_two_leaves_on_one_side_keep_the_empty_sides(tree: Tree) -> None:
    first, second = path_of(1, 1, 0), path_of(1, 1, 1)
    lowest = node_hash(leaf_hash(first, value_of(1)), leaf_hash(second, value_of(2)))
    expected = node_hash(EMPTY, node_hash(EMPTY, lowest))
    assert put(tree, {second: value_of(2), first: value_of(1)}) == expected
    assert tree.root == expected


def test_a_leaf_is_lifted_when_its_neighbour_goes(tree: Tree) -> None:
    first, second, third = path_of(0, 0, 0), path_of(0, 0, 1), path_of(1)
    put(tree, {first: value_of(1), second: value_of(2), third: value_of(3)})
    root = put(tree, {second: None})
    assert root == node_hash(leaf_hash(first, value_of(1)), leaf_hash(third, value_of(3)))
    assert put(tree, {third: None}) == leaf_hash(first, value_of(1))
    assert put(tree, {first: None}) == EMPTY
    assert len(tree) == 0


def test_deepest_neighbours(tree: Tree) -> None:
    first, second = bytes(32), (1).to_bytes(32, "big")
    expected = node_hash(leaf_hash(first, value_of(1)), leaf_hash(second, value_of(2)))
    for _ in range(255):
        expected = node_hash(expected, EMPTY)
    assert put(tree, {first: value_of(1), second: value_of(2)}) == expected
    assert put(tree, {first: None}) == leaf_hash(second, value_of(2))


def test_update_returns_what_undoes_it(tree: Tree) -> None:
    source = random.Random(6)
    batch = random_batch(source, [], 40, 0.0)
    root = put(tree, batch.operations)
    known = list(batch.operations)
    paths, values, present = random_batch(source, known, 30, 0.4).columns()
    after, old_values, old_present = tree.update(paths, values, present)
    assert after != root
    assert tree.update(paths, old_values, old_present) == (
        root,
        # Absent values come back as zeros, whatever was given for them.
        b"".join(values[64 * i : 64 * i + 64] if present[i] else bytes(64) for i in range(30)),
        present,
    )
    assert dict(tree.items()) == batch.operations


def test_get_many(tree: Tree) -> None:
    put(tree, {path_of(1): value_of(7)})
    assert tree.get_many(path_of(1) + path_of(0)) == (value_of(7) + bytes(64), b"\1\0")


def test_refusals_change_nothing(tree: Tree) -> None:
    root = put(tree, {path_of(1): value_of(1)})
    path, value = path_of(0), value_of(2)
    cases = {
        "a path stands twice in one batch": (2 * path, 2 * value, b"\1\1"),
        "a presence flag is 0 or 1": (path, value, b"\2"),
        "paths have 32 bytes each": (path + b"0", value, b"\1"),
        "values have 64 bytes each, one for each path": (path, 2 * value, b"\1"),
        "there is one presence flag for each path": (path, value, b"\1\1"),
    }
    for message, arguments in cases.items():
        with pytest.raises(ValueError) as refused:
            tree.update(*arguments)
        assert str(refused.value) == message
    with pytest.raises(ValueError) as bad_path:
        tree.get(bytes(31))
    assert str(bad_path.value) == "paths have 32 bytes each"
    assert (tree.root, len(tree)) == (root, 1)


def test_duplicates_far_apart_and_in_long_prefixes() -> None:
    source = random.Random(7)
    paths = [near(0, 200, source.getrandbits(256)) for _ in range(50)]
    tree = StateTree()
    with pytest.raises(ValueError) as refused:
        tree.update(b"".join([*paths, paths[3]]), bytes(64 * 51), b"\1" * 51)
    assert str(refused.value) == "a path stands twice in one batch"
    assert len(tree) == 0


@settings(deadline=None, max_examples=60)
@given(st.lists(BATCHES, max_size=5), st.sampled_from(available_kernels()))
def test_any_history_gives_the_root_of_its_leaves(history: list[Batch], kernel: str) -> None:
    tree, twin = StateTree(kernel), ReferenceTree()
    for batch in history:
        expected = twin.update(*batch.columns())
        assert tree.update(*batch.columns()) == expected
        assert len(tree) == len(twin)
        assert list(tree.items()) == list(twin.items())
        for path in batch.operations:
            assert tree.get(path) == twin.get(path)


@settings(deadline=None, max_examples=30)
@given(BATCHES, BATCHES)
def test_root_depends_on_content_only(first: Batch, second: Batch) -> None:
    apart, at_once = StateTree(), StateTree()
    apart.update(*first.columns())
    apart.update(*second.columns())
    at_once.update(*Batch(first.operations | second.operations).columns())
    assert apart.root == at_once.root
    assert list(apart.items()) == list(at_once.items())


def test_large_batches_against_small_ones() -> None:
    source = random.Random(8)
    large, small = StateTree(), StateTree("scalar")
    known: list[bytes] = []
    leaves: dict[bytes, bytes] = {}
    for _ in range(4):
        batch = random_batch(source, known, 700, 0.3)
        root = large.update(*batch.columns())[0]
        items = list(batch.operations.items())
        source.shuffle(items)
        for start in range(0, len(items), 9):
            small.update(*Batch(dict(items[start : start + 9])).columns())
        assert small.root == root
        for path, value in items:
            leaves.pop(path, None)
            if value is not None:
                leaves[path] = value
        known = list(leaves)
    assert list(large.items()) == sorted(leaves.items())
    put(large, dict.fromkeys(known))
    assert (large.root, len(large)) == (EMPTY, 0)


def test_freed_memory_is_used_again() -> None:
    source = random.Random(9)
    batch = random_batch(source, [], 500, 0.0)
    tree = StateTree()
    put(tree, batch.operations)
    put(tree, dict.fromkeys(batch.operations))
    held = tree.memory_bytes
    for _ in range(20):
        put(tree, batch.operations)
        put(tree, dict.fromkeys(batch.operations))
    assert tree.memory_bytes == held


def test_items_notice_an_update() -> None:
    tree = StateTree()
    put(tree, {path_of(0): value_of(1), path_of(1): value_of(2)})
    items = tree.items()
    assert next(items) == (path_of(0), value_of(1))
    put(tree, {path_of(0): value_of(3)})
    with pytest.raises(RuntimeError) as refused:
        next(items)
    assert str(refused.value) == "the state tree changed while it was read"


def test_two_threads_never_share_an_update() -> None:
    tree, expected = StateTree(), StateTree()
    source = random.Random(10)
    batches = [random_batch(source, [], 3000, 0.0) for _ in range(2)]
    refusals: list[str] = []

    def insist(batch: Batch) -> None:
        while True:
            try:
                tree.update(*batch.columns())
            except RuntimeError as refused:
                refusals.append(str(refused))
            else:
                return

    threads = [threading.Thread(target=insist, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for batch in batches:
        expected.update(*batch.columns())
    assert tree.root == expected.root
    assert set(refusals) <= {"the state tree is in use by another thread"}


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_golden_histories(name: str) -> None:
    for history in VECTORS["histories"]:
        tree = make_tree(name)
        for step in history["steps"]:
            operations = {
                bytes.fromhex(path): None if value is None else bytes.fromhex(value)
                for path, value in step["operations"]
            }
            assert put(tree, operations).hex() == step["root"], history["name"]


def test_golden_paths() -> None:
    for vector in VECTORS["paths"]:
        assert tree_path(bytes.fromhex(vector["name"])).hex() == vector["path"]


def test_reference_root_of_nothing_and_one() -> None:
    assert root_of({}) == EMPTY
    assert root_of({bytes(32): value_of(0)}) == leaf_hash(bytes(32), value_of(0))
