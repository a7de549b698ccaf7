"""What a hostile peer can do over real sockets, and what is left of it (docs/network.md).

Each attack is checked twice: it has the consequence that it should have for the attacker, and the
victim still serves an honest peer. Against the stock library the ones marked "fatal" end the node.
"""

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import coincurve
import pytest
import trio
from libp2p.io.exceptions import IOException
from libp2p.network.stream.exceptions import StreamError
from libp2p.pubsub.pb import rpc_pb2
from multiaddr import Multiaddr

from p2p_seq.network.framing import frame_header
from p2p_seq.network.gossip import MESHSUB, SIGNING_PREFIX, SeenCache, VarintFrames
from p2p_seq.network.identity import base58_decode
from p2p_seq.network.libp2p_network import Libp2pNetwork
from p2p_seq.network.limits import NetworkLimits, Rate
from p2p_seq.network.types import Channel, Network, PeerId, RequestProtocol, Topic
from p2p_seq.protocol.errors import OperatorError, RemoteError
from tests.unit.network.worlds import (
    PATIENCE_S,
    connections,
    is_connected,
    join_all,
    name_of,
    open_attacker,
    open_node,
    secret_of,
    take,
    until,
)

URGENT = "/p2pseq/test/direct/urgent/1"
BULK = "/p2pseq/test/direct/bulk/1"
TOPIC = "/p2pseq/test/blocks/1"


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def framed(rpc: Any) -> bytes:
    raw = rpc if isinstance(rpc, bytes) else rpc.SerializeToString()
    return varint(len(raw)) + raw


def signed(number: int, data: bytes, seqno: int = 1, topic: str = TOPIC) -> Any:
    message = rpc_pb2.Message(
        data=data,
        topicIDs=[topic],
        from_id=base58_decode(name_of(number)),
        seqno=seqno.to_bytes(8, "big"),
    )
    public_key = coincurve.PublicKey.from_secret(secret_of(number)).format()
    assert public_key[0] == 2, "choose a number whose key is even"
    payload = SIGNING_PREFIX + message.SerializeToString()
    message.signature = coincurve.PrivateKey(secret_of(number)).sign(payload)
    return message


@asynccontextmanager
async def victim_and_friend(
    limits: NetworkLimits | None = None,
) -> AsyncIterator[tuple[Libp2pNetwork, Libp2pNetwork]]:
    async with open_node(1, limits) as victim, open_node(2) as friend:
        await join_all([victim, friend])
        yield victim, friend
        await assert_serves(victim, friend)


async def assert_serves(victim: Network, friend: Network) -> None:
    """Both directions, direct and gossip: the node lives."""
    await until(lambda: friend.send(victim.local_peer, Channel.STAKING, b"are you there"))
    await take(victim.inbox(Channel.STAKING), 1)
    await until(lambda: victim.send(friend.local_peer, Channel.STAKING, b"yes"))
    await take(friend.inbox(Channel.STAKING), 1)
    with trio.fail_after(PATIENCE_S):
        while not len(friend.subscription(Topic.CERTIFICATES)):
            await victim.publish(Topic.CERTIFICATES, b"gossip")
            await trio.sleep(0.05)


def gossip_attacks() -> dict[str, bytes]:
    """Name -> bytes on a fresh gossip stream. All must leave the node alive."""
    good = signed(3, b"x")
    bad_key = signed(3, b"y")
    bad_key.key = b"\x08\x02\x12\x05garbage"
    forged_self = signed(3, b"z")
    forged_self.from_id = base58_decode(name_of(1))
    no_origin = signed(3, b"z")
    no_origin.from_id = b""
    odd_origin = signed(3, b"z")
    odd_origin.from_id = b"\x12\x20" + bytes(32)
    control = rpc_pb2.RPC()
    control.control.graft.add(topicID="unknown")
    control.control.graft.add(topicID=TOPIC)
    prune = control.control.prune.add(topicID=TOPIC, backoff=2**63)
    prune.peers.add(peerID=b"nobody", signedPeerRecord=b"garbage")
    control.control.ihave.add(topicID=TOPIC, messageIDs=[b"\xff" * 5_000] * 3 + [b"zz"])
    control.control.iwant.add(messageIDs=[b"nope"] * 3_000)
    control.senderRecord = b"garbage"
    many = rpc_pb2.RPC()
    for number in range(12_000):
        many.subscriptions.add(subscribe=True, topicid=str(number))
    return {
        "garbage protobuf (fatal)": framed(b"\xff\xff\xff\xff\x01garbage"),
        "malformed key (fatal)": framed(rpc_pb2.RPC(publish=[bad_key])),
        "empty frame": framed(b""),
        "random": framed(bytes(range(256)) * 20),
        "oversized length": varint(1 << 27),
        "endless varint": b"\xff" * 30,
        "truncated": framed(rpc_pb2.RPC(publish=[good]))[:-5],
        "forged self": framed(rpc_pb2.RPC(publish=[forged_self])),
        "no origin": framed(rpc_pb2.RPC(publish=[no_origin])),
        "foreign kind of origin": framed(rpc_pb2.RPC(publish=[odd_origin])),
        "hostile control": framed(control),
        "12,000 subscriptions": framed(many),
        "bad utf-8 topic": framed(b"\x0a\x06\x08\x01\x12\x02\xff\xfe"),
        "two topics": framed(rpc_pb2.RPC(publish=[_two_topics()])),
    }


def _two_topics() -> Any:
    message = signed(3, b"x")
    message.topicIDs.append(TOPIC)
    return message


async def test_no_gossip_frame_ends_the_node() -> None:
    async with victim_and_friend() as (victim, _friend):
        attacks = gossip_attacks()
        async with trio.open_nursery() as nursery:
            for number, wire in enumerate(attacks.values()):
                nursery.start_soon(_attack_once, victim, 50 + number, str(MESHSUB), wire)
        # Only the one that is validly signed, whatever its unsigned key field says.
        delivered = await take(victim.subscription(Topic.BLOCKS), 1)
        assert [item.payload for item in delivered] == [b"y"]
        assert len(victim.subscription(Topic.BLOCKS)) == 0
        assert victim.counters()["handler-failed"] == 0
        assert victim.counters()["frame-refused"] >= 5


async def _attack_once(victim: Network, number: int, protocol: str, wire: bytes) -> None:
    async with open_attacker(number, victim) as attacker:
        await attacker.write(protocol, wire)
        await trio.sleep(0.2)


DIRECT_ATTACKS: dict[str, tuple[bytes, bool]] = {
    # bytes, and whether three of them ban
    "zero length": (bytes(4), True),
    "oversized": (struct.pack(">I", 1 << 31), True),
    "unknown channel": (struct.pack(">IB", 2, 99) + b"x", True),
    "bulk channel on the urgent stream": (frame_header(Channel.BLOCKS, 1) + b"x", True),
    "garbage": (b"GET / HTTP/1.1\r\n\r\n", True),
    "nothing": (b"", False),
}


@pytest.mark.parametrize("name", DIRECT_ATTACKS)
async def test_broken_direct_frames_are_cut_off_and_the_third_bans(name: str) -> None:
    wire, is_fault = DIRECT_ATTACKS[name]
    async with open_node(1) as victim, open_attacker(3, victim) as attacker:
        for _ in range(3):
            if attacker.is_connected:
                await attacker.write(URGENT, wire)
                await trio.sleep(0.05)
        if is_fault:
            await until(lambda: not is_connected(victim, attacker.node.local_peer))
            assert victim.counters()["frame-refused"] == 3
            assert victim.counters()["ban"] == 1
            await until(lambda: not attacker.is_connected)
            refused = victim.counters()["connection-refused"]
            # The ban is known after the handshake: the dial may succeed for a moment.
            with suppress(RemoteError):
                await attacker.node.connect(victim.listen_addresses()[0])
            await until(lambda: victim.counters()["connection-refused"] > refused)
            await until(lambda: not attacker.is_connected)
            assert not is_connected(victim, attacker.node.local_peer)
        else:
            assert is_connected(victim, attacker.node.local_peer)
            assert victim.counters()["ban"] == 0


async def test_a_frame_cut_in_the_middle_is_counted_and_frames_before_it_arrive() -> None:
    async with victim_and_friend() as (victim, _), open_attacker(3, victim) as attacker:
        stream = await attacker.write(
            URGENT, frame_header(Channel.STAKING, 4) + b"good", frame_header(Channel.STAKING, 9)
        )
        assert (await take(victim.inbox(Channel.STAKING), 1))[0].payload == b"good"
        await stream.close()
        await until(lambda: victim.counters()["frame-refused"] == 1)
        assert victim.counters()["penalty"] == 0


async def test_request_attacks() -> None:
    async with victim_and_friend(NetworkLimits(request_read_s=0.3)) as (victim, friend):
        calls = []

        async def answer(_peer: PeerId, payload: bytes) -> bytes:
            calls.append(payload)
            if payload == b"bug":
                raise ZeroDivisionError
            return b"ok"

        victim.serve(RequestProtocol.STATUS, answer)
        protocol = "/p2pseq/test/request/status/1"
        async with open_attacker(3, victim) as attacker:
            await attacker.write(protocol, struct.pack(">I", 1_025))
            await until(lambda: victim.counters()["frame-refused"] == 1)
            await attacker.write(protocol, struct.pack(">I", 100) + b"and then silence")
            await until(lambda: victim.counters()["frame-refused"] == 2)
            assert calls == []
        with pytest.raises(RemoteError, match=r"^connection-lost"):
            await friend.request(victim.local_peer, RequestProtocol.STATUS, b"bug", 5)
        assert victim.counters()["handler-failed"] == 1
        answered = await friend.request(victim.local_peer, RequestProtocol.STATUS, b"fine", 5)
        assert answered == b"ok"


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (struct.pack(">BI", 0, 65_537), "too-large"),
        (struct.pack(">BI", 1, 257), "too-large"),
        (struct.pack(">BI", 9, 1) + b"x", "malformed"),
        (struct.pack(">BI", 0, 5) + b"abc", "connection-lost"),
        (struct.pack(">BI", 1, 4) + b"\xff\n\x00!", "peer-refused: \ufffd??!"),
    ],
)
async def test_hostile_answers_are_remote_errors(wire: bytes, reason: str) -> None:
    async with open_node(1) as victim, open_attacker(3, victim) as attacker:

        async def hostile(stream: Any) -> None:
            await stream.write(wire)
            await stream.close()

        attacker.node._host.set_stream_handler("/p2pseq/test/request/status/1", hostile)
        with pytest.raises(RemoteError) as caught:
            await victim.request(attacker.node.local_peer, RequestProtocol.STATUS, b"", 5)
        assert str(caught.value).startswith(reason)


async def test_a_flood_of_streams_is_bounded_and_bans() -> None:
    async with victim_and_friend() as (victim, _), open_attacker(3, victim) as attacker:
        muxed = attacker.muxed
        with suppress(IOException):
            for number in range(1_001, 3_001, 2):
                await muxed._write_frame(struct.pack("!BBHII", 0, 1, 1, number, 0))
        state = victim._peers.get(attacker.node.local_peer)
        assert state is not None
        assert state.open_streams <= 64
        await until(lambda: victim.counters()["stream-refused"] > 50)
        await until(lambda: not is_connected(victim, attacker.node.local_peer))
        await until(lambda: state.open_streams == 0)


async def test_a_peer_that_ignores_flow_control_is_cut_off() -> None:
    limits = NetworkLimits(unread_bytes=3 << 20, guest_bytes=Rate(1_000, 1_000))
    async with victim_and_friend(limits) as (victim, _), open_attacker(3, victim) as attacker:
        stream = await attacker.open(BULK)
        inner = stream.muxed_stream
        frame = frame_header(Channel.BLOCKS, 60_000) + bytes(60_000)
        with suppress(StreamError):
            for _ in range(1_000):
                inner.send_window = 1 << 20
                await stream.write(frame)
        await until(lambda: victim.counters()["unread-overflow"] == 1)
        await until(lambda: not is_connected(victim, attacker.node.local_peer))


async def test_a_guest_over_its_rate_is_slowed_and_a_member_is_not() -> None:
    limits = NetworkLimits(guest_messages=Rate(100, 10))
    async with open_node(1, limits) as victim, open_node(2) as member, open_node(3) as guest:
        members = {node.local_peer: node.listen_addresses() for node in (victim, member)}
        for node in (victim, member, guest):
            await node.set_members(members)
        await until(lambda: connections(victim) == 2)
        await until(lambda: all(is_connected(node, victim.local_peer) for node in (member, guest)))
        for node in (member, guest):
            for _ in range(60):
                assert node.send(victim.local_peer, Channel.TRANSACTIONS, b"x" * 70_000)
        got = await take(victim.inbox(Channel.TRANSACTIONS), 120)
        last = max(index for index, item in enumerate(got) if item.peer == member.local_peer)
        assert got[-1].peer == guest.local_peer
        assert last < 119
        assert victim.counters()["direct-slowed"] > 0


async def test_gossip_floods_are_dropped_before_their_signature_is_checked() -> None:
    limits = NetworkLimits(gossip_messages=Rate(10, 50))
    async with victim_and_friend(limits) as (victim, _), open_attacker(3, victim) as attacker:
        wire = b"".join(
            framed(rpc_pb2.RPC(publish=[signed(3, b"x", seqno)])) for seqno in range(1, 301)
        )
        await attacker.write(str(MESHSUB), wire)
        await until(lambda: victim.counters()["gossip-over-rate"] >= 200)
        assert 40 <= victim.counters()["gossip-received"] <= 100


async def test_forged_gossip_penalises_the_forwarder_and_is_not_delivered() -> None:
    async with victim_and_friend() as (victim, _), open_attacker(3, victim) as attacker:
        forged = signed(3, b"true")
        forged.data = b"false"
        await attacker.write(str(MESHSUB), framed(rpc_pb2.RPC(publish=[forged])))
        await until(lambda: victim.counters()["gossip-refused"] == 1)
        assert len(victim.subscription(Topic.BLOCKS)) == 0
        await attacker.write(str(MESHSUB), framed(rpc_pb2.RPC(publish=[signed(3, b"true")])))
        got = await take(victim.subscription(Topic.BLOCKS), 1)
        assert got[0].payload == b"true"
        # The same signed message again is not delivered again.
        await attacker.write(str(MESHSUB), framed(rpc_pb2.RPC(publish=[signed(3, b"true")])))
        await trio.sleep(0.1)
        assert len(victim.subscription(Topic.BLOCKS)) == 0


async def test_a_raising_gossip_check_refuses_the_message_only() -> None:
    async with victim_and_friend() as (victim, _), open_attacker(3, victim) as attacker:

        def check(payload: bytes) -> bool:
            return payload[100] == 0

        victim.check_gossip(Topic.BLOCKS, check)
        await attacker.write(str(MESHSUB), framed(rpc_pb2.RPC(publish=[signed(3, b"short")])))
        await until(lambda: victim.counters()["gossip-refused"] == 1)
        assert victim.counters()["handler-failed"] == 1


async def test_muxer_garbage_ends_only_its_connection() -> None:
    async with victim_and_friend() as (victim, _), open_attacker(3, victim) as attacker:
        header = struct.Struct("!BBHII")
        await attacker.muxed._write_frame(header.pack(9, 77, 0xFFFF, 5, 5))
        await attacker.muxed._write_frame(header.pack(0, 0, 0, 99, 1 << 31))
        await until(lambda: not is_connected(victim, attacker.node.local_peer))


async def test_raw_sockets_with_garbage_and_silence() -> None:
    limits = NetworkLimits(handshake_s=1.0)
    async with victim_and_friend(limits) as (victim, _):
        port = int(Multiaddr(victim.listen_addresses()[0]).value_for_protocol("tcp"))
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(_raw_socket, port, b"\x13" * number * 50)
        assert victim.counters()["connection-refused"] > 0


async def _raw_socket(port: int, wire: bytes) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    with trio.move_on_after(PATIENCE_S) as scope:
        try:
            await stream.send_all(wire)
            while await stream.receive_some(1_000):
                pass
        except trio.BrokenResourceError:
            pass
    await stream.aclose()
    assert not scope.cancelled_caught, "the victim must close within its handshake time"


async def test_slots_of_ended_connections_are_given_back() -> None:
    """The stock swarm accepts `max_connections` connections in its whole life, then none."""
    limits = NetworkLimits(connections=4, connections_reserved=2)
    async with open_node(1, limits) as victim:
        for number in range(8):
            async with open_attacker(10 + number, victim):
                pass
            await until(lambda: connections(victim) == 0)
        assert victim.counters()["connected"] == 8


async def test_guests_cannot_take_the_slots_of_members() -> None:
    limits = NetworkLimits(connections=4, connections_reserved=2)
    async with open_node(1, limits) as victim, open_node(2) as member:
        await victim.set_members({member.local_peer: ()})
        async with (
            open_attacker(10, victim),
            open_attacker(11, victim),
            open_node(12) as refused,
        ):
            await refused.connect(victim.listen_addresses()[0])
            await until(lambda: connections(refused) == 0)
            await member.connect(victim.listen_addresses()[0])
            await until(lambda: is_connected(victim, member.local_peer))


async def test_a_busy_port_is_an_operator_error() -> None:
    async with open_node(1) as first:
        address = first.listen_addresses()[0].split("/p2p/")[0]
        with pytest.raises(OperatorError) as caught:
            async with open_node(2, listen=(address,)):
                raise AssertionError
        assert str(caught.value) == (
            f"cannot listen on {address}: another process listens there "
            "(stop the other process or choose another port)"
        )


async def test_an_exception_of_the_body_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_node(1):
            raise ZeroDivisionError


async def test_dialling_the_wrong_key_fails() -> None:
    async with open_node(1) as victim, open_node(2) as caller:
        transport_address = victim.listen_addresses()[0].split("/p2p/")[0]
        with pytest.raises(RemoteError, match=r"^unreachable: "):
            await caller.connect(f"{transport_address}/p2p/{name_of(5)}")
        assert connections(caller) == 0


async def test_bootstrap_peers_are_dialled_and_gossip_flows_to_a_full_node() -> None:
    async with (
        open_node(1) as sequencer,
        open_node(2, bootstrap=sequencer.listen_addresses()) as full,
    ):
        await until(lambda: connections(sequencer) == 1)
        with trio.fail_after(PATIENCE_S):
            while not len(full.subscription(Topic.BLOCKS)):
                await sequencer.publish(Topic.BLOCKS, b"header")
                await trio.sleep(0.05)


class TestVarintFrames:
    @pytest.mark.parametrize("step", [1, 2, 7, 1_000])
    def test_any_cut_gives_the_same_frames(self, step: int) -> None:
        sent = [b"", b"a", bytes(127), bytes(128), bytes(20_000)]
        wire = b"".join(varint(len(frame)) + frame for frame in sent)
        reader = VarintFrames(20_000)
        got = [
            frame
            for start in range(0, len(wire), step)
            for frame in reader.feed(wire[start : start + step])
        ]
        assert got == sent

    @pytest.mark.parametrize("wire", [varint(20_001), b"\xff\xff\xff\xff", b"\xff" * 9])
    def test_lengths_over_the_limit_are_refused(self, wire: bytes) -> None:
        with pytest.raises(RemoteError, match=r"^too-large"):
            VarintFrames(20_000).feed(wire)


def test_the_seen_cache_forgets_by_time_and_by_count() -> None:
    now = [0.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    cache = SeenCache(clock)
    assert cache.add(b"a")
    assert not cache.add(b"a")
    now[0] = 121.0
    assert not cache.has(b"a")
    for number in range(70_000):
        cache.add(number.to_bytes(4, "big"))
    assert len(cache._expires) == 65_536
    assert cache.has((69_999).to_bytes(4, "big"))
