"""Traces of the statement "tree-update" by a prover that errs where it is told to.

A tree of `Node`, `Leaf`, `Opened` and `Unlinked` is settled into rows: places from the root down
and hashes from the leaves up, from the formulas of the tables. An error overrides columns of one
row, and what depends on them follows it. So a trace has one lie, and is consistent with it."""

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from cython_core.air.check import check
from cython_core.air.language import build_system
from cython_core.air.table import PublicInteraction, System, Table
from cython_core.chips.blake3 import HASH, KEYED_FLAGS
from cython_core.chips.tree_leaf import tree_leaf_table
from cython_core.chips.tree_node import tree_node_table
from cython_core.chips.tree_rules import KEY_BATCH, KEY_LEAF, KEY_NODE, POSITION, limbs_of
from cython_core.chips.tree_update import DIGEST, NEW_ROOT, OLD_ROOT, PUBLIC_COUNT
from cython_core.field import P
from cython_core.field._reference import inverse
from cython_core.hash import b3
from tests.unit.cython_core.air_rules import outcomes, pairs_of

Limbs = tuple[int, ...]
Errors = dict[str, int]
"""Column -> value. "depth" means the column, "hash[3]" one of a family."""

ZEROS: Limbs = (0,) * 16
HALF = inverse(2)
HASH_BUS, POSITION_BUS = 0, 1
KEY_BYTES = 32


@cache
def tree_system() -> System:
    """The tables of the tree; the facts that they ask for are public interactions."""
    tables = [tree_node_table(OLD_ROOT, NEW_ROOT), tree_leaf_table(DIGEST)]
    return build_system(tables, [HASH, POSITION], PUBLIC_COUNT)


def node_table() -> Table:
    return tree_system().tables[0]


def leaf_table() -> Table:
    return tree_system().tables[1]


class State(NamedTuple):
    exists: int
    is_leaf: int
    hash: Limbs


NOTHING = State(0, 0, ZEROS)


@dataclass
class Unlinked:
    """A side without a row: nothing, or opaque."""

    before: State = NOTHING
    after: State = NOTHING
    is_opaque: int = 0


def opaque(digest: bytes, after: bytes | None = None) -> Unlinked:
    return Unlinked(
        State(1, 0, limbs_of(digest)), State(1, 0, limbs_of(after or digest)), is_opaque=1
    )


@dataclass
class Leaf:
    """An update, or another leaf where `is_other`."""

    path: bytes
    before: bytes | None
    after: bytes | None
    is_other: bool = False
    errors: Errors = field(default_factory=dict)


@dataclass
class Opened:
    left: bytes
    right: bytes
    errors: Errors = field(default_factory=dict)


@dataclass
class Node:
    left: "Subtree"
    right: "Subtree"
    errors: Errors = field(default_factory=dict)
    copies: int = 1
    """Rows that say the same."""


Subtree = Node | Leaf | Opened | Unlinked


@dataclass
class Trace:
    nodes: list[list[int]]
    leaves: list[list[int]]
    publics: list[int]

    def broken(self) -> set[str]:
        """All rules that do not hold; "hash" and "position" for the buses."""
        names: set[str] = set()
        for table, rows in zip(tree_system().tables, (self.nodes, self.leaves), strict=True):
            for outcome in outcomes(table, pairs_of(rows), self.publics):
                names |= outcome.broken(table)
        for (bus, elements), count in self._balance(tree_system()).items():
            if count % P and bus == POSITION_BUS:
                names.add("position")
            if count % P and bus == HASH_BUS and not is_fact(elements):
                names.add("hash")
        return names

    def _balance(self, system: System) -> Counter[tuple[int, Limbs]]:
        balance: Counter[tuple[int, Limbs]] = Counter()
        for table, rows in zip(system.tables, (self.nodes, self.leaves), strict=True):
            for outcome in outcomes(table, pairs_of(rows), self.publics):
                for put in outcome.puts:
                    balance[put.bus, put.elements] += put.multiplicity
        return balance

    def check(self, system: System) -> None:
        """By the checker of the engine, with the chip's answers: each true fact as often as it is
        asked for."""
        answers = [
            PublicInteraction(HASH_BUS, -count % P, elements)
            for (bus, elements), count in self._balance(system).items()
            if bus == HASH_BUS and is_fact(elements)
        ]
        traces = [[*zip(*rows, strict=True)] for rows in (self.nodes, self.leaves)]
        check(system, traces, self.publics, answers)


def to_bytes(limbs: Sequence[int]) -> bytes | None:
    if any(limb >= 1 << 16 for limb in limbs):
        return None
    return struct.pack(f"<{len(limbs)}H", *limbs)


@cache
def is_fact(elements: Limbs) -> bool:
    first = elements[0] - (KEYED_FLAGS << 16)
    key = to_bytes((first % P, *elements[1:16]))
    message, out = to_bytes(elements[16:48]), to_bytes(elements[48:])
    if key is None or message is None or out is None:
        return False
    return b3(key, message) == out


def hashed(key: bytes | Limbs, message: Sequence[int]) -> Limbs:
    """The fact's result, or zeros where there is no fact."""
    key_bytes = key if isinstance(key, bytes) else to_bytes(key)
    text = to_bytes(message)
    return ZEROS if text is None or key_bytes is None else limbs_of(b3(key_bytes, text))


class Place(NamedTuple):
    depth: int
    limb: int
    bit: int
    prefix: Limbs


EMPTY_DIGEST = limbs_of(KEY_BATCH)
ROOT = Place(0, 0, 128, ZEROS)


class Row:
    """The cells of one row by the names of their columns."""

    def __init__(self, table: Table, errors: Errors) -> None:
        self.table = table
        self.errors = errors
        self.cells = [0] * table.main_width
        self.places = column_places(table)

    def put(self, name: str, value: int | Sequence[int]) -> None:
        """Sets a column, or a family of them, unless it errs."""
        values = [value] if isinstance(value, int) else value
        names = [name] if isinstance(value, int) else [f"{name}[{i}]" for i in range(len(values))]
        for each, cell in zip(names, values, strict=True):
            self.cells[self.places[each]] = self.errors.get(each, cell) % P

    def get(self, name: str) -> int:
        return self.cells[self.places[name]]

    def family(self, name: str, count: int = 16) -> Limbs:
        start = self.places[f"{name}[0]"]
        return tuple(self.cells[start : start + count])


@cache
def _places(names: tuple[str, ...]) -> Mapping[str, int]:
    return {name: place for place, name in enumerate(names)}


def column_places(table: Table) -> Mapping[str, int]:
    return _places(table.labels.main)


def or_zero(value: int) -> int:
    return inverse(value % P) if value % P else 0


class Settling:
    """One pass over a tree."""

    def __init__(
        self, root: Node, start: Place, digest: Limbs, orphans: Sequence["Subtree"]
    ) -> None:
        self.nodes: list[Row] = []
        self.updates: list[Row] = []
        self.untouched: list[Row] = []
        self.digest = digest
        self.settle(root, start)
        for orphan in orphans:
            self.settle(orphan, start)

    def settle(self, subtree: Subtree, place: Place) -> tuple[State, State]:
        match subtree:
            case Unlinked():
                return subtree.before, subtree.after
            case Leaf():
                return self._leaf(subtree, place)
            case Opened():
                return self._opened(subtree, place)
            case Node():
                return self._node(subtree, place)

    def _node(self, node: Node, place: Place) -> tuple[State, State]:
        row = Row(node_table(), node.errors)
        first = len(self.nodes)
        self.nodes += [row] * node.copies
        row.put("is_real", 1)
        row.put("is_child", int(first > 0))
        row.put("depth", place.depth)
        row.put("limb", place.limb)
        row.put("prefix", place.prefix)
        bits = [place.bit if limb == row.get("limb") else 0 for limb in range(16)]
        row.put("bit", bits)
        bit = sum(row.family("bit")) % P
        row.put("crosses_byte", int(bit == 1))
        row.put("crosses_limb", int(bit == 256))
        crosses = row.get("crosses_byte") + row.get("crosses_limb")
        neither = or_zero((bit - 1) * (bit - 256))
        row.put("crossing_witness", (row.get("is_real") - crosses) * neither)
        for name, side in (("left", node.left), ("right", node.right)):
            self._side(row, name, side, *self.settle(side, self._below(row, name, bit)))
        for time in ("before", "after"):
            self._combine(row, time)
        return self._states(row, "before", "after")

    def _below(self, row: Row, name: str, bit: int) -> Place:
        prefix = row.family("prefix")
        if name == "right":
            prefix = tuple((a + b) % P for a, b in zip(prefix, row.family("bit"), strict=True))
        return Place(
            row.get("depth") + 1,
            (row.get("limb") + row.get("crosses_limb")) % P,
            (bit + row.get("crosses_byte") * 65535) * HALF % P,
            prefix,
        )

    def _side(self, row: Row, name: str, side: "Subtree", before: State, after: State) -> None:
        row.put(f"{name}.is_linked", int(not isinstance(side, Unlinked)))
        row.put(f"{name}.is_opaque", side.is_opaque if isinstance(side, Unlinked) else 0)
        for time, state in (("before", before), ("after", after)):
            row.put(f"{name}.{time}.exists", state.exists)
            row.put(f"{name}.{time}.is_leaf", state.is_leaf)
            row.put(f"{name}.{time}.hash", state.hash)
        if row.get(f"{name}.is_opaque"):
            row.put("opaque_witness", or_zero(sum(row.family(f"{name}.before.hash"))))

    def _combine(self, row: Row, time: str) -> None:
        exists = [row.get(f"{side}.{time}.exists") for side in ("left", "right")]
        is_leaf = [row.get(f"{side}.{time}.is_leaf") for side in ("left", "right")]
        left, right = (row.family(f"{side}.{time}.hash") for side in ("left", "right"))
        row.put(f"{time}.exists", exists[0] + exists[1] - exists[0] * exists[1])
        row.put(f"{time}.is_leaf", is_leaf[0] * (1 - exists[1]) + is_leaf[1] * (1 - exists[0]))
        is_node = (row.get(f"{time}.exists") - row.get(f"{time}.is_leaf")) % P
        lifted = tuple((a + b) % P for a, b in zip(left, right, strict=True))
        row.put(f"{time}.hash", hashed(KEY_NODE, (*left, *right)) if is_node == 1 else lifted)

    def _states(self, row: Row, *names: str) -> tuple[State, State]:
        before, after = (
            State(row.get(f"{name}.exists"), row.get(f"{name}.is_leaf"), row.family(f"{name}.hash"))
            for name in names
        )
        return before, after

    def _place(self, row: Row, place: Place) -> None:
        row.put("depth", place.depth)
        row.put("limb", place.limb)
        row.put("bit", place.bit)

    def _leaf(self, leaf: Leaf, place: Place) -> tuple[State, State]:
        row = Row(leaf_table(), leaf.errors)
        row.put("is_update", int(not leaf.is_other))
        row.put("is_other", int(leaf.is_other))
        row.put("is_opened", 0)
        row.put("was_present", int(leaf.before is not None))
        row.put("is_present", int(leaf.after is not None and not leaf.is_other))
        self._place(row, place)
        self._rest(row, leaf)
        before, after = leaf.before or bytes(32), leaf.after or bytes(32)
        row.put("value_before", limbs_of(before))
        row.put("value_after", limbs_of(after))
        path = row.family("path")
        for time, value in (("before", leaf.before), ("after", leaf.after)):
            message = (*path, *limbs_of(value or bytes(32)))
            row.put(f"hash_{time}", ZEROS if value is None else hashed(KEY_LEAF, message))
        (self.untouched if leaf.is_other else self.updates).append(row)
        return self._leaf_states(row)

    def _rest(self, row: Row, leaf: Leaf) -> None:
        row.put("path", limbs_of(leaf.path))
        limb, bit = row.get("limb"), row.get("bit")
        row.put("limb_flag", [int(place == limb) for place in range(17)])
        masks = [(2 * bit + 65279 - 65535 * high) % P for high in (0, 1)]
        row.put("is_in_high_byte", int(masks[0] >> 16 != 0))
        mask = masks[row.get("is_in_high_byte")] if row.get("is_in_high_byte") < 2 else 65535
        row.put("mask", [mask >> place & 1 for place in range(16)])
        rest = row.family("path")[limb] & mask if limb < 16 else 0
        row.put("rest", [rest >> place & 1 for place in range(16)])

    def _leaf_states(self, row: Row) -> tuple[State, State]:
        was, now, opened = (row.get(f) for f in ("was_present", "is_present", "is_opened"))
        other = row.get("is_other")
        return (
            State((was + opened) % P, was, row.family("hash_before")),
            State((now + other + opened) % P, (now + other) % P, row.family("hash_after")),
        )

    def _opened(self, opened: Opened, place: Place) -> tuple[State, State]:
        row = Row(leaf_table(), opened.errors)
        row.put("is_opened", 1)
        self._place(row, place)
        row.put("path", limbs_of(opened.left))
        row.put("value_before", limbs_of(opened.right))
        row.put("value_after", place.prefix)
        message = (*row.family("path"), *row.family("value_before"))
        row.put("hash_before", hashed(KEY_NODE, message))
        row.put("hash_after", row.family("hash_before"))
        self.untouched.append(row)
        return self._leaf_states(row)

    def leaf_rows(self, height: int) -> list[list[int]]:
        """With digests, and padding up to the height."""
        rows = [*self.updates, *self.untouched]
        rows += [Row(leaf_table(), {}) for _ in range(height - len(rows))]
        for row in rows:
            row.put("digest", self.digest)
            if row.get("is_update"):
                message = (*row.family("hash_before"), *row.family("hash_after"))
                self.digest = hashed(row.family("digest"), message)
            else:
                self.digest = row.family("digest")
        return [row.cells for row in rows]


def power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


def settled(
    root: Node,
    *,
    start: Place = ROOT,
    digest: Limbs = EMPTY_DIGEST,
    orphans: Sequence[Subtree] = (),
    room: int = 0,
) -> Trace:
    """The trace of a tree; `room` asks for so many rows of padding at least. Orphans are subtrees
    that have rows and no parent."""
    settling = Settling(root, start, digest, orphans)
    count = len(settling.updates) + len(settling.untouched)
    leaves = settling.leaf_rows(power_of_two(count + max(room, 1)))
    nodes = [[*row.cells] for row in settling.nodes]
    height = power_of_two(len(nodes) + room)
    nodes += [[0] * node_table().main_width for _ in range(height - len(nodes))]
    first = settling.nodes[0]
    publics = [
        *first.family("before.hash"),
        *first.family("after.hash"),
        *settling.digest,
    ]
    return Trace(nodes, leaves, publics)


# Trees to lie about

A, B = (bytes([byte]) * 32 for byte in b"ab")
"""Hashes of values, or of subtrees."""
ZERO_PATH = bytes(32)


def path(bits: str) -> bytes:
    return int(bits.ljust(256, "0"), 2).to_bytes(32, "big")


def plain() -> Node:
    return Node(Leaf(path("0"), A, B), Leaf(path("1"), None, A))


def spine(depth: int, bottom: Subtree, errors: dict[int, dict[str, int]] | None = None) -> Node:
    """Nodes down the path of zeros, nothing beside them; what is at `depth` hangs from the last."""
    subtree = bottom
    for level in reversed(range(depth)):
        subtree = Node(subtree, Unlinked(), (errors or {}).get(level, {}))
    assert isinstance(subtree, Node)
    return subtree


def zero_leaf(**errors: int) -> Leaf:
    return Leaf(ZERO_PATH, A, B, errors={name.replace("__", "."): v for name, v in errors.items()})


def erring(name: str, *numbers: int) -> dict[str, int]:
    """Values of a family of columns, from its first."""
    return {f"{name}[{place}]": value % P for place, value in enumerate(numbers)}


def beside(side: str, subtree: Subtree, leaf: Leaf | None = None) -> Node:
    """A root with a subtree on one side and an updated leaf on the other."""
    if side == "left":
        return Node(subtree, leaf or Leaf(path("1"), A, B))
    return Node(leaf or Leaf(path("0"), A, B), subtree)
