"""Unconfirmed transactions: admission, replacement, and what a moving chain does to them.

Sources: Bitcoin Core `validation.cpp` (`MemPoolAccept`), BIP68, BIP113, BIP125 with full
replacement, BIP431. Nothing is admitted that the next block could not contain: a miner here never
has to try. Entries are in the order of admission, so parents always precede their children.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from p2p_seq.bitcoin.block import Block
from p2p_seq.bitcoin.embedded.policy import (
    MAX_STANDARD_SIGOPS_COST,
    MIN_STRIPPED_BYTES,
    TRUC_VERSION,
    Policy,
    RejectReason,
    TransactionRefusedError,
    check_form,
    check_spends,
    minimum_fee,
)
from p2p_seq.bitcoin.embedded.records import Coin
from p2p_seq.bitcoin.embedded.rules import (
    COINBASE_MATURITY,
    ChainView,
    check_final,
    check_sequence_locks,
    check_transaction,
)
from p2p_seq.bitcoin.embedded.sigops import MAX_BLOCK_SIGOPS_COST, transaction_sigops_cost
from p2p_seq.bitcoin.engine import first_invalid_input
from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.bitcoin.wire import WITNESS_SCALE
from p2p_seq.protocol.types import Hash32, OutPoint, display_id

MAX_REPLACED: Final = 100
"""BIP125 rule 5."""

_TRUC_MAX_VBYTES: Final = 10_000
_TRUC_CHILD_MAX_VBYTES: Final = 1_000


@dataclass
class Entry:
    """A transaction in the mempool."""

    transaction: Transaction
    encoded: bytes
    fee: int
    """sat"""
    spent: tuple[Coin, ...]
    sigops_cost: int
    time: int
    """When it was admitted, Unix seconds."""
    height: int
    """Height of the tip when it was admitted."""
    parents: set[Hash32] = field(default_factory=set)
    """Unconfirmed transactions whose outputs it spends."""
    children: set[Hash32] = field(default_factory=set)

    @property
    def txid(self) -> Hash32:
        return self.transaction.txid

    @property
    def vsize(self) -> int:
        return self.transaction.vsize


class Evaluation(NamedTuple):
    """A transaction that may be admitted, and what it would replace."""

    entry: Entry
    replaced: tuple[Entry, ...]


class Mempool:
    """Not thread-safe; all methods are synchronous. Errors: TransactionRefusedError."""

    def __init__(self, chain: ChainView, policy: Policy, clock: Callable[[], float]) -> None:
        self._chain = chain
        self._policy = policy
        self._clock = clock
        self.entries: dict[Hash32, Entry] = {}
        self.spenders: dict[OutPoint, Hash32] = {}
        self.total_bytes = 0
        self.changes = 0
        """Counts admissions and removals."""

    @property
    def policy(self) -> Policy:
        return self._policy

    def evaluate(self, encoded: bytes, is_fee_free: bool = False) -> Evaluation:
        """Check everything and change nothing. Raises TransactionRefusedError or CodecError.

        `is_fee_free`: no minimum feerate and no replacement (returns of a reorg, package parents).
        """
        transaction = Transaction.parse(encoded)
        check_transaction(transaction)
        if not self._policy.accept_nonstandard:
            check_form(transaction)
        stripped = (transaction.weight - len(encoded)) // (WITNESS_SCALE - 1)
        if stripped < MIN_STRIPPED_BYTES:
            raise TransactionRefusedError(RejectReason.SIZE_SMALL)
        check_final(self._chain, transaction)
        self._check_unknown(transaction)
        coins = self._coins(transaction)
        check_sequence_locks(self._chain, transaction, coins)
        fee = self._fee(transaction, coins)
        outputs = [coin.output for coin in coins]
        if not self._policy.accept_nonstandard:
            check_spends(transaction, outputs)
        sigops_cost = transaction_sigops_cost(transaction, outputs)
        limit = MAX_BLOCK_SIGOPS_COST // 2
        if not self._policy.accept_nonstandard:
            limit = MAX_STANDARD_SIGOPS_COST
        if sigops_cost > limit:
            raise TransactionRefusedError(RejectReason.TOO_MANY_SIGOPS, str(sigops_cost))
        minimum = minimum_fee(transaction.vsize, self._policy.minimum_feerate)
        if fee < minimum and not is_fee_free:
            raise TransactionRefusedError(RejectReason.FEE_TOO_LOW, f"{fee} < {minimum}")
        entry = Entry(
            transaction,
            encoded,
            fee,
            tuple(coins),
            sigops_cost,
            int(self._clock()),
            self._chain.tip_height(),
            parents={item.previous.txid for item in transaction.inputs} & self.entries.keys(),
        )
        replaced = self._replaced(entry, is_fee_free)
        self._check_chain_limits(entry, replaced)
        self._check_truc(entry, replaced)
        invalid = first_invalid_input(encoded, outputs)
        if invalid is not None:
            raise TransactionRefusedError(RejectReason.SCRIPT, f"input {invalid}")
        return Evaluation(entry, replaced)

    def accept(self, encoded: bytes, is_fee_free: bool = False) -> Entry:
        """Admit a transaction. Raises TransactionRefusedError or CodecError."""
        evaluation = self.evaluate(encoded, is_fee_free)
        for old in evaluation.replaced:
            self.remove_with_descendants(old.txid)
        entry = evaluation.entry
        self._insert(entry)
        self._make_room(entry)
        return entry

    def copy(self) -> "Mempool":
        """An independent mempool with the same entries, to try things on."""
        other = Mempool(self._chain, self._policy, self._clock)
        for entry in self.entries.values():
            other._insert(
                Entry(**{**vars(entry), "parents": set(entry.parents), "children": set()})
            )
        return other

    def _insert(self, entry: Entry) -> None:
        txid = entry.txid
        self.entries[txid] = entry
        self.total_bytes += len(entry.encoded)
        self.changes += 1
        for item in entry.transaction.inputs:
            self.spenders[item.previous] = txid
        for parent in entry.parents:
            self.entries[parent].children.add(txid)

    def _remove(self, txid: Hash32) -> None:
        entry = self.entries.pop(txid)
        self.total_bytes -= len(entry.encoded)
        self.changes += 1
        for item in entry.transaction.inputs:
            del self.spenders[item.previous]
        for parent in entry.parents:
            self.entries[parent].children.discard(txid)
        for child in entry.children:
            self.entries[child].parents.discard(txid)

    def remove_with_descendants(self, txid: Hash32) -> None:
        """Take a transaction out with everything that spends it; nothing happens when not there."""
        if txid in self.entries:
            for descendant in [*self.descendants(txid), txid]:
                self._remove(descendant)

    def _make_room(self, newest: Entry) -> None:
        while self.total_bytes > self._policy.max_mempool_bytes:
            cheapest = min(self.entries.values(), key=lambda item: item.fee / item.vsize)
            self.remove_with_descendants(cheapest.txid)
            if newest.txid not in self.entries:
                raise TransactionRefusedError(RejectReason.MEMPOOL_FULL)

    # Relations

    def ancestors(self, parents: Iterable[Hash32]) -> set[Hash32]:
        """`parents` and all their unconfirmed ancestors."""
        found: set[Hash32] = set()
        waiting = list(parents)
        while waiting:
            txid = waiting.pop()
            if txid not in found:
                found.add(txid)
                waiting += self.entries[txid].parents
        return found

    def descendants(self, txid: Hash32) -> set[Hash32]:
        """Everything that spends `txid`, directly or not; without `txid` itself."""
        found: set[Hash32] = set()
        waiting = list(self.entries[txid].children)
        while waiting:
            child = waiting.pop()
            if child not in found:
                found.add(child)
                waiting += self.entries[child].children
        return found

    # The moving chain

    def connect(self, blocks: Sequence[Block]) -> None:
        """Drop what new blocks confirm, and what they make impossible."""
        for block in blocks:
            for transaction in block.transactions:
                if transaction.txid in self.entries:
                    self._remove(transaction.txid)
                for item in transaction.inputs:
                    rival = self.spenders.get(item.previous)
                    if rival is not None:
                        self.remove_with_descendants(rival)

    def readmit(self, disconnected: Sequence[Block]) -> list[Hash32]:
        """After a reorg: admit the old blocks' transactions again, then everything that was here.

        Lock times, maturity and coins may have changed for every entry, so all are checked anew.
        Returns the transactions that are gone.
        """
        returned = [
            transaction.serialize()
            for block in reversed(disconnected)
            for transaction in block.transactions[1:]
        ]
        waiting = returned + [entry.encoded for entry in self.entries.values()]
        self.entries.clear()
        self.spenders.clear()
        self.total_bytes = 0
        self.changes += 1
        dropped: list[Hash32] = []
        for encoded in waiting:
            try:
                self.accept(encoded, is_fee_free=True)
            except TransactionRefusedError:
                dropped.append(Transaction.parse(encoded).txid)
        return dropped

    # Checks

    def _check_unknown(self, transaction: Transaction) -> None:
        known = self.entries.get(transaction.txid)
        if known is None:
            return
        if known.transaction.wtxid == transaction.wtxid:
            raise TransactionRefusedError(RejectReason.ALREADY_IN_MEMPOOL)
        raise TransactionRefusedError(RejectReason.SAME_WITHOUT_WITNESS)

    def _coins(self, transaction: Transaction) -> list[Coin]:
        coins: list[Coin] = []
        for item in transaction.inputs:
            coin = self.coin(item.previous)
            if coin is None:
                if self._chain.has_outputs_of(transaction):
                    raise TransactionRefusedError(RejectReason.ALREADY_KNOWN)
                raise TransactionRefusedError(RejectReason.MISSING_INPUTS)
            coins.append(coin)
        return coins

    def coin(self, outpoint: OutPoint) -> Coin | None:
        """An output of the best chain or of the mempool; the latter as if in the next block."""
        parent = self.entries.get(outpoint.txid)
        if parent is None:
            return self._chain.coin(outpoint)
        if outpoint.vout >= len(parent.transaction.outputs):
            return None
        output = parent.transaction.outputs[outpoint.vout]
        return Coin(self._chain.tip_height() + 1, is_coinbase=False, output=output)

    def _fee(self, transaction: Transaction, coins: Sequence[Coin]) -> int:
        next_height = self._chain.tip_height() + 1
        for coin in coins:
            if coin.is_coinbase and next_height - coin.height < COINBASE_MATURITY:
                raise TransactionRefusedError(
                    RejectReason.PREMATURE_COINBASE, f"depth {next_height - coin.height}"
                )
        spent = sum(coin.output.value for coin in coins)
        paid = sum(output.value for output in transaction.outputs)
        if spent < paid:
            raise TransactionRefusedError(
                RejectReason.IN_BELOW_OUT, f"value in {spent} < value out {paid}"
            )
        return spent - paid

    def _replaced(self, entry: Entry, is_fee_free: bool) -> tuple[Entry, ...]:
        """What the transaction conflicts with and may replace (BIP125), with descendants."""
        direct = {
            self.spenders[item.previous]
            for item in entry.transaction.inputs
            if item.previous in self.spenders
        }
        if not direct:
            return ()
        evicted = set(direct)
        for txid in direct:
            evicted |= self.descendants(txid)
        if self.ancestors(entry.parents) & evicted:
            raise TransactionRefusedError(RejectReason.SPENDS_CONFLICT)
        if is_fee_free:
            raise TransactionRefusedError(RejectReason.REPLACEMENT_FEE, "conflicts")
        if len(evicted) > MAX_REPLACED:
            raise TransactionRefusedError(RejectReason.TOO_MANY_REPLACEMENTS, str(len(evicted)))
        known_parents = {parent for txid in direct for parent in self.entries[txid].parents}
        if entry.parents - known_parents:
            raise TransactionRefusedError(RejectReason.REPLACEMENT_ADDS_UNCONFIRMED)
        for txid in direct:
            old = self.entries[txid]
            if entry.fee * old.vsize <= old.fee * entry.vsize:
                raise TransactionRefusedError(RejectReason.REPLACEMENT_FEE, "feerate not higher")
        owed = sum(self.entries[txid].fee for txid in evicted)
        owed += minimum_fee(entry.vsize, self._policy.minimum_feerate)
        if entry.fee < owed:
            raise TransactionRefusedError(RejectReason.REPLACEMENT_FEE, f"{entry.fee} < {owed}")
        return tuple(self.entries[txid] for txid in evicted)

    def _check_chain_limits(self, entry: Entry, replaced: Sequence[Entry]) -> None:
        gone = {old.txid for old in replaced}
        chain = self.ancestors(entry.parents)
        vbytes = entry.vsize + sum(self.entries[txid].vsize for txid in chain)
        limit = self._policy.max_chain_transactions
        if len(chain) + 1 > limit or (chain and vbytes > self._policy.max_chain_vbytes):
            raise TransactionRefusedError(RejectReason.TOO_LONG_CHAIN, f"{len(chain)} ancestors")
        for txid in chain:
            family = self.descendants(txid) - gone
            vbytes = entry.vsize + sum(self.entries[item].vsize for item in {*family, txid})
            if len(family) + 2 > limit or vbytes > self._policy.max_chain_vbytes:
                raise TransactionRefusedError(
                    RejectReason.TOO_LONG_CHAIN, f"{len(family)} descendants of {display_id(txid)}"
                )

    def _check_truc(self, entry: Entry, replaced: Sequence[Entry]) -> None:
        """BIP431: version 3 lives in pairs of one parent and one child, small ones."""
        is_truc = entry.transaction.version == TRUC_VERSION
        parents = [self.entries[txid] for txid in entry.parents]
        if any((parent.transaction.version == TRUC_VERSION) != is_truc for parent in parents):
            raise TransactionRefusedError(RejectReason.TRUC_VIOLATION, "mixed versions")
        if not is_truc:
            return
        limit = _TRUC_CHILD_MAX_VBYTES if parents else _TRUC_MAX_VBYTES
        if entry.vsize > limit:
            raise TransactionRefusedError(RejectReason.TRUC_VIOLATION, f"over {limit} vbytes")
        if len(parents) > 1 or any(parent.parents for parent in parents):
            raise TransactionRefusedError(RejectReason.TRUC_VIOLATION, "too many ancestors")
        gone = {old.txid for old in replaced}
        if any(parent.children - gone for parent in parents):
            raise TransactionRefusedError(RejectReason.TRUC_VIOLATION, "parent has another child")
