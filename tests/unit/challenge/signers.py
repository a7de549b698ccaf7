"""One-time signatures for tests; keys depend on nothing but a name."""

import hashlib
from collections.abc import Sequence

from p2p_seq.challenge.script.winternitz import STEPS
from tests.unit.challenge.spends import hash160


def hashed(octets: bytes, times: int) -> bytes:
    for _ in range(times):
        octets = hash160(octets)
    return octets


class OneTimeKey:
    """Secrets of so many digits, and their public ends."""

    def __init__(self, name: str, digits: int) -> None:
        self.secrets = [
            hashlib.sha256(f"{name} {index}".encode()).digest()[:20] for index in range(digits)
        ]
        self.ends = [hashed(secret, STEPS) for secret in self.secrets]

    def sign(self, digits: Sequence[int]) -> list[bytes]:
        """The opening of each digit."""
        return [hashed(secret, digit) for secret, digit in zip(self.secrets, digits, strict=True)]


def checksum_digits(digits: Sequence[int]) -> list[int]:
    """The digits that sign 15 * digits - sum, the lowest first."""
    number = STEPS * len(digits) - sum(digits)
    return [number >> 4 * place & 15 for place in range(3)]
