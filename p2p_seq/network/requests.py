"""One question, one bounded answer, one stream.

    question:  u32 length | payload
    answer:    u8 status  | u32 length | payload       (a refusal's payload is its reason in UTF-8)

Both lengths are checked against the protocol's limits before anything is kept. Large answers are
written in pieces of 256 KiB, so that votes on other streams get in between.
"""

import struct
from enum import IntEnum
from typing import Final

import trio

from p2p_seq.network.limits import REQUEST_LIMITS, NetworkLimits
from p2p_seq.network.streams import ByteReader, close_quietly, reset_quietly
from p2p_seq.network.types import Handler, NetworkReason, PeerId, RequestProtocol, Stream
from p2p_seq.protocol.errors import LocalError, RemoteError

PIECE: Final = 256 * 1024
_LENGTH: Final = struct.Struct(">I")
_ANSWER: Final = struct.Struct(">BI")
_REASON_MAX: Final = 256


class Status(IntEnum):
    OK = 0
    REFUSED = 1
    BUSY = 2
    FAILED = 3


_REASONS: Final = {
    Status.REFUSED: NetworkReason.REFUSED,
    Status.BUSY: NetworkReason.BUSY,
    Status.FAILED: NetworkReason.REFUSED,
}


async def ask(stream: Stream, protocol: RequestProtocol, payload: bytes) -> bytes:
    """Send a question on a fresh stream and read its answer. Raises RemoteError; the caller
    times."""
    try:
        await _write_pieces(stream, _LENGTH.pack(len(payload)) + payload)
        reader = ByteReader(stream)
        code, length = _ANSWER.unpack(await reader.exactly(_ANSWER.size))
        answer_max = REQUEST_LIMITS[protocol].response_max if code == Status.OK else _REASON_MAX
        if length > answer_max:
            raise RemoteError(NetworkReason.TOO_LARGE, f"an answer of {length} bytes")
        if code > max(Status):
            raise RemoteError(NetworkReason.MALFORMED, f"answer status {code}")
        answer = await reader.exactly(length)
    except (trio.Cancelled, RemoteError):
        await reset_quietly(stream)
        raise
    await close_quietly(stream)
    if code == Status.OK:
        return answer
    raise RemoteError(_REASONS[Status(code)], _printable(answer))


class RequestServer:
    """Answers questions, a bounded number at a time."""

    def __init__(self, limits: NetworkLimits) -> None:
        self._limits = limits
        self._handlers: dict[RequestProtocol, Handler] = {}
        self._active_total = 0
        self._active: dict[PeerId, int] = {}

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None:
        if protocol in self._handlers:
            raise LocalError(f"{protocol} is served already")
        self._handlers[protocol] = handler

    async def answer(self, stream: Stream, peer: PeerId, protocol: RequestProtocol) -> Status:
        """Serve one stream. Raises RemoteError when the question breaks the format or is late."""
        handler = self._handlers.get(protocol)
        limits = self._limits
        is_full = self._active_total >= limits.requests_total
        if handler is None or is_full or self._active.get(peer, 0) >= limits.requests_per_peer:
            status = Status.REFUSED if handler is None else Status.BUSY
            await self._write_answer(stream, status, b"not served" if handler is None else b"")
            return status
        self._active_total += 1
        self._active[peer] = self._active.get(peer, 0) + 1
        try:
            with trio.fail_after(limits.request_service_s):
                return await self._answer_with(handler, stream, peer, protocol)
        except trio.TooSlowError:
            raise RemoteError(NetworkReason.TIMEOUT, f"serving {protocol}") from None
        finally:
            self._active_total -= 1
            self._active[peer] -= 1
            if not self._active[peer]:
                del self._active[peer]

    async def _answer_with(
        self, handler: Handler, stream: Stream, peer: PeerId, protocol: RequestProtocol
    ) -> Status:
        request_max, response_max = REQUEST_LIMITS[protocol]
        reader = ByteReader(stream)
        with trio.fail_after(self._limits.request_read_s):
            (length,) = _LENGTH.unpack(await reader.exactly(_LENGTH.size))
            if length > request_max:
                raise RemoteError(NetworkReason.TOO_LARGE, f"a request of {length} bytes")
            payload = await reader.exactly(length)
        try:
            answer = await handler(peer, payload)
        except RemoteError as refusal:
            reason = str(refusal).encode()[:_REASON_MAX]
            await self._write_answer(stream, Status.REFUSED, reason)
            return Status.REFUSED
        if len(answer) > response_max:
            raise LocalError(f"the handler of {protocol} answered {len(answer)} bytes")
        await self._write_answer(stream, Status.OK, answer)
        return Status.OK

    @staticmethod
    async def _write_answer(stream: Stream, status: Status, payload: bytes) -> None:
        await _write_pieces(stream, _ANSWER.pack(status, len(payload)) + payload)
        await close_quietly(stream)


async def _write_pieces(stream: Stream, message: bytes) -> None:
    for start in range(0, len(message), PIECE):
        await stream.write(message[start : start + PIECE])


def _printable(reason: bytes) -> str:
    """A peer's words, safe for a log: no control characters, no broken UTF-8."""
    text = reason.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
