"""What peers send to consensus: decoded, checked, and given to the core.

Everything here is hostile until it is checked. What the core would not take is not verified; what
it declines tells that its sender is behind. Messages of an older epoch are answered with that
epoch's seal, and who hears of a newer one asks for the seal of its own.

Nodes do not end an epoch in the same moment. What a member says about the next epoch while this
node still writes the seal is held until its own instance starts: nobody says it again before the
standstill, and with one of four down every vote is needed.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import trio

from p2p_seq.chain.chain import Chain
from p2p_seq.consensus.bodies import Bodies
from p2p_seq.consensus.core import Simplex
from p2p_seq.consensus.messages import (
    CertificatesFrame,
    CertificatesWanted,
    Frame,
    ProposalFrame,
    VotesFrame,
    decode_frame,
    message_of_proposal,
)
from p2p_seq.consensus.peers import PeerNumbers
from p2p_seq.consensus.signing import VoteSigner
from p2p_seq.consensus.types import (
    CertificatesReceived,
    CertificatesRequested,
    Input,
    OldMessage,
    ProposalReceived,
    VotesReceived,
)
from p2p_seq.network.types import Channel, Inbox, Network, PeerId, PenaltyReason
from p2p_seq.observability.logs import room_logger
from p2p_seq.protocol.blocks import Block
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.types import Epoch, View
from p2p_seq.protocol.votes import (
    Certificate,
    SignatureCheck,
    Vote,
    VoteError,
    verify_signatures,
)

log = room_logger("consensus")

QUESTION_INTERVAL_S: Final = 0.3
"""A node that is epochs behind asks at most so often."""


HELD_FRAMES_MAX: Final = 16
"""Frames about the next epoch that are held for one member; later ones are dropped."""

HELD_BYTES_MAX: Final = 4 * 1024 * 1024
"""Their bytes, likewise: two blocks of the largest size."""


class _Held:
    """What one member has said about the next epoch."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._bytes = 0

    def add(self, frame: Frame, size: int) -> None:
        if len(self.frames) < HELD_FRAMES_MAX and self._bytes + size <= HELD_BYTES_MAX:
            self.frames.append(frame)
            self._bytes += size


def epoch_of(frame: Frame) -> Epoch | None:
    """The epoch that a frame is about; None for a question, and for no votes at all."""
    match frame:
        case ProposalFrame(proposal):
            return proposal.epoch
        case VotesFrame(votes):
            return votes[0].statement.epoch if votes else None
        case CertificatesFrame(epoch, _):
            return epoch
        case CertificatesWanted():
            return None


class Host(Protocol):
    """Who runs the instance that messages are for."""

    @property
    def core(self) -> Simplex | None:
        """The running instance; another one as soon as an epoch is sealed."""
        ...

    @property
    def peers(self) -> PeerNumbers[PeerId]:
        """The numbers by which that instance knows peers."""
        ...

    def feed(self, event: Input) -> None:
        """Give the core an input and do what it wants."""
        ...

    def update_work(self) -> None:
        """The best base may be another one now."""
        ...


class Intake:
    """One node's door for frames of peers."""

    def __init__(
        self, chain: Chain, network: Network, signer: VoteSigner, bodies: Bodies, host: Host
    ) -> None:
        self._chain = chain
        self._network = network
        self._signer = signer
        self._bodies = bodies
        self._host = host
        self._asked_at = -QUESTION_INTERVAL_S
        self._held: dict[PeerId, _Held] = {}

    async def read(self, inbox: Inbox) -> None:
        """Take what comes, until cancelled; who sends nonsense is penalised."""
        async for received in inbox:
            try:
                frame = decode_frame(received.payload)
                self._hold_if_early(received.peer, frame, len(received.payload))
                self._take(received.peer, frame)
            except RemoteError as error:
                log.info("message_refused", peer=received.peer, why=str(error))
                self._network.penalize(received.peer, PenaltyReason.INVALID_MESSAGE)
            await trio.lowlevel.checkpoint()

    def take_held(self) -> None:
        """An instance has started: take what was said about it before."""
        held, self._held = self._held, {}
        for peer, early in held.items():
            for frame in early.frames:
                try:
                    self._take(peer, frame)
                except RemoteError as error:
                    log.info("message_refused", peer=peer, why=str(error))
                    self._network.penalize(peer, PenaltyReason.INVALID_MESSAGE)

    def _hold_if_early(self, peer: PeerId, frame: Frame, size: int) -> None:
        core = self._host.core
        if core is None or self._host.peers.number(peer) < 0:
            return
        if epoch_of(frame) == core.instance.epoch + 1:
            self._held.setdefault(peer, _Held()).add(frame, size)

    def _take(self, peer: PeerId, frame: Frame) -> None:
        if self._host.core is None:
            return
        match frame:
            case ProposalFrame():
                self._take_proposal(peer, frame)
            case VotesFrame(votes):
                self._take_votes(peer, votes)
            case CertificatesFrame(epoch, certificates):
                self._take_certificates(peer, epoch, certificates)
            case CertificatesWanted(epoch, first, last):
                if self._is_current(peer, epoch):
                    self._host.feed(
                        CertificatesRequested(self._host.peers.number(peer), first, last)
                    )

    def _is_current(self, peer: PeerId, epoch: Epoch) -> bool:
        """Serve those who are behind, ask those who are ahead."""
        core = self._host.core
        if core is None:
            return False
        own = core.instance.epoch
        if epoch < own:
            sealed = self._chain.store.sealed(epoch)
            if sealed is not None:
                frame = CertificatesFrame(epoch, (Certificate.decode(sealed.certificate),))
                self._network.send(peer, Channel.CONSENSUS, frame.encode())
        elif epoch > own and trio.current_time() - self._asked_at >= QUESTION_INTERVAL_S:
            self._asked_at = trio.current_time()
            first = View(core.state.certificates.final_view + 1)
            wanted = CertificatesWanted(own, first, View(max(core.view, first)))
            self._network.send(peer, Channel.CONSENSUS, wanted.encode())
        return epoch == own

    def _take_proposal(self, peer: PeerId, frame: ProposalFrame) -> None:
        core, proposal = self._host.core, frame.proposal
        if core is None or not self._is_current(peer, proposal.epoch):
            return
        if not core.wants_proposal(proposal.epoch, proposal.view):
            return
        key = core.instance.members.key(core.leader(proposal.view))
        check = SignatureCheck(
            key,
            message_of_proposal(self._chain.params.network, self._chain.chain_id, proposal),
            frame.signature,
        )
        if not verify_signatures([check]):
            self._network.penalize(peer, PenaltyReason.INVALID_MESSAGE)
            return
        block = Block.decode(frame.block, self._chain.params.network)
        if self._chain.reference(block) != proposal.block:
            self._network.penalize(peer, PenaltyReason.INVALID_MESSAGE)
            return
        self._bodies.put(proposal.block.digest, block)
        log.debug("proposal_received", view=proposal.view)
        self._take_certificates(peer, proposal.epoch, frame.certificates)
        if self._host.core is core:
            self._host.feed(ProposalReceived(proposal))

    def _take_votes(self, peer: PeerId, votes: Sequence[Vote]) -> None:
        core = self._host.core
        number = self._host.peers.number(peer)
        wanted: list[Vote] = []
        if core is None:
            return
        has_foreign = False
        for vote in votes:
            epoch = vote.statement.epoch
            if epoch != core.instance.epoch:
                if not has_foreign:  # one answer a frame, however many old votes are in it
                    self._is_current(peer, epoch)
                has_foreign = True
                continue
            if not core.wants_vote(vote):
                self._host.feed(OldMessage(number, vote.statement, is_certificate=False))
                continue
            wanted.append(vote)
        if not wanted:
            return
        members = core.instance.members
        network = self._chain.params.network
        good = [
            vote
            for vote in wanted
            if verify_signatures([vote.check(members, self._chain.chain_id, network)])
        ]
        if len(good) != len(wanted):
            self._network.penalize(peer, PenaltyReason.INVALID_MESSAGE)
        own = core.instance.own_index
        for vote in good:
            if vote.signer == own:
                self._signer.heard_own(members.key(vote.signer), vote.statement)
        if good:
            self._host.feed(VotesReceived(number, tuple(good)))
            self._host.update_work()

    def _take_certificates(
        self, peer: PeerId, epoch: Epoch, certificates: Sequence[Certificate]
    ) -> None:
        core = self._host.core
        if core is None or not certificates:
            return
        if epoch < core.instance.epoch:
            if any(not certificate.statement.is_seal for certificate in certificates):
                self._is_current(peer, epoch)
            return
        if not self._is_current(peer, epoch):
            return
        number = self._host.peers.number(peer)
        good: list[Certificate] = []
        for certificate in certificates:
            if not core.wants_certificate(certificate.statement):
                self._host.feed(OldMessage(number, certificate.statement, is_certificate=True))
                continue
            try:
                certificate.verify(
                    core.instance.members, self._chain.chain_id, self._chain.params.network
                )
            except VoteError:
                self._network.penalize(peer, PenaltyReason.INVALID_MESSAGE)
                continue
            good.append(certificate)
        if good and self._host.core is core:
            self._host.feed(CertificatesReceived(number, tuple(good)))
            self._host.update_work()
