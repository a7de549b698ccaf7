"""Blocks that a node lacks: what it answers, and what it takes of an answer.

An answer is the wanted block and ancestors of it, newest first. Nothing of it is believed beyond
digests: the first block must be the wanted one and each next one the parent of the one before, so
all of them are as certain as the certificate that made the first one wanted.
"""

from collections.abc import Callable
from typing import Final

from p2p_seq.consensus.messages import (
    ANCESTORS_MAX,
    decode_block_request,
    decode_bodies,
    encode_bodies,
)
from p2p_seq.consensus.types import BlockReference
from p2p_seq.protocol.blocks import Block, BlockKind
from p2p_seq.protocol.types import Hash32

BODIES_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of blocks in one answer."""


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
