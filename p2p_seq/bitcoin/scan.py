"""What the network sees in Bitcoin blocks, as a pure function of the chain.

A block is reduced to its relevant transactions: those that announce a stake or a deposit by an
OP_RETURN with one of our tags, and those that spend an output that matters (bonds, connectors,
deposits, the vault coin). Which outputs matter follows from earlier blocks of the same chain and
from genesis, so two nodes on one chain always see the same (pitfall R1). What the transactions
*mean* is decided in `staking/` and `settlement/`.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from p2p_seq.bitcoin.block import Block
from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.tags import BitcoinTag, tag4
from p2p_seq.protocol.types import Hash32, Height, OutPoint

OP_RETURN: Final = 0x6A
RELEVANT_BYTES_MAX: Final = 4_000_000
"""A Bitcoin transaction cannot be larger than its block."""
RELEVANT_COUNT_MAX: Final = 100_000
"""A Bitcoin block cannot hold more transactions."""


class WatchKind(IntEnum):
    """Why an output is watched."""

    VAULT = 1
    """The vault coin: output 0 of a transaction that spends it is the next one."""
    BOND = 2
    CONNECTOR = 3
    DEPOSIT = 4


@dataclass(frozen=True, slots=True)
class RelevantTransaction:
    """A transaction of a block that announces something or spends something watched."""

    index: int
    """Position in the block."""
    transaction: Transaction
    announces: BitcoinTag | None
    payload: bytes
    """What follows the four tag bytes in the OP_RETURN; empty when nothing is announced."""
    spends: tuple[OutPoint, ...]
    """The watched outputs among its inputs."""


@dataclass(frozen=True, slots=True)
class L1Block:
    """One Bitcoin block of the best chain, reduced."""

    height: Height
    hash: Hash32
    previous: Hash32
    time: int
    median_time: int
    """Median time past: of this block and the ten before."""
    relevant: tuple[RelevantTransaction, ...]

    def encode(self) -> bytes:
        """For the node's own store; the announcement is found again on decoding."""
        writer = Writer().u32(self.height).hash32(self.hash).hash32(self.previous)
        writer.u32(self.time).u32(self.median_time)

        def write_one(target: Writer, item: RelevantTransaction) -> None:
            target.u32(item.index).var_bytes(item.transaction.serialize(), RELEVANT_BYTES_MAX)
            target.sequence(item.spends, RELEVANT_COUNT_MAX, lambda w, o: w.outpoint(o))

        return writer.sequence(self.relevant, RELEVANT_COUNT_MAX, write_one).bytes()

    @classmethod
    def decode(cls, encoded: bytes, network: str) -> "L1Block":
        """Inverse of `encode`. Raises CodecError."""
        reader = Reader(encoded)

        def read_one(source: Reader) -> RelevantTransaction:
            index = source.u32()
            transaction = Transaction.parse(source.var_bytes(RELEVANT_BYTES_MAX))
            announces, payload = announcement(network, transaction)
            spends = source.sequence(RELEVANT_COUNT_MAX, Reader.outpoint)
            return RelevantTransaction(index, transaction, announces, payload, spends)

        block = cls(
            Height(reader.u32()),
            reader.hash32(),
            reader.hash32(),
            reader.u32(),
            reader.u32(),
            reader.sequence(RELEVANT_COUNT_MAX, read_one),
        )
        reader.finish()
        return block


def announcement(network: str, transaction: Transaction) -> tuple[BitcoinTag | None, bytes]:
    """The tagged OP_RETURN of a transaction: its tag and the bytes after it.

    Only a single direct push is ours, and a transaction with two tagged outputs announces nothing:
    which one counts would be a matter of taste.
    """
    tags = {tag4(network, tag): tag for tag in BitcoinTag}
    found: list[tuple[BitcoinTag, bytes]] = []
    for output in transaction.outputs:
        script = output.script
        if len(script) < 6 or script[0] != OP_RETURN:
            continue
        if script[1] <= 75 and len(script) == 2 + script[1]:
            data = script[2:]
        elif script[1] == 0x4C and len(script) > 3 and len(script) == 3 + script[2]:
            data = script[3:]
        else:
            continue
        tag = tags.get(data[:4])
        if tag is not None:
            found.append((tag, data[4:]))
    return found[0] if len(found) == 1 else (None, b"")


def is_pay_to_taproot(script: bytes) -> bool:
    """Version 1 witness program of 32 bytes."""
    return len(script) == 34 and script[:2] == b"\x51\x20"


@dataclass(slots=True)
class WatchSet:
    """The outputs that matter after some block. Grows with the chain; rebuilt after a reorg."""

    kinds: dict[OutPoint, WatchKind] = field(default_factory=dict)

    def copy(self) -> "WatchSet":
        return WatchSet(dict(self.kinds))

    def absorb(self, item: RelevantTransaction) -> None:
        """Watch what a relevant transaction creates."""
        transaction = item.transaction
        if item.announces is BitcoinTag.STAKE:
            for vout, kind in ((0, WatchKind.BOND), (1, WatchKind.CONNECTOR)):
                if vout < len(transaction.outputs):
                    self.kinds[transaction.outpoint(vout)] = kind
        elif item.announces is BitcoinTag.DEPOSIT:
            for vout, output in enumerate(transaction.outputs):
                if is_pay_to_taproot(output.script):
                    self.kinds[transaction.outpoint(vout)] = WatchKind.DEPOSIT
        if any(self.kinds.get(outpoint) is WatchKind.VAULT for outpoint in item.spends):
            self.kinds[transaction.outpoint(0)] = WatchKind.VAULT


def scan_block(
    network: str, block: Block, height: Height, median_time: int, watched: WatchSet
) -> L1Block:
    """Reduce a block and let `watched` absorb it (in the order of its transactions)."""
    relevant: list[RelevantTransaction] = []
    for index, transaction in enumerate(block.transactions):
        announces, payload = announcement(network, transaction)
        spends = tuple(
            item.previous for item in transaction.inputs if item.previous in watched.kinds
        )
        if announces is None and not spends:
            continue
        found = RelevantTransaction(index, transaction, announces, payload, spends)
        watched.absorb(found)
        relevant.append(found)
    header = block.header
    return L1Block(height, block.hash, header.previous, header.time, median_time, tuple(relevant))
