"""Who the members are on the network, and where they can be reached.

Members are named by the ledger (their peer keys), addresses come from the configuration and from
other peers. An address is only a hint: whoever answers must prove the peer key, so a lie costs a
dial and nothing else.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import trio

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
    """The peer id at the end of a multiaddress."""
    head, separator, peer = address.rpartition("/p2p/")
    return PeerId(peer) if separator and head and peer else None


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
        for address in bootstrap:
            self._learn(address)

    def refresh(self) -> None:
        """The set or the registry may have changed."""
        self._wake.set()

    def _learn(self, address: str) -> None:
        peer = split_peer(address)
        if peer is None or peer == self._network.local_peer or len(address) > ADDRESS_BYTES_MAX:
            return
        known = self._book.get(peer, ())
        if address not in known and len(self._book) < BOOK_MAX:
            self._book[peer] = (address, *known)[:ADDRESSES_PER_PEER_MAX]

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
        addresses = {peer: self._book.get(peer, ()) for peer in members}
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
                address = raw.decode("ascii", errors="replace")
                if split_peer(address) in members:
                    self._learn(address)

    async def _serve(self, peer: PeerId, request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        own = self._network.listen_addresses()
        known = [address for addresses in self._book.values() for address in addresses[:1]]
        shown = [item.encode("ascii") for item in (*own, *known)][:BOOK_MAX]
        writer = Writer()
        writer.sequence(shown, BOOK_MAX, lambda w, a: w.var_bytes(a, ADDRESS_BYTES_MAX))
        return writer.bytes()
