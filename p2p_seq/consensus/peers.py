"""Numbers for peers: the core knows members by index and everybody else by a negative number."""

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from p2p_seq.consensus.types import Peer

PeerName = TypeVar("PeerName", bound=str)

GUEST_PEERS_MAX: Final = 1_024
"""Peers outside the set that have a number of their own; beyond it, numbers start anew."""


class PeerNumbers(Generic[PeerName]):
    """The numbers of one instance's peers."""

    def __init__(self, members: Sequence[PeerName]) -> None:
        self.members = tuple(members)
        self._start()

    def _start(self) -> None:
        self._numbers: dict[PeerName, Peer] = {
            name: index for index, name in enumerate(self.members)
        }
        self._guests: dict[Peer, PeerName] = {}

    def number(self, name: PeerName) -> Peer:
        """The number of a peer; the first unused one for a guest that is new."""
        number = self._numbers.get(name)
        if number is None:
            if len(self._guests) >= GUEST_PEERS_MAX:
                self._start()
            number = -len(self._guests) - 1
            self._numbers[name] = number
            self._guests[number] = name
        return number

    def name(self, number: Peer) -> PeerName | None:
        """Who has a number, None for one that was given up meanwhile."""
        return self.members[number] if number >= 0 else self._guests.get(number)
