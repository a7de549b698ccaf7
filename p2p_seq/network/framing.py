"""The framing of direct streams: `u32 length | u8 channel | payload`, length = 1 + len(payload).

Sans-IO: bytes in, frames out. The decoder keeps at most one frame and one read in memory, and a
length over the limit is refused from its four bytes, before any of the payload is kept.
"""

import struct
from typing import Final

from p2p_seq.network.types import Channel, NetworkReason
from p2p_seq.protocol.errors import RemoteError

HEADER: Final = struct.Struct(">IB")
_LENGTH: Final = 4

CHANNEL_CODES: Final[dict[Channel, int]] = {
    Channel.CONSENSUS: 1,
    Channel.SETTLEMENT: 2,
    Channel.STAKING: 3,
    Channel.BLOCKS: 4,
    Channel.TRANSACTIONS: 5,
}
"""Wire numbers; never reused."""
_CHANNELS: Final = {code: channel for channel, code in CHANNEL_CODES.items()}
assert set(CHANNEL_CODES) == set(Channel)
assert len(_CHANNELS) == len(CHANNEL_CODES)


def frame_header(channel: Channel, payload_length: int) -> bytes:
    return HEADER.pack(payload_length + 1, CHANNEL_CODES[channel])


class FrameDecoder:
    """Turns the bytes of one direct stream into frames of the channels it may carry."""

    def __init__(self, payload_max: int, channels: frozenset[Channel]) -> None:
        self._payload_max = payload_max
        self._channels = channels
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[Channel, bytes]]:
        """The frames that `data` completes. Raises RemoteError; the decoder is then spent.

        Frames before the fault in the same `data` are lost with it: their sender is cut off anyway.
        """
        self._buffer += data
        frames: list[tuple[Channel, bytes]] = []
        position = 0
        available = len(self._buffer)
        while available - position >= HEADER.size:
            length, code = HEADER.unpack_from(self._buffer, position)
            channel = self._checked(length, code)
            end = position + _LENGTH + length
            if end > available:
                break
            frames.append((channel, bytes(self._buffer[position + HEADER.size : end])))
            position = end
        if position:
            del self._buffer[:position]
        elif len(self._buffer) >= _LENGTH:
            self._checked_length(int.from_bytes(self._buffer[:_LENGTH], "big"))
        return frames

    @property
    def is_between_frames(self) -> bool:
        return not self._buffer

    def _checked_length(self, length: int) -> None:
        if length == 0:
            raise RemoteError(NetworkReason.MALFORMED, "a frame without a channel")
        if length - 1 > self._payload_max:
            raise RemoteError(
                NetworkReason.TOO_LARGE,
                f"a payload of {length - 1} bytes, limit {self._payload_max}",
            )

    def _checked(self, length: int, code: int) -> Channel:
        self._checked_length(length)
        channel = _CHANNELS.get(code)
        if channel is None or channel not in self._channels:
            raise RemoteError(NetworkReason.MALFORMED, f"channel {code} does not belong here")
        return channel
