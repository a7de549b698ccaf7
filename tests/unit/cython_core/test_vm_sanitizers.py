"""The machine's C code under sanitizers: random program tables, most of them nonsense."""

import shutil
import subprocess
from pathlib import Path

import pytest

CORE = Path(__file__).parents[3] / "cython_core"
HARNESS = Path(__file__).with_name("fuzz_vm.c")
SOURCES = ("vm.c", "wide.c", "run_plain.c", "run_traced.c")
PROGRAMS, CAMPAIGN = 400, 30_000


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    built = tmp_path_factory.mktemp("vm") / "fuzz_vm"
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{CORE}"]
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [str(HARNESS), *(str(CORE / "vm" / name) for name in SOURCES)]
    outcome = subprocess.run(
        [compiler, *flags, *checks, *sources, "-o", str(built)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "cannot find -lasan" in outcome.stderr or "cannot find -lubsan" in outcome.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert outcome.returncode == 0, outcome.stderr
    return built


def fuzz(program: Path, count: int) -> None:
    outcome = subprocess.run(
        [str(program), str(count)], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert outcome.stdout.split() == [str(count), str(count)]


def test_nonsense_programs_end_alike_and_cleanly(fuzzer: Path) -> None:
    fuzz(fuzzer, PROGRAMS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_nonsense_programs(fuzzer: Path) -> None:
    fuzz(fuzzer, CAMPAIGN)
