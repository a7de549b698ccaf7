"""No rule of the chips "product" and "sum" is idle, with exceptions by name, or meets p."""

import random
import struct
from collections import Counter
from math import prod
from typing import Final

import pytest

from cython_core.air.check import Violation, check
from cython_core.air.table import MODULUS
from cython_core.field import Matrix
from cython_core.vm.operations import P256, Op
from cython_core.vm.program import Program
from cython_core.zkvm.buses import ALIGNED, BUSES, MEMORY, PAIR, PROGRAM, RANGE, STATE
from cython_core.zkvm.fill_code import filled
from cython_core.zkvm.program_table import fields_of
from cython_core.zkvm.row_chips import ROW_CHIPS
from cython_core.zkvm.run_trace import RunTables, run_tables
from cython_core.zkvm.statement import RunStatement, run_publics
from cython_core.zkvm.system import run_system
from tests.unit.cython_core.row_rules import Effect, Polynomial, combined, multiplied
from tests.unit.cython_core.vm_programs import (
    FIELD,
    HALT,
    IMAGE_BASE,
    LEFT,
    RIGHT,
    immediate,
    program_of,
    set_register,
    show,
)
from tests.unit.cython_core.zkvm_cases import TABLES, cells_of, chip_of, chip_of_row, said, steps
from tests.unit.cython_core.zkvm_forgery import places_of, rules_of
from tests.unit.cython_core.zkvm_number_lies import (
    ACCUMULATOR,
    FUNCTIONS,
    Lie,
    limbs_of,
    port_lies,
    product_lies,
    row_of,
    sum_lies,
)

ALONE: Final = "another selector must be set beside one that is no bit: no step is left"
AT_ODDS: Final = "operations at once whose results agree on zeros only, or that no program has"
NO_MULTIPLICITY: Final = "it says nothing by itself, and no row without a step is asked for it"
COMPARED: Final = "where it is needed, it is zero; else the result is below p256 anyway"
MULTIPLE: Final = "however often p256 is taken: the carries keep the number small enough"
LAST: Final = "the last equation leaves it no more than 18 bits and a sign: all stays below p"
IDLE: Final = {
    "product": {
        "is_mulp is boolean": ALONE,
        "is_sqrp is boolean": ALONE,
        "one operation at most": AT_ODDS,
        "dup only in a step": NO_MULTIPLICITY,
        "bit.all.1 is boolean": COMPARED,
        "receive range 52": LAST,
    },
    "sum": {
        "is_addp is boolean": AT_ODDS,
        "is_subp is boolean": AT_ODDS,
        "is_copy is boolean": AT_ODDS,
        "one operation at most": AT_ODDS,
        "dup only in a step": NO_MULTIPLICITY,
        "bit.0 is boolean": MULTIPLE,
        "bit.1 is boolean": MULTIPLE,
        "bit.48 is boolean": COMPARED,
    },
}
"""Rules that could be left out, by the chip."""

by_op = pytest.mark.parametrize("op", FUNCTIONS, ids=lambda op: op.name)


def seeded() -> random.Random:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    return random.Random(seed)


# Rules


def lies_of(name: str, rng: random.Random) -> list[Lie]:
    if name == "product":
        return [*product_lies(rng), *port_lies(Op.MULP, rng)]
    return [*sum_lies(rng), *port_lies(Op.COPY, rng)]


def rules_broken(name: str, lie: Lie) -> set[str]:
    """Labels; a fact's is followed by the tuple."""
    return {text.split(" (")[0] for text in said(TABLES[name], lie.cells).broken}


@pytest.mark.parametrize("name", ["product", "sum"])
def test_each_rule_alone_keeps_a_lie_out(name: str) -> None:
    """A row that breaks one rule would be accepted without it."""
    table = TABLES[name]
    needed = set()
    for lie in lies_of(name, seeded()):
        broken = rules_broken(name, lie)
        assert len(broken) == 1, (lie.what, broken)
        assert said(table, lie.cells).tuples != said(table, lie.honest).tuples, lie.what
        needed |= broken
    labels = table.labels
    rules = {*labels.constraints, *(labels.interactions[at] for at in rules_of(name).facts)}
    assert set(IDLE[name]) <= rules
    assert rules - needed == set(IDLE[name])


# What is equal in the field is equal as integers


class Reach:
    """Least and greatest values of the cells of a row of one operation."""

    def __init__(self, name: str, op: Op) -> None:
        places = places_of(name)
        selectors = {
            places[label]: int(label == f"is_{op.name.lower()}")
            for label in places
            if label.startswith("is_")
        }
        rules = rules_of(name).of(selectors)
        names = TABLES[name].labels.main
        self.constraints = dict(
            zip(TABLES[name].labels.constraints, rules.constraints, strict=True)
        )
        self.known = {
            column: (0, 0xFFFF)
            for column, label in enumerate(names)
            if label.startswith(("a[", "c[")) and label.endswith((".low", ".high"))
        }
        """What other rows sent; all else must be shown by this row."""
        self.made: dict[int, Polynomial] = {}
        for rule in rules.constraints:
            if len(rule) == 2 and any(len(m) == 2 and m[0] == m[1] for m in rule):
                self.known[next(iter(rule))[0]] = (0, 1)
        for fact in rules.facts.values():
            if fact.bus is RANGE and list(fact.elements[0].values()) == [1]:
                self.known[next(iter(fact.elements[0]))[0]] = (0, 0xFFFF)
            elif fact.bus is ALIGNED and list(fact.elements[0].values()) == [4]:
                self.known[next(iter(fact.elements[0]))[0]] = (0, 0xFFFF // 4)
            elif fact.bus is PAIR and len(fact.elements[0]) == 1:
                self._take_bytes(*fact.elements)

    def _take_bytes(self, low: Polynomial, high: Polynomial) -> None:
        """A limb is made up of two bytes."""
        ((column,),) = low
        (limb,) = (m[0] for m, coefficient in high.items() if coefficient * 256 % MODULUS == 1)
        byte = -1 - len(self.known)
        self.known[column] = self.known[byte] = (0, 0xFF)
        self.made[limb] = {(column,): 1, (byte,): 256}

    def width(self, label: str) -> int:
        """Between the least and the greatest value that an equation's sides can differ by."""
        total: Polynomial = {}
        for monomial, coefficient in self.constraints[label].items():
            term: Polynomial = {(): coefficient}
            for column in monomial:
                term = multiplied(term, self.made.get(column, {(column,): 1}))
            total = combined(total, term, 1)
        width = 0
        for monomial, coefficient in total.items():
            centred = coefficient - MODULUS * (coefficient > MODULUS // 2)
            width += abs(centred) * prod(self.known[column][1] for column in monomial)
        return width


def equations(name: str, op: Op) -> list[str]:
    """But for what is one of the field: that something has an inverse."""
    owners = ("all", op.name)
    return [
        label
        for label in TABLES[name].labels.constraints
        if label.split(" ")[0] in owners and "has a zero" not in label and label[:1] != "v"
    ]


@by_op
def test_no_equation_reaches_p(op: Op) -> None:
    name = chip_of(op, has_second=True).name
    reach = Reach(name, op)
    widths = {label: reach.width(label) for label in equations(name, op)}
    assert len(widths) >= 16
    assert max(widths.values()) < MODULUS, max(widths.items(), key=lambda item: item[1])
    print(op.name, "widest", max(widths.values()) / MODULUS)


def test_longer_carries_would_reach_p() -> None:
    reach = Reach("product", Op.MULP)
    reach.known[places_of("product")["carry.all.20"]] = (0, 0xFFFF)
    assert reach.width("all 37: limb 20 of a product") > MODULUS


# What rows say


def effect_of(op: Op, operand: int, accumulator: int, row: list[int]) -> Effect:
    """Written from docs/vm.md and buses.py, not from the chips."""
    results = {
        Op.MULP: operand * accumulator % P256,
        Op.SQRP: operand * operand % P256,
        Op.ADDP: (accumulator + operand) % P256,
        Op.SUBP: (accumulator - operand) % P256,
        Op.COPY: operand,
    }
    pc, now = row[2] // 4, row[13]
    effect: Counter[tuple[int, ...]] = Counter()
    program = (pc, int(op), 0, 0, LEFT, RIGHT, 0, 0, 1, 1, 0, 0, 0)
    effect[BUSES.index(PROGRAM), *program] -= 1
    effect[BUSES.index(STATE), now, pc] -= 1
    effect[BUSES.index(STATE), now + 1, pc + 1] += 1
    memory = BUSES.index(MEMORY)
    for register, base, clock in ((LEFT, IMAGE_BASE, row[4]), (RIGHT, ACCUMULATOR, row[6])):
        limbs = base & 0xFFFF, base >> 16
        effect[memory, 1, register, clock, *limbs] -= 1
        effect[memory, 1, register, now, *limbs] += 1
    for base, before, after in (
        (IMAGE_BASE, operand, operand),
        (ACCUMULATOR, accumulator, results[op]),
    ):
        old, new = limbs_of(before), limbs_of(after)
        for at in range(8):
            place = slice(2 * at, 2 * at + 2)
            effect[memory, 0, base // 4 + at, 0, *old[place]] -= 1
            effect[memory, 0, base // 4 + at, now, *new[place]] += 1
    return {key: times % MODULUS for key, times in effect.items() if times}


@by_op
def test_rows_say_what_the_machine_does(op: Op) -> None:
    rng = seeded()
    edges = (0, 1, P256 - 1, P256, P256 + 1, 2**256 - 1)
    pairs = [(a, c) for a in edges for c in edges]
    pairs += [(rng.getrandbits(256), rng.getrandbits(256)) for _ in range(4)]
    for operand, accumulator in rng.sample(pairs, 12):
        row = row_of(op, operand, accumulator)
        chip = chip_of_row(row)
        heard = said(TABLES[chip.name], cells_of(chip, row))
        assert heard.broken == ()
        assert dict(heard.tuples) == effect_of(op, operand, accumulator, row)


@by_op
def test_entries_are_those_of_the_program_table(op: Op) -> None:
    program = program_of(FUNCTIONS[op](LEFT, RIGHT), HALT)
    fields = fields_of(program.rom_base // 4, program.entries[0])
    assert fields[1:] == (int(op), 0, 0, LEFT, RIGHT, 0, 0, 1, 1, 0, 0, 0)


@by_op
def test_one_line_twice_is_received_twice(op: Op) -> None:
    """Which no memory gives, for what is sent back is of the row's own clock."""
    operand = 12345 << 200
    row = row_of(op, operand, operand)
    row[7] = row[5]
    chip = chip_of_row(row)
    heard = said(TABLES[chip.name], cells_of(chip, row))
    assert heard.broken == ()
    for at in range(8):
        place = slice(2 * at, 2 * at + 2)
        key = (BUSES.index(MEMORY), 0, IMAGE_BASE // 4 + at, 0, *limbs_of(operand)[place])
        assert heard.tuples[key] == MODULUS - 2


@pytest.mark.parametrize("name", ["product", "sum"])
def test_a_row_without_a_step_says_nothing(name: str) -> None:
    heard = said(TABLES[name], [0] * TABLES[name].main_width)
    assert heard.broken == ()
    assert not heard.tuples


@by_op
def test_a_row_is_of_the_operation_that_the_program_has(op: Op) -> None:
    chip = chip_of(op, has_second=True)
    selectors = [places_of(chip.name)[f"is_{other.name.lower()}"] for other in chip.ops]
    cells = cells_of(chip, row_of(op, 3, 5))
    honest = said(TABLES[chip.name], cells)
    for values in ((1, 1, 0), (0, 1, 1), (2, MODULUS - 1, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)):
        changed = list(cells)
        for column, value in zip(selectors, values, strict=False):
            changed[column] = value
        heard = said(TABLES[chip.name], changed)
        assert changed == cells or heard.broken or heard.tuples != honest.tuples


# Runs


def a_run(rng: random.Random) -> Program:
    """All operations, on registers that point to a few lines."""
    edges = (0, 1, P256 - 1, P256, P256 + 1, 2**256 - 1, rng.getrandbits(256), rng.getrandbits(256))
    image = b"".join(number.to_bytes(32, "little") for number in edges)
    words = set_register(LEFT, IMAGE_BASE) + set_register(RIGHT, IMAGE_BASE + 128)
    for turn in range(20):
        words.append(FIELD[turn % 5](LEFT, RIGHT))
        if turn % 5 == 4 and turn < 15:
            words += [immediate("addi", LEFT, LEFT, 32), immediate("addi", RIGHT, RIGHT, 32)]
    return program_of(*words, *(show(place, LEFT) for place in range(8)), HALT, image=image)


def checked(program: Program, tables: RunTables) -> None:
    publics = run_publics(program, tables.statement)
    interactions = RunStatement(program).interactions(publics)
    check(run_system(program), tables.matrices, publics, interactions)


def test_runs_balance() -> None:
    program = a_run(seeded())
    checked(program, run_tables(program))


@by_op
@pytest.mark.parametrize("line", [33, 65], ids=["operand", "accumulator"])
def test_a_stale_read_does_not_balance(op: Op, line: int) -> None:
    """The row is right for what it says that it reads."""
    rng = seeded()
    program = a_run(rng)
    tables = run_tables(program)
    chip = chip_of(op, has_second=True)
    number = ROW_CHIPS.index(chip)
    rows = [row for row in steps(program) if chip_of_row(row) is chip]
    (at, *_) = [at for at, row in enumerate(rows) if row[0] & 0x7F == op]
    stale = list(rows[at])
    stale[line] ^= 1
    a, c = (int.from_bytes(struct.pack("<8I", *stale[first : first + 8]), "little")
            for first in (33, 65))  # fmt: skip
    fresh = row_of(op, a, c)
    stale[24:32] = fresh[24:32]
    rows[at] = stale
    table, _ = filled(chip, rows)
    assert said(TABLES[chip.name], table[at]).broken == ()
    height = tables.matrices[number].height
    table += [[0] * len(chip.slots)] * (height - len(table))
    columns = [list(column) for column in zip(*table, strict=True)]
    tables.matrices[number] = Matrix.from_columns(columns)
    with pytest.raises(Violation) as caught:
        checked(program, tables)
    assert caught.value.rule == "memory"
