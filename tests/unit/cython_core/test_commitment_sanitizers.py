"""The C code of commitments, transcript and FRI under sanitizers, on exact buffers."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CORE = ROOT / "cython_core"
PROGRAM = Path(__file__).with_name("exercise_commitment.c")
ROOMS = ("commitment", "transcript", "fri")
ROUNDS = 40


def sources() -> list[str]:
    """The C files of the rooms, as their extensions are linked, each once."""
    lines = [line for room in ROOMS for line in (CORE / room / "sources.txt").read_text().split()]
    return [str(ROOT / line) for line in dict.fromkeys(lines)]


@pytest.fixture(params=("address,undefined", "thread"), scope="module")
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two threads absorb rows of one hasher: the second build looks for what they share."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    built_program = tmp_path_factory.mktemp("exercise") / "exercise"
    flags = ["-std=c11", "-O0", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{CORE}"]
    checks = [f"-fsanitize={request.param}", "-fno-sanitize-recover=all"]
    built = subprocess.run(
        [compiler, *flags, *checks, str(PROGRAM), *sources(), "-o", str(built_program)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot find -l" in built.stderr or "cannot find lib" in built.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert built.returncode == 0, built.stderr
    return built_program


@pytest.mark.parametrize("seed", [1, 2])
def test_exercise_finds_nothing(program: Path, seed: int) -> None:
    run = subprocess.run(
        [str(program), str(seed), str(ROUNDS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unexpected memory mapping" in run.stderr:
        pytest.skip("this kernel's address layout is not one that the sanitizer knows")
    assert run.returncode == 0, f"seed {seed}: {run.stderr}"
    assert int(run.stdout) > 100 * ROUNDS
