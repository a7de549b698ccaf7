"""Names of everything the network counts; `Network.counters()` shows all of them, also at zero."""

from collections import Counter
from enum import StrEnum


class Event(StrEnum):
    """One kind of event."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    DIAL_FAILED = "dial-failed"
    CONNECTION_REFUSED = "connection-refused"
    """Inbound, over a limit or from a denied address or a banned peer."""
    KEEPALIVE_LOST = "keepalive-lost"
    """Connections closed because the peer fell silent."""
    WRITE_STALLED = "write-stalled"
    UNREAD_OVERFLOW = "unread-overflow"
    """Connections closed because the peer ignored flow control."""
    STREAM_REFUSED = "stream-refused"
    HANDLER_FAILED = "handler-failed"
    """Exceptions that a guard caught: look in the log."""
    DIRECT_SENT = "direct-sent"
    DIRECT_DROPPED = "direct-dropped"
    """Own payloads that found a full queue or no connection."""
    DIRECT_LOST = "direct-lost"
    """Own payloads that were queued when the connection broke."""
    DIRECT_RECEIVED = "direct-received"
    DIRECT_INBOX_FULL = "direct-inbox-full"
    DIRECT_SLOWED = "direct-slowed"
    """Times that a peer over its rate was read more slowly."""
    FRAME_REFUSED = "frame-refused"
    GOSSIP_PUBLISHED = "gossip-published"
    GOSSIP_SHED = "gossip-shed"
    GOSSIP_RECEIVED = "gossip-received"
    GOSSIP_REFUSED = "gossip-refused"
    GOSSIP_OVER_RATE = "gossip-over-rate"
    GOSSIP_INBOX_FULL = "gossip-inbox-full"
    REQUEST_SENT = "request-sent"
    REQUEST_FAILED = "request-failed"
    REQUEST_SERVED = "request-served"
    REQUEST_REFUSED = "request-refused"
    PENALTY = "penalty"
    BAN = "ban"


class Counters:
    """Cumulative counts."""

    def __init__(self) -> None:
        self._counts: Counter[Event] = Counter()

    def add(self, event: Event, amount: int = 1) -> None:
        self._counts[event] += amount

    def as_mapping(self) -> dict[str, int]:
        return {event.value: self._counts[event] for event in Event}
