"""Catching up: finalised blocks by height from any peer, checked by certificate and re-execution.

Serves full nodes, which follow only this way, and sequencers that were away for longer than one
epoch. A range ends with a block that has a finality certificate of its own, within one epoch, so
the set that must have signed is always known. Nothing of a peer is believed: the certificate must
hold, the blocks must link, and every block is re-executed with its signatures (a header that says
another root than execution gives is refused).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from p2p_seq.chain.chain import Chain, Finalised
from p2p_seq.chain.types import InvalidBlockError, NotYetError
from p2p_seq.consensus.schedule import LeaderSchedule
from p2p_seq.network.types import Network, PeerId, PenaltyReason, RequestProtocol
from p2p_seq.observability.logs import room_logger
from p2p_seq.protocol.blocks import BLOCK_BYTES_MAX, Block
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError, CodecReason, RemoteError
from p2p_seq.protocol.types import BlockHeight, Hash32
from p2p_seq.protocol.votes import Certificate, VoteError, VoteKind
from p2p_seq.settlement.bridge import VaultBrokenError

log = room_logger("sync")

RANGE_BLOCKS_MAX: Final = 256
"""Blocks in one answer, beyond the first certified one."""

RANGE_BYTES_MAX: Final = 2 * 1024 * 1024
"""Bytes of blocks in one answer, likewise."""

RANGE_HARD_MAX: Final = 4_096
"""Blocks that a client reads from one answer."""

REQUEST_TIMEOUT_S: Final = 10.0
POLL_SECONDS: Final = 2.0
"""Pause between two looks at peers when nothing is announced."""

WAIT_SECONDS: Final = 0.2


def encode_range(blocks: Sequence[bytes], certificate: bytes | None) -> bytes:
    """A range of final blocks, ascending, and the finality certificate of the last one."""
    writer = Writer()
    writer.sequence(blocks, RANGE_HARD_MAX, lambda w, b: w.var_bytes(b, BLOCK_BYTES_MAX))
    return writer.var_bytes(certificate or b"", 65_536).bytes()


def decode_range(encoded: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Inverse of `encode_range`. Raises CodecError."""
    reader = Reader(encoded)
    blocks = reader.sequence(RANGE_HARD_MAX, lambda r: r.var_bytes(BLOCK_BYTES_MAX))
    certificate = reader.var_bytes(65_536)
    reader.finish()
    return blocks, certificate


class SyncService:
    """Serves ranges, and follows peers while the node is not kept current by consensus."""

    def __init__(
        self,
        chain: Chain,
        network: Network,
        finalised: Callable[[Sequence[Finalised]], None],
    ) -> None:
        self._chain = chain
        self._network = network
        self._finalised = finalised
        self._lock = trio.Lock()
        self.halted: str | None = None
        """Why this node follows no more: more than two thirds certified what it refuses."""

    def serve(self) -> None:
        """Answer requests for ranges of final blocks."""
        self._network.serve(RequestProtocol.BLOCKS, self._serve_range)

    async def _serve_range(self, peer: PeerId, request: bytes) -> bytes:
        reader = Reader(request)
        first = BlockHeight(reader.u64())
        reader.finish()
        blocks, certificate = self._chain.store.final_range(
            first, RANGE_BLOCKS_MAX, RANGE_BYTES_MAX
        )
        return encode_range(blocks, certificate)

    async def follow(self, wait_news: Callable[[], Awaitable[None]]) -> None:
        """Follow peers for ever: a full node's way to stay current.

        `wait_news` returns when a peer announced a higher tip; gossip loses messages, so peers are
        asked now and then all the same.
        """
        while True:
            if not await self.catch_up():
                with trio.move_on_after(POLL_SECONDS):
                    await wait_news()

    async def catch_up(self) -> bool:
        """Fetch until no connected peer has more. True when the tip moved."""
        moved = False
        if self.halted is not None:
            return False
        async with self._lock:
            for status in self._network.peers():
                if status.connected:
                    while await self._fetch_range(status.peer):
                        moved = True
        return moved

    async def _fetch_range(self, peer: PeerId) -> bool:
        """One range from one peer. True when the tip moved."""
        first = self._chain.final.header.height + 1
        try:
            answer = await self._network.request(
                peer, RequestProtocol.BLOCKS, Writer().u64(first).bytes(), REQUEST_TIMEOUT_S
            )
            encoded, certificate = decode_range(answer)
            if not encoded:
                return False
            blocks = [Block.decode(item, self._chain.params.network) for item in encoded]
            final = Certificate.decode(certificate)
            self._check_range(blocks, final)
            await self._apply(blocks, final)
        except InvalidBlockError as error:
            # The certificate holds, so more than two thirds signed what this node refuses: stop
            # and say so (PROTOCOL.md section 8.1).
            self.halted = f"a certified block is invalid here: {error}"
            log.critical("certified_block_refused", peer=peer, why=str(error))
            return False
        except VaultBrokenError as error:
            self.halted = str(error)
            log.critical("vault_broken", why=str(error))
            return False
        except NotYetError as error:
            log.info("sync_waits", why=str(error))
            await trio.sleep(WAIT_SECONDS)
            return False
        except RemoteError as error:
            if isinstance(error, CodecError | VoteError):
                self._network.penalize(peer, PenaltyReason.INVALID_MESSAGE)
            log.debug("sync_failed", peer=peer, why=str(error))
            return False
        return True

    def _check_range(self, blocks: Sequence[Block], certificate: Certificate) -> None:
        """The range follows the own tip, links, and ends with what the set finalised."""
        parent: Hash32 = self._chain.final.digest
        for block in blocks:
            if block.header.parent != parent or block.header.epoch != self._chain.final.epoch:
                raise CodecError(CodecReason.VALUE, "the range does not follow the own tip")
            parent = self._chain.digest(block.header)
        statement = certificate.statement
        good = (
            statement.kind is VoteKind.FINALIZE
            and statement.epoch == self._chain.final.epoch
            and statement.block == parent
            and statement.outputs == self._chain.reference(blocks[-1]).outputs
        )
        if not good:
            raise CodecError(CodecReason.VALUE, "the certificate is not the last block's")
        certificate.verify(
            self._chain.final.members, self._chain.chain_id, self._chain.params.network
        )

    async def _apply(self, blocks: Sequence[Block], certificate: Certificate) -> None:
        schedule: LeaderSchedule = self._chain.instance(frozenset()).schedule
        digests: list[Hash32] = []
        for block in blocks:
            leader = schedule.leader(block.header.view)
            state = await self._chain.accept(block, leader, voting=False)
            digests.append(state.digest)
        if self._chain.final.digest != blocks[0].header.parent:
            return  # consensus made them final meanwhile
        done = await self._chain.finalise(digests, certificate)
        if done:
            self._finalised(done)
