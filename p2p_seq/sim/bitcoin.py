"""Bitcoin as the simulation needs it: a best chain that grows, stalls, bursts and reorganises."""

import hashlib
from bisect import bisect_right

from p2p_seq.protocol.types import Hash32, Height


def _block_hash(parent: bytes, salt: int) -> Hash32:
    return Hash32(hashlib.sha256(parent + salt.to_bytes(8, "big")).digest())


class BitcoinView:
    """The best chain at one moment. Height h is `hashes[h]`."""

    __slots__ = ("hashes",)

    def __init__(self, hashes: tuple[Hash32, ...]) -> None:
        self.hashes = hashes

    @property
    def tip(self) -> Height:
        return Height(len(self.hashes) - 1)

    def hash_at(self, height: int) -> Hash32 | None:
        return self.hashes[height] if 0 <= height < len(self.hashes) else None


class SimulatedBitcoin:
    """The history of best chains, so that nodes may see it with a lag."""

    def __init__(self, first_height: int) -> None:
        hashes = [_block_hash(b"", 0)]
        while len(hashes) <= first_height:
            hashes.append(_block_hash(hashes[-1], 0))
        self._salt = 0
        self._times = [0]
        self._views = [BitcoinView(tuple(hashes))]

    @property
    def tip(self) -> Height:
        return self._views[-1].tip

    def mine(self, now_ms: int, blocks: int) -> None:
        """Add blocks to the best chain."""
        self._extend(now_ms, list(self._views[-1].hashes), blocks)

    def reorganise(self, now_ms: int, depth: int) -> None:
        """Replace the last `depth` blocks by a branch that is one longer."""
        self._extend(now_ms, list(self._views[-1].hashes[:-depth]), depth + 1)

    def _extend(self, now_ms: int, hashes: list[Hash32], blocks: int) -> None:
        for _ in range(blocks):
            self._salt += 1
            hashes.append(_block_hash(hashes[-1], self._salt))
        self._times.append(now_ms)
        self._views.append(BitcoinView(tuple(hashes)))

    def view(self, time_ms: int) -> BitcoinView:
        """The best chain at a moment."""
        return self._views[max(0, bisect_right(self._times, time_ms) - 1)]
