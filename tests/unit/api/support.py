"""A node's view whose reports are written down, in front of a real mempool."""

from collections.abc import Sequence

from p2p_seq.api.submissions import submissions_of
from p2p_seq.api.types import (
    AccountReport,
    BlockReport,
    DepositReport,
    DepositState,
    EpochReport,
    EpochState,
    MempoolReport,
    NodeStatus,
    OriginReport,
    PeerReport,
    PriceReport,
    Readiness,
    Submission,
    SupplyReport,
    TransactionReport,
    TransactionState,
    VaultReport,
    WithdrawalReport,
    WithdrawalState,
)
from p2p_seq.mempool.core import Mempool
from p2p_seq.mempool.service import SubmissionReason
from p2p_seq.mempool.types import Account, Outcome
from p2p_seq.protocol.errors import CodecError, LocalError, RemoteError
from p2p_seq.protocol.types import BlockHeight, Epoch, Hash32, OutPoint, XOnlyKey
from tests.unit.mempool.support import PRICES, DictLedger, key, parse

DIGEST = Hash32(bytes(range(32)))
BITCOIN_TXID = Hash32(bytes(range(100, 132)))
ORIGIN = OriginReport(height=120, hash="0f" * 32, median_time=1_700_000_000)

STATUS = NodeStatus(
    version="0.1.0",
    network="regtest",
    chain_id="c4" * 32,
    role="sequencer",
    is_ready=True,
    height=7,
    block=DIGEST.hex(),
    state_root="5a" * 32,
    epoch=2,
    view=9,
    leader=None,
    finality_ms=41.5,
    origin=ORIGIN,
    bitcoin_height=122,
    settled_epoch=None,
    peers=3,
    mempool=MempoolReport(count=0, bytes=0),
    prices=PriceReport(
        transfer_sats=100,
        withdraw_sats=500,
        account_minimum_sats=1_000,
        payout_minimum_sats=1_000,
        deposit_minimum_sats=50_000,
    ),
    warnings=["one"],
)
BLOCK = BlockReport(
    height=7,
    digest=DIGEST.hex(),
    parent="aa" * 32,
    kind="ordinary",
    epoch=2,
    view=9,
    leader="bb" * 32,
    origin=ORIGIN,
    state_root="5a" * 32,
    transactions=["cc" * 32],
    record_bytes=0,
)
TRANSACTION = TransactionReport(
    txid=DIGEST.hex(),
    state=TransactionState.FINAL,
    kind="TRANSFER",
    sender="dd" * 32,
    nonce=3,
    fee_sats=100,
    amount_sats=2_100_000_000_000_000,
    recipient="ee" * 32,
    script=None,
    height=7,
    epoch=2,
    receipt="OK",
    withdrawal=None,
    settlement=None,
)
ACCOUNT = AccountReport(
    key=key(1).hex(),
    balance_sats=10**9,
    nonce=0,
    next_nonce=2,
    pending_count=2,
    pending_cost_sats=2_200,
)
EPOCH = EpochReport(
    epoch=2,
    state=EpochState.SEALED,
    rests_on=["more than 2/3 of the weight of set 2 voted for the seal"],
    start_height=110,
    border_height=115,
    seal=DIGEST.hex(),
    outputs_digest=None,
    statement=None,
    state_before=None,
    state_after=None,
    members=["ab" * 32],
    weights=[100],
    settlement=None,
    window_end_height=125,
)
WITHDRAWAL = WithdrawalReport(
    id=4,
    state=WithdrawalState.PLANNED,
    txid=DIGEST.hex(),
    epoch=2,
    amount_sats=5_000,
    script="5120" + "00" * 32,
    settlement=None,
    output=None,
    earliest_height=125,
)
OUTPOINT = OutPoint(BITCOIN_TXID, 1)
DEPOSIT = DepositReport(
    outpoint=str(OUTPOINT),
    state=DepositState.REFUSED,
    why="over the peg cap",
    amount_sats=100_000_000,
    recipient=key(1).hex(),
    generation=0,
    confirmed_height=118,
    timeout_height=178,
    settlement=None,
    credited_sats=None,
)
VAULT = VaultReport(
    generation=0,
    keys=["ab" * 32],
    weights=[100],
    threshold=67,
    deposit_timeout=60,
    deposit_tag="01020304",
    deposit_minimum_sats=50_000,
    deposit_fee_sats=300,
    script_pubkey="5120" + "11" * 32,
    outpoint=str(OUTPOINT),
    value_sats=1_000_000,
    bitcoin_chain="regtest",
    network="regtest",
)
SUPPLY = SupplyReport(
    height=7,
    wrapped_sats=900_000,
    pending_payouts_sats=50_000,
    fee_pool_sats=40_000,
    insurance_sats=10_000,
    vault_sats=1_000_000,
    is_balanced=True,
)
PEER = PeerReport(
    peer="16Uiu2",
    is_connected=True,
    is_sequencer=True,
    address="/ip4/127.0.0.1/tcp/1",
    round_trip_ms=None,
    score=0.0,
    banned_for_s=0.0,
)


class WrittenView:
    """Answers what is written above, and submits to a pool (signatures are not its business)."""

    def __init__(self) -> None:
        ledger = DictLedger({key(1): Account(10**9, 0), key(999): Account(1_000, 0)})
        self.pool = Mempool(ledger, PRICES)
        self.is_alive = True
        self.ready = Readiness(is_ready=True, reasons=[])
        self.status_error: Exception | None = None
        self.height = BlockHeight(7)

    async def shows(self, height: BlockHeight) -> bool:
        return height <= self.height

    def status(self) -> NodeStatus:
        if self.status_error is not None:
            raise self.status_error
        return STATUS

    def block(self, selector: BlockHeight | Hash32 | None) -> BlockReport | None:
        return BLOCK if selector in (None, 7, DIGEST) else None

    def transaction(self, txid: Hash32) -> TransactionReport | None:
        return TRANSACTION if txid == DIGEST else None

    def account(self, key_: XOnlyKey) -> AccountReport | None:
        return ACCOUNT if key_ == key(1) else None

    def epoch(self, epoch: Epoch) -> EpochReport | None:
        return EPOCH if epoch == 2 else None

    def withdrawal(self, payout_id: int) -> WithdrawalReport | None:
        return WITHDRAWAL if payout_id == 4 else None

    def deposit(self, outpoint: OutPoint) -> DepositReport | None:
        return DEPOSIT if outpoint == OUTPOINT else None

    def vault(self) -> VaultReport:
        return VAULT

    def supply(self) -> SupplyReport:
        return SUPPLY

    def peers(self) -> Sequence[PeerReport]:
        return (PEER,)

    def is_live(self) -> bool:
        return self.is_alive

    def readiness(self) -> Readiness:
        return self.ready

    def metrics(self) -> bytes:
        return b"p2pseq_height 7\n"

    async def submit(self, transactions: bytes) -> Sequence[Submission]:
        try:
            parsed = parse(transactions)
        except CodecError as error:
            raise RemoteError(SubmissionReason.MALFORMED, str(error)) from error
        reasons = self.pool.admit_batch(transactions, parsed)
        return submissions_of(
            Outcome(Hash32(one[2]), reason) for one, reason in zip(parsed, reasons, strict=True)
        )


BROKEN = LocalError("an invariant does not hold")
