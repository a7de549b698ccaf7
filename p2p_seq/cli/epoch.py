"""`p2pseq epoch`: prove the sealed epochs of a home, and verify such proofs."""

import os
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from p2p_seq.cli.common import Exit, Options, answer_json, load
from p2p_seq.cli.proof import Verifier, chosen_verifier, read_proof, refusal
from p2p_seq.cli.proving import clear_progress, context_of, show_progress, store_file
from p2p_seq.protocol.errors import OperatorError

if TYPE_CHECKING:
    from p2p_seq.epochs.proofs import EpochRuns
    from p2p_seq.epochs.recompute import BatchRun

app = App(name="epoch", help="Sealed epochs of a home: prove them, verify proofs of them.")

Number = Annotated[int, Parameter(help="The number of a sealed epoch.")]

DEFAULTS = Options()


@app.command
def prove(
    epoch: Number,
    /,
    *,
    output: Annotated[Path, Parameter(help="The folder for the proofs, one for each batch.")],
    options: Options = DEFAULTS,
    threads: Annotated[int, Parameter(help="Threads of the prover.")] = os.cpu_count() or 1,
    payee: Annotated[
        str | None, Parameter(help="Bytes in hexadecimal that the proofs are bound to.")
    ] = None,
) -> None:
    """Prove a sealed epoch: recompute the chain up to it, then prove each of its batches.

    Example: p2pseq epoch prove 3 --home testnet-data/node0 --output proofs
    """
    from cython_core.stark.codewords import Options as ProverOptions
    from cython_core.vm.errors import VmError
    from p2p_seq.epochs.proofs import prove_batch

    if threads < 1:
        raise OperatorError(
            f"--threads {threads} is too few", "a prover has at least one", "leave it out", 2
        )
    context = context_of(payee)
    _make_folder(output)
    answers = []
    for batch in _runs(epoch, options).batches:
        started = perf_counter()
        prover = ProverOptions(threads=threads, progress=show_progress)
        try:
            proof, outcome = prove_batch(batch, context, prover)
        except VmError as error:
            what = f"batch {batch.batch} of epoch {epoch}: {error.what}"
            raise OperatorError(what, error.why, error.do, Exit.FAILED) from None
        clear_progress()
        file = output / f"epoch-{epoch}-batch-{batch.batch}.proof"
        encoded = proof.encode()
        store_file(file, encoded)
        answers.append(
            {**_described(batch), "rows": outcome.cycles, "bytes": len(encoded),
             "seconds": round(perf_counter() - started, 3), "file": str(file)}
        )  # fmt: skip
    _answer(epoch, answers, is_json=options.json)


@app.command
def verify(
    epoch: Number,
    /,
    *files: Annotated[Path, Parameter(help="A proof of each batch, in order.")],
    options: Options = DEFAULTS,
    verifier: Verifier = None,
) -> int:
    """Verify proofs of a sealed epoch against this home's own recomputation; exit code 0 if all
    of its batches are proven.

    Example: p2pseq epoch verify 3 proofs/epoch-3-batch-0.proof --home testnet-data/node1
    """
    from cython_core.stark.errors import InvalidProof
    from p2p_seq.epochs.proofs import NOT_PROVEN, verify_batch

    name, check = chosen_verifier(verifier)
    runs = _runs(epoch, options)
    if len(files) != len(runs.batches):
        raise OperatorError(
            f"{len(files)} proofs do not prove epoch {epoch}",
            f"it has {len(runs.batches)} batches",
            "name one proof for each batch, in order",
            Exit.USAGE,
        )
    answers = []
    for batch, file in zip(runs.batches, files, strict=True):
        started = perf_counter()
        try:
            proof = read_proof(file)
            verify_batch(batch, proof, check)
        except InvalidProof as error:
            raise refusal(file, error) from None
        answers.append(
            {**_described(batch), "valid": True, "payee": proof.context.hex(), "verifier": name,
             "not_proven": NOT_PROVEN, "seconds": round(perf_counter() - started, 3)}
        )  # fmt: skip
    _answer(epoch, answers, is_json=options.json)
    return Exit.OK


def _runs(epoch: int, options: Options) -> "EpochRuns":
    from p2p_seq.epochs.proofs import epoch_runs
    from p2p_seq.epochs.recompute import RecomputeError
    from p2p_seq.node.node import load_genesis
    from p2p_seq.protocol.types import Epoch

    if epoch < 0:
        raise OperatorError(f"{epoch} is no epoch", "it is negative", "name one from 0 on", 2)
    loaded = load(options)
    genesis = load_genesis(loaded).genesis
    try:
        return epoch_runs(loaded.home, genesis, Epoch(epoch))
    except RecomputeError as error:
        raise OperatorError(
            "the stored chain does not hold", str(error), "restore the home from a good copy"
        ) from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or str(error)
        raise OperatorError(
            f"{folder} is no folder for proofs", why, "name another one", Exit.USAGE
        ) from None


def _described(batch: "BatchRun") -> dict[str, Any]:
    return {
        "batch": batch.batch,
        "first_height": batch.first_height,
        "last_height": batch.last_height,
        "transactions": len(batch.run.answers),
        "statement": batch.run.statement.hex(),
    }


def _answer(epoch: int, batches: list[dict[str, Any]], *, is_json: bool) -> None:
    if is_json:
        answer_json({"epoch": epoch, "batches": batches})
        return
    for batch in batches:
        print(f"epoch {epoch}")
        for name, value in batch.items():
            print(f"  {name.replace('_', ' '):<13} {value}")
