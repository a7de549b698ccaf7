"""Builds the witness of a batch: what one run of the transition program reads.

The layout is that of `cython_core/guest/transition.h`. The blocks are executed once more over the
tree as it stood before the batch, to learn which leaves they touch and in which order; old values
and a multiproof of exactly those leaves go into the witness. Nothing in it is trusted: the program
recomputes both roots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cython_core.ledger._ledger import BatchRecorder
from cython_core.merkle._tree import StateTree
from p2p_seq.protocol.codec import Writer
from p2p_seq.protocol.state import BlockContext, OutputsFrame

WITNESS_VERSION: Final = 1
IS_LAST_BATCH: Final = 1
FRAME_BYTES: Final = 96


@dataclass(frozen=True, slots=True)
class BatchBlock:
    """One block as the program reads it."""

    context: BlockContext
    records: bytes
    transactions: bytes
    transaction_count: int

    def write(self, writer: Writer) -> Writer:
        context = self.context.encode()
        writer.fixed(context, len(context))
        writer.u32(len(self.records)).u32(len(self.transactions)).u32(self.transaction_count)
        writer.fixed(self.records, len(self.records))
        return writer.fixed(self.transactions, len(self.transactions))


def build_witness(
    tree: StateTree, constants: bytes, blocks: Sequence[BatchBlock], frame: OutputsFrame | None
) -> bytes:
    """The witness of a batch over `tree`, which stands before its first block and is not changed.

    `frame` is given for the last batch of an epoch. Raises LedgerFault for blocks that do not
    execute, ValueError when they are not one batch.
    """
    recorder = BatchRecorder(tree, constants)
    for index, block in enumerate(blocks):
        opened = recorder.execute(
            block.context.encode(), block.records, block.transactions, block.transaction_count
        )
        if opened != (index == 0):
            raise ValueError(f"block {index} does not continue one batch")
    return assemble_witness(recorder, tree, constants, blocks, frame)


def assemble_witness(
    recorder: BatchRecorder,
    tree: StateTree,
    constants: bytes,
    blocks: Sequence[BatchBlock],
    frame: OutputsFrame | None,
) -> bytes:
    """The witness of the blocks that `recorder` has executed over `tree`, whatever they are."""
    if frame is not None:
        recorder.touch_outputs(frame.encode())
    leaves = recorder.leaves()
    order = sorted(range(len(leaves)), key=lambda index: leaves[index][0])
    place = {index: position for position, index in enumerate(order)}
    hints = recorder.hints()
    may_vanish = bytes(not leaves[index][3] for index in order)
    proof = tree.prove(b"".join(leaves[index][0] for index in order), may_vanish)
    writer = Writer().u32(WITNESS_VERSION).u32(IS_LAST_BATCH if frame is not None else 0)
    writer.u32(len(leaves)).u32(len(blocks)).u32(len(hints)).u32(len(proof))
    writer.hash32(recorder.pre_root).fixed(constants, len(constants))
    writer.fixed(bytes(FRAME_BYTES) if frame is None else frame.encode(), FRAME_BYTES)
    writer.fixed(proof, len(proof))
    for hint in hints:
        writer.u32(place[hint])
    for index in order:
        _, name, old_value, _ = leaves[index]
        writer.fixed(name[:1], 1).u8(old_value is not None).fixed(name[1:], 32)
        writer.fixed(bytes(64) if old_value is None else old_value, 64)
    for block in blocks:
        block.write(writer)
    return writer.bytes()
