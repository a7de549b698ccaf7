"""Blocks that are being voted on, and what they hold of the pool."""

from collections.abc import Sequence
from dataclasses import dataclass

from p2p_seq.mempool.types import Parsed
from p2p_seq.protocol.types import BlockHeight


@dataclass(frozen=True, slots=True)
class LiveBlock:
    """A block that is neither final nor abandoned."""

    height: BlockHeight
    transactions: bytes
    """Concatenated encodings: needed again when the block is abandoned."""
    parsed: Sequence[Parsed]
    txids: frozenset[bytes]
    next_nonces: dict[bytes, int]
    """For each of its senders, the nonce after its transactions."""


class LiveBlocks:
    """By digest. There are few at a time: as many as heights that are being decided."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, LiveBlock] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, block: bytes) -> bool:
        return block in self._blocks

    def add(
        self, block: bytes, height: BlockHeight, transactions: bytes, parsed: Sequence[Parsed]
    ) -> None:
        """Transactions of one sender stand in nonce order in a block, so the last one counts."""
        self._blocks[block] = LiveBlock(
            height,
            transactions,
            parsed,
            frozenset([one[2] for one in parsed]),
            {one[3]: one[5] + 1 for one in parsed},
        )

    def pop(self, block: bytes) -> LiveBlock | None:
        return self._blocks.pop(block, None)

    def up_to(self, height: BlockHeight) -> list[bytes]:
        """Digests of the blocks at or below a height, in the order in which they came."""
        return [block for block, live in self._blocks.items() if live.height <= height]

    def hold(self, txid: bytes) -> bool:
        """Whether any live block holds the transaction."""
        return any(txid in live.txids for live in self._blocks.values())

    def next_nonces(self, ancestors: Sequence[bytes]) -> dict[bytes, int]:
        """Next nonce of each sender that occurs in `ancestors`, given oldest first. KeyError for
        a block that is not here.
        """
        merged: dict[bytes, int] = {}
        for ancestor in ancestors:
            merged.update(self._blocks[ancestor].next_nonces)
        return merged
