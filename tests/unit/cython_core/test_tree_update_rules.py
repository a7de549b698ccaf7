"""No rule of the tree's tables is idle: for each, a trace that breaks it alone."""

import random
from collections.abc import Callable, Iterator

import pytest

from cython_core.air.check import Violation
from cython_core.air.weaken import without_constraint, without_interaction
from cython_core.chips.tree_rules import KEY_BATCH, limbs_of
from cython_core.field import P
from cython_core.field._reference import inverse
from tests.unit.cython_core.tree_forgery import (
    HALF,
    NOTHING,
    ROOT,
    ZEROS,
    A,
    B,
    Leaf,
    Node,
    Opened,
    State,
    Trace,
    Unlinked,
    beside,
    column_places,
    erring,
    leaf_table,
    node_table,
    opaque,
    path,
    plain,
    settled,
    spine,
    tree_system,
    zero_leaf,
)

Made = Iterator[tuple[str, Trace]]
"""Names of constraints, each with a trace that breaks no other."""


def places() -> Made:
    for limb in range(16):
        deepest, others = two_others(limb)
        bits = [0] * 16
        depth = 16 * deepest
        for other in others:
            bits[other] = 128
        bits[limb] = -128
        yield (
            f"the bit is in one limb, limb {limb}",
            settled(spine(depth + 1, zero_leaf(), {depth: erring("bit", *bits)})),
        )
    yield "the bit is in its limb", settled(Node(zero_leaf(), Unlinked(), erring("bit", 0, 128)))
    for name, level, errors in (
        ("crosses to the high byte when due", 0, {"crosses_byte": 1, "crossing_witness": 0}),
        ("crosses to the next limb when due", 0, {"crosses_limb": 1, "crossing_witness": 0}),
        ("crosses whenever due", 7, {"crosses_byte": 0}),
    ):
        yield name, settled(spine(level + 1, zero_leaf(), {level: errors}))


def two_others(limb: int) -> tuple[int, tuple[int, int]]:
    """Limbs with k + l - limb = q, for the least q: a family that is -1 at `limb` and 1 at k and l
    is one flag in sum, and its weighted sum is q."""
    found = [
        (k + l - limb, (k, l))
        for k in range(16)
        for l in range(k)
        if limb not in {k, l} and k + l - limb >= 0
    ]
    return min(found)


def roots() -> Made:
    inner = plain()
    inner.copies, inner.errors = 2, {"is_real": HALF, "is_child": HALF}
    deep = Node(inner, Unlinked())
    inner.left.path, inner.right.path = path("00"), path("01")  # type: ignore[union-attr]
    yield "is_real is boolean", settled(deep)
    claim = {"is_real": 0, "left.is_linked": 1, "left.before.exists": 1, "left.before.is_leaf": 1}
    root = Node(Unlinked(), Unlinked(), claim | erring("left.before.hash", *limbs_of(A)))
    yield "the first row is real", settled(root)
    orphan = plain()
    orphan.errors = {"is_child": 0}
    yield "every other real row has a parent", settled(plain(), orphans=[orphan])
    lone = Node(zero_leaf(), Unlinked())
    yield "the root has depth zero", settled(lone, start=ROOT._replace(depth=7))
    yield "the root decides in limb zero", settled(lone, start=ROOT._replace(limb=1))
    yield "the root decides by the first bit", settled(lone, start=ROOT._replace(bit=64))
    for limb in range(16):
        prefix = [0] * 16
        prefix[limb] = 1 << 15
        # A leaf in the same limb, and what has no path to read the prefix off.
        begun = Leaf(path("000000001"), A, B, errors={"rest[15]": 0})
        below = begun if limb == 0 else Opened(A, B)
        yield (
            f"the root has no prefix, limb {limb}",
            settled(Node(below, Unlinked()), start=ROOT._replace(prefix=tuple(prefix))),
        )
    for limb in range(16):
        for place, name in enumerate(("old root", "new root", "the digest")):
            trace = settled(plain())
            trace.publics[16 * place + limb] ^= 1
            yield f"{name}, limb {limb}", trace


def sides() -> Made:
    for side in ("left", "right"):
        doubled = beside(side, Node(Unlinked(), Unlinked(), copies=2))
        doubled.errors = {f"{side}.is_linked": 2}
        yield f"{side}: linked or not", settled(doubled)
        ghost, there = State(1, 0, ZEROS), State(1, 0, limbs_of(A))
        leaf = there._replace(is_leaf=1)
        yield f"{side}: exists before when opaque", settled(beside(side, Unlinked(ghost, NOTHING)))
        yield f"{side}: exists after when opaque", settled(beside(side, Unlinked(NOTHING, ghost)))
        yield (
            f"{side}: not known to be a leaf before",
            settled(beside(side, Unlinked(leaf, there, 1))),
        )
        yield (
            f"{side}: not known to be a leaf after",
            settled(beside(side, Unlinked(there, leaf, 1))),
        )
        yield (
            f"{side}: an opaque hash is not zeros",
            settled(beside(side, Unlinked(ghost, ghost, 1))),
        )
        gone = Leaf(path("1" if side == "left" else "0"), A, None)
        yield (
            f"{side}: nothing opaque beside what is empty afterwards",
            settled(beside(side, opaque(A), gone)),
        )
        for limb in range(16):
            ones = State(0, 0, tuple(int(place == limb) for place in range(16)))
            yield (
                f"{side}: zeros when empty, limb {limb}",
                settled(beside(side, Unlinked(ones, ones))),
            )
            other = bytearray(A)
            other[2 * limb] ^= 1
            yield f"{side}: untouched, limb {limb}", settled(beside(side, opaque(A, bytes(other))))


def combinations() -> Made:
    for time in ("before", "after"):
        two = Node(Leaf(path("00"), A, B), Leaf(path("01"), A, B))
        yield (
            f"exists {time} when a side does",
            settled(Node(two, Unlinked(), {f"{time}.exists": 0})),
        )
        yield (
            f"is a leaf {time} when a side is and all there is",
            settled(Node(two, Unlinked(), {f"{time}.is_leaf": 1})),
        )
        for limb in range(16):
            lone = Node(zero_leaf(), Unlinked())
            lone.errors = wrong_limb(lone, f"{time}.hash", limb)
            yield f"has the hash {time} of the only leaf, limb {limb}", settled(lone)


def wrong_limb(root: Node, name: str, limb: int) -> dict[str, int]:
    """An error in one limb of a column of the root."""
    column = f"{name}[{limb}]"
    return {column: settled(root).nodes[0][column_places(node_table())[column]] ^ 1}


def leaves() -> Made:
    twice = Leaf(path("0"), A, A, errors={"is_opened": P - 1})
    yield "an opened node is no leaf", settled(plain(), orphans=[twice])
    absent = Leaf(path("0"), None, None, is_other=True)
    yield "another leaf was present", settled(Node(absent, Leaf(path("1"), A, B)))
    yield (
        "an update has a leaf before or after",
        settled(Node(Leaf(path("0"), None, None), Leaf(path("1"), A, B))),
    )
    for limb in range(16):
        inserted = Leaf(path("0"), None, A, errors={f"hash_before[{limb}]": 1})
        yield f"zeros when absent before, limb {limb}", settled(Node(inserted, Unlinked()))
        deleted = Leaf(path("0"), A, None, errors={f"hash_after[{limb}]": 1})
        yield (
            f"zeros when absent after, the same when untouched, limb {limb}",
            settled(Node(deleted, Unlinked())),
        )


def paths() -> Made:
    for limb in range(17):
        deepest, others = two_others(limb)
        flags = [0] * 17
        for other in others:
            flags[other] = 1
        flags[limb] = -1
        leaf = zero_leaf(**erring("limb_flag", *flags))
        yield f"limb_flag[{limb}] is boolean", settled(spine(16 * deepest or 1, leaf))
    astray = Leaf(path("1"), A, B, errors={"limb_flag[0]": 0})
    yield "one limb flag in a row of a leaf", settled(Node(astray, Unlinked()))
    moved = zero_leaf(**erring("limb_flag", 0, 1))
    yield "the limb flag is that of the limb", settled(Node(moved, Unlinked()))
    lone = {
        "is_in_high_byte is boolean": {"is_in_high_byte": -128 * inverse(65535) % P},
        "the mask of open bits": {"mask[7]": 1},
    }
    for place in range(16):
        # The mask at depth 1 has all bits but bit 7.
        other = 0 if place else 1
        weight = (1 << other) * inverse(1 << place) % P
        has_place = int(place != 7)
        lone[f"mask[{place}] is boolean"] = {
            f"mask[{other}]": 0,
            f"mask[{place}]": (has_place + weight) % P,
        }
        lone[f"the rest has open bits only, bit {place}"] = {
            f"rest[{other}]": 1,
            f"rest[{place}]": -weight % P,
        }
    for name, errors in lone.items():
        yield name, settled(Node(zero_leaf(**errors), Unlinked()))


def digests() -> Made:
    digest_place = column_places(leaf_table())["digest[0]"]
    for limb in range(16):
        start = [*limbs_of(KEY_BATCH)]
        start[limb] ^= 1
        yield f"the digest of nothing, limb {limb}", settled(plain(), digest=tuple(start))
        trace = settled(plain(), room=2)
        for row in trace.leaves[-1:]:
            row[digest_place + limb] ^= 1
        trace.publics[32 + limb] ^= 1
        yield f"keep the digest, limb {limb}", trace


FORGERIES = (places, roots, sides, combinations, leaves, paths, digests)

IMPLIED = {
    "the first row has no parent": "nothing is sent at depth zero with the root's bit in limb 0",
    "is_update is boolean": "the next digest would be kept: a fixed point of b3",
    "was_present is boolean": "the hash before would be zeros: a preimage of zeros",
    "is_present is boolean": "the hash after would be zeros: a preimage of zeros",
    "only leaves were present": "the hash before would be zeros: a preimage of zeros",
    "only updated leaves become present": "a hash would be zeros: a preimage of zeros",
    "the last row is no update": "its next digest would be that of nothing: a preimage of it",
}
"""Constraints that no forgery can break alone, with what forbids it. They are kept because they are
what a reader looks for, and cost nothing."""


@pytest.mark.parametrize("forge", FORGERIES)
def test_each_forgery_breaks_one_constraint(forge: Callable[[], Made]) -> None:
    for name, trace in forge():
        assert trace.broken() == {name}, name


def test_every_constraint_is_needed() -> None:
    names = {*node_table().labels.constraints, *leaf_table().labels.constraints}
    assert len(names) == len(node_table().constraints) + len(leaf_table().constraints)
    forged = {name for forge in FORGERIES for name, _ in forge()}
    assert forged | IMPLIED.keys() == names
    assert not forged & IMPLIED.keys()


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forgery_is_accepted_without_its_constraint(forge: Callable[[], Made]) -> None:
    name, trace = random.Random(7).choice([*forge()])
    with pytest.raises(Violation) as caught:
        trace.check(tree_system())
    assert caught.value.rule == name
    table = node_table() if name in node_table().labels.constraints else leaf_table()
    weaker = without_constraint(table, table.labels.constraints.index(name))
    trace.check(tree_system().with_table(weaker))


def idle_interactions() -> Iterator[tuple[str, str, str, Trace]]:
    """Table, interaction, the bus that notices, and a trace that is accepted without it."""
    orphan = Node(Leaf(path("0"), A, B), Unlinked())
    yield "tree-node", "this position", "position", settled(plain(), orphans=[orphan])
    claim = State(1, 1, limbs_of(A))
    for side in ("left", "right"):
        root = beside(side, Unlinked(claim, claim))
        root.errors = {f"{side}.is_linked": 1}
        yield "tree-node", f"{side} position", "position", settled(root)
    for time in ("before", "after"):
        root = Node(Leaf(path("0"), A, B), Leaf(path("1"), A, B))
        root.errors = wrong_limb(root, f"{time}.hash", 5)
        yield "tree-node", f"hash {time}", "hash", settled(root)
        leaf = zero_leaf(**erring(f"hash_{time}", 1, 2, 3))
        yield "tree-leaf", f"hash {time}", "hash", settled(Node(leaf, Unlinked()))
    stray = Leaf(path("0"), A, B)
    bare = Node(Unlinked(), Unlinked())
    yield "tree-leaf", "this position", "position", settled(bare, orphans=[stray])
    trace = settled(plain(), room=1)
    place = column_places(leaf_table())["digest[3]"]
    for row in trace.leaves[2:]:
        row[place] ^= 1
    trace.publics[32 + 3] ^= 1
    yield "tree-leaf", "next digest", "hash", trace


def test_every_interaction_is_needed() -> None:
    seen = set()
    for name, interaction, bus, trace in idle_interactions():
        assert trace.broken() == {bus}, (name, interaction)
        with pytest.raises(Violation, match=f"bus '{bus}'"):
            trace.check(tree_system())
        table = tree_system().table(name)
        weaker = without_interaction(table, table.labels.interactions.index(interaction))
        trace.check(tree_system().with_table(weaker))
        seen.add((name, interaction))
    tables = tree_system().tables
    assert seen == {(t.name, label) for t in tables for label in t.labels.interactions}
