"""`p2pseq proof`: what files claim, whether it holds, and three lines for what is wrong."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cython_core.air.table import PublicInteraction
from cython_core.stark.checking import VerifierName, find_verifier
from cython_core.stark.proof import Proof
from cython_core.stark.statement import Description, LabelledValue
from p2p_seq.cli.common import Exit
from p2p_seq.cli.main import run
from tests.support.reference_systems import fibonacci

Captured = pytest.CaptureFixture[str]
VERIFIERS = [name.value for name in VerifierName if find_verifier(name)]


class Fibonacci:
    """A statement as `cython_core.chips.statements` has them."""

    name = "fibonacci"

    def describe(self) -> Description:
        return Description(
            "a sequence starts and ends like this",
            ("each element is the sum of the two before it",),
            ("how long the sequence is",),
        )

    def key(self) -> bytes:
        return fibonacci().key

    def public_count(self) -> int:
        return 3

    def label(self, publics: Sequence[int]) -> list[LabelledValue]:
        if publics[1] == 0:
            raise ValueError("the second element is 0")
        return [LabelledValue("start", f"{publics[0]}"), LabelledValue("end", f"{publics[2]}")]

    def interactions(self, publics: Sequence[int]) -> list[PublicInteraction]:
        self.label(publics)
        return []


@pytest.fixture(autouse=True)
def _statements(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("cython_core.chips.statements")
    module.STATEMENTS = {"fibonacci": Fibonacci()}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture(scope="session")
def proof() -> Proof:
    case = fibonacci()
    return Proof("fibonacci", case.context, case.publics, case.prove())


@pytest.fixture
def file(proof: Proof, tmp_path: Path) -> Path:
    path = tmp_path / "fibonacci.proof"
    path.write_bytes(proof.encode())
    return path


def failed(capsys: Captured, *arguments: str, code: int = Exit.FAILED) -> list[str]:
    assert run(["proof", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def answered(capsys: Captured, *arguments: str) -> Any:
    assert run(["proof", *arguments, "--json"]) == Exit.OK
    return json.loads(capsys.readouterr().out)


def test_info_says_what_is_claimed_and_that_it_is_unverified(
    file: Path, proof: Proof, capsys: Captured
) -> None:
    assert run(["proof", "info", str(file)]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[:7] == [
        "fibonacci: a sequence starts and ends like this",
        "proven       each element is the sum of the two before it",
        "not proven   how long the sequence is",
        "public       start: 1",
        f"public       end: {proof.publics[2]}",
        f"context      {b'to whom it is paid'.hex()}",
        "table        fibonacci: 16 rows, 2 + 0 + 0 columns",
    ]
    assert lines[7] == (
        "parameters   of their own: blowup 4, 5 queries, fold 4, grinding 3 and 1 bits"
    )
    assert lines[8].startswith("security     7 bits proven (random-oracle model; Johnson bound")
    assert lines[9].startswith("key          ")
    assert lines[10] == f"size         {len(proof.body):,} bytes"
    assert lines[11:] == ["Nothing of this is verified: `p2pseq proof verify` does that."]


def test_info_in_json(file: Path, proof: Proof, capsys: Captured) -> None:
    facts = answered(capsys, "info", str(file))
    assert facts["statement"] == "fibonacci"
    assert facts["publics"] == {"start": "1", "end": str(proof.publics[2])}
    assert facts["tables"] == [
        {"name": "fibonacci", "rows": 16, "main": 2, "preprocessed": 0, "auxiliary": 0}
    ]
    assert facts["bytes"] == {"file": file.stat().st_size, "proof": len(proof.body)}
    assert facts["security"]["bits"] == 7


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_a_valid_proof(file: Path, proof: Proof, capsys: Captured, verifier: str) -> None:
    assert run(["proof", "verify", str(file), "--verifier", verifier]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "valid: a sequence starts and ends like this",
        "  start: 1",
        f"  end: {proof.publics[2]}",
    ]
    assert lines[3].startswith(f"{verifier} verifier, ")


def test_the_compiled_verifier_is_the_default(file: Path, capsys: Captured) -> None:
    outcome = answered(capsys, "verify", str(file))
    assert outcome["valid"] is True
    assert outcome["verifier"] == VERIFIERS[0]


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_a_false_claim(file: Path, proof: Proof, capsys: Captured, verifier: str) -> None:
    other = Proof(proof.statement, proof.context, (2, 1, proof.publics[2]), proof.body)
    file.write_bytes(other.encode())
    lines = failed(capsys, "verify", str(file), "--verifier", verifier)
    assert lines == [
        f"error: {file} proves nothing",
        "  why: constraints",
        "   do: do not rely on it; ask for another proof",
    ]


@pytest.mark.parametrize("command", ["info", "verify"])
def test_what_is_no_proof_file(tmp_path: Path, capsys: Captured, command: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"hello")
    assert failed(capsys, command, str(path)) == [
        f"error: {path} proves nothing",
        "  why: bad-envelope: it does not begin like a proof file",
        "   do: get the file again; it is damaged or no proof file",
    ]
    assert failed(capsys, command, str(tmp_path / "y"), code=Exit.USAGE) == [
        f"error: {tmp_path / 'y'} cannot be read",
        "  why: No such file or directory",
        "   do: name a proof file",
    ]


@pytest.mark.parametrize("command", ["info", "verify"])
@pytest.mark.parametrize(
    ("changed", "why", "advice"),
    [
        (
            Proof("other", b"", (), b""),
            "unknown-statement: 'other'",
            "use the version of the program that made the file",
        ),
        (
            Proof("fibonacci", b"", (1, 0, 1), bytes(41)),
            "bad-publics: the second element is 0",
            "do not rely on it; ask for another proof",
        ),
    ],
)
def test_files_that_claim_nonsense(
    file: Path, capsys: Captured, command: str, changed: Proof, why: str, advice: str
) -> None:
    file.write_bytes(changed.encode())
    assert failed(capsys, command, str(file)) == [
        f"error: {file} proves nothing",
        f"  why: {why}",
        f"   do: {advice}",
    ]


def test_a_body_that_is_too_short_for_its_heights(file: Path, capsys: Captured) -> None:
    file.write_bytes(Proof("fibonacci", b"", (1, 1, 2), bytes(40)).encode())
    assert failed(capsys, "info", str(file))[1] == (
        "  why: truncated: it ends before the heights of the tables"
    )
    file.write_bytes(Proof("fibonacci", b"", (1, 1, 2), bytes(40) + b"\xff").encode())
    assert failed(capsys, "info", str(file))[1] == (
        "  why: bad-height: table fibonacci: 2^255 rows"
    )


def test_errors_in_json(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"P2PF")
    assert run(["proof", "verify", str(path), "--json"]) == Exit.FAILED
    assert json.loads(capsys.readouterr().out)["error"] == {
        "what": f"{path} proves nothing",
        "why": "bad-envelope: it ends after 4 bytes",
        "do": "get the file again; it is damaged or no proof file",
        "code": 1,
    }
