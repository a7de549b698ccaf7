"""The verification as a program of the machine: `guest/secp/verify.elf`."""

import hashlib
import random
import struct
import subprocess
from pathlib import Path

import pytest

from cython_core.vm.errors import GuestTrap, TrapKind
from cython_core.vm.finder import find, padded
from cython_core.vm.machine import run_reference
from cython_core.vm.program import load_elf
from cython_core.vm.records import decode_rows
from cython_core.vm.run import Outcome, execute, trace
from tests.unit.cython_core.secp_cases import (
    GUEST,
    SOURCES,
    Case,
    build_native,
    input_of,
    invalid,
    is_valid,
    native,
    official_valid,
    random_case,
    small,
    statement_of,
)
from tests.unit.cython_core.test_vm_toolchain import KNOWN_COMPILER, LINK, MACHINE, compiler

ELF = GUEST / "secp/verify.elf"
PROGRAM = load_elf(ELF.read_bytes())
ROWS_MAX = 10_850
"""Of one valid signature, without what the guest around the verification does."""
AROUND_MAX = 100
SEED = 34


def run(cases: list[Case]) -> Outcome:
    outcome = execute(PROGRAM, input_of(cases))
    assert outcome.statement == statement_of(cases, sum(map(is_valid, cases)))
    return outcome


def test_the_committed_program_has_its_hash() -> None:
    digest, name = ELF.with_suffix(".elf.sha256").read_text(encoding="utf-8").split()
    assert name == ELF.name
    assert hashlib.sha256(ELF.read_bytes()).hexdigest() == digest


def build(output: Path, level: str) -> Path:
    example = GUEST / "example"
    sources = (example / "start.c", GUEST / "secp/guest.c", *SOURCES)
    command = [compiler(), *MACHINE, level, "-Wall", "-Wextra", "-Werror", *LINK]
    command += [f"-I{GUEST}", f"-Wa,-I{GUEST}", "-Wl,-z,max-page-size=64"]
    command += ["-T", str(example / "guest.ld"), *map(str, sources), "-lgcc", "-o", str(output)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return output


def test_the_program_is_what_its_sources_give(tmp_path: Path) -> None:
    version = subprocess.run(
        [compiler(), "-dumpfullversion"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if version != KNOWN_COMPILER:
        pytest.skip(f"the compiler is {version}, the committed program is of {KNOWN_COMPILER}")
    assert build(tmp_path / "verify.elf", "-O2").read_bytes() == ELF.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("level", ["-O0", "-O1", "-O3", "-Os"])
def test_every_level_of_optimisation_answers_alike(tmp_path: Path, level: str) -> None:
    program = load_elf(build(tmp_path / "verify.elf", level).read_bytes())
    cases = [*official_valid().values(), *invalid().values(), *small()]
    outcome = execute(program, input_of(cases))
    assert outcome.statement == statement_of(cases, sum(map(is_valid, cases)))


def test_signatures_in_the_machine() -> None:
    rng = random.Random(SEED)
    cases = [*official_valid().values(), *invalid().values(), *small()]
    run(cases + [random_case(rng) for _ in range(20)])


def test_rows_of_a_signature() -> None:
    cases = list(official_valid().values())
    per_signature = (run(cases).cycles - run(cases[:1]).cycles) / (len(cases) - 1)
    assert per_signature < ROWS_MAX + AROUND_MAX


def test_false_hints_stop_the_machine() -> None:
    content = input_of([official_valid()["1"]])
    words = list(struct.unpack(f"<{len(content) // 4}I", content))
    words[60] ^= 1
    with pytest.raises(GuestTrap) as caught:
        execute(PROGRAM, struct.pack(f"<{len(words)}I", *words))
    assert caught.value.kind is TrapKind.ILLEGAL


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_native_build_under_sanitizers(tmp_path: Path) -> None:
    checks = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = build_native(tmp_path, *checks)
    rng = random.Random(SEED + 2)
    cases = [*official_valid().values(), *invalid().values(), *small()]
    cases += [random_case(rng) for _ in range(40)]
    assert native(program, input_of(cases)) == [is_valid(case) for case in cases]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_machine_answers_as_the_native_build(tmp_path: Path) -> None:
    rng = random.Random(SEED + 1)
    program = build_native(tmp_path)
    cases = [random_case(rng) for _ in range(500)]
    answers = native(program, input_of(cases))
    assert answers == [is_valid(case) for case in cases]
    run(cases)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_rows_are_those_of_the_reference_machine_and_carry_no_fragment() -> None:
    case = official_valid()["3"]
    content = input_of([case])
    pieces = list(trace(PROGRAM, content))
    rows = decode_rows(*(b"".join(part) for part in zip(*pieces, strict=True)))
    assert rows == run_reference(PROGRAM, content)[0]
    table = padded(rows, len(rows) + 2)
    assert next(find(PROGRAM, table, statement_of([case], 1)), None) is None
