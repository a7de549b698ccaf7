"""Every limit of the network, named, and the token bucket that enforces rates.

Numbers are chosen for four sequencers on two shared cores and a few dozen full nodes; the measured
costs behind them are in the shared reference network.md, part B.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from p2p_seq.network.types import RequestProtocol

KIB: Final = 1024
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket's shape: `per_second` on average, `burst` at once."""

    per_second: float
    burst: float


@dataclass(frozen=True, slots=True)
class NetworkLimits:
    """What a node accepts and keeps. Sizes in bytes, times in seconds."""

    direct_payload_max: int = 2 * MIB
    gossip_payload_max: int = 512 * KIB
    gossip_frame_max: int = 1 * MIB
    write_batch: int = 60 * KIB
    """Queued payloads are joined up to about this size: the cost of a write is per write, and a
    muxer frame holds 65,524 bytes."""

    peer_queue_messages: int = 4_096
    """Per peer and channel."""
    peer_queue_bytes: int = 8 * MIB
    """Per peer and channel."""
    inbox_messages: int = 8_192
    inbox_bytes: int = 32 * MIB

    connections: int = 128
    connections_reserved: int = 32
    """Of `connections`, those that only members may use."""
    connections_per_peer: int = 3
    connections_per_address: int = 16
    """Inbound, per remote IP; loopback is exempt, where a testnet's nodes share one address."""
    streams_per_peer: int = 64
    """Open inbound streams of one peer."""
    unread_bytes: int = 40 * MIB
    """Received and not yet read, per connection: a peer that ignores flow control is cut off here.
    Above the largest window that one stream can grow to (16 MiB), times two streams."""

    member_bytes: Rate = Rate(64 * MIB, 64 * MIB)
    member_messages: Rate = Rate(20_000, 40_000)
    guest_bytes: Rate = Rate(512 * KIB, 4 * MIB)
    guest_messages: Rate = Rate(200, 1_000)
    """Direct messages of peers that are not members."""
    gossip_messages: Rate = Rate(400, 2_000)
    gossip_bytes: Rate = Rate(16 * MIB, 32 * MIB)
    """Gossip by one forwarder. Over it, messages are dropped before their signature is checked."""
    streams: Rate = Rate(100, 400)
    """Inbound streams that one peer opens."""
    requests_per_peer: int = 16
    requests_total: int = 64
    """Requests that are being answered at one time."""

    handshake_s: float = 5.0
    request_service_s: float = 20.0
    """Longest time that a served request may hold its slot."""
    request_read_s: float = 5.0
    """Within it a request must have arrived whole."""
    stream_open_s: float = 3.0
    write_stall_s: float = 10.0
    """A muxer frame (at most 64 KiB) that the socket does not take in this time ends the
    connection."""
    keepalive_interval_s: float = 4.0
    keepalive_patience_s: float = 3.5
    keepalive_misses: int = 3
    """A silent peer is cut off after at most interval + misses * patience = 14.5 s."""
    probe_s: float = 2.0
    """Patience with an old connection when the same peer opens a new one."""
    disconnect_s: float = 1.0
    dial_s: float = 5.0
    courtesy_s: float = 0.15
    """The peer with the greater id lets the other dial first for so long."""
    backoff_first_s: float = 0.2
    backoff_last_s: float = 10.0
    publish_wait_s: float = 0.05
    gossip_queue_high: int = 16
    """Queued gossip frames of the fullest peer above which a publisher waits."""
    heartbeat_s: float = 1.0
    announce_s: float = 5.0
    """Subscriptions are announced again so often, so that no lost hello leaves a peer deaf."""

    def __post_init__(self) -> None:
        if not 0 < self.connections_reserved < self.connections:
            raise ValueError("connections_reserved must be positive and below connections")
        if self.gossip_payload_max + 1_024 > self.gossip_frame_max:
            raise ValueError("gossip_frame_max must leave 1,024 bytes beside the payload")
        if self.direct_payload_max > self.peer_queue_bytes:
            raise ValueError("peer_queue_bytes must hold at least one payload")
        if self.direct_payload_max > self.inbox_bytes // 2:
            raise ValueError("half of inbox_bytes must hold at least one payload")


class RequestLimits(NamedTuple):
    request_max: int
    response_max: int


REQUEST_LIMITS: Final[dict[RequestProtocol, RequestLimits]] = {
    RequestProtocol.STATUS: RequestLimits(1 * KIB, 64 * KIB),
    RequestProtocol.BLOCKS: RequestLimits(64 * KIB, 8 * MIB),
    RequestProtocol.BODIES: RequestLimits(64 * KIB, 8 * MIB),
    RequestProtocol.CERTIFICATES: RequestLimits(64 * KIB, 4 * MIB),
    RequestProtocol.TRANSACTIONS: RequestLimits(256 * KIB, 4 * MIB),
    RequestProtocol.EPOCHS: RequestLimits(4 * KIB, 8 * MIB),
    RequestProtocol.STATE: RequestLimits(64 * KIB, 8 * MIB),
    RequestProtocol.STAKING: RequestLimits(1 * MIB, 1 * MIB),
    RequestProtocol.SETTLEMENT: RequestLimits(1 * MIB, 1 * MIB),
}
assert set(REQUEST_LIMITS) == set(RequestProtocol)


class TokenBucket:
    """A rate limit whose clock is an argument. Starts full."""

    __slots__ = ("_rate", "_tokens", "_updated_at")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._updated_at = now

    def _refill(self, now: float) -> None:
        # A clock that stands still or steps back must not mint tokens.
        elapsed = max(0.0, now - self._updated_at)
        self._tokens = min(self._rate.burst, self._tokens + elapsed * self._rate.per_second)
        self._updated_at = max(now, self._updated_at)

    def try_take(self, amount: float, now: float) -> bool:
        """Take `amount` if there is so much; otherwise take nothing."""
        self._refill(now)
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def take_later(self, amount: float, now: float) -> float:
        """Take `amount` even into debt; the seconds to wait until the debt is paid."""
        self._refill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate.per_second)

    def change_rate(self, rate: Rate) -> None:
        """Another budget from now on; tokens in hand are kept up to the new burst."""
        self._rate = rate
        self._tokens = min(self._tokens, rate.burst)
