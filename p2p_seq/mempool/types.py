"""What enters and leaves the mempool: parsed transactions, prices, limits, reasons, selections."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from p2p_seq.protocol.params import Params
from p2p_seq.protocol.transactions import TransactionKind
from p2p_seq.protocol.types import BlockHeight, Hash32

Parsed = tuple[int, int, bytes, bytes, int, int, int, int]
"""One parsed transaction of a batch, as the native parser gives it: `(offset, length, txid, sender,
kind, nonce, fee, amount)`, offset and length in bytes within the batch, fee and amount in satoshi.
"""


class TransactionParser(Protocol):
    """The native parser (`cython_core.ledger`), or a twin of it."""

    def parse_batch(self, transactions: bytes, /) -> Sequence[Parsed]:
        """Strict parsing of concatenated transactions. Raises ValueError; never returns a part."""
        ...


BODY_OFFSET: Final = 50
"""Where a body starts: after version 1, kind 1, sender 32, nonce 8, fee 8. A TRANSFER's
recipient.
"""

SCRIPT_OFFSET: Final = 58
"""Where a WITHDRAW's script length stands: after its amount."""

WITHDRAWAL_OUTPUT_VBYTES: Final = 43
"""Virtual bytes of the largest payout output; a withdrawal pays for it at twice the last buried
rate (PROTOCOL.md section 7)."""


class Rejection(StrEnum):
    """Why a transaction is not in the mempool. APIs and counters show the value."""

    MALFORMED = "malformed"
    """The bytes are no canonical transactions; the whole batch is refused."""
    SIGNATURE = "bad-signature"
    """The signature does not fit sender, content and this chain."""
    DUPLICATE = "duplicate"
    """The transaction is already waiting here."""
    FINAL = "already-final"
    """The transaction is in a finalised block."""
    KIND = "unknown-kind"
    """The ledger's rules have no price for this kind."""
    FEE = "fee-too-low"
    """The fee is below the price of the kind."""
    PAYOUT = "payout-too-small"
    """A withdrawal below the smallest output that settlements pay."""
    SCRIPT = "unpayable-script"
    """A withdrawal to a script that is none of P2PKH, P2SH, P2WPKH, P2WSH and P2TR."""
    CREATION = "creates-account-with-too-little"
    """The recipient has no account and the amount is below what creates one."""
    ACCOUNT = "no-such-account"
    """The sender has no account, so no balance."""
    NONCE_USED = "nonce-used"
    """A transaction with this nonce has been executed."""
    NONCE_FAR = "nonce-too-far"
    """The nonce is further ahead than the mempool keeps."""
    UNDERPRICED = "replacement-fee-too-low"
    """Another transaction has this nonce, and the fee is not higher by the required share."""
    DECIDING = "nonce-in-proposed-block"
    """Another transaction with this nonce is in a block that is being voted on."""
    BALANCE = "balance-too-low"
    """The balance does not cover this transaction and the sender's waiting ones."""
    SENDER_FULL = "sender-limit"
    """The sender has as many waiting transactions as one may have."""
    POOL_FULL = "pool-full"
    """The mempool is full of transactions that pay more."""
    BUSY = "busy"
    """Too many submissions wait for admission; try again in a moment."""


REJECTION_HELP: Final[dict[Rejection, tuple[str, str]]] = {
    Rejection.MALFORMED: (
        "the bytes are not canonical transactions",
        "encode them as the transaction format says, without anything between or after them",
    ),
    Rejection.SIGNATURE: (
        "the signature does not fit the sender, the content and this chain",
        "sign the transaction id under this network's chain id with the sender's key",
    ),
    Rejection.DUPLICATE: ("the transaction is already waiting", "wait for it to be finalised"),
    Rejection.FINAL: ("the transaction is already final", "look it up by its id"),
    Rejection.KIND: ("the kind has no price in this ledger", "use a known transaction kind"),
    Rejection.FEE: ("the fee is below the price of its kind", "see `prices` in the status"),
    Rejection.PAYOUT: (
        "the withdrawal is below the smallest payout",
        "withdraw at least `payout_minimum` of the status",
    ),
    Rejection.SCRIPT: (
        "settlements do not pay to this script",
        "withdraw to a P2PKH, P2SH, P2WPKH, P2WSH or P2TR output",
    ),
    Rejection.CREATION: (
        "the recipient has no account and the amount is too small to create one",
        "send at least `account_minimum` of the status",
    ),
    Rejection.ACCOUNT: ("the sender has no account", "fund it with a deposit or a transfer"),
    Rejection.NONCE_USED: (
        "a transaction with this nonce has been executed",
        "use `next_nonce` of the account",
    ),
    Rejection.NONCE_FAR: (
        "the nonce is too far ahead of the account's",
        "send the transactions before it first",
    ),
    Rejection.UNDERPRICED: (
        "another transaction of the sender has this nonce",
        "raise the fee by at least 10 % to replace it",
    ),
    Rejection.DECIDING: (
        "another transaction with this nonce is in a proposed block",
        "wait until the block is final or abandoned",
    ),
    Rejection.BALANCE: (
        "the balance does not cover this and the sender's waiting transactions",
        "lower the amount or wait for funds to be final",
    ),
    Rejection.SENDER_FULL: (
        "the sender has too many waiting transactions",
        "wait until some of them are final",
    ),
    Rejection.POOL_FULL: (
        "the mempool is full of transactions that pay more",
        "raise the fee or try again later",
    ),
    Rejection.BUSY: ("too many submissions wait for admission", "try again in a moment"),
}
"""For each reason: why, and what the submitter can do."""


class Account(NamedTuple):
    """What the mempool needs of a ledger account, in the last finalised and executed state."""

    balance: int
    """Satoshi."""
    nonce: int
    """Nonce of the sender's next transaction."""


class AccountView(Protocol):
    """The finalised state. Called on the hot path: a dictionary or a native tree, no disk."""

    def account(self, key: bytes) -> Account | tuple[int, int] | None:
        """`(balance, nonce)` of an x-only key, or None when it has no account."""
        ...


@dataclass(frozen=True, slots=True)
class Prices:
    """What the ledger charges now. Changes when a settlement is buried (its rate), or by
    governance.
    """

    transfer: int
    """Satoshi; the least fee of a TRANSFER."""
    withdraw: int
    """Satoshi; the least fee of a WITHDRAW, its output on Bitcoin included."""
    cycles_transfer: int
    cycles_other: int
    payout_minimum: int
    """Satoshi."""
    account_minimum: int
    """Satoshi that create an account."""

    @classmethod
    def from_params(cls, params: Params, last_rate: int) -> "Prices":
        """`last_rate` is `totals.last_rate` of the finalised state, in satoshi per 1,000 vB."""
        # Rounded up, as the ledger does it: 2 * rate * 43 / 1000.
        output = -(-2 * last_rate * WITHDRAWAL_OUTPUT_VBYTES // 1_000)
        return cls(
            transfer=params.fee_transfer,
            withdraw=params.fee_withdraw + output,
            cycles_transfer=params.cycles_transfer,
            cycles_other=params.cycles_other,
            payout_minimum=params.payout_minimum,
            account_minimum=params.account_minimum,
        )

    def of_kind(self) -> dict[int, tuple[int, int]]:
        """`{kind: (price in satoshi, cycles)}`."""
        return {
            TransactionKind.TRANSFER: (self.transfer, self.cycles_transfer),
            TransactionKind.WITHDRAW: (self.withdraw, self.cycles_other),
        }


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Bounds of the pool. Each has a test one above it."""

    count_max: int = 50_000
    """Transactions in the pool."""
    bytes_max: int = 16 * 2**20
    """Encoded bytes in the pool; with its bookkeeping it takes about four times as much memory."""
    per_sender_max: int = 1_024
    """Waiting transactions of one sender."""
    nonce_window: int = 1_024
    """A nonce must be less than this ahead of the executed one."""
    replace_percent: int = 10
    """A replacement pays at least this much more."""
    expiry_blocks: int = 20_000
    """Finalised blocks after which a transaction that found no place is dropped."""
    final_memory: int = 131_072
    """Finalised transaction ids that are remembered, to tell `already-final` from `nonce-used`."""

    def __post_init__(self) -> None:
        if (
            min(
                self.count_max,
                self.bytes_max,
                self.per_sender_max,
                self.nonce_window,
                self.replace_percent,
                self.expiry_blocks,
                self.final_memory,
            )
            < 1
        ):
            raise ValueError("every limit of the mempool is at least 1")


@dataclass(frozen=True, slots=True)
class SelectionLimits:
    """What still fits into the block that is being made."""

    count: int
    size: int
    """Bytes."""
    cycles: int
    """Guest cycles left for user transactions in this batch of the epoch."""


@dataclass(frozen=True, slots=True)
class Selection:
    """User transactions for a block, in the order of execution."""

    transactions: bytes
    """Concatenated canonical encodings."""
    txids: tuple[Hash32, ...]
    cycles: int

    @property
    def count(self) -> int:
        return len(self.txids)


class Position(StrEnum):
    """Where a transaction of the pool stands."""

    PENDING = "pending"
    """It waits for a block."""
    PROPOSED = "proposed"
    """It is in a block that is being voted on."""


@dataclass(frozen=True, slots=True)
class SenderStatus:
    """What an account's page and a wallet want to know."""

    next_nonce: int
    """The nonce after the executed one and the gapless waiting ones."""
    pending_count: int
    pending_cost: int
    """Amounts and fees of the waiting transactions, in satoshi."""


class Outcome(NamedTuple):
    """What became of one submitted transaction."""

    txid: Hash32
    rejection: Rejection | None
    """None: it is in the mempool."""


class TransactionPool(Protocol):
    """What the pure pool (`core.Mempool`, which says what each method does) and the compiled one
    (`native.NativeMempool`) both are.
    """

    limits: PoolLimits

    def __len__(self) -> int: ...
    def __contains__(self, txid: bytes) -> bool: ...
    @property
    def size(self) -> int: ...
    @property
    def live_blocks(self) -> int: ...
    @property
    def prices(self) -> Prices: ...
    @property
    def arrivals(self) -> int: ...
    def judge_batch(self, payload: bytes, parsed: Iterable[Parsed]) -> list[Rejection | None]: ...
    def admit_batch(
        self, payload: bytes, parsed: Iterable[Parsed], *, is_local: bool = False
    ) -> list[Rejection | None]: ...
    def select(self, limits: SelectionLimits, ancestors: Sequence[bytes] = ()) -> Selection: ...
    def include(
        self, block: bytes, height: BlockHeight, transactions: bytes, parsed: Sequence[Parsed]
    ) -> None: ...
    def abandon(self, block: bytes) -> int: ...
    def finalise(self, block: bytes, height: BlockHeight, parsed: Iterable[Parsed]) -> None: ...
    def set_prices(self, prices: Prices) -> None: ...
    def position(self, txid: bytes) -> Position | None: ...
    def encoded(self, txid: bytes) -> bytes | None: ...
    def sender_status(self, sender: bytes) -> SenderStatus | None: ...
    def has_pending(self, ancestors: Sequence[bytes] = ()) -> bool: ...
    def waiting_local(self, arrivals: int, count: int) -> list[bytes]: ...
    def heap_sizes(self) -> tuple[int, int]: ...
