"""The mempool's shell on the simulated network, with real signatures."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

from p2p_seq.mempool.native import NativeMempool
from p2p_seq.mempool.service import MempoolService, ServiceLimits, SubmissionReason
from p2p_seq.mempool.types import Account, Rejection, SelectionLimits, TransactionPool
from p2p_seq.mempool.verified import VerifiedSignatures, signature_of, triples_of
from p2p_seq.mempool.wire import (
    BATCH_BYTES_MAX,
    decode_batch,
    encode_batches,
    looks_like_batch,
)
from p2p_seq.network.identity import peer_id_of
from p2p_seq.network.sim import Conditions, SimulatedNetwork, SimulatedWorld, open_simulated_world
from p2p_seq.network.types import Channel, PeerId, Topic
from p2p_seq.node.signature_worker import check_triples
from p2p_seq.node.workers import SignatureWorkers, Urgency, WorkerLimits
from p2p_seq.protocol.errors import CodecError, RemoteError
from p2p_seq.protocol.types import BlockHeight
from p2p_seq.signer.schnorr import public_key
from tests.unit.mempool.support import (
    PRICES,
    DictLedger,
    key,
    parse,
    signed_key,
    signed_transfer,
)

EVERYTHING = SelectionLimits(10_000, 10**9, 10**12)


def peer_named(name: str) -> PeerId:
    return peer_id_of(b"\x02" + public_key(hashlib.sha256(name.encode()).digest()))


class TwinParser:
    """The parser's contract on the pure codec."""

    def parse_batch(
        self, transactions: bytes, /
    ) -> list[tuple[int, int, bytes, bytes, int, int, int, int]]:
        try:
            return list(parse(transactions))
        except CodecError as error:
            raise ValueError(str(error)) from error


class CountingWorkers(SignatureWorkers):
    """Workers that note the size of each batch they are asked to check."""

    def __init__(self) -> None:
        super().__init__(WorkerLimits(workers=0))
        self.batches: list[tuple[Urgency, int]] = []

    async def verify(self, triples: bytes, urgency: Urgency = Urgency.ADMISSION) -> bytes:
        self.batches.append((urgency, len(triples) // 128))
        return await super().verify(triples, urgency)


@dataclass
class Node:
    service: MempoolService
    network: SimulatedNetwork
    workers: CountingWorkers
    ledger: DictLedger

    @property
    def pool(self) -> TransactionPool:
        return self.service.pool

    def waiting(self) -> bytes:
        return self.pool.select(EVERYTHING).transactions


def new_node(world: SimulatedWorld, name: str, limits: ServiceLimits | None = None) -> Node:
    ledger = DictLedger({signed_key(number): Account(10**9, 0) for number in range(6)})
    ledger.accounts[key(999)] = Account(1_000, 0)
    network, workers = world.join(peer_named(name)), CountingWorkers()
    service = MempoolService(NativeMempool(ledger, PRICES), TwinParser(), workers, network, limits)
    return Node(service, network, workers, ledger)


@asynccontextmanager
async def running(
    *names: str, conditions: Conditions | None = None, limits: ServiceLimits | None = None
) -> AsyncIterator[tuple[SimulatedWorld, list[Node], trio.Nursery]]:
    """Nodes of which those with a capital letter are sequencers, linked and running."""
    members = {peer_named(name): () for name in names if name[0].isupper()}
    async with (
        open_simulated_world(7, conditions) as world,
        trio.open_nursery() as nursery,
    ):
        nodes = [new_node(world, name, limits) for name in names]
        for node in nodes:
            await node.network.set_members(members)
            nursery.start_soon(node.service.run)
        yield world, nodes, nursery
        nursery.cancel_scope.cancel()


async def test_a_submission_reaches_every_sequencer(autojump_clock: trio.abc.Clock) -> None:
    payload = signed_transfer(1, 0) + signed_transfer(1, 1)
    async with running("A", "B", "C") as (_, nodes, _):
        outcomes = await nodes[0].service.submit(payload)
        assert [one.rejection for one in outcomes] == [None, None]
        assert [one.txid for one in outcomes] == [one[2] for one in parse(payload)]
        await trio.sleep(0.1)
        assert [node.waiting() for node in nodes] == [payload] * 3
        assert [node.service.counters["forwarded"] for node in nodes] == [2, 0, 0]
        assert [sum(count for _, count in node.workers.batches) for node in nodes] == [2, 2, 2]


async def test_each_item_has_its_own_reason_and_only_good_ones_are_forwarded(
    autojump_clock: trio.abc.Clock,
) -> None:
    forged = bytearray(signed_transfer(2, 0))
    forged[-1] ^= 1
    payload = b"".join(
        [
            signed_transfer(1, 0),
            bytes(forged),
            signed_transfer(3, 0, fee=99),
            signed_transfer(7, 0),
            signed_transfer(1, 0),
        ]
    )
    async with running("A", "B") as (_, (first, second), _):
        outcomes = await first.service.submit(payload)
        assert [one.rejection for one in outcomes] == [
            None,
            Rejection.SIGNATURE,
            Rejection.FEE,
            Rejection.ACCOUNT,
            Rejection.DUPLICATE,
        ]
        await trio.sleep(0.1)
        assert second.waiting() == signed_transfer(1, 0)
        assert first.network.peers()[0].score == 0
        # What the rules refuse costs no check: both copies of the first and the forged one.
        assert first.workers.batches == [(Urgency.ADMISSION, 3)]
        assert first.service.counters["rejected:bad-signature"] == 1


async def test_submissions_at_one_time_make_one_batch(autojump_clock: trio.abc.Clock) -> None:
    async with running("A", "B") as (_, (first, second), _):
        rejections: list[Rejection | None] = []

        async def submit(nonce: int) -> None:
            (outcome,) = await first.service.submit(signed_transfer(1, nonce))
            rejections.append(outcome.rejection)

        async with trio.open_nursery() as nursery:
            for nonce in range(40):
                nursery.start_soon(submit, nonce)
        assert rejections == [None] * 40
        assert first.workers.batches == [(Urgency.ADMISSION, 40)]
        await trio.sleep(0.1)
        assert len(second.pool) == 40


async def test_malformed_bytes_are_refused_as_a_whole() -> None:
    async with running("A") as (_, (node,), _):
        for payload in (b"\x00", signed_transfer(1, 0)[:-1], signed_transfer(1, 0) + b"\x01"):
            with pytest.raises(RemoteError) as caught:
                await node.service.submit(payload)
            assert caught.value.reason is SubmissionReason.MALFORMED
        assert len(node.pool) == 0


async def test_limits_of_one_submission_and_of_the_queue() -> None:
    limits = ServiceLimits(submission_max=2, queue_max=3, window_s=0.01)
    batch = [signed_transfer(1, nonce) for nonce in range(4)]
    async with running("A", limits=limits) as (_, (node,), nursery):
        with pytest.raises(RemoteError, match=r"^too-many-transactions: 3 transactions$"):
            await node.service.submit(b"".join(batch[:3]))
        nursery.start_soon(node.service.submit, b"".join(batch[:2]))
        while node.service.queued < 2:
            await trio.lowlevel.checkpoint()
        busy = await node.service.submit(b"".join(batch[2:]))
        assert [one.rejection for one in busy] == [Rejection.BUSY] * 2
        (outcome,) = await node.service.submit(batch[2])
        assert outcome.rejection is None


async def test_a_peer_is_penalised_for_garbage_and_for_forged_signatures(
    autojump_clock: trio.abc.Clock,
) -> None:
    forged = bytearray(signed_transfer(2, 0))
    forged[-40] ^= 4
    (forged_batch,) = encode_batches([bytes(forged), signed_transfer(1, 0)])
    (late_batch,) = encode_batches([signed_transfer(5, 90_000)])
    async with running("A", "B") as (_, (first, second), _):

        def score() -> float:
            return first.network.peers()[0].score

        second.network.send(peer_named("A"), Channel.TRANSACTIONS, late_batch)
        await trio.sleep(0.1)
        assert score() == 0, "a nonce that does not fit may only be early"
        second.network.send(peer_named("A"), Channel.TRANSACTIONS, b"\x01\x00\x00\x00\x01garbage")
        await trio.sleep(0.1)
        after_garbage = score()
        assert after_garbage != 0
        second.network.send(peer_named("A"), Channel.TRANSACTIONS, forged_batch)
        await trio.sleep(0.1)
        assert abs(score()) > abs(after_garbage)
        assert first.service.counters["bad_batches"] == 1
        assert first.waiting() == signed_transfer(1, 0)


async def test_what_a_full_node_sends_to_one_sequencer_reaches_the_others(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with running("A", "B", "full") as (_, (first, second, full), _):
        await full.network.set_members({peer_named("A"): ()})
        (outcome,) = await full.service.submit(signed_transfer(1, 0))
        assert outcome.rejection is None
        await trio.sleep(0.2)
        assert first.waiting() == second.waiting() == signed_transfer(1, 0)
        assert first.service.counters["forwarded"] == 1
        assert second.service.counters["forwarded"] == 0


async def test_what_was_lost_is_offered_again_until_a_block_holds_it(
    autojump_clock: trio.abc.Clock,
) -> None:
    conditions = Conditions(loss=1.0)
    async with running("A", "B", conditions=conditions) as (_, (first, second), _):
        await trio.sleep(20)
        payload = signed_transfer(1, 0)
        await first.service.submit(payload)
        await trio.sleep(5)
        assert len(second.pool) == 0
        conditions.loss = 0.0
        await trio.sleep(3)
        assert second.waiting() == payload
        first.pool.include(b"block", BlockHeight(1), payload, parse(payload))
        await trio.sleep(1.5)
        offered = first.service.counters["reoffered"]
        await trio.sleep(5)
        assert first.service.counters["reoffered"] == offered


async def test_a_node_that_joins_late_asks_what_waits(autojump_clock: trio.abc.Clock) -> None:
    payload = signed_transfer(1, 0) + signed_transfer(2, 0)
    async with running("A", "B") as (world, (first, second), nursery):
        await first.service.submit(payload)
        await trio.sleep(0.2)
        parsed = parse(payload)
        first.pool.include(b"block", BlockHeight(1), payload, parsed)
        late = new_node(world, "C")
        members = {peer_named(name): () for name in "ABC"}
        for node in (first, second, late):
            await node.network.set_members(members)
        nursery.start_soon(late.service.run)
        await trio.sleep(2)
        assert late.waiting() == payload


async def test_gossip_is_taken_in_and_not_forwarded_again(autojump_clock: trio.abc.Clock) -> None:
    (batch,) = encode_batches([signed_transfer(1, 0)])
    async with running("A", "B", "full") as (world, (first, second, _), _):
        other = world.join(peer_named("other"))
        await trio.sleep(0.1)
        assert await other.publish(Topic.TRANSACTIONS, batch)
        await trio.sleep(0.3)
        assert first.waiting() == second.waiting() == signed_transfer(1, 0)
        assert first.service.counters["forwarded"] == 0


async def test_a_block_repeats_no_check_but_a_known_id_with_another_signature_is_checked() -> None:
    payload = signed_transfer(1, 0) + signed_transfer(2, 0)
    async with running("A") as (_, (node,), _):
        await node.service.submit(payload)
        node.workers.batches.clear()
        block = payload + signed_transfer(3, 0)
        assert await node.service.check_block(block, 3) == parse(block)
        assert node.workers.batches == [(Urgency.BLOCK, 1)]
        assert await node.service.check_block(block, 3) == parse(block)
        assert node.workers.batches[1:] == [(Urgency.BLOCK, 0)]
        forged = bytearray(block)
        forged[2 * 154 - 1] ^= 1
        with pytest.raises(RemoteError) as caught:
            await node.service.check_block(bytes(forged), 3)
        txid = parse(block)[1][2].hex()
        assert str(caught.value) == f"bad-signature: transaction {txid}"


async def test_a_block_with_a_wrong_count_or_bytes_is_refused() -> None:
    async with running("A") as (_, (node,), _):
        with pytest.raises(RemoteError, match=r"^wrong-count: 2 said, 1 there$"):
            await node.service.check_block(signed_transfer(1, 0), 2)
        with pytest.raises(RemoteError) as caught:
            await node.service.check_block(b"\x02", 1)
        assert caught.value.reason is SubmissionReason.MALFORMED
        assert await node.service.check_block(b"", 0) == []


async def test_who_waits_for_transactions_is_woken(autojump_clock: trio.abc.Clock) -> None:
    payload = signed_transfer(1, 0)
    async with running("A") as (_, (node,), nursery):
        woken = trio.Event()

        async def wait() -> None:
            await node.service.wait_admitted()
            woken.set()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        node.pool.include(b"lost", BlockHeight(1), payload, parse(payload))
        node.service.abandon(b"lost")
        with trio.fail_after(1):
            await woken.wait()
        assert node.waiting() == payload


def test_remembered_signatures_are_bounded_and_forget_the_oldest() -> None:
    payload = b"".join(signed_transfer(1, nonce) for nonce in range(4))
    parsed = parse(payload)
    verified = VerifiedSignatures(3)
    verified.add(payload, parsed)
    assert len(verified) == 3
    assert verified.unknown(payload, parsed) == [parsed[0]]
    assert check_triples(triples_of(payload, parsed)) == bytes([1] * 4)
    assert signature_of(payload, parsed[3]) == payload[-64:]
    with pytest.raises(ValueError, match=r"^at least one signature is remembered$"):
        VerifiedSignatures(0)


def test_batches_are_cut_at_their_limit_and_read_back() -> None:
    encoded = [signed_transfer(1, 0)] * 1_000
    batches = list(encode_batches(encoded))
    assert [len(batch) for batch in batches] == [5 + 851 * 154, 5 + 149 * 154]
    assert max(map(len, batches)) <= BATCH_BYTES_MAX
    decoded = [decode_batch(batch, TwinParser())[0] for batch in batches]
    assert b"".join(decoded) == b"".join(encoded)
    assert all(looks_like_batch(batch) for batch in batches)
    assert list(encode_batches([])) == []


@pytest.mark.parametrize(
    ("batch", "message", "is_plausible"),
    [
        (bytes(BATCH_BYTES_MAX + 1), "length-out-of-bounds: a batch of 131073 bytes", False),
        (b"\x01\x00\x00\x00", "truncated: a batch of 4 bytes", False),
        (b"\x02\x00\x00\x00\x00", "value-out-of-bounds: batch version 2", False),
        (b"\x01\x00\x00\x00\x00", "value-out-of-bounds: a batch of 0 that says 0", False),
        (
            b"\x01\x00\x00\x00\x02" + signed_transfer(1, 0),
            "value-out-of-bounds: a batch of 1 that says 2",
            False,
        ),
        (
            b"\x01\x00\x00\x00\x01" + bytes(154),
            "value-out-of-bounds: value-out-of-bounds: 0 is not in [1, 1]",
            True,
        ),
    ],
)  # fmt: skip
def test_what_is_no_batch_is_refused(batch: bytes, message: str, is_plausible: bool) -> None:
    with pytest.raises(CodecError) as caught:
        decode_batch(batch, TwinParser())
    assert str(caught.value) == message
    assert looks_like_batch(batch) is is_plausible
