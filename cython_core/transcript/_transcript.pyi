from typing import Final

GRIND_BITS_MAX: Final[int]
LABEL_MAX: Final[int]

def available_kernels() -> tuple[str, ...]:
    """Names of the kernels that this CPU runs, narrowest first."""

def hash_stream(message: bytes, key: bytes | None = None) -> bytes:
    """BLAKE3 of a message of any length by the scalar code of the transcript: 32 bytes."""

class Stream:
    """Challenges that follow from one squeeze, in order."""

    def elements(self, count: int) -> list[int]:
        """Uniform field elements, below p."""

    def extensions(self, count: int) -> list[tuple[int, int, int, int, int]]:
        """Elements of the extension, five coefficients each."""

    def indices(self, count: int, log: int) -> list[int]:
        """Integers below 2^log; ValueError if log is not 0 to 32."""

class Transcript:
    """What a prover has said so far, and the challenges that follow (docs/proofs.md)."""

    def __init__(self, recorder: list[tuple[str, bytes]] | None = None) -> None:
        """`recorder`, if given, receives every (label, bytes) that is absorbed."""

    @property
    def state(self) -> bytes: ...
    def absorb(self, label: str, message: bytes) -> None:
        """ValueError unless the label is ASCII of 1 to 24 characters."""

    def squeeze(self, label: str) -> Stream: ...
    def grind(self, bits: int, label: str, kernel: str = "auto") -> int:
        """The smallest nonce with `bits` bits of work, absorbed under the label."""

    def check_grind(self, bits: int, label: str, nonce: int) -> bool:
        """Whether the nonce has the work; only then it is absorbed."""
