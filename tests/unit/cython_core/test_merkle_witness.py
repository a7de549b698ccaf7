"""Witnesses: what `StateTree.prove` writes, the guest's `transition` and its twin must agree."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cython_core.hash import KEY_VALUE, b3
from cython_core.merkle import StateTree, WitnessError, transition
from cython_core.merkle import _reference as reference
from cython_core.merkle._reference import Slot, leaf_hash, node_hash
from tests.unit.cython_core.tree_cases import (
    BATCHES,
    Batch,
    near,
    random_batch,
    slot_columns,
    slots_of,
    value_of,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "state_tree.json").read_text())
EMPTY_ITEM, LEAF, OTHER, INNER, OPAQUE, OPENED = (item.to_bytes(4, "little") for item in range(6))
LOW, MIDDLE, HIGH = ((bits << 253).to_bytes(32, "big") for bits in (0b000, 0b001, 0b100))


def tree_of(batch: Batch) -> tuple[StateTree, dict[bytes, bytes]]:
    tree = StateTree()
    tree.update(*batch.columns())
    return tree, {path: value for path, value in batch.operations.items() if value is not None}


def check(slots: list[Slot], proof: bytes) -> tuple[bytes, bytes]:
    """Both implementations; their answers must be the same."""
    native: tuple[bytes, bytes] | str
    twin: tuple[bytes, bytes] | str
    try:
        native = transition(*slot_columns(slots), proof)
    except WitnessError as refused:
        native = refused.reason
    try:
        twin = reference.transition(slots, proof)
    except reference.ReferenceWitnessError as refused:
        twin = refused.reason
    assert native == twin
    if isinstance(native, str):
        raise WitnessError(native)
    return native


def refusal(slots: list[Slot], proof: bytes) -> str:
    with pytest.raises(WitnessError) as refused:
        check(slots, proof)
    assert str(refused.value) == refused.value.reason
    return refused.value.reason


@settings(deadline=None, max_examples=80)
@given(BATCHES, BATCHES)
def test_both_roots_from_the_witness(content: Batch, batch: Batch) -> None:
    tree, leaves = tree_of(content)
    slots = slots_of(leaves, batch)
    paths, values, present = batch.columns()
    proof = tree.prove(paths)
    short_proof = tree.prove(paths, bytes(1 - flag for flag in present))
    before = tree.root
    after = tree.update(paths, values, present)[0]
    assert check(slots, proof) == (before, after)
    assert check(slots, short_proof) == (before, after)
    assert len(short_proof) <= len(proof)


@settings(deadline=None, max_examples=60)
@given(BATCHES, BATCHES, st.data())
def test_one_witness_serves_any_update_of_its_paths(
    content: Batch, batch: Batch, drawn: st.DataObject
) -> None:
    tree, leaves = tree_of(content)
    # Take some existing leaves along, so that deletes happen.
    paths = sorted(set(batch.operations) | set(list(leaves)[:6]))
    proof = tree.prove(b"".join(paths))
    present = drawn.draw(st.lists(st.booleans(), min_size=len(paths), max_size=len(paths)))
    update = Batch(
        {path: value_of(9) if flag else None for path, flag in zip(paths, present, strict=True)}
    )
    before = tree.root
    after = tree.update(*update.columns())[0]
    assert check(slots_of(leaves, update), proof) == (before, after)


def test_large_random_batches() -> None:
    source = random.Random(11)
    tree = StateTree()
    leaves: dict[bytes, bytes] = {}
    for size in (600, 300, 900):
        batch = random_batch(source, list(leaves), size, 0.5)
        slots = slots_of(leaves, batch)
        paths, values, present = batch.columns()
        proof = tree.prove(paths)
        before = tree.root
        after = tree.update(paths, values, present)[0]
        assert transition(*slot_columns(slots), proof) == (before, after)
        leaves = dict(tree.items())


@settings(deadline=None, max_examples=200)
@given(BATCHES, BATCHES, st.data())
def test_a_changed_witness_never_gives_the_same_old_root(
    content: Batch, batch: Batch, drawn: st.DataObject
) -> None:
    tree, leaves = tree_of(content)
    slots = slots_of(leaves, batch)
    proof = bytearray(tree.prove(b"".join(slot.path for slot in slots)))
    kind = drawn.draw(st.sampled_from(("flip", "word", "cut", "extend", "remove")))
    place = drawn.draw(st.integers(0, len(proof) - 1))
    if kind == "flip":
        proof[place] ^= 1 << drawn.draw(st.integers(0, 7))
    elif kind == "word":
        start = place - place % 4
        fresh = drawn.draw(st.integers(0, 6)).to_bytes(4, "little")
        if proof[start : start + 4] == fresh:
            return
        proof[start : start + 4] = fresh
    elif kind == "cut":
        del proof[place:]
    elif kind == "extend":
        proof[place:place] = drawn.draw(st.sampled_from((EMPTY_ITEM, OPAQUE, bytes(36), b"\0")))
        if bytes(proof) == tree.prove(b"".join(slot.path for slot in slots)):
            return
    else:
        del proof[place - place % 4 : place - place % 4 + 4]
    try:
        before, _ = check(slots, bytes(proof))
    except WitnessError:
        return
    assert before != tree.root


def test_a_lying_slot_never_gives_the_same_old_root() -> None:
    source = random.Random(12)
    batch = random_batch(source, [], 60, 0.0)
    tree, leaves = tree_of(batch)
    touched = random_batch(source, list(leaves), 20, 0.3)
    slots = slots_of(leaves, touched)
    proof = tree.prove(b"".join(slot.path for slot in slots))
    for index, slot in enumerate(slots):
        for lie in (None, value_of(1)):
            if lie == slot.old:
                continue
            lying = [*slots[:index], Slot(slot.path, lie, slot.new), *slots[index + 1 :]]
            try:
                before, _ = check(lying, proof)
            except WitnessError:
                continue
            assert before != tree.root


def test_no_slots() -> None:
    tree, _ = tree_of(Batch({LOW: value_of(1), HIGH: value_of(2)}))
    assert tree.prove(b"") == OPAQUE + tree.root
    assert check([], tree.prove(b"")) == (tree.root, tree.root)
    assert StateTree().prove(b"") == EMPTY_ITEM
    assert check([], EMPTY_ITEM) == (bytes(32), bytes(32))


def test_opened_sibling_decides_whether_a_leaf_is_lifted() -> None:
    # LOW goes; its sibling subtree is one leaf in the first tree and a node in the second.
    gone = Slot(LOW, value_of(1), None)
    sibling = near(int.from_bytes(LOW, "big"), 0, 5)
    single = leaf_hash(sibling, value_of(2))
    shown = OTHER + sibling + b3(KEY_VALUE, value_of(2))
    lowered = node_hash(single, bytes([1]) * 32)
    root = node_hash(leaf_hash(LOW, value_of(1)), single)
    assert check([gone], INNER + LEAF + shown) == (root, single)
    assert refusal([gone], INNER + LEAF + OPAQUE + single) == "undecidable"
    root = node_hash(leaf_hash(LOW, value_of(1)), lowered)
    opened = OPENED + single + bytes([1]) * 32
    assert check([gone], INNER + LEAF + opened) == (root, node_hash(bytes(32), lowered))
    assert refusal([gone], INNER + LEAF + OPAQUE + lowered) == "undecidable"


def test_proof_opens_a_sibling_only_where_a_delete_may_need_it() -> None:
    tree, _ = tree_of(Batch({LOW: value_of(1), MIDDLE: value_of(2), HIGH: value_of(3)}))
    kept, gone = b"\0", b"\1"
    assert tree.prove(LOW, kept).count(OPAQUE + leaf_hash(MIDDLE, value_of(2))) == 1
    assert OTHER + MIDDLE + b3(KEY_VALUE, value_of(2)) in tree.prove(LOW, gone)
    # HIGH stands beside the node of LOW and MIDDLE, which can go only if both do.
    assert OPAQUE + leaf_hash(HIGH, value_of(3)) in tree.prove(LOW, gone)
    assert OTHER + HIGH in tree.prove(LOW + MIDDLE, gone + gone)
    assert OPAQUE + leaf_hash(HIGH, value_of(3)) in tree.prove(LOW + MIDDLE, gone + kept)


def test_every_refusal_has_its_reason() -> None:
    absent, existing = Slot(LOW, None, value_of(1)), Slot(LOW, value_of(1), None)
    other = OTHER + HIGH + bytes(32)
    beside = OTHER + MIDDLE + bytes(32)
    filler = OPAQUE + b"\1" * 32
    cases = [
        ("slots-unsorted", [Slot(HIGH, None, None), absent], EMPTY_ITEM),
        ("slots-unsorted", [absent, absent], EMPTY_ITEM),
        ("truncated", [absent], b""),
        ("truncated", [absent], EMPTY_ITEM[:3]),
        ("truncated", [absent], OTHER + HIGH + bytes(28)),
        ("truncated", [absent], INNER + EMPTY_ITEM),
        ("truncated", [], OPAQUE + bytes(28)),
        ("truncated", [], OPENED + bytes(60)),
        ("trailing", [absent], EMPTY_ITEM + EMPTY_ITEM),
        ("trailing", [absent], EMPTY_ITEM + b"\0"),
        ("item-invalid", [absent], (6).to_bytes(4, "little")),
        ("item-invalid", [absent], b"\0\0\0\1"),
        ("item-invalid", [absent], filler),
        ("item-invalid", [absent], OPENED + b"\1" * 64),
        ("item-invalid", [], INNER + EMPTY_ITEM + EMPTY_ITEM),
        ("item-invalid", [], OPAQUE + bytes(32)),
        ("item-invalid", [absent], 257 * INNER),
        ("contradiction", [existing], EMPTY_ITEM),
        ("contradiction", [absent], LEAF),
        ("contradiction", [], LEAF),
        ("contradiction", [existing, Slot(HIGH, value_of(2), None)], LEAF),
        ("contradiction", [existing], other),
        ("path-invalid", [absent], OTHER + LOW + bytes(32)),
        ("path-invalid", [absent], INNER + other + filler),
        ("path-invalid", [absent], INNER + EMPTY_ITEM + beside),
        ("path-invalid", [absent], INNER + INNER + EMPTY_ITEM + other + filler),
        ("malformed", [absent], INNER + EMPTY_ITEM + EMPTY_ITEM),
        ("malformed", [existing], INNER + LEAF + EMPTY_ITEM),
        ("malformed", [absent], INNER + EMPTY_ITEM + other),
        ("malformed", [absent], INNER + beside + EMPTY_ITEM),
        ("malformed", [], OPENED + bytes(64)),
        ("undecidable", [existing], INNER + LEAF + filler),
    ]
    for reason, slots, proof in cases:
        assert refusal(slots, proof) == reason, (reason, proof.hex())


def test_flags_are_bits() -> None:
    for flags in ((b"\2", b"\0"), (b"\0", b"\xff")):
        with pytest.raises(WitnessError) as refused:
            transition(LOW, bytes(64), flags[0], bytes(64), flags[1], EMPTY_ITEM)
        assert refused.value.reason == "slot-flag"


def test_prove_refuses_bad_arguments() -> None:
    tree = StateTree()
    cases: dict[str, tuple[bytes, bytes | None]] = {
        "paths have 32 bytes each": (bytes(31), None),
        "there is one flag for each path": (LOW, b""),
        "a path stands twice in one batch": (LOW + LOW, None),
    }
    for message, arguments in cases.items():
        with pytest.raises(ValueError) as refused:
            tree.prove(*arguments)
        assert str(refused.value) == message


def test_golden_witnesses() -> None:
    for vector in VECTORS["witnesses"]:
        slots = [
            Slot(
                bytes.fromhex(slot["path"]),
                slot["old"] and bytes.fromhex(slot["old"]),
                slot["new"] and bytes.fromhex(slot["new"]),
            )
            for slot in vector["slots"]
        ]
        before, after = check(slots, bytes.fromhex(vector["proof"]))
        assert (before.hex(), after.hex()) == (vector["before"], vector["after"]), vector["name"]
