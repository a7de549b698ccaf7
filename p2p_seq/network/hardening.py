"""py-libp2p 0.8.1 with its remotely reachable faults mended. Each class says which.

Subclasses of the stock muxer, swarm and host; nothing is patched in place, so another libp2p in the
same process keeps its own behaviour. What stock code does and where is in docs/network.md
("Hardening"). The version is pinned: these classes lean on internals (`_write_frame`,
`_measure_rtt_loop`, `_handle_inbound_connection`, `_swarm_stream_handler`), and the tests attack
them over real sockets.
"""

import ipaddress
import logging
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final

import trio
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import identify_handler_for
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.swarm import Swarm
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.stream_muxer.yamux.yamux import (
    FLAG_SYN,
    TYPE_GO_AWAY,
    TYPE_PING,
    YAMUX_HEADER_FORMAT,
    Yamux,
)

from p2p_seq.network.counters import Counters, Event
from p2p_seq.network.limits import MIB, NetworkLimits
from p2p_seq.network.streams import PlainStream, reset_quietly, shielded_for
from p2p_seq.protocol.errors import LocalError

logger = logging.getLogger(__name__)

YAMUX: Final = TProtocol("/yamux/1.0.0")
_GO_AWAY_S: Final = 0.3
_UNREAD_CHECK_EVERY: Final = 1 * MIB
_TYPE_OFFSET: Final = 1


class SafeYamux(Yamux):  # type: ignore[misc]
    """The muxer, with a keepalive, bounded memory and writes that cancellation cannot tear.

    - A cancelled write leaves half a Noise message on the wire and so breaks the whole connection;
      stock writes can be cancelled by any timeout. Here the socket write is shielded, with its own
      deadline.
    - Stock pings only measure; a stopped peer is never noticed. Here silence ends the connection.
    - Stock buffers without bound for a peer that ignores its window. Here the connection ends.
    - A body that cannot be decrypted is skipped by stock and the frames after it are misread.
    """

    def __init__(
        self, secured: Any, peer_id: Any, limits: NetworkLimits, counters: Counters
    ) -> None:
        super().__init__(secured, peer_id, is_initiator=secured.is_initiator)
        self._limits = limits
        self._counters = counters
        self._unread_since_check = 0
        self._has_heard = False
        self._is_probing = False
        self._wake_keepalive = trio.Event()
        self._ping_number = 0
        self._pings_in_flight = 0

    async def start(self) -> None:
        try:
            await super().start()
        except LocalError:
            raise
        except Exception:
            logger.debug("muxer of %s failed", self.peer_id, exc_info=True)
            self._counters.add(Event.HANDLER_FAILED)
        finally:
            await self.abort()

    async def abort(self) -> None:
        """Close the socket now, with no last words; blocked writers fail at once."""
        if self.event_closed.is_set():
            return
        with shielded_for(2.0):
            await self._cleanup_on_error()

    def probe(self) -> None:
        """Find out soon whether the peer is alive: it seems to have come back elsewhere."""
        self._is_probing = True
        self._wake_keepalive.set()

    async def _write_frame(self, data: bytes) -> None:
        if data[_TYPE_OFFSET] == TYPE_GO_AWAY:
            # The connection ends anyway: never wait behind a blocked writer.
            with trio.move_on_after(_GO_AWAY_S):
                async with self._write_lock:
                    await self.secured_conn.write(data)
            return
        async with self._write_lock:
            with shielded_for(self._limits.write_stall_s) as scope:
                await self.secured_conn.write(data)
        if scope.cancelled_caught:
            self._counters.add(Event.WRITE_STALLED)
            await self.abort()
            raise ConnectionClosedError("the peer took no bytes", transport="tcp")

    async def _read_data_body(self, length: int) -> bytes:
        self._unread_since_check += length
        if self._unread_since_check > _UNREAD_CHECK_EVERY:
            self._unread_since_check = 0
            if sum(map(len, self.stream_buffers.values())) > self._limits.unread_bytes:
                self._counters.add(Event.UNREAD_OVERFLOW)
                # The one exception that the read loop answers by closing the connection.
                raise trio.TooSlowError
        try:
            body: bytes = await super()._read_data_body(length)
        except (trio.TooSlowError, IncompleteReadError):
            raise
        except Exception as error:
            raise trio.TooSlowError from error
        self._has_heard = True
        return body

    async def _measure_rtt_loop(self) -> None:
        limits = self._limits
        misses = 0
        while not self.event_shutting_down.is_set():
            self._has_heard = False
            is_probing, self._is_probing = self._is_probing, False
            patience = limits.probe_s if is_probing else limits.keepalive_patience_s
            if await self._is_answered(patience):
                misses = 0
            else:
                misses = limits.keepalive_misses if is_probing else misses + 1
                if misses >= limits.keepalive_misses:
                    self._counters.add(Event.KEEPALIVE_LOST)
                    await self.abort()
                    return
                continue
            with trio.move_on_after(limits.keepalive_interval_s):
                await self._wake_keepalive.wait()
            self._wake_keepalive = trio.Event()

    async def _is_answered(self, patience: float) -> bool:
        self._ping_number = (self._ping_number + 1) & 0xFFFFFFFF
        self._ping_event = trio.Event()
        self._ping_sent_time = trio.current_time()
        if not self._pings_in_flight and self._nursery is not None:
            self._nursery.start_soon(self._send_ping)
        with trio.move_on_after(patience):
            await self._ping_event.wait()
        # Bytes of a large body are as good a sign of life as the answer queued behind them.
        return self._ping_event.is_set() or self._has_heard

    async def _send_ping(self) -> None:
        self._pings_in_flight += 1
        try:
            await self._write_frame(
                struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_PING, FLAG_SYN, 0, self._ping_number)
            )
        except LocalError:
            raise
        except Exception:
            logger.debug("ping to %s failed", self.peer_id, exc_info=True)
        finally:
            self._pings_in_flight -= 1


class SafeMuxerNegotiation(MuxerMultistream):  # type: ignore[misc]
    """Makes `SafeYamux`: stock code makes its own Yamux whatever class was registered."""

    def __init__(self, limits: NetworkLimits, counters: Counters) -> None:
        super().__init__({YAMUX: SafeYamux})
        self._limits = limits
        self._counters = counters

    async def new_conn(self, conn: Any, peer_id: Any) -> Any:
        protocol, _ = await self._selector.select(conn, conn.is_initiator, self.negotiate_timeout)
        muxed = SafeYamux(conn, peer_id, self._limits, self._counters)
        return self._annotate_connection(muxed, conn, protocol)


class AddressGate:
    """Inbound connections per remote IP address, and addresses that are denied for a time.

    Loopback is exempt from both: a testnet's nodes share it.
    """

    def __init__(self, limits: NetworkLimits) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._denied_until: OrderedDict[str, float] = OrderedDict()

    def enter(self, address: str, now: float) -> bool:
        if not is_loopback(address):
            if self._denied_until.get(address, 0.0) > now:
                return False
            if self._open[address] >= self._limits.connections_per_address:
                return False
        self._open[address] += 1
        return True

    def leave(self, address: str) -> None:
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    def deny(self, address: str, until: float) -> None:
        self._denied_until[address] = until
        self._denied_until.move_to_end(address)
        while len(self._denied_until) > 4_096:
            self._denied_until.popitem(last=False)


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class _NoAutoConnector:
    """Who is dialled is decided by members and bootstrap addresses alone."""

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def run_background_task(self, nursery: Any) -> None:
        return None

    def record_disconnect(self, peer_id: Any) -> None:
        return None


class SafeSwarm(Swarm):  # type: ignore[misc]
    """Gives the slot of an inbound connection back when it ends.

    Stock code keeps the slot and the accepting task until the swarm stops, so a node takes only
    `max_connections` inbound connections in its whole life. Also gates by address and bounds
    handshakes in flight, and closes connections side by side.
    """

    def _init_connection_management(self) -> None:
        super()._init_connection_management()
        # The stock one dials every address it ever heard of, up to half of `max_connections`.
        self.auto_connector = _NoAutoConnector()

    def _schedule_auto_connect(self) -> None:
        return None

    gate: AddressGate
    counters: Counters
    handshakes: trio.CapacityLimiter

    async def _handle_inbound_connection(self, read_write_closer: Any, maddr: Any) -> None:
        remote = read_write_closer.get_remote_address()
        address = remote[0] if remote else ""
        if not self.gate.enter(address, trio.current_time()):
            self.counters.add(Event.CONNECTION_REFUSED)
            await read_write_closer.close()
            return
        try:
            muxed = await self._upgraded(RawConnection(read_write_closer, False), maddr)
            if muxed is not None:
                await muxed.event_closed.wait()
        finally:
            self.gate.leave(address)

    async def _upgraded(self, raw: Any, maddr: Any) -> Any:
        try:
            self.handshakes.acquire_on_behalf_of_nowait(raw)
        except trio.WouldBlock:
            self.counters.add(Event.CONNECTION_REFUSED)
            await raw.close()
            return None
        try:
            return await self.upgrade_inbound_raw_conn(raw, maddr)
        except LocalError:
            raise
        except Exception:
            logger.debug("inbound connection failed", exc_info=True)
            self.counters.add(Event.CONNECTION_REFUSED)
            with shielded_for(1.0):
                await raw.close()
            return None
        finally:
            self.handshakes.release_on_behalf_of(raw)

    async def close_all(self) -> None:
        """Close every connection side by side; a stock close waits 0.2 s for each."""
        async with trio.open_nursery() as nursery:
            for connection in list(self.get_connections()):
                nursery.start_soon(self._close_connection_async, connection)


class SafeHost(BasicHost):  # type: ignore[misc]
    """No exception of a stream handler leaves it, and no peer is asked who it is.

    Stock code lets any handler's exception end the whole swarm, and runs identify in a system task,
    whose failure ends the process. Our peers' protocols and addresses are known without identify;
    we answer it, for other programs, and do not take pushed records.
    """

    def __init__(self, swarm: SafeSwarm, counters: Counters, negotiate_timeout_s: int) -> None:
        self._counters = counters
        super().__init__(
            swarm,
            default_protocols=OrderedDict({IDENTIFY: identify_handler_for(self)}),
            negotiate_timeout=negotiate_timeout_s,
            disable_identify_address_discovery=True,
        )
        self.admit_stream: Callable[[Any], bool] = lambda _stream: True
        self.stream_closed: Callable[[Any], None] = lambda _stream: None

    def _schedule_identify(self, peer_id: Any, *, reason: str) -> None:
        return None

    async def _push_identify_to_all_peers(self) -> None:
        return None

    async def _swarm_stream_handler(self, net_stream: Any) -> None:
        if not self.admit_stream(net_stream):
            self._counters.add(Event.STREAM_REFUSED)
            await reset_quietly(PlainStream(net_stream))
            return
        try:
            await super()._swarm_stream_handler(net_stream)
        except LocalError:
            raise
        except Exception:
            logger.debug("stream handler failed", exc_info=True)
            self._counters.add(Event.HANDLER_FAILED)
            await reset_quietly(PlainStream(net_stream))
        finally:
            self.stream_closed(net_stream)
