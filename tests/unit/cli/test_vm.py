"""`p2pseq vm`: runs, rows, and three lines for what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from cython_core.vm.program import load_elf
from cython_core.vm.trace_file import read_trace
from cython_core.vm.tree import Shape, Tree
from p2p_seq.cli.common import Exit
from p2p_seq.cli.main import run
from p2p_seq.protocol.tags import Tag, tagged_hash

Captured = pytest.CaptureFixture[str]
EXAMPLE = Path(__file__).parents[3] / "cython_core/guest/example/hash.elf"
BLOCKS = bytes(range(128))
JALR_LINE = (
    "       6  0x00010014: JALR    0x00000090 | x1=0x00010010@5 |  | x1=0x00010018 -> 0x000100a0"
)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "input"
    path.write_bytes((2).to_bytes(4, "little") + BLOCKS)
    return path


def answered(capsys: Captured, *arguments: str) -> Any:
    assert run(["vm", *arguments, "--json"]) == Exit.OK
    return json.loads(capsys.readouterr().out)


def failed(capsys: Captured, *arguments: str, code: int = Exit.FAILED) -> list[str]:
    assert run(["vm", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_run(capsys: Captured, words: Path) -> None:
    answer = answered(capsys, "run", str(EXAMPLE), "--input", str(words))
    program = load_elf(EXAMPLE.read_bytes())
    assert answer == {
        "program_root": program.root.hex(),
        "program_id": tagged_hash("regtest", Tag.PROGRAM, program.identity).hex(),
        "cycles": 246,
        "memory_kib": 8,
        "input_words_read": 33,
        "statement": blake3(BLOCKS).hexdigest(),
    }
    assert run(["vm", "run", str(EXAMPLE), "--input", str(words)]) == Exit.OK
    assert f"statement         {blake3(BLOCKS).hexdigest()}" in capsys.readouterr().out


def test_the_program_id_is_that_of_the_network(capsys: Captured, words: Path) -> None:
    arguments = ("run", str(EXAMPLE), "--input", str(words), "--network", "signet")
    program = load_elf(EXAMPLE.read_bytes())
    expected = tagged_hash("signet", Tag.PROGRAM, program.identity).hex()
    assert answered(capsys, *arguments)["program_id"] == expected


def test_trace_writes_the_rows(capsys: Captured, words: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows"
    arguments = ("trace", str(EXAMPLE), "--input", str(words), "--output", str(file))
    answer = answered(capsys, *arguments)
    root, rows = read_trace(file.read_bytes())
    assert root.hex() == answer["program_root"]
    assert len(rows) == answer["rows"] == answer["cycles"] == 246
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input", "rows"]


def test_trace_prints_a_range(capsys: Captured, words: Path) -> None:
    arguments = ["trace", str(EXAMPLE), "--input", str(words), "--print", "6:7"]
    assert run(["vm", *arguments]) == Exit.OK
    assert capsys.readouterr().out.splitlines() == [
        "row  pc: operation operands | sources @ last access | memory @ last access | rd -> npc",
        JALR_LINE,
        "       7  0x000100a0: IN      0x00000000 |  |  | x17=0x00000002 -> 0x000100a4",
    ]
    rows = answered(capsys, *arguments)
    assert [row["row"] for row in rows] == [6, 7]
    assert len(rows[0]["record"]) == 2 * 52


def test_trace_commits_to_the_rows(capsys: Captured, words: Path, tmp_path: Path) -> None:
    salt = bytes(range(16))
    arguments = ("trace", str(EXAMPLE), "--input", str(words), "--root", "--groups", "3")
    answer = answered(capsys, *arguments, "--depth", "4", "--salt", salt.hex())
    file = tmp_path / "rows"
    answered(capsys, "trace", str(EXAMPLE), "--input", str(words), "--output", str(file))
    roots = Tree(Shape(3, 4), salt, read_trace(file.read_bytes())[1]).roots
    assert answer["rows"] == 246
    assert answer["slots"] == 768
    assert answer["group_roots"] == [root.hex() for root in roots]
    assert answer["trace_root"] == blake3(b"".join(roots)).hexdigest()


def test_what_no_tree_has(capsys: Captured, words: Path) -> None:
    arguments = ("trace", str(EXAMPLE), "--input", str(words), "--root")
    usage = {"code": Exit.USAGE}
    small = failed(capsys, *arguments, "--groups", "3", "--depth", "3", **usage)
    assert small[1] == "  why: there are more rows than slots"
    assert failed(capsys, *arguments, "--depth", "13", **usage) == [
        "error: no tree has 64 groups of depth 13",
        "  why: a tree has at most 2^24 slots and a depth from 1 to 12",
        "   do: write --groups 64 --depth 9",
    ]
    for salt in ("00", "z" * 32):
        lines = failed(capsys, *arguments, "--salt", salt, **usage)
        assert lines[:2] == [f"error: --salt {salt} is none",
                             "  why: it is not 16 bytes in hexadecimal"]  # fmt: skip
    assert failed(capsys, *arguments, "--print", "1:2", **usage) == [
        "error: two things at once",
        "  why: --output, --print and --root exclude one another",
        "   do: give one of them",
    ]


def test_a_program_that_is_none(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("hello")
    assert failed(capsys, "run", str(path), code=Exit.USAGE) == [
        f"error: {path}: this is no program for the machine",
        "  why: it does not start like an ELF file",
        "   do: link a static executable for -march=rv32im -mabi=ilp32 (see docs/vm.md)",
    ]


@pytest.mark.parametrize("command", ["run", "trace"])
def test_a_trap_names_pc_and_cycles(capsys: Captured, command: str) -> None:
    assert failed(capsys, command, str(EXAMPLE)) == [
        "error: the guest stopped at pc 0x000100a0 after 6 cycles: input-exhausted",
        "  why: there is no further input word or signature answer",
        "   do: give a longer --input, or let the program read less",
    ]


@pytest.mark.parametrize("command", ["run", "trace"])
def test_cycles_are_bounded(capsys: Captured, command: str, words: Path) -> None:
    lines = failed(capsys, command, str(EXAMPLE), "--input", str(words), "--cycles", "100")
    assert lines[0].endswith("after 100 cycles: cycle-limit")


def test_memory_is_bounded(capsys: Captured, words: Path) -> None:
    lines = failed(capsys, "run", str(EXAMPLE), "--input", str(words), "--memory-pages", "1")
    assert lines[0].endswith("memory-limit")


def test_a_trap_leaves_no_file(capsys: Captured, tmp_path: Path) -> None:
    failed(capsys, "trace", str(EXAMPLE), "--output", str(tmp_path / "rows"))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_set_up(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"abc")
    usage = {"code": Exit.USAGE}
    assert failed(capsys, "run", str(EXAMPLE), "--input", str(path), **usage) == [
        "error: this run cannot be set up",
        "  why: inputs are whole words, and signature answers are 0 or 1",
        "   do: mend the flag or the file",
    ]
    missing = tmp_path / "missing"
    assert failed(capsys, "run", str(missing), **usage) == [
        f"error: {missing} cannot be read",
        "  why: No such file or directory",
        "   do: name an RV32IM executable",
    ]
    assert failed(capsys, "trace", str(EXAMPLE), "--print", "5:4", **usage)[0] == (
        "error: --print '5:4' is no range"
    )
    both = ("trace", str(EXAMPLE), "--print", "1:2", "--output", str(tmp_path / "rows"))
    assert failed(capsys, *both, **usage)[0] == "error: two things at once"
