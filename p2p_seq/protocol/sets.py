"""The sequencer set of an epoch: who votes, in which order, with which weight.

A set record is `H_set(n | keys | weights)` in 32-byte words (relay.md 5.2), so that a foreign chain
can check it for a few hundred gas a member. The order is part of the protocol (PROTOCOL.md section
5): by weight descending, then SHA256(key) ascending; votes, bitmaps and the vault script all count
members by it. Integers only.
"""

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.params import VAULT_WEIGHT_TOTAL, WEIGHT_UNIT_SATS
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import Hash32, Sats, XOnlyKey

MAX_MEMBERS: Final = 100
"""Hard cap of a set: bounds bitmaps, certificates and the vault script (PROTOCOL.md section 1,
N_MAX).
"""

CAP_NUMERATOR: Final = 3
CAP_DENOMINATOR: Final = 10
"""No member holds more than 30 % of the total weight (PROTOCOL.md section 5)."""

CAP_MIN_MEMBERS: Final = 4
"""Below four members 30 % each cannot reach 100 %, so there is no cap."""

assert CAP_MIN_MEMBERS * CAP_NUMERATOR >= CAP_DENOMINATOR
assert MAX_MEMBERS <= VAULT_WEIGHT_TOTAL


class SetReason(StrEnum):
    """Why a list of members is not a sequencer set."""

    SIZE = "set-size"
    """No member, or more than `MAX_MEMBERS`."""
    KEY = "set-key"
    """A key that is not 32 bytes, or twice the same key."""
    WEIGHT = "set-weight"
    """A weight below 1, or a total of 2^64 or more."""
    ORDER = "set-order"
    """Not by weight descending, then SHA256(key) ascending."""


class SetError(RemoteError):
    """A list of members that is not a sequencer set."""


class Member(NamedTuple):
    """One sequencer of a set."""

    key: XOnlyKey
    """The consensus key: it signs votes and nothing else but headers and its own records."""
    weight: int
    """Votes, from 1."""


def order_key(member: Member) -> tuple[int, bytes]:
    """Sort key of the set order (PROTOCOL.md section 5)."""
    return (-member.weight, hashlib.sha256(member.key).digest())


class SequencerSet:
    """The ordered members of one epoch. Immutable; equal sets have equal members.

    Raises `SetError` when `members` is not in canonical form; use `SequencerSet.ordered` for
    unordered input.
    """

    __slots__ = ("_indices", "members", "total", "weights")

    def __init__(self, members: Sequence[Member]) -> None:
        _check_members(members)
        self.members: tuple[Member, ...] = tuple(members)
        self.weights: tuple[int, ...] = tuple(member.weight for member in members)
        self.total: int = sum(self.weights)
        self._indices = {member.key: index for index, member in enumerate(members)}

    @classmethod
    def ordered(cls, members: Iterable[Member]) -> "SequencerSet":
        """The set of these members, put in the protocol's order."""
        return cls(sorted(members, key=order_key))

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[XOnlyKey, int]]) -> "SequencerSet":
        """The set that a seal names: (key, weight) in set order. Raises SetError."""
        return cls([Member(key, weight) for key, weight in pairs])

    def pairs(self) -> tuple[tuple[XOnlyKey, int], ...]:
        """(key, weight) in set order, as a seal names them."""
        return tuple((member.key, member.weight) for member in self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SequencerSet) and self.members == other.members

    def __hash__(self) -> int:
        return hash(self.members)

    def __repr__(self) -> str:
        shown = ", ".join(f"{member.key[:4].hex()}:{member.weight}" for member in self.members)
        return f"SequencerSet({shown})"

    def index_of(self, key: bytes) -> int | None:
        """Position of a consensus key in the set order, or None."""
        return self._indices.get(XOnlyKey(key))

    def key(self, index: int) -> XOnlyKey:
        """The consensus key of a member."""
        return self.members[index].key

    def weight_of(self, indices: Iterable[int]) -> int:
        """Summed weight of distinct members."""
        return sum(self.weights[index] for index in indices)

    def is_quorum(self, signed: int) -> bool:
        """More than two thirds of the weight (consensus.md C.4)."""
        return 3 * signed > 2 * self.total

    def has_honest(self, signed: int) -> bool:
        """More than one third: while less than a third is Byzantine, an honest member is among
        these.
        """
        return 3 * signed > self.total

    def digest(self, network: str) -> Hash32:
        """The set hash that every vote names (relay.md 5.2)."""
        words = [len(self.members).to_bytes(32, "big")]
        words.extend(member.key for member in self.members)
        packed = b"".join(weight.to_bytes(8, "big") for weight in self.weights)
        words.append(packed + bytes(-len(packed) % 32))
        return tagged_hash(network, Tag.SET, *words)

    def write(self, writer: Writer) -> None:
        """u8 count, then key and u64 weight of each member."""
        writer.u8(len(self.members))
        for member in self.members:
            writer.fixed(member.key, 32).u64(member.weight)

    @classmethod
    def read(cls, reader: Reader) -> "SequencerSet":
        """Inverse of `write`. Raises CodecError or SetError."""
        count = reader.u8(1, MAX_MEMBERS)
        return cls([Member(reader.xonly(), reader.u64(1)) for _ in range(count)])


def _check_members(members: Sequence[Member]) -> None:
    if not 1 <= len(members) <= MAX_MEMBERS:
        raise SetError(SetReason.SIZE, f"{len(members)} members")
    keys = {member.key for member in members}
    if len(keys) != len(members) or any(len(key) != 32 for key in keys):
        raise SetError(SetReason.KEY, "keys must be distinct and 32 bytes long")
    if any(member.weight < 1 for member in members):
        raise SetError(SetReason.WEIGHT, "every weight must be at least 1")
    if sum(member.weight for member in members) >= 2**64:
        raise SetError(SetReason.WEIGHT, "the total must fit 64 bits")
    if any(order_key(left) > order_key(right) for left, right in pairwise(members)):
        raise SetError(SetReason.ORDER, "weight descending, then SHA256(key) ascending")


def set_digest(network: str, members: SequencerSet) -> Hash32:
    """`H_set` of a set; the same as `members.digest(network)`."""
    return members.digest(network)


def capped_weights(raw: Sequence[int]) -> list[int]:
    """Water-filling: the largest level c with c <= 30 % of sum(min(w, c)) cuts every weight above
    it.

    `raw`: uncapped weights >= 1. Returns min(w, c) in the same order. The ratio sum(min(w, c)) / c
    never grows with c, so the levels that satisfy the cap are 1..c and bisection finds c. Below
    four members: unchanged.
    """
    if len(raw) < CAP_MIN_MEMBERS:
        return list(raw)
    low, high = 1, max(raw)
    while low < high:
        level = (low + high + 1) // 2
        filled = sum(min(weight, level) for weight in raw)
        if CAP_DENOMINATOR * level <= CAP_NUMERATOR * filled:
            low = level
        else:
            high = level - 1
    return [min(weight, low) for weight in raw]


def weigh(stakes: Iterable[tuple[XOnlyKey, Sats]], limit: int) -> SequencerSet:
    """The set that these stakes make: at most `limit` members, capped and ordered (PROTOCOL.md
    section 5).

    The heaviest `limit` by uncapped weight are taken first and the cap is computed among them:
    capping before the cut would leave a member above 30 % of what remains. Raises SetError when
    nobody has a whole unit.
    """
    ranked = sorted(
        (Member(key, value // WEIGHT_UNIT_SATS) for key, value in stakes), key=order_key
    )
    taken = [member for member in ranked if member.weight >= 1][: min(limit, MAX_MEMBERS)]
    if not taken:
        raise SetError(SetReason.SIZE, "nobody has stake")
    weights = capped_weights([member.weight for member in taken])
    return SequencerSet.ordered(
        Member(member.key, weight) for member, weight in zip(taken, weights, strict=True)
    )


def vault_weights(members: SequencerSet) -> tuple[int, ...]:
    """Vault weights of a set, in set order."""
    return vault_shares(members.weights)


def vault_shares(weights: Sequence[int]) -> tuple[int, ...]:
    """Shares of 100 by largest remainder, at least 1 each, ties by order (PROTOCOL.md section 5).

    Members whose exact share is below 1 are fixed at 1 and leave the division; the others share
    what is left by largest remainder. Repeated, because fixing some may push another's share of the
    rest below 1. Raises ValueError unless there are 1 to 100 weights of at least 1.
    """
    if not 1 <= len(weights) <= VAULT_WEIGHT_TOTAL or min(weights) < 1:
        raise ValueError("between 1 and 100 members with weight are wanted")
    fixed: set[int] = set()
    while True:
        sharing = [index for index in range(len(weights)) if index not in fixed]
        seats = VAULT_WEIGHT_TOTAL - len(fixed)
        total = sum(weights[index] for index in sharing)
        below = {index for index in sharing if seats * weights[index] < total}
        if not below:
            break
        fixed |= below
    shares = [1] * len(weights)
    remainders: list[tuple[int, int]] = []
    for index in sharing:
        shares[index], remainder = divmod(seats * weights[index], total)
        remainders.append((-remainder, index))
    for _, index in sorted(remainders)[: VAULT_WEIGHT_TOTAL - sum(shares)]:
        shares[index] += 1
    assert sum(shares) == VAULT_WEIGHT_TOTAL
    assert min(shares) >= 1
    return tuple(shares)
