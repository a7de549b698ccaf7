"""`p2pseq vm`: run an RV32IM program on the zkVM's machine, show the rows of its run, prove it."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import App, Parameter

from p2p_seq.cli.common import Exit, answer_json
from p2p_seq.cli.proof import File, Json, Verifier, chosen_verifier, read_proof, refusal
from p2p_seq.cli.proving import clear_progress, context_of, show_progress, store_file
from p2p_seq.protocol.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cython_core.vm.errors import VmError
    from cython_core.vm.program import Program
    from cython_core.vm.records import Row
    from cython_core.vm.run import Outcome
    from cython_core.vm.tree import Shape

app = App(name="vm", help="The zkVM's machine: run a program, see its rows, prove a run.")

Elf = Annotated[Path, Parameter(help="An RV32IM executable (docs/vm.md).")]

T = TypeVar("T")

INPUT_BYTES_MAX = 1 << 30
MEMORY_PAGES = 16_384
PAGE_KIB = 4


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a run is given."""

    input: Annotated[Path | None, Parameter(help="What IN reads: little-endian words.")] = None
    signatures: Annotated[Path | None, Parameter(help="What SIG reads: bytes 0 or 1.")] = None
    cycles: Annotated[
        int | None,
        Parameter(help="At most so many instructions; by default 2^32, with rows 2^24 - 1."),
    ] = None
    memory_pages: Annotated[int, Parameter(help="At most so many pages of 4 KiB of memory.")] = (
        MEMORY_PAGES
    )
    network: Annotated[str, Parameter(help="The network whose program id is shown.")] = "regtest"
    json: Annotated[bool, Parameter(help="Answer in JSON.", negative="")] = False

    def witness(self) -> tuple[bytes, bytes]:
        """Words and answers. Raises OperatorError."""
        return _read(self.input), _read(self.signatures)


DEFAULT = Setting()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TreeSetting:
    """The tree over the rows."""

    root: Annotated[
        bool, Parameter(help="Hash the rows into the trace tree and show its root.", negative="")
    ] = False
    groups: Annotated[int, Parameter(help="Groups of the tree.")] = 64
    depth: Annotated[int, Parameter(help="Levels of a group: it has 4^depth slots.")] = 9
    salt: Annotated[str, Parameter(help="Salt of the tree, 16 bytes in hexadecimal.")] = "00" * 16

    def chosen(self) -> "tuple[Shape, bytes] | None":
        """None without --root. Raises OperatorError."""
        from cython_core.vm.tree import SALT_BYTES, Shape

        if not self.root:
            return None
        try:
            salt = bytes.fromhex(self.salt)
        except ValueError:
            salt = b""
        if len(salt) != SALT_BYTES:
            raise OperatorError(
                f"--salt {self.salt} is none",
                f"it is not {SALT_BYTES} bytes in hexadecimal",
                "take what `BLAKE3(tag | seal digest | batch)` begins with (docs/vm.md)",
                Exit.USAGE,
            )
        try:
            return Shape(self.groups, self.depth), salt
        except ValueError as error:
            raise OperatorError(
                f"no tree has {self.groups} groups of depth {self.depth}", str(error),
                "write --groups 64 --depth 9", Exit.USAGE,
            ) from None  # fmt: skip


DEFAULT_TREE = TreeSetting()


@app.command
def run(elf: Elf, /, *, setting: Setting = DEFAULT) -> None:
    """Run a program to its end; no rows are kept.

    Example: p2pseq vm run guest.elf --input witness --cycles 100000000
    """
    from cython_core.vm.machine import DEFAULT_LIMITS, Limits
    from cython_core.vm.run import execute

    program = load_program(elf)
    cycles = DEFAULT_LIMITS.cycles if setting.cycles is None else setting.cycles
    limits = Limits(cycles, setting.memory_pages)
    words, answers = setting.witness()
    outcome = _guarded(lambda: execute(program, words, answers, limits, _progress))
    _answer({**_identity(program, setting.network), **_end(outcome)}, is_json=setting.json)


@app.command
def trace(
    elf: Elf,
    /,
    *,
    setting: Setting = DEFAULT,
    output: Annotated[Path | None, Parameter(help="Write all rows to this file.")] = None,
    print: Annotated[  # noqa: A002 - the name of the flag
        str | None, Parameter(help="Print rows FIRST:LAST of the run, counted from 1.")
    ] = None,
    tree: TreeSetting = DEFAULT_TREE,
) -> None:
    """Run a program and write its committed rows to a file, print some of them, or commit to them.

    Example: p2pseq vm trace guest.elf --input witness --print 1:20
    """
    from cython_core.vm.machine import Limits
    from cython_core.vm.operations import CLOCK_MAX
    from cython_core.vm.run import trace as rows_of

    program = load_program(elf)
    chosen, committed = _range(print), tree.chosen()
    if [output, chosen, committed].count(None) < 2:
        raise OperatorError(
            "two things at once", "--output, --print and --root exclude one another",
            "give one of them", Exit.USAGE,
        )  # fmt: skip
    cycles = CLOCK_MAX if setting.cycles is None else setting.cycles
    limits = Limits(cycles, setting.memory_pages)
    words, answers = setting.witness()
    ended: list[Outcome] = []
    pieces = rows_of(program, words, answers, limits, ended.append)
    if chosen is not None:
        _print_rows(pieces, *chosen, is_json=setting.json)
        return
    if committed is not None:
        root = _guarded(lambda: _committed(*committed, pieces, is_json=setting.json))
        facts = {**_identity(program, setting.network), **root, **_end(ended[0])}
        _answer(facts, is_json=setting.json)
        return
    written = _guarded(lambda: _write(output, program.root, pieces))
    facts = {**_identity(program, setting.network), "rows": written, **_end(ended[0])}
    if output is not None:
        facts["file"] = str(output)
    _answer(facts, is_json=setting.json)


@app.command
def prove(
    elf: Elf,
    /,
    *,
    output: Annotated[Path, Parameter(help="Write the proof to this file.")],
    setting: Setting = DEFAULT,
    threads: Annotated[int, Parameter(help="Threads of the prover.")] = os.cpu_count() or 1,
    payee: Annotated[
        str | None, Parameter(help="Bytes in hexadecimal that the proof is bound to, at most 1024.")
    ] = None,
) -> None:
    """Run a program and prove the run: that it ends and shows its statement.

    Example: p2pseq vm prove guest.elf --input witness --output run.proof
    """
    from cython_core.stark.codewords import Options
    from cython_core.vm.machine import Limits
    from cython_core.vm.operations import CLOCK_MAX
    from cython_core.zkvm.proof import prove_run

    program = load_program(elf)
    context = context_of(payee)
    prepare_key(program)
    if threads < 1:
        raise OperatorError(
            f"--threads {threads} is too few", "a prover has at least one", "leave it out", 2
        )
    if not output.absolute().parent.is_dir():
        # Told before the work, not after it.
        raise OperatorError(
            f"{output} cannot be written", "its folder is not there", "name another file", 2
        )
    limits = Limits(CLOCK_MAX if setting.cycles is None else setting.cycles, setting.memory_pages)
    words, answers = setting.witness()
    options = Options(threads=threads, progress=show_progress)
    started = perf_counter()
    proof, outcome = _guarded(
        lambda: prove_run(
            program, words, answers, limits, context=context, options=options, progress=_progress
        )
    )
    seconds = perf_counter() - started
    clear_progress()
    encoded = proof.encode()
    store_file(output, encoded)
    facts = {**_identity(program, setting.network), **_end(outcome), "payee": context.hex(),
             "bytes": len(encoded), "seconds": round(seconds, 3), "file": str(output)}  # fmt: skip
    _answer(facts, is_json=setting.json)


@app.command
def verify(
    elf: Elf,
    file: File,
    /,
    *,
    verifier: Verifier = None,
    network: Annotated[str, Parameter(help="The network whose program id is shown.")] = "regtest",
    json: Json = False,
) -> int:
    """Verify the proof of a program's run; exit code 0 if the run is proven.

    Example: p2pseq vm verify guest.elf run.proof
    """
    from cython_core.stark.errors import InvalidProof
    from cython_core.zkvm.proof import verify_run
    from cython_core.zkvm.statement import RunStatement

    name, check = chosen_verifier(verifier)
    program, proof = load_program(elf), read_proof(file)
    prepare_key(program)
    started = perf_counter()
    try:
        statement = verify_run(program, proof, check)
    except InvalidProof as error:
        raise refusal(file, error) from None
    facts = {**_identity(program, network), "statement": statement.hex(),
             "payee": proof.context.hex(), "verifier": name,
             "seconds": round(perf_counter() - started, 3)}  # fmt: skip
    if json:
        answer_json({"valid": True, **facts})
        return Exit.OK
    print(f"valid: {RunStatement(program).describe().summary}")
    _answer(facts, is_json=False)
    return Exit.OK


def prepare_key(program: "Program") -> None:
    """Derives the verification key. Raises OperatorError for a program that has none."""
    from cython_core.zkvm.statement import run_proving_key

    try:
        run_proving_key(program)
    except ValueError as error:
        raise OperatorError(
            "runs of this program cannot be proven", str(error), "link it elsewhere", Exit.USAGE
        ) from None


def load_program(file: Path) -> "Program":
    """Raises OperatorError."""
    from cython_core.vm.elf import ELF_BYTES_MAX
    from cython_core.vm.program import load_elf

    content = _content(file, ELF_BYTES_MAX, "name an RV32IM executable")
    return _guarded(lambda: load_elf(content), f"{file}: ")


def _content(file: Path, limit: int, advice: str) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        why = error.strerror or str(error)
        raise OperatorError(f"{file} cannot be read", why, advice, Exit.USAGE) from None
    if len(content) > limit:
        raise OperatorError(
            f"{file} is too long", f"more than {limit:,} bytes", "give a shorter one", Exit.USAGE
        )
    return content


def _read(file: Path | None) -> bytes:
    return b"" if file is None else _content(file, INPUT_BYTES_MAX, "name a file of words")


def _guarded(action: "Callable[[], T]", prefix: str = "") -> T:
    from cython_core.vm.errors import InvalidElf, VmError

    try:
        return action()
    except VmError as error:
        raise _failure(error, prefix, is_file=isinstance(error, InvalidElf)) from None
    except ValueError as error:
        raise OperatorError(
            "this run cannot be set up", str(error), "mend the flag or the file", Exit.USAGE
        ) from None


def _failure(error: "VmError", prefix: str, *, is_file: bool) -> OperatorError:
    code = Exit.USAGE if is_file else Exit.FAILED
    return OperatorError(prefix + error.what, error.why, error.do, code)


def _range(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, colon, last = text.partition(":")
    if colon and first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last):
        return int(first), int(last)
    raise OperatorError(
        f"--print {text!r} is no range", "it is not FIRST:LAST from 1 on", "write --print 1:20", 2
    )


def _print_rows(
    pieces: "Iterator[tuple[bytes, bytes]]", first: int, last: int, *, is_json: bool
) -> None:
    from cython_core.vm.describe import HEADINGS, describe

    answer = []
    if not is_json:
        print(HEADINGS)
    for number, row in _numbered(pieces, first, last):
        if is_json:
            answer.append({"row": number, "text": describe(number, row).strip(),
                           "record": row.encode().hex()})  # fmt: skip
        else:
            print(describe(number, row))
    if is_json:
        answer_json(answer)


def _numbered(
    pieces: "Iterator[tuple[bytes, bytes]]", first: int, last: int
) -> "Iterator[tuple[int, Row]]":
    """The chosen rows; what comes after them is not run. A trap before `last` is reported."""
    from cython_core.vm.records import NARROW_BYTES, decode_rows

    before = 0
    while before < last:
        piece = _guarded(lambda: next(pieces, None))
        if piece is None:
            return
        count = len(piece[0]) // NARROW_BYTES
        if before + count >= first:
            for offset, row in enumerate(decode_rows(*piece), 1):
                if first <= before + offset <= last:
                    yield before + offset, row
        before += count


def _write(file: Path | None, root: bytes, pieces: "Iterator[tuple[bytes, bytes]]") -> int:
    """Writes beside the file first: a run that traps leaves none."""
    from cython_core.vm.records import NARROW_BYTES
    from cython_core.vm.trace_file import write_trace

    if file is None:
        return sum(len(narrow) // NARROW_BYTES for narrow, _ in pieces)
    unfinished = file.with_name(file.name + ".unfinished")
    try:
        with unfinished.open("wb") as stream:
            rows = write_trace(stream, root, pieces)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
    except OSError as error:
        why = error.strerror or str(error)
        raise OperatorError(
            f"{file} cannot be written", why, "name another file", Exit.USAGE
        ) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return rows


def _committed(
    shape: "Shape", salt: bytes, pieces: "Iterator[tuple[bytes, bytes]]", *, is_json: bool
) -> dict[str, Any]:
    from cython_core.vm.committed import commit

    commitment = commit(shape, salt, pieces, _progress)
    facts = {"rows": commitment.rows, "slots": shape.capacity, "salt": salt.hex(),
             "trace_root": commitment.trace_root.hex()}  # fmt: skip
    if is_json:
        facts["group_roots"] = [root.hex() for root in commitment.roots]
    return facts


def _progress(cycles: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{cycles:,} cycles\r", end="", file=sys.stderr, flush=True)


def _identity(program: "Program", network: str) -> dict[str, Any]:
    from p2p_seq.protocol.tags import Tag, tagged_hash

    identity = program.identity
    return {
        "program_root": program.root.hex(),
        "program_id": _guarded(lambda: tagged_hash(network, Tag.PROGRAM, identity).hex()),
    }


def _end(outcome: "Outcome") -> dict[str, Any]:
    statement = outcome.statement
    return {
        "cycles": outcome.cycles,
        "memory_kib": outcome.pages * PAGE_KIB,
        "input_words_read": outcome.inputs_read,
        "statement": None if statement is None else statement.hex(),
    }


def _answer(facts: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        answer_json(facts)
        return
    for name, value in facts.items():
        if name == "statement" and value is None:
            text = "not shown: a word is missing or was shown more than once"
        else:
            text = f"{value:,}" if isinstance(value, int) else str(value)
        print(f"{name.replace('_', ' '):<17} {text}")
