"""The chips of narrow rows: honest steps satisfy them, and nothing else does."""

import random
import struct
from array import array
from collections.abc import Iterable

import pytest

from cython_core.vm.operations import Op
from cython_core.zkvm import _fill
from cython_core.zkvm.families import FAMILY_CHIPS
from cython_core.zkvm.fill_code import TALLIED, filled
from cython_core.zkvm.row_chip import RowChip
from tests.unit.cython_core.zkvm_cases import TABLES, said
from tests.unit.cython_core.zkvm_forgery import (
    Attack,
    on_answers,
    on_clocks,
    on_function,
    on_lies,
    on_padding,
    on_selectors,
    on_traps,
    places_of,
    plain_steps,
    rules_of,
)
from tests.unit.cython_core.zkvm_steps import (
    NARROW_OPS,
    Scene,
    Step,
    edge_scenes,
    scenes,
    step_of,
)

by_op = pytest.mark.parametrize("op", NARROW_OPS, ids=lambda op: op.name)
by_chip = pytest.mark.parametrize("chip", FAMILY_CHIPS, ids=lambda chip: chip.name)


def seeded() -> random.Random:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    return random.Random(seed)


def steps_of(op: Op, rng: random.Random, rounds: int) -> list[Step]:
    """Steps in every form of an operation, with operands at random."""
    return [step_of(scene) for scene in scenes(op, rng, rounds)]


def check_honest(step: Step) -> None:
    heard = said(TABLES[step.chip.name], step.cells)
    assert heard.broken == (), step
    assert dict(heard.tuples) == step.effect, step


@by_op
def test_honest_steps_satisfy_their_chip(op: Op) -> None:
    rng = seeded()
    for step in steps_of(op, rng, 2):
        check_honest(step)
    for scene in rng.sample(edges := list(edge_scenes(op, rng)), min(25, len(edges))):
        check_honest(step_of(scene))


@pytest.mark.slow
@by_op
def test_all_edges_satisfy_their_chip(op: Op) -> None:
    rng = seeded()
    for scene in edge_scenes(op, rng):
        check_honest(step_of(scene))
    for step in steps_of(op, rng, 60):
        check_honest(step)


def test_every_form_of_every_operation_is_reached() -> None:
    rng = seeded()
    reached = {
        (step.op, bool(step.row[0] >> 24 or step.row[0] & 0x80))
        for op in NARROW_OPS
        for step in steps_of(op, rng, 1)
    }
    # The decoder gives these no second register; their chips would not mind.
    single = {Op.JAL, Op.JALR, Op.IN, Op.SIG, Op.OUT, Op.HALT, Op.LB, Op.LH, Op.LW, Op.LBU, Op.LHU}
    accepted = {form for chip in FAMILY_CHIPS for form in chip.accepts}
    assert reached == {(op, second) for op, second in accepted if not second or op not in single}
    assert {op for op, _ in accepted} == set(NARROW_OPS)


@by_chip
def test_compiled_filling_is_the_formulas(chip: RowChip) -> None:
    rng = seeded()
    rows = [s.row for op in chip.ops for s in steps_of(op, rng, 2) if s.chip is chip]
    tally = _fill.Tally()
    matrix = _fill.fill(chip.name, array("I", sum(rows, ())).tobytes(), len(rows) + 3, tally)
    table, counts = filled(chip, rows)
    assert [list(matrix.row(number)) for number in range(len(rows))] == table
    for number in range(len(rows), len(rows) + 3):
        assert not any(matrix.row(number))
    for bus, kind in TALLIED.items():
        expected = [0] * (1 << 16)
        for key, times in counts.get(bus.name, {}).items():
            expected[key[0] + (key[1] << 8 if kind in ("pair", "conjunction") else 0)] += times
        assert list(struct.unpack(f"={1 << 16}I", tally.column(kind))) == expected


@by_chip
def test_counted_facts_are_those_that_rows_take(chip: RowChip) -> None:
    """What the filling counts is what the constraints receive."""
    rng = seeded()
    for op in chip.ops:
        for step in steps_of(op, rng, 1):
            if step.chip is not chip:
                continue
            _, counts = filled(chip, [step.row])
            taken: dict[str, dict[tuple[int, ...], int]] = {}
            for fact in rules_of(chip.name).taken(step.cells):
                heard = taken.setdefault(fact[0], {})
                heard[fact[1]] = heard.get(fact[1], 0) + 1
            assert {k: dict(v) for k, v in counts.items()} == taken


# Attacks


def none_succeeds(attacks: Iterable[Attack], *, is_honest_possible: bool) -> int:
    tried = 0
    for attack in attacks:
        outcome = attack.tried()
        assert outcome.others == [], (attack.kind, attack.changed)
        assert outcome.is_exhaustive
        assert outcome.is_honest_found is is_honest_possible
        tried += 1
    return tried


@by_op
def test_a_step_is_a_function(op: Op) -> None:
    """No cells at all, given the operands, say anything but what the machine does."""
    rng = seeded()
    steps = steps_of(op, rng, 1 if Op.DIV <= op <= Op.REMU else 3)
    edges = list(edge_scenes(op, rng))
    steps += map(step_of, rng.sample(edges, min(6, len(edges))))
    none_succeeds(map(on_function, steps), is_honest_possible=True)


@pytest.mark.slow
@by_op
def test_a_step_is_a_function_of_many_operands(op: Op) -> None:
    rng = seeded()
    steps = [*steps_of(op, rng, 30), *map(step_of, edge_scenes(op, rng))]
    none_succeeds(map(on_function, steps), is_honest_possible=True)


@by_op
def test_no_lie_is_accepted(op: Op) -> None:
    rng = seeded()
    step = rng.choice(steps_of(op, rng, 1))
    lies = list(on_lies(step))
    none_succeeds(rng.sample(lies, min(25, len(lies))), is_honest_possible=False)


@pytest.mark.slow
@by_op
def test_no_lie_of_many_is_accepted(op: Op) -> None:
    rng = seeded()
    for step in steps_of(op, rng, 1):
        none_succeeds(on_lies(step), is_honest_possible=False)


@by_op
def test_accesses_are_in_the_past_and_addresses_and_answers_are_some(op: Op) -> None:
    rng = seeded()
    steps = steps_of(op, rng, 1)
    attacks = [attack for step in steps for attack in (*on_clocks(step), *on_traps(step))]
    attacks = rng.sample(attacks, min(40, len(attacks)))
    attacks += [attack for step in steps for attack in on_answers(step)]
    none_succeeds(attacks, is_honest_possible=False)


@by_chip
def test_a_row_without_a_step_says_nothing(chip: RowChip) -> None:
    none_succeeds([on_padding(chip)], is_honest_possible=True)
    heard = said(TABLES[chip.name], [0] * TABLES[chip.name].main_width)
    assert heard.broken == ()
    assert not heard.tuples


@by_chip
def test_a_row_is_of_one_operation(chip: RowChip) -> None:
    attacks = [a for step in plain_steps(chip, seeded()) for a in on_selectors(step)]
    for attack in attacks:
        assert attack.tried().others == []


def test_products_do_not_wrap() -> None:
    """A limb and 2^16 times what is carried, both of 16 bits, could be the sum of products plus p:
    3 * 5 was 0x7F000010."""
    step = step_of(Scene(0x026283B3, (3, 5, 0)))
    assert step.op is Op.MUL
    places, cells = places_of("multiply"), list(step.cells)
    names = [name for name in places if name.startswith("carry")]
    assert [cells[places[name]] for name in names] == [0, 0, 0]
    first = places["limb.all.2"]
    assert cells[first] == 15
    cells[first] += 1
    cells[places[names[0]]] = 0x7F00
    cells[places["limb.all.3"]] = 0x7F00
    broken = said(TABLES["multiply"], cells).broken
    assert len(broken) == 1
    assert f"({4 * 0x7F00}, 0)" in broken[0]
