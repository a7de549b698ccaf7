"""The C code of the tree under sanitizers, and the guest's part of it without a C library."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CORE = ROOT / "cython_core"
FUZZ = Path(__file__).with_name("fuzz_tree.c")
GUEST_FILES = ("guest/tree.c", "guest/blake3.c")
SEEDS = (1, 2, 3)
ROUNDS = 15


def sources() -> list[str]:
    """The C files of the merkle room, as its extension is linked."""
    lines = (CORE / "merkle" / "sources.txt").read_text().split()
    return [str(ROOT / line) for line in lines]


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    program = tmp_path_factory.mktemp("fuzz") / "fuzz_tree"
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{CORE}"]
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    wraps = ["-Wl,--wrap=aligned_alloc", "-Wl,--wrap=realloc"]
    built = subprocess.run(
        [compiler, *flags, *checks, *wraps, str(FUZZ), *sources(), "-o", str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot find -lasan" in built.stderr or "cannot find -lubsan" in built.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert built.returncode == 0, built.stderr
    return program


@pytest.mark.parametrize("seed", SEEDS)
def test_fuzzing_finds_nothing(fuzzer: Path, seed: int) -> None:
    run = subprocess.run(
        [str(fuzzer), str(seed), str(ROUNDS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, f"seed {seed}: {run.stderr}"
    counts = [int(number) for number in re.findall(r"\d+", run.stdout)]
    updates, failed, mutations, refused, accepted = counts
    # A run that never met a full memory or a changed root would prove nothing.
    assert updates == 12 * ROUNDS
    assert failed > 10
    assert refused + accepted == mutations == 40 * updates
    assert min(refused, accepted) > 100


@pytest.mark.parametrize("source", GUEST_FILES)
@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3"])
def test_guest_code_needs_no_library(source: str, level: str, tmp_path: Path) -> None:
    compilers: dict[str, list[str]] = {
        "gcc": [],
        "riscv64-unknown-elf-gcc": ["-march=rv32im", "-mabi=ilp32"],
    }
    found = [name for name in compilers if shutil.which(name)]
    if not found:
        pytest.skip("there is no C compiler")
    for name in found:
        compiled = tmp_path / f"{name}.o"
        strict = ["-Wall", "-Wextra", "-Werror"]
        target = [*compilers[name], level, "-std=c11", "-ffreestanding", "-nostdlib"]
        command = [name, *target, *strict, "-c", str(CORE / source), "-o", str(compiled)]
        subprocess.run(command, check=True)
        listing = subprocess.run(
            [name.replace("gcc", "nm"), "-u", str(compiled)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        undefined = set(re.findall(r"U (\w+)", listing))
        # What the guest's own files give to each other, and nothing else.
        assert undefined <= {"blake3_keyed_block", "blake3_keyed_bytes"}, (name, undefined)
