"""The best chain: blocks go to the log, then to the engine, then into the indexes.

Order and crash safety. A block is in the synced log before the engine gets it; the engine keeps its
own files in memory until it is closed, so after a SIGKILL it is fed the log again from the last
checkpoint (a close or reopen of the engine); the indexes then move to whatever the engine calls the
best chain. Every step can be cut short by a SIGKILL and is repeated or completed at the next start.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from p2p_seq.bitcoin.block import Block
from p2p_seq.bitcoin.embedded.index import DEFAULT_MAP_BYTES, ChainIndex, LoggedBlock
from p2p_seq.bitcoin.embedded.records import HeaderRecord
from p2p_seq.bitcoin.engine import KernelChain
from p2p_seq.bitcoin.wire import BitcoinReason
from p2p_seq.protocol.errors import CodecError, LocalError, OperatorError
from p2p_seq.protocol.types import Hash32, display_id

REGTEST_BITS: Final = 0x207FFFFF
"""Compact form of regtest's only target (Bitcoin Core `CRegTestParams`: no retargeting)."""

REGTEST_TARGET: Final = 0x7FFFFF << (8 * (0x20 - 3))
"""The target itself: half of all hashes are below it."""

MEDIAN_TIME_SPAN: Final = 11
"""Headers whose median time is the median time past (BIP113)."""

_DISK_BLOCK_BYTES: Final = 512
"""Unit of `st_blocks` (POSIX)."""

_DUPLICATE: Final = "duplicate"
INCONCLUSIVE: Final = "inconclusive"
"""BIP22's word for a block that is fine but not on the best chain."""


@dataclass(frozen=True)
class StorageLimits:
    """Bounds of the node's files."""

    map_bytes: int = DEFAULT_MAP_BYTES
    """Upper limit of the index, bytes."""
    minimum_free_bytes: int = 128 << 20
    """No block is taken when the disk has less left; the engine itself aborts at 50 MB."""
    checkpoint_blocks: int = 1_000
    """The engine is made to write its files after this many blocks (27-82 ms)."""


class Tip(NamedTuple):
    """The best block."""

    hash: Hash32
    height: int
    median_time_past: int
    """Unix seconds: the median of the last eleven headers' times."""


@dataclass(frozen=True)
class ChainChange:
    """How the best chain moved."""

    disconnected: tuple[Block, ...] = ()
    """Old tip first."""
    connected: tuple[Block, ...] = ()
    """New tip last."""


@dataclass
class SubmitReport:
    """What became of submitted blocks."""

    reasons: list[str | None] = field(default_factory=list)
    """Per block: None when it is on the best chain, else BIP22's or bitcoind's reject reason."""
    change: ChainChange = field(default_factory=ChainChange)


class RegtestChain:
    """The chain in one data directory, held by one process."""

    def __init__(self, directory: Path, limits: StorageLimits = StorageLimits()) -> None:
        """Opens or creates it and replays what the engine has lost. Raises OperatorError."""
        self._directory = directory
        self._limits = limits
        self._tip: Tip | None = None
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, _lock_directory(directory))
            self._check_free_space()
            self.index = ChainIndex(directory / "index", limits.map_bytes)
            stack.callback(self.index.close)
            self._kernel = KernelChain(directory / "engine")
            stack.callback(self._kernel.close)
            if self.index.tip() is None:
                self.index.initialise(self._kernel.genesis())
            self.replayed_blocks = self._replay()
            self._follow({})
            self._resources = stack.pop_all()

    def _replay(self) -> int:
        replayed = 0
        for encoded in self.index.log_after(max(self.index.checkpoint(), 1)):
            self._kernel.process(encoded)
            replayed += 1
        return replayed

    def close(self) -> None:
        """Let the engine write its files, note that it did, and release the directory."""
        with self._resources:
            self._kernel.close()
            self.index.set_checkpoint(self.index.last_sequence())

    def size_on_disk(self) -> int:
        """Bytes of all files in the data directory."""
        total = 0
        for path in self._directory.rglob("*"):
            # The engine's database drops files of its own while we look.
            with contextlib.suppress(FileNotFoundError):
                total += path.lstat().st_blocks * _DISK_BLOCK_BYTES
        return total

    def tip(self) -> Tip:
        """The best block; remembered, because every transaction asks for it."""
        if self._tip is None:
            block_hash = self.index.tip()
            record = None if block_hash is None else self.index.header(block_hash)
            if block_hash is None or record is None:
                raise LocalError("the index has no tip")
            self._tip = Tip(block_hash, record.height, self.median_time_past(block_hash))
        return self._tip

    def header(self, block_hash: Hash32) -> HeaderRecord | None:
        """Any known block, on the best chain or not."""
        return self.index.header(block_hash)

    def is_active(self, block_hash: Hash32) -> bool:
        """True for blocks of the best chain."""
        record = self.index.header(block_hash)
        return record is not None and self.index.hash_at(record.height) == block_hash

    def hash_at(self, height: int) -> Hash32:
        """The best chain's block at a height that it has."""
        found = self.index.hash_at(height)
        if found is None:
            raise LocalError(f"the best chain has no block at height {height}")
        return found

    def median_time_past(self, block_hash: Hash32) -> int:
        """BIP113's clock after this block, Unix seconds."""
        times: list[int] = []
        current = block_hash
        while len(times) < MEDIAN_TIME_SPAN:
            record = self.index.header(current)
            if record is None:
                break
            times.append(record.header.time)
            current = record.header.previous
        return sorted(times)[len(times) // 2]

    def submit(self, blocks: Sequence[bytes]) -> SubmitReport:
        """Give blocks to the chain, parents first. Raises OperatorError when the disk is full.

        Several blocks at once cost one sync of the log and one of the indexes, so a miner of many
        blocks is not held up by the disk.
        """
        report = SubmitReport()
        accepted: dict[Hash32, LoggedBlock] = {}
        for encoded in blocks:
            candidate, reason = self._examine(encoded, accepted)
            report.reasons.append(reason)
            if candidate is not None:
                accepted[candidate.block.hash] = candidate
        if not accepted:
            return report
        self._check_free_space()
        self.index.append_blocks(list(accepted.values()))
        refusals = {block_hash: self._process(item) for block_hash, item in accepted.items()}
        report.change = self._follow(accepted)
        self._checkpoint_if_due()
        outcomes = iter(accepted)
        for position, reason in enumerate(report.reasons):
            if reason is None:
                block_hash = next(outcomes)
                stored = None if self.is_active(block_hash) else INCONCLUSIVE
                report.reasons[position] = refusals[block_hash] or stored
        return report

    def _examine(
        self, encoded: bytes, accepted: dict[Hash32, LoggedBlock]
    ) -> tuple[LoggedBlock | None, str | None]:
        """What must hold before a block may fill the log. The engine checks everything else."""
        try:
            block = Block.parse(encoded)
        except CodecError as error:
            return None, _PARSE_REASONS.get(str(error.reason), "bad-block-encoding")
        if block.header.bits != REGTEST_BITS:
            return None, "bad-diffbits"
        if int.from_bytes(block.hash, "little") > REGTEST_TARGET:
            return None, "high-hash"
        known = self.index.header(block.hash)
        if known is not None:
            return None, "duplicate-invalid" if known.is_invalid else _DUPLICATE
        if block.hash in accepted:
            return None, _DUPLICATE
        parent = self.index.header(block.header.previous)
        if parent is not None and parent.is_invalid:
            return None, "bad-prevblk"
        pending = accepted.get(block.header.previous)
        if parent is None and pending is None:
            return None, "prev-blk-not-found"
        parent_height = pending.height if pending is not None else parent.height if parent else 0
        return LoggedBlock(encoded, block, parent_height + 1), None

    def _process(self, logged: LoggedBlock) -> str | None:
        verdict = self._kernel.process(logged.encoded)
        if verdict.invalid_blocks:
            self.index.mark_invalid(verdict.invalid_blocks)
        elif verdict.reject_reason is not None:
            self.index.forget(logged.block.hash)
        return verdict.reject_reason

    def _follow(self, parsed: dict[Hash32, LoggedBlock]) -> ChainChange:
        """Move the indexes to the engine's best chain."""
        target, _ = self._kernel.tip()
        connect: list[LoggedBlock] = []
        while not self.is_active(target):
            logged = parsed.get(target) or self._load(target)
            connect.append(logged)
            target = logged.block.header.previous
        disconnect: list[LoggedBlock] = []
        current = self.tip().hash
        while current != target:
            disconnect.append(self._load(current))
            current = disconnect[-1].block.header.previous
        connect.reverse()
        if connect:
            self.index.move(disconnect, connect)
            self._tip = None
        elif disconnect:
            raise LocalError("the engine's best chain is a part of ours")
        return ChainChange(
            tuple(item.block for item in disconnect), tuple(item.block for item in connect)
        )

    def _load(self, block_hash: Hash32) -> LoggedBlock:
        record = self.index.header(block_hash)
        encoded = self.index.raw_block(block_hash)
        if record is None or encoded is None:
            raise LocalError(f"block {display_id(block_hash)} is not in the log")
        return LoggedBlock(encoded, Block.parse(encoded), record.height)

    def _checkpoint_if_due(self) -> None:
        newest = self.index.last_sequence()
        if newest - self.index.checkpoint() >= self._limits.checkpoint_blocks:
            self._kernel.reopen()
            self.index.set_checkpoint(newest)

    def _check_free_space(self) -> None:
        free = shutil.disk_usage(self._directory).free
        if free < self._limits.minimum_free_bytes:
            raise OperatorError(
                f"cannot store blocks in {self._directory}",
                f"the disk is full: {free >> 20} MiB are free, "
                f"{self._limits.minimum_free_bytes >> 20} MiB are needed",
                "free disk space; nothing is lost",
            )


_PARSE_REASONS: Final = {
    str(BitcoinReason.MERKLE_ROOT): "bad-txnmrklroot",
    str(BitcoinReason.MERKLE_MUTATED): "bad-txns-duplicate",
}


def _lock_directory(directory: Path) -> int:
    """An exclusive lock that ends with the process. Raises OperatorError when it is taken."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OperatorError(
            f"cannot use the data directory {directory}",
            error.strerror or str(error),
            "choose a directory that this user may write",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OperatorError(
            f"cannot use the data directory {directory}",
            "another Bitcoin node runs on it",
            "stop that process, or choose another --datadir",
        ) from error
    return descriptor
