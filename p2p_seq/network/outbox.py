"""The queue of one peer's outgoing payloads: bounded per channel, joined into large writes.

One outbox per direct stream. Channels take turns payload by payload, so that a large body delays
another channel by at most one payload. Pure: the service waits and writes.
"""

from collections import deque
from collections.abc import Iterable

from p2p_seq.network.framing import HEADER, frame_header
from p2p_seq.network.types import Channel


class Outbox:
    """Queues of the channels that share one stream."""

    def __init__(
        self, channels: Iterable[Channel], messages_max: int, bytes_max: int, batch: int
    ) -> None:
        self._queues: dict[Channel, deque[bytes]] = {channel: deque() for channel in channels}
        self._bytes: dict[Channel, int] = dict.fromkeys(self._queues, 0)
        self._turn: deque[Channel] = deque(self._queues)
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._batch = batch

    def put(self, channel: Channel, payload: bytes) -> bool:
        """False when the channel's queue has no room: nothing is displaced, the sender decides."""
        queue = self._queues[channel]
        size = len(payload) + HEADER.size
        if len(queue) >= self._messages_max or self._bytes[channel] + size > self._bytes_max:
            return False
        queue.append(payload)
        self._bytes[channel] += size
        return True

    def take_batch(self) -> tuple[bytes, int]:
        """The next write, of whole frames, and the number of payloads in it; empty when none wait.

        Goes on until the batch size is reached, so one write is at most that plus one payload.
        """
        parts: list[bytes] = []
        size = 0
        count = 0
        while size < self._batch:
            channel = self._next_channel()
            if channel is None:
                break
            payload = self._queues[channel].popleft()
            self._bytes[channel] -= len(payload) + HEADER.size
            parts.append(frame_header(channel, len(payload)))
            parts.append(payload)
            size += len(payload) + HEADER.size
            count += 1
        return b"".join(parts), count

    def clear(self) -> int:
        """Drop everything that waits; the number of payloads dropped."""
        dropped = self.messages
        for channel, queue in self._queues.items():
            queue.clear()
            self._bytes[channel] = 0
        return dropped

    @property
    def messages(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    @property
    def bytes(self) -> int:
        return sum(self._bytes.values())

    def _next_channel(self) -> Channel | None:
        for _ in range(len(self._turn)):
            channel = self._turn[0]
            self._turn.rotate(-1)
            if self._queues[channel]:
                return channel
        return None
