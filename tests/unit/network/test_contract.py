"""What `types.Network` promises, held against both backends."""

from functools import partial

import pytest
import trio

from p2p_seq.network.limits import REQUEST_LIMITS, NetworkLimits
from p2p_seq.network.types import (
    Channel,
    NetworkReason,
    PeerId,
    PenaltyReason,
    RequestProtocol,
    Topic,
)
from p2p_seq.protocol.errors import LocalError, RemoteError
from tests.unit.network.worlds import (
    PATIENCE_S,
    connections,
    is_connected,
    join_all,
    name_of,
    open_nodes,
    take,
    until,
)

BACKENDS = ["simulated", "libp2p"]
pytestmark = pytest.mark.parametrize("backend", BACKENDS)


async def test_direct_payloads_keep_the_order_of_their_channel(backend: str) -> None:
    async with open_nodes(backend, 2) as nodes:
        await join_all(nodes)
        one, other = nodes
        sizes = [0, 1, 10, 70_000, 5, 200_000, 3] * 20
        for number, size in enumerate(sizes):
            payload = number.to_bytes(2, "big") + bytes(size)
            for channel in (Channel.BLOCKS, Channel.CONSENSUS):
                await until(partial(one.send, other.local_peer, channel, payload))
        for channel in (Channel.BLOCKS, Channel.CONSENSUS):
            got = await take(other.inbox(channel), len(sizes))
            assert [int.from_bytes(item.payload[:2], "big") for item in got] == list(range(140))
            assert [len(item.payload) - 2 for item in got] == sizes
            assert {(item.peer, item.origin) for item in got} == {(one.local_peer, one.local_peer)}


async def test_broadcast_reaches_every_member_and_nobody_else(backend: str) -> None:
    async with open_nodes(backend, 4) as nodes:
        await join_all(nodes)
        inner = {node.local_peer: node.listen_addresses() for node in nodes[:3]}
        await nodes[0].set_members(inner)
        assert nodes[0].broadcast(Channel.CONSENSUS, b"vote") == 2
        for node in nodes[1:3]:
            assert (await take(node.inbox(Channel.CONSENSUS), 1))[0].payload == b"vote"
        assert nodes[0].send(nodes[3].local_peer, Channel.STAKING, b"after")
        await take(nodes[3].inbox(Channel.STAKING), 1)
        assert len(nodes[3].inbox(Channel.CONSENSUS)) == 0


async def test_votes_overtake_bodies(backend: str) -> None:
    async with open_nodes(backend, 2) as nodes:
        await join_all(nodes)
        one, other = nodes
        body = bytes(1_000_000)
        for _ in range(8):
            assert one.send(other.local_peer, Channel.BLOCKS, body)
        assert one.send(other.local_peer, Channel.CONSENSUS, b"vote")
        await take(other.inbox(Channel.CONSENSUS), 1)
        assert len(other.inbox(Channel.BLOCKS)) < 8
        await take(other.inbox(Channel.BLOCKS), 8)


async def test_a_full_queue_refuses_and_counts(backend: str) -> None:
    limits = NetworkLimits(peer_queue_messages=10)
    async with open_nodes(backend, 2, limits) as nodes:
        await join_all(nodes)
        one, other = nodes
        # No checkpoint in between: nothing can leave the queue.
        accepted = [one.send(other.local_peer, Channel.BLOCKS, b"x") for _ in range(15)]
        assert accepted == [True] * 10 + [False] * 5
        assert one.counters()["direct-dropped"] == 5
        status = next(s for s in one.peers() if s.peer == other.local_peer)
        assert (status.dropped_messages, status.queued_messages) == (5, 10)
        await take(other.inbox(Channel.BLOCKS), 10)
        await until(lambda: one.peers()[0].queued_messages == 0)
        assert one.send(other.local_peer, Channel.BLOCKS, b"room again")


async def test_a_full_inbox_drops_and_counts(backend: str) -> None:
    limits = NetworkLimits(inbox_messages=20)
    async with open_nodes(backend, 2, limits) as nodes:
        await join_all(nodes)
        one, other = nodes
        for number in range(30):
            assert one.send(other.local_peer, Channel.BLOCKS, bytes([number]))
            assert one.send(other.local_peer, Channel.CONSENSUS, bytes([number]))
        await until(lambda: other.counters()["direct-received"] == 60)
        bodies = await take(other.inbox(Channel.BLOCKS), 10)
        votes = await take(other.inbox(Channel.CONSENSUS), 10)
        # One peer may hold half; of bodies the oldest stay, of votes the newest.
        assert [item.payload[0] for item in bodies] == list(range(10))
        assert [item.payload[0] for item in votes] == list(range(20, 30))
        assert other.inbox(Channel.BLOCKS).dropped == 20
        assert other.counters()["direct-inbox-full"] == 40


async def test_payloads_over_the_limit_are_the_callers_error(backend: str) -> None:
    async with open_nodes(backend, 2) as nodes:
        await join_all(nodes)
        one, other = nodes
        limits = NetworkLimits()
        biggest = bytes(limits.direct_payload_max)
        assert one.send(other.local_peer, Channel.BLOCKS, biggest)
        assert len((await take(other.inbox(Channel.BLOCKS), 1))[0].payload) == len(biggest)
        with pytest.raises(ValueError, match=r"^a direct payload of 2097153 bytes$"):
            one.send(other.local_peer, Channel.BLOCKS, biggest + b"1")
        with pytest.raises(ValueError, match=r"^a gossip payload of 524289 bytes$"):
            await one.publish(Topic.BLOCKS, bytes(limits.gossip_payload_max + 1))
        with pytest.raises(ValueError, match=r"^a status request of 1025 bytes$"):
            await one.request(other.local_peer, RequestProtocol.STATUS, bytes(1_025), 1)


async def test_sending_to_a_stranger_is_refused(backend: str) -> None:
    async with open_nodes(backend, 1) as nodes:
        assert not nodes[0].send(name_of(77), Channel.BLOCKS, b"x")
        assert nodes[0].counters()["direct-dropped"] == 1
        with pytest.raises(RemoteError, match=r"^not-connected: ") as caught:
            await nodes[0].request(name_of(77), RequestProtocol.STATUS, b"", 1)
        assert caught.value.reason is NetworkReason.NOT_CONNECTED


async def test_requests_answer_up_to_their_limits(backend: str) -> None:
    async with open_nodes(backend, 2) as nodes:
        await join_all(nodes)
        one, other = nodes

        async def repeat(peer: PeerId, payload: bytes) -> bytes:
            assert peer == one.local_peer
            return payload * 128

        other.serve(RequestProtocol.BODIES, repeat)
        request_max, response_max = REQUEST_LIMITS[RequestProtocol.BODIES]
        for size in (0, 1, 1_000, request_max):
            answer = await one.request(
                other.local_peer, RequestProtocol.BODIES, bytes(size), PATIENCE_S
            )
            assert len(answer) == size * 128
        assert request_max * 128 == response_max
        with pytest.raises(LocalError, match=r"^bodies is served already$"):
            other.serve(RequestProtocol.BODIES, repeat)


async def test_a_refusal_a_missing_handler_and_silence_are_remote_errors(backend: str) -> None:
    async with open_nodes(backend, 2) as nodes:
        await join_all(nodes)
        one, other = nodes

        async def refuse(_peer: PeerId, payload: bytes) -> bytes:
            raise RemoteError(NetworkReason.ADDRESS, f"no block {payload[0]}\n")

        async def sleep(_peer: PeerId, _payload: bytes) -> bytes:
            await trio.sleep_forever()
            raise AssertionError

        other.serve(RequestProtocol.BLOCKS, refuse)
        other.serve(RequestProtocol.STATE, sleep)
        expected = {
            RequestProtocol.BLOCKS: (NetworkReason.REFUSED, "bad-address: no block 7"),
            RequestProtocol.EPOCHS: (NetworkReason.REFUSED, "not served"),
            RequestProtocol.STATE: (NetworkReason.TIMEOUT, "state after 0.3 s"),
        }
        for protocol, (reason, words) in expected.items():
            with pytest.raises(RemoteError) as caught:
                await one.request(other.local_peer, protocol, b"\7", 0.3)
            assert caught.value.reason is reason
            assert caught.value.detail.startswith(words)
        # A timeout tears nothing: the same connection still works.
        assert one.send(other.local_peer, Channel.BLOCKS, b"alive")
        await take(other.inbox(Channel.BLOCKS), 1)
        assert one.counters()["request-failed"] == 3


async def test_requests_of_one_peer_are_bounded(backend: str) -> None:
    async with open_nodes(backend, 2, NetworkLimits(requests_per_peer=3)) as nodes:
        await join_all(nodes)
        one, other = nodes
        release = trio.Event()
        outcomes = []

        async def wait(_peer: PeerId, _payload: bytes) -> bytes:
            await release.wait()
            return b"done"

        async def ask() -> None:
            try:
                outcomes.append(
                    await one.request(other.local_peer, RequestProtocol.STATE, b"", PATIENCE_S)
                )
            except RemoteError as error:
                outcomes.append(error.reason)
                if len(outcomes) == 2:
                    release.set()

        other.serve(RequestProtocol.STATE, wait)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        assert outcomes == [NetworkReason.BUSY] * 2 + [b"done"] * 3


async def test_gossip_reaches_five_nodes_once_each_with_its_origin(backend: str) -> None:
    async with open_nodes(backend, 5) as nodes:
        await join_all(nodes)
        if backend == "libp2p":
            await until(lambda: all(_mesh_size(node) >= 4 for node in nodes))
        payloads = {bytes([number]) + bytes(500) for number in range(20)}
        for payload in sorted(payloads):
            assert await nodes[0].publish(Topic.BLOCKS, payload)
        for node in nodes[1:]:
            got = await take(node.subscription(Topic.BLOCKS), 20)
            assert {item.payload for item in got} == payloads
            assert {item.origin for item in got} == {nodes[0].local_peer}
        await trio.sleep(0.1)
        assert all(len(node.subscription(Topic.BLOCKS)) == 0 for node in nodes)


def _mesh_size(node: object) -> int:
    router = node._router  # type: ignore[attr-defined]
    return min(len(router.mesh.get(f"/p2pseq/test/{topic}/1", ())) for topic in Topic)


async def test_gossip_that_a_check_refuses_is_not_delivered(backend: str) -> None:
    async with open_nodes(backend, 2) as nodes:
        await join_all(nodes)
        one, other = nodes
        if backend == "libp2p":
            await until(lambda: all(_mesh_size(node) >= 1 for node in nodes))
        other.check_gossip(Topic.BLOCKS, lambda payload: payload.startswith(b"good"))
        for payload in (b"bad 1", b"good 1", b"bad 2", b"good 2"):
            await one.publish(Topic.BLOCKS, payload)
        got = await take(other.subscription(Topic.BLOCKS), 2)
        assert {item.payload for item in got} == {b"good 1", b"good 2"}
        await until(lambda: other.counters()["gossip-refused"] == 2)
        score = next(s.score for s in other.peers() if s.peer == one.local_peer)
        assert 9 < score <= 10


async def test_a_banned_peer_is_cut_off_until_its_term_ends(backend: str) -> None:
    limits = NetworkLimits(backoff_first_s=0.05, backoff_last_s=0.1)
    async with open_nodes(backend, 2, limits) as nodes:
        await join_all(nodes)
        one, other = nodes
        one.penalize(other.local_peer, PenaltyReason.INVALID_GOSSIP)
        assert connections(one) == 1
        one.ban(other.local_peer, 0.8)
        await until(lambda: not is_connected(one, other.local_peer))
        status = next(s for s in one.peers() if s.peer == other.local_peer)
        assert 0 < status.banned_for_s <= 0.8
        assert not one.send(other.local_peer, Channel.BLOCKS, b"x")
        with pytest.raises(RemoteError):
            await one.connect(other.listen_addresses()[0])
        # Both are members of each other: they come back by themselves.
        await until(lambda: is_connected(one, other.local_peer))
        await until(lambda: other.send(one.local_peer, Channel.BLOCKS, b"back"))
        assert (await take(one.inbox(Channel.BLOCKS), 1))[0].payload == b"back"


async def test_a_disconnected_member_comes_back(backend: str) -> None:
    async with open_nodes(backend, 2) as nodes:
        await join_all(nodes)
        one, other = nodes
        await one.disconnect(other.local_peer)
        await until(lambda: not is_connected(one, other.local_peer))
        await until(lambda: is_connected(one, other.local_peer))
        await until(lambda: one.send(other.local_peer, Channel.BLOCKS, b"again"))
        await take(other.inbox(Channel.BLOCKS), 1)


async def test_inboxes_are_the_same_object_each_time(backend: str) -> None:
    async with open_nodes(backend, 1) as nodes:
        assert nodes[0].inbox(Channel.BLOCKS) is nodes[0].inbox(Channel.BLOCKS)
        assert nodes[0].subscription(Topic.BLOCKS) is nodes[0].subscription(Topic.BLOCKS)


async def test_bad_addresses_and_ids_are_refused(backend: str) -> None:
    async with open_nodes(backend, 1) as nodes:
        for address in ("", "nonsense", "/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/udp/1/p2p/x"):
            with pytest.raises(RemoteError) as caught:
                await nodes[0].connect(address)
            assert caught.value.reason is NetworkReason.ADDRESS
        with pytest.raises(ValueError):
            await nodes[0].set_members({PeerId("nobody"): ()})
