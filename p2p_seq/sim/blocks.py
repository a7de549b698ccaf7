"""Blocks of the simulation, and the messages that its nodes exchange."""

import hashlib
from typing import NamedTuple

from p2p_seq.consensus.types import BlockReference, Proposal
from p2p_seq.protocol.types import ZERO32, Epoch, Hash32, Height, View
from p2p_seq.protocol.votes import Certificate, Vote


class SimulatedBlock(NamedTuple):
    """What a block's digest binds."""

    epoch: Epoch
    view: View
    parent: Hash32
    height: int
    origin: Height
    origin_hash: Hash32
    is_seal: bool
    transactions: tuple[int, ...]
    salt: int
    """Distinguishes the blocks of an equivocating leader."""

    def digest(self) -> Hash32:
        return Hash32(hashlib.sha256(repr(tuple(self)).encode()).digest())

    def outputs(self) -> Hash32:
        """The outputs digest: a function of the chain below the seal."""
        if not self.is_seal:
            return ZERO32
        return Hash32(hashlib.sha256(b"outputs" + self.parent).digest())

    def reference(self) -> BlockReference:
        return BlockReference(self.digest(), self.view, self.parent, self.outputs())


class ProposalMessage(NamedTuple):
    proposal: Proposal
    block: SimulatedBlock
    certificates: tuple[Certificate, ...]


class VoteMessage(NamedTuple):
    vote: Vote


class CertificatesMessage(NamedTuple):
    epoch: Epoch
    certificates: tuple[Certificate, ...]


class CertificatesWanted(NamedTuple):
    epoch: Epoch
    first: View
    last: View


class BlockWanted(NamedTuple):
    digest: Hash32


class BlocksMessage(NamedTuple):
    """Newest first."""

    blocks: tuple[SimulatedBlock, ...]


class TransactionMessage(NamedTuple):
    transaction: int


Message = (
    ProposalMessage
    | VoteMessage
    | CertificatesMessage
    | CertificatesWanted
    | BlockWanted
    | BlocksMessage
    | TransactionMessage
)
