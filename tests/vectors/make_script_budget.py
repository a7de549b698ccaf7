"""Writes script_budget.json: bytes and stack of each gadget, and the table of fraud leaves.

Run from the root of the repository: `python -m tests.vectors.make_script_budget`. Parts are
measured on what the toolkit writes. Leaves that exist are *measured*; the others are *planned*: the
sum of measured parts and of estimates (reference/trace.md 3), which are named as such. Weights are
in weight units: script, witness items with their lengths, and a frame. A planned peak is that of a
compression with all witness items underneath that are not used up by then.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from p2p_seq.challenge.script import bitwise, words
from p2p_seq.challenge.script.assembler import PEAK_GOAL, Assembler
from p2p_seq.challenge.script.bitwise import Bitwise
from p2p_seq.challenge.script.blake3 import (
    INITIAL_VECTOR,
    ROOM,
    Digits,
    compress,
    constant_word,
    digest_name,
    digest_order,
)
from p2p_seq.challenge.script.limbs import unpack_block
from p2p_seq.challenge.script.merkle import (
    LEVEL_ITEMS,
    NODE_ITEMS,
    leaf_node,
    level_names,
    parent_node,
    part_node,
)
from p2p_seq.challenge.script.tables import NibbleTables, push_tables
from p2p_seq.challenge.script.winternitz import (
    check_checksum,
    check_checksum_pairs,
    check_digits,
    check_equivocation,
    check_fixed_sum,
    drop_halves,
    push_halves,
)

PATH: Final = Path(__file__).with_name("script_budget.json")
RANGES: Final = (48, 80, 112, 144)
DEPTHS: Final = (6, 7, 9)
LEAF_RANGE: Final = 80
"""The tables that the table of leaves is made for."""

COMPRESSION_GOAL: Final = 44_500
EQUIVOCATION_GOAL: Final = 7_000
LEVEL_REFERENCE: Final = 49_500

FRAME: Final = 1_000
"""Estimate: the slash transaction without the witness of its fraud input and without co-signers."""
CONTROL_BLOCK: Final = 33 + 32 * 20
COSIGNER: Final = 100
"""For each co-signer of the stake (reference/pitfalls.md, R15b)."""
COSIGNERS: Final = (4, 22, 67)
LIMB_BYTES: Final = 5
"""A limb in a witness: at most 4 bytes and their length."""
OPENING_BYTES: Final = 21

NARROW_WORDS: Final = 13
WIDE_WORDS: Final = 16
SALT_WORDS: Final = 4
PROGRAM_LEVELS: Final = 6
GROUP_CHOICE: Final = 43_500
"""Estimate: a signature whose group is chosen at run time."""
CHECKSUM_OPENINGS: Final = 35
STATEMENT_OPENINGS: Final = 67
SALT_ITEMS: Final = SALT_WORDS + 1
DROP_TABLES: Final = 208
COMPRESSION_PEAK: Final = 675
"""Tables, state, message and carry; tests compare it with what is measured."""
STEP_PREDICATE: Final = 17_000
"""Estimate (reference/trace.md 3.1)."""
HINT_ITEMS: Final = 6
UNPACK_STATEMENT: Final = 2_970
"""Eight words from the witness."""


def _names(prefix: str, count: int) -> list[list[str]]:
    return [[f"{prefix}{word}.{place}" for place in range(8)] for word in range(count)]


def _flat(prefix: str, count: int) -> list[str]:
    return [name for word in _names(prefix, count) for name in word]


def _measured(asm: Assembler, write: Callable[[], None]) -> int:
    before = asm.size
    write()
    return asm.size - before


def compression(sum_range: int, out_words: int, key_words: int | None) -> dict[str, int]:
    """Bytes with cleanup, without tables; the peak with tables, message and key on the stack."""
    asm = Assembler()
    tables = push_tables(asm, sum_range, ROOM)
    tables_bytes = asm.size
    for name in _flat("m", 16) + _flat("k", key_words or 0):
        asm.number(0, name)
    chaining: list[Digits] = [constant_word(word) for word in INITIAL_VECTOR]
    if key_words is not None:
        chaining = [*_names("k", key_words)]
        chaining += [constant_word(0)] * (8 - key_words)
    size = _measured(
        asm, lambda: compress(asm, tables, _names("m", 16), chaining, out_words=out_words)
    )
    return {"bytes": size, "tables": tables_bytes, "peak": asm.peak}


def unpacking(count: int) -> int:
    """Bytes to take a block of words from the witness apart."""
    limbs = [f"limb{k}" for k in range(count)]
    asm = Assembler([*limbs, "packed"])
    unpack_block(asm, limbs, "packed", _names("w", count))
    return asm.size


def record_leaf(count: int) -> int:
    """Bytes of the leaf of a record whose digits and salt are on the stack."""
    asm = Assembler()
    tables = push_tables(asm, LEAF_RANGE, ROOM)
    for name in _flat("r", count) + _flat("s", SALT_WORDS):
        asm.number(0, name)
    return _measured(
        asm, lambda: leaf_node(asm, tables, _names("r", count), _names("s", SALT_WORDS))
    )


def level(sum_range: int, position: int | None = None) -> int:
    """Bytes of one level up."""
    asm = Assembler(level_names("level"))
    tables = push_tables(asm, sum_range, ROOM)
    for word, place in digest_order(NODE_ITEMS // 8):
        asm.number(0, digest_name(word, place))
    asm.roll_all([digest_name(*digit) for digit in reversed(digest_order(NODE_ITEMS // 8))])
    for _ in range(NODE_ITEMS):
        asm.to_alt()
    if position is None:
        return _measured(asm, lambda: parent_node(asm, tables, "level"))
    return _measured(asm, lambda: part_node(asm, tables, "level", position))


def signature(count: int, has_checksum: bool) -> int:
    """Bytes that verify digits which the script has computed."""
    digits, openings = [f"d{k}" for k in range(count)], [f"o{k}" for k in range(count)]
    pairs = [f"{kind}{k}" for k in (2, 1, 0) for kind in ("cd", "co")] if has_checksum else []
    asm = Assembler([*openings, *digits, *pairs])
    if has_checksum:
        check_checksum_pairs(asm, [bytes(20)] * 3)
    push_halves(asm)
    check_digits(asm, digits, openings, [bytes(20)] * count)
    drop_halves(asm)
    check = check_checksum if has_checksum else check_fixed_sum
    check(asm, count)
    return asm.size


def equivocation() -> dict[str, int]:
    pairs = [f"{kind}{k}" for k in reversed(range(NODE_ITEMS)) for kind in ("d", "o")]
    asm = Assembler(pairs)
    check_equivocation(asm, [bytes(20)] * NODE_ITEMS)
    return {"bytes": asm.size, "peak": asm.peak}


class _Bench(NamedTuple):
    """What an operation on two words needs."""

    asm: Assembler
    tables: NibbleTables
    one: list[str]
    other: list[str]
    made: list[str]


def arithmetic() -> dict[str, int]:
    """Bytes of each operation on two words of a block of two."""
    sizes = {}
    operations: dict[str, Callable[[_Bench], None]] = {
        "add": lambda x: words.add(x.asm, x.one, x.other, x.made),
        "subtract": lambda x: words.subtract(x.asm, x.one, x.other, x.made),
        "less": lambda x: words.less(x.asm, x.one, x.other),
        "less_signed": lambda x: words.less(x.asm, x.one, x.other, signed=True),
        "equal": lambda x: words.equal(x.asm, x.one, x.other),
        "equals_constant": lambda x: words.equals_constant(x.asm, x.one, 0),
        "to_number": lambda x: words.to_number(x.asm, x.one),
        "xor": lambda x: bitwise.exclusive_or(x.asm, x.tables, x.one, x.other, x.made),
        "and": lambda x: bitwise.bitwise(x.asm, x.tables, Bitwise.AND, (x.one, x.other), x.made),
        "or": lambda x: bitwise.bitwise(x.asm, x.tables, Bitwise.OR, (x.one, x.other), x.made),
        "shift_left": lambda x: bitwise.shift_left(x.asm, x.one, x.other, x.made),
        "shift_right": lambda x: bitwise.shift_right(x.asm, x.one, x.other, x.made),
        "shift_right_arithmetic": lambda x: bitwise.shift_right(
            x.asm, x.one, x.other, x.made, arithmetic=True
        ),
    }
    for name, operation in operations.items():
        asm = Assembler()
        tables = push_tables(asm, LEAF_RANGE, 64)
        for item in _flat("w", 2):
            asm.number(0, item)
        before = asm.size
        operation(_Bench(asm, tables, *_names("w", 2), *_names("r", 1)))
        sizes[name] = asm.size - before
    return sizes


def parts() -> dict[str, Any]:
    """Everything that is measured."""
    return {
        "compression": {
            f"R={sum_range} {8 * count // 2} bytes out{keyed}": compression(sum_range, count, key)
            for sum_range in RANGES
            for count in (4, 8)
            for key, keyed in ((None, ""), (4, ", keyed"), (8, ", any chaining value"))
        },
        "unpacking": {f"{count} words": unpacking(count) for count in (1, 4, 13, 16)},
        "level": {f"R={sum_range}": level(sum_range) for sum_range in RANGES},
        "level of a part of a wide row": level(LEAF_RANGE, 0),
        "leaf": {f"{count} words": record_leaf(count) for count in (NARROW_WORDS, WIDE_WORDS)},
        "signature": {
            "fixed sum, 16 bytes": signature(32, False),
            "checksum, 16 bytes": signature(32, True),
            "checksum, 32 bytes": signature(64, True),
        },
        "equivocation": equivocation(),
        "arithmetic": arithmetic(),
    }


@dataclass(frozen=True)
class Plan:
    """A leaf as the sum of its parts."""

    kind: str
    script: int
    """Bytes without the levels of its paths."""
    numbers: int
    """Witness items without paths and openings."""
    openings: int
    paths: int
    """Paths from a row to the root of its group."""
    used: int = 14 + SALT_ITEMS
    """Witness items that are used up before the first compression."""
    status: str = "planned"

    def rows(self, level_bytes: int) -> dict[str, Any]:
        """Script bytes, witness items, weight and peak for each depth."""
        table: dict[str, Any] = {"status": self.status}
        for depth in DEPTHS:
            numbers = self.numbers + self.paths * depth * LEVEL_ITEMS
            size = self.script + self.paths * depth * level_bytes
            witness = numbers * LIMB_BYTES + self.openings * OPENING_BYTES
            weight = size + witness + FRAME + CONTROL_BLOCK
            table[f"d={depth}"] = {
                "script": size,
                "items": numbers + self.openings,
                "weight": _with_cosigners(weight),
                "peak": COMPRESSION_PEAK + numbers + self.openings - self.used,
            }
        return table


@dataclass(frozen=True)
class Costs:
    """Measured parts that leaves are made of, in bytes."""

    tables: int
    narrow: int
    """Record and salt of a narrow row from the witness to its leaf."""
    wide: int
    """The same of one part of a wide row."""
    part: int
    """From a part to the node of its wide row."""
    node: int
    """The hash of a block of digits."""
    block: int
    """16 words from the witness, hashed."""
    group: int
    """The signature of a group's root."""
    program: int
    """From a block to the signed program root."""
    statement: int
    """The signature of a statement."""

    @classmethod
    def of(cls, measured: dict[str, Any]) -> "Costs":
        compressed = measured["compression"]["R=80 16 bytes out"]
        unpack, signed = measured["unpacking"], measured["signature"]
        salt, level_bytes = unpack["4 words"], measured["level"]["R=80"]
        return cls(
            tables=compressed["tables"] + DROP_TABLES,
            narrow=unpack["13 words"] + salt + measured["leaf"]["13 words"],
            wide=unpack["16 words"] + salt + measured["leaf"]["16 words"],
            part=measured["level of a part of a wide row"],
            node=compressed["bytes"],
            block=unpack["16 words"] + compressed["bytes"],
            group=signed["fixed sum, 16 bytes"],
            program=PROGRAM_LEVELS * level_bytes + signed["checksum, 16 bytes"],
            statement=signed["checksum, 32 bytes"],
        )

    def view(self, letter: str) -> int:
        """A row as an ACCESS or FETCH leaf opens it: narrow, head, or line."""
        return self.narrow if letter == "N" else self.wide + self.part


VIEW_ITEMS: Final = {
    "N": NARROW_WORDS + 1 + SALT_ITEMS,
    "H": WIDE_WORDS + 1 + SALT_ITEMS + LEVEL_ITEMS,
    "X": WIDE_WORDS + 1 + SALT_ITEMS + LEVEL_ITEMS,
}


def row_plans(costs: Costs) -> list[Plan]:
    """Leaves that open one narrow row, or one wide row completely."""
    opening = costs.tables + costs.narrow + costs.group
    four = costs.tables + 4 * costs.wide + costs.node + costs.group
    parts_items = 4 * (WIDE_WORDS + 1 + SALT_ITEMS)
    items = VIEW_ITEMS["N"]
    return [
        Plan("OPENING-N", opening, items, NODE_ITEMS, 1, status="measured"),
        Plan("STEP", opening + STEP_PREDICATE, items + HINT_ITEMS, NODE_ITEMS, 1),
        Plan(
            "STATEMENT",
            opening + costs.statement + UNPACK_STATEMENT + 600,
            items + 9,
            NODE_ITEMS + STATEMENT_OPENINGS,
            1,
        ),
        Plan("WSTEP-B3", four + 58_000, parts_items + 9, NODE_ITEMS, 1),
        Plan("WSTEP-MULP", four + 90_000, parts_items + 18, NODE_ITEMS, 1),
    ]


def program_plans(costs: Costs) -> list[Plan]:
    """Leaves that open a row and a block of the program."""
    block_items = WIDE_WORDS + 1 + PROGRAM_LEVELS * LEVEL_ITEMS
    return [
        Plan(
            kind,
            costs.tables + costs.view(kind[-1]) + costs.group + costs.block + costs.program + more,
            VIEW_ITEMS[kind[-1]] + block_items,
            NODE_ITEMS + CHECKSUM_OPENINGS,
            1,
        )
        for kind, more in (
            ("FETCH-N", 1_200),
            ("FETCH-H", 1_200),
            ("INIT-N", 1_500),
            ("INIT-X", 1_500),
        )
    ]


def access_plans(costs: Costs) -> list[Plan]:
    """Leaves that open two rows. Signatures come first; each root is then five numbers."""
    return [
        Plan(
            f"ACCESS-{one}{other}",
            costs.tables + costs.view(one) + costs.view(other) + 2 * GROUP_CHOICE + 7_500,
            VIEW_ITEMS[one] + VIEW_ITEMS[other] + 2,
            2 * NODE_ITEMS,
            2,
            used=2 * NODE_ITEMS + 14 + SALT_ITEMS - 2 * (NODE_ITEMS // 8 + 1),
        )
        for one, other in ("NN", "NH", "NX", "HN", "HH", "XN", "XH", "XX")
    ]


def leaves(measured: dict[str, Any]) -> dict[str, Any]:
    """The table of fraud leaves, for tables of 80 sums."""
    costs = Costs.of(measured)
    hand_over = Plan(
        "HANDOVER",
        costs.tables + 4 * costs.block + 2 * costs.statement + 500,
        4 * (WIDE_WORDS + 1),
        2 * STATEMENT_OPENINGS,
        0,
        used=WIDE_WORDS + 1,
    )
    plans = [*row_plans(costs), *program_plans(costs), *access_plans(costs), hand_over]
    node = measured["level"][f"R={LEAF_RANGE}"]
    return {plan.kind: plan.rows(node) for plan in plans}


def _with_cosigners(weight: int) -> dict[str, int]:
    return {f"{count} co-signers": weight + count * COSIGNER for count in COSIGNERS}


def equivocation_leaf(measured: dict[str, Any]) -> dict[str, Any]:
    script = measured["equivocation"]["bytes"]
    weight = script + NODE_ITEMS * (OPENING_BYTES + 2) + FRAME + CONTROL_BLOCK
    return {
        "status": "measured",
        "script": script,
        "items": 2 * NODE_ITEMS,
        "weight": _with_cosigners(weight),
        "peak": measured["equivocation"]["peak"],
    }


def budget() -> dict[str, Any]:
    measured = parts()
    return {
        "goals": {
            "compression": COMPRESSION_GOAL,
            "equivocation weight": EQUIVOCATION_GOAL,
            "peak": PEAK_GOAL,
        },
        "parts": measured,
        "leaves": {"EQUIV": equivocation_leaf(measured), **leaves(measured)},
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(budget(), indent=1) + "\n", encoding="utf-8")
