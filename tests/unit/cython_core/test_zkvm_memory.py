"""The tables of memory: no address is opened twice, and none that is another table's."""

import random
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from cython_core.air.table import MODULUS, Table
from cython_core.air.weaken import without_constraint, without_interaction
from cython_core.vm.program import Program, from_words
from cython_core.zkvm._rows import FactCounts, image_rows, memory_rows
from cython_core.zkvm.buses import BUSES
from cython_core.zkvm.memory_tables import image_edges, image_of, image_table, registers_table
from tests.unit.cython_core.vm_programs import HALT
from tests.unit.cython_core.zkvm_memory_cases import (
    BORROW,
    CLOCK,
    HIGH,
    IMAGE,
    LIMBS,
    LOW,
    PADDING,
    TABLE,
    USED,
    Claim,
    MemoryRow,
    Said,
    changed,
    changes,
    closed,
    compared,
    honest,
    honest_rows,
    opened,
    padded,
    row_of,
    said,
    violation,
)

FIRST, END = 0x8000, 0x8010
SOME = [(0, 3, 7), (5, 1, 0), (0x7FFF, 9, 1 << 31), (END, 4, 0xFFFFFFFF), ((1 << 30) - 1, 2, 1)]


def random_claim(rng: random.Random) -> tuple[list[tuple[int, int, int]], int, int]:
    """Touched words, some of them in the image, and its edges."""
    first = rng.choice((0, 1, LIMBS - 1, LIMBS, rng.randrange(1 << 30), (1 << 30) - 16))
    end = min(first + rng.choice((0, 1, 2, LIMBS, rng.randrange(1 << 20))), 1 << 30)
    around = [edge + offset for edge in (first, end) for offset in range(-3, 3)]
    addresses = {0, LIMBS - 1, LIMBS, (1 << 30) - 1, *around}
    addresses |= {rng.randrange(1 << 30) for _ in range(8)}
    valid = sorted(address for address in addresses if 0 <= address < 1 << 30)
    chosen = sorted(rng.sample(valid, rng.randrange(len(valid) + 1)))
    return [(at, rng.randrange(1, 1 << 24), rng.getrandbits(32)) for at in chosen], first, end


def encoded(touched: list[tuple[int, int, int]]) -> bytes:
    return b"".join(struct.pack("=3I", 4 * at, clock, value) for at, clock, value in touched)


def test_honest_rows_pass_and_are_those_of_c() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(15):
        touched, first, end = random_claim(rng)
        claim = honest(touched, first, end)
        assert claim.violation() is None
        facts = FactCounts()
        packed = memory_rows(encoded(touched), first, end, facts)
        rows = [list(row) for row in struct.iter_unpack("=9I", packed)]
        assert rows == honest_rows(touched, first, end)
        asked = said(TABLE, claim.rows, claim.publics)
        for kind in ("range", "aligned"):
            bus = [b.name for b in BUSES].index(kind)
            counted = {
                place: times
                for place, times in enumerate(struct.unpack("=65536I", facts.column(kind)))
                if times
            }
            assert counted == {
                key[1]: -times % MODULUS
                for key, times in asked.items()
                if key[0] == bus and times % MODULUS
            }
        assert not any(facts.column("pair") + facts.column("conjunction"))


MARK = row_of(FIRST, is_image=1)


def used(*rows: MemoryRow) -> list[MemoryRow]:
    return padded(compared(rows, END))


def marked(*above: MemoryRow) -> list[MemoryRow]:
    """Rows above the image."""
    return [MARK, *(changed(row, is_above=1) for row in above)]


def again(address: int) -> list[MemoryRow]:
    """Two rows of one address."""
    return [row_of(address, 1, 7), row_of(address, 2, 7)]


def believed(rows: list[MemoryRow]) -> list[Said]:
    """What an environment says that takes each row in use for a word of its own."""
    environment = []
    for row in rows:
        address, value = (row[LOW] + row[HIGH] * LIMBS) % MODULUS, row[7] + row[8] * LIMBS
        if row[USED] and not row[IMAGE]:
            environment += [opened(address), closed(address, row[CLOCK], value)] * row[USED]
    return environment


def attack(rows: list[MemoryRow], environment: list[Said] | None = None) -> Claim:
    return Claim(rows, FIRST, END, believed(rows) if environment is None else environment)


def two_images() -> Claim:
    """The row of an empty image 2 - 1 times: one value is made up, another one swallowed."""
    rows = [row_of(FIRST, 5, 7, is_image=2), row_of(FIRST, 9, 8, is_image=-1, is_above=2)]
    made_up, swallowed = closed(FIRST, 5, 7)[1], closed(FIRST, 9, 8)[1]
    environment = [opened(FIRST), (-1, made_up), (2, swallowed)]
    return Claim(padded(rows), FIRST, FIRST, environment)


def taken_away() -> Claim:
    """A row that is not in use: it takes what is there at first, and gives the end."""
    lone = changed(PADDING, is_image=1, is_above=0, low=FIRST, final_clock=1, final_low=7)
    (_, start), (_, end) = opened(FIRST), closed(FIRST, 1, 7)
    rows = [row_of(3, 1, 7), lone, PADDING, PADDING]
    return attack(rows, [opened(3), closed(3, 1, 7), (1, start), (-1, end)])


def gap() -> Claim:
    one, other = again(0x9000)
    return attack(padded([*marked(one), PADDING, changed(other, is_above=1)]))


def other_spelling() -> Claim:
    """p = 32512 * 2^16 + 1: the second row's limbs are the first's address again, and greater."""
    above = [row_of(0x9000, 1, 7), row_of(0x9000, 2, 7, low=0x9001, high=32512)]
    return attack(padded(marked(*above)))


def around_the_field() -> Claim:
    """An address that is there again after the low limb went through all of the field."""
    steps = [row_of(0, 1, 1, low=5 + step * LIMBS) for step in range(32512)]
    below = [row_of(4, 1, 7), *steps, row_of(4, 2, 7)]
    return attack(padded([*below, MARK]))


def without_state(*environment: Said) -> Claim:
    return attack(used(*marked(row_of(0x9000, 1, 7))), list(environment))


ATTACKS: dict[str, Callable[[], Claim]] = {
    "is_used is boolean": lambda: attack(used(*marked(row_of(0x9000, 1, 7, is_used=2)))),
    "is_image is boolean": two_images,
    "borrow is boolean": lambda: attack(
        padded(marked(row_of(0x9000, 1, 7, borrow=-32512), row_of(0x9000, 2, 7)))
    ),
    "no row is in use after one that is not": gap,
    "the image's row is in use": taken_away,
    "no image before the first row": lambda: attack(used(row_of(FIRST + 1, 1, 7, is_above=1))),
    "is_above counts image rows": lambda: attack(used(row_of(FIRST + 1, 1, 7))),
    "one row is the image's": lambda: attack([row_of(FIRST + 1, 1, 7), [0] * 9]),
    "the image's first address, low limb": lambda: attack(
        padded([changed(MARK, low=1), row_of(FIRST + 1, 1, 7, is_above=1)])
    ),
    "the image's first address, high limb": lambda: attack(
        used(row_of(FIRST + 1, 1, 7), changed(MARK, high=1), row_of(0x20000, 2, 7, is_above=1))
    ),
    "the low limb of an address": around_the_field,
    "the high limb of an address": other_spelling,
    "addresses grow, low limb": lambda: attack(padded(marked(*again(0x9000)))),
    "addresses grow, high limb": lambda: attack(used(*marked(*again(0x9000)))),
    "the first state": lambda: without_state(closed(0x9000, 1, 7)),
    "the last state": lambda: without_state(opened(0x9000)),
}
"""For each rule, a trace that breaks no other and opens what must not be opened."""
FOR_LIFTED_TABLES = {"the last row is not in use"}
"""Without it the first row would be compared with the last one, which no trace passes; but a
table may be one of several periods, and then no row is the next of the last (docs/proofs.md)."""
RULES = {
    "the low limb of an address": "range",
    "the high limb of an address": "aligned",
    "addresses grow, low limb": "range",
    "addresses grow, high limb": "range",
    "the first state": "memory",
    "the last state": "memory",
}
"""Names of buses where the rule is what is asked of one."""


def without(name: str) -> Table:
    labels = TABLE.labels
    if name in labels.constraints:
        return without_constraint(TABLE, labels.constraints.index(name))
    return without_interaction(TABLE, labels.interactions.index(name))


def test_each_rule_has_an_attack() -> None:
    labels = TABLE.labels
    assert {*labels.constraints, *labels.interactions} == ATTACKS.keys() | FOR_LIFTED_TABLES


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "the low limb of an address" else ())
        for name in ATTACKS
    ],
)
def test_no_rule_is_idle(name: str) -> None:
    claim = ATTACKS[name]()
    assert claim.violation() == RULES.get(name, name)
    assert replace(claim, table=without(name)).violation() is None


def test_the_last_row_is_not_in_use() -> None:
    rows = marked(row_of(0x9000, 1, 7))
    assert attack(rows).violation() == "the last row is not in use"


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        (used(*marked(row_of(0x9001), row_of(0x9000))), "range"),
        (used(row_of(5), row_of(4), MARK), "range"),
        (used(*marked(row_of(END - 1))), "range"),
        (used(*marked(row_of(FIRST))), "range"),
        (used(row_of(FIRST), MARK), "range"),
        (used(row_of(FIRST + 1), MARK), "range"),
        (used(MARK, changed(MARK, is_above=1)), "is_above counts image rows"),
        (used(*marked(row_of((1 << 30) - 1), row_of((1 << 24) - 2))), "range"),
        (used(*marked(row_of(1 << 30))), "aligned"),
        (used(*marked(row_of(MODULUS - 1))), "aligned"),
        (used(*marked(row_of(0x9000, low=-1, high=1))), "range"),
    ],
    ids=[
        "unsorted", "unsorted below", "last of the image", "first of the image",
        "first before its row", "image before its row", "two images", "around p", "too great",
        "minus one", "a negative limb",
    ],
)  # fmt: skip
def test_forged_addresses(rows: list[MemoryRow], rule: str) -> None:
    assert attack(rows).violation() == rule


@pytest.mark.parametrize(
    "environment",
    [
        [opened(0x9000, 1), closed(0x9000, 1, 7)],
        [opened(0x9000), closed(0x9000, 1, 8)],
        [opened(0x9000), closed(0x9000, 2, 7)],
        [opened(0x9001), closed(0x9001, 1, 7)],
        [opened(0x9000, 0, 1), closed(0x9000, 1, 7, 1)],
        [*[opened(0x9000), closed(0x9000, 1, 7)] * 2],
        [],
    ],
    ids=["not zero at first", "value", "clock", "address", "space", "twice", "never"],
)
def test_what_the_environment_gets_is_what_is_there(environment: list[Said]) -> None:
    assert attack(used(*marked(row_of(0x9000, 1, 7))), environment).violation() == "memory"


def test_every_cell_matters() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    claim = honest(SOME, FIRST, END)
    count = len(honest_rows(SOME, FIRST, END))
    mark = next(row for row, cells in enumerate(claim.rows) if cells[IMAGE])
    # The image's row closes nothing; the last row in use is compared with none.
    free = {(mark, column) for column in (CLOCK, 7, 8)} | {(count - 1, BORROW)}
    free |= {
        (row, column)
        for row in range(count, len(claim.rows))
        for column in (BORROW, LOW, HIGH, CLOCK, 7, 8)
    }
    for delta in (1, random.Random(seed).randrange(2, MODULUS)):
        accepted = {
            (row, column)
            for row, column, rows in changes(claim.rows, delta)
            if replace(claim, rows=rows).violation() is None
        }
        if delta == 1:
            assert accepted == free
        assert accepted <= free


def test_edges_are_those_of_the_image() -> None:
    claim = honest(SOME, FIRST, END)
    for first, end in ((FIRST + 1, END), (FIRST, END + 1), (FIRST + LIMBS, END + LIMBS)):
        assert replace(claim, first=first, end=end).violation() is not None


def words_image(*words: int, base: int = 0x20000) -> Program:
    image = struct.pack(f"<{len(words)}I", *words)
    return from_words([HALT], image=image, image_base=base)


@pytest.mark.parametrize("words", [(), (7,), (0, 1, 0), (1, 2, 3, 0x80000001, 5)])
def test_image(words: tuple[int, ...]) -> None:
    program = words_image(*words, 0, 0)
    held = words[: next((n for n in range(len(words), 0, -1) if words[n - 1]), 0)]
    assert image_of(program) == (0x8000, held)
    table = image_table(program).build(BUSES)
    touched = [(0x7FFF, 1, 2)] + [(0x8000 + at, 5 + at, 1 << 17) for at in range(0, len(held), 2)]
    touched.append((0x8000 + len(held), 9, 9))
    image = program.image[: 4 * len(held)]
    height = 1 << max(len(held) - 1, 0).bit_length()
    packed = image_rows(encoded(touched), 0x8000, image, height)
    rows = [list(row) for row in struct.iter_unpack("=3I", packed)]
    final = {0x8000 + at: (0, word) for at, word in enumerate(held)}
    final |= {at: (clock, value) for at, clock, value in touched if at in final}
    environment = [opened(0x8000 + at, word) for at, word in enumerate(held)]
    environment += [closed(at, *state) for at, state in final.items()]
    assert violation(table, rows, [], environment) is None
    for row, _, changed_rows in changes(rows, 1):
        accepted = violation(table, changed_rows, [], environment) is None
        assert accepted == (row >= len(held))
    for number in range(len(table.interactions) if held else 0):
        assert violation(without_interaction(table, number), rows, [], environment) == "memory"


def test_zeros_at_the_end_of_the_image_are_no_part_of_it() -> None:
    assert (
        image_edges(words_image(1, 0, 0)) == image_edges(words_image(1)) == (0x8000, 0, 0x8001, 0)
    )
    assert words_image(1, 0, 0).root == words_image(1).root
    assert image_edges(words_image()) == (0x8000, 0, 0x8000, 0)
    assert image_edges(words_image(1 << 8, base=0xFFFFFFC0)) == (0xFFF0, 0x3FFF, 0xFFF1, 0x3FFF)


def test_registers() -> None:
    table = registers_table().build(BUSES)
    rows = [[0, 0, 0], *([number, number, 3] for number in range(1, 32))]
    environment = [opened(number, 0, 1) for number in range(1, 32)]
    environment += [closed(number, number, number + 3 * LIMBS, 1) for number in range(1, 32)]
    assert violation(table, rows, [], environment) is None
    zero = [opened(0, 0, 1), closed(0, 1, 5, 1)]
    assert violation(table, rows, [], environment + zero) == "memory"
    for row, _, changed_rows in changes(rows, 1):
        accepted = violation(table, changed_rows, [], environment) is None
        assert accepted == (row == 0)
    for number in range(2):
        assert violation(without_interaction(table, number), rows, [], environment) == "memory"
