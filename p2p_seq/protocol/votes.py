"""Votes and certificates of the consensus (PROTOCOL.md sections 4 and 10, consensus.md C.4-C.5,
relay.md 5.2).

A vote signs five words: chain id, kind with epoch and view, block digest, outputs digest, set hash.
It has no timestamp, so a replay after a crash gives identical bytes. The outputs digest is zero
unless the block is a seal, and both digests are zero in a nullify vote: a certificate therefore
tells by itself whether it certifies a seal.

A certificate is a minimal quorum of votes of one statement. Supersets are refused so that one set
of votes has few spellings and no peer can inflate it.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum, unique
from typing import NamedTuple

from coincurve import PublicKeyXOnly

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError, CodecReason, RemoteError
from p2p_seq.protocol.sets import MAX_MEMBERS, SequencerSet
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import ZERO32, Epoch, Hash32, Signature, View, XOnlyKey


@unique
class VoteKind(IntEnum):
    """What a vote says about its view."""

    NOTARIZE = 1
    """The block is valid and its parent is notarized; the views in between are nullified."""
    NULLIFY = 2
    """The signer gives the view up and will never finalize in it."""
    FINALIZE = 3
    """The block is notarized and the signer did not nullify the view."""


@unique
class Slot(IntEnum):
    """A member signs at most one statement per view and slot (PROTOCOL.md section 10).

    Each slot has one nonce, so every pair of votes that convicts reveals the key.
    """

    NOTARIZE = 1
    DECIDE = 2
    """Nullify or finalize."""


def slot_of(kind: VoteKind) -> Slot:
    """The slot that a vote uses up."""
    return Slot.NOTARIZE if kind is VoteKind.NOTARIZE else Slot.DECIDE


class VoteReason(StrEnum):
    """Why a vote or certificate is not one."""

    SIGNER = "vote-signer"
    """An index that is not in the set."""
    DIGESTS = "vote-digests"
    """A nullify vote that names a block, or another vote that names none."""
    QUORUM = "certificate-no-quorum"
    """The signers hold no more than two thirds of the weight."""
    SUPERSET = "certificate-superset"
    """Without its lightest signer it would still be a quorum."""
    SIZE = "certificate-set-size"
    """It was made for a set of another size."""
    SIGNATURE = "vote-signature"
    """A signature does not verify."""


class VoteError(RemoteError):
    """A vote or certificate that decodes but is not valid for the set."""


class VoteStatement(NamedTuple):
    """What is voted on, without the voter."""

    kind: VoteKind
    epoch: Epoch
    view: View
    block: Hash32
    """Block digest; zero in a nullify."""
    outputs: Hash32
    """Outputs digest of the epoch when the block is a seal, else zero."""

    def message(self, network: str, chain_id: Hash32, set_hash: Hash32) -> Hash32:
        """`H_vote`: the 32 bytes that are signed."""
        head = bytes(15) + bytes([self.kind]) + self.epoch.to_bytes(8, "big")
        head += self.view.to_bytes(8, "big")
        return tagged_hash(network, Tag.VOTE, chain_id, head, self.block, self.outputs, set_hash)

    def write(self, writer: Writer) -> None:
        """kind u8 | epoch u64 | view u64 | block 32 | outputs 32 = 81 bytes."""
        writer.u8(self.kind).u64(self.epoch).u64(self.view)
        writer.hash32(self.block).hash32(self.outputs)

    @classmethod
    def read(cls, reader: Reader) -> "VoteStatement":
        """Inverse of `write`. Raises CodecError; a statement that is read has the digests of its
        kind.
        """
        kind = VoteKind(reader.u8(VoteKind.NOTARIZE, VoteKind.FINALIZE))
        epoch = Epoch(reader.u64())
        view = View(reader.u64(1))
        block, outputs = reader.hash32(), reader.hash32()
        nullify = kind is VoteKind.NULLIFY
        if nullify != (block == ZERO32) or (nullify and outputs != ZERO32):
            raise CodecError(CodecReason.VALUE, "digests do not fit the kind of vote")
        return cls(kind, epoch, view, block, outputs)

    @property
    def is_seal(self) -> bool:
        """Whether the block is a seal: only then are outputs voted on."""
        return self.outputs != ZERO32


def vote_message(
    network: str, chain_id: Hash32, statement: VoteStatement, set_hash: Hash32
) -> Hash32:
    """The signed message of a vote; the same as `statement.message(...)`."""
    return statement.message(network, chain_id, set_hash)


def nullify(epoch: Epoch, view: View) -> VoteStatement:
    """The one nullify statement of a view."""
    return VoteStatement(VoteKind.NULLIFY, epoch, view, ZERO32, ZERO32)


def proposal_message(
    network: str, chain_id: Hash32, epoch: Epoch, view: View, base_view: View, block: Hash32
) -> Hash32:
    """What a leader signs (ordinary nonce, its own tag) so that nobody else can fill its view."""
    numbers = b"".join(number.to_bytes(8, "big") for number in (epoch, view, base_view))
    return tagged_hash(network, Tag.PROPOSAL, chain_id, numbers, block)


class SignatureCheck(NamedTuple):
    """One BIP340 verification, ready to be sent to a worker process."""

    key: XOnlyKey
    message: Hash32
    signature: Signature


def verify_signatures(checks: Iterable[SignatureCheck]) -> bool:
    """Whether all signatures hold. CPU only: 27 us each; a shell runs many of them in worker
    processes.
    """
    for check in checks:
        try:
            if not PublicKeyXOnly(check.key).verify(check.signature, check.message):
                return False
        except ValueError:  # not a point of the curve, or not 64 bytes
            return False
    return True


class Vote(NamedTuple):
    """A signed vote of one member. Wire: statement 81 | signer u16 | signature 64 = 147 bytes."""

    statement: VoteStatement
    signer: int
    signature: Signature

    def encode(self) -> bytes:
        writer = Writer()
        self.statement.write(writer)
        return writer.u16(self.signer).fixed(self.signature, 64).bytes()

    @classmethod
    def decode(cls, encoded: bytes) -> "Vote":
        """Raises CodecError on anything that `encode` could not have written."""
        reader = Reader(encoded)
        statement = VoteStatement.read(reader)
        vote = cls(statement, reader.u16(0, MAX_MEMBERS - 1), reader.signature())
        reader.finish()
        return vote

    def check(self, members: SequencerSet, chain_id: Hash32, network: str) -> SignatureCheck:
        """The verification that makes this vote count. Raises VoteError when the signer is no
        member.
        """
        if self.signer >= len(members):
            raise VoteError(VoteReason.SIGNER, f"{self.signer} of {len(members)}")
        message = self.statement.message(network, chain_id, members.digest(network))
        return SignatureCheck(members.key(self.signer), message, self.signature)


class Certificate(NamedTuple):
    """A minimal quorum of one statement.

    Wire: statement 81 | n u8 | bitmap ceil(n/8), member i in bit i%8 (least significant first) of
    byte i//8 |
    64-byte signatures by ascending index.
    """

    statement: VoteStatement
    members: int
    """Size of the set that voted."""
    signers: tuple[int, ...]
    """Ascending, distinct."""
    signatures: tuple[Signature, ...]
    """One for each signer, in the same order."""

    @property
    def view(self) -> View:
        return self.statement.view

    @classmethod
    def form(
        cls, statement: VoteStatement, signatures: Mapping[int, Signature], members: SequencerSet
    ) -> "Certificate | None":
        """The certificate of the heaviest voters, or None without a quorum.

        The set order is by weight, so taking ascending indices until a quorum is reached is
        minimal.
        """
        signed = 0
        signers: list[int] = []
        for index in sorted(signatures):
            signers.append(index)
            signed += members.weights[index]
            if members.is_quorum(signed):
                chosen = tuple(signatures[signer] for signer in signers)
                return cls(statement, len(members), tuple(signers), chosen)
        return None

    def check_quorum(self, members: SequencerSet) -> None:
        """Raises VoteError unless the signers are a minimal quorum of this set."""
        if self.members != len(members):
            raise VoteError(VoteReason.SIZE, f"{self.members}, not {len(members)}")
        if not self.signers or self.signers[-1] >= len(members):
            raise VoteError(VoteReason.SIGNER, f"{self.signers} of {len(members)}")
        signed = members.weight_of(self.signers)
        if not members.is_quorum(signed):
            raise VoteError(VoteReason.QUORUM, f"{signed} of {members.total}")
        lightest = min(members.weights[index] for index in self.signers)
        if members.is_quorum(signed - lightest):
            raise VoteError(VoteReason.SUPERSET, f"{signed} of {members.total}")

    def checks(self, members: SequencerSet, chain_id: Hash32, network: str) -> list[SignatureCheck]:
        """The verifications that make this certificate count, after `check_quorum`. Raises
        VoteError.
        """
        self.check_quorum(members)
        message = self.statement.message(network, chain_id, members.digest(network))
        return [
            SignatureCheck(members.key(index), message, signature)
            for index, signature in zip(self.signers, self.signatures, strict=True)
        ]

    def verify(self, members: SequencerSet, chain_id: Hash32, network: str) -> None:
        """Raises VoteError unless this is a valid certificate of the set."""
        if not verify_signatures(self.checks(members, chain_id, network)):
            raise VoteError(VoteReason.SIGNATURE, f"view {self.view}")

    def votes(self) -> list[Vote]:
        """The votes it is made of: evidence of a fork is searched among them."""
        return [
            Vote(self.statement, index, signature)
            for index, signature in zip(self.signers, self.signatures, strict=True)
        ]

    def write(self, writer: Writer) -> None:
        self.statement.write(writer)
        bitmap = bytearray((self.members + 7) // 8)
        for index in self.signers:
            bitmap[index // 8] |= 1 << (index % 8)
        writer.u8(self.members).fixed(bytes(bitmap), len(bitmap))
        for signature in self.signatures:
            writer.fixed(signature, 64)

    @classmethod
    def read(cls, reader: Reader) -> "Certificate":
        """Inverse of `write`. Raises CodecError, also on bits beyond the set and on an empty
        bitmap.
        """
        statement = VoteStatement.read(reader)
        members = reader.u8(1, MAX_MEMBERS)
        bitmap = int.from_bytes(reader.fixed((members + 7) // 8), "little")
        if bitmap == 0 or bitmap >> members:
            raise CodecError(CodecReason.VALUE, "bitmap is empty or names members beyond the set")
        signers = tuple(index for index in range(members) if bitmap >> index & 1)
        return cls(statement, members, signers, tuple(reader.signature() for _ in signers))

    def encode(self) -> bytes:
        writer = Writer()
        self.write(writer)
        return writer.bytes()

    @classmethod
    def decode(cls, encoded: bytes) -> "Certificate":
        """Raises CodecError on anything that `encode` could not have written."""
        reader = Reader(encoded)
        certificate = cls.read(reader)
        reader.finish()
        return certificate


class Conflict(NamedTuple):
    """Two votes of one member in one view that no honest member signs (consensus.md C.4).

    N+N, Z+F and F+F with different statements. With committed nonces each of them reveals the key.
    """

    first: Vote
    second: Vote


def conflicting(first: VoteStatement, second: VoteStatement) -> bool:
    """Whether one honest member can never have signed both statements."""
    if (first.epoch, first.view) != (second.epoch, second.view) or first == second:
        return False
    return slot_of(first.kind) is slot_of(second.kind)
