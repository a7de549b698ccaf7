"""The compiled mempool behind the interface of its twin, `core.Mempool`."""

from collections.abc import Iterable, Sequence

from cython_core.mempool._mempool import REASON_NAMES, Pool
from p2p_seq.mempool.types import (
    AccountView,
    Parsed,
    PoolLimits,
    Position,
    Prices,
    Rejection,
    Selection,
    SelectionLimits,
    SenderStatus,
)
from p2p_seq.protocol.types import BlockHeight, Hash32

CYCLES_MAX = 2**62
"""More cycles than a block can have; the engine counts in 63 bits."""

_REASONS = tuple([Rejection(name) if name else None for name in REASON_NAMES])


class NativeMempool:
    """What `core.Mempool` says of each method holds here."""

    def __init__(self, view: AccountView, prices: Prices, limits: PoolLimits | None = None) -> None:
        self.limits = limits or PoolLimits()
        self._prices = prices
        self._pool = Pool(view, _REASONS, self.limits)
        self._pool.set_prices(prices)

    def __len__(self) -> int:
        return len(self._pool)

    def __contains__(self, txid: bytes) -> bool:
        return txid in self._pool

    @property
    def size(self) -> int:
        return self._pool.byte_size

    @property
    def live_blocks(self) -> int:
        return self._pool.live_blocks

    @property
    def prices(self) -> Prices:
        return self._prices

    @property
    def arrivals(self) -> int:
        return self._pool.arrivals

    def admit_batch(
        self, payload: bytes, parsed: Iterable[Parsed], *, is_local: bool = False
    ) -> list[Rejection | None]:
        return self._pool.admit_batch(payload, parsed, is_local)

    def judge_batch(self, payload: bytes, parsed: Iterable[Parsed]) -> list[Rejection | None]:
        return self._pool.judge_batch(payload, parsed)

    def select(self, limits: SelectionLimits, ancestors: Sequence[bytes] = ()) -> Selection:
        transactions, txids, cycles = self._pool.select(
            limits.count, limits.size, min(limits.cycles, CYCLES_MAX), ancestors
        )
        return Selection(transactions, tuple([Hash32(txid) for txid in txids]), cycles)

    def include(
        self, block: bytes, height: BlockHeight, transactions: bytes, parsed: Sequence[Parsed]
    ) -> None:
        self._pool.hold_block(block, height, transactions, parsed)

    def abandon(self, block: bytes) -> int:
        return self._pool.abandon(block)

    def finalise(self, block: bytes, height: BlockHeight, parsed: Iterable[Parsed]) -> None:
        self._pool.finalise(block, height, parsed)

    def set_prices(self, prices: Prices) -> None:
        if prices != self._prices:
            self._prices = prices
            self._pool.set_prices(prices)

    def position(self, txid: bytes) -> Position | None:
        is_proposed = self._pool.is_proposed(txid)
        if is_proposed is None:
            return None
        return Position.PROPOSED if is_proposed else Position.PENDING

    def encoded(self, txid: bytes) -> bytes | None:
        return self._pool.encoded(txid)

    def sender_status(self, sender: bytes) -> SenderStatus | None:
        status = self._pool.sender_status(sender)
        return None if status is None else SenderStatus(*status)

    def has_pending(self, ancestors: Sequence[bytes] = ()) -> bool:
        return bool(self._pool.select(1, self._pool.byte_size, CYCLES_MAX, ancestors)[1])

    def waiting_local(self, arrivals: int, count: int) -> list[bytes]:
        return self._pool.waiting_local(arrivals, count)

    def heap_sizes(self) -> tuple[int, int]:
        """Items of the two heaps, dead ones included."""
        return self._pool.heap_sizes()
