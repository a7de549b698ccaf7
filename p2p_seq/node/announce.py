"""Telling open membership that the chain grew: gossip of the finalised tip.

An announcement is a hint, 40 bytes: height and digest. Whoever hears it asks for the certified
range (`sync.py`) and checks everything; a lie costs one request. Only the leader of the last
final block announces, and not more often than `INTERVAL_S`, because gossip costs every forwarder
about 1.5 ms.
"""

from collections.abc import Callable
from typing import Final

import trio

from p2p_seq.network.types import Network, Topic
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError
from p2p_seq.protocol.types import BlockHeight, Hash32

INTERVAL_S: Final = 0.25
ANNOUNCEMENT_BYTES: Final = 40


def encode_announcement(height: BlockHeight, digest: Hash32) -> bytes:
    return Writer().u64(height).hash32(digest).bytes()


def decode_announcement(encoded: bytes) -> tuple[BlockHeight, Hash32]:
    """Strict inverse of `encode_announcement`. Raises CodecError."""
    reader = Reader(encoded)
    height, digest = BlockHeight(reader.u64()), reader.hash32()
    reader.finish()
    return height, digest


def looks_like_announcement(payload: bytes) -> bool:
    """The format check that runs before gossip is delivered or forwarded."""
    return len(payload) == ANNOUNCEMENT_BYTES


class Announcer:
    """Publishes the own tip, and wakes the node when somebody announces a higher one."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._due: tuple[BlockHeight, Hash32] | None = None
        self._wake = trio.Event()
        self._heard = trio.Event()

    def announce(self, height: BlockHeight, digest: Hash32) -> None:
        """The tip is this block now, and this node was its leader."""
        self._due = (height, digest)
        self._wake.set()

    async def publish_forever(self) -> None:
        """Publish the newest due announcement, spaced; skip all in a network of members only."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            due, self._due = self._due, None
            has_guests = any(p.connected and not p.is_member for p in self._network.peers())
            if due is not None and has_guests:
                await self._network.publish(Topic.CERTIFICATES, encode_announcement(*due))
            await trio.sleep(INTERVAL_S)

    async def listen(self, tip: Callable[[], BlockHeight]) -> None:
        """Set `wait_heard` free whenever a higher tip is announced."""
        self._network.check_gossip(Topic.CERTIFICATES, looks_like_announcement)
        async for received in self._network.subscription(Topic.CERTIFICATES):
            try:
                height, _ = decode_announcement(received.payload)
            except CodecError:
                continue
            if height > tip():
                self._heard.set()

    async def wait_heard(self) -> None:
        """Return when a higher tip was announced since the last call."""
        await self._heard.wait()
        self._heard = trio.Event()
