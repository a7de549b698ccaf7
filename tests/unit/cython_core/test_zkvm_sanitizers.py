"""The sorting of rows under sanitizers: random rows and words, most of them nonsense."""

import shutil
import subprocess
from pathlib import Path

import pytest

CORE = Path(__file__).parents[3] / "cython_core"
HARNESS = Path(__file__).with_name("fuzz_rows.c")
ROUNDS = 5_000


def test_nonsense_rows(tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    built = tmp_path / "fuzz_rows"
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{CORE}"]
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [str(HARNESS), str(CORE / "zkvm/rows.c")]
    outcome = subprocess.run(
        [compiler, *flags, *checks, *sources, "-o", str(built)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "cannot find -lasan" in outcome.stderr or "cannot find -lubsan" in outcome.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert outcome.returncode == 0, outcome.stderr
    outcome = subprocess.run([str(built), str(ROUNDS)], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    rounds, fine, no_memory, *others = map(int, outcome.stdout.split())
    assert (rounds, no_memory) == (ROUNDS, 0)
    assert fine
    assert all(others)
