"""Follows the best Bitcoin chain and keeps the reduced blocks from a start height on.

The watcher is the only part of a node that has a local tip. Consensus asks it whether an origin is
buried in *this* node's view (a reason to vote or to wait); everything else reads blocks by height
at or below a finalised origin (PROTOCOL.md section 4). Blocks are stored as they come, so a restart
reads Bitcoin only from where it stopped; a reorg drops the blocks above the fork and reads the new
branch.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import trio

from p2p_seq.bitcoin.block import Block, BlockHeader
from p2p_seq.bitcoin.scan import L1Block, WatchKind, WatchSet, scan_block
from p2p_seq.observability.logs import room_logger
from p2p_seq.protocol.errors import LocalError, RemoteError
from p2p_seq.protocol.types import Hash32, Height, OutPoint, display_id, parse_display_id
from p2p_seq.storage.store import Store
from p2p_seq.storage.tables import Table

log = room_logger("bitcoin")

POLL_SECONDS: Final = 0.2
"""Pause between two looks at the tip when nothing changed."""

TROUBLE_PAUSE_SECONDS: Final = 2.0
"""Pause after Bitcoin could not be reached or answered nonsense."""

BATCH_BLOCKS: Final = 16
"""Blocks that are asked for at once while catching up: at most 64 MB on the way."""

MEDIAN_BLOCKS: Final = 11
"""Blocks in a median time past (BIP113)."""


class BitcoinSource(Protocol):
    """The few questions that the watcher asks; a bitcoind or the embedded node answers."""

    async def call(self, method: str, *parameters: object) -> object: ...

    async def batch(self, calls: Sequence[tuple[str, tuple[object, ...]]]) -> list[object]: ...


class BitcoinUnreachableError(Exception):
    """Bitcoin does not answer, or not with what was asked for. Passing: the watcher tries again."""


class Watcher:
    """The reduced best chain from `start` on."""

    def __init__(
        self,
        source: BitcoinSource,
        store: Store,
        network: str,
        start: Height,
        watched: Mapping[OutPoint, WatchKind],
    ) -> None:
        self._source = source
        self._store = store
        self._network = network
        self._start = start
        self._genesis_watch = dict(watched)
        self._blocks: list[L1Block] = []
        self._times_before: list[int] = []
        self._watched = WatchSet(dict(watched))
        self._changed = trio.Event()
        self.reachable = False
        """Whether the last look at Bitcoin succeeded."""
        self.reorg_depth_max = 0
        """Deepest reorg seen since start, in blocks."""
        self._load()

    @property
    def start(self) -> Height:
        return self._start

    @property
    def tip(self) -> L1Block | None:
        """The newest block seen, None before the first."""
        return self._blocks[-1] if self._blocks else None

    @property
    def tip_height(self) -> Height:
        """Height of the tip; one below the start height before the first block."""
        return Height(self._start + len(self._blocks) - 1)

    def block(self, height: Height) -> L1Block | None:
        """The best chain's block at a height, None when out of range."""
        index = height - self._start
        return self._blocks[index] if 0 <= index < len(self._blocks) else None

    def confirmations(self, height: Height, block_hash: Hash32) -> int:
        """Confirmations of a block that is on the best chain; 0 when it is not."""
        block = self.block(height)
        if block is None or block.hash != block_hash:
            return 0
        return self.tip_height - height + 1

    async def wait_changed(self) -> None:
        """Return when the tip is another one than now."""
        await self._changed.wait()

    async def run(self) -> None:
        """Follow the chain until cancelled. Trouble with Bitcoin is logged and retried."""
        while True:
            try:
                moved = await self.step()
            except BitcoinUnreachableError as error:
                if self.reachable:
                    log.warning("bitcoin_unreachable", why=str(error))
                self.reachable = False
                await trio.sleep(TROUBLE_PAUSE_SECONDS)
                continue
            if not self.reachable:
                log.info("bitcoin_reached", height=self.tip_height)
            self.reachable = True
            if not moved:
                await trio.sleep(POLL_SECONDS)

    async def step(self) -> bool:
        """One look: follow the best chain by up to a batch of blocks. True when the tip moved."""
        best = await self._ask_hash("getbestblockhash")
        if self._blocks and self._blocks[-1].hash == best:
            return False
        await self._rewind_to_best_chain()
        top = await self._ask_count()
        count = min(BATCH_BLOCKS, top - self.tip_height)
        if count <= 0:
            return False
        before = self.tip_height
        await self._append(await self._read_blocks(Height(before + 1), count))
        if self.tip_height == before:
            return False
        self._announce()
        return True

    async def _read_blocks(self, first: Height, count: int) -> list[Block]:
        """Blocks of the node's best chain; what each hashes to is checked."""
        asked = [("getblockhash", (height,)) for height in range(first, first + count)]
        names = [str(answer) for answer in await self._ask_all(asked)]
        raws = await self._ask_all([("getblock", (name, 0)) for name in names])
        blocks: list[Block] = []
        for name, raw in zip(names, raws, strict=True):
            try:
                block = Block.parse(bytes.fromhex(str(raw)))
            except (RemoteError, ValueError) as error:
                raise BitcoinUnreachableError(f"block {name} does not parse: {error}") from error
            if display_id(block.hash) != name:
                raise BitcoinUnreachableError(f"asked for block {name}, got another")
            blocks.append(block)
        return blocks

    async def _append(self, blocks: list[Block]) -> None:
        """Take blocks while they follow the tip; the chain may have moved while they were read."""
        found: list[L1Block] = []
        try:
            for block in blocks:
                if self._blocks and block.header.previous != self._blocks[-1].hash:
                    break
                found.append(await self._reduce(block))
        finally:  # what is in memory is on disk, also when Bitcoin went away in the middle
            with self._store.write() as transaction:
                for item in found:
                    key = item.height.to_bytes(4, "big")
                    transaction.put(Table.BITCOIN, key, item.encode())

    async def _reduce(self, block: Block) -> L1Block:
        """Append one block that follows the tip."""
        height = Height(self.tip_height + 1)
        if len(self._blocks) < MEDIAN_BLOCKS - 1 and not self._times_before:
            first = self._blocks[0].previous if self._blocks else block.header.previous
            self._times_before = await self._times_below(first)
        times = [*self._recent_times(), block.header.time]
        median = sorted(times)[len(times) // 2]
        found = scan_block(self._network, block, height, median, self._watched)
        self._blocks.append(found)
        return found

    def _recent_times(self) -> list[int]:
        """Times of the ten blocks below the next one."""
        own = [block.time for block in self._blocks[-(MEDIAN_BLOCKS - 1) :]]
        missing = MEDIAN_BLOCKS - 1 - len(own)
        return (self._times_before[-missing:] if missing else []) + own

    async def _times_below(self, first_previous: Hash32) -> list[int]:
        """Times of up to ten blocks below the start block, oldest first."""
        times: list[int] = []
        previous = first_previous
        while len(times) < MEDIAN_BLOCKS - 1 and previous != bytes(32):
            answer = await self._ask("getblockheader", display_id(previous), False)
            try:
                below = BlockHeader.parse(bytes.fromhex(str(answer)))
            except (RemoteError, ValueError) as error:
                raise BitcoinUnreachableError(f"a header does not parse: {error}") from error
            if below.hash != previous:
                raise BitcoinUnreachableError("a header does not hash to its id")
            times.append(below.time)
            previous = below.previous
        return times[::-1]

    async def _rewind_to_best_chain(self) -> None:
        """Drop blocks that left the best chain."""
        keep = len(self._blocks)
        count = await self._ask_count()
        while keep:
            block = self._blocks[keep - 1]
            is_there = block.height <= count
            if is_there and await self._ask_hash("getblockhash", block.height) == block.hash:
                break
            keep -= 1
        dropped = len(self._blocks) - keep
        if not dropped:
            return
        log.warning("bitcoin_reorg", depth=dropped, fork_height=self._start + keep - 1)
        self.reorg_depth_max = max(self.reorg_depth_max, dropped)
        with self._store.write() as transaction:
            for block in self._blocks[keep:]:
                transaction.delete(Table.BITCOIN, block.height.to_bytes(4, "big"))
        del self._blocks[keep:]
        if not keep:
            self._times_before = []  # the branch may be another one below the start as well
        self._rebuild_watch()
        self._announce()

    def _rebuild_watch(self) -> None:
        self._watched = WatchSet(dict(self._genesis_watch))
        for block in self._blocks:
            for item in block.relevant:
                self._watched.absorb(item)

    def _load(self) -> None:
        """Read the stored chain; a gap or a wrong link means that another program wrote here."""
        with self._store.read() as transaction:
            for _, value in transaction.scan(Table.BITCOIN):
                block = L1Block.decode(value, self._network)
                expected = self._start + len(self._blocks)
                linked = not self._blocks or block.previous == self._blocks[-1].hash
                if block.height != expected or not linked:
                    raise LocalError(f"stored Bitcoin block {block.height} does not follow")
                self._blocks.append(block)
        self._rebuild_watch()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _ask_all(self, asked: Sequence[tuple[str, tuple[object, ...]]]) -> list[object]:
        try:
            answers = await self._source.batch(asked)
        except (RemoteError, OSError) as error:
            raise BitcoinUnreachableError(f"{asked[0][0]}: {error}") from error
        if len(answers) != len(asked):
            raise BitcoinUnreachableError(f"{asked[0][0]}: {len(answers)} answers of {len(asked)}")
        return answers

    async def _ask_hash(self, method: str, *parameters: object) -> Hash32:
        try:
            return parse_display_id(str(await self._ask(method, *parameters)))
        except ValueError as error:
            raise BitcoinUnreachableError(f"{method}: {error}") from error

    async def _ask_count(self) -> int:
        try:
            return int(str(await self._ask("getblockcount")))
        except ValueError as error:
            raise BitcoinUnreachableError(f"getblockcount: {error}") from error

    async def _ask(self, method: str, *parameters: object) -> object:
        try:
            return await self._source.call(method, *parameters)
        except (RemoteError, OSError) as error:
            raise BitcoinUnreachableError(f"{method}: {error}") from error
