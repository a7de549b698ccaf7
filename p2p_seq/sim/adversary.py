"""Byzantine members. They follow the protocol where that keeps them in the game and lie where it may hurt."""

from typing import TYPE_CHECKING

from p2p_seq.consensus.types import BroadcastProposal, Effect, Proposal
from p2p_seq.protocol.types import Epoch, Signature
from p2p_seq.protocol.votes import (
    Certificate,
    Vote,
    VoteKind,
    VoteStatement,
    nullify,
    slot_of,
)
from p2p_seq.sim.blocks import CertificatesMessage, Message, ProposalMessage, VoteMessage
from p2p_seq.sim.node import Node
from p2p_seq.sim.scenario import Behaviour

if TYPE_CHECKING:
    from p2p_seq.sim.world import World


class Twin(Node):
    """One of two honest copies with one key and separate guards."""

    is_honest = False


class Silent(Node):
    """Follows and never sends."""

    is_honest = False

    def send(self, node: int, message: Message) -> None:
        return


class Equivocator(Node):
    """Two blocks per turn, every vote for everything, certificates kept back."""

    is_honest = False

    def cast(self, statement: VoteStatement) -> None:
        self._vote(statement)
        if statement.kind is VoteKind.NOTARIZE:
            self._vote(nullify(statement.epoch, statement.view))
            self._vote(statement._replace(kind=VoteKind.FINALIZE))

    def _vote(self, statement: VoteStatement) -> None:
        """Sign without a guard, to a random part of the network."""
        own = self.core.instance.own_index
        if own is None:
            return
        self.world.monitor.vote_cast(self.key, statement, is_honest=False)
        vote = Vote(statement, own, Signature(bytes([self.identity]) * 64))
        for node in range(self.world.scenario.nodes):
            if node != self.identity and self.world.chance.random() < 0.7:
                self.send(node, VoteMessage(vote))

    def _perform(self, effect: Effect, epoch: Epoch) -> None:
        if isinstance(effect, BroadcastProposal):
            self._propose_twice(effect.proposal, effect.certificates)
        else:
            super()._perform(effect, epoch)

    def _propose_twice(
        self, proposal: Proposal, certificates: tuple[Certificate, ...]
    ) -> None:
        """One block to some, another to the others; notarize votes for both."""
        block = self.bodies[proposal.block.digest]
        proposals = [ProposalMessage(proposal, block, certificates)]
        if proposal.block.view == proposal.view:
            other = block._replace(salt=block.salt + 1)
            reference = other.reference()
            self.bodies[reference.digest] = other
            proposals.append(
                ProposalMessage(proposal._replace(block=reference), other, certificates)
            )
        for node in range(self.world.scenario.nodes):
            if node != self.identity:
                self.send(node, self.world.chance.choice(proposals))
        for message in proposals:
            kind = VoteKind.NOTARIZE
            chosen = message.proposal
            self._vote(chosen.block.statement(kind, chosen.epoch, chosen.view))

    def receive(self, source: int, message: Message) -> None:
        if isinstance(message, ProposalMessage) and message.proposal.epoch == self.epoch:
            proposal = message.proposal
            kind = VoteKind.NOTARIZE
            self._vote(proposal.block.statement(kind, proposal.epoch, proposal.view))
        super().receive(source, message)

    def send(self, node: int, message: Message) -> None:
        hoards = isinstance(message, CertificatesMessage) and self.world.chance.random() < 0.8
        if not hoards:
            super().send(node, message)


class Strategist(Equivocator):
    """Never two statements in one ZF slot, so that Z+F and F+F evidence never arises (pitfall E1).

    In each view it decides once: finalize what is notarized or nullify; and it shows that to a part only.
    """

    def cast(self, statement: VoteStatement) -> None:
        self._vote(statement)
        if statement.kind is VoteKind.NOTARIZE and self.world.chance.random() < 0.3:
            self._vote(nullify(statement.epoch, statement.view))

    def _vote(self, statement: VoteStatement) -> None:
        if statement.kind is not VoteKind.NOTARIZE:
            slot = (statement.epoch, statement.view, int(slot_of(statement.kind)))
            if self.disk.guard.setdefault(slot, statement) != statement:
                return
        super()._vote(statement)


def make_node(world: "World", identity: int, behaviour: Behaviour | None) -> list[Node]:
    """The processes that hold this identity's key."""
    match behaviour:
        case None:
            return [Node(world, identity)]
        case Behaviour.SILENT:
            return [Silent(world, identity)]
        case Behaviour.TWINS:
            return [Twin(world, identity), Twin(world, identity)]
        case Behaviour.EQUIVOCATOR:
            return [Equivocator(world, identity)]
        case Behaviour.STRATEGIST:
            return [Strategist(world, identity)]
