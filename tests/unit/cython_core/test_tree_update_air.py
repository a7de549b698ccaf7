"""The statement "tree-update": what is true is accepted, what is false is not."""

import random
from collections.abc import Callable

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from cython_core import hash as hash_room
from cython_core.air.check import Violation, check
from cython_core.air.key import decode_key
from cython_core.air.table import Table
from cython_core.chips.batch import LeafUpdate, batch_digest
from cython_core.chips.statements import STATEMENTS
from cython_core.chips.tree_batches import made_up_batch, tree_batch
from cython_core.chips.tree_rules import KEY_BATCH, KEY_LEAF, KEY_NODE, limbs_of
from cython_core.chips.tree_trace import TreeUpdate, WitnessError, tree_update_trace
from cython_core.chips.tree_update import tree_update_system
from cython_core.field import P
from cython_core.merkle import StateTree
from tests.unit.cython_core.air_rules import Pair, outcomes, pairs_of
from tests.unit.cython_core.tree_cases import BATCHES, Batch
from tests.unit.cython_core.tree_forgery import (
    ZERO_PATH,
    A,
    B,
    Leaf,
    Node,
    Opened,
    Trace,
    Unlinked,
    column_places,
    erring,
    leaf_table,
    node_table,
    path,
    plain,
    settled,
    spine,
    tree_system,
    zero_leaf,
)

# What is true is accepted


def tree_trace(tree: StateTree, values: dict[bytes, bytes | None]) -> TreeUpdate | None:
    """Traces of an update, which is made; None when there is nothing to prove."""
    try:
        batch = tree_batch(tree, values)
    except ValueError:
        return None
    old_root = tree.root
    traced = tree_update_trace(batch.updates, batch.proof)
    tree.update(
        b"".join(values),
        b"".join(value or bytes(64) for value in values.values()),
        bytes(value is not None for value in values.values()),
    )
    assert traced.old_root == old_root
    assert traced.new_root == tree.root
    assert traced.digest == batch_digest(batch.updates)
    return traced


def as_trace(traced: TreeUpdate) -> Trace:
    """Its tables of the tree, without the chip."""
    nodes, leaves = (
        [[*matrix.row(number)] for number in range(matrix.height)] for matrix in traced.matrices[1:]
    )
    return Trace(nodes, leaves, traced.publics)


@settings(max_examples=25, deadline=None)
@given(st.lists(BATCHES, min_size=1, max_size=4))
def test_random_batches(batches: list[Batch]) -> None:
    """The roots are those of the state tree, before and after; old leaves come from it as well."""
    tree = StateTree()
    for batch in batches:
        traced = tree_trace(tree, batch.operations)
        if traced is not None:
            as_trace(traced).check(tree_system())


def test_whole_system_with_every_kind_of_row() -> None:
    tree, traced = rich_update()
    assert traced.new_root == tree.root
    check(tree_update_system(), traced.matrices, traced.publics)
    _, leaves = as_trace(traced).nodes, as_trace(traced).leaves
    places = column_places(leaf_table())
    kinds = ("is_update", "is_other", "is_opened", "was_present", "is_present")
    for kind in kinds:
        assert {row[places[kind]] for row in leaves} == {0, 1}, kind


def rich_update() -> tuple[StateTree, TreeUpdate]:
    """Insertions that split, deletions that lift a leaf or leave a node, a deep prefix, a new
    value; opaque and empty sides."""
    tree = StateTree()
    old = [
        path(bits) for bits in ("000", "001", "0100", "0101", "011", "10", "110", "1110", "1111")
    ]
    tree.update(b"".join(old), bytes(64 * len(old)), b"\1" * len(old))
    deep = path("10" + "0" * 18 + "1")
    values: dict[bytes, bytes | None] = {
        path("000"): None,  # beside a leaf, which is lifted
        path("011"): None,  # beside a node, which stays
        path("110"): bytes([1]) * 64,  # beside what is not touched
        deep: bytes([2]) * 64,  # splits a leaf far below
    }
    traced = tree_trace(tree, values)
    assert traced is not None
    return tree, traced


@pytest.mark.parametrize("shared", [0, 7, 8, 15, 16, 100, 128, 254, 255])
def test_two_leaves_that_share_a_prefix(shared: int) -> None:
    """Inserted into nothing, changed, and deleted, one by one and both."""
    first, second = path(""), path("0" * shared + "1")
    one, two = bytes([1]) * 64, bytes([2]) * 64
    steps: list[dict[bytes, bytes | None]] = [
        {first: one, second: one},
        {first: two},
        {second: None},
        {second: two},
        {first: None, second: None},
    ]
    tree = StateTree()
    for step in steps:
        traced = tree_trace(tree, step)
        assert traced is not None
        as_trace(traced).check(tree_system())
    assert tree.root == bytes(32)


def test_two_makers_of_traces_agree() -> None:
    """The forger's, when it does not lie, and the prover's."""
    batch = [LeafUpdate(path("0"), A, B), LeafUpdate(path("1"), None, A)]
    inner, leaf, empty = (item.to_bytes(4, "little") for item in (3, 1, 0))
    traced = as_trace(tree_update_trace(batch, inner + leaf + empty))
    forged = settled(plain())
    assert (traced.nodes, traced.leaves, traced.publics) == (
        forged.nodes,
        forged.leaves,
        forged.publics,
    )


def test_the_order_of_a_batch_is_free_and_in_its_digest() -> None:
    tree = StateTree()
    batch = tree_batch(tree, {path(bits): bytes(64) for bits in ("0", "10", "11")})
    backwards = tree_update_trace(batch.updates[::-1], batch.proof)
    forwards = tree_update_trace(batch.updates, batch.proof)
    as_trace(backwards).check(tree_system())
    assert backwards.new_root == forwards.new_root
    assert backwards.digest == batch_digest(batch.updates[::-1]) != forwards.digest


def test_the_digest_by_hand() -> None:
    update = LeafUpdate(path("1"), None, A)
    leaf = blake3(path("1") + A, key=KEY_LEAF).digest()
    start = blake3(b"p2pseq/state/batch/v1").digest()
    assert batch_digest([]) == start
    assert batch_digest([update]) == blake3(bytes(32) + leaf, key=start).digest()


def test_keys_are_those_of_the_tree() -> None:
    assert (KEY_LEAF, KEY_NODE) == (hash_room.KEY_LEAF, hash_room.KEY_NODE)
    assert blake3(b"p2pseq/state/batch/v1").digest() == KEY_BATCH


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ZERO_PATH, None, None), "an update has a leaf before or after"),
        ((ZERO_PATH[1:], A, None), "paths and value hashes have 32 bytes each"),
        ((ZERO_PATH, A, B + b"b"), "paths and value hashes have 32 bytes each"),
    ],
)
def test_bad_updates(arguments: tuple[bytes, bytes | None, bytes | None], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        LeafUpdate(*arguments)
    assert str(caught.value) == message


def test_witnesses_that_do_not_belong() -> None:
    tree = StateTree()
    tree.update(path("0") + path("1"), bytes(128), b"\1\1")
    batch = tree_batch(tree, {path("1"): bytes([1]) * 64})
    gone = [LeafUpdate(path("1"), batch.updates[0].before, None)]
    cases = [
        (batch.updates, batch.proof[:-1], "the witness ends too early"),
        (batch.updates, batch.proof + b"\0", "the witness goes on after its last item"),
        (batch.updates, b"\6\0\0\0", "unknown item 6"),
        (gone, batch.proof, "a sibling must be opened, for what is beside it vanishes"),
        (batch.updates * 2, batch.proof, "two leaves have one path"),
    ]
    for updates, proof, message in cases:
        with pytest.raises(WitnessError) as caught:
            tree_update_trace(updates, proof)
        assert str(caught.value) == message
    with pytest.raises(ValueError, match="a batch has at least one update"):
        tree_update_trace([], batch.proof)


def test_made_up_batches() -> None:
    batch = made_up_batch(500, 50)
    assert len(batch.updates) == 50
    traced = tree_update_trace(batch.updates, batch.proof)
    as_trace(traced).check(tree_system())
    with pytest.raises(ValueError, match="at least one update and at most one for each leaf"):
        made_up_batch(5, 6)


# What is false is refused


def double() -> Trace:
    """The same update twice, as two rows of one position."""
    return settled(plain(), orphans=[Leaf(path("0"), A, B)])


def missing() -> Trace:
    """An update of the batch that the tree does not have."""
    trace = settled(plain())
    batch = [LeafUpdate(path("0"), A, B), LeafUpdate(path("1"), None, A)]
    trace.publics[32:] = limbs_of(batch_digest([*batch, LeafUpdate(path("11"), None, A)]))
    return trace


def wrong_order() -> Trace:
    trace = settled(plain())
    batch = [LeafUpdate(path("1"), None, A), LeafUpdate(path("0"), A, B)]
    trace.publics[32:] = limbs_of(batch_digest(batch))
    return trace


def claimed(time: str, limb: int, change: int) -> Trace:
    trace = settled(plain())
    place = column_places(node_table())[f"{time}.hash[{limb}]"]
    trace.nodes[0][place] += change
    trace.publics[limb + (16 if time == "after" else 0)] += change
    return trace


def opened_without_sides() -> Trace:
    opened = Opened(A, B, erring("hash_before", 1) | erring("hash_after", 1))
    return settled(Node(opened, Leaf(path("1"), A, B)))


def cycle() -> Trace:
    """A node that is its own left side and so needs no parent: without a bit, its side would have
    its place, if it were not deeper."""
    errors = {"left.is_linked": 1, "bit[0]": 0}
    return settled(plain(), orphans=[Node(Unlinked(), Unlinked(), errors)])


def counted(times: int) -> Trace:
    """A node below the root with another is_real."""
    errors = {"is_real": times, "is_child": times}
    inner = Node(Leaf(path("00"), A, B), Leaf(path("01"), None, A), errors)
    return settled(Node(inner, Unlinked()))


ATTACKS: dict[str, tuple[Callable[[], Trace], set[str]]] = {
    "one update twice": (double, {"position"}),
    "an update that is not in the tree": (
        missing,
        {f"the digest, limb {limb}" for limb in range(16)},
    ),
    "updates in another order": (wrong_order, {f"the digest, limb {limb}" for limb in range(16)}),
    "another new root": (lambda: claimed("after", 3, 1), {"hash"}),
    "a limb of 17 bits": (lambda: claimed("after", 3, 1 << 16), {"hash"}),
    "swapped sides": (
        lambda: settled(Node(Leaf(path("1"), None, A), Leaf(path("0"), A, B))),
        {"position"},
    ),
    "a path with a wrong bit above": (
        lambda: settled(spine(3, Leaf(path("01"), A, B))),
        {"position"},
    ),
    "an old value that was not there": (
        lambda: settled(Node(zero_leaf(was_present=0), Unlinked())),
        {f"zeros when absent before, limb {limb}" for limb in range(16)},
    ),
    "a leaf that says it is a node": (
        lambda: settled(Node(Leaf(path("0"), A, B, errors={"is_opened": 1}), Unlinked())),
        {"an opened node is no leaf", "hash"},
    ),
    "an opened node without sides that hash to it": (opened_without_sides, {"hash"}),
    "a position below itself": (cycle, {"position"}),
    "a row that counts twice": (lambda: counted(2), {"is_real is boolean", "position"}),
    "a row that counts less than nothing": (
        lambda: counted(P - 1),
        {"is_real is boolean", "position"},
    ),
    "a row that does not count": (lambda: counted(0), {"position"}),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(name: str) -> None:
    attack, expected = ATTACKS[name]
    assert settled(plain()).broken() == set()
    trace = attack()
    found = trace.broken()
    assert found >= expected, found
    with pytest.raises(Violation):
        trace.check(tree_system())


def counts(table: Table, row: dict[str, int], column: str) -> bool:
    """Whether a cell of a real row is not free. Free are witnesses of what is not claimed, the
    value of a leaf that is not there, and what only the paths of leaves need."""
    name = column.split("[", maxsplit=1)[0]
    if table.name == "tree-node":
        if name == "crossing_witness":
            return not (row["crosses_byte"] or row["crosses_limb"])
        if name == "opaque_witness":
            return bool(row["left.is_opaque"] or row["right.is_opaque"])
        return True
    if name in {"mask", "is_in_high_byte", "rest"}:
        return bool(row["is_update"] or row["is_other"])
    if name == "value_before":
        return bool(row["was_present"] or row["is_opened"])
    return bool(row["is_present"] or row["is_opened"]) if name == "value_after" else True


@pytest.mark.parametrize("number", [0, 1])
def test_every_column_is_covered(number: int) -> None:
    """A change of a cell breaks a constraint or changes what the row puts on a bus."""
    chance = random.Random(5)
    trace = as_trace(rich_update()[1])
    table, rows = tree_system().tables[number], (trace.nodes, trace.leaves)[number]
    names = table.labels.main
    height = len(rows)
    honest = outcomes(table, pairs_of(rows), trace.publics)
    places, pairs = [], []
    for column, name in enumerate(names):
        candidates = [
            place
            for place, row in enumerate(rows)
            if any(row[:3]) and counts(table, dict(zip(names, row, strict=True)), name)
        ]
        place = chance.choice(candidates)
        changed = [*rows[place]]
        changed[column] = (changed[column] + chance.randrange(1, P)) % P
        before = (place - 1) % height
        places.append((before, place, name))
        pairs += [
            Pair(before, height, rows[before], changed),
            Pair(place, height, changed, rows[(place + 1) % height]),
        ]
    found = outcomes(table, pairs, trace.publics)
    for index, (before, place, name) in enumerate(places):
        is_noticed = (found[2 * index], found[2 * index + 1]) != (honest[before], honest[place])
        assert is_noticed, f"row {place}, column {name} may be anything"


def test_padding_may_hold_what_it_likes() -> None:
    """Rows that are not real are not read: the copy of a node that asks for nothing, and a leaf row
    of which only the digest is fixed."""
    chance = random.Random(6)
    trace = settled(plain(), room=2)
    nodes, leaves = column_places(node_table()), column_places(leaf_table())
    copied = [*trace.nodes[0]]
    for name in ("is_real", "is_child", "crossing_witness"):
        copied[nodes[name]] = 0
    trace.nodes[-1] = copied
    for name, place in leaves.items():
        free = ("depth", "limb", "bit", "path", "value_before", "value_after", "hash_")
        if name.startswith(free) and not name.startswith("limb_flag"):
            trace.leaves[-1][place] = chance.randrange(P)
    assert trace.broken() == set()
    trace.check(tree_system())


def test_the_statement() -> None:
    traced = rich_update()[1]
    statement = STATEMENTS["tree-update"]
    assert statement.name == "tree-update"
    assert statement.public_count() == len(traced.publics) == 48
    assert [(label, bytes.fromhex(text)) for label, text in statement.label(traced.publics)] == [
        ("old root", traced.old_root),
        ("new root", traced.new_root),
        ("batch digest", traced.digest),
    ]
    assert statement.interactions(traced.publics) == []
    for wrong in (traced.publics[1:], [*traced.publics[1:], 1 << 16], [*traced.publics[1:], -1]):
        with pytest.raises(ValueError, match="the public values are 48 limbs of 16 bits"):
            statement.label(wrong)
    key = decode_key(statement.key())
    assert [table.name for table in key.system.tables] == ["blake3", "tree-node", "tree-leaf"]
    assert key.system == tree_update_system()
