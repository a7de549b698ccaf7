"""The embedded node without its HTTP: chain, mempool and miner joined.

Synchronous and single-threaded: every method leaves chain and mempool in agreement.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from p2p_seq.bitcoin.block import Block
from p2p_seq.bitcoin.embedded.chain import ChainChange, RegtestChain, StorageLimits
from p2p_seq.bitcoin.embedded.mempool import Entry, Mempool
from p2p_seq.bitcoin.embedded.miner import BlockPlan, mine, select
from p2p_seq.bitcoin.embedded.policy import (
    Policy,
    RejectReason,
    TransactionRefusedError,
    minimum_fee,
)
from p2p_seq.bitcoin.embedded.records import Coin
from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.protocol.errors import LocalError
from p2p_seq.protocol.types import Hash32, OutPoint

MINE_BATCH: Final = 50
"""Blocks that share one sync of the disk when many are mined at once."""

_EXTRA_NONCE_BYTES: Final = 8


@dataclass(frozen=True)
class NodeOptions:
    """What the operator chooses."""

    storage: StorageLimits = field(default_factory=StorageLimits)
    policy: Policy = field(default_factory=Policy)


class _ChainView:
    """The best chain as the mempool asks for it."""

    def __init__(self, chain: RegtestChain) -> None:
        self._chain = chain

    def coin(self, outpoint: OutPoint) -> Coin | None:
        return self._chain.index.coin(outpoint)

    def has_outputs_of(self, transaction: Transaction) -> bool:
        return any(
            self._chain.index.coin(transaction.outpoint(vout)) is not None
            for vout in range(len(transaction.outputs))
        )

    def tip_height(self) -> int:
        return self._chain.tip().height

    def time_after(self, height: int) -> int:
        tip = self._chain.tip()
        if height == tip.height:
            return tip.median_time_past
        return self._chain.median_time_past(self._chain.hash_at(height))


class RegtestNode:
    """A regtest node on one data directory."""

    def __init__(
        self,
        directory: Path,
        options: NodeOptions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Opens or creates the data directory. Raises OperatorError."""
        options = options or NodeOptions()
        self.chain = RegtestChain(directory, options.storage)
        self._clock = clock
        self.mempool = Mempool(_ChainView(self.chain), options.policy, clock)
        self.on_tip_changed: Callable[[], None] = _nothing
        """Called after the best chain has moved."""
        for encoded in self.chain.index.saved_mempool():
            try:
                self.mempool.accept(encoded, is_fee_free=True)
            except TransactionRefusedError:
                continue

    def close(self) -> None:
        """Save the mempool and let the engine write its files."""
        entries = self.mempool.entries.values()
        self.chain.index.save_mempool([entry.encoded for entry in entries])
        self.chain.close()

    # Transactions

    def accept(self, encoded: bytes) -> Entry:
        """Admit a transaction. Raises TransactionRefusedError or CodecError."""
        return self.mempool.accept(encoded)

    def accept_package(
        self, package: Sequence[bytes], feerate_limit: int | None = None
    ) -> list[Entry]:
        """Admit a child with its parents, which may pay too little alone. All or nothing.

        `feerate_limit`: sat/kvB of the whole package. Transactions that the mempool already has
        count but are not admitted again. Raises TransactionRefusedError or CodecError.
        """
        parsed = [Transaction.parse(encoded) for encoded in package]
        child_spends = {item.previous.txid for item in parsed[-1].inputs}
        if any(parent.txid not in child_spends for parent in parsed[:-1]):
            raise TransactionRefusedError(RejectReason.PACKAGE_NOT_CHILD)
        # Tried on a copy first: a member may replace entries before a later member is refused.
        tried = _accept_members(self.mempool.copy(), parsed, package)
        fee, vbytes = sum(item.fee for item in tried), sum(item.vsize for item in tried)
        if feerate_limit is not None and fee * 1_000 > feerate_limit * vbytes:
            raise TransactionRefusedError(RejectReason.MAX_FEE, f"{fee} for {vbytes} vbytes")
        return _accept_members(self.mempool, parsed, package)

    # Blocks

    def submit_block(self, encoded: bytes) -> str | None:
        """None when the block is the new tip, else BIP22's or bitcoind's reject reason."""
        return self._submit([encoded])[0]

    def _submit(self, blocks: Sequence[bytes]) -> list[str | None]:
        report = self.chain.submit(blocks)
        self._follow(report.change)
        return report.reasons

    def _follow(self, change: ChainChange) -> None:
        if not change.connected:
            return
        if change.disconnected:
            self.mempool.readmit(change.disconnected)
        self.mempool.connect(change.connected)
        self.on_tip_changed()

    def generate(self, count: int, reward_script: bytes) -> list[Hash32]:
        """Mine at most `MINE_BATCH` blocks on the tip, with the mempool's best."""
        if not 0 <= count <= MINE_BATCH:
            raise ValueError(f"{count} blocks in one batch")
        first = self.chain.tip().height + 1
        waiting = count
        while waiting:
            # What the next block may contain depends on the one before it, unless all are empty.
            batch = 1 if self.mempool.entries else waiting
            self._generate_batch(batch, reward_script)
            waiting -= batch
        return [self.chain.hash_at(height) for height in range(first, first + count)]

    def _generate_batch(self, count: int, reward_script: bytes) -> None:
        tip = self.chain.tip()
        times = self._times_up_to(tip.hash)
        previous = tip.hash
        entries = select(self.mempool)
        blocks: list[bytes] = []
        for height in range(tip.height + 1, tip.height + 1 + count):
            times = [*times[-10:], self._block_time(times)]
            plan = BlockPlan(
                previous,
                height,
                times[-1],
                reward_script,
                secrets.token_bytes(_EXTRA_NONCE_BYTES),
                tuple(entry.transaction for entry in entries),
                sum(entry.fee for entry in entries),
            )
            blocks.append(mine(plan))
            previous = Block.parse(blocks[-1]).hash
        self._submit_own(blocks)

    def generate_block(
        self, transactions: Sequence[bytes | Hash32], reward_script: bytes, is_submitted: bool
    ) -> tuple[Hash32, bytes]:
        """Mine exactly these transactions: bytes, or ids of the mempool, without any policy.

        Returns the block's id and bytes. Raises TransactionRefusedError, CodecError.
        """
        tip = self.chain.tip()
        parsed: list[Transaction] = []
        for item in transactions:
            entry = self.mempool.entries.get(Hash32(item)) if len(item) == 32 else None
            if entry is None and len(item) == 32:
                raise TransactionRefusedError(RejectReason.MISSING_INPUTS, "not in mempool")
            parsed.append(Transaction.parse(item) if entry is None else entry.transaction)
        plan = BlockPlan(
            tip.hash,
            tip.height + 1,
            self._block_time(self._times_up_to(tip.hash)),
            reward_script,
            secrets.token_bytes(_EXTRA_NONCE_BYTES),
            tuple(parsed),
            0,
        )
        block = mine(plan)
        block_hash = Block.parse(block).hash
        if is_submitted:
            reason = self.submit_block(block)
            if reason is not None:
                raise BlockRefusedError(reason)
        return block_hash, block

    def reorg(self, depth: int, is_empty: bool, reward_script: bytes) -> list[Hash32]:
        """Replace the last `depth` blocks by `depth` + 1 new ones.

        `is_empty`: the old blocks' transactions return to the mempool; otherwise each new block
        has the transactions of the old block at its height. Coinbases always change.
        """
        tip = self.chain.tip()
        if not 1 <= depth <= min(tip.height, MINE_BATCH - 1):
            raise ValueError(f"depth {depth} at height {tip.height}")
        fork_height = tip.height - depth
        previous = self.chain.hash_at(fork_height)
        times = self._times_up_to(previous)
        blocks: list[bytes] = []
        for height in range(fork_height + 1, tip.height + 2):
            transactions: tuple[Transaction, ...] = ()
            fees = 0
            if not is_empty and height <= tip.height:
                transactions, fees = self._old_transactions(height)
            times = [*times[-10:], self._block_time(times)]
            plan = BlockPlan(
                previous,
                height,
                times[-1],
                reward_script,
                secrets.token_bytes(_EXTRA_NONCE_BYTES),
                transactions,
                fees,
            )
            blocks.append(mine(plan))
            previous = Block.parse(blocks[-1]).hash
        self._submit_own(blocks)
        return [self.chain.hash_at(height) for height in range(fork_height + 1, tip.height + 2)]

    def _old_transactions(self, height: int) -> tuple[tuple[Transaction, ...], int]:
        block_hash = self.chain.hash_at(height)
        encoded = self.chain.index.raw_block(block_hash)
        if encoded is None:
            raise LocalError(f"block at height {height} is not in the log")
        transactions = Block.parse(encoded).transactions[1:]
        spent = sum(coin.output.value for coin in self.chain.index.undo(block_hash))
        paid = sum(output.value for item in transactions for output in item.outputs)
        return transactions, spent - paid

    def _submit_own(self, blocks: Sequence[bytes]) -> None:
        """Blocks of this miner are valid, or there is a bug in the mempool or the miner."""
        reasons = self._submit(blocks)
        refused = [reason for reason in reasons if reason is not None]
        if refused:
            raise LocalError(f"the engine refused a block of our own miner: {refused[0]}")

    def _times_up_to(self, block_hash: Hash32) -> list[int]:
        """Times of the last eleven headers, oldest first."""
        times: list[int] = []
        current = block_hash
        while len(times) < 11:
            record = self.chain.header(current)
            if record is None:
                break
            times.append(record.header.time)
            current = record.header.previous
        return times[::-1]

    def _block_time(self, times: Sequence[int]) -> int:
        """Now, unless a batch of blocks is already ahead of the clock."""
        recent = sorted(times[-11:])
        return max(int(self._clock()), recent[len(recent) // 2] + 1)


def _accept_members(
    mempool: Mempool, parsed: Sequence[Transaction], package: Sequence[bytes]
) -> list[Entry]:
    admitted: list[Entry] = []
    entries: list[Entry] = []
    for transaction, encoded in zip(parsed, package, strict=True):
        entry = mempool.entries.get(transaction.txid)
        if entry is None:
            entry = _accept_member(mempool, encoded)
            admitted.append(entry)
        entries.append(entry)
    fee = sum(entry.fee for entry in admitted)
    vbytes = sum(entry.vsize for entry in admitted)
    owed = minimum_fee(vbytes, mempool.policy.minimum_feerate)
    if fee < owed:
        raise TransactionRefusedError(RejectReason.FEE_TOO_LOW, f"package {fee} < {owed}")
    return entries


def _accept_member(mempool: Mempool, encoded: bytes) -> Entry:
    """One transaction of a package: by its own fee if it can, else on its child's."""
    try:
        return mempool.accept(encoded)
    except TransactionRefusedError as refusal:
        if refusal.reason is not RejectReason.FEE_TOO_LOW:
            raise
        return mempool.accept(encoded, is_fee_free=True)


class BlockRefusedError(Exception):
    """A block that a caller composed is not valid; the text is bitcoind's reject reason."""


def _nothing() -> None:
    """No listener."""
