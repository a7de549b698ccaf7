"""The real network: our interface over a hardened py-libp2p host (TCP, Noise, Yamux; nothing else).

One host per node, in the node's trio loop. Tasks of this module: one dialler per member, one writer
pair per linked peer, one reader per incoming stream. What a peer can make us spend is bounded in
`limits.py`, what it does wrong is weighed in `reputation.py`, and the faults of the library are
mended in `hardening.py` and `gossip.py`.
"""

import logging
import os
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from p2p_seq.network.addresses import (
    check_port_is_free,
    listen_error,
    multiaddress_of,
    split_address,
    transport_address_of,
)
from p2p_seq.network.counters import Counters, Event
from p2p_seq.network.direct import IncomingLane, Lane, OutgoingLink
from p2p_seq.network.gossip import GossipPort, SafeGossipSub, SafePubsub
from p2p_seq.network.hardening import SafeYamux, is_loopback
from p2p_seq.network.identity import xonly_of
from p2p_seq.network.libp2p_host import make_host
from p2p_seq.network.limits import REQUEST_LIMITS, NetworkLimits
from p2p_seq.network.mailbox import Mailbox, WhenFull
from p2p_seq.network.peer_state import PeerState, PeerTable
from p2p_seq.network.reputation import Reputation
from p2p_seq.network.requests import RequestServer, Status, ask
from p2p_seq.network.streams import PlainStream, reset_quietly, shielded_for
from p2p_seq.network.types import (
    Channel,
    GossipCheck,
    Handler,
    Inbox,
    NetworkReason,
    PeerId,
    PeerStatus,
    PenaltyReason,
    RequestProtocol,
    Topic,
)
from p2p_seq.protocol.errors import LocalError, OperatorError, RemoteError
from p2p_seq.protocol.tags import NETWORK_NAME

logger = logging.getLogger(__name__)

_BACKOFF_RESET_S: Final = 5.0
"""A connection that lived so long was good: the next dial is soon again."""
_FAULTS: Final = {
    NetworkReason.TOO_LARGE: PenaltyReason.OVERSIZED,
    NetworkReason.MALFORMED: PenaltyReason.MALFORMED_FRAME,
    NetworkReason.TIMEOUT: PenaltyReason.STALLED,
}


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """How a node takes part."""

    network: str
    """Name that separates networks: it is part of every protocol id and topic."""
    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    """TCP multiaddresses; port 0 lets the system choose."""
    bootstrap: tuple[str, ...] = ()
    """Addresses with peer ids that a node without members dials and keeps."""
    limits: NetworkLimits = field(default_factory=NetworkLimits)


class Libp2pNetwork:
    """Implements `types.Network`. Made by `open_libp2p_network`."""

    def __init__(self, config: NetworkConfig, secret: bytes) -> None:
        if not NETWORK_NAME.match(config.network):
            raise ValueError(f"not a network name: {config.network!r}")
        self._config = config
        self._limits = limits = config.limits
        self._counters = counters = Counters()
        self._reputation = Reputation()
        self._peers = PeerTable(limits)
        self._requests = RequestServer(limits)
        self._nursery: trio.Nursery | None = None
        self._diallers: dict[PeerId, trio.CancelScope] = {}
        self._random = random.Random(secret)
        newest = {Channel.CONSENSUS}
        self._inboxes = {
            channel: Mailbox(
                limits.inbox_messages,
                limits.inbox_bytes,
                WhenFull.KEEP_NEWEST if channel in newest else WhenFull.KEEP_OLDEST,
            )
            for channel in Channel
        }
        self._subscriptions = {
            topic: Mailbox(limits.inbox_messages, limits.inbox_bytes, WhenFull.KEEP_OLDEST)
            for topic in Topic
        }
        self._swarm, self._host = make_host(limits, counters, secret)
        self._host.admit_stream = self._admit_stream
        self._host.stream_closed = self._on_stream_closed
        self._local_peer = PeerId(str(self._host.get_id()))
        self._port = GossipPort(
            {self._topic_name(topic): topic for topic in Topic},
            lambda topic, received: self._subscriptions[topic].put(received),
            self.penalize,
            self._is_banned,
        )
        self._router = SafeGossipSub(limits, frozenset(self._port.topics))
        self._pubsub = SafePubsub(self._host, self._router, limits, counters, self._port)
        self._swarm.register_notifee(_ConnectionNotifee(self))
        for lane in Lane:
            self._host.set_stream_handler(
                self._protocol_id("direct", lane), partial(self._read_lane, lane)
            )
        for protocol in RequestProtocol:
            self._host.set_stream_handler(
                self._protocol_id("request", protocol), partial(self._answer, protocol)
            )

    @property
    def local_peer(self) -> PeerId:
        return self._local_peer

    def listen_addresses(self) -> tuple[str, ...]:
        return tuple(
            f"{str(address).split('/p2p/', maxsplit=1)[0]}/p2p/{self._local_peer}"
            for address in self._host.get_transport_addrs()
        )

    async def set_members(self, members: Mapping[PeerId, tuple[str, ...]]) -> None:
        wanted: dict[PeerId, tuple[str, ...]] = {}
        for peer, addresses in members.items():
            xonly_of(peer)
            if peer != self._local_peer:
                wanted[peer] = tuple(transport_address_of(address, peer) for address in addresses)
        for state in self._peers.all():
            if state.is_member and state.peer not in wanted:
                self._set_member(state, is_member=False)
        for peer, transport_addresses in wanted.items():
            state = self._peers.obtain(peer, ID.from_base58(peer))
            state.addresses = transport_addresses
            self._set_member(state, is_member=True)
        await trio.lowlevel.checkpoint()

    def send(self, peer: PeerId, channel: Channel, payload: bytes) -> bool:
        if len(payload) > self._limits.direct_payload_max:
            raise ValueError(f"a direct payload of {len(payload)} bytes")
        state = self._peers.get(peer)
        if state is None or not state.is_connected:
            self._counters.add(Event.DIRECT_DROPPED)
            return False
        link = state.link or self._start_link(state)
        if not link.put(channel, payload):
            state.dropped_messages += 1
            self._counters.add(Event.DIRECT_DROPPED)
            return False
        return True

    def broadcast(self, channel: Channel, payload: bytes) -> int:
        return sum(
            self.send(state.peer, channel, payload)
            for state in self._peers.all()
            if state.is_member and state.is_connected
        )

    async def publish(self, topic: Topic, payload: bytes) -> bool:
        limits = self._limits
        if len(payload) > limits.gossip_payload_max:
            raise ValueError(f"a gossip payload of {len(payload)} bytes")
        with trio.move_on_after(limits.publish_wait_s):
            # The library's queues have no event for "shorter".
            while self._pubsub.longest_queue() > limits.gossip_queue_high:  # noqa: ASYNC110
                await trio.sleep(0.005)
        if self._pubsub.longest_queue() >= 2 * limits.gossip_queue_high - 1:
            self._counters.add(Event.GOSSIP_SHED)
            return False
        await self._pubsub.send_signed(self._topic_name(topic), payload)
        self._counters.add(Event.GOSSIP_PUBLISHED)
        return True

    async def request(
        self, peer: PeerId, protocol: RequestProtocol, payload: bytes, timeout_s: float
    ) -> bytes:
        if len(payload) > REQUEST_LIMITS[protocol].request_max:
            raise ValueError(f"a {protocol} request of {len(payload)} bytes")
        self._counters.add(Event.REQUEST_SENT)
        try:
            with trio.fail_after(timeout_s):
                stream = await self._open_stream(peer, self._protocol_id("request", protocol))
                return await ask(stream, protocol, payload)
        except trio.TooSlowError:
            self._counters.add(Event.REQUEST_FAILED)
            raise RemoteError(NetworkReason.TIMEOUT, f"{protocol} after {timeout_s} s") from None
        except RemoteError as error:
            self._counters.add(Event.REQUEST_FAILED)
            if error.reason in (NetworkReason.TOO_LARGE, NetworkReason.MALFORMED):
                self.penalize(peer, _FAULTS[NetworkReason(error.reason)])
            raise

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None:
        self._requests.serve(protocol, handler)

    def check_gossip(self, topic: Topic, check: GossipCheck) -> None:
        self._port.checks[topic] = check

    def inbox(self, channel: Channel) -> Inbox:
        return self._inboxes[channel]

    def subscription(self, topic: Topic) -> Inbox:
        return self._subscriptions[topic]

    def peers(self) -> list[PeerStatus]:
        return [self._status(state) for state in self._peers.all()]

    def counters(self) -> Mapping[str, int]:
        return self._counters.as_mapping()

    def penalize(self, peer: PeerId, reason: PenaltyReason) -> None:
        self._counters.add(Event.PENALTY)
        if self._reputation.penalize(peer, reason, trio.current_time()):
            logger.info("peer %s is banned: %s", peer, reason)
            self._on_banned(peer)

    def ban(self, peer: PeerId, duration_s: float) -> None:
        self._reputation.ban(peer, duration_s, trio.current_time())
        self._on_banned(peer)

    async def connect(self, address: str) -> PeerId:
        transport_address, peer = split_address(address)
        await self._dial(ID.from_base58(peer), peer, (transport_address,))
        return peer

    async def disconnect(self, peer: PeerId) -> None:
        state = self._peers.get(peer)
        if state is None:
            return
        async with trio.open_nursery() as nursery:
            for connection in list(state.connections):
                nursery.start_soon(self._close_connection, connection)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        """Listen, serve, dial; at the end close every socket before the host is left."""
        listen = [Multiaddr(address) for address in self._config.listen]
        for address in self._config.listen:
            await check_port_is_free(address)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._host.run(listen_addrs=[]))
            stack.push_async_callback(self._close)
            await stack.enter_async_context(background_trio_service(self._router))
            await stack.enter_async_context(background_trio_service(self._pubsub))
            await self._pubsub.wait_until_ready()
            nursery = await stack.enter_async_context(trio.open_nursery())
            self._nursery = nursery
            if listen and not await self._swarm.listen(*listen):
                raise listen_error(", ".join(self._config.listen), "no address could be bound")
            for name in self._port.topics:
                await self._pubsub.subscribe(name)
            for address in self._config.bootstrap:
                transport_address, peer = split_address(address)
                state = self._peers.obtain(peer, ID.from_base58(peer))
                state.addresses = (transport_address,)
                self._start_dialler(state)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()
                await self._close()

    async def _close(self) -> None:
        with shielded_for(3.0):
            await self._swarm.close_all()
            await self._host.close()

    # Members and dialling

    def _set_member(self, state: PeerState, *, is_member: bool) -> None:
        state.is_member = is_member
        state.budget.set_member(is_member)
        if not is_member:
            scope = self._diallers.pop(state.peer, None)
            if scope is not None:
                scope.cancel()
            return
        if state.is_connected and state.link is None:
            self._start_link(state)
        if state.peer not in self._diallers:
            self._start_dialler(state)
        state.notify()

    def _start_dialler(self, state: PeerState) -> None:
        if self._nursery is None:
            raise LocalError("the network is not running")
        scope = self._diallers[state.peer] = trio.CancelScope()
        self._nursery.start_soon(self._keep_connected, state, scope)

    async def _keep_connected(self, state: PeerState, scope: trio.CancelScope) -> None:
        """Dial `state` whenever it is not connected, until cancelled."""
        limits = self._limits
        backoff = limits.backoff_first_s
        with scope:
            if self._local_peer > state.peer:
                # Two nodes that start together need not both dial.
                with trio.move_on_after(limits.courtesy_s):
                    await state.changed.wait()
            while True:
                changed = state.changed
                if state.is_connected:
                    connected_at = trio.current_time()
                    await changed.wait()
                    if trio.current_time() - connected_at > _BACKOFF_RESET_S:
                        backoff = limits.backoff_first_s
                    continue
                try:
                    await self._dial(state.libp2p_id, state.peer, state.addresses)
                except RemoteError:
                    self._counters.add(Event.DIAL_FAILED)
                # Also after a success: a peer that accepts and closes must not be dialled in a
                # loop.
                with trio.move_on_after(backoff * self._random.uniform(0.75, 1.25)):
                    await changed.wait()
                backoff = min(backoff * 1.6, limits.backoff_last_s)

    async def _dial(self, libp2p_id: Any, peer: PeerId, addresses: tuple[str, ...]) -> None:
        """Connect by the first address that works. Raises RemoteError."""
        if peer == self._local_peer:
            raise RemoteError(NetworkReason.ADDRESS, "that is this node itself")
        if self._is_banned(peer):
            raise RemoteError(NetworkReason.BANNED, peer)
        state = self._peers.get(peer)
        if state is not None and state.is_connected:
            return
        for address in addresses:
            try:
                with trio.fail_after(self._limits.dial_s):
                    # Not dial_peer: it waits 250 ms and remembers a refusal for a minute.
                    await self._swarm.dial_addr(Multiaddr(address), libp2p_id)
            except LocalError:
                raise
            except Exception:
                logger.debug("dial of %s failed", address, exc_info=True)
                continue
            return
        raise RemoteError(NetworkReason.UNREACHABLE, peer)

    # Connections

    def on_connected(self, connection: Any) -> None:
        """Called by libp2p for each new connection, inbound or outbound."""
        libp2p_id = connection.muxed_conn.peer_id
        peer = PeerId(str(libp2p_id))
        refusal = self._refusal(peer)
        if refusal is not None:
            self._counters.add(Event.CONNECTION_REFUSED)
            self._spawn_close(connection)
            return
        state = self._peers.obtain(peer, libp2p_id)
        for older in state.connections:
            # A peer with a live connection seldom dials again: it may have lost the old one.
            older.muxed_conn.probe()
        state.connections.append(connection)
        self._counters.add(Event.CONNECTED)
        if state.is_member and state.link is None:
            self._start_link(state)
        while len(state.connections) > self._limits.connections_per_peer:
            self._spawn_close(state.connections.pop(0))
        state.notify()

    def on_disconnected(self, connection: Any) -> None:
        state = self._peers.get(PeerId(str(connection.muxed_conn.peer_id)))
        if state is None or connection not in state.connections:
            return
        state.connections.remove(connection)
        self._counters.add(Event.DISCONNECTED)
        if not state.connections:
            state.end_link()
        state.notify()

    def _refusal(self, peer: PeerId) -> NetworkReason | None:
        try:
            xonly_of(peer)
        except ValueError:
            return NetworkReason.MALFORMED
        if self._is_banned(peer):
            return NetworkReason.BANNED
        state = self._peers.get(peer)
        if state is not None and (state.is_member or state.is_connected):
            return None
        limits = self._limits
        if self._peers.connected_guests() >= limits.connections - limits.connections_reserved:
            return NetworkReason.BUSY
        return None

    def _on_banned(self, peer: PeerId) -> None:
        self._counters.add(Event.BAN)
        state = self._peers.get(peer)
        if state is None:
            return
        now = trio.current_time()
        for connection in state.connections:
            remote = connection.muxed_conn.get_remote_address()
            # Keys are free, addresses less so; members share no fate with their neighbours.
            if remote and not state.is_member and not is_loopback(remote[0]):
                self._swarm.gate.deny(remote[0], now + self._reputation.banned_for(peer, now))
            self._spawn_close(connection)

    def _spawn_close(self, connection: Any) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._close_connection, connection)

    async def _close_connection(self, connection: Any) -> None:
        muxed: SafeYamux = connection.muxed_conn
        with shielded_for(self._limits.disconnect_s):
            await connection.close()
        await muxed.abort()

    # Direct streams

    def _start_link(self, state: PeerState) -> OutgoingLink:
        if self._nursery is None:
            raise LocalError("the network is not running")
        opener = partial(self._open_lane, state.peer)
        state.link = link = OutgoingLink(self._limits, self._counters, opener)
        state.link_scope = scope = trio.CancelScope()
        self._nursery.start_soon(_run_in, scope, link)
        return link

    async def _open_lane(self, peer: PeerId, lane: Lane) -> PlainStream:
        try:
            with trio.fail_after(self._limits.stream_open_s):
                return await self._open_stream(peer, self._protocol_id("direct", lane))
        except trio.TooSlowError:
            raise RemoteError(NetworkReason.TIMEOUT, lane) from None

    async def _open_stream(self, peer: PeerId, protocol: TProtocol) -> PlainStream:
        state = self._peers.get(peer)
        if state is None or not state.is_connected:
            raise RemoteError(NetworkReason.NOT_CONNECTED, peer)
        try:
            stream = await self._host.new_stream(state.libp2p_id, [protocol])
        except LocalError:
            raise
        except Exception as error:
            if "not supported" in str(error.__cause__):
                raise RemoteError(NetworkReason.UNSUPPORTED, protocol) from error
            raise RemoteError(NetworkReason.CLOSED, type(error).__name__) from error
        return PlainStream(stream)

    async def _read_lane(self, lane: Lane, libp2p_stream: Any) -> None:
        state = self._peers.get(PeerId(str(libp2p_stream.muxed_conn.peer_id)))
        stream = PlainStream(libp2p_stream)
        if state is None:
            await reset_quietly(stream)
            return
        former = state.reading.pop(lane, None)
        if former is not None:
            former.cancel()
        scope = state.reading[lane] = trio.CancelScope()
        reader = IncomingLane(
            state.peer, lane, self._limits, state.budget, self._inboxes, self._counters
        )
        try:
            with scope:
                await reader.run(stream, partial(_count_received, state))
        except RemoteError as error:
            self._on_fault(state.peer, error)
        finally:
            if state.reading.get(lane) is scope:
                del state.reading[lane]
            await reset_quietly(stream)

    # Requests

    async def _answer(self, protocol: RequestProtocol, libp2p_stream: Any) -> None:
        peer = PeerId(str(libp2p_stream.muxed_conn.peer_id))
        stream = PlainStream(libp2p_stream)
        try:
            status = await self._requests.answer(stream, peer, protocol)
        except RemoteError as error:
            self._on_fault(peer, error)
            await reset_quietly(stream)
            return
        is_served = status is Status.OK
        self._counters.add(Event.REQUEST_SERVED if is_served else Event.REQUEST_REFUSED)

    def _on_fault(self, peer: PeerId, error: RemoteError) -> None:
        self._counters.add(Event.FRAME_REFUSED)
        fault = _FAULTS.get(NetworkReason(error.reason))
        logger.debug("peer %s: %s", peer, error)
        if fault is not None:
            self.penalize(peer, fault)

    # Streams of a peer

    def _admit_stream(self, stream: Any) -> bool:
        peer = PeerId(str(stream.muxed_conn.peer_id))
        state = self._peers.obtain(peer, stream.muxed_conn.peer_id)
        state.open_streams += 1
        if self._is_banned(peer):
            state.open_streams -= 1
            return False
        is_within = state.open_streams <= self._limits.streams_per_peer
        if not is_within or not state.stream_rate.try_take(1, trio.current_time()):
            state.open_streams -= 1
            self.penalize(peer, PenaltyReason.STREAM_FLOOD)
            return False
        return True

    def _on_stream_closed(self, stream: Any) -> None:
        state = self._peers.get(PeerId(str(stream.muxed_conn.peer_id)))
        if state is not None:
            state.open_streams -= 1

    # Names and status

    def _protocol_id(self, kind: str, name: str) -> TProtocol:
        return TProtocol(f"/p2pseq/{self._config.network}/{kind}/{name}/1")

    def _topic_name(self, topic: Topic) -> str:
        return f"/p2pseq/{self._config.network}/{topic}/1"

    def _is_banned(self, peer: PeerId) -> bool:
        return self._reputation.is_banned(peer, trio.current_time())

    def _status(self, state: PeerState) -> PeerStatus:
        now = trio.current_time()
        newest = state.connections[-1] if state.connections else None
        rtt_s = newest.muxed_conn.rtt() if newest else 0.0
        remote = newest.muxed_conn.get_remote_address() if newest else None
        link = state.link
        return PeerStatus(
            peer=state.peer,
            connected=state.is_connected,
            is_member=state.is_member,
            address=multiaddress_of(remote) if remote else "",
            rtt_ms=rtt_s * 1_000 if rtt_s else None,
            score=self._reputation.score(state.peer, now),
            banned_for_s=self._reputation.banned_for(state.peer, now),
            queued_messages=link.queued_messages if link else 0,
            queued_bytes=link.queued_bytes if link else 0,
            sent_messages=state.sent_messages + (link.sent_messages if link else 0),
            sent_bytes=state.sent_bytes + (link.sent_bytes if link else 0),
            received_messages=state.received_messages,
            received_bytes=state.received_bytes,
            dropped_messages=state.dropped_messages,
        )


class _ConnectionNotifee:
    """libp2p's INotifee, as far as this node listens to it."""

    def __init__(self, network: Libp2pNetwork) -> None:
        self._network = network

    async def connected(self, _swarm: Any, connection: Any) -> None:
        self._network.on_connected(connection)

    async def disconnected(self, _swarm: Any, connection: Any) -> None:
        self._network.on_disconnected(connection)

    async def opened_stream(self, _swarm: Any, _stream: Any) -> None:
        return None

    async def closed_stream(self, _swarm: Any, _stream: Any) -> None:
        return None

    async def listen(self, _swarm: Any, _address: Any) -> None:
        return None

    async def listen_close(self, _swarm: Any, _address: Any) -> None:
        return None


@asynccontextmanager
async def open_libp2p_network(
    config: NetworkConfig, identity_secret: bytes
) -> AsyncIterator[Libp2pNetwork]:
    """A running network; `identity_secret` is a secp256k1 secret of 32 bytes, used for nothing
    else.

    Raises OperatorError when an address cannot be listened on, ValueError on a wrong secret or
    name.
    """
    # Else the muxer answers each read of one byte with a frame. Read by libp2p at each use.
    os.environ["PY_YAMUX_RELEASE_ON_READ"] = "0"
    # The library logs what peers do as errors, so that a peer could fill a disk; we count instead.
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)
    network = Libp2pNetwork(config, identity_secret)
    failure: Exception | None = None
    try:
        async with network._running():
            try:
                yield network
            except Exception as error:  # noqa: BLE001 - raised again below
                # Carried around the library's nurseries, each of which would wrap it in a group.
                failure = error
    except BaseExceptionGroup as group:
        problem = _only_operator_error(group)
        if problem is None:
            raise
        raise problem from None
    if failure is not None:
        raise failure


def _only_operator_error(failure: BaseException) -> OperatorError | None:
    while isinstance(failure, BaseExceptionGroup) and len(failure.exceptions) == 1:
        failure = failure.exceptions[0]
    return failure if isinstance(failure, OperatorError) else None


def _count_received(state: PeerState, messages: int, size: int) -> None:
    state.received_messages += messages
    state.received_bytes += size


async def _run_in(scope: trio.CancelScope, link: OutgoingLink) -> None:
    with scope:
        await link.run()
