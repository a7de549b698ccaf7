"""The guest's sources alone: portable C under sanitizers, RV32IM without any library, the ELF."""

import hashlib
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from cython_core.guest.program import ledger_program
from cython_core.ledger._ledger import run_transition
from cython_core.vm.operations import Op
from p2p_seq.ledger.witness import build_witness
from tests.unit.ledger.chains import Chain, random_orders, random_seal

CORE = Path(__file__).parents[3] / "cython_core"
HARNESS = Path(__file__).with_name("run_transition.c")
GUEST = (
    "ledger.c",
    "records.c",
    "outputs.c",
    "state.c",
    "transaction.c",
    "transition.c",
    "statement.c",
    "steady.c",
    "sha256.c",
    "sha256_compress.c",
    "sha256_guest.c",
    "tree.c",
    "blake3.c",
)
MUTATIONS = 3_000
RISCV = "riscv64-unknown-elf-"
LIBRARY_CALLS = {"memcpy", "memset", "memmove", "memcmp"}
"""What GCC may emit by itself also in freestanding code; the guest's start-up code has them."""


START = Path(__file__).with_name("start_riscv.c")
ELF = CORE / "guest" / "ledger.elf"
KNOWN_COMPILER = "12.2.0"
BUILD = (
    "-march=rv32im -mabi=ilp32 -mstrict-align -std=c11 -O3 -mtune=size -fwhole-program "
    "-DP2PSEQ_MACHINE -ffreestanding -nostdlib -nostartfiles -static -I../.. "
    "-Wl,--no-relax,--build-id=none,--strip-all,-z,max-page-size=64 -T guest.ld program.c -lgcc"
)
"""In cython_core/guest/machine; docs/ledger.md has the same command."""
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-stringop-overflow")
"""Without one that GCC 12 raises at -O3 for loops that it has unrolled itself."""
MACHINE = ("-march=rv32im", "-mabi=ilp32", "-ffreestanding", "-nostdlib")


def sources() -> list[str]:
    return [str(CORE / "guest" / name) for name in GUEST]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    built = tmp_path_factory.mktemp("guest") / "run_transition"
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{CORE}"]
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = [compiler, *flags, *checks, str(HARNESS), *sources(), "-o", str(built)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot find -lasan" in outcome.stderr or "cannot find -lubsan" in outcome.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert outcome.returncode == 0, outcome.stderr
    return built


def busy_witness() -> bytes:
    """A last batch with transfers, withdrawals, deposits, payouts, creations and deletions."""
    rng = random.Random(11)
    chain = Chain()
    chain.fund(60_000, 10**6, 10**6, 1_500)
    chain.block([], random_orders(rng, chain, 40))
    before = chain.head
    chain.seal(*random_seal(rng, chain))
    for _ in range(4):
        chain.block([], random_orders(rng, chain, 30))
    chain.ledger.move_to(before)
    return build_witness(chain.ledger.native.tree, chain.constants, chain.batch, chain.frame())


def test_portable_sources_give_the_same_digests_and_survive_changes(
    program: Path, tmp_path: Path
) -> None:
    witness = busy_witness()
    file = tmp_path / "witness"
    file.write_bytes(witness)
    outcome = subprocess.run(
        [str(program), str(file), str(MUTATIONS)], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    lines = outcome.stdout.split()
    native = run_transition(witness)
    assert [bytes.fromhex(line) for line in lines[:5]] == [
        native.statement,
        native.pre_root,
        native.post_root,
        native.inputs_digest,
        native.outputs_digest,
    ]
    # The frame, contexts and signatures are free of checks here, so a few changes are accepted.
    assert MUTATIONS * 7 // 10 < int(lines[5]) <= MUTATIONS


def test_the_guest_needs_no_library(tmp_path: Path) -> None:
    compiler = shutil.which(RISCV + "gcc")
    if compiler is None:
        pytest.skip("there is no RV32 compiler (gcc-riscv64-unknown-elf)")
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{CORE}"]
    linked = tmp_path / "guest.o"
    command = [compiler, *MACHINE, *flags, "-r", *sources(), "-lgcc", "-o", str(linked)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    listing = subprocess.run(
        [RISCV + "nm", "--undefined-only", str(linked)], capture_output=True, text=True, check=True
    )
    missing = {line.split()[-1] for line in listing.stdout.splitlines()}
    assert missing <= LIBRARY_CALLS


def test_rv32_runs_to_the_same_digests(tmp_path: Path) -> None:
    compiler, machine = shutil.which(RISCV + "gcc"), shutil.which("qemu-riscv32")
    if compiler is None or machine is None:
        pytest.skip("there is no RV32 compiler and user emulation to run its code")
    witness = busy_witness()
    (tmp_path / "witness").write_bytes(witness)
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{CORE}"]
    flags.append("-Wl,--no-relax")  # nothing sets the global pointer
    flags.append(f'-DWITNESS="{tmp_path / "witness"}"')
    elf = tmp_path / "guest"
    command = [compiler, *MACHINE, *flags, str(START), *sources(), "-lgcc", "-o", str(elf)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    outcome = subprocess.run([machine, str(elf)], capture_output=True, check=False)
    assert outcome.returncode == 0
    native = run_transition(witness)
    assert outcome.stdout == (
        native.statement
        + native.pre_root
        + native.post_root
        + native.inputs_digest
        + native.outputs_digest
    )


def test_the_committed_program_has_its_hash() -> None:
    digest, name = ELF.with_suffix(".elf.sha256").read_text(encoding="utf-8").split()
    assert name == ELF.name
    assert hashlib.sha256(ELF.read_bytes()).hexdigest() == digest


def test_the_committed_program_is_what_its_sources_give(tmp_path: Path) -> None:
    compiler = shutil.which(RISCV + "gcc")
    if compiler is None:
        pytest.skip("there is no RV32 compiler (gcc-riscv64-unknown-elf)")
    version = subprocess.run(
        [compiler, "-dumpfullversion"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if version != KNOWN_COMPILER:
        pytest.skip(f"the compiler is {version}, the committed program is of {KNOWN_COMPILER}")
    built = tmp_path / "ledger.elf"
    outcome = subprocess.run(
        [compiler, *WARNINGS, *BUILD.split(), "-o", str(built)],
        cwd=CORE / "guest" / "machine",
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert built.read_bytes() == ELF.read_bytes()


def test_the_command_is_the_documented_one() -> None:
    documented = (CORE.parent / "docs" / "ledger.md").read_text(encoding="utf-8")
    assert BUILD in " ".join(documented.replace("\\\n", " ").split())


def test_the_program_has_one_end() -> None:
    """Each word of the statement is shown at one place, in one straight line before HALT."""
    shown = [entry for entry in ledger_program().entries if entry.op in (Op.OUT, Op.HALT)]
    assert [entry.op for entry in shown] == [Op.OUT] * 8 + [Op.HALT]
    assert [entry.imm for entry in shown[:8]] == list(range(8))
    first = ledger_program().entries.index(shown[0])
    assert list(ledger_program().entries[first : first + 9]) == shown
