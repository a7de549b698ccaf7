"""Small things that every protocol does with a byte stream."""

from collections.abc import Awaitable
from typing import Any, Final

import trio
from libp2p.network.stream.exceptions import StreamEOF

from p2p_seq.network.types import NetworkReason, Stream
from p2p_seq.protocol.errors import LocalError, RemoteError

READ_SIZE: Final = 256 * 1024
GIVE_UP_S: Final = 1.0
"""Patience with the last words on a stream that is given up."""


def shielded_for(seconds: float) -> trio.CancelScope:
    """A scope that outer cancellation does not reach, for at most `seconds`."""
    scope = trio.CancelScope(deadline=trio.current_time() + seconds)
    scope.shield = True
    return scope


async def reset_quietly(stream: Stream) -> None:
    """Reset whatever its state: the stream is given up, so its last error tells nothing."""
    with shielded_for(GIVE_UP_S):
        try:
            await stream.reset()
        except RemoteError:
            return


async def close_quietly(stream: Stream) -> None:
    """Close after the last byte; a peer that is gone already does not matter any more."""
    with shielded_for(GIVE_UP_S):
        try:
            await stream.close()
        except RemoteError:
            return


class PlainStream:
    """A libp2p stream as `types.Stream`: the end is empty, every other failure a RemoteError
    CLOSED.

    The library has more than ten exceptions for a stream that ended, some of them only sometimes.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def read(self, count: int) -> bytes:
        try:
            data: bytes = await self._stream.read(count)
        except StreamEOF:
            return b""
        except LocalError:
            raise
        except Exception as error:
            raise _closed(error) from error
        return data

    async def write(self, data: bytes) -> None:
        await self._do(self._stream.write(data))

    async def close(self) -> None:
        await self._do(self._stream.close())

    async def reset(self) -> None:
        await self._do(self._stream.reset())

    @staticmethod
    async def _do(action: Awaitable[None]) -> None:
        try:
            await action
        except LocalError:
            raise
        except Exception as error:
            raise _closed(error) from error


def _closed(error: Exception) -> RemoteError:
    return RemoteError(NetworkReason.CLOSED, type(error).__name__)


class ByteReader:
    """Exact reads from a stream that returns what it has."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def exactly(self, count: int) -> bytes:
        """Raises RemoteError CLOSED when the stream ends before."""
        while len(self._buffer) < count:
            piece = await self._stream.read(min(READ_SIZE, count - len(self._buffer)))
            if not piece:
                raise RemoteError(NetworkReason.CLOSED, "the stream ended inside a message")
            self._buffer += piece
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken
