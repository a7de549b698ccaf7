"""The one codec of everything that is signed, hashed, proven or posted to Bitcoin.

Fixed layout, big-endian integers, no self-description: each value has exactly one encoding, and a
decoder that reads it to the end and checks its bounds has checked that it is canonical (HOUSE_STYLE
7). The same layouts are parsed by the transition program in C.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.types import Hash32, OutPoint, Signature, XOnlyKey

T = TypeVar("T")


class Writer:
    """Appends fields; `LocalError`-like OverflowError/ValueError mean a caller's bug, not bad
    input.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def u8(self, value: int) -> "Writer":
        self._parts.append(value.to_bytes(1, "big"))
        return self

    def u16(self, value: int) -> "Writer":
        self._parts.append(value.to_bytes(2, "big"))
        return self

    def u32(self, value: int) -> "Writer":
        self._parts.append(value.to_bytes(4, "big"))
        return self

    def u64(self, value: int) -> "Writer":
        self._parts.append(value.to_bytes(8, "big"))
        return self

    def fixed(self, value: bytes, length: int) -> "Writer":
        if len(value) != length:
            raise ValueError(f"field of {length} bytes got {len(value)}")
        self._parts.append(bytes(value))
        return self

    def hash32(self, value: bytes) -> "Writer":
        return self.fixed(value, 32)

    def outpoint(self, value: OutPoint) -> "Writer":
        return self.hash32(value.txid).u32(value.vout)

    def var_bytes(self, value: bytes, limit: int) -> "Writer":
        """u32 length, then the bytes; at most `limit` of them."""
        if len(value) > limit:
            raise ValueError(f"field of at most {limit} bytes got {len(value)}")
        return self.u32(len(value)).fixed(value, len(value))

    def sequence(
        self, values: Sequence[T], limit: int, write: Callable[["Writer", T], object]
    ) -> "Writer":
        """u32 count, then each value; at most `limit` of them."""
        if len(values) > limit:
            raise ValueError(f"list of at most {limit} items got {len(values)}")
        self.u32(len(values))
        for value in values:
            write(self, value)
        return self

    def bytes(self) -> bytes:
        return b"".join(self._parts)


class Reader:
    """Reads fields in order; every method raises `CodecError` on bytes that cannot be that
    field.
    """

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded
        self._position = 0

    def _take(self, length: int) -> bytes:
        end = self._position + length
        if end > len(self._encoded):
            raise CodecError(CodecReason.TRUNCATED, f"{length} bytes wanted at {self._position}")
        taken = self._encoded[self._position : end]
        self._position = end
        return bytes(taken)

    def _bounded(self, length: int, minimum: int, maximum: int) -> int:
        value = int.from_bytes(self._take(length), "big")
        if not minimum <= value <= maximum:
            raise CodecError(CodecReason.VALUE, f"{value} is not in [{minimum}, {maximum}]")
        return value

    def u8(self, minimum: int = 0, maximum: int = 2**8 - 1) -> int:
        return self._bounded(1, minimum, maximum)

    def u16(self, minimum: int = 0, maximum: int = 2**16 - 1) -> int:
        return self._bounded(2, minimum, maximum)

    def u32(self, minimum: int = 0, maximum: int = 2**32 - 1) -> int:
        return self._bounded(4, minimum, maximum)

    def u64(self, minimum: int = 0, maximum: int = 2**64 - 1) -> int:
        return self._bounded(8, minimum, maximum)

    def fixed(self, length: int) -> bytes:
        return self._take(length)

    def hash32(self) -> Hash32:
        return Hash32(self._take(32))

    def xonly(self) -> XOnlyKey:
        return XOnlyKey(self._take(32))

    def signature(self) -> Signature:
        return Signature(self._take(64))

    def outpoint(self) -> OutPoint:
        return OutPoint(self.hash32(), self.u32())

    def var_bytes(self, limit: int) -> bytes:
        return self._take(self._count(limit))

    def sequence(self, limit: int, read: Callable[["Reader"], T]) -> tuple[T, ...]:
        return tuple(read(self) for _ in range(self._count(limit)))

    def _count(self, limit: int) -> int:
        count = self.u32()
        if count > limit:
            raise CodecError(CodecReason.LENGTH, f"{count} is over the limit of {limit}")
        return count

    def at_end(self) -> bool:
        return self._position == len(self._encoded)

    def finish(self) -> None:
        """Must be called after the last field: trailing bytes would be a second spelling."""
        if not self.at_end():
            left = len(self._encoded) - self._position
            raise CodecError(CodecReason.TRAILING, f"{left} bytes after the last field")
