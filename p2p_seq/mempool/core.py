"""The mempool's rules: what is admitted, what is chosen for a block, what has to go.

Pure: accounts come from an `AccountView` of the finalised state, time is counted in finalised
blocks, and order is the order of calls, so equal histories give equal blocks.

**Admission** promises that a chosen transaction will be executed and not dropped: known kind, fee
at least the price of the kind, nonce in the sender's window, and a balance that covers all of the
sender's waiting transactions together. Only the sender's own transactions lower a balance, so
what was covered stays covered until one of them is final; then the sender is looked at again.

**Order.** By tip (fee above the price of the kind) per cycle, then by arrival. A sender's
transactions go in nonce order, so a high tip waits for the transactions before it.

**Blocks.** A transaction stays in the pool while blocks that hold it are voted on. `select`
leaves out exactly what the proposal's own undecided ancestors hold; abandoning a block therefore
needs no repair, and transactions that came only with it are admitted then. `finalise` removes for
good.

**Full.** A newcomer takes the place of the last transaction of the sender whose lowest tip is
lowest of all, if it pays more than that. Only the last of a sender goes: taking one from the
middle would strand what follows. Transactions behind a hole in the nonces cannot be chosen: they
are the first to go and displace nobody.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing

from p2p_seq.mempool.live import LiveBlocks
from p2p_seq.mempool.queues import Entry, SenderQueue
from p2p_seq.mempool.ranking import HOLE_RANK, Ranking
from p2p_seq.mempool.types import (
    BODY_OFFSET,
    SCRIPT_OFFSET,
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
from p2p_seq.protocol.transactions import TransactionKind, is_payable_script
from p2p_seq.protocol.types import BlockHeight, Hash32

RATE_SCALE = 1_000_000
"""Tips per cycle are integers in millionths of a satoshi."""


class Mempool:
    """One pool. Not safe for threads; nothing in it waits."""

    def __init__(self, view: AccountView, prices: Prices, limits: PoolLimits | None = None) -> None:
        self.limits = limits or PoolLimits()
        self._view = view
        self._prices = prices
        self._price_of_kind = prices.of_kind()
        self._entries: dict[bytes, Entry] = {}
        """By id, in the order of arrival."""
        self._queues: dict[bytes, SenderQueue] = {}
        self._ranking = Ranking(self._queues)
        self._blocks = LiveBlocks()
        self._final: dict[bytes, None] = {}
        self._size = 0
        self._sequence = 0
        self._generation = 0
        self._height = BlockHeight(0)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, txid: bytes) -> bool:
        return txid in self._entries

    @property
    def size(self) -> int:
        """Encoded bytes of all waiting transactions."""
        return self._size

    @property
    def live_blocks(self) -> int:
        """Blocks that are being voted on."""
        return len(self._blocks)

    @property
    def prices(self) -> Prices:
        return self._prices

    def admit_batch(
        self, payload: bytes, parsed: Iterable[Parsed], *, is_local: bool = False
    ) -> list[Rejection | None]:
        """Admit the transactions of a batch whose signatures hold; None for each that is in now."""
        return [self.admit(payload, one, is_local=is_local) for one in parsed]

    def judge_batch(self, payload: bytes, parsed: Iterable[Parsed]) -> list[Rejection | None]:
        """`judge` for each transaction of a batch, as if it came alone."""
        return [self.judge(payload, one) for one in parsed]

    def admit(self, payload: bytes, parsed: Parsed, *, is_local: bool = False) -> Rejection | None:
        """Admit one transaction of `payload`, whose signature holds. None when it is in now."""
        reason = self.judge(payload, parsed)
        if reason is not None:
            return reason
        offset, length, txid, sender, kind, nonce, fee, amount = parsed
        price, cycles = self._price_of_kind[kind]
        entry = Entry(txid, sender, kind, nonce, fee, amount)
        entry.rate = (fee - price) * RATE_SCALE // cycles
        entry.cycles = cycles
        entry.encoded = payload[offset : offset + length]
        entry.is_local = is_local
        queue = self._queue_of(sender)
        assert queue is not None
        replaced = queue.by_nonce.get(nonce)
        if replaced is not None:
            grown = self._size + length - len(replaced.encoded)
            if grown > self.limits.bytes_max:
                return Rejection.POOL_FULL
            self._replace(replaced, entry, queue)
        elif self._make_room(HOLE_RANK if nonce > queue.end else entry.rate, length, sender):
            self._insert(entry, queue)
        else:
            return Rejection.POOL_FULL
        return None

    def judge(self, payload: bytes, parsed: Parsed) -> Rejection | None:
        """Every admission rule but the signature and the pool's own limits; changes nothing.

        Asked before the signature is checked, so that nobody makes a node check signatures of
        transactions that it would refuse anyway, and again when it has been checked.
        """
        offset, _, txid, sender, kind, nonce, fee, amount = parsed
        if txid in self._entries:
            return Rejection.DUPLICATE
        if txid in self._final:
            return Rejection.FINAL
        price = self._price_of_kind.get(kind)
        if price is None:
            return Rejection.KIND
        if fee < price[0]:
            return Rejection.FEE
        if kind == TransactionKind.WITHDRAW or amount < self._prices.account_minimum:
            reason = self._judge_body(payload, offset, kind, amount)
            if reason is not None:
                return reason
        queue = self._queue_of(sender)
        if queue is None:
            return Rejection.ACCOUNT
        return self._judge_in_queue(queue, nonce, fee, amount)

    def _judge_body(self, payload: bytes, offset: int, kind: int, amount: int) -> Rejection | None:
        """Refuse what would only fail when executed, and cost the sender its fee."""
        if kind == TransactionKind.WITHDRAW:
            if amount < self._prices.payout_minimum:
                return Rejection.PAYOUT
            at = offset + SCRIPT_OFFSET
            is_payable = is_payable_script(payload[at + 1 : at + 1 + payload[at]])
            return None if is_payable else Rejection.SCRIPT
        at = offset + BODY_OFFSET
        return Rejection.CREATION if self._view.account(payload[at : at + 32]) is None else None

    def _judge_in_queue(
        self, queue: SenderQueue, nonce: int, fee: int, amount: int
    ) -> Rejection | None:
        if nonce < queue.account_nonce:
            return Rejection.NONCE_USED
        if nonce >= queue.account_nonce + self.limits.nonce_window:
            return Rejection.NONCE_FAR
        cost = queue.cost + fee + amount
        replaced = queue.by_nonce.get(nonce)
        if replaced is not None:
            if self._blocks.hold(replaced.txid):
                return Rejection.DECIDING
            if fee * 100 < replaced.fee * (100 + self.limits.replace_percent):
                return Rejection.UNDERPRICED
            cost -= replaced.cost
        elif len(queue.by_nonce) >= self.limits.per_sender_max:
            return Rejection.SENDER_FULL
        return Rejection.BALANCE if cost > queue.balance else None

    def _queue_of(self, sender: bytes) -> SenderQueue | None:
        """The sender's queue as of the present state; a fresh, unregistered one if none waits; None
        without an account.
        """
        queue = self._queues.get(sender)
        if queue is not None and queue.generation != self._generation:
            self._refresh(sender, queue)
            queue = self._queues.get(sender)
        if queue is not None:
            return queue
        account = self._view.account(sender)
        return None if account is None else SenderQueue(*account, self._generation)

    def _insert(self, entry: Entry, queue: SenderQueue) -> None:
        former_end = queue.end
        self._register(entry, queue)
        if entry.nonce > former_end:
            self._ranking.add_rank(entry, has_hole=True)
            return
        # The newcomer may have closed a hole: everything up to the new end has its real rank now.
        for nonce in range(former_end, queue.end):
            self._ranking.add_rank(queue.by_nonce[nonce])

    def _replace(self, replaced: Entry, entry: Entry, queue: SenderQueue) -> None:
        self._remove(replaced)
        self._register(entry, queue)
        self._ranking.add_rank(entry, has_hole=entry.nonce > queue.end)

    def _register(self, entry: Entry, queue: SenderQueue) -> None:
        if not queue.by_nonce:
            self._queues[entry.sender] = queue
        self._sequence += 1
        entry.sequence = self._sequence
        entry.born = self._height
        queue.add(entry)
        self._entries[entry.txid] = entry
        self._size += len(entry.encoded)
        if entry.nonce == queue.account_nonce:
            self._ranking.add_head(entry)

    def _make_room(self, rank: int, length: int, sender: bytes) -> bool:
        """Evict until one more transaction fits. False when not enough may go."""
        limits = self.limits
        while len(self._entries) >= limits.count_max or self._size + length > limits.bytes_max:
            victim = self._cheapest_last(rank)
            # The last of the sender's own would leave a hole before the newcomer.
            if victim is None or victim.sender == sender:
                return False
            self._remove(victim)
        return True

    def _cheapest_last(self, below: int) -> Entry | None:
        """The last transaction of the sender with the lowest rank, if that is under `below`."""
        with closing(self._ranking.cheapest(below)) as queues:
            for queue in queues:
                # What is being voted on stays until that is decided.
                if not self._blocks.hold(queue.last.txid):
                    return queue.last
        return None

    def _remove(self, entry: Entry) -> None:
        entry.is_alive = False
        del self._entries[entry.txid]
        self._size -= len(entry.encoded)
        queue = self._queues[entry.sender]
        queue.remove(entry)
        if not queue.by_nonce:
            del self._queues[entry.sender]
        self._ranking.tidy(len(self._entries))

    def select(self, limits: SelectionLimits, ancestors: Sequence[bytes] = ()) -> Selection:
        """Transactions for a block on top of `ancestors`, its undecided ancestors, oldest first.

        Changes nothing that can be seen. Raises KeyError for an ancestor that was not `include`d.
        """
        walk = self._ranking.best(self._blocks.next_nonces(ancestors))
        chosen: list[Entry] = []
        size, cycles = limits.size, limits.cycles
        while len(chosen) < limits.count:
            entry = walk.pop()
            if entry is None:
                break
            if len(entry.encoded) > size or entry.cycles > cycles:
                continue  # Its followers wait with it; another sender's may still fit.
            chosen.append(entry)
            size -= len(entry.encoded)
            cycles -= entry.cycles
            walk.release_follower(entry)
        walk.finish()
        return Selection(
            b"".join([entry.encoded for entry in chosen]),
            tuple([Hash32(entry.txid) for entry in chosen]),
            limits.cycles - cycles,
        )

    def include(
        self, block: bytes, height: BlockHeight, transactions: bytes, parsed: Sequence[Parsed]
    ) -> None:
        """A block with these transactions (signatures checked) is being voted on. Idempotent."""
        if block not in self._blocks:
            self._blocks.add(block, height, transactions, parsed)

    def abandon(self, block: bytes) -> int:
        """The block will never be final. What came only with it is admitted now, if it still fits.

        Returns the number that was admitted. Unknown blocks are ignored.
        """
        live = self._blocks.pop(block)
        return 0 if live is None else self.admit_batch(live.transactions, live.parsed).count(None)

    def finalise(self, block: bytes, height: BlockHeight, parsed: Iterable[Parsed]) -> None:
        """The block is final and the account view shows the state after it.

        Removes its transactions and whatever can no longer be executed, abandons the other blocks
        up to its height, and drops transactions that waited too long.
        """
        self._blocks.pop(block)
        self._generation += 1
        self._height = height
        senders: dict[bytes, None] = {}
        for one in parsed:
            txid = one[2]
            senders[one[3]] = None
            self._final[txid] = None
            entry = self._entries.get(txid)
            if entry is not None:
                self._remove(entry)
        self._trim_final()
        for sender in senders:
            queue = self._queues.get(sender)
            if queue is not None:
                self._refresh(sender, queue)
        for rival in self._blocks.up_to(height):
            self.abandon(rival)
        self._expire()

    def _trim_final(self) -> None:
        excess = len(self._final) - self.limits.final_memory
        if excess > 0:
            for txid in list(self._final)[:excess]:
                del self._final[txid]

    def _refresh(self, sender: bytes, queue: SenderQueue) -> None:
        """Bring a queue to the present state; what is executed, or not covered any more, goes."""
        account = self._view.account(sender)
        if account is None:
            for entry in list(queue.by_nonce.values()):
                self._remove(entry)
            return
        balance, account_nonce = account
        has_advanced = account_nonce != queue.account_nonce
        if has_advanced:
            for entry in queue.stale(account_nonce):
                self._remove(entry)
        former_end = max(queue.end, account_nonce)
        queue.advance(balance, account_nonce, self._generation)
        while queue.by_nonce and queue.cost > balance:
            self._remove(queue.last)
        if has_advanced and queue.head is not None:
            self._ranking.add_head(queue.head)
        for nonce in range(former_end, queue.end):
            self._ranking.add_rank(queue.by_nonce[nonce])

    def _expire(self) -> None:
        """Drop what has waited too long, with everything behind it."""
        oldest_kept = self._height - self.limits.expiry_blocks
        expired = []
        for entry in self._entries.values():
            if entry.born >= oldest_kept:
                break
            expired.append(entry)
        for entry in expired:
            self._drop_from(entry)

    def _drop_from(self, entry: Entry) -> None:
        """Drop `entry` and its sender's later ones, as far as no live block holds them."""
        while entry.is_alive:
            last = self._queues[entry.sender].last
            if self._blocks.hold(last.txid):
                return
            self._remove(last)

    def set_prices(self, prices: Prices) -> None:
        """New prices: ranks change, and what pays too little goes with everything behind it."""
        if prices == self._prices:
            return
        self._prices = prices
        self._price_of_kind = prices.of_kind()
        too_cheap = []
        for entry in self._entries.values():
            price, entry.cycles = self._price_of_kind[entry.kind]
            entry.rate = max(0, entry.fee - price) * RATE_SCALE // entry.cycles
            if entry.fee < price:
                too_cheap.append(entry)
        self._ranking.rebuild()
        for entry in too_cheap:
            self._drop_from(entry)

    def position(self, txid: bytes) -> Position | None:
        """Where a transaction stands, or None when it is not in the pool."""
        if txid not in self._entries:
            return None
        return Position.PROPOSED if self._blocks.hold(txid) else Position.PENDING

    def encoded(self, txid: bytes) -> bytes | None:
        """The canonical bytes of a waiting transaction."""
        entry = self._entries.get(txid)
        return None if entry is None else entry.encoded

    def sender_status(self, sender: bytes) -> SenderStatus | None:
        """What waits for `sender`; None when it has no account."""
        queue = self._queue_of(sender)
        if queue is None:
            return None
        return SenderStatus(queue.end, len(queue.by_nonce), queue.cost)

    def has_pending(self, ancestors: Sequence[bytes] = ()) -> bool:
        """Whether a block on top of `ancestors` could hold at least one transaction."""
        return self.select(SelectionLimits(1, self._size, 2**63), ancestors).count > 0

    @property
    def arrivals(self) -> int:
        """Number of admissions so far; the sequence number of the last one."""
        return self._sequence

    def waiting_local(self, arrivals: int, count: int) -> list[bytes]:
        """Encodings of at most `count` transactions submitted here that no live block holds, out of
        the first `arrivals` admissions, oldest first.
        """
        found: list[bytes] = []
        for entry in self._entries.values():
            if entry.sequence > arrivals or len(found) >= count:
                break
            if entry.is_local and not self._blocks.hold(entry.txid):
                found.append(entry.encoded)
        return found

    def heap_sizes(self) -> tuple[int, int]:
        """Items of the two heaps, dead ones included."""
        return self._ranking.sizes()
