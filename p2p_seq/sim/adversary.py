"""Byzantine members: they follow the protocol to stay in the game, and lie elsewhere."""

import random

from p2p_seq.consensus.types import BroadcastProposal, Effect, Proposal
from p2p_seq.protocol.types import Epoch, Signature, View
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


class Twin(Node):
    """One of two honest copies with one key and separate guards."""

    is_honest = False


class Silent(Node):
    """Follows and never sends."""

    is_honest = False

    def send(self, node: int, message: Message) -> None:
        return


class Equivocator(Node):
    """Two blocks per turn, votes for everything, certificates kept back.

    In every view it deals the others into two sides. A side sees one of its two blocks, and the
    votes that make this block look good; some of the votes also reach the other side.
    """

    is_honest = False
    leak = 0.3
    """Chance that a vote is shown to the wrong side too."""

    def cast(self, statement: VoteStatement) -> None:
        self._support(statement, range(self.world.scenario.nodes))

    def _support(self, notarize: VoteStatement, targets: "range | list[int]") -> None:
        """Every vote that helps a block, to these nodes; the nullify to whom chance picks."""
        self._vote(notarize, targets)
        if notarize.kind is VoteKind.NOTARIZE:
            self._vote(notarize._replace(kind=VoteKind.FINALIZE), targets)
            if self.world.chance.random() < 0.5:
                self._vote(nullify(notarize.epoch, notarize.view), targets)

    def _vote(self, statement: VoteStatement, targets: "range | list[int]") -> None:
        """Sign without a guard."""
        own = self.core.instance.own_index
        if own is None:
            return
        self.world.monitor.vote_cast(self.key, statement, is_honest=False)
        vote = Vote(statement, own, Signature(bytes([self.identity]) * 64))
        for node in range(self.world.scenario.nodes):
            chosen = node in targets or self.world.chance.random() < self.leak
            if node != self.identity and chosen:
                self.send(node, VoteMessage(vote))

    def _side(self, view: View, side: int) -> list[int]:
        """The nodes that see this side's block in a view."""
        deal = random.Random(f"side {self.world.scenario.seed} {self.epoch} {view}")
        return [node for node in range(self.world.scenario.nodes) if deal.randrange(2) == side]

    def _perform(self, effect: Effect, epoch: Epoch) -> None:
        if isinstance(effect, BroadcastProposal):
            self._propose_twice(effect.proposal, effect.certificates)
        else:
            super()._perform(effect, epoch)

    def _propose_twice(self, proposal: Proposal, certificates: tuple[Certificate, ...]) -> None:
        block = self.bodies[proposal.block.digest]
        messages = [ProposalMessage(proposal, block, certificates)]
        if proposal.block.view == proposal.view:
            messages.append(self._rival(messages[0]))
        for side, message in enumerate(messages):
            targets = self._side(proposal.view, side)
            for node in targets:
                if node != self.identity:
                    self.send(node, message)
            chosen = message.proposal
            statement = chosen.block.statement(VoteKind.NOTARIZE, chosen.epoch, chosen.view)
            self._support(statement, targets)

    def _rival(self, message: ProposalMessage) -> ProposalMessage:
        """Another block for the same view: a copy, or one that skips its sibling without proof."""
        proposal, block, certificates = message
        parent = self.bodies.get(block.parent)
        grandparent = self.bodies.get(parent.parent) if parent else None
        other = block._replace(salt=block.salt + 1)
        base_view = proposal.base_view
        wants_skip = self.world.chance.random() < 0.6
        if wants_skip and parent and grandparent and parent.epoch == self.epoch and parent.view:
            base_view = grandparent.view if grandparent.epoch == self.epoch else View(0)
            other = other._replace(
                parent=parent.parent,
                height=parent.height,
                origin=parent.origin,
                origin_hash=parent.origin_hash,
                is_seal=False,
                transactions=(),
            )
        reference = other.reference()
        self.bodies[reference.digest] = other
        rival = Proposal(proposal.epoch, proposal.view, base_view, reference)
        return ProposalMessage(rival, other, certificates)

    def receive(self, source: int, message: Message) -> None:
        if isinstance(message, ProposalMessage) and message.proposal.epoch == self.epoch:
            proposal = message.proposal
            kind = VoteKind.NOTARIZE
            statement = proposal.block.statement(kind, proposal.epoch, proposal.view)
            self._support(statement, range(self.world.scenario.nodes))
        super().receive(source, message)

    def send(self, node: int, message: Message) -> None:
        hoards = isinstance(message, CertificatesMessage) and self.world.chance.random() < 0.8
        if not hoards:
            super().send(node, message)


class Strategist(Equivocator):
    """Never two statements in one ZF slot: no Z+F, no F+F evidence arises (pitfall E1)."""

    leak = 0.0

    def _vote(self, statement: VoteStatement, targets: "range | list[int]") -> None:
        if statement.kind is not VoteKind.NOTARIZE:
            slot = (statement.epoch, statement.view, int(slot_of(statement.kind)))
            if self.disk.guard.setdefault(slot, statement) != statement:
                return
        super()._vote(statement, targets)


PROCESSES: dict[Behaviour, tuple[type[Node], ...]] = {
    Behaviour.SILENT: (Silent,),
    Behaviour.TWINS: (Twin, Twin),
    Behaviour.EQUIVOCATOR: (Equivocator,),
    Behaviour.STRATEGIST: (Strategist,),
}
"""The processes that hold a Byzantine member's key."""
