"""Openings of the 4-ary trace tree in Script (trace.md section 1.1).

    leaf(record)  = BLAKE3(record padded to 64 bytes, key = salt16 | 0^16)[:16]
    node(a,b,c,d) = BLAKE3(a|b|c|d)[:16]

A level of an opening is 13 witness items: the twelve words of the three siblings as limbs, left to
right, and the packed number of two bits of position and their twelve shared bits. The position,
0..3, says where among its siblings the node below stands; the positions are the index of the row.
"""

from collections.abc import Sequence
from typing import Final

from p2p_seq.challenge.script.assembler import Assembler
from p2p_seq.challenge.script.blake3 import (
    DIGITS,
    INITIAL_VECTOR,
    KEYED_HASH,
    SINGLE_BLOCK,
    Digits,
    compress,
    constant_word,
    digest_order,
)
from p2p_seq.challenge.script.limbs import (
    end_packed,
    limb,
    pack_bits,
    shared_bit,
    take_bit,
    take_packed,
    unpack_words,
)
from p2p_seq.challenge.script.tables import NibbleTables

NODE_WORDS: Final = 4
NODE_ITEMS: Final = NODE_WORDS * DIGITS
SIBLING_WORDS: Final = 12
LEVEL_ITEMS: Final = SIBLING_WORDS + 1


def level_names(level: str) -> list[str]:
    """The witness items of a level, the deepest first: limbs, then the packed number."""
    return [f"{level}:limb{k}" for k in range(SIBLING_WORDS)] + [f"{level}:packed"]


def level_witness(siblings: Sequence[Sequence[int]], position: int) -> list[int]:
    """What a challenger shows for a level: three siblings of four words, and where the node is."""
    words = [word for sibling in siblings for word in sibling]
    bits = [position >> 1, position & 1, *map(shared_bit, words)]
    return [*map(limb, words), pack_bits(bits)]


def parent_node(asm: Assembler, tables: NibbleTables, level: str) -> None:
    """One level up.

    level's items ... tables -> ... tables; altstack: ... node -> ... parent, as `compress` leaves
    it

    The node moves up past each sibling that stands left of it.
    """
    limbs = level_names(level)
    moving = [asm.from_alt() for _ in range(NODE_ITEMS)]
    take_packed(asm, limbs.pop())
    _take_position(asm)
    asm.roll_all(moving)
    for slot in range(3):
        words = _block("sibling")
        first = slot * NODE_WORDS
        unpack_words(asm, limbs[first : first + 4], words, SIBLING_WORDS - first)
        if slot == 2:
            end_packed(asm)
        _swap_if_later(asm, slot)
    _hash_slots(asm, tables)


def part_node(asm: Assembler, tables: NibbleTables, level: str, position: int) -> None:
    """One level up from a child whose position the script fixes: a part of a wide row.

    Items and stacks as in `parent_node`, but the packed number has no bits of position.
    """
    *limbs, packed = level_names(level)
    for name in _flat(f"slot{position}"):
        asm.from_alt(name)
    take_packed(asm, packed)
    for first, slot in zip((0, 4, 8), sorted({0, 1, 2, 3} - {position}), strict=True):
        words = _block(f"slot{slot}")
        unpack_words(asm, limbs[first : first + 4], words, SIBLING_WORDS - first)
    end_packed(asm)
    _hash_slots(asm, tables)


def wide_node(asm: Assembler, tables: NibbleTables) -> None:
    """The node of a wide row from the leaves of its four parts.

    tables -> tables; altstack ... H A B C, each as `compress` leaves it -> ... node
    """
    for slot in reversed(range(4)):
        for name in _flat(f"slot{slot}"):
            asm.from_alt(name)
    _hash_slots(asm, tables)


def _hash_slots(asm: Assembler, tables: NibbleTables) -> None:
    """tables, four children in any order -> tables; altstack ... -> ... node"""
    message = [word for slot in range(4) for word in _block(f"slot{slot}")]
    compress(asm, tables, message, [constant_word(word) for word in INITIAL_VECTOR])


def _take_position(asm: Assembler) -> None:
    """... -> ... position; altstack ... packed -> ... packed without its first two bits"""
    take_bit(asm, SIBLING_WORDS + 2)
    asm.ops("DUP ADD")
    take_bit(asm, SIBLING_WORDS + 1)
    asm.ops("ADD")
    asm.name("position")


def _swap_if_later(asm: Assembler, slot: int) -> None:
    """Names the block that is now in its place, and the one that may still move.

    position ... moving sibling -> position ... sibling moving if position > slot, else unchanged;
    the position goes with the last slot
    """
    names = asm.stack[-2 * NODE_ITEMS :]
    if slot < 2:
        asm.pick("position")
    else:
        asm.roll("position")
    if slot == 0:
        asm.ops("0NOTEQUAL")
    else:
        asm.number(slot)
        asm.ops("GREATERTHAN")
    asm.begin_if()
    asm.roll_all(names[:NODE_ITEMS])
    asm.end_if()
    asm.rename_top(_flat(f"slot{slot}") + _flat("slot3" if slot == 2 else "moving"))


def leaf_node(
    asm: Assembler, tables: NibbleTables, record: Sequence[Digits], salt: Sequence[Digits]
) -> None:
    """The leaf of a record of at most 16 words: the rest of its 64 bytes is zero.

    tables, digits of record and salt -> tables; altstack ... -> ... node
    """
    zero = constant_word(0)
    compress(
        asm,
        tables,
        [*record, *[zero] * (16 - len(record))],
        [*salt, *[zero] * (8 - len(salt))],
        flags=SINGLE_BLOCK | KEYED_HASH,
    )


def _block(prefix: str) -> list[list[str]]:
    """Names of the four words of a node."""
    return [[f"{prefix}:{word}.{k}" for k in range(DIGITS)] for word in range(NODE_WORDS)]


def _flat(prefix: str) -> list[str]:
    """Names of a node's items in their order on the stack."""
    return [f"{prefix}:{word}.{place}" for word, place in digest_order(NODE_WORDS)]
