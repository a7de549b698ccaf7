"""Two heaps over the waiting transactions: who is next for a block, and who goes first when full.

Both are lazy: an item stays when its entry dies or moves, and is dropped when it comes up. They are
rebuilt when the dead outnumber the living.
"""

import heapq
from collections.abc import Generator

from p2p_seq.mempool.queues import Entry, SenderQueue

HOLE_RANK = -1
"""Rank of a transaction behind a hole in its sender's nonces: below every tip."""

HEAP_SLACK = 1_024
"""Dead items that a heap may hold beyond the living before it is rebuilt."""

Item = tuple[int, int, Entry]


class Ranking:
    """The heaps. `queues` is the pool's own dictionary, read here and never changed."""

    def __init__(self, queues: dict[bytes, SenderQueue]) -> None:
        self._queues = queues
        self._heads: list[Item] = []
        """`(-rate, sequence, entry)` of every sender's next executable transaction."""
        self._floor: list[Item] = []
        """`(rank, -sequence, entry)` of all entries."""

    def sizes(self) -> tuple[int, int]:
        """Items of the heads and of the floor, dead ones included."""
        return len(self._heads), len(self._floor)

    def add_head(self, entry: Entry) -> None:
        """`entry` is the next executable one of its sender."""
        heapq.heappush(self._heads, (-entry.rate, entry.sequence, entry))

    def add_rank(self, entry: Entry, *, has_hole: bool = False) -> None:
        rank = HOLE_RANK if has_hole else entry.rate
        heapq.heappush(self._floor, (rank, -entry.sequence, entry))

    def tidy(self, entry_count: int) -> None:
        """Rebuild when the heaps hold much more than `entry_count` living entries."""
        if max(len(self._floor), len(self._heads)) > 2 * entry_count + HEAP_SLACK:
            self.rebuild()

    def rebuild(self) -> None:
        """From the queues alone; also after ranks changed."""
        self._heads = []
        self._floor = []
        for queue in self._queues.values():
            head = queue.head
            if head is not None:
                self._heads.append((-head.rate, head.sequence, head))
            for nonce, entry in queue.by_nonce.items():
                rank = entry.rate if nonce < queue.end else HOLE_RANK
                self._floor.append((rank, -entry.sequence, entry))
        heapq.heapify(self._heads)
        heapq.heapify(self._floor)

    def cheapest(self, below: int) -> Generator[SenderQueue, None, None]:
        """Queues by their lowest rank, as long as that is under `below`. The generator must be run
        to its end or closed before the pool changes.
        """
        passed = []
        try:
            while self._floor and self._floor[0][0] < below:
                item = heapq.heappop(self._floor)
                rank, _, entry = item
                if not entry.is_alive:
                    continue
                queue = self._queues[entry.sender]
                if rank == HOLE_RANK and entry.nonce < queue.end:
                    continue  # The hole was closed; the entry has a second item with its real rank.
                passed.append(item)
                yield queue
        finally:
            for item in passed:
                heapq.heappush(self._floor, item)

    def best(self, next_nonces: dict[bytes, int]) -> "BestFirst":
        """The executable transactions, best first, when the senders in `next_nonces` are already at
        those nonces.
        """
        return BestFirst(self._heads, self._queues, next_nonces)


class BestFirst:
    """One walk over executable transactions. `finish` must be called before the pool changes."""

    def __init__(
        self, heads: list[Item], queues: dict[bytes, SenderQueue], next_nonces: dict[bytes, int]
    ) -> None:
        self._heads = heads
        self._queues = queues
        self._skipped = next_nonces
        self._passed: list[Item] = []
        self._ready: list[Item] = []
        for sender, nonce in next_nonces.items():
            queue = queues.get(sender)
            entry = None if queue is None else queue.by_nonce.get(nonce)
            if entry is not None:
                self._ready.append((-entry.rate, entry.sequence, entry))
        heapq.heapify(self._ready)

    def pop(self) -> Entry | None:
        """The best executable transaction that has not come yet."""
        heads, ready = self._heads, self._ready
        while heads and not (ready and ready[0] < heads[0]):
            item = heapq.heappop(heads)
            entry = item[2]
            if not entry.is_alive or self._queues[entry.sender].account_nonce != entry.nonce:
                continue
            self._passed.append(item)
            if entry.sender not in self._skipped:
                return entry
        return heapq.heappop(ready)[2] if ready else None

    def release_follower(self, entry: Entry) -> None:
        """`entry` was taken: its sender's next nonce is executable now."""
        follower = self._queues[entry.sender].by_nonce.get(entry.nonce + 1)
        if follower is not None:
            heapq.heappush(self._ready, (-follower.rate, follower.sequence, follower))

    def finish(self) -> None:
        """Put everything back: a selection changes nothing."""
        for item in self._passed:
            heapq.heappush(self._heads, item)
        self._passed = []
