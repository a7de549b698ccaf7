"""GossipSub whose every byte from outside is bounded, checked and unable to end the node.

Stock 0.8.1 lets one garbage frame, one malformed key or one raising validator end the whole node,
starts a task per message, keeps unbounded caches and dials addresses that a PRUNE names. Here the
whole path of a received frame is our own: read in large pieces, parse, limit, check, deliver,
forward, in one task per peer, which is also the backpressure. The mesh itself (GRAFT, PRUNE, IHAVE,
IWANT, heartbeat) is stock, fed only with control messages that were cut down to our topics and
limits.

Gossip is signed by its origin with the libp2p scheme (specs/pubsub, "Message Signing"); only
secp256k1 identities with inlined keys count, as everywhere in this network.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import coincurve
import trio
from google.protobuf.message import DecodeError
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub

from p2p_seq.network.counters import Counters, Event
from p2p_seq.network.identity import base58_encode, xonly_of
from p2p_seq.network.limits import NetworkLimits, TokenBucket
from p2p_seq.network.streams import READ_SIZE, PlainStream, reset_quietly
from p2p_seq.network.types import GossipCheck, NetworkReason, PeerId, PenaltyReason, Received, Topic
from p2p_seq.protocol.errors import LocalError, RemoteError

logger = logging.getLogger(__name__)

MESHSUB: Final = TProtocol("/meshsub/1.1.0")
SIGNING_PREFIX: Final = b"libp2p-pubsub:"
"""libp2p specs/pubsub, "Message Signing"."""

_SEEN_MAX: Final = 65_536
_SEEN_S: Final = 120.0
_SUBSCRIPTIONS_MAX: Final = 32
_MESSAGES_MAX: Final = 256
_CONTROL_MAX: Final = 32
_IHAVE_IDS_MAX: Final = 1_000
_IWANT_IDS_MAX: Final = 32
_MESSAGE_ID_MAX: Final = 64
_BACKOFF_MAX_S: Final = 60
_VARINT_MAX: Final = 4
"""Bytes of a frame's length: 2^28 is far over any frame limit."""


class SeenCache:
    """Message ids of the last two minutes, bounded; the stock one is neither and has a thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expires: OrderedDict[bytes, float] = OrderedDict()

    def has(self, key: bytes) -> bool:
        return self._expires.get(key, 0.0) > self._clock()

    def add(self, key: bytes) -> bool:
        now = self._clock()
        is_new = not self.has(key)
        self._expires[key] = now + _SEEN_S
        self._expires.move_to_end(key)
        while self._expires:
            oldest = next(iter(self._expires))
            if len(self._expires) <= _SEEN_MAX and self._expires[oldest] > now:
                break
            del self._expires[oldest]
        return is_new


class VarintFrames:
    """Sans-IO reader of `varint length | frame`. Raises RemoteError on a length over the limit."""

    def __init__(self, frame_max: int) -> None:
        self._frame_max = frame_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer += data
        frames = []
        position = 0
        while (header := self._header(position)) is not None:
            length, size = header
            end = position + size + length
            if end > len(self._buffer):
                break
            frames.append(bytes(self._buffer[position + size : end]))
            position = end
        del self._buffer[:position]
        return frames

    def _header(self, position: int) -> tuple[int, int] | None:
        length = 0
        for index in range(_VARINT_MAX):
            if position + index >= len(self._buffer):
                return None
            byte = self._buffer[position + index]
            length |= (byte & 0x7F) << (7 * index)
            if not byte & 0x80:
                if length > self._frame_max:
                    raise RemoteError(NetworkReason.TOO_LARGE, f"a frame of {length} bytes")
                return length, index + 1
        raise RemoteError(NetworkReason.TOO_LARGE, "a frame length of more than 28 bits")


class SafeGossipSub(GossipSub):  # type: ignore[misc]
    """The mesh. Overridden where stock code keeps or does what a peer dictates."""

    def __init__(self, limits: NetworkLimits, topics: frozenset[str]) -> None:
        # Dhi is above any committee: a pruned peer gets neither mesh nor IHAVE for a minute.
        super().__init__(
            protocols=[MESHSUB],
            degree=6,
            degree_low=4,
            degree_high=16,
            heartbeat_interval=limits.heartbeat_s,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
        )
        self._topics = topics

    async def publish(self, msg_forwarder: Any, pubsub_msg: Any) -> None:
        """Forward to the mesh; without the stock copies for peers that never subscribed."""
        pubsub = self.pubsub
        assert pubsub is not None
        self.mcache.put(pubsub_msg)
        targets = self._get_peers_to_send(
            pubsub_msg.topicIDs, msg_forwarder=msg_forwarder, origin=ID(pubsub_msg.from_id)
        )
        rpc = rpc_pb2.RPC(publish=[pubsub_msg])
        for peer_id in targets:
            self.send_rpc(peer_id, rpc)

    async def flush_pending_messages(self, peer_id: Any) -> None:
        return None

    async def send_recent_messages(self, peer_id: Any, topic: str) -> None:
        """Nothing: replays on each new subscription let a peer draw unbounded bytes."""

    async def handle_rpc(self, rpc: Any, sender_peer_id: Any) -> None:
        self._cut_down(rpc.control)
        await super().handle_rpc(rpc, sender_peer_id)

    def _cut_down(self, control: Any) -> None:
        """Keep what names our topics and is within limits."""
        for field in ("graft", "prune", "ihave"):
            entries = [entry for entry in getattr(control, field) if entry.topicID in self._topics]
            del getattr(control, field)[:]
            getattr(control, field).extend(entries[:_CONTROL_MAX])
        for prune in control.prune:
            # Peer exchange would make us dial whatever the sender says.
            del prune.peers[:]
            prune.backoff = min(prune.backoff, _BACKOFF_MAX_S)
        for ihave in control.ihave:
            _keep_ids(ihave, _IHAVE_IDS_MAX)
        del control.iwant[_CONTROL_MAX:]
        for iwant in control.iwant:
            _keep_ids(iwant, _IWANT_IDS_MAX)
        control.ClearField("idontwant")

    async def _emit_control_msgs(
        self, peers_to_graft: Any, peers_to_prune: Any, peers_to_gossip: Any
    ) -> None:
        """One control message per peer; stock code lets GRAFTs of one peer leak to the next."""
        for peer_id in set(peers_to_graft) | set(peers_to_prune) | set(peers_to_gossip):
            grafts = peers_to_graft.get(peer_id, [])
            prunes = peers_to_prune.get(peer_id, [])
            gossip = peers_to_gossip.get(peer_id, {})
            control = self.pack_control_msgs(
                [
                    rpc_pb2.ControlIHave(messageIDs=ids, topicID=name)
                    for name, ids in gossip.items()
                ],
                [rpc_pb2.ControlGraft(topicID=name) for name in grafts],
                [rpc_pb2.ControlPrune(topicID=name) for name in prunes],
            )
            await self.emit_control_message(control, peer_id)

    async def heartbeat(self) -> None:
        """The stock beat without its adaptive parts; one failed beat does not end the mesh."""
        await trio.sleep(self.heartbeat_initial_delay)
        while True:
            try:
                grafts, prunes = self.mesh_heartbeat()
                self.fanout_heartbeat()
                await self._emit_control_msgs(grafts, prunes, self.gossip_heartbeat())
                self.mcache.shift()
            except LocalError:
                raise
            except Exception:
                logger.exception("gossip heartbeat failed")
            await trio.sleep(self.heartbeat_interval)


def _keep_ids(entry: Any, count: int) -> None:
    ids = [key for key in entry.messageIDs[:count] if len(key) <= _MESSAGE_ID_MAX]
    del entry.messageIDs[:]
    entry.messageIDs.extend(ids)


class GossipPort:
    """What gossip needs of the node around it."""

    def __init__(
        self,
        topics: Mapping[str, Topic],
        deliver: Callable[[Topic, Received], bool],
        penalize: Callable[[PeerId, PenaltyReason], None],
        is_banned: Callable[[PeerId], bool],
    ) -> None:
        self.topics = topics
        self.deliver = deliver
        self.penalize = penalize
        self.is_banned = is_banned
        self.checks: dict[Topic, GossipCheck] = {}


class SafePubsub(Pubsub):  # type: ignore[misc]
    """Reads, checks, delivers and forwards gossip."""

    def __init__(
        self,
        host: Any,
        router: SafeGossipSub,
        limits: NetworkLimits,
        counters: Counters,
        port: GossipPort,
    ) -> None:
        super().__init__(host, router, strict_signing=True, allowed_topics=frozenset(port.topics))
        stock_cache: Any = self.seen_messages
        stock_cache.stop()
        self.seen_messages: Any = SeenCache(trio.current_time)
        # A restarted publisher must not reuse the ids of its former life.
        self.counter = time.time_ns()
        self._limits = limits
        self._counters = counters
        self._port = port
        self._message_budgets: dict[Any, tuple[TokenBucket, TokenBucket]] = {}
        self._reading: dict[Any, trio.CancelScope] = {}

    async def run(self) -> None:
        self.manager.run_daemon_task(self._announce_again)
        await super().run()

    def get_hello_packet(self) -> Any:
        packet = rpc_pb2.RPC()
        for topic in self.topic_ids:
            packet.subscriptions.add(subscribe=True, topicid=topic)
        return packet

    async def send_signed(self, topic: str, payload: bytes) -> None:
        """Sign and send to the mesh. The caller bounds size and pace."""
        message = rpc_pb2.Message(
            data=payload, topicIDs=[topic], from_id=self.my_id.to_bytes(), seqno=self._next_seqno()
        )
        assert self.sign_key is not None
        message.signature = self.sign_key.sign(SIGNING_PREFIX + message.SerializeToString())
        self._mark_msg_seen(message)
        await self.router.publish(self.my_id, message)

    def longest_queue(self) -> int:
        return max((len(queue) for queue in self.peer_queues.values()), default=0)

    async def stream_handler(self, libp2p_stream: Any) -> None:
        peer_id = libp2p_stream.muxed_conn.peer_id
        stream = PlainStream(libp2p_stream)
        peer = PeerId(str(peer_id))
        # One gossip stream per peer: a newer one replaces the older.
        former = self._reading.pop(peer_id, None)
        if former is not None:
            former.cancel()
        scope = self._reading[peer_id] = trio.CancelScope()
        try:
            with scope:
                await self._read_frames(stream, peer_id, peer)
        except RemoteError as error:
            if error.reason is NetworkReason.CLOSED:
                return
            self._counters.add(Event.FRAME_REFUSED)
            is_size = error.reason is NetworkReason.TOO_LARGE
            fault = PenaltyReason.OVERSIZED if is_size else PenaltyReason.MALFORMED_FRAME
            self._port.penalize(peer, fault)
        finally:
            if self._reading.get(peer_id) is scope:
                del self._reading[peer_id]
            await reset_quietly(stream)

    async def _read_frames(self, stream: PlainStream, peer_id: Any, peer: PeerId) -> None:
        frames = VarintFrames(self._limits.gossip_frame_max)
        while True:
            data = await stream.read(READ_SIZE)
            if not data:
                return
            for frame in frames.feed(data):
                await self._handle_frame(frame, peer_id, peer)

    async def _handle_frame(self, frame: bytes, peer_id: Any, peer: PeerId) -> None:
        rpc = rpc_pb2.RPC()
        try:
            rpc.ParseFromString(frame)
        except (DecodeError, UnicodeDecodeError) as error:
            raise RemoteError(NetworkReason.MALFORMED, "not a gossip frame") from error
        if len(rpc.subscriptions) > _SUBSCRIPTIONS_MAX or len(rpc.publish) > _MESSAGES_MAX:
            raise RemoteError(NetworkReason.TOO_LARGE, "a frame of too many entries")
        for subscription in rpc.subscriptions:
            self.handle_subscription(peer_id, subscription)
        for message in rpc.publish:
            if self._is_within_rate(peer_id, len(message.data)):
                await self._accept(message, peer_id, peer)
            else:
                self._counters.add(Event.GOSSIP_OVER_RATE)
                self._port.penalize(peer, PenaltyReason.FLOOD)
        if rpc.HasField("control") and self._is_within_rate(peer_id, 0):
            rpc.ClearField("senderRecord")
            await self.router.handle_rpc(rpc, peer_id)

    def _is_within_rate(self, peer_id: Any, size: int) -> bool:
        now = trio.current_time()
        if peer_id not in self._message_budgets:
            limits = self._limits
            self._message_budgets[peer_id] = (
                TokenBucket(limits.gossip_messages, now),
                TokenBucket(limits.gossip_bytes, now),
            )
        messages, volume = self._message_budgets[peer_id]
        return messages.try_take(1, now) and volume.try_take(size, now)

    async def _accept(self, message: Any, peer_id: Any, peer: PeerId) -> None:
        """Check one message in order of cost, then deliver and forward it."""
        topic = self._port.topics.get(message.topicIDs[0]) if len(message.topicIDs) == 1 else None
        if topic is None:
            return
        if len(message.data) > self._limits.gossip_payload_max:
            raise RemoteError(NetworkReason.TOO_LARGE, f"gossip of {len(message.data)} bytes")
        if len(message.seqno) != 8 or self._is_msg_seen(message):
            return
        origin = PeerId(base58_encode(bytes(message.from_id[:64])))
        if message.from_id == self.my_id.to_bytes() or self._port.is_banned(origin):
            return
        if not is_signed(message, origin):
            self._refuse(peer, PenaltyReason.INVALID_MESSAGE)
            return
        if not self._passes(topic, bytes(message.data)):
            self._mark_msg_seen(message)
            self._refuse(peer, PenaltyReason.INVALID_GOSSIP)
            return
        self._mark_msg_seen(message)
        # Not covered by the signature and not needed: a forwarder must not choose what we pass on.
        message.ClearField("key")
        self._counters.add(Event.GOSSIP_RECEIVED)
        if not self._port.deliver(topic, Received(peer, bytes(message.data), origin)):
            self._counters.add(Event.GOSSIP_INBOX_FULL)
        await self.router.publish(peer_id, message)

    def _refuse(self, peer: PeerId, reason: PenaltyReason) -> None:
        self._counters.add(Event.GOSSIP_REFUSED)
        self._port.penalize(peer, reason)

    def _passes(self, topic: Topic, payload: bytes) -> bool:
        check = self._port.checks.get(topic)
        if check is None:
            return True
        try:
            return check(payload)
        except RemoteError:
            return False
        except LocalError:
            raise
        except Exception:
            # A fault of the check, found by hostile bytes: refuse the bytes, keep the node.
            logger.exception("the gossip check of %s raised", topic)
            self._counters.add(Event.HANDLER_FAILED)
            return False

    def _handle_dead_peer(self, peer_id: Any) -> None:
        stream = self.peers.get(peer_id)
        if stream is not None and self.manager.is_running:
            # Stock code leaves the old outgoing stream open; a peer could make us open 256 of them.
            self.manager.run_task(reset_quietly, PlainStream(stream))
        self._message_budgets = {
            key: budget for key, budget in self._message_budgets.items() if key in self.peers
        }
        super()._handle_dead_peer(peer_id)

    async def _announce_again(self) -> None:
        """Heals what a race of two connections can leave: a peer that is deaf or unregistered."""
        while True:
            await trio.sleep(self._limits.announce_s)
            hello = self.get_hello_packet()
            for peer_id in list(self.host.get_network().connections):
                queue = self.peer_queues.get(peer_id)
                if queue is not None:
                    queue.push(hello, priority=True)
                elif not self._port.is_banned(PeerId(str(peer_id))):
                    self._schedule_peer_stream_retry(peer_id)


def is_signed(message: Any, origin: PeerId) -> bool:
    """Whether the message's signature is that of the key inside its origin's peer id."""
    try:
        key = coincurve.PublicKey(b"\x02" + xonly_of(origin))
        unsigned = rpc_pb2.Message(
            data=message.data,
            topicIDs=message.topicIDs,
            from_id=message.from_id,
            seqno=message.seqno,
        )
        signed = SIGNING_PREFIX + unsigned.SerializeToString()
        return bool(key.verify(message.signature, signed))
    except Exception:  # noqa: BLE001 - several types are raised for what is no signature
        return False
