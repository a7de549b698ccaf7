"""What members say to one another: the frames of the consensus channels.

One byte names the kind, the rest is the canonical codec. Proposals carry the block, the parent's
notarization and the nullifications of the views in between, so that a voter needs no second round
trip; votes and certificates travel in small batches.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from p2p_seq.consensus.types import Proposal
from p2p_seq.protocol.blocks import BLOCK_BYTES_MAX
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.types import Epoch, Hash32, Signature, View
from p2p_seq.protocol.votes import Certificate, Vote, proposal_message

VOTES_MAX: Final = 256
"""Votes in one frame."""

CERTIFICATES_MAX: Final = 256
"""Certificates in one frame."""

VOTE_BYTES: Final = 147

ANCESTORS_MAX: Final = 64
"""Blocks in one answer to a `BodiesRequest`."""


def message_of_proposal(network: str, chain_id: Hash32, proposal: Proposal) -> Hash32:
    """What the leader signs."""
    return proposal_message(
        network,
        chain_id,
        proposal.epoch,
        proposal.view,
        proposal.base_view,
        proposal.block.digest,
    )


class FrameKind(IntEnum):
    """First byte of a frame."""

    PROPOSAL = 1
    VOTES = 2
    CERTIFICATES = 3
    CERTIFICATES_WANTED = 4


@dataclass(frozen=True, slots=True)
class ProposalFrame:
    """A leader's proposal with its block."""

    proposal: Proposal
    signature: Signature
    certificates: tuple[Certificate, ...]
    block: bytes

    def encode(self) -> bytes:
        writer = Writer().u8(FrameKind.PROPOSAL)
        self.proposal.write(writer)
        writer.fixed(self.signature, 64)
        writer.sequence(self.certificates, CERTIFICATES_MAX, lambda w, c: c.write(w))
        return writer.var_bytes(self.block, BLOCK_BYTES_MAX).bytes()


@dataclass(frozen=True, slots=True)
class VotesFrame:
    """Votes of the sender or of others."""

    votes: tuple[Vote, ...]

    def encode(self) -> bytes:
        writer = Writer().u8(FrameKind.VOTES)
        writer.sequence(self.votes, VOTES_MAX, lambda w, v: w.fixed(v.encode(), VOTE_BYTES))
        return writer.bytes()


@dataclass(frozen=True, slots=True)
class CertificatesFrame:
    """Certificates of one epoch."""

    epoch: Epoch
    certificates: tuple[Certificate, ...]

    def encode(self) -> bytes:
        writer = Writer().u8(FrameKind.CERTIFICATES).u64(self.epoch)
        writer.sequence(self.certificates, CERTIFICATES_MAX, lambda w, c: c.write(w))
        return writer.bytes()


@dataclass(frozen=True, slots=True)
class CertificatesWanted:
    """A member lacks what happened in these views."""

    epoch: Epoch
    first: View
    last: View

    def encode(self) -> bytes:
        writer = Writer().u8(FrameKind.CERTIFICATES_WANTED).u64(self.epoch)
        return writer.u64(self.first).u64(self.last).bytes()


Frame = ProposalFrame | VotesFrame | CertificatesFrame | CertificatesWanted


def decode_frame(encoded: bytes) -> Frame:
    """Strict inverse of the frames' `encode`. Raises CodecError."""
    reader = Reader(encoded)
    kind = FrameKind(reader.u8(min(FrameKind), max(FrameKind)))
    frame: Frame
    if kind is FrameKind.PROPOSAL:
        frame = ProposalFrame(
            Proposal.read(reader),
            reader.signature(),
            reader.sequence(CERTIFICATES_MAX, Certificate.read),
            reader.var_bytes(BLOCK_BYTES_MAX),
        )
    elif kind is FrameKind.VOTES:
        frame = VotesFrame(reader.sequence(VOTES_MAX, lambda r: Vote.decode(r.fixed(VOTE_BYTES))))
    elif kind is FrameKind.CERTIFICATES:
        epoch = Epoch(reader.u64())
        frame = CertificatesFrame(epoch, reader.sequence(CERTIFICATES_MAX, Certificate.read))
    else:
        frame = CertificatesWanted(Epoch(reader.u64()), View(reader.u64()), View(reader.u64()))
    reader.finish()
    return frame


def encode_bodies(blocks: list[bytes]) -> bytes:
    """Answer to a request for a block and its ancestors: newest first."""
    writer = Writer()
    writer.sequence(blocks, ANCESTORS_MAX, lambda w, b: w.var_bytes(b, BLOCK_BYTES_MAX))
    return writer.bytes()


def decode_bodies(encoded: bytes) -> tuple[bytes, ...]:
    """Inverse of `encode_bodies`. Raises CodecError."""
    reader = Reader(encoded)
    blocks = reader.sequence(ANCESTORS_MAX, lambda r: r.var_bytes(BLOCK_BYTES_MAX))
    reader.finish()
    return blocks


def encode_block_request(digest: Hash32) -> bytes:
    """Ask for a block; the answer may add its unfinalised ancestors."""
    return Writer().hash32(digest).bytes()


def decode_block_request(encoded: bytes) -> Hash32:
    """Raises CodecError."""
    reader = Reader(encoded)
    digest = reader.hash32()
    reader.finish()
    return digest
