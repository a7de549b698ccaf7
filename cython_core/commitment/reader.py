"""A cursor over the bytes of a proof: what is missing, or is no field element, is refused."""

import struct

from cython_core.field._reference import P
from cython_core.stark.errors import InvalidProof, Reason

Extension = tuple[int, int, int, int, int]


class Reader:
    """Reads a proof from front to back."""

    def __init__(self, proof: bytes) -> None:
        self._proof = proof
        self._offset = 0

    @property
    def offset(self) -> int:
        return self._offset

    @property
    def remaining(self) -> int:
        return len(self._proof) - self._offset

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        if length > self.remaining:
            raise InvalidProof(
                Reason.TRUNCATED,
                f"{length} bytes at offset {self._offset}, {self.remaining} are left",
            )
        self._offset += length
        return self._proof[self._offset - length : self._offset]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def digest(self) -> bytes:
        return self.take(32)

    def elements(self, count: int) -> tuple[int, ...]:
        """The next field elements, each below p."""
        start = self._offset
        values = struct.unpack(f"<{count}I", self.take(4 * count))
        for index, value in enumerate(values):
            if value >= P:
                raise InvalidProof(
                    Reason.NOT_CANONICAL, f"{value} at offset {start + 4 * index} is not below p"
                )
        return values

    def extensions(self, count: int) -> list[Extension]:
        """The next elements of the extension."""
        found = self.elements(5 * count)
        return [
            (found[i], found[i + 1], found[i + 2], found[i + 3], found[i + 4])
            for i in range(0, 5 * count, 5)
        ]

    def finish(self) -> None:
        """InvalidProof unless everything has been read."""
        if self.remaining:
            raise InvalidProof(Reason.TRAILING_BYTES, f"{self.remaining} bytes after the proof")
