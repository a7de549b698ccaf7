"""What enters and leaves the consensus core: blocks as votes see them, inputs, effects, durable
records.

Everything that enters is already authentic: the shell has checked every signature and digest. What
is authentic may still be wrong, late or conflicting; the core judges that.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum, unique
from typing import NamedTuple

from p2p_seq.consensus.schedule import LeaderSchedule
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.types import ZERO32, Epoch, Hash32, View
from p2p_seq.protocol.votes import Certificate, Conflict, Vote, VoteKind, VoteStatement

ROOT_VIEW = View(0)
"""View of an instance's root: the seal of the epoch before, or genesis."""

Peer = int
"""Index of a member, or a negative number that the shell gives to a peer outside the set."""


class BlockReference(NamedTuple):
    """A block as consensus sees it; all of it is bound by the digest."""

    digest: Hash32
    view: View
    """View of its header: the view in which it was first proposed."""
    parent: Hash32
    """Digest of the parent."""
    outputs: Hash32
    """Outputs digest of the epoch when the block is its seal, else zero."""

    @property
    def is_seal(self) -> bool:
        return self.outputs != ZERO32

    def statement(self, kind: VoteKind, epoch: Epoch, view: View) -> VoteStatement:
        """The notarize or finalize statement about this block in a view."""
        return VoteStatement(kind, epoch, view, self.digest, self.outputs)

    def write(self, writer: Writer) -> None:
        writer.hash32(self.digest).u64(self.view).hash32(self.parent).hash32(self.outputs)

    @classmethod
    def read(cls, reader: Reader) -> "BlockReference":
        return cls(reader.hash32(), View(reader.u64(1)), reader.hash32(), reader.hash32())


class Proposal(NamedTuple):
    """A leader's block for a view, and the notarized view it stands on.

    A new block has `block.view == view` and stands on its parent. The re-proposal of a notarized
    seal has `block.view < view` and stands on the seal itself (PROTOCOL.md section 4, SEALED).
    """

    epoch: Epoch
    view: View
    base_view: View
    block: BlockReference

    def write(self, writer: Writer) -> None:
        writer.u64(self.epoch).u64(self.view).u64(self.base_view)
        self.block.write(writer)

    @classmethod
    def read(cls, reader: Reader) -> "Proposal":
        """Raises CodecError; views of a proposal that is read are in order."""
        epoch, view, base = Epoch(reader.u64()), View(reader.u64(1)), View(reader.u64())
        proposal = cls(epoch, view, base, BlockReference.read(reader))
        if not base < view or proposal.block.view > view:
            raise CodecError(CodecReason.VALUE, "a proposal stands on an earlier view")
        return proposal

    def encode(self) -> bytes:
        writer = Writer()
        self.write(writer)
        return writer.bytes()

    @classmethod
    def decode(cls, encoded: bytes) -> "Proposal":
        reader = Reader(encoded)
        proposal = cls.read(reader)
        reader.finish()
        return proposal


@dataclass(frozen=True, slots=True)
class Instance:
    """The constants of one epoch's consensus."""

    epoch: Epoch
    members: SequencerSet
    schedule: LeaderSchedule
    root: Hash32
    """Digest of the seal of the epoch before, or of genesis."""
    own_index: int | None
    """Own position in the set; None for a node that only follows (full node, silent member)."""
    unheard: tuple[int, ...] = ()
    """By index: views since each member was heard, as `unheard_views` of the epoch before said.

    So a dead member is not waited for anew in every epoch. Empty: all were just heard.
    """


@unique
class TimerKind(Enum):
    """The core's four timers."""

    LEADER = "leader"
    """No proposal yet: give the view up."""
    ADVANCE = "advance"
    """The view is not certified yet: give it up."""
    REQUIRE = "require"
    """The leader must extend an unfinalised block even without work."""
    STANDSTILL = "standstill"
    """Nothing was finalised for a while: say everything again."""


class TimerId(NamedTuple):
    kind: TimerKind
    view: View
    """0 for the standstill timer."""


STANDSTILL = TimerId(TimerKind.STANDSTILL, View(0))


@unique
class Verdict(Enum):
    """What the shell says about a proposed block."""

    VALID = "valid"
    INVALID = "invalid"
    """Breaks a rule that holds for everybody: the view is given up at once."""
    UNAVAILABLE = "unavailable"
    """Cannot be judged yet (origin not deep enough here, parent or bundle missing): asked again
    later.
    """


@unique
class RecordTag(IntEnum):
    CERTIFICATE = 1
    PROPOSAL = 2


class CertificateRecord(NamedTuple):
    """A certificate is durable before it is sent or acted on (consensus.md C.7, D.6)."""

    certificate: Certificate

    def encode(self) -> bytes:
        writer = Writer().u8(RecordTag.CERTIFICATE)
        self.certificate.write(writer)
        return writer.bytes()


class ProposalRecord(NamedTuple):
    """A proposal this node made or notarizes; the shell stores its body in the same commit."""

    proposal: Proposal

    def encode(self) -> bytes:
        writer = Writer().u8(RecordTag.PROPOSAL)
        self.proposal.write(writer)
        return writer.bytes()


Record = CertificateRecord | ProposalRecord


def decode_record(encoded: bytes) -> Record:
    """Inverse of a record's `encode`. Raises CodecError."""
    reader = Reader(encoded)
    record: Record
    if reader.u8(RecordTag.CERTIFICATE, RecordTag.PROPOSAL) == RecordTag.CERTIFICATE:
        record = CertificateRecord(Certificate.read(reader))
    else:
        record = ProposalRecord(Proposal.read(reader))
    reader.finish()
    return record


@dataclass(frozen=True, slots=True)
class Start:
    """First input of an instance, new or restored."""


@dataclass(frozen=True, slots=True)
class ProposalReceived:
    """A proposal signed by the leader of its view; its certificates are an earlier input."""

    proposal: Proposal


@dataclass(frozen=True, slots=True)
class BlocksFetched:
    """Answer to `FetchBlock`: the block, and possibly ancestors after it, newest first."""

    blocks: tuple[BlockReference, ...]


@dataclass(frozen=True, slots=True)
class BlockVerdict:
    """Answer to `ValidateBlock`. After UNAVAILABLE the shell may answer again at any time."""

    digest: Hash32
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class BlockBuilt:
    """Answer to `BuildBlock`."""

    block: BlockReference


@dataclass(frozen=True, slots=True)
class VotesReceived:
    """Votes whose signatures hold; own votes come back by this input too."""

    peer: Peer
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True)
class CertificatesReceived:
    """Certificates that verify."""

    peer: Peer
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class CertificatesRequested:
    """A peer asks for what happened from view `first` to `last`."""

    peer: Peer
    first: View
    last: View


@dataclass(frozen=True, slots=True)
class OldMessage:
    """A vote or certificate that `wants_vote` or `wants_certificate` declined, unverified.

    Who still says things that are final here is behind and gets the finality certificate.
    """

    peer: Peer
    statement: VoteStatement
    is_certificate: bool


@dataclass(frozen=True, slots=True)
class WorkChanged:
    """Whether a pending transaction or a new eligible origin is known: a reason for a block."""

    has_work: bool


@dataclass(frozen=True, slots=True)
class TimerFired:
    timer: TimerId


Input = (
    Start
    | ProposalReceived
    | BlocksFetched
    | BlockVerdict
    | BlockBuilt
    | VotesReceived
    | CertificatesReceived
    | CertificatesRequested
    | OldMessage
    | WorkChanged
    | TimerFired
)


@dataclass(frozen=True, slots=True)
class Persist:
    """One commit; durable before any later effect of the list is performed."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class CastVote:
    """Ask the guard, sign, broadcast, feed the vote back. Repeated after loss: the bytes are the
    same.
    """

    statement: VoteStatement


@dataclass(frozen=True, slots=True)
class BroadcastProposal:
    """Sign and send with the block's body and the certificates that prove its base."""

    proposal: Proposal
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class BroadcastCertificates:
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class SendTo:
    peer: Peer
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class BuildBlock:
    """Own turn: answer with `BlockBuilt` when there is a reason for a block.

    With `required` also without one: an empty block that makes its parent final.
    """

    view: View
    base_view: View
    parent: Hash32
    required: bool


@dataclass(frozen=True, slots=True)
class ValidateBlock:
    """Answer with `BlockVerdict`: on the block and its ancestors, never on the view."""

    proposal: Proposal


@dataclass(frozen=True, slots=True)
class FetchBlock:
    """A certified block that is missing here; answer with `BlocksFetched`, from disk if it is
    there.
    """

    digest: Hash32


@dataclass(frozen=True, slots=True)
class FetchCertificates:
    """Ask peers by `CertificatesRequested`."""

    first: View
    last: View


@dataclass(frozen=True, slots=True)
class SetTimer:
    """(Re)start a timer; it answers with `TimerFired` unless it is cancelled."""

    timer: TimerId
    delay_ms: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    timer: TimerId


@dataclass(frozen=True, slots=True)
class ViewEntered:
    """For status lines, and to drop a block that is being built for an earlier view."""

    view: View
    leader: int


@dataclass(frozen=True, slots=True)
class Finalized:
    """These blocks are final, oldest first; the certificate is the last one's.

    With `sealed` the last block is the epoch's seal and the instance has ended.
    """

    blocks: tuple[Hash32, ...]
    certificate: Certificate
    sealed: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """A member signed two votes that no honest member signs."""

    conflict: Conflict


@dataclass(frozen=True, slots=True)
class ForkDetected:
    """Two finality certificates that cannot both be: the instance votes no more (PROTOCOL 8.1)."""

    first: Certificate
    second: Certificate


Effect = (
    Persist
    | CastVote
    | BroadcastProposal
    | BroadcastCertificates
    | SendTo
    | BuildBlock
    | ValidateBlock
    | FetchBlock
    | FetchCertificates
    | SetTimer
    | CancelTimer
    | ViewEntered
    | Finalized
    | Evidence
    | ForkDetected
)
