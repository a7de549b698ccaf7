"""The network interface inside one process: seeded delay, loss, duplication, partitions, crashes.

Everything that happens is drawn from one seeded generator and ordered by one heap, so two runs with
one seed, `trio.testing.MockClock(autojump_threshold=0)` and deterministic nodes are identical.
Direct messages keep their order per channel as on a real stream; gossip does not. Queue and inbox
limits, size limits, bans and the request limits are those of the real network; there is no real
byte framing. An exception that a handler should not raise comes out at the asking node, where a
test sees it.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

from p2p_seq.network.counters import Counters, Event
from p2p_seq.network.identity import xonly_of
from p2p_seq.network.limits import REQUEST_LIMITS, NetworkLimits
from p2p_seq.network.mailbox import Mailbox, WhenFull
from p2p_seq.network.reputation import Reputation
from p2p_seq.network.types import (
    Channel,
    GossipCheck,
    Handler,
    Inbox,
    NetworkReason,
    PeerId,
    PeerStatus,
    PenaltyReason,
    Received,
    RequestProtocol,
    Topic,
)
from p2p_seq.protocol.errors import LocalError, RemoteError


@dataclass(slots=True)
class Conditions:
    """How the simulated links behave; may be changed while running. Times in seconds."""

    delay_min_s: float = 0.001
    delay_max_s: float = 0.005
    loss: float = 0.0
    """Share of direct and gossip messages that vanish. Requests and answers are lost as well."""
    duplication: float = 0.0
    """Share of gossip messages that arrive twice. Streams never duplicate."""
    bytes_per_s: float = 50e6
    """Of each directed pair of peers: large bodies take their time and delay what follows."""


@dataclass(order=True, slots=True)
class _Scheduled:
    at: float
    number: int
    action: Callable[[], None] = field(compare=False)


@dataclass(slots=True)
class _Pipe:
    """One direction between two peers."""

    free_at: float = 0.0
    last_arrival: dict[Channel, float] = field(default_factory=dict)
    queued_messages: dict[Channel, int] = field(default_factory=dict)
    queued_bytes: dict[Channel, int] = field(default_factory=dict)
    sent_messages: int = 0
    sent_bytes: int = 0
    dropped_messages: int = 0


class SimulatedWorld:
    """All nodes of one simulation. Make it with `open_simulated_world`."""

    def __init__(self, seed: int, conditions: Conditions, nursery: trio.Nursery) -> None:
        self.conditions = conditions
        self.random = random.Random(seed)
        self.nursery = nursery
        self.nodes: dict[PeerId, SimulatedNetwork] = {}
        self._group_of: dict[PeerId, int] = {}
        self._heap: list[_Scheduled] = []
        self._numbers = itertools.count()
        self._wakeup = trio.Event()

    def join(self, peer: PeerId, limits: NetworkLimits | None = None) -> "SimulatedNetwork":
        """A node with this name, at once connected to all others. A crashed name may join again."""
        xonly_of(peer)
        if peer in self.nodes:
            raise LocalError(f"{peer} is there already")
        node = self.nodes[peer] = SimulatedNetwork(self, peer, limits or NetworkLimits())
        return node

    def crash(self, peer: PeerId) -> None:
        """The node vanishes with all its queues; what is under way to or from it is lost."""
        self.nodes.pop(peer).has_crashed = True
        for node in self.nodes.values():
            node.pipes.pop(peer, None)

    def partition(self, *groups: frozenset[PeerId] | set[PeerId]) -> None:
        """Only peers of one group reach each other; those in no group form one more."""
        self._group_of = {peer: index for index, group in enumerate(groups) for peer in group}

    def heal(self) -> None:
        self._group_of = {}

    def is_linked(self, one: PeerId, other: PeerId) -> bool:
        if one not in self.nodes or other not in self.nodes:
            return False
        if self._group_of.get(one) != self._group_of.get(other):
            return False
        return not (self.nodes[one].is_cut_from(other) or self.nodes[other].is_cut_from(one))

    def draw_delay(self) -> float:
        return self.random.uniform(self.conditions.delay_min_s, self.conditions.delay_max_s)

    def is_lost(self) -> bool:
        return self.random.random() < self.conditions.loss

    def schedule(self, at: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, _Scheduled(at, next(self._numbers), action))
        self._wakeup.set()

    async def run(self) -> None:
        """Carry everything out in the order of time, ties in the order of scheduling."""
        while True:
            if not self._heap:
                self._wakeup = trio.Event()
                await self._wakeup.wait()
                continue
            first = self._heap[0]
            if first.at <= trio.current_time():
                heapq.heappop(self._heap).action()
                continue
            self._wakeup = trio.Event()
            with trio.move_on_at(first.at):
                await self._wakeup.wait()


@asynccontextmanager
async def open_simulated_world(
    seed: int, conditions: Conditions | None = None
) -> AsyncIterator[SimulatedWorld]:
    """A world whose links run until the block is left."""
    async with trio.open_nursery() as nursery:
        world = SimulatedWorld(seed, conditions or Conditions(), nursery)
        nursery.start_soon(world.run)
        yield world
        nursery.cancel_scope.cancel()


class SimulatedNetwork:
    """Implements `types.Network` in a `SimulatedWorld`."""

    def __init__(self, world: SimulatedWorld, peer: PeerId, limits: NetworkLimits) -> None:
        self._world = world
        self._local_peer = peer
        self._limits = limits
        self.has_crashed = False
        self.pipes: dict[PeerId, _Pipe] = {}
        self._members: set[PeerId] = set()
        self._cut: set[PeerId] = set()
        self._counters = Counters()
        self._reputation = Reputation()
        self._checks: dict[Topic, GossipCheck] = {}
        self._handlers: dict[RequestProtocol, Handler] = {}
        self._active_requests: Counter[PeerId] = Counter()
        self._received_messages: Counter[PeerId] = Counter()
        self._received_bytes: Counter[PeerId] = Counter()
        self._inboxes = {
            channel: self._mailbox(
                WhenFull.KEEP_NEWEST if channel is Channel.CONSENSUS else WhenFull.KEEP_OLDEST
            )
            for channel in Channel
        }
        self._subscriptions = {topic: self._mailbox(WhenFull.KEEP_OLDEST) for topic in Topic}

    def _mailbox(self, when_full: WhenFull) -> Mailbox:
        return Mailbox(self._limits.inbox_messages, self._limits.inbox_bytes, when_full)

    @property
    def local_peer(self) -> PeerId:
        return self._local_peer

    def listen_addresses(self) -> tuple[str, ...]:
        return (f"/memory/p2p/{self._local_peer}",)

    async def set_members(self, members: Mapping[PeerId, tuple[str, ...]]) -> None:
        for peer in members:
            xonly_of(peer)
        self._members = set(members) - {self._local_peer}
        await trio.lowlevel.checkpoint()

    def is_cut_from(self, peer: PeerId) -> bool:
        return peer in self._cut or self._reputation.is_banned(peer, trio.current_time())

    def send(self, peer: PeerId, channel: Channel, payload: bytes) -> bool:
        limits = self._limits
        size = len(payload)
        if size > limits.direct_payload_max:
            raise ValueError(f"a direct payload of {size} bytes")
        if not self._is_connected(peer):
            self._counters.add(Event.DIRECT_DROPPED)
            return False
        pipe = self.pipes.setdefault(peer, _Pipe())
        if (
            pipe.queued_messages.get(channel, 0) >= limits.peer_queue_messages
            or pipe.queued_bytes.get(channel, 0) + size > limits.peer_queue_bytes
        ):
            pipe.dropped_messages += 1
            self._counters.add(Event.DIRECT_DROPPED)
            return False
        pipe.queued_messages[channel] = pipe.queued_messages.get(channel, 0) + 1
        pipe.queued_bytes[channel] = pipe.queued_bytes.get(channel, 0) + size
        self._counters.add(Event.DIRECT_SENT)
        arrival = self._arrival(pipe, channel, size)
        is_lost = self._world.is_lost()
        self._world.schedule(
            arrival, partial(self._arrive, pipe, peer, channel, bytes(payload), is_lost)
        )
        return True

    def _arrival(self, pipe: _Pipe, channel: Channel, size: int) -> float:
        """Urgent messages do not wait behind bulk ones; each channel keeps its order."""
        now = trio.current_time()
        duration = size / self._world.conditions.bytes_per_s
        start = now if channel.is_urgent else max(now, pipe.free_at)
        if not channel.is_urgent:
            pipe.free_at = start + duration
        arrival = start + duration + self._world.draw_delay()
        arrival = max(arrival, pipe.last_arrival.get(channel, 0.0))
        pipe.last_arrival[channel] = arrival
        return arrival

    def _arrive(
        self, pipe: _Pipe, peer: PeerId, channel: Channel, payload: bytes, is_lost: bool
    ) -> None:
        pipe.queued_messages[channel] -= 1
        pipe.queued_bytes[channel] -= len(payload)
        pipe.sent_messages += 1
        pipe.sent_bytes += len(payload)
        target = self._world.nodes.get(peer)
        # A pipe that was replaced belongs to the life before a crash.
        is_same_life = not self.has_crashed and self.pipes.get(peer) is pipe
        if target is None or is_lost or not is_same_life or not self._is_connected(peer):
            self._counters.add(Event.DIRECT_LOST)
            return
        target.receive_direct(Received(self._local_peer, payload, self._local_peer), channel)

    def receive_direct(self, received: Received, channel: Channel) -> None:
        self._counters.add(Event.DIRECT_RECEIVED)
        self._received_messages[received.peer] += 1
        self._received_bytes[received.peer] += len(received.payload)
        if not self._inboxes[channel].put(received):
            self._counters.add(Event.DIRECT_INBOX_FULL)

    def broadcast(self, channel: Channel, payload: bytes) -> int:
        targets = [peer for peer in sorted(self._members) if self._is_connected(peer)]
        return sum(self.send(peer, channel, payload) for peer in targets)

    async def publish(self, topic: Topic, payload: bytes) -> bool:
        if len(payload) > self._limits.gossip_payload_max:
            raise ValueError(f"a gossip payload of {len(payload)} bytes")
        await trio.lowlevel.checkpoint()
        self._counters.add(Event.GOSSIP_PUBLISHED)
        world = self._world
        for peer in sorted(world.nodes):
            if peer == self._local_peer or not self._is_connected(peer):
                continue
            copies = 1 + (world.random.random() < world.conditions.duplication)
            for _ in range(copies):
                if world.is_lost():
                    continue
                arrival = trio.current_time() + world.draw_delay()
                world.schedule(arrival, partial(self._gossip, peer, topic, bytes(payload)))
        return True

    def _gossip(self, peer: PeerId, topic: Topic, payload: bytes) -> None:
        target = self._world.nodes.get(peer)
        if target is not None and not self.has_crashed and self._is_connected(peer):
            target.receive_gossip(Received(self._local_peer, payload, self._local_peer), topic)

    def receive_gossip(self, received: Received, topic: Topic) -> None:
        check = self._checks.get(topic)
        if check is not None and not check(received.payload):
            self._counters.add(Event.GOSSIP_REFUSED)
            self.penalize(received.peer, PenaltyReason.INVALID_GOSSIP)
            return
        self._counters.add(Event.GOSSIP_RECEIVED)
        if not self._subscriptions[topic].put(received):
            self._counters.add(Event.GOSSIP_INBOX_FULL)

    async def request(
        self, peer: PeerId, protocol: RequestProtocol, payload: bytes, timeout_s: float
    ) -> bytes:
        if len(payload) > REQUEST_LIMITS[protocol].request_max:
            raise ValueError(f"a {protocol} request of {len(payload)} bytes")
        self._counters.add(Event.REQUEST_SENT)
        world = self._world
        try:
            with trio.fail_after(timeout_s):
                await trio.sleep(world.draw_delay())
                target = world.nodes.get(peer)
                if target is None or not self._is_connected(peer):
                    raise RemoteError(NetworkReason.NOT_CONNECTED, peer)
                if world.is_lost():
                    await trio.sleep_forever()
                answer = await target.answer(self._local_peer, protocol, bytes(payload))
                duration = len(answer) / world.conditions.bytes_per_s
                await trio.sleep(world.draw_delay() + duration)
                if world.is_lost():
                    await trio.sleep_forever()
                if target.has_crashed or not self._is_connected(peer):
                    raise RemoteError(NetworkReason.CLOSED, peer)
                return answer
        except trio.TooSlowError:
            self._counters.add(Event.REQUEST_FAILED)
            raise RemoteError(NetworkReason.TIMEOUT, f"{protocol} after {timeout_s} s") from None
        except RemoteError:
            self._counters.add(Event.REQUEST_FAILED)
            raise

    async def answer(self, peer: PeerId, protocol: RequestProtocol, payload: bytes) -> bytes:
        """Serve a request of another simulated node. Raises RemoteError as the real one would."""
        handler = self._handlers.get(protocol)
        if handler is None:
            raise RemoteError(NetworkReason.REFUSED, "not served")
        active = self._active_requests
        if active[peer] >= self._limits.requests_per_peer:
            raise RemoteError(NetworkReason.BUSY)
        active[peer] += 1
        try:
            answer = await handler(peer, payload)
        except RemoteError as refusal:
            self._counters.add(Event.REQUEST_REFUSED)
            raise RemoteError(NetworkReason.REFUSED, str(refusal)) from refusal
        finally:
            active[peer] -= 1
        if len(answer) > REQUEST_LIMITS[protocol].response_max:
            raise LocalError(f"the handler of {protocol} answered {len(answer)} bytes")
        self._counters.add(Event.REQUEST_SERVED)
        return answer

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None:
        if protocol in self._handlers:
            raise LocalError(f"{protocol} is served already")
        self._handlers[protocol] = handler

    def check_gossip(self, topic: Topic, check: GossipCheck) -> None:
        self._checks[topic] = check

    def inbox(self, channel: Channel) -> Inbox:
        return self._inboxes[channel]

    def subscription(self, topic: Topic) -> Inbox:
        return self._subscriptions[topic]

    def peers(self) -> list[PeerStatus]:
        now = trio.current_time()
        known = sorted(set(self._world.nodes) | self._members)
        return [self._status(peer, now) for peer in known if peer != self._local_peer]

    def _status(self, peer: PeerId, now: float) -> PeerStatus:
        pipe = self.pipes.get(peer, _Pipe())
        is_connected = self._is_connected(peer)
        conditions = self._world.conditions
        return PeerStatus(
            peer=peer,
            connected=is_connected,
            is_member=peer in self._members,
            address=f"/memory/p2p/{peer}" if is_connected else "",
            rtt_ms=1_000 * (conditions.delay_min_s + conditions.delay_max_s),
            score=self._reputation.score(peer, now),
            banned_for_s=self._reputation.banned_for(peer, now),
            queued_messages=sum(pipe.queued_messages.values()),
            queued_bytes=sum(pipe.queued_bytes.values()),
            sent_messages=pipe.sent_messages,
            sent_bytes=pipe.sent_bytes,
            received_messages=self._received_messages[peer],
            received_bytes=self._received_bytes[peer],
            dropped_messages=pipe.dropped_messages,
        )

    def counters(self) -> Mapping[str, int]:
        return self._counters.as_mapping()

    def penalize(self, peer: PeerId, reason: PenaltyReason) -> None:
        self._counters.add(Event.PENALTY)
        if self._reputation.penalize(peer, reason, trio.current_time()):
            self._counters.add(Event.BAN)

    def ban(self, peer: PeerId, duration_s: float) -> None:
        self._reputation.ban(peer, duration_s, trio.current_time())
        self._counters.add(Event.BAN)

    async def connect(self, address: str) -> PeerId:
        await trio.sleep(self._world.draw_delay())
        prefix, _, name = address.rpartition("/p2p/")
        peer = PeerId(name)
        if prefix != "/memory":
            raise RemoteError(NetworkReason.ADDRESS, repr(address[:300]))
        if self._reputation.is_banned(peer, trio.current_time()):
            raise RemoteError(NetworkReason.BANNED, peer)
        self._cut.discard(peer)
        if not self._is_connected(peer):
            raise RemoteError(NetworkReason.UNREACHABLE, peer)
        return peer

    async def disconnect(self, peer: PeerId) -> None:
        """A member comes back after the first backoff, as in the real network."""
        self._cut.add(peer)
        self.pipes.pop(peer, None)
        if peer in self._members:
            back_at = trio.current_time() + self._limits.backoff_first_s
            self._world.schedule(back_at, partial(self._cut.discard, peer))
        await trio.lowlevel.checkpoint()

    def _is_connected(self, peer: PeerId) -> bool:
        if self.has_crashed or peer == self._local_peer:
            return False
        return self._world.is_linked(self._local_peer, peer)
