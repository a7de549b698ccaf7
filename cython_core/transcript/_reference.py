"""The transcript in plain Python, on the public BLAKE3: the twin of the kernels.

Written from docs/proofs.md, "Transcript"; the Python verifier uses it.
"""

from itertools import count as count_from
from typing import Final

from blake3 import blake3

from cython_core.field._reference import P
from cython_core.transcript.keys import KEY_GRIND, KEY_SQUEEZE, KEY_TRANSCRIPT

LABEL_MAX: Final = 24
GRIND_BITS_MAX: Final = 48
"""More work than this no prover could do."""
WORDS_AT_ONCE: Final = 256

Extension = tuple[int, int, int, int, int]


def _encoded(label: str) -> bytes:
    encoded = label.encode("ascii")
    if not 0 < len(encoded) <= LABEL_MAX or b"\0" in encoded:
        raise ValueError(f"a label has 1 to {LABEL_MAX} characters and no zero: {label!r}")
    return encoded


class Stream:
    """Challenges that follow from one squeeze, in order."""

    def __init__(self, message: bytes) -> None:
        self._hash = blake3(message, key=KEY_SQUEEZE)
        self._words: list[int] = []
        self._used = 0
        self._seek = 0

    def _word(self) -> int:
        if self._used == len(self._words):
            output = self._hash.digest(4 * WORDS_AT_ONCE, seek=self._seek)
            self._words = [
                int.from_bytes(output[start : start + 4], "little")
                for start in range(0, len(output), 4)
            ]
            self._seek += len(output)
            self._used = 0
        self._used += 1
        return self._words[self._used - 1]

    def _element(self) -> int:
        while True:
            value = self._word() & 0x7FFFFFFF
            if value < P:
                return value

    def elements(self, count: int) -> list[int]:
        """Uniform field elements, below p."""
        return [self._element() for _ in range(count)]

    def extensions(self, count: int) -> list[Extension]:
        """Elements of the extension, five coefficients each."""
        found = self.elements(5 * count)
        return [
            (found[i], found[i + 1], found[i + 2], found[i + 3], found[i + 4])
            for i in range(0, 5 * count, 5)
        ]

    def indices(self, count: int, log: int) -> list[int]:
        """Integers below 2^log; ValueError if log is not 0 to 32."""
        if not 0 <= log <= 32:
            raise ValueError(f"an index has 0 to 32 bits, not {log}")
        return [self._word() & ((1 << log) - 1) for _ in range(count)]


class Transcript:
    """What a prover has said so far, and the challenges that follow."""

    def __init__(self, recorder: list[tuple[str, bytes]] | None = None) -> None:
        self._state = bytes(32)
        self._recorder = recorder

    @property
    def state(self) -> bytes:
        return self._state

    def absorb(self, label: str, message: bytes) -> None:
        """ValueError unless the label is ASCII of 1 to 24 characters."""
        encoded = _encoded(label)
        hashed = blake3(self._state, key=KEY_TRANSCRIPT)
        hashed.update(len(encoded).to_bytes(4, "little") + encoded)
        hashed.update(len(message).to_bytes(8, "little") + message)
        self._state = hashed.digest()
        if self._recorder is not None:
            self._recorder.append((label, message))

    def squeeze(self, label: str) -> Stream:
        message = self._state + _encoded(label).ljust(LABEL_MAX, b"\0")
        self._state = blake3(message, key=KEY_TRANSCRIPT).digest()
        return Stream(message)

    def _has_work(self, bits: int, nonce: int) -> bool:
        if bits == 0:
            return nonce == 0
        digest = blake3(self._state + nonce.to_bytes(8, "little"), key=KEY_GRIND).digest()
        return int.from_bytes(digest, "little") & ((1 << bits) - 1) == 0

    def grind(self, bits: int, label: str) -> int:
        """The smallest nonce with `bits` bits of work, absorbed under the label."""
        return next(nonce for nonce in count_from() if self.check_grind(bits, label, nonce))

    def check_grind(self, bits: int, label: str, nonce: int) -> bool:
        """Whether the nonce has the work; only then it is absorbed."""
        if not 0 <= bits <= GRIND_BITS_MAX:
            raise ValueError(f"grinding takes 0 to {GRIND_BITS_MAX} bits, not {bits}")
        if not 0 <= nonce < 1 << 64:
            raise ValueError("a nonce has 8 bytes")
        if not self._has_work(bits, nonce):
            return False
        self.absorb(label, nonce.to_bytes(8, "little"))
        return True
