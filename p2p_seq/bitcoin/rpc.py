"""Bitcoin's JSON-RPC client: any bitcoind, or the embedded node, over HTTP/1.1 on trio.

A small pool of kept-alive connections; a request that meets a connection that the server has closed
meanwhile is sent again on a new one. While a node starts (connection refused, no cookie yet, 503,
error -28) requests wait, up to a deadline. Answers are bounded in size before they are parsed;
amounts become `Decimal`, never float.

Errors: `BitcoinRpcError` (the node refused the call), `BitcoinUnavailableError` (no node, or none
that lets us in; a person can mend it), RemoteError with a `RpcReason` (it is no JSON-RPC that
answers).
"""

import base64
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import h11
import msgspec
import trio

from p2p_seq.protocol.errors import OperatorError, RemoteError

WARMING_UP: Final = -28
"""bitcoind's error code while it starts."""

NOT_REPEATED: Final = frozenset(
    {"generatetoaddress", "generateblock", "generatetodescriptor", "p2pseq_reorg", "stop"}
)
"""Methods that do more when they are done twice: never sent again once they were sent."""

_RECEIVE_BYTES: Final = 256 << 10
_FIRST_PAUSE_SECONDS: Final = 0.05
_LAST_PAUSE_SECONDS: Final = 1.0
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


class RpcReason(StrEnum):
    """Why an answer is not one."""

    REFUSED_CALL = "rpc-error"
    """The node answered with an error."""
    NOT_HTTP = "not-http"
    """The bytes are not HTTP."""
    NOT_JSON_RPC = "not-json-rpc"
    """The body is not the answer to the request."""
    TOO_LARGE = "answer-too-large"
    """The body is over the limit."""


class BitcoinRpcError(RemoteError):
    """The node refused a call; `code` and `message` are its own."""

    def __init__(self, code: int, message: str, method: str) -> None:
        super().__init__(RpcReason.REFUSED_CALL, f"{method}: {message} ({code})")
        self.code = code
        self.message = message
        self.method = method


class BitcoinUnavailableError(OperatorError, ConnectionError):
    """No usable node. Also a ConnectionError, for those who just try again later."""


@dataclass(frozen=True)
class RpcLimits:
    """Bounds of one client."""

    connections: int = 4
    start_deadline_seconds: float = 30.0
    """How long a node may take to start, or to come back."""
    timeout_seconds: float = 60.0
    """One request from its first byte to the answer's last."""
    max_answer_bytes: int = 64 << 20
    """A block of 4 MB in hexadecimal in a batch of eight; anything larger is refused."""
    max_batch: int = 1_000
    """Calls in one HTTP request; longer batches are split."""


class _RetryError(Exception):
    """The node is not there yet; `why` is said when the deadline has passed."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class _DroppedError(Exception):
    """The connection was closed before anything of the answer came."""


class BitcoinRpc:
    """A client of one node. Safe to use from many tasks; an async context manager."""

    def __init__(
        self, url: str, cookie: Path | None = None, limits: RpcLimits | None = None
    ) -> None:
        """`url`: `http://[USER:PASSWORD@]HOST[:PORT][/wallet/NAME]`; a cookie file wins over a
        password. Raises OperatorError when the URL is not one."""
        self._limits = limits or RpcLimits()
        self._cookie = cookie
        parts = urlsplit(url)
        try:
            port = parts.port or 8332
        except ValueError:
            port = 0
        if parts.scheme != "http" or not parts.hostname or not port:
            raise OperatorError(
                f"cannot use {_without_password(url)!r} as Bitcoin's address",
                "it is not of the form http://HOST:PORT",
                "correct the URL in the configuration",
                2,
            )
        self._host, self._port = parts.hostname, port
        self._path = parts.path or "/"
        self._name = f"http://{self._host}:{self._port}"
        self._password = ""
        if parts.username is not None:
            self._password = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        self._idle: list[_Connection] = []
        self._slots = trio.CapacityLimiter(self._limits.connections)
        self._last_id = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all idle connections. The client can be used again."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.aclose()

    async def call(
        self, method: str, *parameters: object, timeout_seconds: float | None = None
    ) -> Any:
        """The `result` of one call. Errors: see the module."""
        request = self._request(method, parameters)
        answer = await self._exchange([request], is_batch=False, timeout_seconds=timeout_seconds)
        reply = _check_reply(answer, request)
        if isinstance(reply, BitcoinRpcError):
            raise reply
        return reply

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[object]]]
    ) -> list[Any | BitcoinRpcError]:
        """The results of many calls, in order; a refused one is its error, and stops no other."""
        replies: list[Any | BitcoinRpcError] = []
        for start in range(0, len(calls), self._limits.max_batch):
            part = calls[start : start + self._limits.max_batch]
            requests = [self._request(method, parameters) for method, parameters in part]
            answer = await self._exchange(requests, is_batch=True, timeout_seconds=None)
            if not isinstance(answer, list) or len(answer) != len(requests):
                raise RemoteError(RpcReason.NOT_JSON_RPC, "batch with missing answers")
            by_id = {item.get("id"): item for item in answer if isinstance(item, dict)}
            replies += (_check_reply(by_id.get(request["id"]), request) for request in requests)
        return replies

    def _request(self, method: str, parameters: Sequence[object]) -> dict[str, Any]:
        self._last_id += 1
        return {"id": self._last_id, "method": method, "params": list(parameters)}

    async def _exchange(
        self, requests: Sequence[dict[str, Any]], is_batch: bool, timeout_seconds: float | None
    ) -> Any:
        """The parsed body of one HTTP request, once the node is there."""
        body = _ENCODER.encode(requests if is_batch else requests[0])
        is_repeatable = not any(request["method"] in NOT_REPEATED for request in requests)
        timeout = self._limits.timeout_seconds if timeout_seconds is None else timeout_seconds
        deadline = trio.current_time() + self._limits.start_deadline_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async with self._slots:
                    return await self._attempt(body, is_repeatable, timeout)
            except _RetryError as error:
                if trio.current_time() + pause > deadline:
                    raise self._unavailable(error.why) from error
            await trio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE_SECONDS)

    async def _attempt(self, body: bytes, is_repeatable: bool, timeout: float) -> Any:
        headers = self._headers(body)
        with trio.move_on_after(timeout):
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_quiet():
                    await connection.aclose()
                    continue
                try:
                    return await self._send(connection, headers, body)
                except _DroppedError as error:
                    if not is_repeatable:
                        raise self._unavailable("it closed the connection") from error
            try:
                stream = await trio.open_tcp_stream(self._host, self._port)
            except OSError as error:
                raise _RetryError(_why_no_connection(error)) from error
            try:
                return await self._send(
                    _Connection(stream, self._limits.max_answer_bytes), headers, body
                )
            except _DroppedError as error:
                if not is_repeatable:
                    raise self._unavailable("it closed the connection") from error
                raise _RetryError("it closed the connection") from error
        raise self._unavailable(f"no answer within {timeout:g} s")

    async def _send(
        self, connection: "_Connection", headers: list[tuple[str, str]], body: bytes
    ) -> Any:
        is_kept = False
        try:
            status, answer = await connection.exchange(self._path, headers, body)
            is_kept = connection.can_be_kept()
        finally:
            if is_kept:
                self._idle.append(connection)
            else:
                with trio.CancelScope(shield=True):
                    await connection.aclose()
        return self._judge(status, answer)

    def _judge(self, status: int, answer: bytes) -> Any:
        if status in (401, 403):
            if self._cookie is not None and self._cookie_changed():
                raise _RetryError("it refuses the password")
            raise self._unavailable("it refuses the user and password")
        if status == 503:
            raise _RetryError("it is overloaded")
        try:
            parsed = json.loads(answer, parse_float=Decimal, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            detail = f"status {status}, {len(answer)} bytes"
            raise RemoteError(RpcReason.NOT_JSON_RPC, detail) from error
        if _is_warming_up(parsed):
            raise _RetryError("it is starting")
        return parsed

    def _headers(self, body: bytes) -> list[tuple[str, str]]:
        if self._cookie is not None:
            self._password = self._read_cookie()
        headers = [
            ("Host", f"{self._host}:{self._port}"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ]
        if self._password:
            token = base64.b64encode(self._password.encode()).decode()
            headers.append(("Authorization", f"Basic {token}"))
        return headers

    def _read_cookie(self) -> str:
        """bitcoind writes a new cookie at each start, so it is read for each request (10 us)."""
        assert self._cookie is not None, "only called with a cookie file"
        try:
            return self._cookie.read_text(encoding="ascii").strip()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _RetryError(f"there is no cookie file {self._cookie}") from error
        except (OSError, ValueError) as error:
            raise OperatorError(
                f"cannot read Bitcoin's cookie file {self._cookie}",
                str(error),
                "run as the user of the Bitcoin node, or configure user and password",
            ) from error

    def _cookie_changed(self) -> bool:
        with suppress(_RetryError):
            return self._read_cookie() != self._password
        return True

    def _unavailable(self, why: str) -> BitcoinUnavailableError:
        return BitcoinUnavailableError(
            f"cannot use the Bitcoin node at {self._name}",
            why,
            "start it, or correct its URL, cookie file or password in the configuration",
        )


class _Connection:
    """One kept-alive connection."""

    def __init__(self, stream: trio.SocketStream, max_answer_bytes: int) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)
        self._max_answer_bytes = max_answer_bytes
        self._has_answer_begun = False

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)

    def is_quiet(self) -> bool:
        """False when the server has closed (or said something unasked) since the last answer."""
        return not self._stream.socket.is_readable()

    def can_be_kept(self) -> bool:
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        return False

    async def exchange(
        self, path: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[int, bytes]:
        """Status and body. Raises _DroppedError, RemoteError."""
        self._has_answer_begun = False
        request = h11.Request(method="POST", target=path, headers=headers)
        parts = [self._http.send(request), self._http.send(h11.Data(data=body))]
        parts.append(self._http.send(h11.EndOfMessage()))
        # A server that refuses early answers and closes while we send: its answer counts.
        with suppress(trio.BrokenResourceError):
            await self._stream.send_all(b"".join(part or b"" for part in parts))
        status = 0
        received: list[bytes] = []
        size = 0
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > self._max_answer_bytes:
                    raise RemoteError(RpcReason.TOO_LARGE, f"over {self._max_answer_bytes} bytes")
                received.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return status, b"".join(received)

    async def _next_event(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise RemoteError(RpcReason.NOT_HTTP, str(error)) from error
            if event is not h11.NEED_DATA:
                return event
            try:
                chunk = await self._stream.receive_some(_RECEIVE_BYTES)
            except trio.BrokenResourceError:
                chunk = b""
            if not chunk and not self._has_answer_begun:
                raise _DroppedError
            if not chunk:
                raise RemoteError(RpcReason.NOT_HTTP, "the connection ended inside an answer")
            self._has_answer_begun = True
            self._http.receive_data(chunk)


def _check_reply(reply: object, request: dict[str, Any]) -> Any | BitcoinRpcError:
    """The result, or the node's error as a value. Raises RemoteError for anything else."""
    method = request["method"]
    if not isinstance(reply, dict) or reply.get("id") != request["id"]:
        raise RemoteError(RpcReason.NOT_JSON_RPC, f"{method}: not the answer to the request")
    error = reply.get("error")
    if error is None:
        if "result" not in reply:
            raise RemoteError(RpcReason.NOT_JSON_RPC, f"{method}: neither result nor error")
        return reply["result"]
    code = error.get("code") if isinstance(error, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if not isinstance(code, int) or not isinstance(message, str):
        raise RemoteError(RpcReason.NOT_JSON_RPC, f"{method}: malformed error")
    return BitcoinRpcError(code, message[:1_000], method)


def _is_warming_up(parsed: object) -> bool:
    """A starting bitcoind answers everything with -28, in a batch each call."""
    first = parsed[0] if isinstance(parsed, list) and parsed else parsed
    error = first.get("error") if isinstance(first, dict) else None
    return isinstance(error, dict) and error.get("code") == WARMING_UP


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _why_no_connection(error: OSError) -> str:
    """The operating system's words; trio wraps them, one error for each address of the host."""
    cause = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return error.strerror or str(error)


def _without_password(url: str) -> str:
    before, separator, after = url.rpartition("@")
    return after if separator and before else url


def satoshi(amount: object) -> int:
    """A JSON amount in BTC as satoshi. Raises RemoteError unless it is a whole number of them."""
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal):
        raise RemoteError(RpcReason.NOT_JSON_RPC, f"{amount!r} is not an amount")
    scaled = Decimal(amount).scaleb(8)
    if not math.isfinite(scaled) or scaled != int(scaled):
        raise RemoteError(RpcReason.NOT_JSON_RPC, f"{amount} BTC is not a whole number of satoshi")
    return int(scaled)
