"""Falsified runs get no proof that a verifier takes.

The prover refuses them by itself; here its own checks are taken out, so that it makes whatever
proof a cheat can make of the tables, and both verifiers must refuse that.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from cython_core.air.table import MODULUS
from cython_core.stark import prover as prover_module
from cython_core.stark.checking import VerifierName, find_verifier
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.stark.proof import Proof
from cython_core.vm.program import Program
from cython_core.zkvm.proof import verify_run
from cython_core.zkvm.row_chips import ROW_CHIPS
from cython_core.zkvm.run_trace import RunTables, UnprovableRun, run_tables
from cython_core.zkvm.statement import NAME, RunStatement, run_proving_key, run_publics
from tests.unit.cython_core.vm_programs import random_guest
from tests.unit.cython_core.zkvm_cases import TABLES, said

LIES: Final = (
    ("clock", "a step at another time"),
    ("pc", "a skipped instruction"),
    ("rd", "another destination"),
    ("writes", "a write to x0, or none to a register"),
    ("v1.low", "a stale read of a register"),
    ("word.low", "a stale read of memory"),
    ("message[0].low", "a stale read of a wide step"),
    ("tm", "an access at another time"),
    ("result.0", "a wrong result"),
    ("out[0].low", "a wrong result of a wide step"),
    ("bit.0", "a wrong carry"),
    ("bit.all.0", "a wrong carry"),
    ("npc", "a wrong next pc"),
    ("answer", "a forged answer of the host"),
    ("answer.low", "another input than the one that is used"),
    ("link.low", "a wrong return address"),
)
QUICK: Final = frozenset({"result.0", "npc", "answer", "word.low", "v1.low"})


class NeverUnlike(tuple[int, ...]):
    """What any last coefficient of a quotient equals."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


@dataclass(frozen=True)
class Run:
    program: Program
    inputs: bytes
    answers: bytes

    def tables(self) -> RunTables:
        return run_tables(self.program, self.inputs, self.answers)


def runs() -> Iterator[Run]:
    """Random runs that can be proven."""
    for seed in range(400):
        guest = random_guest(random.Random(seed))
        run = Run(guest.program, guest.inputs, guest.answers)
        try:
            run.tables()
        except UnprovableRun:
            continue
        yield run


@pytest.fixture(scope="module")
def run_with() -> dict[str, Run]:
    """For each chip a run that has a step of it."""
    found: dict[str, Run] = {}
    for run in runs():
        for chip, matrix in zip(ROW_CHIPS, run.tables().matrices, strict=False):
            if any(any(matrix.row(row)) for row in range(min(matrix.height, 8))):
                found.setdefault(chip.name, run)
        if len(found) == len(ROW_CHIPS):
            break
    return found


@pytest.fixture
def reckless(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The prover without its own checks."""
    monkeypatch.setattr(prover_module, "ZERO", NeverUnlike((0,) * 5))
    monkeypatch.setattr(prover_module._Run, "_check_balance", lambda *_: None)

    def prove(run: Run, tables: RunTables) -> Proof:
        publics = run_publics(run.program, tables.statement)
        interactions = RunStatement(run.program).interactions(publics)
        key = run_proving_key(run.program)
        body = prover_module.prove(key, list(tables.matrices), publics, interactions)
        return Proof(NAME, b"", tuple(publics), body)

    return prove


def refusals(run: Run, proof: Proof) -> set[Reason]:
    """What the two verifiers say."""
    found = set()
    for name in VerifierName:
        with pytest.raises(InvalidProof) as refused:
            verify_run(run.program, proof, find_verifier(name))
        found.add(refused.value.reason)
    return found


def changed_row(tables: RunTables, number: int, column: int) -> int | None:
    """A step whose row says something else when the column is one more."""
    name, matrix = ROW_CHIPS[number].name, tables.matrices[number]
    for row in range(matrix.height):
        cells = list(matrix.row(row))
        if not any(cells):
            return None
        honest = said(TABLES[name], cells)
        cells[column] = (cells[column] + 1) % MODULUS
        changed = said(TABLES[name], cells)
        if changed.broken or changed.tuples != honest.tuples:
            return row
    return None


def lies() -> Iterator[Any]:
    for number, chip in enumerate(ROW_CHIPS):
        names = [slot.name for slot in chip.slots]
        for column, meaning in LIES:
            if column in names:
                marks = () if column in QUICK else (pytest.mark.slow,)
                yield pytest.param(number, column, marks=marks, id=f"{chip.name}: {meaning}")


def test_the_reckless_prover_proves_what_is_true(run_with: dict[str, Run], reckless: Any) -> None:
    run = run_with["branch"]
    tables = run.tables()
    assert verify_run(run.program, reckless(run, tables)) == tables.statement


@pytest.mark.parametrize(("number", "column"), list(lies()))
def test_a_falsified_step_is_refused(
    number: int, column: str, run_with: dict[str, Run], reckless: Any
) -> None:
    chip = ROW_CHIPS[number]
    run = run_with[chip.name]
    place = [slot.name for slot in chip.slots].index(column)
    tables = run.tables()
    row = changed_row(tables, number, place)
    if row is None:
        pytest.skip("nothing of this run's rows depends on it")
    matrix = tables.matrices[number]
    matrix.set(row, place, (matrix.get(row, place) + 1) % MODULUS)
    (reason,) = refusals(run, reckless(run, tables))
    assert reason in {Reason.CONSTRAINTS, Reason.UNBALANCED_BUSES}


def test_another_statement_is_refused(run_with: dict[str, Run], reckless: Any) -> None:
    run = run_with["host"]
    tables = run.tables()
    other = RunTables(tables.matrices, tables.outcome, bytes(31) + b"\x01")
    assert refusals(run, reckless(run, other)) == {Reason.UNBALANCED_BUSES}


def test_a_step_that_was_left_out_is_refused(run_with: dict[str, Run], reckless: Any) -> None:
    run = run_with["branch"]
    tables = run.tables()
    number = next(at for at, chip in enumerate(ROW_CHIPS) if chip.name == "add-immediate")
    matrix = tables.matrices[number]
    for column in range(matrix.width):
        matrix.set(1, column, 0)
    (reason,) = refusals(run, reckless(run, tables))
    assert reason is Reason.UNBALANCED_BUSES
