"""What a joiner and the committee say to one another, and what leaders are told.

All of it travels over `RequestProtocol.STAKING`, except the finished record, which goes to every
member over `Channel.STAKING`. A request begins with its kind; an answer needs none, because it
follows its request (PROTOCOL.md section 5, steps 3, 6 and 8).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.stakes import (
    COMMITTEE_MAX,
    Bundle,
    CommitteeEntry,
    StakeRecord,
)
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import Hash32, Sats, Signature, XOnlyKey

BUNDLE_BYTES_MAX: Final = 4_096
"""A bundle of template 1 has 590 bytes; the bound is the one of the stake record."""

RECORD_BYTES_MAX: Final = 40_000
"""A record with a committee of 100: 256 bytes a member and a bundle."""

_NO_SIGNATURE: Final = Signature(bytes(64))


class RequestKind(IntEnum):
    """First byte of a request."""

    OFFER = 1
    COSIGN = 2


@dataclass(frozen=True, slots=True)
class OfferRequest:
    """A joiner asks for a fresh co-signing key for its bundle."""

    bundle: Bundle

    def encode(self) -> bytes:
        writer = Writer().u8(RequestKind.OFFER)
        return writer.var_bytes(self.bundle.encode(), BUNDLE_BYTES_MAX).bytes()


@dataclass(frozen=True, slots=True)
class Offer:
    """A member's fresh key for one bundle. 128 bytes."""

    member: XOnlyKey
    """Consensus key of the member."""
    cosign_key: XOnlyKey
    statement: Signature
    """By `member` over `cosign_message`."""

    def write(self, writer: Writer) -> Writer:
        return writer.hash32(self.member).hash32(self.cosign_key).fixed(self.statement, 64)

    def encode(self) -> bytes:
        return self.write(Writer()).bytes()

    @classmethod
    def read(cls, reader: Reader) -> "Offer":
        return cls(reader.xonly(), reader.xonly(), reader.signature())

    @classmethod
    def decode(cls, encoded: bytes) -> "Offer":
        """Strict inverse of `encode`. Raises CodecError."""
        reader = Reader(encoded)
        offer = cls.read(reader)
        reader.finish()
        return offer

    def entry(
        self, slash: Signature = _NO_SIGNATURE, refund: Signature = _NO_SIGNATURE
    ) -> CommitteeEntry:
        """The member's line in the stake record; without signatures while they are asked for."""
        return CommitteeEntry(self.member, self.cosign_key, self.statement, slash, refund)


@dataclass(frozen=True, slots=True)
class CosignRequest:
    """A joiner asks for a member's two signatures over the bond of a stake transaction."""

    bundle: Bundle
    txid: Hash32
    """The stake transaction's id; its outputs follow from the rest of the request."""
    value: Sats
    """Value of S."""
    committee: tuple[Offer, ...]
    """In the order of the keys in S's leaf."""

    def encode(self) -> bytes:
        writer = Writer().u8(RequestKind.COSIGN)
        writer.var_bytes(self.bundle.encode(), BUNDLE_BYTES_MAX)
        writer.hash32(self.txid).u64(self.value)
        writer.sequence(self.committee, COMMITTEE_MAX, lambda w, offer: offer.write(w))
        return writer.bytes()

    def digest(self, network: str) -> Hash32:
        """Names the request: a member answers only one for each key."""
        return tagged_hash(network, Tag.REQUEST, self.encode())

    def unsigned_record(self) -> StakeRecord:
        """The record that will follow, without its signatures."""
        committee = tuple(offer.entry() for offer in self.committee)
        return StakeRecord(self.bundle, self.txid, self.value, committee, _NO_SIGNATURE)


@dataclass(frozen=True, slots=True)
class CosignAnswer:
    """A member's two signatures. 128 bytes."""

    slash: Signature
    refund: Signature

    def encode(self) -> bytes:
        return Writer().fixed(self.slash, 64).fixed(self.refund, 64).bytes()

    @classmethod
    def decode(cls, encoded: bytes) -> "CosignAnswer":
        """Strict inverse of `encode`. Raises CodecError."""
        reader = Reader(encoded)
        answer = cls(reader.signature(), reader.signature())
        reader.finish()
        return answer


def _read_bundle(reader: Reader) -> Bundle:
    inner = Reader(reader.var_bytes(BUNDLE_BYTES_MAX))
    bundle = Bundle.read(inner)
    inner.finish()
    return bundle


def decode_request(encoded: bytes) -> OfferRequest | CosignRequest:
    """Either request. Raises CodecError."""
    reader = Reader(encoded)
    kind = RequestKind(reader.u8(min(RequestKind), max(RequestKind)))
    request: OfferRequest | CosignRequest
    if kind is RequestKind.OFFER:
        request = OfferRequest(_read_bundle(reader))
    else:
        request = CosignRequest(
            _read_bundle(reader),
            reader.hash32(),
            Sats(reader.u64()),
            reader.sequence(COMMITTEE_MAX, Offer.read),
        )
    reader.finish()
    return request
