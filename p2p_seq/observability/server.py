"""The admin listener: /metrics, /livez and /readyz over plain HTTP, on loopback by default.

/livez answers as long as the event loop turns; /readyz says why a node is not ready (503). One
request per connection, each within `REQUEST_SECONDS`, at most `CONNECTIONS_MAX` at a time: it must
not be a way to hold the node up.
"""

import json
from collections.abc import Callable
from typing import Final

import h11
import trio

from p2p_seq.observability.metrics import CONTENT_TYPE, Metrics
from p2p_seq.protocol.errors import OperatorError

REQUEST_SECONDS: Final = 5.0
CONNECTIONS_MAX: Final = 16
REQUEST_BYTES_MAX: Final = 8_192
CHUNK_BYTES: Final = 4_096

ReadyProbe = Callable[[], tuple[str, ...]]
"""What is missing before the node can serve; empty when it is ready."""

Answer = tuple[int, str, bytes]
"""Status, media type, body."""


def answer(metrics: Metrics, is_missing: ReadyProbe, method: bytes, target: bytes) -> Answer:
    """The answer to one request."""
    path = target.split(b"?", 1)[0]
    if method not in (b"GET", b"HEAD"):
        return 405, "text/plain", b"only GET\n"
    if path == b"/metrics":
        return 200, CONTENT_TYPE, metrics.render()
    if path == b"/livez":
        return 200, "text/plain", b"alive\n"
    if path == b"/readyz":
        missing = is_missing()
        body = json.dumps({"ready": not missing, "missing": list(missing)}).encode() + b"\n"
        return (503 if missing else 200), "application/json", body
    return 404, "text/plain", b"/metrics, /livez or /readyz\n"


class _Connection:
    """One request and its answer."""

    def __init__(self, metrics: Metrics, is_missing: ReadyProbe) -> None:
        self._metrics = metrics
        self._is_missing = is_missing

    async def __call__(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_BYTES_MAX)
        with trio.move_on_after(REQUEST_SECONDS):
            try:
                request = await self._receive(connection, stream)
                if request is not None:
                    await self._send(connection, stream, request)
            except (h11.RemoteProtocolError, trio.BrokenResourceError):
                return  # not HTTP, or gone: nobody to answer

    async def _receive(
        self, connection: h11.Connection, stream: trio.SocketStream
    ) -> h11.Request | None:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                return event
            if event is not h11.NEED_DATA:
                return None
            connection.receive_data(await stream.receive_some(CHUNK_BYTES))

    async def _send(
        self, connection: h11.Connection, stream: trio.SocketStream, request: h11.Request
    ) -> None:
        status, media_type, body = answer(
            self._metrics, self._is_missing, request.method, request.target
        )
        headers = [
            ("content-type", media_type),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        encoded = connection.send(h11.Response(status_code=status, headers=headers)) or b""
        if request.method != b"HEAD":
            encoded += connection.send(h11.Data(data=body)) or b""
        await stream.send_all(encoded)


async def serve_metrics(
    host: str,
    port: int,
    metrics: Metrics,
    is_missing: ReadyProbe,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports the port. Raises OperatorError when it is taken."""
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise OperatorError(
            f"cannot listen on {host}:{port} for metrics",
            error.strerror or str(error),
            "choose another metrics.listen or stop what uses the port",
            code=2,
        ) from error
    handler = _Connection(metrics, is_missing)
    slots = trio.CapacityLimiter(CONNECTIONS_MAX)

    async def limited(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                slots.acquire_on_behalf_of_nowait(stream)
            except trio.WouldBlock:
                return
            try:
                await handler(stream)
            finally:
                slots.release_on_behalf_of(stream)

    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(limited, listeners)
