"""A ledger and its model side by side, fed with the same blocks; and random blocks to feed them.

After each block the batch so far also runs as the guest runs it, natively and on the machine.
"""

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from cython_core.ledger._ledger import TransitionResult
from p2p_seq.ledger.executor import Ledger
from p2p_seq.ledger.types import ExecutionSummary
from p2p_seq.ledger.witness import BatchBlock, build_witness
from p2p_seq.protocol.blocks import Origin
from p2p_seq.protocol.params import Params, load_params
from p2p_seq.protocol.records import (
    DepositRecord,
    EpochRecord,
    PayoutRecord,
    Record,
    SettlementRecord,
    StakeLeafRecord,
    encode_records,
    genesis_epoch_record,
)
from p2p_seq.protocol.state import (
    BlockContext,
    GenesisState,
    OutputsFrame,
    ledger_constants,
)
from p2p_seq.protocol.transactions import (
    Order,
    ReceiptCode,
    SignedTransaction,
    Transfer,
    Withdraw,
)
from p2p_seq.protocol.types import (
    ZERO32,
    BlockHeight,
    Epoch,
    Hash32,
    Height,
    OutPoint,
    Sats,
    SatsPerKvb,
    Signature,
    XOnlyKey,
)
from tests.unit.ledger.ledger_model import LedgerModel, ModelState
from tests.unit.ledger.machine import run_both

PARAMS = load_params(Path("configs/networks/regtest.toml"))
SMALL = replace(PARAMS, epoch_cycle_limit=1_000_000, batches_per_epoch=2)
"""Budget small enough that random chains run into its borders."""
CHAIN_ID = Hash32(b"\x11" * 32)
VAULT_VALUE = Sats(5_000_000)
FIRST_RATE = SatsPerKvb(1_001)
KEYS = tuple(XOnlyKey(bytes([number]) * 32) for number in range(1, 8))
LEADER = XOnlyKey(b"\xee" * 32)
ANCHOR = Origin(Height(100), Hash32(b"\x33" * 32), 1_700_000_000)
SCRIPTS = (
    b"\x76\xa9\x14" + bytes(20) + b"\x88\xac",
    b"\xa9\x14" + bytes(20) + b"\x87",
    b"\x00\x14" + bytes(20),
    b"\x00\x20" + bytes(32),
    b"\x51\x20" + bytes(32),
)
BAD_SCRIPTS = (b"", b"\x6a", b"\x52\x20" + bytes(32), b"\x00\x14" + bytes(21))


def genesis_state() -> GenesisState:
    return GenesisState(OutPoint(Hash32(b"\x22" * 32), 1), VAULT_VALUE, FIRST_RATE)


def signed(order: Order) -> bytes:
    """Execution leaves signatures to its caller."""
    return SignedTransaction(order, Signature(b"\x5a" * 64)).encode()


@dataclass
class Chain:
    """One branch of blocks; every block is executed by ledger and model and compared."""

    params: Params = PARAMS
    ledger: Ledger = field(init=False)
    model: LedgerModel = field(init=False)
    head: Hash32 = ZERO32
    height: int = 0
    origin: Origin = ANCHOR
    batch: list[BatchBlock] = field(default_factory=list)
    """Blocks of the running batch."""
    batch_parent: Hash32 = ZERO32
    """The block before it."""

    def __post_init__(self) -> None:
        self._digests: list[Hash32] = []
        self.constants = ledger_constants(self.params, CHAIN_ID)
        self.ledger = Ledger.from_genesis(self.constants, genesis_state())
        state = ModelState(fee_pool=VAULT_VALUE, vault=VAULT_VALUE, last_rate=FIRST_RATE)
        self.model = LedgerModel(self.params, CHAIN_ID, state)
        self.block([genesis_epoch_record()], [], epoch=0)

    @property
    def epoch(self) -> int:
        return self.model.state.epoch

    def block(
        self, records: list[Record], orders: list[Order], epoch: int | None = None
    ) -> ExecutionSummary:
        """Execute the next block. What the model says must be what the ledger says."""
        body = b"".join(signed(order) for order in orders)
        epoch = self.epoch if epoch is None else epoch
        context = BlockContext(Epoch(epoch), BlockHeight(self.height), self.origin, LEADER)
        digest = Hash32(b"\x01" + self.height.to_bytes(31, "big"))
        is_next = not self.batch or self.head == self._digests[-1]
        pre_root = self.ledger.root_after(self.head)
        record_bytes = encode_records(records)
        summary = self.ledger.execute(digest, self.head, context, record_bytes, body, len(orders))
        expected = self.model.execute(
            epoch, (self.origin.height, self.origin.hash), LEADER, records, orders, pre_root
        )
        receipts = summary.receipts()
        assert [(r.code, r.fee, r.payout_id) for r in receipts] == expected
        assert [r.index for r in receipts] == list(range(len(orders)))
        assert [r.kind for r in receipts] == [order.kind for order in orders]
        if summary.opened_batch:
            self.batch.clear()
            self._digests.clear()
            self.batch_parent = self.head
        self.head = digest
        self.height += 1
        self.batch.append(BatchBlock(context, record_bytes, body, len(orders)))
        self._digests.append(digest)
        if is_next or summary.opened_batch:
            self.run_batch(None)
        return summary

    def run_batch(self, frame: OutputsFrame | None) -> TransitionResult:
        """The batch so far, as the guest runs it; the roots are those of the ledger."""
        self.ledger.move_to(self.batch_parent)
        witness = build_witness(self.ledger.native.tree, self.constants, self.batch, frame)
        self.ledger.move_to(self.head)
        count = sum(block.transaction_count for block in self.batch)
        result = run_both(witness, b"\x01" * count)
        assert result.pre_root == self.ledger.root_after(self.batch_parent)
        assert result.post_root == self.ledger.root_after(self.head)
        return result

    def frame(self) -> OutputsFrame:
        return OutputsFrame(
            Hash32(b"\x44" * 32), Hash32(b"\x55" * 32), Hash32(b"\x66" * 32), self.origin
        )

    def seal(self, *records: Record) -> ExecutionSummary:
        """End the epoch: its outputs, then the first block of the next one."""
        digest, words = self.ledger.outputs(self.frame(), self.head)
        assert words == self.model.outputs_words(self.frame(), self.ledger.root_after(self.head))
        if self.head == self._digests[-1]:
            assert self.run_batch(self.frame()).outputs_digest == digest
        self.origin = Origin(
            Height(self.origin.height + 5), self.origin.hash, self.origin.median_time + 60
        )
        opening = EpochRecord(Epoch(self.epoch + 1), digest)
        return self.block([opening, *records], [], epoch=self.epoch + 1)

    def fund(self, *amounts: int) -> None:
        """Seal, with a settlement that sweeps one deposit per amount to the first keys."""
        self.seal(*settlement(self, [(KEYS[i], amount) for i, amount in enumerate(amounts)]))

    def check(self) -> None:
        """Every leaf that the model speaks of is in the ledger as the model has it."""
        state, ledger, head = self.model.state, self.ledger, self.head
        totals = ledger.totals(head)
        assert totals.is_balanced
        assert (totals.wrapped, totals.pending) == (state.wrapped, state.pending)
        assert (totals.fee_pool, totals.insurance) == (state.fee_pool, state.insurance)
        assert (totals.vault, totals.last_rate) == (state.vault, state.last_rate)
        assert totals.account_count == len(state.accounts)
        assert totals.next_payout_id == state.next_payout_id
        for key in (*KEYS, LEADER):
            account = ledger.account(key, head)
            found = None if account is None else (account.balance, account.nonce)
            assert found == state.accounts.get(key)
        payouts = {p.payout_id: (p.epoch, p.amount, p.script) for p in ledger.pending_payouts(head)}
        assert payouts == state.payouts
        assert {leaf.consensus_key for leaf in ledger.stakes(head)} == set(state.stakes)
        accumulator = ledger.accumulator(head)
        assert accumulator.epoch == state.epoch
        assert accumulator.pre_root == state.pre_root
        assert (accumulator.batch, accumulator.batch_cycles) == (state.batch, state.batch_cycles)
        assert accumulator.cycles_used == state.cycles_used
        assert accumulator.transactions_digest == state.transactions_digest
        assert accumulator.l1_inputs == state.l1_inputs
        vault = ledger.vault(head)
        assert (vault.settled_epochs, vault.settlements) == (
            state.settled_epochs,
            state.settlements,
        )


def settlement(
    chain: Chain,
    deposits: list[tuple[XOnlyKey, int]],
    payouts: tuple[int, ...] = (),
    fee: int = 300,
    last_epoch: int | None = None,
) -> list[Record]:
    """A consistent settlement for the seal that ends the chain's epoch."""
    state = chain.model.state
    paid = sum(state.payouts[payout_id][1] for payout_id in payouts)
    value = state.vault + sum(amount for _, amount in deposits) - paid - fee
    head = SettlementRecord(
        Hash32(bytes([chain.height % 256]) * 32),
        Epoch(chain.epoch if last_epoch is None else last_epoch),
        1,
        Sats(fee),
        Sats(value),
        SatsPerKvb(1_500 + chain.height),
    )
    records: list[Record] = [head]
    for index, (key, amount) in enumerate(deposits):
        outpoint = OutPoint(Hash32(b"\x77" * 32), chain.height * 100 + index)
        records.append(DepositRecord(outpoint, Sats(amount), key, Sats(min(amount, 250))))
    records.extend(PayoutRecord(payout_id) for payout_id in payouts)
    return records


def random_order(rng: random.Random, chain: Chain, nonces: dict[bytes, int]) -> Order:
    """Mostly sensible, sometimes wrong in one of the ways that receipts tell apart."""
    state = chain.model.state
    sender = rng.choice(KEYS)
    balance, nonce = state.accounts.get(sender, (0, 0))
    nonce = nonces.get(sender, nonce)
    if rng.random() < 0.05:
        nonce += rng.choice((-1, 1))
        nonce = max(nonce, 0)
    else:
        nonces[sender] = nonce + 1
    amount = rng.choice((0, 1, 999, 1_000, balance // 2, max(balance - 10, 0), balance, 2**64 - 1))
    fee = rng.choice((9, 10, 10, 10, 12, 200, 200, balance + 1, balance))
    if rng.random() < 0.6:
        return Transfer(sender, nonce, Sats(fee), rng.choice(KEYS), Sats(amount))
    script = rng.choice(SCRIPTS if rng.random() < 0.8 else BAD_SCRIPTS)
    return Withdraw(sender, nonce, Sats(max(fee, 200)), Sats(amount), script)


def random_orders(rng: random.Random, chain: Chain, most: int) -> list[Order]:
    nonces: dict[bytes, int] = {}
    return [random_order(rng, chain, nonces) for _ in range(rng.randint(0, most))]


def random_seal(rng: random.Random, chain: Chain) -> list[Record]:
    """Records of a seal: sometimes a settlement with deposits and payouts, sometimes a stake."""
    records: list[Record] = []
    if rng.random() < 0.7:
        count = rng.randint(0, 3)
        deposits = [(rng.choice(KEYS), rng.choice((100, 900, 50_000, 10**6))) for _ in range(count)]
        pending = sorted(chain.model.state.payouts)
        payouts = tuple(rng.sample(pending, rng.randint(0, len(pending))))
        records.extend(settlement(chain, deposits, payouts))
    if rng.random() < 0.3:
        key = XOnlyKey(b"\x99" + chain.height.to_bytes(31, "big"))
        records.append(
            StakeLeafRecord(key, Hash32(b"\x88" * 32), Epoch(1), Epoch(9), Height(1_000))
        )
    return records


__all__ = [
    "BAD_SCRIPTS",
    "CHAIN_ID",
    "KEYS",
    "LEADER",
    "PARAMS",
    "SCRIPTS",
    "SMALL",
    "Chain",
    "ReceiptCode",
    "genesis_state",
    "random_orders",
    "random_seal",
    "settlement",
    "signed",
]
