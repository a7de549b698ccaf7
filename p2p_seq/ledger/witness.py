"""Builds the witness of a batch: what one run of the transition program reads.

The layout is that of `cython_core/guest/transition.h`. The blocks are executed once more over the
tree as it stood before the batch, to learn which leaves they touch and in which order; old values
and a multiproof of exactly those leaves go into the witness. Nothing in it is trusted: the program
recomputes both roots.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cython_core.ledger._ledger import BatchRecorder
from cython_core.merkle._tree import StateTree
from p2p_seq.ledger.steady import TreeWitness, rewrite_witness, word
from p2p_seq.protocol.state import BlockContext, LeafKind, OutputsFrame
from p2p_seq.protocol.transactions import SCRIPT_ROOM, TRANSACTION_BYTES, TransactionKind

WITNESS_VERSION: Final = 2
IS_LAST_BATCH: Final = 1
HEAD_WORDS: Final = 6 + 8
"""Words before the constants."""

PRESENT_SHIFT: Final = 8
STEADY_SHIFT: Final = 9
SIDE_SHIFT: Final = 10
WORDS_SHIFT: Final = 16
ACCOUNT_WORDS: Final = 4
"""The guest reads that many at once; the value of an account without tokens has no more."""


@dataclass(frozen=True, slots=True)
class BatchBlock:
    """One block as the program reads it."""

    context: BlockContext
    records: bytes
    transactions: bytes
    transaction_count: int

    @property
    def withdrawal_count(self) -> int:
        """From the lengths alone: a kind has one length."""
        transfer = TRANSACTION_BYTES[TransactionKind.TRANSFER]
        excess = len(self.transactions) - transfer * self.transaction_count
        return excess // (TRANSACTION_BYTES[TransactionKind.WITHDRAW] - transfer)

    def words(self, slots: Mapping[bytes, int]) -> bytes:
        """`slots`: index of each account's slot by its key."""
        withdrawals = self.withdrawal_count
        parts = [
            self.context.encode(),
            word(len(self.records)),
            word(self.transaction_count - withdrawals),
            word(withdrawals),
            padded(self.records),
        ]
        at = 0
        for _ in range(self.transaction_count):
            kind = TransactionKind(self.transactions[at + 1])
            end = at + TRANSACTION_BYTES[kind]
            parts.append(order_words(kind, self.transactions[at:end], slots))
            at = end
        return b"".join(parts)


def padded(content: bytes) -> bytes:
    """Whole words."""
    return content + bytes(-len(content) % 4)


def order_words(kind: TransactionKind, encoded: bytes, slots: Mapping[bytes, int]) -> bytes:
    """One transaction without its signature; numbers turn from big-endian to words."""
    sender = slots[encoded[2:34]]
    numbers = encoded[41:33:-1] + encoded[49:41:-1]
    if kind is TransactionKind.TRANSFER:
        recipient = slots[encoded[50:82]]
        return word(2 * sender) + word(recipient) + numbers + encoded[89:81:-1]
    script = encoded[59 : 59 + SCRIPT_ROOM]
    head = word(2 * sender + 1) + word(encoded[58])
    return head + numbers + encoded[57:49:-1] + padded(script)


@dataclass(frozen=True, slots=True)
class Slot:
    """A leaf that a batch touches."""

    path: bytes
    kind: int
    key: bytes
    old_value: bytes | None
    stays: bool
    """Whether it is there before and after."""

    def name_words(self, tree: TreeWitness, index: int) -> bytes:
        flags = self.kind | (self.old_value is not None) << PRESENT_SHIFT
        if index in tree.sides:
            flags |= 1 << STEADY_SHIFT | tree.sides[index] << SIDE_SHIFT
        return word(flags | len(self.value_words()) // 4 << WORDS_SHIFT) + self.key

    def value_words(self) -> bytes:
        if self.old_value is None:
            return b""
        used = len(self.old_value.rstrip(b"\0"))
        return self.old_value[: 4 * max(ACCOUNT_WORDS, -(-used // 4))]


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
    slots = [
        Slot(path, name[0], name[1:], value, value is not None and is_present)
        for path, name, value, is_present in (leaves[index] for index in order)
    ]
    may_vanish = bytes(not leaves[index][3] for index in order)
    paths = [slot.path for slot in slots]
    proof = tree.prove(b"".join(paths), may_vanish)
    shown = rewrite_witness(proof, paths, [slot.stays for slot in slots])
    hints = [word(place[hint]) for hint in recorder.hints()]
    accounts = {
        slot.key: index for index, slot in enumerate(slots) if slot.kind == LeafKind.ACCOUNT
    }
    head = (
        WITNESS_VERSION,
        IS_LAST_BATCH if frame is not None else 0,
        len(slots),
        len(blocks),
        len(hints),
        len(shown.proof) // 4,
    )
    return b"".join(
        (
            *map(word, head),
            recorder.pre_root,
            constants,
            b"" if frame is None else frame.encode(),
            *hints,
            *(slot.name_words(shown, index) for index, slot in enumerate(slots)),
            *(slot.value_words() for slot in slots),
            *(block.words(accounts) for block in blocks),
            shown.proof,
            shown.steps,
        )
    )
