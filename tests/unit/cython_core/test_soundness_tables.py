"""Lies about tables: what stands on buses, which rows count, how high a table is, single cells."""

import random
from dataclasses import replace
from typing import Any

import pytest

from cython_core.air.key import key_digest
from cython_core.air.table import MODULUS
from cython_core.stark.errors import Reason
from tests.support.proof_claims import Claim, claim_of
from tests.support.reference_air import Air, Key, Table, encode
from tests.support.reference_field import P, base, ext_bytes, u32, xadd, xsub
from tests.support.reference_prover import Prover
from tests.support.reference_systems import PARAMETERS, Case, mixed


@pytest.fixture(scope="module")
def honest() -> Claim:
    return claim_of(mixed())


TERMINALS = 40 + 4 + 64
"""Where the terminals of `mixed()` stand: behind heights and two roots; three tables have one."""


def test_terminals(honest: Claim) -> None:
    proof = honest.proof
    before, first, second, after = (
        proof[:TERMINALS],
        proof[TERMINALS : TERMINALS + 20],
        proof[TERMINALS + 20 : TERMINALS + 40],
        proof[TERMINALS + 40 :],
    )
    one, other = (
        tuple(int.from_bytes(t[i : i + 4], "little") for i in range(0, 20, 4))
        for t in (first, second)
    )
    tampered = ext_bytes(xadd(one, base(1)), xsub(other, base(1)))
    for changed, reason in (
        (before + second + after, None),
        (before + first + second + ext_bytes(base(0)) + after, None),
        (before + second + first + after, Reason.CONSTRAINTS),
        (before + tampered + after, Reason.CONSTRAINTS),
        (before + ext_bytes(xadd(one, base(1))) + second + after, Reason.UNBALANCED_BUSES),
    ):
        found = replace(honest, proof=changed).reason()
        assert found is not None
        assert reason is None or found is reason


def pair(
    buses: list[int], sent: tuple[int, tuple[int, ...]], received: tuple[int, tuple[int, ...]]
) -> Case:
    """A table that sends and one that receives, each the value 5 and constants."""
    tables = []
    for name, (bus, constants), sign in (("sends", sent, 1), ("receives", received, P - 1)):
        air = Air(Table(name, 1))
        air.interact(bus, sign, air.main(0), *(air.constant(c) for c in constants))
        tables.append(air.group((0,)))
    key = encode(Key(PARAMETERS, buses, 0, tables))
    return Case("pair", key, (), [[[5, 5]], [[5, 5]]], [[], []])


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (pair([1], (0, ()), (0, ())), None),
        (pair([1, 1], (0, ()), (1, ())), Reason.UNBALANCED_BUSES),
        (pair([1, 2], (0, ()), (1, (0,))), Reason.UNBALANCED_BUSES),
        (pair([2, 2], (0, (1,)), (1, (0,))), Reason.UNBALANCED_BUSES),
        (pair([2], (0, (1,)), (0, (1,))), None),
        (pair([2], (0, (1,)), (0, (2,))), Reason.UNBALANCED_BUSES),
    ],
    ids=["same", "other bus", "narrower", "bus and element", "same of two", "other element"],
)
def test_tuples_of_other_buses_and_widths_do_not_meet(case: Case, reason: Reason | None) -> None:
    assert claim_of(case).reason() is reason


@pytest.mark.parametrize(
    ("interactions", "height", "reason"),
    [
        (507, 22, Reason.TRUNCATED),
        (508, 22, Reason.TRUNCATED),
        (509, 22, Reason.TOO_MANY_INTERACTIONS),
        (509, 21, Reason.TRUNCATED),
    ],
)
def test_multiplicities_that_could_wrap(interactions: int, height: int, reason: Reason) -> None:
    assert (508 << 22) < MODULUS <= (509 << 22)
    air = Air(Table("busy", 1))
    for _ in range(interactions):
        air.interact(0, 1, air.main(0))
    key = encode(Key(PARAMETERS, [1], 0, [air.group(*((i,) for i in range(interactions)))]))
    proof = b"P2SP" + u32(1) + key_digest(key) + bytes([height])
    assert Claim(key, (), (), b"", proof).reason() is reason


def with_row(row: int, value: int, marked: int) -> Case:
    """`mixed()` with one row of its first table changed, and lookups counted accordingly."""
    case = mixed()
    values, marks, first, _ = (list(column) for column in case.mains[0])
    limit = len(case.mains[1][0])
    values[row], marks[row] = value, marked % P
    times = [0] * limit
    for looked_up, times_marked in zip(values, marks, strict=True):
        if looked_up < limit:
            times[looked_up] = (times[looked_up] + times_marked) % P
    square = [number * number % P for number in values]
    mains = [[values, marks, first, square], [times], *case.mains[2:]]
    return replace(case, mains=mains)


def test_padding_rows_may_hold_anything() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    randomness = random.Random(seed)
    assert [row for row in range(16) if not mixed().mains[0][1][row]] == [1, 4, 7, 10, 13]
    for row in (1, 7, 13):
        assert claim_of(with_row(row, randomness.randrange(P), 0)).reason() is None


@pytest.mark.parametrize("marked", [2, -1, 1 << 30])
@pytest.mark.parametrize("row", [1, 3])
def test_marks_are_zero_or_one(row: int, marked: int) -> None:
    assert claim_of(with_row(row, 5, marked)).reason() is Reason.CONSTRAINTS


def test_a_used_row_must_be_in_range() -> None:
    assert claim_of(with_row(3, 8, 1)).reason() is Reason.UNBALANCED_BUSES
    assert claim_of(with_row(3, 7, 1)).reason() is None


class Lying(Prover):
    """Says that one table is of another height than what it commits to."""

    def __init__(self, case: Case, table: int, log: int) -> None:
        super().__init__(case.key, case.publics)
        self.lie = (table, log)

    def _statement(self, *arguments: Any) -> None:
        table, log = self.lie
        honest_log = self.traces[table].log
        self.traces[table].log = log
        super()._statement(*arguments)
        self.traces[table].log = honest_log


@pytest.mark.parametrize("table", range(4))
@pytest.mark.parametrize("log", [0, 1, 3, 5])
def test_heights_that_are_not_those_of_the_commitment(table: int, log: int) -> None:
    case = mixed()
    if 1 << log == len(case.mains[table][0]):
        return
    assert claim_of(case, Lying(case, table, log)).reason() is not None


@pytest.mark.parametrize("height", [2, 4, 23, 255])
def test_preprocessed_tables_have_one_height(honest: Claim, height: int) -> None:
    proof = honest.proof[:41] + bytes([height]) + honest.proof[42:]
    assert replace(honest, proof=proof).reason() is Reason.BAD_HEIGHT


@pytest.mark.parametrize("seed", range(8))
def test_one_changed_cell_is_found(seed: int) -> None:
    randomness = random.Random(seed)
    case = mixed()
    mains = [[list(column) for column in columns] for columns in case.mains]
    table = randomness.choice([0, 1, 2, 3])
    column = randomness.randrange(len(mains[table]))
    row = randomness.randrange(len(mains[table][column]))
    old = mains[table][column][row]
    mains[table][column][row] = (old + 1 + randomness.randrange(P - 1)) % P
    reason = claim_of(replace(case, mains=mains)).reason()
    # In an unused row a value and its square may change together, but not one of them.
    assert reason in {Reason.CONSTRAINTS, Reason.UNBALANCED_BUSES}
