"""What a node knows of one peer, and the bounded table of all."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from p2p_seq.network.direct import Lane, OutgoingLink, ReceiveBudget
from p2p_seq.network.limits import NetworkLimits, TokenBucket
from p2p_seq.network.types import PeerId

REMEMBERED_PEERS: Final = 1_024
"""Disconnected peers whose budgets are kept, so that a reconnection does not refill them."""


@dataclass(slots=True)
class PeerState:
    """Budgets and counts outlive a connection; the link does not."""

    peer: PeerId
    libp2p_id: Any
    budget: ReceiveBudget
    stream_rate: TokenBucket
    is_member: bool = False
    addresses: tuple[str, ...] = ()
    connections: list[Any] = field(default_factory=list)
    """Live swarm connections, oldest first."""
    link: OutgoingLink | None = None
    link_scope: trio.CancelScope | None = None
    reading: dict[Lane, trio.CancelScope] = field(default_factory=dict)
    open_streams: int = 0
    changed: trio.Event = field(default_factory=trio.Event)
    """Set, and replaced, when the peer connects or disconnects."""
    sent_messages: int = 0
    sent_bytes: int = 0
    received_messages: int = 0
    received_bytes: int = 0
    dropped_messages: int = 0

    @property
    def is_connected(self) -> bool:
        return bool(self.connections)

    def notify(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    def end_link(self) -> None:
        """Cancel the writer and keep its counts."""
        if self.link_scope is not None:
            self.link_scope.cancel()
        if self.link is not None:
            self.sent_messages += self.link.sent_messages
            self.sent_bytes += self.link.sent_bytes
        self.link = None
        self.link_scope = None


class PeerTable:
    """All known peers: every member and connected one, and the most recent others."""

    def __init__(self, limits: NetworkLimits) -> None:
        self._limits = limits
        self._states: OrderedDict[PeerId, PeerState] = OrderedDict()

    def get(self, peer: PeerId) -> PeerState | None:
        return self._states.get(peer)

    def obtain(self, peer: PeerId, libp2p_id: Any) -> PeerState:
        state = self._states.get(peer)
        if state is None:
            now = trio.current_time()
            budget = ReceiveBudget(self._limits, False, now)
            state = PeerState(peer, libp2p_id, budget, TokenBucket(self._limits.streams, now))
            self._states[peer] = state
            self._forget()
        self._states.move_to_end(peer)
        return state

    def all(self) -> list[PeerState]:
        return list(self._states.values())

    def connected_guests(self) -> int:
        return sum(
            1 for state in self._states.values() if state.is_connected and not state.is_member
        )

    def _forget(self) -> None:
        if len(self._states) <= REMEMBERED_PEERS:
            return
        for peer, state in self._states.items():
            if not state.is_connected and not state.is_member:
                del self._states[peer]
                return
