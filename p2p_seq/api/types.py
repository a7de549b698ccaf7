"""What the API answers, and what it needs of a node.

The dataclasses are the JSON: amounts are integer satoshi in fields that end in `_sats`, keys and
ids of the ledger are hexadecimal as they are, ids of Bitcoin are hexadecimal in the byte order
that Bitcoin's tools show (`protocol.types.display_id`). Two words are kept apart everywhere:
*final* is the sequencers' decision and cannot be undone; *settled* is Bitcoin's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from p2p_seq.protocol.types import BlockHeight, Epoch, Hash32, OutPoint, XOnlyKey


class TransactionState(StrEnum):
    """The journey of a transaction."""

    PENDING = "pending"
    """It waits in this node's mempool."""
    PROPOSED = "proposed"
    """It is in a block that is being voted on."""
    FINAL = "final"
    """It is in a finalised block."""
    SETTLED = "settled"
    """A buried settlement on Bitcoin commits to its epoch."""


class EpochState(StrEnum):
    """PROTOCOL.md section 4. With enforcement = 0 an epoch goes OPEN, SEALED, COMMITTED,
    WITHDRAWABLE, PAID.
    """

    OPEN = "OPEN"
    SEALED = "SEALED"
    ENDORSED = "ENDORSED"
    UNENDORSED = "UNENDORSED"
    COMMITTED = "COMMITTED"
    CERTIFIED = "CERTIFIED"
    WITHDRAWABLE = "WITHDRAWABLE"
    PAID = "PAID"
    DISPUTED = "DISPUTED"


class WithdrawalState(StrEnum):
    """The journey of bitcoin out of the ledger."""

    BURNED = "burned"
    """Taken from the account in a finalised block."""
    PLANNED = "planned"
    """In the settlement plan of a final seal."""
    BROADCAST = "broadcast"
    """A signed settlement that pays it was sent to Bitcoin."""
    PAID = "paid"
    """That settlement is buried."""


class DepositState(StrEnum):
    """The journey of bitcoin into the ledger."""

    SEEN = "seen"
    """On Bitcoin, not yet buried."""
    BURIED = "buried"
    """Buried; it waits for a settlement that sweeps it."""
    PLANNED = "planned"
    """In the settlement plan of a final seal."""
    MINTED = "minted"
    """The settlement that sweeps it is buried and the account is credited."""
    REFUSED = "refused"
    """It will not be swept (too small, over the peg cap, too late, wrong generation): the user
    takes it back by the timeout path.
    """
    RETURNED = "returned"
    """The user took it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginReport:
    """A Bitcoin block."""

    height: int
    hash: str
    median_time: int
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceReport:
    """What a transaction must pay now."""

    transfer_sats: int
    withdraw_sats: int
    account_minimum_sats: int
    """Smallest amount that creates an account."""
    payout_minimum_sats: int
    deposit_minimum_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MempoolReport:
    """What waits here."""

    count: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One screen about a node."""

    version: str
    network: str
    chain_id: str
    role: str
    """`sequencer` or `full`."""
    is_ready: bool
    height: int
    """The last finalised block."""
    block: str
    """Its digest."""
    state_root: str
    """After it."""
    epoch: int
    view: int
    leader: str | None
    """Consensus key of the present view's leader."""
    finality_ms: float | None
    """Median of the last blocks, from this node's receipt of the proposal to finality."""
    origin: OriginReport
    """The last finalised block's origin."""
    bitcoin_height: int | None
    """This node's Bitcoin tip; None while Bitcoin does not answer."""
    settled_epoch: int | None
    """The last epoch that a buried settlement commits to."""
    peers: int
    mempool: MempoolReport
    prices: PriceReport
    warnings: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockReport:
    """A finalised block."""

    height: int
    digest: str
    parent: str
    kind: str
    """`genesis`, `ordinary` or `seal`."""
    epoch: int
    view: int
    leader: str | None
    """Consensus key of the proposer."""
    origin: OriginReport
    state_root: str
    """After the parent, as in the header."""
    transactions: list[str]
    """Ids in the order of execution."""
    record_bytes: int
    """Bytes of the records that are derived from Bitcoin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionReport:
    """A transaction and how far it got."""

    txid: str
    state: TransactionState
    kind: str
    sender: str
    nonce: int
    fee_sats: int
    amount_sats: int
    recipient: str | None
    """Account of a transfer."""
    script: str | None
    """Output script of a withdrawal."""
    height: int | None
    """Block that holds it, once it is final."""
    epoch: int | None
    receipt: str | None
    """What execution said, once it is final: `OK`, `FAILED_BALANCE`, …"""
    withdrawal: int | None
    """Number of the withdrawal that it made."""
    settlement: str | None
    """Bitcoin transaction that commits to its epoch, once that is buried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReport:
    """An account in the last finalised state, and what waits."""

    key: str
    balance_sats: int
    nonce: int
    """Nonce of the next transaction to execute."""
    next_nonce: int
    """Nonce for the next transaction to send: behind those that wait here."""
    pending_count: int
    pending_cost_sats: int
    """Amounts and fees of the waiting transactions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """An epoch and what its state rests on."""

    epoch: int
    state: EpochState
    rests_on: list[str]
    """Sentences: what has to hold for this state to be true."""
    start_height: int
    """First origin height, `a_e`."""
    border_height: int
    """Origin height of its seal, `a_{e+1}`."""
    seal: str | None
    """Digest of the final seal."""
    outputs_digest: str | None
    statement: str | None
    state_before: str | None
    state_after: str | None
    members: list[str]
    """Consensus keys of the set, in set order."""
    weights: list[int]
    settlement: str | None
    """Bitcoin transaction that commits to it."""
    window_end_height: int | None
    """Origin height from which its withdrawals may be planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalReport:
    """A payout on Bitcoin."""

    id: int
    state: WithdrawalState
    txid: str | None
    """Ledger transaction that burned it; None when this node joined later."""
    epoch: int
    amount_sats: int
    script: str
    settlement: str | None
    """Bitcoin transaction that pays it."""
    output: int | None
    """Index of its output there."""
    earliest_height: int | None
    """Origin height from which it may be planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositReport:
    """A deposit output on Bitcoin."""

    outpoint: str
    """`txid:vout`."""
    state: DepositState
    why: str
    """Reason of a refusal; empty otherwise."""
    amount_sats: int
    recipient: str
    generation: int
    confirmed_height: int | None
    timeout_height: int | None
    """From here on the user alone may take it back, unless it was swept."""
    settlement: str | None
    """Bitcoin transaction that sweeps it."""
    credited_sats: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultReport:
    """The active vault generation: all that a wallet needs to build a deposit."""

    generation: int
    keys: list[str]
    """X-only keys in set order."""
    weights: list[int]
    threshold: int
    deposit_timeout: int
    """CSV of the user's leaf, in blocks."""
    deposit_tag: str
    """First four bytes of the OP_RETURN."""
    deposit_minimum_sats: int
    deposit_fee_sats: int
    """What is deducted from a deposit for its input, at the present rate."""
    script_pubkey: str
    """Of the vault coin."""
    outpoint: str
    """The last buried vault coin."""
    value_sats: int
    bitcoin_chain: str
    network: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyReport:
    """The supply rule in the last finalised state: the four parts equal the vault coin."""

    height: int
    wrapped_sats: int
    pending_payouts_sats: int
    fee_pool_sats: int
    insurance_sats: int
    vault_sats: int
    is_balanced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReport:
    """A peer as this node sees it."""

    peer: str
    is_connected: bool
    is_sequencer: bool
    address: str
    round_trip_ms: float | None
    score: float
    banned_for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether a load balancer should send clients here."""

    is_ready: bool
    reasons: list[str]
    """Why not: syncing, Bitcoin does not answer, stopping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What became of one submitted transaction."""

    txid: str | None
    """None when the bytes are no transaction."""
    accepted: bool
    reason: str | None
    """A code of `mempool.types.Rejection`."""
    why: str | None
    do: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionReport:
    """One item for each submitted transaction, in their order."""

    accepted: int
    rejected: int
    items: list[Submission]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Every error that the API answers."""

    what: str
    why: str
    do: str


class NodeView(Protocol):
    """What a node shows. What is not async answers from memory or LMDB and does not wait."""

    @property
    def height(self) -> BlockHeight:
        """The newest final block that any answer may show something of."""
        ...

    async def shows(self, height: BlockHeight) -> bool:
        """Whether every answer shows the final block of this height and all below it.

        Waits for what is on its way to the disk, not for what a peer would have to send.
        """
        ...

    def status(self) -> NodeStatus: ...
    def block(self, selector: BlockHeight | Hash32 | None) -> BlockReport | None:
        """By height, by digest, or the latest finalised one."""
        ...

    def transaction(self, txid: Hash32) -> TransactionReport | None: ...
    def account(self, key: XOnlyKey) -> AccountReport | None: ...
    def epoch(self, epoch: Epoch) -> EpochReport | None: ...
    def withdrawal(self, payout_id: int) -> WithdrawalReport | None: ...
    def deposit(self, outpoint: OutPoint) -> DepositReport | None: ...
    def vault(self) -> VaultReport: ...
    def supply(self) -> SupplyReport: ...
    def peers(self) -> Sequence[PeerReport]: ...
    def is_live(self) -> bool:
        """Whether the node's tasks make progress."""
        ...

    def readiness(self) -> Readiness: ...
    def metrics(self) -> bytes:
        """Prometheus text format."""
        ...

    async def submit(self, transactions: bytes) -> Sequence[Submission]:
        """Admit concatenated transactions. Raises RemoteError when they are refused as a whole.

        `submissions_of` makes the answer from the mempool's outcomes.
        """
        ...
