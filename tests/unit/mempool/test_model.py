"""The pool against a model that recomputes everything from lists, over random histories."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from p2p_seq.mempool.core import Mempool
from p2p_seq.mempool.native import NativeMempool
from p2p_seq.mempool.types import (
    Account,
    Parsed,
    PoolLimits,
    Rejection,
    SelectionLimits,
    TransactionPool,
)
from p2p_seq.protocol.types import BlockHeight
from tests.unit.mempool.support import (
    PRICES,
    DictLedger,
    key,
    parse,
    transfer,
    unsigned_batch,
    withdraw,
)

SENDERS = range(1, 4)
LIMITS = PoolLimits(count_max=5, per_sender_max=4, nonce_window=5, expiry_blocks=6)
BLOCK_LIMITS = SelectionLimits(count=3, size=10_000, cycles=26_000)


@dataclass
class Waiting:
    """An entry of the model."""

    parsed: Parsed
    payload: bytes
    sequence: int
    born: int

    @property
    def txid(self) -> bytes:
        return self.parsed[2]

    @property
    def sender(self) -> bytes:
        return self.parsed[3]

    @property
    def nonce(self) -> int:
        return self.parsed[5]

    @property
    def cost(self) -> int:
        return self.parsed[6] + self.parsed[7]

    @property
    def cycles(self) -> int:
        return 6_000 if self.parsed[4] == 1 else 10_000

    @property
    def rate(self) -> int:
        price = 100 if self.parsed[4] == 1 else 500
        return (self.parsed[6] - price) * 1_000_000 // self.cycles


@dataclass
class Block:
    name: bytes
    height: int
    payload: bytes
    parsed: list[Parsed] = field(default_factory=list)


class PoolMachine(RuleBasedStateMachine):
    pool_class: type[Mempool] | type[NativeMempool] = Mempool

    def __init__(self) -> None:
        super().__init__()
        self.ledger = DictLedger({key(name): Account(20_000, 0) for name in SENDERS})
        self.ledger.accounts[key(999)] = Account(1_000, 0)
        self.pool: TransactionPool = self.pool_class(self.ledger, PRICES, LIMITS)
        self.waiting: list[Waiting] = []
        self.chain: list[Block] = []
        self.final: set[bytes] = set()
        self.sequence = 0
        self.height = 0
        self.named = 0

    def queue(self, sender: bytes) -> dict[int, Waiting]:
        return {one.nonce: one for one in self.waiting if one.sender == sender}

    def gapless_end(self, sender: bytes) -> int:
        end, queue = self.ledger.accounts[sender].nonce, self.queue(sender)
        while end in queue:
            end += 1
        return end

    def is_live(self, txid: bytes) -> bool:
        return any(txid == one[2] for block in self.chain for one in block.parsed)

    def rank(self, one: Waiting) -> int:
        return one.rate if one.nonce < self.gapless_end(one.sender) else -1

    def expected(self, parsed: Parsed) -> Rejection | None:
        _, _, txid, sender, _, nonce, fee, amount = parsed
        account, queue = self.ledger.accounts[sender], self.queue(sender)
        if any(one.txid == txid for one in self.waiting):
            return Rejection.DUPLICATE
        if txid in self.final:
            return Rejection.FINAL
        if nonce < account.nonce:
            return Rejection.NONCE_USED
        if nonce >= account.nonce + LIMITS.nonce_window:
            return Rejection.NONCE_FAR
        old = queue.get(nonce)
        cost = sum(one.cost for one in queue.values()) + fee + amount - (old.cost if old else 0)
        if old and self.is_live(old.txid):
            return Rejection.DECIDING
        if old and fee < old.parsed[6] * 1.1 - 1e-9:
            return Rejection.UNDERPRICED
        if not old and len(queue) >= LIMITS.per_sender_max:
            return Rejection.SENDER_FULL
        return Rejection.BALANCE if cost > account.balance else None

    def model_admit(self, parsed: Parsed, payload: bytes) -> Rejection | None:
        reason = self.expected(parsed)
        if reason is not None:
            return reason
        self.sequence += 1
        new = Waiting(parsed, payload, self.sequence, self.height)
        old = self.queue(new.sender).get(new.nonce)
        if old:
            self.waiting.remove(old)
        elif len(self.waiting) >= LIMITS.count_max:
            below = -1 if new.nonce > self.gapless_end(new.sender) else new.rate
            victim = self.victim(below)
            if victim is None or victim.sender == new.sender:
                self.sequence -= 1
                return Rejection.POOL_FULL
            self.waiting.remove(victim)
        self.waiting.append(new)
        return None

    def victim(self, below: int) -> Waiting | None:
        for one in sorted(self.waiting, key=lambda one: (self.rank(one), -one.sequence)):
            if self.rank(one) >= below:
                return None
            queue = self.queue(one.sender)
            last = queue[max(queue)]
            if not self.is_live(last.txid):
                return last
        return None

    def model_select(self) -> list[bytes]:
        nonces = {sender: account.nonce for sender, account in self.ledger.accounts.items()}
        for block in self.chain:
            for one in block.parsed:
                nonces[one[3]] = one[5] + 1
        chosen: list[bytes] = []
        skipped: set[bytes] = set()
        cycles = BLOCK_LIMITS.cycles
        while len(chosen) < BLOCK_LIMITS.count:
            ready = [
                one
                for one in self.waiting
                if nonces[one.sender] == one.nonce and one.sender not in skipped
            ]
            if not ready:
                break
            best = min(ready, key=lambda one: (-one.rate, one.sequence))
            if best.cycles > cycles:
                skipped.add(best.sender)
                continue
            cycles -= best.cycles
            chosen.append(best.txid)
            nonces[best.sender] += 1
        return chosen

    @rule(
        sender=st.sampled_from(SENDERS),
        ahead=st.sampled_from([0, 0, 1, 1, 2, 3, 4, 5, -1]),
        tip=st.sampled_from([0, 1, 10, 11, 50, 55, 400]),
        amount=st.sampled_from([1_000, 1_000, 1_001, 9_000]),
        is_withdrawal=st.booleans(),
    )
    def submit(self, sender: int, ahead: int, tip: int, amount: int, is_withdrawal: bool) -> None:
        account = self.ledger.accounts[key(sender)]
        nonce = max(0, account.nonce + ahead)
        order = (
            withdraw(sender, nonce, 500 + tip, amount)
            if is_withdrawal
            else transfer(sender, nonce, 100 + tip, amount)
        )
        payload = unsigned_batch(order)
        parsed = parse(payload)[0]
        assert self.pool.admit_batch(payload, [parsed]) == [self.model_admit(parsed, payload)]

    @precondition(lambda self: len(self.chain) < 3)
    @rule()
    def propose(self) -> None:
        selection = self.pool.select(BLOCK_LIMITS, [block.name for block in self.chain])
        self.named += 1
        block = Block(b"block %d" % self.named, self.height + len(self.chain) + 1, b"")
        block.payload, block.parsed = selection.transactions, list(parse(selection.transactions))
        self.pool.include(block.name, BlockHeight(block.height), block.payload, block.parsed)
        self.chain.append(block)

    @precondition(lambda self: self.chain)
    @rule()
    def decide(self) -> None:
        block = self.chain.pop(0)
        self.height = block.height
        for one in block.parsed:
            assert self.ledger.execute(one), "a chosen transaction was dropped by the ledger"
            self.final.add(one[2])
        self.pool.finalise(block.name, BlockHeight(block.height), block.parsed)
        self.model_settle({one[3] for one in block.parsed})

    @precondition(lambda self: self.chain)
    @rule()
    def lose(self) -> None:
        block = self.chain.pop()
        back = self.pool.abandon(block.name)
        mine = [
            self.model_admit(one, block.payload[one[0] : one[0] + one[1]]) for one in block.parsed
        ]
        assert back == mine.count(None)

    @rule(sender=st.sampled_from(SENDERS), amount=st.sampled_from([500, 30_000]))
    def deposit(self, sender: int, amount: int) -> None:
        """Arrives with a finalised block that holds no user transactions."""
        if self.chain:
            return
        balance, nonce = self.ledger.accounts[key(sender)]
        self.ledger.accounts[key(sender)] = Account(balance + amount, nonce)
        self.height += 1
        self.pool.finalise(b"empty", BlockHeight(self.height), [])
        self.model_settle(set())

    def model_settle(self, senders: set[bytes]) -> None:
        """What finality removes: the executed, the uncovered from the end, the expired."""
        self.waiting = [one for one in self.waiting if one.txid not in self.final]
        for sender in senders:
            account = self.ledger.accounts[sender]
            self.waiting = [
                one for one in self.waiting if one.sender != sender or one.nonce >= account.nonce
            ]
            while sum(one.cost for one in self.queue(sender).values()) > account.balance:
                queue = self.queue(sender)
                self.waiting.remove(queue[max(queue)])
        for old in sorted(self.waiting, key=lambda one: one.sequence):
            while old in self.waiting and old.born < self.height - LIMITS.expiry_blocks:
                queue = self.queue(old.sender)
                if self.is_live(queue[max(queue)].txid):
                    break
                self.waiting.remove(queue[max(queue)])

    @invariant()
    def holds_the_same(self) -> None:
        assert len(self.pool) == len(self.waiting) <= LIMITS.count_max
        assert all(one.txid in self.pool for one in self.waiting)
        assert self.pool.size == sum(one.parsed[1] for one in self.waiting)

    @invariant()
    def selects_the_same(self) -> None:
        names = [block.name for block in self.chain]
        first = self.pool.select(BLOCK_LIMITS, names)
        assert list(first.txids) == self.model_select()
        assert self.pool.select(BLOCK_LIMITS, names) == first

    @invariant()
    def tells_the_next_nonce(self) -> None:
        for name in SENDERS:
            status = self.pool.sender_status(key(name))
            assert status is not None
            assert status.next_nonce == self.gapless_end(key(name))
            assert status.pending_cost == sum(one.cost for one in self.queue(key(name)).values())


class NativePoolMachine(PoolMachine):
    pool_class = NativeMempool


STEPS = settings(max_examples=120, stateful_step_count=50, deadline=None)
PoolMachine.TestCase.settings = STEPS
NativePoolMachine.TestCase.settings = STEPS
TestPureAgainstModel = PoolMachine.TestCase
TestNativeAgainstModel = NativePoolMachine.TestCase
