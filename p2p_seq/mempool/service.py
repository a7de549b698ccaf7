"""The mempool's trio shell: submissions and peers' batches in, checked transactions out.

Everything that arrives within `window_s`, or `batch_max` transactions, is admitted together: one
trip to the signature workers and one message to the other sequencers instead of one for each
transaction. What arrives while a batch is being checked makes the next batch, so batches grow
with the load.

The order of work is: parse, ask the rules (`judge_batch`), check the signatures of what passed,
admit. A transaction that the rules refuse never costs a signature check, and none is checked
twice: ids with their signatures are remembered for the blocks that will carry them
(`check_block`).

A node forwards what was submitted to it and what a peer that is no sequencer sent; sequencers
have sent their own to everyone. Messages can be lost, so a node offers what was submitted to it
again until a block holds it, and asks every sequencer that it (re)connects to for what waits
there.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import trio

from p2p_seq.mempool.types import (
    Outcome,
    Parsed,
    Rejection,
    SelectionLimits,
    TransactionParser,
    TransactionPool,
)
from p2p_seq.mempool.verified import VerifiedSignatures, triples_of
from p2p_seq.mempool.wire import (
    BATCH_BYTES_MAX,
    HEAD_BYTES,
    decode_batch,
    encode_batches,
    looks_like_batch,
)
from p2p_seq.network.types import (
    Channel,
    Inbox,
    Network,
    PeerId,
    PenaltyReason,
    RequestProtocol,
    Topic,
)
from p2p_seq.node.workers import SignatureWorkers, Urgency
from p2p_seq.protocol.blocks import TRANSACTIONS_COUNT_MAX
from p2p_seq.protocol.errors import CodecError, RemoteError
from p2p_seq.protocol.types import Hash32

PULL_REQUEST: Final = b"\x01"
"""The one question of RequestProtocol.TRANSACTIONS: version 1, "what waits with you?"."""

PULL_CYCLES: Final = 2**62
"""A pull is bounded by count and bytes only."""


class SubmissionReason(StrEnum):
    """Why bytes with transactions are refused as a whole."""

    MALFORMED = "malformed"
    """They are no concatenation of canonical transactions."""
    TOO_MANY = "too-many-transactions"
    """More than one submission may hold."""
    COUNT = "wrong-count"
    """A block says another number of transactions than it holds."""
    SIGNATURE = "bad-signature"
    """A block holds a transaction whose signature does not hold."""


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Bounds of the shell, and its rhythm."""

    window_s: float = 0.005
    """The first submission of a batch waits so long for company."""
    batch_max: int = 256
    """Transactions that end the wait."""
    submission_max: int = 10_000
    """Transactions of one submission."""
    queue_max: int = 20_000
    """Transactions that wait for admission; submissions beyond it get `busy`."""
    peers_queue_max: int = 5_000
    """Of these, those that peers sent; beyond it the network's queues fill."""
    reoffer_interval_s: float = 1.0
    reoffer_max: int = 1_000
    """Transactions that are offered again at a time."""
    pull_timeout_s: float = 5.0
    verified_max: int = 65_536
    """Signatures that are remembered."""


@dataclass(slots=True, eq=False)
class _Submission:
    payload: bytes
    parsed: Sequence[Parsed]
    peer: PeerId | None
    """None: submitted here."""
    is_forwarded: bool
    """Whether other sequencers have to be told."""
    reasons: list[Rejection | None] = field(default_factory=list)
    finished: trio.Event = field(default_factory=trio.Event)


class MempoolService:
    """Owns no rule. `run` must be running for `submit` to return."""

    def __init__(
        self,
        pool: TransactionPool,
        parser: TransactionParser,
        workers: SignatureWorkers,
        network: Network,
        limits: ServiceLimits | None = None,
    ) -> None:
        self.pool = pool
        self.limits = limits or ServiceLimits()
        self.counters: Counter[str] = Counter()
        """`accepted`, `rejected:<reason>`, `forwarded`, `received`, `bad_batches`, `reoffered`."""
        self._parser = parser
        self._workers = workers
        self._network = network
        self._verified = VerifiedSignatures(self.limits.verified_max)
        self._queue: deque[_Submission] = deque()
        self._queued = 0
        self._queued_of_peers = 0
        self._arrived = trio.Event()
        self._is_full_batch = trio.Event()
        self._peers_room = trio.lowlevel.ParkingLot()
        self._admitted = trio.lowlevel.ParkingLot()

    @property
    def queued(self) -> int:
        """Transactions that wait for admission."""
        return self._queued

    async def submit(self, payload: bytes) -> list[Outcome]:
        """Admit concatenated transactions and tell the other sequencers; one outcome for each.

        Raises RemoteError with a SubmissionReason when the bytes are refused as a whole.
        """
        try:
            parsed = self._parser.parse_batch(payload)
        except ValueError as error:
            raise RemoteError(SubmissionReason.MALFORMED, str(error)) from error
        if len(parsed) > self.limits.submission_max:
            raise RemoteError(SubmissionReason.TOO_MANY, f"{len(parsed)} transactions")
        if self._queued + len(parsed) > self.limits.queue_max:
            self.counters[f"rejected:{Rejection.BUSY}"] += len(parsed)
            await trio.lowlevel.checkpoint()
            return [Outcome(Hash32(one[2]), Rejection.BUSY) for one in parsed]
        submission = _Submission(payload, parsed, None, is_forwarded=True)
        self._enqueue(submission)
        await submission.finished.wait()
        return [
            Outcome(Hash32(one[2]), reason)
            for one, reason in zip(parsed, submission.reasons, strict=True)
        ]

    async def wait_admitted(self) -> None:
        """Return when the next transaction has been admitted (or came back from a lost block)."""
        await self._admitted.park()

    async def check_block(self, transactions: bytes, count: int) -> Sequence[Parsed]:
        """Parse a proposed block's transactions and check the signatures that are new here.

        Raises RemoteError with a SubmissionReason: then the block is invalid for every node.
        """
        try:
            parsed = self._parser.parse_batch(transactions)
        except ValueError as error:
            raise RemoteError(SubmissionReason.MALFORMED, str(error)) from error
        if len(parsed) != count:
            raise RemoteError(SubmissionReason.COUNT, f"{count} said, {len(parsed)} there")
        unknown = self._verified.unknown(transactions, parsed)
        verdicts = await self._workers.verify(triples_of(transactions, unknown), Urgency.BLOCK)
        if 0 in verdicts:
            txid = unknown[verdicts.index(0)][2]
            raise RemoteError(SubmissionReason.SIGNATURE, f"transaction {txid.hex()}")
        self._verified.add(transactions, unknown)
        return parsed

    def remember_verified(self, transactions: bytes, parsed: Sequence[Parsed]) -> None:
        """These signatures hold (of a final block that was fetched, of an own wallet): no check."""
        self._verified.add(transactions, parsed)

    def abandon(self, block: bytes) -> None:
        """The pool's `abandon`, and wakes who waits for transactions."""
        self.pool.abandon(block)
        self._admitted.unpark_all()

    async def run(self) -> None:
        """Until cancelled."""
        self._network.serve(RequestProtocol.TRANSACTIONS, self._answer_pull)
        self._network.check_gossip(Topic.TRANSACTIONS, looks_like_batch)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._admit_forever)
            nursery.start_soon(self._receive_forever, self._network.inbox(Channel.TRANSACTIONS))
            nursery.start_soon(
                self._receive_forever, self._network.subscription(Topic.TRANSACTIONS)
            )
            nursery.start_soon(self._repair_forever)

    def _enqueue(self, submission: _Submission) -> None:
        self._queue.append(submission)
        self._queued += len(submission.parsed)
        if submission.peer is not None:
            self._queued_of_peers += len(submission.parsed)
        self._arrived.set()
        if self._queued >= self.limits.batch_max:
            self._is_full_batch.set()

    async def _admit_forever(self) -> None:
        while True:
            await self._arrived.wait()
            with trio.move_on_after(self.limits.window_s):
                await self._is_full_batch.wait()
            await self._admit_batch(self._take_batch())

    def _take_batch(self) -> list[_Submission]:
        """Whole submissions, until `batch_max` transactions are reached or none is left."""
        taken: list[_Submission] = []
        count = 0
        while self._queue and count < self.limits.batch_max:
            submission = self._queue.popleft()
            count += len(submission.parsed)
            taken.append(submission)
            self._queued -= len(submission.parsed)
            if submission.peer is not None:
                self._queued_of_peers -= len(submission.parsed)
        self._peers_room.unpark_all()
        if not self._queue:
            self._arrived = trio.Event()
        if self._queued < self.limits.batch_max:
            self._is_full_batch = trio.Event()
        return taken

    async def _admit_batch(self, submissions: list[_Submission]) -> None:
        """Rules, signatures, rules again (the state may have moved meanwhile), and the answers."""
        unknown: list[list[Parsed]] = []
        for submission in submissions:
            payload = submission.payload
            submission.reasons = self.pool.judge_batch(payload, submission.parsed)
            passed = [
                one
                for one, reason in zip(submission.parsed, submission.reasons, strict=True)
                if reason is None
            ]
            unknown.append(self._verified.unknown(payload, passed))
        verdicts = await self._workers.verify(
            b"".join(
                triples_of(submission.payload, ones)
                for submission, ones in zip(submissions, unknown, strict=True)
            )
        )
        start = 0
        for submission, ones in zip(submissions, unknown, strict=True):
            end = start + len(ones)
            self._finish(submission, ones, verdicts[start:end])
            start = end
        await self._forward(submissions)
        self._admitted.unpark_all()

    def _finish(self, submission: _Submission, checked: list[Parsed], verdicts: bytes) -> None:
        """Admit what holds, note what does not, and release the submitter."""
        payload = submission.payload
        forged: set[int] = set()
        if 0 in verdicts:
            forged = {id(one) for one, holds in zip(checked, verdicts, strict=True) if not holds}
            checked = [one for one in checked if id(one) not in forged]
            if submission.peer is not None:
                self._network.penalize(submission.peer, PenaltyReason.INVALID_MESSAGE)
        self._verified.add(payload, checked)
        reasons = submission.reasons
        for index, one in enumerate(submission.parsed if forged else ()):
            if id(one) in forged:
                reasons[index] = Rejection.SIGNATURE
        waiting = [index for index, reason in enumerate(reasons) if reason is None]
        admitted = self.pool.admit_batch(
            payload,
            [submission.parsed[index] for index in waiting],
            is_local=submission.is_forwarded,
        )
        for index, reason in zip(waiting, admitted, strict=True):
            reasons[index] = reason
        self._count(submission.reasons)
        submission.finished.set()

    def _count(self, reasons: list[Rejection | None]) -> None:
        accepted = reasons.count(None)
        self.counters["accepted"] += accepted
        if accepted < len(reasons):
            for reason in reasons:
                if reason is not None:
                    self.counters[f"rejected:{reason}"] += 1

    async def _forward(self, submissions: list[_Submission]) -> None:
        accepted = [
            submission.payload[one[0] : one[0] + one[1]]
            for submission in submissions
            if submission.is_forwarded
            for one, reason in zip(submission.parsed, submission.reasons, strict=True)
            if reason is None
        ]
        self.counters["forwarded"] += len(accepted)
        await self._offer(accepted)

    async def _offer(self, transactions: list[bytes]) -> None:
        """Send to every sequencer, or gossip where none is connected: other peers may know one."""
        for batch in encode_batches(transactions):
            if not self._network.broadcast(Channel.TRANSACTIONS, batch):
                await self._network.publish(Topic.TRANSACTIONS, batch)

    async def _receive_forever(self, inbox: Inbox) -> None:
        is_gossip = inbox is self._network.subscription(Topic.TRANSACTIONS)
        async for received in inbox:
            # The maker of gossip answers for its content; who forwarded it checks the format only.
            peer = received.origin if is_gossip else received.peer
            is_forwarded = not is_gossip and not self._is_member(peer)
            await self._take_in(peer, received.payload, is_forwarded=is_forwarded)

    async def _take_in(self, peer: PeerId, batch: bytes, *, is_forwarded: bool) -> None:
        """Queue a peer's batch for admission, waiting for room; penalise one that is no batch."""
        try:
            transactions, parsed = decode_batch(batch, self._parser)
        except CodecError:
            self.counters["bad_batches"] += 1
            self._network.penalize(peer, PenaltyReason.MALFORMED_FRAME)
            return
        self.counters["received"] += len(parsed)
        while self._queued_of_peers + len(parsed) > self.limits.peers_queue_max:
            await self._peers_room.park()
        self._enqueue(_Submission(transactions, parsed, peer, is_forwarded))

    def _is_member(self, peer: PeerId) -> bool:
        return any(status.is_member for status in self._network.peers() if status.peer == peer)

    async def _repair_forever(self) -> None:
        """Offer again what may have been lost; ask newly connected sequencers what waits there."""
        arrivals = self.pool.arrivals
        pulled: set[PeerId] = set()
        async with trio.open_nursery() as nursery:
            while True:
                connected = {
                    status.peer
                    for status in self._network.peers()
                    if status.connected and status.is_member
                }
                pulled &= connected
                for peer in connected - pulled:
                    pulled.add(peer)
                    nursery.start_soon(self._pull, peer)
                await trio.sleep(self.limits.reoffer_interval_s)
                waiting = self.pool.waiting_local(arrivals, self.limits.reoffer_max)
                arrivals = self.pool.arrivals
                self.counters["reoffered"] += len(waiting)
                await self._offer(waiting)

    async def _pull(self, peer: PeerId) -> None:
        try:
            batch = await self._network.request(
                peer, RequestProtocol.TRANSACTIONS, PULL_REQUEST, self.limits.pull_timeout_s
            )
        except RemoteError:
            return
        if batch:
            await self._take_in(peer, batch, is_forwarded=False)

    async def _answer_pull(self, peer: PeerId, request: bytes) -> bytes:
        """One batch of what would go into the next blocks; empty when nothing waits."""
        await trio.lowlevel.checkpoint()
        if request != PULL_REQUEST:
            raise RemoteError(SubmissionReason.MALFORMED, f"not a pull: {request[:8].hex()}")
        room = SelectionLimits(TRANSACTIONS_COUNT_MAX, BATCH_BYTES_MAX - HEAD_BYTES, PULL_CYCLES)
        selection = self.pool.select(room)
        if not selection.count:
            return b""
        encoded = [self.pool.encoded(txid) for txid in selection.txids]
        return next(encode_batches([one for one in encoded if one is not None]))
