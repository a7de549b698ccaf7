"""What a prover runs: the input of the ledger's program for one batch, and what it must show.

A batch is proven by one run of `cython_core.guest.program.ledger_program` on the machine of
docs/vm.md. `prepare_run` gives its input, the answers about signatures, and the statement that the
same program gives natively; `cut_batches` cuts an epoch as its budget does; `epoch_runs` walks
through one. Nothing here knows how runs are proven.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cython_core.guest.program import ledger_program
from cython_core.ledger._ledger import NativeLedger, TransitionResult, run_transition
from cython_core.merkle._tree import StateTree
from p2p_seq.ledger.core import EpochBudget, block_cycles
from p2p_seq.ledger.witness import BatchBlock, build_witness
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.records import decode_records
from p2p_seq.protocol.state import OutputsFrame
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import Hash32


def program_id(network: str) -> Hash32:
    """What outputs name the program by (PROTOCOL.md section 3)."""
    return tagged_hash(network, Tag.PROGRAM, ledger_program().identity)


@dataclass(frozen=True, slots=True)
class GuestRun:
    """One run of the program."""

    inputs: bytes
    """What IN reads: little-endian words."""
    answers: bytes
    """What SIG reads: one byte per signature, in order."""
    result: TransitionResult
    """What the native run of the program says."""

    @property
    def statement(self) -> bytes:
        """S, which the eight OUT rows must show."""
        return self.result.statement


def prepare_run(
    tree: StateTree, constants: bytes, blocks: Sequence[BatchBlock], frame: OutputsFrame | None
) -> GuestRun:
    """The run of one batch over `tree`, which stands before its first block and is not changed.

    `frame` is given for the last batch of an epoch. Whoever asks has checked the signatures. Raises
    LedgerFault for blocks that do not execute, ValueError when they are not one batch.
    """
    inputs = build_witness(tree, constants, blocks, frame)
    answers = b"\x01" * sum(block.transaction_count for block in blocks)
    return GuestRun(inputs, answers, run_transition(inputs, answers))


def batch_block_cycles(params: Params, block: BatchBlock) -> int:
    """The fixed price of a block."""
    withdrawals = block.withdrawal_count
    records = len(decode_records(block.records))
    return block_cycles(params, block.transaction_count - withdrawals, withdrawals, records)


def cut_batches(params: Params, blocks: Sequence[BatchBlock]) -> tuple[tuple[BatchBlock, ...], ...]:
    """The batches of an epoch, all of whose blocks are given in order (PROTOCOL.md section 3).

    By prices alone: the program counts the same in the state's accumulator and refuses any other
    cut.
    """
    budget = EpochBudget(batch=0, batch_cycles=0)
    batches: list[list[BatchBlock]] = []
    for block in blocks:
        charged = budget.charge(params, batch_block_cycles(params, block))
        if not batches or charged.batch != budget.batch:
            batches.append([])
        batches[-1].append(block)
        budget = charged
    return tuple(map(tuple, batches))


def epoch_runs(
    ledger: NativeLedger, params: Params, blocks: Sequence[BatchBlock], frame: OutputsFrame
) -> Iterator[GuestRun]:
    """The runs of an epoch in order, over a ledger that stands before its first block.

    The ledger has moved past a batch once its run is taken.
    """
    batches = cut_batches(params, blocks)
    for index, batch in enumerate(batches):
        is_last = index == len(batches) - 1
        yield prepare_run(ledger.tree, ledger.constants, batch, frame if is_last else None)
        for block in batch:
            ledger.execute(
                block.context.encode(), block.records, block.transactions, block.transaction_count
            )
