"""Who leads which view: stride scheduling with phases drawn from the epoch's seed (consensus.md
C.3).

Member i has deadlines `(u_i + k * 2^64) // w_i`, k = 0, 1, ...; the leaders are the members in the
order of their deadlines, ties by index. Shares are exact within about two slots an epoch, no state
crosses epochs, and small members are not starved because their phase is random. Integers only:
every implementation agrees.
"""

import hashlib
import heapq

from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.types import Hash32, View

_STRIDE = 2**64


def phase(seed: Hash32, index: int) -> int:
    """`u_i`: the first eight bytes of SHA256(seed | i), i in 4 bytes."""
    return int.from_bytes(hashlib.sha256(seed + index.to_bytes(4, "big")).digest()[:8], "big")


class LeaderSchedule:
    """The leaders of one epoch, extended as views are asked for. One byte a view."""

    __slots__ = ("_heap", "_leaders", "_phases", "_weights")

    def __init__(self, members: SequencerSet, seed: Hash32) -> None:
        self._weights = members.weights
        self._phases = tuple(phase(seed, index) for index in range(len(members)))
        self._heap = [
            (start // weight, index, 0)
            for index, (start, weight) in enumerate(zip(self._phases, self._weights, strict=True))
        ]
        heapq.heapify(self._heap)
        self._leaders = bytearray()

    def leader(self, view: View) -> int:
        """Index of the leader of a view, from 1. Callers bound the view before they ask."""
        assert view >= 1
        while len(self._leaders) < view:
            _, index, turns = self._heap[0]
            deadline = (self._phases[index] + (turns + 1) * _STRIDE) // self._weights[index]
            heapq.heapreplace(self._heap, (deadline, index, turns + 1))
            self._leaders.append(index)
        return self._leaders[view - 1]
