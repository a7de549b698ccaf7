"""No cell of a row of the machine and no rule of its chips is idle, with exceptions by name."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from cython_core.air.table import MODULUS
from cython_core.air.weaken import without_constraint, without_interaction
from cython_core.vm.operations import Op
from cython_core.zkvm.families import FAMILY_CHIPS
from cython_core.zkvm.fill import Fill
from cython_core.zkvm.row_chip import RowChip
from tests.unit.cython_core.row_rules import value_of
from tests.unit.cython_core.zkvm_cases import TABLES, said
from tests.unit.cython_core.zkvm_forgery import (
    Attack,
    attacks,
    on_function,
    places_of,
    plain_steps,
    rules_of,
)
from tests.unit.cython_core.zkvm_steps import (
    NARROW_OPS,
    Scene,
    Step,
    division_scenes,
    scenes,
    step_of,
)

NO_MULTIPLICITY: Final = "it says nothing by itself, and no row without a step is asked for it"
ALONE: Final = "another selector must be set beside one that is no bit: no step is left"
AT_ODDS: Final = "it takes several operations at once, which disagree on columns that they share"
NO_ENTRY: Final = "in such a row `writes` is zero, and no entry of IN writes nothing"
DISTANCE: Final = "a distance is the low limb's"
STORED: Final = "of the second register, the low limb is stored"
CHOSEN: Final = "a bit is all that is taken from the result"
LOW_WORD: Final = "MUL takes the low word of the product only"
VALUE: Final = "the result makes a canonical word of the high one, whatever its limbs"
REQUIRED: Final = "the bit is required to be one, or must be for what is required of the remainder"
REQUIRED_EQUALITIES: Final = (
    "DIV 15", "DIV 18", "DIV 26", "DIVU 9", "DIVU 12", "DIVU 18", "REM 15", "REM 18", "REM 26",
    "REMU 9", "REMU 12", "REMU 18",
)  # fmt: skip
ALIGNED_TOO: Final = "that it is a limb is said by the fact about its last bits as well"
SIGNED_ROW: Final = Scene(0x4062D3B3, (0x7FF07FF0, 3, 0))
"""SRA: with a bit that is none, both limbs of the flipped word can be limbs."""

DUP: Final = {"dup only in a step": NO_MULTIPLICITY}
IDLE: Final[dict[str, dict[str, str]]] = {
    "add": DUP
    | {"is_add is boolean": ALONE, "is_sub is boolean": ALONE, "one operation at most": AT_ODDS},
    "bitwise": DUP,
    "shift": DUP
    | {f"is_{name} is boolean": AT_ODDS for name in ("sll", "srl", "sra")}
    | {"v2 of x0: v2.high": DISTANCE, "v2.high is that of v1": DISTANCE},
    "less": DUP | {"is_slt is boolean": ALONE, "is_sltu is boolean": ALONE},
    "multiply": DUP
    | {
        "all 3: limb 2 of a product": LOW_WORD,
        "all 4: limb 3 of a product": LOW_WORD,
        "receive range 5": LOW_WORD,
        "receive aligned 3": LOW_WORD,
        "receive range 6": LOW_WORD,
    },
    "multiply-high": DUP | {"receive range 5": VALUE, "receive range 6": VALUE},
    "divide": DUP
    | {f"is_{name} is boolean": AT_ODDS for name in ("div", "divu", "rem", "remu")}
    | {"one operation at most": AT_ODDS}
    | {f"{name}: equal, or a limb differs": REQUIRED for name in REQUIRED_EQUALITIES},
    "branch": DUP
    | {
        f"{name}: the high limb": CHOSEN
        for name in ("BEQ 5", "BNE 5", "BLT 4", "BGE 4", "BLTU 4", "BGEU 4")
    }
    | {f"is_{op.name.lower()} is boolean": AT_ODDS for op in Op if Op.BEQ <= op <= Op.BGEU},
    "jump": {
        "is_jal is boolean": ALONE,
        "is_jalr is boolean": ALONE,
        "receive range 3": ALIGNED_TOO,
    },
    "store-word": DUP,
    "store-part": DUP
    | {
        "is_sb is boolean": ALONE,
        "is_sh is boolean": ALONE,
        "v2 of x0: v2.high": STORED,
        "v2.high is that of v1": STORED,
        "receive pair 2": STORED,
    },
    "input": {"is_in is boolean": NO_ENTRY},
}
"""Rules that could be left out, by the chip."""

UNDECIDED: Final = {
    "divide": {
        *(f"bit.{number} is boolean" for number in ("all.0", "all.1", 4, 5, 10, 11, 12, 14, 18)),
        *("DIV 29: the high limb", "DIV 30: the low limb of a difference"),
        *("DIVU 21: the high limb", "REM 2: the high limb", "REM 12: the high limb"),
        *("REM 3: the bytes of a limb", "REM 4: the bytes of a limb"),
        *("REM 6: the bytes of a limb", "REM 14: equal high limbs", "REM 29: the high limb"),
        *("REM 30: the low limb of a difference", "REMU 1: the bytes of a limb"),
        *("REMU 2: the bytes of a limb", "REMU 21: the high limb", "receive aligned 3"),
        *(f"receive range {number}" for number in (*range(5, 15), 23)),
        *(f"receive pair {number}" for number in range(2, 7)),
    }
}
"""Rules of which the search shows neither that they are needed nor that they are not: a row without
one has too many quotients to try. They stay."""

by_chip = pytest.mark.parametrize("chip", FAMILY_CHIPS, ids=lambda chip: chip.name)


def seeded() -> random.Random:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    return random.Random(seed)


# Cells


def is_inverse(fill: Fill) -> bool:
    return fill.operation == "inverse" or any(
        is_inverse(part) for part in fill.arguments if isinstance(part, Fill)
    )


def may_be_anything(step: Step, column: int) -> str | None:
    """Why a cell of an honest row may be another one."""
    slot = step.chip.slots[column]
    fill = slot.fills.get(step.op, slot.fills.get(None))
    if fill is None:
        return "a column of other operations"
    if slot.name in ("old.low", "old.high") and step.row[0] >> 8 & 0xFF in (
        0,
        step.row[0] >> 16 & 0xFF,
        step.row[0] >> 24,
    ):
        return "the destination is x0 or a source: what it held is no port of its own"
    if slot.name == "answer" and step.op is not Op.SIG:
        return "an answer to nothing"
    if fill.operation in ("inverse", "choose") and is_inverse(fill) and not step.cells[column]:
        return "the inverse of a difference that is zero"
    return None


def changes(step: Step, rng: random.Random) -> Iterator[tuple[int, list[int]]]:
    for column, value in enumerate(step.cells):
        for other in {(value + 1) % MODULUS, 0, 1, rng.randrange(MODULUS)} - {value}:
            cells = list(step.cells)
            cells[column] = other
            yield column, cells


def check_changes(step: Step, tried: list[tuple[int, list[int]]]) -> None:
    table = TABLES[step.chip.name]
    for column, cells in tried:
        heard = said(table, cells)
        is_noticed = bool(heard.broken) or dict(heard.tuples) != step.effect
        name = table.labels.main[column]
        assert is_noticed or may_be_anything(step, column), (step, name, cells[column])


@pytest.mark.parametrize("op", NARROW_OPS, ids=lambda op: op.name)
def test_a_changed_cell_is_noticed(op: Op) -> None:
    rng = seeded()
    step = step_of(rng.choice(list(scenes(op, rng, 1))))
    tried = list(changes(step, rng))
    check_changes(step, rng.sample(tried, min(60, len(tried))))


@pytest.mark.slow
@pytest.mark.parametrize("op", NARROW_OPS, ids=lambda op: op.name)
def test_every_changed_cell_is_noticed(op: Op) -> None:
    rng = seeded()
    for scene in scenes(op, rng, 2):
        step = step_of(scene)
        check_changes(step, list(changes(step, rng)))


# Rules


class Weakened:
    """A chip, the rules that could be left out, and the attacks that then could succeed."""

    def __init__(self, chip: RowChip, rng: random.Random, rounds: int) -> None:
        self.chip = chip
        self.rules = rules_of(chip.name)
        labels = TABLES[chip.name].labels
        self.places = [(label, "constraint", n) for n, label in enumerate(labels.constraints)]
        self.places += [(labels.interactions[n], "fact", n) for n in self.rules.facts]
        undecided = UNDECIDED.get(chip.name, set())
        assert undecided <= {place[0] for place in self.places}
        self.places = [place for place in self.places if place[0] not in undecided]
        self.idle = IDLE.get(chip.name, {})
        self._plain = plain_steps(chip, rng)
        self._rng = rng
        self._rounds = rounds

    def steps(self, label: str) -> list[Step]:
        """Of the operation that the rule is about."""
        named = [op for op in self.chip.ops if label.startswith(f"{op.name} ")]
        steps = [
            step
            for _ in range(self._rounds)
            for op in named or self.chip.ops
            for scene in scenes(op, self._rng, 1)
            if (step := step_of(scene)).chip is self.chip
        ]
        self._rng.shuffle(steps)
        if self.chip.name == "divide":
            known = [
                step_of(scene) for op in named or self.chip.ops for scene in division_scenes(op)
            ]
            return known + steps
        return steps

    def succeeds(self, label: str, kind: str, number: int) -> bool:
        """Whether an attack does without one rule."""
        for attack in self._attacks(label):
            outcome = attack.tried(budget=400, **{f"without_{kind}": number})
            if outcome.others:
                self._check(attack, outcome.others[0], kind, number)
                return True
        return False

    def _attacks(self, label: str) -> Iterator[Attack]:
        if self.chip.name == "shift" and label == "bit.all.0 is boolean":
            yield from [signed_attack()]
        yield from attacks(self.chip, self.steps(label), self._plain)

    def _check(self, attack: Attack, cells: list[int], kind: str, number: int) -> None:
        """The row is accepted by the weakened table, and by the whole one it is not."""
        table = TABLES[self.chip.name]
        weaker = (without_constraint if kind == "constraint" else without_interaction)(
            table, number
        )
        assert said(table, cells).broken
        heard = said(weaker, cells)
        assert dict(heard.tuples) != attack.effect
        if attack.kind != "selectors":
            assert heard.broken == ()
            return
        # Such a row takes facts twice, or gives them back. They are facts all the same.
        for at, constraint in enumerate(self.rules.constraints):
            assert (kind, at) == ("constraint", number) or value_of(constraint, cells) == 0


def signed_attack() -> Attack:
    attack = on_function(step_of(SIGNED_ROW))
    places = places_of("shift")
    return replace(attack, changed={places["bit.all.0"]: 1030988033, places["limb.all.2"]: 31679})


def check_rules(weakened: Weakened, places: list[tuple[str, str, int]]) -> None:
    for label, kind, number in places:
        is_idle = label in weakened.idle
        assert weakened.succeeds(label, kind, number) is not is_idle, label


@by_chip
def test_rules_are_needed(chip: RowChip) -> None:
    rng = seeded()
    weakened = Weakened(chip, rng, 8)
    places = [place for place in weakened.places if place[0] not in weakened.idle]
    few = 2 if chip.name == "divide" else 8
    check_rules(weakened, rng.sample(places, min(few, len(places))))


@pytest.mark.slow
@by_chip
def test_every_rule_is_needed(chip: RowChip) -> None:
    weakened = Weakened(chip, seeded(), 8)
    check_rules(weakened, [place for place in weakened.places if place[0] not in weakened.idle])


@pytest.mark.slow
@by_chip
def test_idle_rules_are_idle(chip: RowChip) -> None:
    weakened = Weakened(chip, seeded(), 1)
    labels = [label for label, _, _ in weakened.places]
    assert set(weakened.idle) <= set(labels)
    check_rules(weakened, [place for place in weakened.places if place[0] in weakened.idle])
