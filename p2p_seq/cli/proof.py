"""`p2pseq proof`: what a proof file says, and whether it is right."""

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from p2p_seq.cli.common import Exit, answer_json
from p2p_seq.protocol.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cython_core.air.key import VerificationKey
    from cython_core.stark.checking import Verify
    from cython_core.stark.errors import InvalidProof
    from cython_core.stark.proof import Proof
    from cython_core.stark.statement import Statement

app = App(name="proof", help="Proof files: what they say, and whether it is proven.")

Json = Annotated[bool, Parameter(name="--json", help="Answer in JSON.", negative="")]
File = Annotated[Path, Parameter(help="A proof file.")]
Verifier = Annotated[
    Literal["compiled", "python"] | None,
    Parameter(help="Which of the two verifiers; by default the compiled one if it is built."),
]


@app.command
def info(
    file: File,
    /,
    *,
    elf: Annotated[
        Path | None, Parameter(help="The program, where the proof is of a program's run.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what a proof file claims, its sizes and its security; nothing is verified.

    Example: p2pseq proof info block-12.proof
    """
    from cython_core.stark.errors import InvalidProof

    proof = read_proof(file)
    try:
        statement = _statement(file, proof) if elf is None else _run_statement(elf, proof)
        facts = _facts(proof, statement)
    except InvalidProof as error:
        raise refusal(file, error) from None
    if json:
        answer_json(facts)
    else:
        _print_facts(facts)
        command = "proof verify" if elf is None else "vm verify"
        print(f"Nothing of this is verified: `p2pseq {command}` does that.")


@app.command
def verify(
    file: File,
    /,
    *,
    verifier: Verifier = None,
    json: Json = False,
) -> int:
    """Verify a proof file; exit code 0 if what it says is proven.

    Example: p2pseq proof verify block-12.proof --verifier python
    """
    from cython_core.stark.checking import check_proof
    from cython_core.stark.errors import InvalidProof

    name, check = chosen_verifier(verifier)
    proof = read_proof(file)
    started = perf_counter()
    try:
        statement = _statement(file, proof)
        check_proof(proof, statement, check)
    except InvalidProof as error:
        raise refusal(file, error) from None
    seconds = perf_counter() - started
    if json:
        answer_json({"valid": True, "verifier": name, "seconds": round(seconds, 3)})
        return Exit.OK
    print(f"valid: {statement.describe().summary}")
    for value in statement.label(proof.publics):
        print(f"  {value.label}: {value.text}")
    print(f"{name} verifier, {seconds:.3f} s")
    return Exit.OK


def chosen_verifier(wanted: str | None) -> "tuple[str, Verify]":
    """Name and function of a verifier. Raises OperatorError where it is not built."""
    from cython_core.stark.checking import VerifierName, default_verifier, find_verifier

    name = VerifierName(wanted) if wanted else default_verifier()
    check = find_verifier(name)
    if check is None:
        raise OperatorError(
            f"there is no {name} verifier here",
            "its extension is not built",
            "run ./dev setup, or give --verifier python",
            Exit.USAGE,
        )
    return name.value, check


def read_proof(file: Path) -> "Proof":
    """The file's proof, not verified. Raises OperatorError."""
    from cython_core.stark.errors import InvalidProof
    from cython_core.stark.proof import FILE_BYTES_MAX, Proof

    try:
        with file.open("rb") as stream:
            encoded = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise OperatorError(
            f"{file} cannot be read", error.strerror or str(error), "name a proof file", Exit.USAGE
        ) from None
    try:
        return Proof.decode(encoded)
    except InvalidProof as error:
        raise refusal(file, error) from None


def _statement(file: Path, proof: "Proof") -> "Statement":
    from cython_core.chips.statements import STATEMENTS
    from cython_core.stark.proof import statement_of

    if proof.statement not in STATEMENTS:
        # Only now: loading the machine's tables takes a moment.
        from cython_core.zkvm.statement import NAME

        if proof.statement == NAME:
            raise OperatorError(
                f"{file} is a proof of a program's run",
                "what it proves follows from the program, which is not in the file",
                f"give the program too: p2pseq vm verify ELF {file}",
                Exit.USAGE,
            )
    return statement_of(proof, STATEMENTS)


def _run_statement(elf: Path, proof: "Proof") -> "Statement":
    """That of the program's runs. Raises OperatorError for a program that has none."""
    from cython_core.stark.proof import statement_of
    from cython_core.zkvm.statement import NAME, RunStatement
    from p2p_seq.cli.vm import load_program, prepare_key

    program = load_program(elf)
    prepare_key(program)
    return statement_of(proof, {NAME: RunStatement(program)})


ADVICE = {
    "bad-envelope": "get the file again; it is damaged or no proof file",
    "unknown-statement": "use the version of the program that made the file",
    "wrong-key": "use the version of the program that made the file",
    "bad-key": "report this: the program's own key is broken",
    "no-memory": "give --verifier python",
}


def refusal(file: Path, error: "InvalidProof") -> OperatorError:
    """What is said of a file that proves nothing."""
    advice = ADVICE.get(error.reason, "do not rely on it; ask for another proof")
    return OperatorError(f"{file} proves nothing", str(error), advice, Exit.FAILED)


def _facts(proof: "Proof", statement: "Statement") -> dict[str, Any]:
    from cython_core.stark.checking import claimed_heights, statement_key
    from cython_core.stark.parameters import preset_name, security_of, shape_of

    key = statement_key(statement)
    heights = claimed_heights(proof, key)
    security = security_of(key.parameters, shape_of(key.system, heights))
    description = statement.describe()
    return {
        "statement": proof.statement,
        "summary": description.summary,
        "proven": list(description.proven),
        "not_proven": list(description.not_proven),
        "publics": {value.label: value.text for value in _labels(proof, statement)},
        "context": proof.context.hex(),
        "tables": _tables(key, heights),
        "bytes": {"file": len(proof.encode()), "proof": len(proof.body)},
        "parameters": {
            "name": preset_name(key.parameters),
            "blowup": 1 << key.parameters.blowup_log,
            "queries": key.parameters.queries,
            "query_grinding": key.parameters.query_grinding,
            "commit_grinding": key.parameters.commit_grinding,
            "fold": 1 << key.parameters.fold_log,
        },
        "security": {
            "bits": security.bits,
            "unique_decoding_bits": int(security.unique.bits),
            "label": security.label(),
        },
        "key_digest": key.digest().hex(),
    }


def _labels(proof: "Proof", statement: "Statement") -> "list[Any]":
    from cython_core.stark.errors import InvalidProof, Reason

    try:
        return list(statement.label(proof.publics))
    except ValueError as error:
        raise InvalidProof(Reason.BAD_PUBLICS, str(error)) from None


def _tables(key: "VerificationKey", heights: "Sequence[int]") -> list[dict[str, Any]]:
    return [
        {
            "name": table.name,
            "rows": 1 << height,
            "main": table.main_width,
            "preprocessed": table.preprocessed_width,
            "auxiliary": table.auxiliary_width,
        }
        for table, height in zip(key.system.tables, heights, strict=True)
    ]


def _print_facts(facts: dict[str, Any]) -> None:
    print(f"{facts['statement']}: {facts['summary']}")
    for title, lines in (("proven", facts["proven"]), ("not proven", facts["not_proven"])):
        for line in lines:
            print(f"{title:<12} {line}")
    for label, text in facts["publics"].items():
        print(f"{'public':<12} {label}: {text}")
    if facts["context"]:
        print(f"{'context':<12} {facts['context']}")
    for table in facts["tables"]:
        widths = f"{table['main']} + {table['preprocessed']} + {table['auxiliary']} columns"
        print(f"{'table':<12} {table['name']}: {table['rows']:,} rows, {widths}")
    parameters = facts["parameters"]
    name = parameters["name"] or "of their own"
    print(
        f"{'parameters':<12} {name}: blowup {parameters['blowup']}, "
        f"{parameters['queries']} queries, fold {parameters['fold']}, "
        f"grinding {parameters['query_grinding']} and {parameters['commit_grinding']} bits"
    )
    print(f"{'security':<12} {facts['security']['label']}")
    print(f"{'key':<12} {facts['key_digest']}")
    print(f"{'size':<12} {facts['bytes']['proof']:,} bytes")
