"""What an attacker may try with a row of a chip, and whether any row lets him.

Given is what comes from elsewhere: which operation it is and what the program says of it, the
state, and what registers and memory hold since when. An attack is won by a row that satisfies all
rules and says something else than the machine does, or by any row at all where it does nothing.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from typing import Any, Final

from cython_core.air.table import MODULUS
from cython_core.vm.operations import LOADS, MASK, STORES, Op
from cython_core.vm.semantics import ACCESS_BYTES
from cython_core.zkvm.buses import MEMORY, OUT
from cython_core.zkvm.row_chip import RowChip
from tests.unit.cython_core.row_rules import Effect, Polynomial, Rules, combined, value_of
from tests.unit.cython_core.row_solver import Outcome, Search
from tests.unit.cython_core.zkvm_cases import TABLES
from tests.unit.cython_core.zkvm_steps import Scene, Step, step_of, words_of_op

FREE: Final = {Op.IN: ("answer.low", "answer.high"), Op.SIG: ("answer",)}
"""What the machine is told: any word, any bit."""
CLOCKS: Final = ("t1", "t2", "tm", "td")
FEW: Final = 24
HALF: Final = (MODULUS + 1) // 2


@cache
def rules_of(name: str) -> Rules:
    return Rules(TABLES[name])


@cache
def places_of(name: str) -> Mapping[str, int]:
    """Numbers of a table's columns by their names."""
    return {column: number for number, column in enumerate(TABLES[name].labels.main)}


def selectors_of(chip: RowChip) -> list[int]:
    return [places_of(chip.name)[f"is_{op.name.lower()}"] for op in chip.ops]


def given_to(step: Step) -> set[int]:
    """The columns that are not the attacker's to choose."""
    chip, cells = step.chip, step.cells
    columns = set(selectors_of(chip))
    columns |= {places_of(chip.name)[name] for name in FREE.get(step.op, ())}
    for said in rules_of(chip.name).effects.values():
        if value_of(said.times, cells) != MODULUS - 1 or said.bus is OUT:
            continue
        # Of an access, address and space are what the row makes of the rest.
        for element in said.elements[2:] if said.bus is MEMORY else said.elements:
            if len(element) == 1:
                columns.update(*element)
    return columns


@dataclass(frozen=True)
class Attack:
    kind: str
    rules: Rules
    cells: Sequence[int]
    given: set[int]
    effect: Effect | None
    """What an honest row says; None where there is no honest row."""
    changed: Mapping[int, int] = field(default_factory=dict)
    demands: Sequence[Polynomial] = ()
    """What he wants to be zero."""

    def tried(self, **options: Any) -> Outcome:
        return Search(
            self.rules,
            self.cells,
            self.given,
            self.effect,
            changed=self.changed,
            demands=self.demands,
            **options,
        ).run()


def on_function(step: Step) -> Attack:
    """The same operands, but another result, next pc, address, or other accesses."""
    return Attack("function", rules_of(step.chip.name), step.cells, given_to(step), step.effect)


def on_lies(step: Step) -> Iterator[Attack]:
    """The same operands, and something said that is not so: wrong limbs, clocks, addresses and
    next pcs, ports left out, taken twice or the wrong way, and writes to x0."""
    attack, cells = on_function(step), step.cells
    for said in attack.rules.effects.values():
        times = value_of(said.times, cells)
        for other in {0, 1, 2, MODULUS - 1} - {times}:
            yield replace(attack, demands=[equals(said.times, other)])
        if times != 1:
            continue
        values = [value_of(element, cells) for element in said.elements]
        for place, value in enumerate(values):
            for other in {value + 1, value - 1, value ^ 1 << 15, 4 * value, 0, 0x7F00} - {value}:
                yield replace(attack, demands=[equals(said.elements[place], other)])
        if said.bus is MEMORY:
            word = values[3] + (values[4] << 16)
            for other in {word + 1, word - 1, word + 0x10000, -word, ~word, 0, 1, MASK}:
                limbs = other & 0xFFFF, other >> 16 & 0xFFFF
                if limbs != (values[3], values[4]):
                    pairs = zip(said.elements[3:], limbs, strict=True)
                    yield replace(attack, demands=[equals(*pair) for pair in pairs])


def equals(polynomial: Polynomial, value: int) -> Polynomial:
    """Zero where the polynomial has the value."""
    return combined(polynomial, {(): value % MODULUS}, -1)


def on_padding(chip: RowChip) -> Attack:
    """A row without a step that says something."""
    rules = rules_of(chip.name)
    zeros = [0] * rules.table.main_width
    return Attack("padding", rules, zeros, set(selectors_of(chip)), {})


def on_clocks(step: Step) -> Iterator[Attack]:
    """An access before that is not in the past."""
    given, places, now = given_to(step), places_of(step.chip.name), step.scene.now
    for name in CLOCKS:
        if name in places and places[name] in given:
            for later in (0, 1, 3 << 16, 5 << 24, 1 << 30):
                changed = {places[name]: now + later}
                yield Attack(name, rules_of(step.chip.name), step.cells, given, None, changed)


def on_traps(step: Step) -> Iterator[Attack]:
    """An address that the operation does not take."""
    given, places, op = given_to(step), places_of(step.chip.name), step.op
    cells = step.cells
    size = 4 if op is Op.JALR else ACCESS_BYTES.get(op, 1) if op in LOADS | STORES else 1
    if size == 1 or places["v1.low"] not in given:
        return
    base, offset = cells[places["v1.low"]], cells[places["imm.low"]]
    for away in range(2 if op is Op.JALR else 1, size):
        if away % size:
            changed = {places["v1.low"]: (base & ~3) + (away - offset) % 4}
            yield Attack("trap", rules_of(step.chip.name), cells, given, None, changed)


def on_answers(step: Step) -> Iterator[Attack]:
    """An answer that is no word, or no bit."""
    places, given = places_of(step.chip.name), given_to(step)
    for name in FREE.get(step.op, ()):
        for value in (2 if step.op is Op.SIG else 1 << 16, MODULUS - 1):
            changed = {places[name]: value}
            yield Attack("answer", rules_of(step.chip.name), step.cells, given, None, changed)


def on_selectors(step: Step) -> Iterator[Attack]:
    """Several operations at once, or others than whole ones."""
    chip, cells = step.chip, step.cells
    selectors = selectors_of(chip)
    given = given_to(step)
    for values in product((0, 1, MODULUS - 1, 2, HALF), repeat=min(len(selectors), 3)):
        odd = [value for value in values if value > 1]
        if len(odd) > 1 or (not odd and sum(values) < 2):
            continue
        for turn in range(len(selectors)):
            padded = [*values, *([0] * (len(selectors) - len(values)))]
            turned = padded[turn:] + padded[:turn]
            changed = dict(zip(selectors, turned, strict=True))
            yield Attack("selectors", rules_of(chip.name), cells, given, {}, changed)


def attacks(chip: RowChip, steps: Sequence[Step], plain: Sequence[Step]) -> Iterator[Attack]:
    """Everything above, a few of each kind first; `plain` are steps for those on selectors."""
    for start, end in ((0, FEW), (FEW, len(steps))):
        yield from map(on_function, steps[start:end])
        if start == 0:
            yield on_padding(chip)
        for step in steps[start:end]:
            yield from on_clocks(step)
            yield from on_traps(step)
            yield from on_answers(step)
        for step in plain if start == 0 else ():
            yield from on_selectors(step)


def plain_steps(chip: RowChip, rng: random.Random) -> list[Step]:
    """Steps on which several operations agree: on zeros, of zero and one, of x0 only."""
    steps = [
        step
        for values in ((0, 0, 0), (0, 1, 0))
        for op in chip.ops
        for word in words_of_op(op, rng)
        if (step := step_of(Scene(word, values))).chip is chip
    ]
    alone = [step for step in steps if not step.row[0] >> 8]
    return [steps[0], steps[len(steps) // 2], *alone[:4]]
