"""Consensus rules of a transaction against the best chain, apart from its scripts. Pure.

Sources: Bitcoin Core `CheckTransaction`, `IsFinalTx`, `CalculateSequenceLocks`; BIP65, BIP68,
BIP113. The engine checks all of this again inside a block; here it keeps out of the mempool what
the next block could not contain.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from p2p_seq.bitcoin.embedded.policy import RejectReason, TransactionRefusedError
from p2p_seq.bitcoin.embedded.records import Coin
from p2p_seq.bitcoin.transaction import NULL_VOUT, SEQUENCE_FINAL, Transaction, TxIn
from p2p_seq.bitcoin.wire import MAX_BLOCK_WEIGHT, MAX_MONEY
from p2p_seq.protocol.types import ZERO32, OutPoint

COINBASE_MATURITY: Final = 100
"""Confirmations before a coinbase may be spent (consensus)."""

LOCK_TIME_THRESHOLD: Final = 500_000_000
"""Lock times below it are heights, others Unix seconds (consensus)."""

BLOCK_RESERVED_WEIGHT: Final = 8_000
"""Left for header and coinbase; heavier transactions could never be mined by this miner."""

_SEQUENCE_DISABLED: Final = 1 << 31
_SEQUENCE_IS_TIME: Final = 1 << 22
_SEQUENCE_MASK: Final = 0xFFFF
_SEQUENCE_SECONDS_SHIFT: Final = 9


class ChainView(Protocol):
    """What the mempool asks of the best chain."""

    def coin(self, outpoint: OutPoint) -> Coin | None:
        """An unspent output of the best chain."""

    def has_outputs_of(self, transaction: Transaction) -> bool:
        """True when an unspent output of this transaction is in the best chain."""

    def tip_height(self) -> int:
        """Height of the best block."""

    def time_after(self, height: int) -> int:
        """Median time past after the best chain's block at `height`, Unix seconds."""


def check_transaction(transaction: Transaction) -> None:
    """Context-free consensus rules (Bitcoin Core `CheckTransaction`) that the parser leaves."""
    if transaction.is_coinbase:
        raise TransactionRefusedError(RejectReason.COINBASE)
    # The weight bounds the stripped size too, of which each byte weighs four.
    if transaction.weight > MAX_BLOCK_WEIGHT - BLOCK_RESERVED_WEIGHT:
        raise TransactionRefusedError(RejectReason.OVERSIZE)
    if sum(output.value for output in transaction.outputs) > MAX_MONEY:
        raise TransactionRefusedError(RejectReason.OUTPUT_TOTAL)
    previous = [item.previous for item in transaction.inputs]
    if len(set(previous)) != len(previous):
        raise TransactionRefusedError(RejectReason.DUPLICATE_INPUTS)
    if any(_is_null(item) for item in transaction.inputs):
        raise TransactionRefusedError(RejectReason.NULL_PREVOUT)


def _is_null(item: TxIn) -> bool:
    return item.previous.txid == ZERO32 and item.previous.vout == NULL_VOUT


def check_final(chain: ChainView, transaction: Transaction) -> None:
    """BIP65 and BIP113: the lock time has passed for the next block."""
    height = chain.tip_height()
    lock_time = transaction.lock_time
    limit = height + 1
    if lock_time >= LOCK_TIME_THRESHOLD:
        limit = chain.time_after(height)
    is_final = lock_time < limit or all(
        item.sequence == SEQUENCE_FINAL for item in transaction.inputs
    )
    if not is_final:
        raise TransactionRefusedError(RejectReason.NON_FINAL)


def check_sequence_locks(chain: ChainView, transaction: Transaction, coins: Sequence[Coin]) -> None:
    """BIP68: `coin` + lock must lie below the next block's height, or before the tip's time."""
    if transaction.version < 2:
        return
    height = chain.tip_height()
    for item, coin in zip(transaction.inputs, coins, strict=True):
        if item.sequence & _SEQUENCE_DISABLED:
            continue
        lock = item.sequence & _SEQUENCE_MASK
        if item.sequence & _SEQUENCE_IS_TIME:
            start = chain.time_after(max(coin.height - 1, 0))
            is_open = start + (lock << _SEQUENCE_SECONDS_SHIFT) <= chain.time_after(height)
        else:
            is_open = coin.height + lock <= height + 1
        if not is_open:
            raise TransactionRefusedError(RejectReason.NON_BIP68_FINAL)
