"""Addresses that peers are dialled at and that a node listens on: TCP multiaddresses only."""

import errno
import re
import socket
from typing import Final

import trio
from multiaddr import Multiaddr

from p2p_seq.network.identity import xonly_of
from p2p_seq.network.types import NetworkReason, PeerId
from p2p_seq.protocol.errors import OperatorError, RemoteError

_ADDRESS: Final = re.compile(
    r"(/(?:ip4|ip6|dns|dns4|dns6)/[^/]{1,253}/tcp/[0-9]{1,5})/p2p/([^/]+)\Z"
)


def split_address(address: str) -> tuple[str, PeerId]:
    """`/ip4/1.2.3.4/tcp/1/p2p/<id>` as transport address and peer. Raises RemoteError ADDRESS."""
    match = _ADDRESS.match(address)
    if match is None:
        raise RemoteError(NetworkReason.ADDRESS, repr(address[:300]))
    try:
        peer = PeerId(match[2])
        xonly_of(peer)
        Multiaddr(match[1])
    except ValueError as error:
        raise RemoteError(NetworkReason.ADDRESS, repr(address[:300])) from error
    return match[1], peer


async def check_port_is_free(address: str) -> None:
    """libp2p listens with SO_REUSEPORT, so a second process would share the port in silence."""
    multiaddress = Multiaddr(address)
    port = int(multiaddress.value_for_protocol("tcp"))
    if port == 0:
        return
    is_ip6 = address.startswith("/ip6/")
    host = multiaddress.value_for_protocol("ip6" if is_ip6 else "ip4")
    with trio.socket.socket(socket.AF_INET6 if is_ip6 else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            await probe.bind((host, port))
            # SO_REUSEADDR lets a bind pass beside a socket that does not listen yet.
            probe.listen(1)
        except OSError as error:
            is_busy = error.errno == errno.EADDRINUSE
            why = "another process listens there" if is_busy else error.strerror or str(error)
            raise listen_error(address, why) from error


def listen_error(address: str, why: str) -> OperatorError:
    return OperatorError(
        f"cannot listen on {address}", why, "stop the other process or choose another port"
    )


def transport_address_of(address: str, peer: PeerId) -> str:
    """The address without its peer id, which must be `peer`'s if it has one."""
    try:
        transport_address, named = split_address(
            address if "/p2p/" in address else f"{address}/p2p/{peer}"
        )
    except RemoteError as error:
        raise ValueError(str(error)) from error
    if named != peer:
        raise ValueError(f"{address} names another peer than {peer}")
    return transport_address


def multiaddress_of(remote: tuple[str, int]) -> str:
    kind = "ip6" if ":" in remote[0] else "ip4"
    return f"/{kind}/{remote[0]}/tcp/{remote[1]}"
