"""The network as the rest of the node sees it.

Three ways to move bytes, each with its own promise:

- **Direct** (`send`, `broadcast`, `inbox`): persistent streams between sequencers. Payloads of one
  channel arrive in the order they were sent, at most once, and are lost only when a queue is full
  or the connection breaks. Urgent channels overtake bulk ones.
- **Gossip** (`publish`, `subscription`): open membership, signed by its origin, at most once per
  node and **lossy**. Every kind of object needs pull repair.
- **Request** (`request`, `serve`): one question, one bounded answer or a `RemoteError`.

Nothing here ever raises because of what a peer sent. Payloads are hostile bytes: decode them
strictly.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, NewType, Protocol

PeerId = NewType("PeerId", str)
"""A peer's name: the base58 libp2p identity of its secp256k1 key (`identity.peer_id_of`)."""


class Channel(StrEnum):
    """A class of direct messages. Order is kept inside a channel, never between channels."""

    CONSENSUS = "consensus"
    """Votes, certificates, proposals without their body. Urgent; the newest matters most."""
    SETTLEMENT = "settlement"
    """Partial signatures of settlements. Urgent, small."""
    STAKING = "staking"
    """The registration ceremony. Urgent, small."""
    BLOCKS = "blocks"
    """Block bodies. Bulk."""
    TRANSACTIONS = "transactions"
    """Batches of ledger transactions. Bulk."""

    @property
    def is_urgent(self) -> bool:
        return self not in (Channel.BLOCKS, Channel.TRANSACTIONS)


class Topic(StrEnum):
    """A gossip topic."""

    BLOCKS = "blocks"
    """Headers of proposed and finalised blocks; bodies are pulled."""
    TRANSACTIONS = "transactions"
    """Batches of transactions from peers that are not sequencers."""
    CERTIFICATES = "certificates"
    """Finality certificates."""
    SETTLEMENTS = "settlements"
    """Signed settlements and what watchers need of them."""


class RequestProtocol(StrEnum):
    """A kind of question, with its own size limits (`limits.REQUEST_LIMITS`)."""

    STATUS = "status"
    BLOCKS = "blocks"
    BODIES = "bodies"
    CERTIFICATES = "certificates"
    TRANSACTIONS = "transactions"
    EPOCHS = "epochs"
    STATE = "state"
    STAKING = "staking"
    SETTLEMENT = "settlement"


class NetworkReason(StrEnum):
    """Why a request, a dial or a frame failed (`RemoteError.reason`)."""

    NOT_CONNECTED = "not-connected"
    """There is no live connection to that peer."""
    TIMEOUT = "timeout"
    """The peer did not answer in time."""
    CLOSED = "connection-lost"
    """The connection broke while the answer was awaited."""
    BUSY = "peer-busy"
    """The peer has too many of our requests or too many at all."""
    REFUSED = "peer-refused"
    """The peer's handler refused the request; the detail is its words."""
    UNSUPPORTED = "unsupported"
    """The peer does not serve this protocol."""
    TOO_LARGE = "too-large"
    """A length is over its limit."""
    MALFORMED = "malformed"
    """Bytes that are no frame, or an answer that breaks the format."""
    BANNED = "banned"
    """The peer is banned here."""
    ADDRESS = "bad-address"
    """An address that is not a TCP multiaddress with a peer id."""
    UNREACHABLE = "unreachable"
    """No address of the peer accepted a connection."""


class PenaltyReason(StrEnum):
    """What a peer did. Weights are in `reputation.py`; only provable faults weigh a ban by
    themselves."""

    MALFORMED_FRAME = "malformed-frame"
    """Bytes that no honest implementation writes."""
    OVERSIZED = "oversized"
    """A length over a limit that is part of the protocol."""
    INVALID_MESSAGE = "invalid-message"
    """A well-formed message that its rules refuse (wrong signature, impossible value)."""
    INVALID_GOSSIP = "invalid-gossip"
    """Forwarded gossip that a check refused: the forwarder should have checked it too."""
    FLOOD = "flood"
    """Over a rate limit where the network cannot slow the sender down."""
    STREAM_FLOOD = "stream-flood"
    """Too many streams at once or too fast."""
    STALLED = "stalled"
    """Did not drain or answer within a deadline; also happens to honest peers under load."""
    EQUIVOCATION = "equivocation"
    """Provable protocol crime. Bans at once."""


class Received(NamedTuple):
    """A payload from the network. Decode it strictly."""

    peer: PeerId
    """Who handed it to us, authenticated by the connection: the one to penalise."""
    payload: bytes
    origin: PeerId
    """Who made it: the same peer on direct channels, the gossip signature's key on topics."""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One line of `Network.peers()`."""

    peer: PeerId
    connected: bool
    is_member: bool
    address: str
    """Remote multiaddress, empty while not connected."""
    rtt_ms: float | None
    """Smoothed round trip, None before the first answer."""
    score: float
    """0 is clean; `reputation.BAN_SCORE` bans; decays by half every minute."""
    banned_for_s: float
    queued_messages: int
    queued_bytes: int
    sent_messages: int
    sent_bytes: int
    received_messages: int
    received_bytes: int
    dropped_messages: int
    """Own payloads dropped because this peer's queue was full."""


Handler = Callable[[PeerId, bytes], Awaitable[bytes]]
"""Answers a request. May raise RemoteError to refuse with a reason; a LocalError stops the node."""

GossipCheck = Callable[[bytes], bool]
"""Synchronous, under 100 microseconds, on the format only. False: neither delivered nor
forwarded."""


class Inbox(Protocol):
    """The receiving end of a channel or topic: bounded by count, bytes and share of one peer."""

    async def receive(self) -> Received: ...
    def receive_nowait(self) -> Received:
        """Raises trio.WouldBlock when empty."""
        ...

    def __aiter__(self) -> AsyncIterator[Received]: ...
    async def __anext__(self) -> Received: ...
    def __len__(self) -> int: ...
    @property
    def dropped(self) -> int:
        """Payloads dropped because the inbox was full, since the start."""
        ...


class Network(Protocol):
    """What a node needs of a network. One object per node; all methods belong to its trio
    thread."""

    @property
    def local_peer(self) -> PeerId: ...

    def listen_addresses(self) -> tuple[str, ...]:
        """Multiaddresses with the peer id, as others pass them to `connect`."""
        ...

    async def set_members(self, members: Mapping[PeerId, tuple[str, ...]]) -> None:
        """The known sequencers and their addresses (own id ignored; replaces the former set).

        Keeps a persistent connection and direct streams to each, dialling again with jittered
        backoff from 0.2 to 10 s. Raises ValueError on an address that no dial could use.
        """
        ...

    def send(self, peer: PeerId, channel: Channel, payload: bytes) -> bool:
        """Queue `payload`; never blocks. False (and counted) when not connected or the queue is
        full.

        True means queued, not received. Raises ValueError over `limits.direct_payload_max`.
        """
        ...

    def broadcast(self, channel: Channel, payload: bytes) -> int:
        """`send` to every connected member; the number that queued it."""
        ...

    async def publish(self, topic: Topic, payload: bytes) -> bool:
        """Gossip `payload`, waiting at most 50 ms for room; False when it was shed.

        Raises ValueError over `limits.gossip_payload_max`.
        """
        ...

    async def request(
        self, peer: PeerId, protocol: RequestProtocol, payload: bytes, timeout_s: float
    ) -> bytes:
        """Ask `peer`. Raises RemoteError with a NetworkReason; ValueError over the request
        limit."""
        ...

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None: ...

    def check_gossip(self, topic: Topic, check: GossipCheck) -> None:
        """Install the format check that runs before a gossip message is delivered or forwarded."""
        ...

    def inbox(self, channel: Channel) -> Inbox:
        """The one inbox of a channel: asking twice gives the same object."""
        ...

    def subscription(self, topic: Topic) -> Inbox: ...

    def peers(self) -> list[PeerStatus]: ...

    def counters(self) -> Mapping[str, int]:
        """Cumulative event counts by name, for metrics."""
        ...

    def penalize(self, peer: PeerId, reason: PenaltyReason) -> None:
        """Add the reason's weight to the peer's score; at the ban score it is disconnected."""
        ...

    def ban(self, peer: PeerId, duration_s: float) -> None: ...

    async def connect(self, address: str) -> PeerId:
        """Dial a multiaddress that ends in /p2p/<peer id>. Raises RemoteError."""
        ...

    async def disconnect(self, peer: PeerId) -> None:
        """Close all connections to `peer`, by force after a second. A member is dialled again."""
        ...


class Stream(Protocol):
    """The part of a byte stream that our protocols use; libp2p streams fit, and so do fakes."""

    async def read(self, count: int) -> bytes:
        """At least one byte, at most `count`; empty or an exception at the end."""
        ...

    async def write(self, data: bytes) -> None: ...
    async def close(self) -> None: ...
    async def reset(self) -> None: ...
