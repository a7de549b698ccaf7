"""JSON-RPC over HTTP/1.1 as bitcoind speaks it: Basic authentication, batches, its status codes.

Bytes from the socket are bounded before they are parsed: headers by h11, bodies by
`MAX_BODY_BYTES`, connections by number, and each request by time. A connection that breaks HTTP
gets one answer and is closed; nothing that a client sends ends the process.
"""

import base64
import hmac
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import h11
import msgspec
import trio

from p2p_seq.bitcoin.embedded.arguments import RpcCode, RpcError
from p2p_seq.bitcoin.embedded.service import NodeService

MAX_BODY_BYTES: Final = 32 << 20
"""Bitcoin Core `MAX_SIZE`: a block in hexadecimal fits four times."""

MAX_HEADER_BYTES: Final = 16 << 10
MAX_CONNECTIONS: Final = 256
MAX_BATCH: Final = 10_000
REQUEST_TIMEOUT_SECONDS: Final = 60.0
"""For a request to arrive completely, and for an idle connection."""

SEND_TIMEOUT_SECONDS: Final = 60.0

_RECEIVE_BYTES: Final = 256 << 10
_BAD_PASSWORD_SECONDS: Final = 0.25
"""Slows down guessing, as bitcoind does."""

_STATUS_OF_CODE: Final = {
    RpcCode.INVALID_REQUEST: 400,
    RpcCode.METHOD_NOT_FOUND: 404,
}
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


class _HttpError(Exception):
    """An answer with this status and text instead of JSON."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


class RpcServer:
    """Serves one node to whoever knows the password."""

    def __init__(self, service: NodeService, user: str, password: str) -> None:
        self._service = service
        self._credentials = base64.b64encode(f"{user}:{password}".encode())
        self._connections = 0

    async def serve(self, listeners: list[trio.SocketListener]) -> None:
        """Answer until cancelled."""
        await trio.serve_listeners(self._serve_connection, listeners)

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        self._connections += 1
        try:
            async with stream:
                connection = _Connection(stream)
                if self._connections > MAX_CONNECTIONS:
                    await connection.refuse(_HttpError(503, "Too many connections"))
                    return
                while await self._serve_request(connection):
                    pass
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.LocalProtocolError):
            return  # the client went away; what it asked for has happened
        finally:
            self._connections -= 1

    async def _serve_request(self, connection: "_Connection") -> bool:
        """One request and its answer. False when the connection is over."""
        try:
            request = await connection.read_request()
            if request is None:
                return False
            await self._authorise(request)
            body = await connection.read_body(request)
            status, answer = await self._answer(body)
        except _HttpError as error:
            await connection.refuse(error)
            return False
        await connection.send(status, answer, {"Content-Type": "application/json"})
        return connection.next_cycle()

    async def _authorise(self, request: h11.Request) -> None:
        if request.method != b"POST":
            raise _HttpError(405, "JSONRPC server handles only POST requests", {"Allow": "POST"})
        if request.target != b"/":
            raise _HttpError(404, "")
        given = dict(request.headers).get(b"authorization", b"")
        scheme, _, credentials = given.partition(b" ")
        if scheme.lower() == b"basic" and hmac.compare_digest(
            credentials.strip(), self._credentials
        ):
            return
        if given:
            await trio.sleep(_BAD_PASSWORD_SECONDS)
        raise _HttpError(401, "", {"WWW-Authenticate": 'Basic realm="jsonrpc"'})

    async def _answer(self, body: bytes) -> tuple[int, bytes]:
        try:
            parsed = json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return 500, _reply(None, None, RpcError(RpcCode.PARSE_ERROR, "Parse error"), False)
        if isinstance(parsed, list):
            if len(parsed) > MAX_BATCH:
                too_long = RpcError(RpcCode.INVALID_REQUEST, f"Batch of over {MAX_BATCH} calls")
                return 400, _reply(None, None, too_long, False)
            replies = [await self._run(item) for item in parsed]
            return 200, b"[" + b",".join(reply for _, reply in replies if reply) + b"]"
        return await self._run(parsed)

    async def _run(self, request: object) -> tuple[int, bytes]:
        """One call: HTTP status and JSON; no JSON for a notification of JSON-RPC 2.0."""
        call_id: object = None
        is_version_2 = False
        try:
            if not isinstance(request, dict):
                raise RpcError(RpcCode.INVALID_REQUEST, "Invalid Request object")
            call_id = request.get("id")
            is_version_2 = request.get("jsonrpc") == "2.0"
            method = request.get("method")
            if method is None:
                raise RpcError(RpcCode.INVALID_REQUEST, "Missing method")
            if not isinstance(method, str):
                raise RpcError(RpcCode.INVALID_REQUEST, "Method must be a string")
            answer = await self._service.call(method, request.get("params"))
        except RpcError as error:
            status = 200 if is_version_2 else _STATUS_OF_CODE.get(error.code, 500)
            return status, _reply(call_id, None, error, is_version_2)
        await trio.lowlevel.checkpoint()
        if is_version_2 and "id" not in request:
            return 204, b""
        return 200, _reply(call_id, answer, None, is_version_2)


def _reply(call_id: object, answer: object, error: RpcError | None, is_version_2: bool) -> bytes:
    reply: dict[str, Any] = {}
    if is_version_2:
        reply["jsonrpc"] = "2.0"
    if error is None or not is_version_2:
        reply["result"] = answer
    if error is not None:
        reply["error"] = {"code": int(error.code), "message": error.message}
    elif not is_version_2:
        reply["error"] = None
    reply["id"] = call_id
    return _ENCODER.encode(reply)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


class _Connection:
    """HTTP on one socket, with all bounds."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)

    async def read_request(self) -> h11.Request | None:
        """The next request's headers; None when the client closed, or sent nothing for long."""
        with trio.move_on_after(REQUEST_TIMEOUT_SECONDS):
            event = await self._next_event()
            return event if isinstance(event, h11.Request) else None
        return None

    async def read_body(self, request: h11.Request) -> bytes:
        """The request's body. Raises _HttpError when it is too long or too slow."""
        length = dict(request.headers).get(b"content-length", b"0")
        if int(length) > MAX_BODY_BYTES:
            raise _HttpError(413, f"Request body of over {MAX_BODY_BYTES} bytes")
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            await self._stream.send_all(self._http.send(go_on) or b"")
        parts: list[bytes] = []
        size = 0
        with trio.move_on_after(REQUEST_TIMEOUT_SECONDS):
            while True:
                event = await self._next_event()
                if not isinstance(event, h11.Data):
                    return b"".join(parts)
                size += len(event.data)
                if size > MAX_BODY_BYTES:
                    raise _HttpError(413, f"Request body of over {MAX_BODY_BYTES} bytes")
                parts.append(bytes(event.data))
        raise _HttpError(408, "Request timed out")

    async def _next_event(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise _HttpError(error.error_status_hint, "Not an HTTP request") from error
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(await self._stream.receive_some(_RECEIVE_BYTES))

    async def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """A complete answer. Raises trio.BrokenResourceError when the client does not read it."""
        fields = [*headers.items(), ("Content-Length", str(len(body)))]
        response = h11.Response(status_code=status, headers=fields)
        parts = [self._http.send(response) or b""]
        if body:
            parts.append(self._http.send(h11.Data(data=body)) or b"")
        parts.append(self._http.send(h11.EndOfMessage()) or b"")
        with trio.move_on_after(SEND_TIMEOUT_SECONDS) as scope:
            await self._stream.send_all(b"".join(parts))
        if scope.cancelled_caught:
            raise trio.BrokenResourceError

    async def refuse(self, error: _HttpError) -> None:
        """A last answer; the connection closes after it."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = {**error.headers, "Connection": "close", "Content-Type": "text/plain"}
            await self.send(error.status, error.text.encode(), headers)

    def next_cycle(self) -> bool:
        """Make ready for the next request on this connection, unless it has to close."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        return False
