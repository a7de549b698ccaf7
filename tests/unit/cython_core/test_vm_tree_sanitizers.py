"""The trace tree's C code under sanitizers: random rows and nonsense, by all kernels."""

import shutil
import subprocess
from pathlib import Path

import pytest

CORE = Path(__file__).parents[3] / "cython_core"
HARNESS = Path(__file__).with_name("exercise_trace_tree.c")
SOURCES = (
    "vm/tree.c",
    "vm/tree_scalar.c",
    "vm/tree_avx2.c",
    "vm/tree_avx512.c",
    "guest/blake3.c",
    "hash/b3_stream.c",
)
TREES, CAMPAIGN = 40, 2_000


@pytest.fixture(scope="module")
def exercise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    built = tmp_path_factory.mktemp("tree") / "exercise"
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{CORE}"]
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [str(HARNESS), *(str(CORE / name) for name in SOURCES)]
    outcome = subprocess.run(
        [compiler, *flags, *checks, *sources, "-o", str(built)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "cannot find -lasan" in outcome.stderr or "cannot find -lubsan" in outcome.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert outcome.returncode == 0, outcome.stderr
    return built


def run(program: Path, count: int) -> None:
    outcome = subprocess.run(
        [str(program), str(count)], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert outcome.stdout.split() == [str(count)]


def test_random_trees(exercise: Path) -> None:
    run(exercise, TREES)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_random_trees(exercise: Path) -> None:
    run(exercise, CAMPAIGN)
