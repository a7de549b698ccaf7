"""The receiving end of a channel or topic: a queue that never blocks its writers and never grows.

Bounded three ways: by count, by bytes, and one peer may hold at most half of either, so that a
flood by one peer cannot starve the others. `KEEP_NEWEST` displaces the oldest payload of the peer
that holds most (for votes, where late ones matter more), `KEEP_OLDEST` refuses the new one.
"""

from collections import Counter, deque
from enum import Enum, auto
from typing import Final

import trio

from p2p_seq.network.types import PeerId, Received

_YIELD_EVERY: Final = 32


class WhenFull(Enum):
    KEEP_OLDEST = auto()
    KEEP_NEWEST = auto()


class Mailbox:
    """Implements `types.Inbox`; `put` is for the backend."""

    def __init__(self, messages_max: int, bytes_max: int, when_full: WhenFull) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._when_full = when_full
        self._queue: deque[Received] = deque()
        self._bytes = 0
        self._peer_messages: Counter[PeerId] = Counter()
        self._peer_bytes: Counter[PeerId] = Counter()
        self._waiters = trio.lowlevel.ParkingLot()
        self._has_room = trio.Event()
        self._dropped = 0
        self._taken = 0

    def put(self, received: Received) -> bool:
        """Never blocks. False when `received`, or an older payload in its place, was dropped."""
        if self._when_full is WhenFull.KEEP_OLDEST:
            if not self._has_room_for(received):
                self._dropped += 1
                return False
            self._append(received)
            return True
        displaced = False
        while not self._has_room_for(received):
            if not self._displace(received):
                self._dropped += 1
                return False
            displaced = True
        self._append(received)
        return not displaced

    async def wait_for_room(self, peer: PeerId) -> None:
        """Until `peer` holds less than half of its share. The caller bounds its patience.

        One read can bring a thousand payloads while a consumer takes one per turn: without this
        pause a burst would be dropped although everybody is fast enough.
        """
        while (
            self._peer_messages[peer] * 4 >= self._messages_max
            or self._peer_bytes[peer] * 4 >= self._bytes_max
        ):
            await self._has_room.wait()

    async def receive(self) -> Received:
        """The next payload. Yields when it waits and at every 32nd payload that it need not wait
        for.

        A turn of the scheduler runs every other task once: one payload per turn would be slower
        than the network is.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._taken += 1
        if self._queue and self._taken % _YIELD_EVERY == 0:
            await trio.lowlevel.checkpoint()
        while not self._queue:
            await self._waiters.park()
        return self._pop_first()

    def receive_nowait(self) -> Received:
        if not self._queue:
            raise trio.WouldBlock
        return self._pop_first()

    def __aiter__(self) -> "Mailbox":
        return self

    async def __anext__(self) -> Received:
        return await self.receive()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def dropped(self) -> int:
        return self._dropped

    def _has_room_for(self, received: Received) -> bool:
        size = len(received.payload)
        peer = received.peer
        return (
            len(self._queue) < self._messages_max
            and self._bytes + size <= self._bytes_max
            and self._peer_messages[peer] < max(1, self._messages_max // 2)
            and self._peer_bytes[peer] + size <= self._bytes_max // 2
        )

    def _append(self, received: Received) -> None:
        self._queue.append(received)
        self._bytes += len(received.payload)
        self._peer_messages[received.peer] += 1
        self._peer_bytes[received.peer] += len(received.payload)
        self._waiters.unpark()

    def _pop_first(self) -> Received:
        received = self._queue.popleft()
        self._forget(received)
        return received

    def _forget(self, received: Received) -> None:
        self._bytes -= len(received.payload)
        self._peer_messages[received.peer] -= 1
        self._peer_bytes[received.peer] -= len(received.payload)
        if self._has_room.statistics().tasks_waiting:
            self._has_room.set()
            self._has_room = trio.Event()
        if not self._peer_messages[received.peer]:
            del self._peer_messages[received.peer], self._peer_bytes[received.peer]

    def _displace(self, newcomer: Received) -> bool:
        """Drop the oldest payload: the newcomer's own when it is over its share, else the
        heaviest's."""
        victim = newcomer.peer
        is_over_share = (
            self._peer_messages[victim] >= max(1, self._messages_max // 2)
            or self._peer_bytes[victim] + len(newcomer.payload) > self._bytes_max // 2
        )
        if not is_over_share and self._peer_bytes:
            victim = max(self._peer_bytes, key=lambda peer: self._peer_bytes[peer])
        for index, received in enumerate(self._queue):
            if received.peer == victim:
                del self._queue[index]
                self._forget(received)
                self._dropped += 1
                return True
        return False
