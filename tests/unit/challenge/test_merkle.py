"""A row opened under a signed root, on Bitcoin's engine: what the fraud leaves are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from random import Random

import blake3
import pytest

from p2p_seq.bitcoin.script import encode_number
from p2p_seq.challenge.script.assembler import Assembler
from p2p_seq.challenge.script.blake3 import ROOM
from p2p_seq.challenge.script.limbs import pack_words, unpack_block
from p2p_seq.challenge.script.merkle import (
    NODE_ITEMS,
    leaf_node,
    level_names,
    level_witness,
    parent_node,
    part_node,
    wide_node,
)
from p2p_seq.challenge.script.tables import (
    LARGE_RANGE,
    NibbleTables,
    drop_tables,
    push_tables,
)
from p2p_seq.challenge.script.winternitz import (
    check_digits,
    check_fixed_sum,
    drop_halves,
    fixed_sum,
    push_halves,
)
from tests.unit.challenge import spends
from tests.unit.challenge.signers import OneTimeKey
from tests.unit.challenge.spends import Leaf, Witness

KEY = OneTimeKey("group", NODE_ITEMS)
RECORD_WORDS = 13
SALT_WORDS = 4


def shown_block(prefix: str, words: int) -> list[str]:
    return [f"{prefix}:limb{k}" for k in range(words)] + [f"{prefix}:packed"]


def opening_names(depth: int) -> list[str]:
    names = [f"open{k}" for k in range(NODE_ITEMS)]
    for level in reversed(range(depth)):
        names += level_names(f"level{level}")
    return names + shown_block("record", RECORD_WORDS) + shown_block("salt", SALT_WORDS)


@cache
def opening(depth: int, sum_range: int = LARGE_RANGE) -> Leaf:
    """A narrow record at this depth under a root signed with KEY."""

    def write(asm: Assembler) -> None:
        tables = push_tables(asm, sum_range, ROOM)
        parts = []
        for prefix, words in (("record", RECORD_WORDS), ("salt", SALT_WORDS)):
            *limbs, packed = shown_block(prefix, words)
            parts.append(spends.named_words(prefix, words))
            unpack_block(asm, limbs, packed, parts[-1])
        leaf_node(asm, tables, *parts)
        for level in range(depth):
            parent_node(asm, tables, f"level{level}")
        drop_tables(asm, tables)
        root = [asm.from_alt() for _ in range(NODE_ITEMS)]
        push_halves(asm)
        check_digits(asm, root, [f"open{k}" for k in range(NODE_ITEMS)], KEY.ends)
        drop_halves(asm)
        check_fixed_sum(asm, NODE_ITEMS)

    return spends.leaf(opening_names(depth), write)


@dataclass
class Tree:
    """A 4-ary tree of records; the last one is ground until the root has the fixed sum."""

    records: list[bytes]
    salt: bytes
    levels: list[list[bytes]]

    @classmethod
    def grown(cls, random: Random, depth: int) -> "Tree":
        salt = random.randbytes(16)
        records = [random.randbytes(52) for _ in range(4**depth)]
        for attempt in count():
            records[-1] = attempt.to_bytes(52, "little")
            tree = cls(records, salt, [[leaf(record, salt) for record in records]])
            while len(tree.levels[-1]) > 1:
                tree.levels.append(parents(tree.levels[-1]))
            if sum(spends.digits_of(spends.words_of(tree.root))) == fixed_sum(NODE_ITEMS):
                return tree
        raise AssertionError

    @property
    def root(self) -> bytes:
        return self.levels[-1][0]

    def path(self, index: int) -> list[tuple[list[bytes], int]]:
        """Siblings and position, from the leaf up."""
        found = []
        for level in self.levels[:-1]:
            first = index - index % 4
            family = level[first : first + 4]
            found.append((family[: index % 4] + family[index % 4 + 1 :], index % 4))
            index //= 4
        return found


def leaf(record: bytes, salt: bytes) -> bytes:
    return blake3.blake3(record.ljust(64, b"\0"), key=salt + bytes(16)).digest()[:16]


def parents(level: Sequence[bytes]) -> list[bytes]:
    families = (b"".join(level[k : k + 4]) for k in range(0, len(level), 4))
    return [blake3.blake3(family).digest()[:16] for family in families]


def witness(tree: Tree, index: int, change: Callable[[list[int]], None] | None = None) -> Witness:
    values: list[int] = []
    for siblings, position in reversed(tree.path(index)):
        values += level_witness([spends.words_of(one) for one in siblings], position)
    values += pack_words(spends.words_of(tree.records[index]))
    values += pack_words(spends.words_of(tree.salt))
    if change:
        change(values)
    openings = KEY.sign(spends.digits_of(spends.words_of(tree.root)))
    return [*openings, *spends.numbers(values)]


@cache
def small_tree() -> Tree:
    return Tree.grown(Random(14), 2)


def test_every_row_of_a_tree() -> None:
    tree = small_tree()
    for index in range(16):
        assert opening(2).accepts(witness(tree, index)), index


def test_deeper_tree() -> None:
    tree = Tree.grown(Random(15), 3)
    script = opening(3)
    for index in (0, 21, 38, 62, 63):
        assert script.accepts(witness(tree, index))
    assert script.emulated(witness(tree, 21))


def test_any_other_number_is_refused() -> None:
    """Each item of the path, the record and the salt in turn, with every hostile spelling."""
    tree, random = small_tree(), Random(16)
    script, honest = opening(2), witness(tree, 6)
    names = [name for name in script.names if not name.startswith("open")]
    for name in names:
        element = honest[script.names.index(name)]
        value = int.from_bytes(element, "little") & (1 << 8 * len(element) - 1) - 1
        value = -value if element[-1] & 0x80 else value
        choices = spends.hostile(value)
        for other in (choices[2], choices[3], random.choice(choices)):
            assert not script.accepts(script.changed(honest, name, other)), (name, other)


def test_a_row_is_bound_to_its_index() -> None:
    """Other position bits with the same siblings hash to another root."""
    tree, script = small_tree(), opening(2)
    siblings, position = tree.path(6)[0]
    shown = [spends.words_of(one) for one in siblings]
    for other in {0, 1, 2, 3} - {position}:
        packed = encode_number(level_witness(shown, other)[-1])
        changed = script.changed(witness(tree, 6), "level0:packed", packed)
        assert not script.accepts(changed)


def test_other_record_other_root_other_key() -> None:
    tree, script = small_tree(), opening(2)
    honest = witness(tree, 3)
    record = [encode_number(value) for value in pack_words(spends.words_of(bytes(52)))]
    first = script.names.index("record:limb0")
    assert not script.accepts([*honest[:first], *record, *honest[first + len(record) :]])
    digits = spends.digits_of(spends.words_of(tree.root))
    openings = OneTimeKey("another", NODE_ITEMS).sign(digits)
    assert not script.accepts([*openings, *honest[NODE_ITEMS:]])
    swapped = [honest[1], honest[0], *honest[2:]]
    assert not script.accepts(swapped)
    assert not script.accepts(honest[1:])
    assert not script.accepts([b"", *honest])
    assert not script.accepts([*honest, b""])


@pytest.mark.parametrize("sum_range", [48, 144])
def test_other_tables(sum_range: int) -> None:
    script = opening(1, sum_range)
    tree = Tree.grown(Random(sum_range), 1)
    for index in range(4):
        assert script.accepts(witness(tree, index))
    other = script.changed(witness(tree, 0), "record:limb2", encode_number(8 * 10**8))
    assert not script.accepts(other)


WIDE_WORDS = 16
PARTS = "HABC"
WANTED = [f"wanted{k}" for k in range(NODE_ITEMS)]


def compared_with_root(asm: Assembler) -> None:
    """altstack node -> ...; fails unless it is the wanted one"""
    node = [asm.from_alt() for _ in range(NODE_ITEMS)]
    spends.expect(asm, node, WANTED)


@cache
def wide_row() -> Leaf:
    """All four parts of a wide row, each with the salt shown once more."""
    names = list(WANTED)
    for part in reversed(PARTS):
        names += shown_block(f"salt{part}", SALT_WORDS) + shown_block(part, WIDE_WORDS)

    def write(asm: Assembler) -> None:
        tables = push_tables(asm, LARGE_RANGE, ROOM)
        for part in PARTS:
            hash_part(asm, tables, part)
        wide_node(asm, tables)
        drop_tables(asm, tables)
        compared_with_root(asm)

    return spends.leaf(names, write)


@cache
def one_part(position: int) -> Leaf:
    """One part under the node of its wide row, as readers of H or of a line open it."""
    part = PARTS[position]
    names = [*WANTED, *level_names("parts")]
    names += shown_block(f"salt{part}", SALT_WORDS) + shown_block(part, WIDE_WORDS)

    def write(asm: Assembler) -> None:
        tables = push_tables(asm, LARGE_RANGE, ROOM)
        hash_part(asm, tables, part)
        part_node(asm, tables, "parts", position)
        drop_tables(asm, tables)
        compared_with_root(asm)

    return spends.leaf(names, write)


def hash_part(asm: Assembler, tables: NibbleTables, part: str) -> None:
    blocks = []
    for prefix, words in ((part, WIDE_WORDS), (f"salt{part}", SALT_WORDS)):
        *limbs, packed = shown_block(prefix, words)
        blocks.append(spends.named_words(prefix, words))
        unpack_block(asm, limbs, packed, blocks[-1])
    leaf_node(asm, tables, *blocks)


def wide_witness(parts: Sequence[bytes], salt: bytes, node: bytes) -> Witness:
    values = spends.digits_of(spends.words_of(node))
    for part in reversed(parts):
        values += pack_words(spends.words_of(salt)) + pack_words(spends.words_of(part))
    return spends.numbers(values)


def test_wide_row() -> None:
    random = Random(17)
    salt, parts = random.randbytes(16), [random.randbytes(64) for _ in PARTS]
    leaves = [leaf(part, salt) for part in parts]
    (node,) = parents(leaves)
    script, honest = wide_row(), wide_witness(parts, salt, node)
    assert script.accepts(honest)
    assert script.emulated(honest)
    swapped = [parts[1], parts[0], *parts[2:]]
    assert not script.accepts(wide_witness(swapped, salt, node))
    for part in PARTS:
        other = script.changed(honest, f"{part}:limb15", encode_number(10**9))
        assert not script.accepts(other)


@pytest.mark.parametrize("position", range(4))
def test_one_part_of_a_wide_row(position: int) -> None:
    random = Random(position)
    salt, parts = random.randbytes(16), [random.randbytes(64) for _ in PARTS]
    leaves = [leaf(part, salt) for part in parts]
    (node,) = parents(leaves)
    siblings = leaves[:position] + leaves[position + 1 :]
    shown = pack_words([word for one in siblings for word in spends.words_of(one)])
    values = [*spends.digits_of(spends.words_of(node)), *shown]
    values += pack_words(spends.words_of(salt)) + pack_words(spends.words_of(parts[position]))
    script = one_part(position)
    assert script.accepts(spends.numbers(values))
    if position:
        assert not one_part(0).accepts(spends.numbers(values))
    else:
        assert not one_part(1).accepts(spends.numbers(values))
    bits = script.changed(spends.numbers(values), "parts:packed", encode_number(shown[-1] + 4096))
    assert not script.accepts(bits)
