# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The rules of `p2p_seq/mempool/core.py` as extension types: same history, same answers.

The Python twin says what each rule is for; names and structure are the same here, and the same
tests run on both. Transactions come from the native parser, so their fields are known to be
well-formed. Amounts are sums of satoshi and stay below 2^62 because a sender's balance does: larger
claims are cut to 2^62, which no balance covers.
"""

from heapq import heapify, heappop, heappush

from libc.stdint cimport int64_t, uint64_t

from cython_core.ledger._ledger import is_payable

REASON_NAMES = (
    "",
    "duplicate",
    "already-final",
    "unknown-kind",
    "fee-too-low",
    "payout-too-small",
    "unpayable-script",
    "creates-account-with-too-little",
    "no-such-account",
    "nonce-used",
    "nonce-too-far",
    "nonce-in-proposed-block",
    "replacement-fee-too-low",
    "sender-limit",
    "balance-too-low",
    "pool-full",
)
"""Codes of the answers: `Mempool` is given one object for each, in this order."""

cdef enum:
    OK = 0
    DUPLICATE
    FINAL
    KIND
    FEE
    PAYOUT
    SCRIPT
    CREATION
    NO_ACCOUNT
    NONCE_USED
    NONCE_FAR
    DECIDING
    UNDERPRICED
    SENDER_FULL
    BALANCE
    POOL_FULL

cdef enum:
    TRANSFER = 1
    WITHDRAW = 2
    KINDS = 3
    BODY_OFFSET = 50
    SCRIPT_OFFSET = 58
    TRANSACTION_MINIMUM = 154

cdef uint64_t AMOUNT_CUT = <uint64_t>1 << 62
cdef object RATE_SCALE = 1_000_000
cdef object HOLE_RANK = -1
cdef Py_ssize_t HEAP_SLACK = 1_024


cdef class Entry:
    """A waiting transaction."""
    cdef bytes txid, sender, encoded
    cdef object rate
    cdef uint64_t nonce, fee, cost
    cdef int64_t sequence, born, cycles
    cdef int kind
    cdef bint is_alive, is_local


cdef class Queue:
    """Waiting transactions of one sender."""
    cdef uint64_t balance, account_nonce, cost, end, top
    cdef int64_t generation
    cdef dict by_nonce

    cdef void extend_end(self):
        cdef uint64_t end = self.end
        while end in self.by_nonce:
            end += 1
        self.end = end

    cdef void add(self, Entry entry):
        if not self.by_nonce or entry.nonce > self.top:
            self.top = entry.nonce
        self.by_nonce[entry.nonce] = entry
        self.cost += entry.cost
        if entry.nonce == self.end:
            self.extend_end()

    cdef void remove(self, Entry entry):
        cdef uint64_t nonce = entry.nonce
        cdef uint64_t top
        del self.by_nonce[nonce]
        self.cost -= entry.cost
        if self.account_nonce <= nonce < self.end:
            self.end = nonce
        if nonce == self.top and self.by_nonce:
            top = nonce - 1
            while top not in self.by_nonce:
                top -= 1
            self.top = top

    cdef Entry last(self):
        return <Entry>self.by_nonce[self.top]

    cdef Entry head(self):
        return <Entry>self.by_nonce.get(self.account_nonce)


cdef uint64_t cut(uint64_t amount):
    return amount if amount < AMOUNT_CUT else AMOUNT_CUT


cdef class Pool:
    """The engine of `p2p_seq.mempool.native.NativeMempool`; see `core.Mempool` for every method."""
    cdef object view
    cdef tuple reasons
    cdef uint64_t[KINDS] prices
    cdef int64_t[KINDS] cycles
    cdef uint64_t payout_minimum, account_minimum, nonce_window, replace_percent
    cdef Py_ssize_t count_max, bytes_max, per_sender_max, final_memory, size
    cdef int64_t expiry_blocks, sequence, generation, height
    cdef dict entries, queues, blocks, final
    cdef list heads, floor

    def __init__(self, view, tuple reasons, limits):
        if len(reasons) != len(REASON_NAMES):
            raise ValueError("one object for each reason")
        self.view = view
        self.reasons = reasons
        self.count_max = limits.count_max
        self.bytes_max = limits.bytes_max
        self.per_sender_max = limits.per_sender_max
        self.nonce_window = limits.nonce_window
        self.replace_percent = limits.replace_percent
        self.expiry_blocks = limits.expiry_blocks
        self.final_memory = limits.final_memory
        self.entries = {}
        self.queues = {}
        self.blocks = {}
        self.final = {}
        self.heads = []
        self.floor = []

    def __len__(self):
        return len(self.entries)

    def __contains__(self, txid):
        return txid in self.entries

    @property
    def byte_size(self):
        return self.size

    @property
    def live_blocks(self):
        return len(self.blocks)

    @property
    def arrivals(self):
        return self.sequence

    def admit_batch(self, bytes payload not None, parsed, bint is_local):
        return [self.reasons[self.admit(payload, one, is_local)] for one in parsed]

    def judge_batch(self, bytes payload not None, parsed):
        return [self.reasons[self.judge(payload, one)] for one in parsed]

    cdef int admit(self, bytes payload, tuple parsed, bint is_local) except -1:
        cdef int reason = self.judge(payload, parsed)
        if reason != OK:
            return reason
        cdef Entry entry = self.new_entry(payload, parsed, is_local)
        cdef Queue queue = self.queue_of(entry.sender)
        cdef Entry replaced = <Entry>queue.by_nonce.get(entry.nonce)
        if replaced is not None:
            if self.size + len(entry.encoded) - len(replaced.encoded) > self.bytes_max:
                return POOL_FULL
            self.drop(replaced)
            self.enter(entry, queue)
            self.add_rank(entry, entry.nonce > queue.end)
        elif self.make_room(HOLE_RANK if entry.nonce > queue.end else entry.rate, entry):
            self.insert(entry, queue)
        else:
            return POOL_FULL
        return OK

    cdef Entry new_entry(self, bytes payload, tuple parsed, bint is_local):
        cdef Py_ssize_t offset = parsed[0], length = parsed[1]
        cdef Entry entry = Entry.__new__(Entry)
        entry.txid = parsed[2]
        entry.sender = parsed[3]
        entry.kind = parsed[4]
        entry.nonce = parsed[5]
        entry.fee = parsed[6]
        entry.cost = cut(entry.fee) + cut(parsed[7])
        entry.cycles = self.cycles[entry.kind]
        entry.rate = (entry.fee - self.prices[entry.kind]) * RATE_SCALE // entry.cycles
        entry.encoded = payload[offset : offset + length]
        entry.is_local = is_local
        entry.is_alive = True
        return entry

    cdef int judge(self, bytes payload, tuple parsed) except -1:
        # Indexing is unchecked in this file; every tuple passes here before its fields are read.
        if len(parsed) != 8:
            raise ValueError("a parsed transaction has eight fields")
        cdef bytes txid = parsed[2]
        if txid in self.entries:
            return DUPLICATE
        if txid in self.final:
            return FINAL
        cdef int64_t kind = parsed[4]
        if kind != TRANSFER and kind != WITHDRAW:
            return KIND
        cdef uint64_t fee = parsed[6], amount = parsed[7]
        if fee < self.prices[kind]:
            return FEE
        cdef int reason
        if kind == WITHDRAW or amount < self.account_minimum:
            reason = self.judge_body(payload, parsed[0], kind, amount)
            if reason != OK:
                return reason
        cdef Queue queue = self.queue_of(parsed[3])
        if queue is None:
            return NO_ACCOUNT
        return self.judge_in_queue(queue, parsed[5], fee, amount)

    cdef int judge_body(
        self, bytes payload, Py_ssize_t offset, int64_t kind, uint64_t amount
    ) except -1:
        if offset < 0 or offset + TRANSACTION_MINIMUM > len(payload):
            raise ValueError("a parsed transaction lies outside of its payload")
        cdef Py_ssize_t at
        cdef Py_ssize_t length
        if kind == WITHDRAW:
            if amount < self.payout_minimum:
                return PAYOUT
            at = offset + SCRIPT_OFFSET
            length = <unsigned char>payload[at]
            return OK if is_payable(payload[at + 1 : at + 1 + length]) else SCRIPT
        at = offset + BODY_OFFSET
        return CREATION if self.view.account(payload[at : at + 32]) is None else OK

    cdef int judge_in_queue(
        self, Queue queue, uint64_t nonce, uint64_t fee, uint64_t amount
    ) except -1:
        if nonce < queue.account_nonce:
            return NONCE_USED
        if nonce - queue.account_nonce >= self.nonce_window:
            return NONCE_FAR
        cdef uint64_t cost = queue.cost + cut(fee) + cut(amount)
        cdef Entry replaced = <Entry>queue.by_nonce.get(nonce)
        if replaced is not None:
            if self.is_live(replaced.txid):
                return DECIDING
            # Python integers: a hundred times a fee may pass 64 bits.
            if <object>fee * 100 < <object>replaced.fee * (100 + self.replace_percent):
                return UNDERPRICED
            cost -= replaced.cost
        elif len(queue.by_nonce) >= self.per_sender_max:
            return SENDER_FULL
        return BALANCE if cost > queue.balance else OK

    cdef Queue queue_of(self, bytes sender):
        cdef Queue queue = <Queue>self.queues.get(sender)
        if queue is not None and queue.generation != self.generation:
            self.refresh(sender, queue)
            queue = <Queue>self.queues.get(sender)
        if queue is not None:
            return queue
        account = self.view.account(sender)
        if account is None:
            return None
        queue = Queue.__new__(Queue)
        queue.balance, queue.account_nonce = account
        queue.generation = self.generation
        queue.end = queue.account_nonce
        queue.by_nonce = {}
        return queue

    cdef void insert(self, Entry entry, Queue queue):
        cdef uint64_t nonce = queue.end
        self.enter(entry, queue)
        if entry.nonce > nonce:
            self.add_rank(entry, True)
            return
        while nonce < queue.end:
            self.add_rank(<Entry>queue.by_nonce[nonce], False)
            nonce += 1

    cdef void enter(self, Entry entry, Queue queue):
        if not queue.by_nonce:
            self.queues[entry.sender] = queue
        self.sequence += 1
        entry.sequence = self.sequence
        entry.born = self.height
        queue.add(entry)
        self.entries[entry.txid] = entry
        self.size += len(entry.encoded)
        if entry.nonce == queue.account_nonce:
            self.add_head(entry)

    cdef bint make_room(self, object rank, Entry newcomer) except -1:
        cdef Entry victim
        cdef Py_ssize_t length = len(newcomer.encoded)
        while len(self.entries) >= self.count_max or self.size + length > self.bytes_max:
            victim = self.cheapest_last(rank)
            if victim is None or victim.sender == newcomer.sender:
                return False
            self.drop(victim)
        return True

    cdef Entry cheapest_last(self, object below):
        cdef Entry entry
        cdef Entry victim = None
        cdef Queue queue
        passed = []
        while victim is None and self.floor and self.floor[0][0] < below:
            item = heappop(self.floor)
            entry = item[2]
            if not entry.is_alive:
                continue
            queue = self.queues[entry.sender]
            if item[0] == HOLE_RANK and entry.nonce < queue.end:
                continue
            passed.append(item)
            entry = queue.last()
            if not self.is_live(entry.txid):
                victim = entry
        for item in passed:
            heappush(self.floor, item)
        return victim

    cdef void drop(self, Entry entry):
        cdef Queue queue = self.queues[entry.sender]
        entry.is_alive = False
        del self.entries[entry.txid]
        self.size -= len(entry.encoded)
        queue.remove(entry)
        if not queue.by_nonce:
            del self.queues[entry.sender]
        cdef Py_ssize_t bound = 2 * len(self.entries) + HEAP_SLACK
        if len(self.floor) > bound or len(self.heads) > bound:
            self.rebuild()

    cdef void add_head(self, Entry entry):
        heappush(self.heads, (-entry.rate, entry.sequence, entry))

    cdef void add_rank(self, Entry entry, bint has_hole):
        heappush(self.floor, (HOLE_RANK if has_hole else entry.rate, -entry.sequence, entry))

    cdef void rebuild(self):
        cdef Queue queue
        cdef Entry entry
        self.heads = []
        self.floor = []
        for queue in self.queues.values():
            entry = queue.head()
            if entry is not None:
                self.heads.append((-entry.rate, entry.sequence, entry))
            for entry in queue.by_nonce.values():
                rank = entry.rate if entry.nonce < queue.end else HOLE_RANK
                self.floor.append((rank, -entry.sequence, entry))
        heapify(self.heads)
        heapify(self.floor)

    def select(self, Py_ssize_t count, int64_t size, int64_t cycles, ancestors):
        cdef dict next_nonces = {}
        for ancestor in ancestors:
            next_nonces.update(self.blocks[ancestor][4])
        cdef list ready = self.ready_after(next_nonces)
        cdef list passed = []
        cdef list encoded = []
        cdef list txids = []
        cdef int64_t cycles_left = cycles
        cdef Entry entry
        while len(txids) < count:
            entry = self.pop_best(ready, passed, next_nonces)
            if entry is None:
                break
            if len(entry.encoded) > size or entry.cycles > cycles_left:
                continue
            encoded.append(entry.encoded)
            txids.append(entry.txid)
            size -= len(entry.encoded)
            cycles_left -= entry.cycles
            entry = <Entry>(<Queue>self.queues[entry.sender]).by_nonce.get(entry.nonce + 1)
            if entry is not None:
                heappush(ready, (-entry.rate, entry.sequence, entry))
        for item in passed:
            heappush(self.heads, item)
        return b"".join(encoded), txids, cycles - cycles_left

    cdef list ready_after(self, dict next_nonces):
        cdef Queue queue
        cdef Entry entry
        cdef list ready = []
        for sender, nonce in next_nonces.items():
            queue = <Queue>self.queues.get(sender)
            if queue is None:
                continue
            entry = <Entry>queue.by_nonce.get(nonce)
            if entry is not None:
                ready.append((-entry.rate, entry.sequence, entry))
        heapify(ready)
        return ready

    cdef Entry pop_best(self, list ready, list passed, dict next_nonces):
        cdef list heads = self.heads
        cdef Entry entry
        while heads and not (ready and ready[0] < heads[0]):
            item = heappop(heads)
            entry = item[2]
            if not entry.is_alive:
                continue
            if (<Queue>self.queues[entry.sender]).account_nonce != entry.nonce:
                continue
            passed.append(item)
            if entry.sender not in next_nonces:
                return entry
        return <Entry>(heappop(ready)[2]) if ready else None

    cdef bint is_live(self, bytes txid):
        for live in self.blocks.values():
            if txid in live[3]:
                return True
        return False

    def hold_block(self, bytes block, int64_t height, bytes transactions, parsed):
        if block not in self.blocks:
            for one in parsed:
                if len(one) != 8:
                    raise ValueError("a parsed transaction has eight fields")
            self.blocks[block] = (
                height,
                transactions,
                parsed,
                frozenset([one[2] for one in parsed]),
                {one[3]: one[5] + 1 for one in parsed},
            )

    def abandon(self, bytes block):
        live = self.blocks.pop(block, None)
        if live is None:
            return 0
        cdef bytes transactions = live[1]
        cdef Py_ssize_t admitted = 0
        for one in live[2]:
            if self.admit(transactions, one, False) == OK:
                admitted += 1
        return admitted

    def finalise(self, bytes block, int64_t height, parsed):
        cdef Entry entry
        cdef Queue queue
        cdef dict senders = {}
        self.blocks.pop(block, None)
        self.generation += 1
        self.height = height
        for one in parsed:
            txid = one[2]
            senders[one[3]] = None
            self.final[txid] = None
            entry = <Entry>self.entries.get(txid)
            if entry is not None:
                self.drop(entry)
        cdef Py_ssize_t excess = len(self.final) - self.final_memory
        if excess > 0:
            for txid in list(self.final)[:excess]:
                del self.final[txid]
        for sender in senders:
            queue = <Queue>self.queues.get(sender)
            if queue is not None:
                self.refresh(sender, queue)
        for rival in [name for name, live in self.blocks.items() if live[0] <= height]:
            self.abandon(rival)
        self.expire()

    cdef int refresh(self, bytes sender, Queue queue) except -1:
        account = self.view.account(sender)
        cdef Entry entry
        if account is None:
            for entry in list(queue.by_nonce.values()):
                self.drop(entry)
            return 0
        cdef uint64_t balance, account_nonce
        balance, account_nonce = account
        cdef bint has_advanced = account_nonce != queue.account_nonce
        if has_advanced:
            for entry in self.stale(queue, account_nonce):
                self.drop(entry)
        cdef uint64_t nonce = max(queue.end, account_nonce)
        queue.balance = balance
        queue.account_nonce = account_nonce
        queue.generation = self.generation
        queue.end = account_nonce
        queue.extend_end()
        while queue.by_nonce and queue.cost > balance:
            self.drop(queue.last())
        if has_advanced:
            entry = queue.head()
            if entry is not None:
                self.add_head(entry)
        while nonce < queue.end:
            self.add_rank(<Entry>queue.by_nonce[nonce], False)
            nonce += 1
        return 0

    cdef list stale(self, Queue queue, uint64_t account_nonce):
        cdef Entry entry
        cdef uint64_t nonce
        cdef list found = []
        if account_nonce - queue.account_nonce < <uint64_t>len(queue.by_nonce):
            nonce = queue.account_nonce
            while nonce < account_nonce:
                entry = <Entry>queue.by_nonce.get(nonce)
                if entry is not None:
                    found.append(entry)
                nonce += 1
            return found
        for entry in queue.by_nonce.values():
            if entry.nonce < account_nonce:
                found.append(entry)
        return found

    cdef int expire(self) except -1:
        cdef int64_t oldest_kept = self.height - self.expiry_blocks
        cdef Entry entry
        cdef list expired = []
        for entry in self.entries.values():
            if entry.born >= oldest_kept:
                break
            expired.append(entry)
        for entry in expired:
            self.drop_from(entry)
        return 0

    cdef int drop_from(self, Entry entry) except -1:
        cdef Entry last
        while entry.is_alive:
            last = (<Queue>self.queues[entry.sender]).last()
            if self.is_live(last.txid):
                return 0
            self.drop(last)
        return 0

    def set_prices(self, prices):
        """`prices.of_kind()` must name exactly the kinds 1 and 2."""
        cdef Entry entry
        cdef uint64_t price
        cdef list too_cheap = []
        for kind, (fee, cycles) in prices.of_kind().items():
            if kind not in (TRANSFER, WITHDRAW) or cycles < 1:
                raise ValueError(f"kind {kind} at {cycles} cycles")
            self.prices[<int>kind] = fee
            self.cycles[<int>kind] = cycles
        self.payout_minimum = prices.payout_minimum
        self.account_minimum = prices.account_minimum
        for entry in self.entries.values():
            price = self.prices[entry.kind]
            entry.cycles = self.cycles[entry.kind]
            if entry.fee < price:
                too_cheap.append(entry)
                entry.rate = 0
            else:
                entry.rate = (entry.fee - price) * RATE_SCALE // entry.cycles
        self.rebuild()
        for entry in too_cheap:
            self.drop_from(entry)

    def is_proposed(self, bytes txid):
        """None when it is not here, else whether a live block holds it."""
        return self.is_live(txid) if txid in self.entries else None

    def encoded(self, bytes txid):
        cdef Entry entry = <Entry>self.entries.get(txid)
        return None if entry is None else entry.encoded

    def sender_status(self, bytes sender):
        """`(next nonce, count, cost)`, or None without an account."""
        cdef Queue queue = self.queue_of(sender)
        return None if queue is None else (queue.end, len(queue.by_nonce), queue.cost)

    def waiting_local(self, int64_t arrivals, Py_ssize_t count):
        cdef Entry entry
        cdef list found = []
        for entry in self.entries.values():
            if entry.sequence > arrivals or len(found) >= count:
                break
            if entry.is_local and not self.is_live(entry.txid):
                found.append(entry.encoded)
        return found

    def heap_sizes(self):
        """Items of the two heaps, dead ones included."""
        return len(self.heads), len(self.floor)
