"""Direct streams: what one peer is sent, and what its streams bring.

Streams are one-way: each side writes on the two it opened (urgent and bulk), so nobody has to agree
on who opens, and two connections after a simultaneous dial do no harm. Payloads wait in an outbox
and are joined into one write. When a stream breaks, the payloads in that write are lost and the
next stream goes on with the rest; when the connection breaks, the queue is dropped, because stale
votes and old batches are worth less than the memory (the protocols above repeat what still
matters).
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

import trio

from p2p_seq.network.counters import Counters, Event
from p2p_seq.network.framing import FrameDecoder
from p2p_seq.network.limits import NetworkLimits, TokenBucket
from p2p_seq.network.mailbox import Mailbox
from p2p_seq.network.outbox import Outbox
from p2p_seq.network.streams import READ_SIZE, reset_quietly
from p2p_seq.network.types import Channel, NetworkReason, PeerId, Received, Stream
from p2p_seq.protocol.errors import RemoteError


class Lane(StrEnum):
    """The two streams of a peer pair. Votes overtake bodies because they are never in one
    stream."""

    URGENT = "urgent"
    BULK = "bulk"


LANE_CHANNELS: Final[dict[Lane, frozenset[Channel]]] = {
    Lane.URGENT: frozenset(channel for channel in Channel if channel.is_urgent),
    Lane.BULK: frozenset(channel for channel in Channel if not channel.is_urgent),
}

_REOPEN_FIRST_S: Final = 0.05
_REOPEN_LAST_S: Final = 2.0
_PATIENCE_WITH_CONSUMERS_S: Final = 1.0
"""Below the 5 s after which a writer that gets no window gives its stream up."""

StreamOpener = Callable[[Lane], Awaitable[Stream]]
"""Opens one of our streams to the peer. Raises RemoteError."""


class _OutgoingLane:
    def __init__(self, lane: Lane, limits: NetworkLimits) -> None:
        self.lane = lane
        # Sorted: turns must not depend on the order of a set.
        channels = sorted(LANE_CHANNELS[lane])
        self.outbox = Outbox(
            channels, limits.peer_queue_messages, limits.peer_queue_bytes, limits.write_batch
        )
        self.wakeup = trio.Event()


class OutgoingLink:
    """Both lanes towards one connected peer. `run` lives as long as the connection."""

    def __init__(self, limits: NetworkLimits, counters: Counters, opener: StreamOpener) -> None:
        self._counters = counters
        self._opener = opener
        self._lanes = {lane: _OutgoingLane(lane, limits) for lane in Lane}
        self.sent_messages = 0
        self.sent_bytes = 0

    def put(self, channel: Channel, payload: bytes) -> bool:
        lane = self._lanes[Lane.URGENT if channel.is_urgent else Lane.BULK]
        if not lane.outbox.put(channel, payload):
            return False
        lane.wakeup.set()
        return True

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                for lane in self._lanes.values():
                    nursery.start_soon(self._write_lane, lane)
        finally:
            lost = sum(lane.outbox.clear() for lane in self._lanes.values())
            self._counters.add(Event.DIRECT_LOST, lost)

    @property
    def queued_messages(self) -> int:
        return sum(lane.outbox.messages for lane in self._lanes.values())

    @property
    def queued_bytes(self) -> int:
        return sum(lane.outbox.bytes for lane in self._lanes.values())

    async def _write_lane(self, lane: _OutgoingLane) -> None:
        pause = _REOPEN_FIRST_S
        while True:
            try:
                stream = await self._opener(lane.lane)
            except RemoteError:
                await trio.sleep(pause)
                pause = min(pause * 2, _REOPEN_LAST_S)
                continue
            if await self._write_stream(stream, lane):
                pause = _REOPEN_FIRST_S
            else:
                # A peer that resets each new stream is not hammered.
                await trio.sleep(pause)
                pause = min(pause * 2, _REOPEN_LAST_S)

    async def _write_stream(self, stream: Stream, lane: _OutgoingLane) -> bool:
        """Write batches until the stream breaks; True if any write succeeded before."""
        has_written = False
        while True:
            batch, count = lane.outbox.take_batch()
            if not count:
                lane.wakeup = trio.Event()
                await lane.wakeup.wait()
                continue
            try:
                await stream.write(batch)
            except RemoteError:
                self._counters.add(Event.DIRECT_LOST, count)
                await reset_quietly(stream)
                return has_written
            has_written = True
            self.sent_messages += count
            self.sent_bytes += len(batch)
            self._counters.add(Event.DIRECT_SENT, count)


class ReceiveBudget:
    """What one peer may send on direct streams before it is read more slowly."""

    def __init__(self, limits: NetworkLimits, is_member: bool, now: float) -> None:
        self._limits = limits
        self.is_member = is_member
        self._bytes = TokenBucket(limits.member_bytes if is_member else limits.guest_bytes, now)
        self._messages = TokenBucket(
            limits.member_messages if is_member else limits.guest_messages, now
        )

    def set_member(self, is_member: bool) -> None:
        if is_member == self.is_member:
            return
        self.is_member = is_member
        limits = self._limits
        self._bytes.change_rate(limits.member_bytes if is_member else limits.guest_bytes)
        self._messages.change_rate(limits.member_messages if is_member else limits.guest_messages)

    def pause_after(self, size: int, messages: int, now: float) -> float:
        """Seconds to wait before the next read, which the peer feels as flow control."""
        return max(self._bytes.take_later(size, now), self._messages.take_later(messages, now))


class IncomingLane:
    """Reads one direct stream of a peer into the inboxes."""

    def __init__(
        self,
        peer: PeerId,
        lane: Lane,
        limits: NetworkLimits,
        budget: ReceiveBudget,
        inboxes: dict[Channel, Mailbox],
        counters: Counters,
    ) -> None:
        self._peer = peer
        self._lane = lane
        self._limits = limits
        self._budget = budget
        self._inboxes = inboxes
        self._counters = counters
        self.received_messages = 0
        self.received_bytes = 0

    async def run(self, stream: Stream, on_batch: Callable[[int, int], None]) -> None:
        """Until the stream ends. Raises RemoteError on bytes that are no frames.

        `on_batch(messages, bytes)` is told of each read.
        """
        decoder = FrameDecoder(self._limits.direct_payload_max, LANE_CHANNELS[self._lane])
        while True:
            data = await stream.read(READ_SIZE)
            if not data:
                break
            frames = decoder.feed(data)
            for channel, payload in frames:
                received = Received(self._peer, payload, self._peer)
                if not self._inboxes[channel].put(received):
                    self._counters.add(Event.DIRECT_INBOX_FULL)
            self._counters.add(Event.DIRECT_RECEIVED, len(frames))
            on_batch(len(frames), len(data))
            if self._lane is Lane.BULK:
                await self._let_consumers_catch_up({channel for channel, _ in frames})
            pause = self._budget.pause_after(len(data), len(frames), trio.current_time())
            if pause > 0:
                self._counters.add(Event.DIRECT_SLOWED)
                await trio.sleep(pause)
        if not decoder.is_between_frames:
            # A crash in the middle of a write does that too: no fault of the peer.
            raise RemoteError(NetworkReason.CLOSED, "the stream ended inside a frame")

    async def _let_consumers_catch_up(self, channels: set[Channel]) -> None:
        """Flow control before drops; on the bulk lane only, where no vote waits behind it."""
        with trio.move_on_after(_PATIENCE_WITH_CONSUMERS_S):
            for channel in channels:
                await self._inboxes[channel].wait_for_room(self._peer)
