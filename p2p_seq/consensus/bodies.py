"""The bodies of blocks that are being decided: held, served, and fetched from peers.

An answer is the wanted block and ancestors of it, newest first. Nothing of it is believed beyond
digests: the first block must be the wanted one and each next one the parent of the one before, so
all of them are as certain as the certificate that made the first one wanted.
"""

from collections.abc import Callable
from typing import Final

import trio

from p2p_seq.chain.chain import Chain
from p2p_seq.consensus.messages import (
    ANCESTORS_MAX,
    decode_block_request,
    decode_bodies,
    encode_block_request,
    encode_bodies,
)
from p2p_seq.consensus.types import BlockReference
from p2p_seq.network.types import Network, PeerId, PenaltyReason, RequestProtocol
from p2p_seq.protocol.blocks import Block, BlockKind
from p2p_seq.protocol.errors import CodecError, RemoteError
from p2p_seq.protocol.types import BlockHeight, Hash32, View

BODIES_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of blocks in one answer."""

FETCH_TIMEOUT_S: Final = 2.0


def answer_request(find: Callable[[Hash32], Block | None], request: bytes) -> bytes:
    """A block and its ancestors of the same epoch, newest first, bounded. Raises CodecError."""
    digest = decode_block_request(request)
    blocks: list[bytes] = []
    size = 0
    while len(blocks) < ANCESTORS_MAX:
        block = find(digest)
        if block is None:
            break
        encoded = block.encode()
        size += len(encoded)
        if blocks and size > BODIES_BYTES_MAX:
            break
        blocks.append(encoded)
        if len(blocks) > 1 and block.header.kind is not BlockKind.ORDINARY:
            break
        digest = block.header.parent
    return encode_bodies(blocks)


def read_answer(
    network: str, refer: Callable[[Block], BlockReference], wanted: Hash32, answer: bytes
) -> list[tuple[BlockReference, Block]]:
    """The part of an answer that hangs together from the wanted block on; empty when none does.

    `refer` makes of a block what consensus knows of it. Raises CodecError.
    """
    linked: list[tuple[BlockReference, Block]] = []
    for encoded in decode_bodies(answer):
        block = Block.decode(encoded, network)
        reference = refer(block)
        if reference.digest != (linked[-1][0].parent if linked else wanted):
            break
        linked.append((reference, block))
    return linked


class Bodies:
    """What one node holds of the running instance, beside the blocks that its chain knows."""

    def __init__(self, chain: Chain, network: Network) -> None:
        self._chain = chain
        self._network = network
        self._held: dict[Hash32, Block] = {}

    def __len__(self) -> int:
        return len(self._held)

    def get(self, digest: Hash32) -> Block | None:
        """A body that is held, or that the chain knows."""
        return self._held.get(digest) or self._chain.block(digest)

    def held(self, digest: Hash32) -> Block | None:
        """Only one that is held here: the chain's need no second copy."""
        return self._held.get(digest)

    def put(self, digest: Hash32, block: Block) -> None:
        self._held[digest] = block

    def clear(self) -> None:
        self._held.clear()

    def forget(self, height: BlockHeight, view: View) -> None:
        """Drop what is final and what was proposed in views that are over: only children of the
        tip, proposed after it, can still be wanted.
        """
        self._held = {
            digest: block
            for digest, block in self._held.items()
            if block.header.height > height and block.header.view > view
        }

    async def answer(self, peer: PeerId, request: bytes) -> bytes:
        """Serve a peer. Raises CodecError."""
        await trio.lowlevel.checkpoint()
        return answer_request(self.get, request)

    async def ask(self, peer: PeerId, digest: Hash32) -> tuple[BlockReference, ...]:
        """Fetch a block and ancestors of it from one peer, and hold them; nothing when it cannot
        give them.
        """
        request = encode_block_request(digest)
        try:
            answer = await self._network.request(
                peer, RequestProtocol.BODIES, request, FETCH_TIMEOUT_S
            )
            linked = read_answer(self._chain.params.network, self._chain.reference, digest, answer)
        except RemoteError as error:
            if isinstance(error, CodecError):
                self._network.penalize(peer, PenaltyReason.INVALID_MESSAGE)
            return ()
        for reference, block in linked:
            self._held.setdefault(reference.digest, block)
        return tuple(reference for reference, _ in linked)
