"""The compiled verifier under sanitizers, on damaged keys and proofs; and what it links with."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.reference_field import u32
from tests.support.reference_prover import encode_interactions
from tests.support.reference_systems import cases, mixed

ROOT = Path(__file__).parents[3]
CORE = ROOT / "cython_core"
FUZZ = Path(__file__).with_name("fuzz_verify.c")
WRAPPED = ("transcript_check_grind", "stark_check_balance", "stark_check_identity", "stark_open")
ROUNDS = 1_500
ROUNDS_SLOW = 20_000


def sources() -> list[str]:
    """The C files of the verifier, as its extension is linked."""
    lines = (CORE / "stark" / "sources.txt").read_text().splitlines()
    entries = [line.split("#", 1)[0].partition(":") for line in lines]
    return [str(ROOT / path.strip()) for name, _, path in entries if name.strip() == "_verify"]


def compiler() -> str:
    found = shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("there is no C compiler")
    return found


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("fuzz") / "fuzz_verify"
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{CORE}"]
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    wraps = [f"-Wl,--wrap={name}" for name in WRAPPED]
    built = subprocess.run(
        [compiler(), *flags, *checks, *wraps, str(FUZZ), *sources(), "-o", str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot find -lasan" in built.stderr or "cannot find -lubsan" in built.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert built.returncode == 0, built.stderr
    return program


@pytest.fixture(scope="module")
def claims(tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoded = b""
    for case in [*cases(), mixed(seed=2)]:
        interactions = encode_interactions(case.interactions)
        for part in (case.key, u32(*case.publics), interactions, case.context, case.prove()):
            encoded += u32(len(part)) + part
    path = tmp_path_factory.mktemp("claims") / "claims"
    path.write_bytes(encoded)
    return path


def fuzz(fuzzer: Path, claims: Path, seed: int, rounds: int) -> dict[str, int]:
    run = subprocess.run(
        [str(fuzzer), str(seed), str(rounds), str(claims)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, f"seed {seed}: {run.stderr}"
    counts = {name: int(count) for name, count in re.findall(r"(\S+) (\d+)", run.stdout)}
    assert sum(counts.values()) == rounds
    return counts


def test_fuzzing_finds_nothing(fuzzer: Path, claims: Path) -> None:
    counts = fuzz(fuzzer, claims, 1, ROUNDS)
    # A run that damage never led to the end of would prove nothing.
    for reason in ("bad-key", "bad-height", "truncated", "not-canonical", "bad-fold"):
        assert counts[reason] > 10, counts


@pytest.mark.slow
def test_long_fuzzing_finds_nothing(fuzzer: Path, claims: Path, seed: int) -> None:
    fuzz(fuzzer, claims, seed % (1 << 32), ROUNDS_SLOW)


@pytest.mark.parametrize("source", sorted(CORE.glob("stark/verify*.c")), ids=lambda path: path.name)
def test_the_verifier_needs_no_library(source: Path, tmp_path: Path) -> None:
    compiled = tmp_path / "verifier.o"
    strict = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
    command = [compiler(), "-std=c11", "-O2", *strict, f"-I{CORE}", "-c", str(source)]
    subprocess.run([*command, "-o", str(compiled)], check=True)
    listing = subprocess.run(
        ["nm", "-u", str(compiled)], capture_output=True, text=True, check=True
    ).stdout
    undefined = set(re.findall(r"U (\w+)", listing))
    ours = re.compile(r"(stark|b3|transcript|kb31x|PROOF_KEY)_\w+")
    assert {name for name in undefined if not ours.fullmatch(name)} <= {
        "memcpy",
        "memmove",
        "memcmp",
        "memset",
        "strlen",
        "__stack_chk_fail",
    }
