"""`p2pseq vm prove` and `verify`: proofs of runs, and three lines for what is wrong."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cython_core.stark.checking import VerifierName, find_verifier
from cython_core.stark.proof import Proof
from cython_core.vm.program import Program, load_elf
from cython_core.vm.run import execute
from cython_core.zkvm.proof import prove_run
from p2p_seq.cli.common import Exit
from p2p_seq.cli.main import run
from p2p_seq.cli.proving import BAR_WIDTH
from p2p_seq.protocol.tags import Tag, tagged_hash
from tests.unit.cython_core.vm_programs import HALT, Guest, program_of
from tests.unit.cython_core.zkvm_runs import SMALL, elf_of

Captured = pytest.CaptureFixture[str]
VERIFIERS = [name.value for name in VerifierName if find_verifier(name)]
PAYEE = "00ff" * 16


@dataclass(frozen=True)
class Files:
    folder: Path
    elf: Path
    input: Path
    answers: Path
    proof: Path

    @property
    def program(self) -> Program:
        return load_elf(self.elf.read_bytes())

    @property
    def witness(self) -> tuple[str, ...]:
        return "--input", str(self.input), "--signatures", str(self.answers)

    def written(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)


@pytest.fixture(scope="module")
def module_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("proofs")
    files = Files(folder, *(folder / name for name in ("elf", "input", "answers", "proof")))
    files.elf.write_bytes(elf_of(SMALL))
    files.input.write_bytes(SMALL.inputs)
    files.answers.write_bytes(SMALL.answers)
    proof, _ = prove_run(files.program, SMALL.inputs, SMALL.answers, context=bytes.fromhex(PAYEE))
    files.proof.write_bytes(proof.encode())
    return files


@pytest.fixture
def files(module_files: Files, tmp_path: Path) -> Files:
    return replace(module_files, folder=tmp_path)


def answered(capsys: Captured, *arguments: str) -> Any:
    assert run([*arguments, "--json"]) == Exit.OK
    return json.loads(capsys.readouterr().out)


def failed(capsys: Captured, *arguments: str, code: int) -> list[str]:
    assert run([*arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def identity(program: Program) -> dict[str, str]:
    return {
        "program_root": program.root.hex(),
        "program_id": tagged_hash("regtest", Tag.PROGRAM, program.identity).hex(),
    }


def statement_of(program: Program) -> str:
    statement = execute(program, SMALL.inputs, SMALL.answers).statement
    assert statement is not None
    return statement.hex()


def test_prove(capsys: Captured, files: Files) -> None:
    output = files.folder / "made"
    target = ("--output", str(output), "--payee", PAYEE, "--threads", "2")
    answer = answered(capsys, "vm", "prove", str(files.elf), *files.witness, *target)
    assert answer.pop("seconds") > 0
    proof = Proof.decode(output.read_bytes())
    assert proof.context == bytes.fromhex(PAYEE)
    assert answer == {
        **identity(files.program),
        "cycles": 24,
        "memory_kib": 8,
        "input_words_read": 1,
        "statement": statement_of(files.program),
        "payee": PAYEE,
        "bytes": output.stat().st_size,
        "file": str(output),
    }
    # What a proof is does not depend on the threads.
    assert output.read_bytes() == files.proof.read_bytes()
    assert [path.name for path in files.folder.iterdir()] == ["made"]


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_verify(capsys: Captured, files: Files, verifier: str) -> None:
    arguments = ("vm", "verify", str(files.elf), str(files.proof), "--verifier", verifier)
    answer = answered(capsys, *arguments)
    assert answer.pop("seconds") >= 0
    assert answer == {
        "valid": True,
        **identity(files.program),
        "statement": statement_of(files.program),
        "payee": PAYEE,
        "verifier": verifier,
    }
    assert run([*arguments]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("valid: The program with this root runs to its end")
    assert f"statement         {statement_of(files.program)}" in lines


def test_verify_refuses(capsys: Captured, files: Files) -> None:
    proof = Proof.decode(files.proof.read_bytes())
    other = files.written("other", elf_of(replace(SMALL, words=[*SMALL.words, HALT])))
    lines = failed(capsys, "vm", "verify", other, str(files.proof), code=Exit.FAILED)
    assert lines[0] == f"error: {files.proof} proves nothing"
    assert f"it is about the program with root {files.program.root.hex()}" in lines[1]
    payee = files.written("payee", replace(proof, context=b"me").encode())
    assert failed(capsys, "vm", "verify", str(files.elf), payee, code=Exit.FAILED)[0] == (
        f"error: {payee} proves nothing"
    )
    tree = files.written("tree", replace(proof, statement="tree-update").encode())
    assert "this is no proof of rv32im" in failed(
        capsys, "vm", "verify", str(files.elf), tree, code=Exit.FAILED
    )[1]  # fmt: skip
    damaged = files.written("damaged", files.proof.read_bytes()[:-1])
    failed(capsys, "vm", "verify", str(files.elf), damaged, code=Exit.FAILED)


@pytest.mark.parametrize("command", ["info", "verify"])
def test_a_file_alone_does_not_say_which_program(
    capsys: Captured, files: Files, command: str
) -> None:
    assert failed(capsys, "proof", command, str(files.proof), code=Exit.USAGE) == [
        f"error: {files.proof} is a proof of a program's run",
        "  why: what it proves follows from the program, which is not in the file",
        f"   do: give the program too: p2pseq vm verify ELF {files.proof}",
    ]


def test_info_with_the_program(capsys: Captured, files: Files) -> None:
    answer = answered(capsys, "proof", "info", str(files.proof), "--elf", str(files.elf))
    assert answer["statement"] == "rv32im"
    assert answer["publics"]["statement"] == statement_of(files.program)
    assert answer["context"] == PAYEE
    assert answer["security"]["bits"] >= 100
    assert {"program", "image", "memory", "registers", "facts", "blake3"} <= {
        table["name"] for table in answer["tables"]
    }
    assert run(["proof", "info", str(files.proof), "--elf", str(files.elf)]) == Exit.OK
    assert "`p2pseq vm verify` does that" in capsys.readouterr().out


def test_what_cannot_be_proven(capsys: Captured, files: Files) -> None:
    output = ("--output", str(files.folder / "none"))
    silent = Guest(program_of(HALT, image=b"."), b"", b"", [HALT])
    elf = files.written("silent", elf_of(silent))
    assert failed(capsys, "vm", "prove", elf, *output, code=Exit.FAILED) == [
        "error: this run shows no statement",
        "  why: a word of it is missing or was shown more than once",
        "   do: let the program show each word of its statement once: OUT 0 to OUT 7",
    ]
    lines = failed(capsys, "vm", "prove", str(files.elf), *output, code=Exit.FAILED)
    assert lines[0].endswith("input-exhausted")
    high = replace(SMALL.program, rom_base=1 << 31, entry=1 << 31)
    elf = files.written("high", elf_of(replace(SMALL, program=high)))
    for arguments in (("prove", elf, *output), ("verify", elf, str(files.proof))):
        assert failed(capsys, "vm", *arguments, code=Exit.USAGE) == [
            "error: runs of this program cannot be proven",
            "  why: its code ends at 0x80000060; runs are proven of code below 0x80000000",
            "   do: link it elsewhere",
        ]
    assert not (files.folder / "none").exists()


@pytest.mark.parametrize("payee", ["0", "xy", "00" * 1025])
def test_payees_that_are_none(capsys: Captured, files: Files, payee: str) -> None:
    arguments = ("vm", "prove", str(files.elf), "--output", "x", "--payee", payee)
    assert failed(capsys, *arguments, code=Exit.USAGE)[1:] == [
        "  why: it is not at most 1024 bytes in hexadecimal",
        "   do: write two digits for each byte, such as a public key",
    ]


def test_other_flags(capsys: Captured, files: Files) -> None:
    arguments = ("vm", "prove", str(files.elf), *files.witness)
    lines = failed(capsys, *arguments, "--output", "x", "--threads", "0", code=Exit.USAGE)
    assert lines[0] == "error: --threads 0 is too few"
    nowhere = str(files.folder / "missing" / "proof")
    lines = failed(capsys, *arguments, "--output", nowhere, code=Exit.USAGE)
    assert lines[:2] == [f"error: {nowhere} cannot be written", "  why: its folder is not there"]
    folder = str(files.folder)
    lines = failed(capsys, *arguments, "--output", folder, code=Exit.USAGE)
    assert lines[0] == f"error: {folder} cannot be written"


def test_progress_on_a_terminal(
    capsys: Captured, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    arguments = ("vm", "prove", str(files.elf), *files.witness)
    assert run([*arguments, "--output", str(files.folder / "made")]) == Exit.OK
    shown = capsys.readouterr().err.split("\r")
    assert "24 cycles" in shown
    assert f"[{'#' * BAR_WIDTH}] queries " in shown
    assert shown[-2].strip() == ""
