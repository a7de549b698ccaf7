"""Small things that every protocol does with a byte stream."""

from typing import Final

import trio

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
        except LocalError:
            raise
        except Exception:  # noqa: BLE001 - see above
            return


async def close_quietly(stream: Stream) -> None:
    """Close after the last byte; a peer that is gone already does not matter any more."""
    with shielded_for(GIVE_UP_S):
        try:
            await stream.close()
        except LocalError:
            raise
        except Exception:  # noqa: BLE001 - see above
            return


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
