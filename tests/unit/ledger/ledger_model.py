"""A second, independent ledger: dictionaries and Python integers, no tree, no bytes of leaves.

Written from docs/ledger.md, not from the C, so that both can be compared.
"""

import hashlib
import struct
from dataclasses import dataclass, field, replace

from blake3 import blake3

from p2p_seq.protocol.params import Params
from p2p_seq.protocol.records import (
    DepositRecord,
    EpochRecord,
    PayoutRecord,
    Record,
    SettlementRecord,
    StakeLeafRecord,
    encode_records,
)
from p2p_seq.protocol.state import OutputsFrame
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.transactions import (
    Order,
    ReceiptCode,
    Transfer,
    Withdraw,
    is_payable_script,
)

ZERO = bytes(32)


class ModelFault(Exception):
    """The block breaks a rule."""


@dataclass
class ModelState:
    """Everything that the state says."""

    accounts: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Key -> (balance, nonce); no tokens in the model."""
    fee_pool: int = 0
    insurance: int = 0
    vault: int = 0
    last_rate: int = 0
    next_payout_id: int = 1
    payouts: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    """Id -> (epoch, amount, script)."""
    stakes: dict[bytes, StakeLeafRecord] = field(default_factory=dict)
    settled_epochs: int = 0
    settlements: int = 0
    epoch: int = 0
    pre_root: bytes = ZERO
    batch: int = 0
    batch_cycles: int = 0
    cycles_used: int = 0
    transaction_count: int = 0
    block_count: int = 0
    withdrawals: list[bytes] = field(default_factory=list)
    history: list[bytes] = field(default_factory=list)
    transactions_digest: bytes = ZERO
    l1_inputs: bytes = ZERO

    @property
    def wrapped(self) -> int:
        return sum(balance for balance, _ in self.accounts.values())

    @property
    def pending(self) -> int:
        return sum(amount for _, amount, _ in self.payouts.values())


@dataclass
class LedgerModel:
    """Executes blocks one after the other; a fault leaves the state undefined."""

    params: Params
    chain_id: bytes
    state: ModelState

    def _hash(self, tag: Tag, *parts: bytes) -> bytes:
        return tagged_hash(self.params.network, tag, *parts)

    def output_fee(self) -> int:
        exact = 2 * self.state.last_rate * 43
        return exact // 1000 + (exact % 1000 > 0)

    def price(self, order: Order) -> int:
        if isinstance(order, Withdraw):
            return self.params.fee_withdraw + self.output_fee()
        return self.params.fee_transfer

    def credit(self, key: bytes, amount: int) -> bool:
        state = self.state
        if key in state.accounts:
            balance, nonce = state.accounts[key]
            state.accounts[key] = (balance + amount, nonce)
            return True
        if amount < self.params.account_minimum:
            return False
        state.accounts[key] = (amount, state.epoch * 2**32 + state.transaction_count)
        return True

    def execute(
        self,
        epoch: int,
        origin: tuple[int, bytes],
        leader: bytes,
        records: list[Record],
        orders: list[Order],
        pre_root: bytes,
    ) -> list[tuple[ReceiptCode, int, int]]:
        """(code, fee, payout id) of each order."""
        self._apply_records(records, orders, pre_root)
        state = self.state
        if state.epoch != epoch:
            raise ModelFault("epoch")
        self._charge(records, orders)
        state.block_count += 1
        share = 0
        receipts = []
        for order in orders:
            code, fee, payout_id = self._execute_order(order)
            if fee:
                base = (
                    self.params.fee_withdraw
                    if isinstance(order, Withdraw)
                    else self.params.fee_transfer
                )
                share += base * 40 // 100 + fee - self.price(order)
                state.insurance += base * 20 // 100
                state.fee_pool += base - base * 40 // 100 - base * 20 // 100
                state.fee_pool += self.price(order) - base
            receipts.append((code, fee, payout_id))
            state.transaction_count += 1
        if share and not self.credit(leader, share):
            state.fee_pool += share
        self._absorb(origin, encode_records(records), orders)
        if state.wrapped + state.pending + state.fee_pool + state.insurance != state.vault:
            raise AssertionError("the model itself breaks the supply rule")
        return receipts

    def _absorb(self, origin: tuple[int, bytes], records: bytes, orders: list[Order]) -> None:
        state, network = self.state, self.params.network
        state.transactions_digest = chain_hash(
            state.transactions_digest,
            orders_digest(network, orders) + tag_hash(network, Tag.TRANSACTIONS),
        )
        state.l1_inputs = chain_hash(
            state.l1_inputs,
            origin[1] + tag_hash(network, Tag.L1_INPUTS),
            origin[0].to_bytes(8, "little") + len(records).to_bytes(4, "little"),
            records,
        )

    def _execute_order(self, order: Order) -> tuple[ReceiptCode, int, int]:
        state = self.state
        held = state.accounts.get(order.sender)
        if held is None:
            return ReceiptCode.DROPPED_NO_ACCOUNT, 0, 0
        balance, nonce = held
        if nonce != order.nonce:
            return ReceiptCode.DROPPED_NONCE, 0, 0
        if order.fee < self.price(order):
            return ReceiptCode.DROPPED_PRICE, 0, 0
        if order.fee > balance:
            return ReceiptCode.DROPPED_FEE, 0, 0
        state.accounts[order.sender] = (balance - order.fee, nonce + 1)
        code, payout_id = self._move(order)
        if state.accounts[order.sender][0] == 0:
            del state.accounts[order.sender]
        return code, order.fee, payout_id

    def _move(self, order: Order) -> tuple[ReceiptCode, int]:
        state = self.state
        balance, nonce = state.accounts[order.sender]
        if order.amount > balance:
            return ReceiptCode.FAILED_BALANCE, 0
        if isinstance(order, Transfer):
            state.accounts[order.sender] = (balance - order.amount, nonce)
            if self.credit(order.recipient, order.amount):
                return ReceiptCode.OK, 0
            state.accounts[order.sender] = (balance, nonce)
            return ReceiptCode.FAILED_ACCOUNT_MIN, 0
        if order.amount < self.params.payout_minimum:
            return ReceiptCode.FAILED_DUST, 0
        if not is_payable_script(order.script):
            return ReceiptCode.FAILED_SCRIPT, 0
        state.accounts[order.sender] = (balance - order.amount, nonce)
        payout_id = state.next_payout_id
        state.next_payout_id += 1
        state.payouts[payout_id] = (state.epoch, order.amount, order.script)
        state.withdrawals.append(
            self._hash(
                Tag.WITHDRAWAL,
                payout_id.to_bytes(8, "big"),
                order.amount.to_bytes(8, "big"),
                bytes([len(order.script)]),
                order.script.ljust(34, b"\0"),
            )
        )
        return ReceiptCode.OK, payout_id

    def _charge(self, records: list[Record], orders: list[Order]) -> None:
        state, params = self.state, self.params
        limit = params.epoch_cycle_limit // params.batches_per_epoch
        cycles = params.cycles_other * (1 + len(records))
        for order in orders:
            is_transfer = isinstance(order, Transfer)
            cycles += params.cycles_transfer if is_transfer else params.cycles_other
        if state.batch_cycles and state.batch_cycles + cycles > limit:
            state.batch, state.batch_cycles = state.batch + 1, 0
        if not state.batch_cycles:
            cycles += 2 * params.cycles_other
        state.batch_cycles += cycles
        state.cycles_used += cycles
        reached = state.batch * limit + state.batch_cycles
        if orders and (state.batch_cycles > limit or reached > params.epoch_cycle_limit // 10 * 9):
            raise ModelFault("budget")

    def _apply_records(self, records: list[Record], orders: list[Order], pre_root: bytes) -> None:
        expected: tuple[int, int] | None = None
        for index, record in enumerate(records):
            if not isinstance(record, DepositRecord | PayoutRecord):
                self._close(expected)
                expected = None
            if isinstance(record, EpochRecord):
                if index or orders:
                    raise ModelFault("epoch record")
                self._open_epoch(record, pre_root)
            elif isinstance(record, StakeLeafRecord):
                if record.consensus_key in self.state.stakes:
                    raise ModelFault("stake twice")
                if record.first_epoch > record.last_epoch:
                    raise ModelFault("stake range")
                self.state.stakes[record.consensus_key] = record
            elif isinstance(record, SettlementRecord):
                expected = self._open_settlement(record)
            elif expected is None:
                raise ModelFault("no settlement")
            else:
                expected = (expected[0], expected[1] + self._settle(record))
        self._close(expected)

    def _close(self, expected: tuple[int, int] | None) -> None:
        if expected is None:
            return
        if expected[0] != expected[1]:
            raise ModelFault("vault value")
        self.state.vault = expected[0]

    def _open_settlement(self, record: SettlementRecord) -> tuple[int, int]:
        state = self.state
        if not state.settled_epochs <= record.last_epoch < state.epoch:
            raise ModelFault("settled range")
        if record.fee > state.fee_pool:
            raise ModelFault("fee pool")
        state.settled_epochs = record.last_epoch + 1
        state.settlements += 1
        state.fee_pool -= record.fee
        state.last_rate = record.rate
        return record.vault_value, state.vault - record.fee

    def _settle(self, record: DepositRecord | PayoutRecord) -> int:
        state = self.state
        if isinstance(record, PayoutRecord):
            if record.payout_id not in state.payouts:
                raise ModelFault("payout")
            return -state.payouts.pop(record.payout_id)[1]
        if record.fee > record.value:
            raise ModelFault("deposit fee")
        net = record.value - record.fee
        state.fee_pool += record.fee
        if net and not self.credit(record.recipient, net):
            state.fee_pool += net
        return record.value

    def _open_epoch(self, record: EpochRecord, pre_root: bytes) -> None:
        state = self.state
        if state.block_count:
            if record.epoch <= state.epoch:
                raise ModelFault("epoch goes back")
            state.history.append(self._hash(Tag.HISTORY, record.outputs))
        elif record.epoch or record.outputs != ZERO:
            raise ModelFault("first epoch")
        self.state = replace(
            state,
            epoch=record.epoch,
            pre_root=pre_root,
            batch=0,
            batch_cycles=0,
            cycles_used=0,
            transaction_count=0,
            block_count=0,
            withdrawals=[],
            transactions_digest=ZERO,
            l1_inputs=ZERO,
        )

    def outputs_words(self, frame: OutputsFrame, state_after: bytes) -> bytes:
        """The 12 words of relay.md 5.1."""
        state = self.state
        numbers = (state.epoch, frame.origin.height, frame.origin.median_time, 0)
        words = [
            self.chain_id,
            b"".join(number.to_bytes(8, "big") for number in numbers),
            frame.program,
            state.pre_root,
            state_after,
            self._hash(Tag.INPUTS, state.transactions_digest, state.l1_inputs),
            merkle_root(state.withdrawals),
            ZERO,
            merkle_root(state.history),
            frame.signing_set,
            frame.next_set,
            ZERO,
        ]
        return b"".join(words)


def tag_hash(network: str, tag: Tag) -> bytes:
    return hashlib.sha256(f"p2pseq/{network}/{tag.value}/v1".encode("ascii")).digest()


def chain_hash(digest: bytes, *parts: bytes) -> bytes:
    """Keyed BLAKE3 of 64 bytes after the other, each part filled up with zeros."""
    for part in parts:
        padded = part + bytes(-len(part) % 64)
        for at in range(0, len(padded), 64):
            digest = blake3(padded[at : at + 64], key=digest).digest()
    return digest


def orders_digest(network: str, orders: list[Order]) -> bytes:
    """Of a block's transactions without their signatures."""
    parts = [len(orders).to_bytes(4, "little")]
    for order in orders:
        head = struct.pack("<IQQ12x", order.kind, order.nonce, order.fee)
        parts.append(head + order.sender)
        if isinstance(order, Transfer):
            parts.append(struct.pack("<4xQ20x", order.amount) + order.recipient)
        else:
            parts.append(struct.pack("<IQ", len(order.script), order.amount) + order.script)
    return chain_hash(tag_hash(network, Tag.BODY), *parts)


def merkle_root(leaves: list[bytes]) -> bytes:
    """Root of the perfect binary SHA-256 tree with missing leaves zero (relay.md 5.3)."""
    if not leaves:
        return ZERO
    depth = (len(leaves) - 1).bit_length()
    level = leaves + [ZERO] * (2**depth - len(leaves))
    while len(level) > 1:
        level = [hashlib.sha256(level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]
    return level[0]
