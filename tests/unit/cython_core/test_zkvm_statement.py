"""Runs from the program to the proof: what the statement says, and what it takes for no proof."""

import random
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from cython_core.air.check import Violation, check
from cython_core.air.key import decode_key
from cython_core.air.program import program_digest
from cython_core.air.table import MODULUS
from cython_core.chips import shipped_systems
from cython_core.chips.statements import STATEMENTS
from cython_core.stark.checking import VerifierName, find_verifier
from cython_core.stark.codewords import Cancelled, Options
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.stark.parameters import PROVEN
from cython_core.stark.proof import Proof
from cython_core.vm.errors import GuestTrap, TrapKind
from cython_core.vm.machine import Limits
from cython_core.vm.program import Program
from cython_core.vm.run import execute
from cython_core.zkvm import run_trace
from cython_core.zkvm._rows import FactCounts, RowSorter, TooManyRows
from cython_core.zkvm.buses import BUSES, OUT, STATE
from cython_core.zkvm.proof import prove_run, verify_run
from cython_core.zkvm.run_trace import UnprovableRun, memory_trace, new_sorter, run_tables
from cython_core.zkvm.statement import (
    KEYS_KEPT,
    NAME,
    RunStatement,
    run_proving_key,
    run_publics,
)
from cython_core.zkvm.system import EDGES, PUBLIC_COUNT, run_system, sample_system
from tests.unit.cython_core.vm_programs import HALT, immediate, program_of, show
from tests.unit.cython_core.zkvm_runs import SMALL, provable_guest

VERIFIERS = [name for name in VerifierName if find_verifier(name) is not None]
STATEMENT = RunStatement(SMALL.program)


@pytest.fixture(scope="module")
def proof() -> Proof:
    return prove_run(SMALL.program, SMALL.inputs, SMALL.answers, context=b"payee")[0]


def shown() -> bytes:
    statement = execute(SMALL.program, SMALL.inputs, SMALL.answers).statement
    assert statement is not None
    return statement


def test_tables_of_runs_satisfy_the_system() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for guest in (SMALL, *(provable_guest(rng) for _ in range(2))):
        tables = run_tables(guest.program, guest.inputs, guest.answers)
        assert tables.outcome == execute(guest.program, guest.inputs, guest.answers)
        assert tables.statement == tables.outcome.statement
        publics = run_publics(guest.program, tables.statement)
        interactions = RunStatement(guest.program).interactions(publics)
        system = run_system(guest.program)
        check(system, tables.matrices, publics, interactions)


def test_tables_show_their_statement_and_no_other() -> None:
    tables = run_tables(SMALL.program, SMALL.inputs, SMALL.answers)
    wrong = run_publics(SMALL.program, bytes([tables.statement[0] ^ 1]) + tables.statement[1:])
    with pytest.raises(Violation) as caught:
        check(run_system(SMALL.program), tables.matrices, wrong, STATEMENT.interactions(wrong))
    assert caught.value.rule == "out"


def test_code_is_generated_for_the_tables_of_all_programs() -> None:
    compiled = {program_digest(table) for system in shipped_systems() for table in system.tables}
    long = program_of(*[immediate("addi", 5, 5, 1)] * 100, HALT, image=bytes(range(1, 255)))
    for program in (SMALL.program, long):
        system = run_system(program)
        assert [t.name for t in system.tables] == [t.name for t in sample_system().tables]
        assert {program_digest(table) for table in system.tables} <= compiled


@pytest.mark.parametrize("name", VERIFIERS)
def test_a_proof_shows_the_statement(proof: Proof, name: VerifierName) -> None:
    verify = find_verifier(name)
    assert verify_run(SMALL.program, Proof.decode(proof.encode()), verify) == shown()
    with pytest.raises(InvalidProof):
        verify_run(SMALL.program, replace(proof, context=b"another payee"), verify)
    body = bytearray(proof.body)
    body[len(body) // 2] ^= 1
    with pytest.raises(InvalidProof):
        verify_run(SMALL.program, replace(proof, body=bytes(body)), verify)


def test_other_public_values(proof: Proof) -> None:
    assert proof.statement == NAME
    assert list(proof.publics) == run_publics(SMALL.program, shown())
    for place in range(PUBLIC_COUNT):
        publics = list(proof.publics)
        publics[place] ^= 1
        with pytest.raises(InvalidProof) as caught:
            verify_run(SMALL.program, replace(proof, publics=tuple(publics)))
        is_statement = 8 <= place < EDGES.start
        assert (caught.value.reason is Reason.BAD_PUBLICS) != is_statement
    with pytest.raises(InvalidProof, match="28 are due"):
        verify_run(SMALL.program, replace(proof, publics=proof.publics[:-1]))


def test_a_proof_of_another_program(proof: Proof) -> None:
    other = program_of(*SMALL.words, 0, image=b"what it reads.")
    with pytest.raises(InvalidProof) as caught:
        verify_run(other, proof)
    assert caught.value.reason is Reason.BAD_PUBLICS
    assert SMALL.program.root.hex() in str(caught.value)
    assert other.root.hex() in str(caught.value)
    # A file that claims to be about the other program has the wrong key.
    claimed = replace(proof, publics=tuple(run_publics(other, shown())))
    with pytest.raises(InvalidProof) as caught:
        verify_run(other, claimed)
    assert caught.value.reason is Reason.WRONG_KEY
    with pytest.raises(InvalidProof) as caught:
        verify_run(SMALL.program, replace(proof, statement="tree-update"))
    assert caught.value.reason is Reason.UNKNOWN_STATEMENT
    assert NAME not in STATEMENTS


def test_programs_with_one_root_have_one_key() -> None:
    one, other = (
        program_of(HALT, *[0] * extra, image=b"image" + bytes(4 * extra)) for extra in (0, 5)
    )
    assert one.root == other.root
    assert one != other
    assert run_publics(one, shown()) == run_publics(other, shown())
    encoded = RunStatement(one).key()
    assert encoded == RunStatement(other).key()
    for number in range(KEYS_KEPT):
        run_proving_key(program_of(immediate("addi", 5, 0, number), HALT))
    assert RunStatement(other).key() == encoded


def test_the_key_is_what_ships() -> None:
    key = decode_key(STATEMENT.key())
    assert key.parameters == PROVEN
    assert key.system.public_count == STATEMENT.public_count() == PUBLIC_COUNT


def test_public_interactions_are_the_first_state_and_the_words() -> None:
    statement = bytes(range(32))
    start, *words = STATEMENT.interactions(run_publics(SMALL.program, statement))
    assert start == (BUSES.index(STATE), 1, (1, SMALL.program.entry // 4))
    out = BUSES.index(OUT)
    assert words[7] == (out, MODULUS - 1, (7, 28 | 29 << 8, 30 | 31 << 8))
    assert [word.elements[0] for word in words] == list(range(8))


def test_what_is_said() -> None:
    description = STATEMENT.describe()
    assert "SIG" in " ".join(description.not_proven)
    labels = STATEMENT.label(run_publics(SMALL.program, shown()))
    assert [(label.label, label.text) for label in labels] == [
        ("program root", SMALL.program.root.hex()),
        ("statement", shown().hex()),
    ]
    for publics in ([], [1 << 16] * PUBLIC_COUNT, [-1] * PUBLIC_COUNT):
        with pytest.raises(ValueError, match="28 limbs of 16 bits"):
            STATEMENT.label(publics)
    edges = run_publics(SMALL.program, shown())
    edges[-1] += 1
    with pytest.raises(ValueError, match="the image's place is not this program's"):
        STATEMENT.interactions(edges)
    with pytest.raises(ValueError, match="a statement has 32 bytes, not 31"):
        run_publics(SMALL.program, bytes(31))


@pytest.mark.parametrize("places", [[0, 1, 2], [0, *range(8)], []])
def test_runs_that_show_no_statement(places: list[int]) -> None:
    program = program_of(*(show(place, 0) for place in places), HALT)
    with pytest.raises(UnprovableRun) as caught:
        prove_run(program)
    assert (caught.value.what, caught.value.why) == (
        "this run shows no statement",
        "a word of it is missing or was shown more than once",
    )


def test_runs_that_end_in_a_trap() -> None:
    with pytest.raises(GuestTrap) as caught:
        prove_run(SMALL.program, b"")
    assert caught.value.kind is TrapKind.INPUT
    with pytest.raises(GuestTrap) as caught:
        prove_run(SMALL.program, SMALL.inputs, SMALL.answers, Limits(5, 10))
    assert caught.value.kind is TrapKind.CYCLES


def test_a_program_that_has_no_key_is_not_run() -> None:
    program = replace(SMALL.program, rom_base=1 << 31, entry=1 << 31)
    with pytest.raises(ValueError, match="below 0x80000000"):
        prove_run(program)
    with pytest.raises(ValueError, match="below 0x80000000"):
        RunStatement(program).key()


def test_a_prover_can_be_told_to_stop() -> None:
    options = Options(is_cancelled=lambda: True)
    with pytest.raises(Cancelled):
        prove_run(SMALL.program, SMALL.inputs, SMALL.answers, options=options)


@pytest.mark.parametrize(
    ("sorter", "what", "why"),
    [
        (
            lambda program: new_sorter(program, 2),
            "this run is too long for a proof",
            "it has more than 2 rows of the table 'add-immediate', and a table has no more",
        ),
        (
            lambda program: RowSorter([], program.rom_base, len(program.entries), 2),
            "this run has a step that cannot be proven",
            "no table accepts the operation of row 1",
        ),
    ],
)
def test_runs_that_the_tables_do_not_hold(
    monkeypatch: pytest.MonkeyPatch, sorter: Callable[[Program], RowSorter], what: str, why: str
) -> None:
    monkeypatch.setattr(run_trace, "new_sorter", sorter)
    with pytest.raises(UnprovableRun) as caught:
        run_tables(SMALL.program, SMALL.inputs, SMALL.answers)
    assert (caught.value.what, caught.value.why) == (what, why)


def test_memory_has_no_more_words_than_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_trace, "ROWS_MAX", 4)
    words = [(4 * at, 1, 1) for at in range(3)]
    touched = b"".join(struct.pack("=3I", *word) for word in words)
    assert memory_trace(SMALL.program, touched[:24], FactCounts()).height == 4
    with pytest.raises(TooManyRows) as caught:
        memory_trace(SMALL.program, touched, FactCounts())
    assert str(caught.value) == ("it touches 3 words outside of the image, and a table has 4 rows")
