"""Who the members are on the network, and where they can be reached.

Members are named by the ledger (their peer keys), addresses come from the configuration and from
other peers. An address is only a hint: whoever answers must prove the peer key, so a lie costs a
dial and nothing else.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import trio

from p2p_seq.network.addresses import split_address
from p2p_seq.network.identity import peer_id_of_xonly
from p2p_seq.network.types import Network, PeerId, RequestProtocol
from p2p_seq.observability.logs import room_logger
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import RemoteError

log = room_logger("node")

ADDRESSES_PER_PEER_MAX: Final = 4
BOOK_MAX: Final = 256
"""Peers in one answer: members and their predecessors."""

ADDRESS_BYTES_MAX: Final = 256
ASK_SECONDS: Final = 10.0
ASK_TIMEOUT_S: Final = 3.0


def split_peer(address: str) -> PeerId | None:
    """The peer id at the end of an address that can be dialled; None for every other text."""
    try:
        return split_address(address)[1]
    except RemoteError:
        return None


class MemberDirectory:
    """Keeps `Network.set_members` current."""

    def __init__(
        self,
        network: Network,
        bootstrap: Iterable[str],
        member_keys: Callable[[], Sequence[bytes]],
    ) -> None:
        self._network = network
        self._member_keys = member_keys
        self._book: dict[PeerId, tuple[str, ...]] = {}
        self._wake = trio.Event()
        self._told: dict[PeerId, tuple[str, ...]] = {}
        for address in bootstrap:
            self._learn(address, self._book)

    def refresh(self) -> None:
        """The set or the registry may have changed."""
        self._wake.set()

    def _learn(self, address: str, book: dict[PeerId, tuple[str, ...]]) -> None:
        peer = split_peer(address)
        if peer is None or peer == self._network.local_peer or len(address) > ADDRESS_BYTES_MAX:
            return
        known = book.get(peer, ())
        if address not in known and (known or len(book) < BOOK_MAX):
            book[peer] = (address, *known)[:ADDRESSES_PER_PEER_MAX]

    def _addresses(self, peer: PeerId) -> tuple[str, ...]:
        """The operator's own first: what peers tell never displaces it."""
        own = self._book.get(peer, ())
        return own + tuple(item for item in self._told.get(peer, ()) if item not in own)

    async def run(self) -> None:
        """Run until cancelled."""
        self._network.serve(RequestProtocol.STATUS, self._serve)
        while True:
            await self._apply()
            await self._ask_peers()
            with trio.move_on_after(ASK_SECONDS):
                await self._wake.wait()
            self._wake = trio.Event()

    async def _apply(self) -> None:
        members = {peer_id_of_xonly(key) for key in self._member_keys()}
        members.discard(self._network.local_peer)
        self._told = {peer: told for peer, told in self._told.items() if peer in members}
        addresses = {peer: self._addresses(peer) for peer in members}
        try:
            await self._network.set_members(addresses)
        except ValueError as error:
            log.warning("member_address_unusable", why=str(error))

    async def _ask_peers(self) -> None:
        """Learn the addresses that connected peers know."""
        for status in self._network.peers():
            if not status.connected:
                continue
            try:
                answer = await self._network.request(
                    status.peer, RequestProtocol.STATUS, b"", ASK_TIMEOUT_S
                )
                reader = Reader(answer)
                found = reader.sequence(BOOK_MAX, lambda r: r.var_bytes(ADDRESS_BYTES_MAX))
                reader.finish()
            except RemoteError:
                continue
            members = {peer_id_of_xonly(key) for key in self._member_keys()}
            for raw in found:
                if raw.isascii() and split_peer(raw.decode("ascii")) in members:
                    self._learn(raw.decode("ascii"), self._told)

    async def _serve(self, peer: PeerId, request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        own = self._network.listen_addresses()
        peers = {**self._told, **self._book}
        known = [self._addresses(peer)[0] for peer in peers]
        shown = [item.encode("ascii") for item in (*own, *known)][:BOOK_MAX]
        writer = Writer()
        writer.sequence(shown, BOOK_MAX, lambda w, a: w.var_bytes(a, ADDRESS_BYTES_MAX))
        return writer.bytes()
