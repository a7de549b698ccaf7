"""Proofs of an epoch's batches: each is one run of the ledger's program on the machine.

What a proof of a batch means: with some witness, the program leads to the statement that the batch
has. Since the statement hashes roots, inputs and outputs that whoever checks has recomputed from
the finalised blocks, the transition is proven. Signatures and what comes from Bitcoin are not in
it: `recompute` checks the former, the chain's rules the latter.
"""

from dataclasses import dataclass
from pathlib import Path

from cython_core.guest.program import ledger_program
from cython_core.stark.checking import Verify
from cython_core.stark.codewords import Options
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.stark.proof import Proof
from cython_core.vm.run import Outcome
from cython_core.zkvm.proof import prove_run, verify_run
from p2p_seq.epochs.recompute import BatchRun, Enough, recompute
from p2p_seq.protocol.errors import LocalError, OperatorError
from p2p_seq.protocol.genesis import Genesis
from p2p_seq.protocol.types import Epoch

NOT_PROVEN = "signatures (every peer checks them) and what blocks take from Bitcoin"
"""Beside the statement itself: what a certificate of this kind leaves open."""


@dataclass(frozen=True, slots=True)
class EpochRuns:
    """The batches of a sealed epoch, in order."""

    epoch: Epoch
    batches: tuple[BatchRun, ...]


def epoch_runs(home: Path, genesis: Genesis, epoch: Epoch) -> EpochRuns:
    """Recomputed from genesis to the epoch's seal, which the store must have.

    Raises RecomputeError where the store does not hold, OperatorError when the epoch is not sealed.
    """
    found: list[BatchRun] = []

    def hear(batch: BatchRun) -> None:
        if batch.epoch == epoch:
            found.append(batch)
            if batch.is_last:
                raise Enough

    reached = recompute(home, genesis, hear)
    if not found or not found[-1].is_last:
        raise OperatorError(
            f"epoch {epoch} cannot be proven",
            f"it is not sealed in this store, which ends at block {reached.height}",
            "wait for its seal, or name an earlier epoch",
        )
    return EpochRuns(epoch, tuple(found))


def prove_batch(
    batch: BatchRun, context: bytes = b"", options: Options | None = None
) -> tuple[Proof, Outcome]:
    """A proof of the batch, bound to the payee that `context` names.

    Raises LocalError when the machine's run shows another statement than the native one: then the
    two builds of the program differ, and nothing must be endorsed.
    """
    program = ledger_program()
    proof, outcome = prove_run(
        program, batch.run.inputs, batch.run.answers, context=context, options=options
    )
    if outcome.statement != batch.run.statement:
        raise LocalError(
            f"batch {batch.batch} of epoch {batch.epoch}: the machine shows "
            f"{(outcome.statement or b'').hex()}, the native program {batch.run.statement.hex()}"
        )
    return proof, outcome


def verify_batch(batch: BatchRun, proof: Proof, verify: Verify | None = None) -> None:
    """Raises InvalidProof unless the proof shows this batch's statement."""
    statement = verify_run(ledger_program(), proof, verify)
    if statement != batch.run.statement:
        raise InvalidProof(
            Reason.WRONG_STATEMENT,
            f"it shows {statement.hex()}, batch {batch.batch} of epoch {batch.epoch} has "
            f"{batch.run.statement.hex()}",
        )
