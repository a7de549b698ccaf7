"""The machine beside the stock compiler and user emulation, where they are installed."""

import hashlib
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from blake3 import blake3

from cython_core.vm.elf import HEADER, SEGMENT
from cython_core.vm.finder import find, padded
from cython_core.vm.machine import Limits, run_reference
from cython_core.vm.program import from_words, load_elf
from cython_core.vm.records import decode_rows
from cython_core.vm.run import execute, trace
from tests.unit.cython_core.vm_programs import (
    DATA,
    HALT,
    IMAGE_BASE,
    WORKING,
    ZERO_BASE,
    immediate,
    random_guest,
    set_register,
    store,
)

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[2] / "cython_core/guest/example"
RISCV = "riscv64-unknown-elf-gcc"
KNOWN_COMPILER = "12.2.0"
MACHINE = ("-march=rv32im", "-mabi=ilp32", "-mstrict-align", "-std=c11", "-ffreestanding")
LINK = (
    "-nostdlib", "-nostartfiles", "-static",
    "-Wl,--no-relax,--build-id=none,--strip-all",
)  # fmt: skip
GUEST = ("-Wl,-z,max-page-size=64", "-T", str(EXAMPLE / "guest.ld"))
CODE = 0x10000
IMAGE_START, IMAGE_BYTES = 0x1F000, 0x3000
ZERO_START, ZERO_BYTES = 0x7FFFE000, 0x2000
REGISTERS_AT = 1984
PROGRAMS, CAMPAIGN = 25, 2_000
SEED = 77


def compiler() -> str:
    found = shutil.which(RISCV)
    if found is None:
        pytest.skip("there is no RV32 compiler (gcc-riscv64-unknown-elf)")
    return found


def emulator() -> str:
    found = shutil.which("qemu-riscv32")
    if found is None:
        pytest.skip("there is no user emulation of RV32 (qemu-user)")
    return found


def build(output: Path, *sources: Path, flags: tuple[str, ...] = ()) -> Path:
    command = [compiler(), *MACHINE, "-Wall", "-Wextra", "-Werror", *flags, *LINK]
    command += [str(source) for source in sources] + ["-lgcc", "-o", str(output)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return output


def test_the_committed_example_has_its_hash() -> None:
    digest, name = (EXAMPLE / "hash.elf.sha256").read_text(encoding="utf-8").split()
    assert name == "hash.elf"
    assert hashlib.sha256((EXAMPLE / name).read_bytes()).hexdigest() == digest


def test_the_example_is_what_its_sources_give(tmp_path: Path) -> None:
    version = subprocess.run(
        [compiler(), "-dumpfullversion"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if version != KNOWN_COMPILER:
        pytest.skip(f"the compiler is {version}, the committed program is of {KNOWN_COMPILER}")
    sources = (EXAMPLE / "start.c", EXAMPLE / "hash.c")
    built = build(tmp_path / "hash.elf", *sources,
                  flags=("-O2", *GUEST))  # fmt: skip
    assert built.read_bytes() == (EXAMPLE / "hash.elf").read_bytes()


@pytest.mark.parametrize("blocks", [1, 2, 3, 16])
def test_the_example_hashes(blocks: int) -> None:
    program = load_elf((EXAMPLE / "hash.elf").read_bytes())
    message = random.Random(blocks).randbytes(64 * blocks)
    outcome = execute(program, struct.pack("<I", blocks) + message)
    assert outcome.statement == blake3(message).digest()


@pytest.mark.parametrize("blocks", [0, 17, 0xFFFFFFFF])
def test_the_example_does_not_trust_its_input(blocks: int) -> None:
    program = load_elf((EXAMPLE / "hash.elf").read_bytes())
    assert execute(program, struct.pack("<I", blocks)).statement == bytes(32)


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
def test_compiled_code_computes_what_the_emulator_computes(level: str, tmp_path: Path) -> None:
    """The emulator's program has its own start; code and tables are the same source."""
    ours = build(
        tmp_path / "ours", EXAMPLE / "start.c", HERE / "vm_mix.c",
        flags=(level, *GUEST),
    )  # fmt: skip
    theirs = build(tmp_path / "theirs", HERE / "vm_linux_start.c", HERE / "vm_mix.c",
                   flags=(level,))  # fmt: skip
    shown = subprocess.run([emulator(), str(theirs)], capture_output=True, check=True).stdout
    program = load_elf(ours.read_bytes())
    outcome = execute(program, limits=Limits(1_000_000))
    assert outcome.statement == shown
    if level == "-O1":
        pieces = list(trace(program, limits=Limits(1_000_000)))
        rows = decode_rows(*(b"".join(part) for part in zip(*pieces, strict=True)))
        assert len(rows) == outcome.cycles
        assert rows == run_reference(program)[0]
        assert next(find(program, padded(rows, len(rows) + 2), shown), None) is None


def linux_elf(words: list[int], image: bytes) -> bytes:
    """A program for the emulator: code, the image, and a zero region."""
    code = struct.pack(f"<{len(words)}I", *words)
    at = 0x1000
    data_at = at + -(-len(code) // 0x1000) * 0x1000
    header = HEADER.pack(
        b"\x7fELF\x01\x01\x01".ljust(16, b"\0"), 2, 243, 1, CODE, 52, 0, 0, 52, 32, 3, 0, 0, 0
    )
    table = SEGMENT.pack(1, at, CODE, CODE, len(code), len(code), 5, 0x1000)
    table += SEGMENT.pack(1, data_at, IMAGE_START, IMAGE_START, len(image), IMAGE_BYTES, 6, 0x1000)
    table += SEGMENT.pack(1, data_at, ZERO_START, ZERO_START, 0, ZERO_BYTES, 6, 0x1000)
    body = (header + table).ljust(at, b"\0") + code
    return body.ljust(data_at, b"\0") + image


def linux_call(number: int, *arguments: int) -> list[int]:
    words = set_register(17, number)
    for register, value in enumerate(arguments, 10):
        words += set_register(register, value)
    return [*words, 0x73]


def compare(seed: int, folder: Path) -> None:
    """One random program: all memory that it can reach, and its registers, after the run."""
    guest = random_guest(random.Random(seed), 20, host_calls=False)
    image = bytes(IMAGE_BASE - IMAGE_START) + guest.program.image
    body = guest.words + [
        store("sw", register, DATA, REGISTERS_AT + 4 * place)
        for place, register in enumerate(WORKING)
    ]
    theirs = body + linux_call(64, 1, IMAGE_START, IMAGE_BYTES)
    theirs += linux_call(64, 1, ZERO_START, ZERO_BYTES) + linux_call(93, 0)
    file = folder / "program"
    file.write_bytes(linux_elf(theirs, image))
    file.chmod(0o755)
    shown = subprocess.run([emulator(), str(file)], capture_output=True, check=True).stdout
    ours = from_words([*body, HALT, immediate("addi", 0, 0, 0)], base=CODE, image=image,
                      image_base=IMAGE_START)  # fmt: skip
    rows, machine = run_reference(ours)
    pieces = list(trace(ours))
    assert decode_rows(*(b"".join(part) for part in zip(*pieces, strict=True))) == rows
    after = b"".join(
        (cell.value if (cell := machine.memory.get(address)) else ours.initial(address)).to_bytes(
            4, "little"
        )
        for start, length in ((IMAGE_START, IMAGE_BYTES), (ZERO_START, ZERO_BYTES))
        for address in range(start, start + length, 4)
    )
    assert after == shown, f"seed {seed}"


def test_random_programs_run_as_under_emulation(tmp_path: Path) -> None:
    assert ZERO_START <= ZERO_BASE - 2048
    for seed in range(SEED, SEED + PROGRAMS):
        compare(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_random_programs_run_as_under_emulation(tmp_path: Path) -> None:
    for seed in range(100 * SEED, 100 * SEED + CAMPAIGN):
        compare(seed, tmp_path)
