"""Vault generations: the ordered, weighted keys that hold the one vault coin (PROTOCOL.md section
6).

A generation is one epoch's set as it stood when the hand-over was planned. Weights are quantised
to sum 100, so that the script is small and the same for everyone; the threshold is 67.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.params import VAULT_THRESHOLD, VAULT_WEIGHT_TOTAL
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import Hash32, XOnlyKey

GENERATION_MEMBERS_MAX: Final = 100
"""Every member has at least one unit of weight."""

GENERATION_NUMBER_MAX: Final = 0xFFFF
"""The number has two bytes in a deposit's OP_RETURN."""


@dataclass(frozen=True, slots=True)
class VaultMember:
    """One key of a generation."""

    key: XOnlyKey
    weight: int
    """Share of 100, at least 1."""


@dataclass(frozen=True, slots=True)
class VaultGeneration:
    """Ordered keys and weights; the order is that of the set it came from."""

    number: int
    members: tuple[VaultMember, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.number <= GENERATION_NUMBER_MAX:
            raise ValueError(f"generation number {self.number}")
        if any(member.weight < 1 for member in self.members):
            raise ValueError("every member has weight")
        if sum(member.weight for member in self.members) != VAULT_WEIGHT_TOTAL:
            raise ValueError(f"weights must sum to {VAULT_WEIGHT_TOTAL}")
        if len({member.key for member in self.members}) != len(self.members):
            raise ValueError("keys must be distinct")

    @property
    def threshold(self) -> int:
        """Weight that spends: `floor(2 * 100 / 3) + 1`."""
        return VAULT_THRESHOLD

    def index_of(self, key: XOnlyKey) -> int | None:
        """Position of a key, or None for strangers."""
        for index, member in enumerate(self.members):
            if member.key == key:
                return index
        return None

    def lightest_spending_weight(self, stakes: Sequence[int]) -> int:
        """The least stake of any coalition that can spend the vault (the peg cap's base).

        `stakes`: satoshi behind each member, in the order of `members`. Dynamic programming over
        the 100 units of weight, so it is exact: `least[w]` is the cheapest coalition of weight w.
        """
        impossible = sum(stakes) + 1
        least = [0] + [impossible] * VAULT_WEIGHT_TOTAL
        for member, stake in zip(self.members, stakes, strict=True):
            for weight in range(VAULT_WEIGHT_TOTAL, member.weight - 1, -1):
                least[weight] = min(least[weight], least[weight - member.weight] + stake)
        return min(least[self.threshold :])

    def write(self, writer: Writer) -> Writer:
        """Layout: number u16, count u32, then key 32 and weight u8 of each member."""
        writer.u16(self.number)
        return writer.sequence(
            self.members,
            GENERATION_MEMBERS_MAX,
            lambda target, member: target.hash32(member.key).u8(member.weight),
        )

    def encode(self) -> bytes:
        return self.write(Writer()).bytes()

    @classmethod
    def read(cls, reader: Reader) -> "VaultGeneration":
        """Inverse of `write`. Raises CodecError, also when the weights are not a generation's."""
        number = reader.u16()
        members = reader.sequence(
            GENERATION_MEMBERS_MAX,
            lambda source: VaultMember(source.xonly(), source.u8(1, VAULT_WEIGHT_TOTAL)),
        )
        try:
            return cls(number, members)
        except ValueError as error:
            raise CodecError(CodecReason.VALUE, str(error)) from error

    def digest(self, network: str) -> Hash32:
        """`H_generation` of the encoding."""
        return tagged_hash(network, Tag.GENERATION, self.encode())
