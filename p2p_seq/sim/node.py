"""An honest node of the simulation: the shell around the real core, with a disk that survives
crashes.

What is durable is in `Disk`; everything else is lost in a crash. A crash may happen at every named
point around a durable write, as on a real machine.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from p2p_seq.consensus.origin import (
    OriginRules,
    OriginVerdict,
    is_origin_work,
    judge_origin,
    propose_origin,
)
from p2p_seq.consensus.schedule import LeaderSchedule
from p2p_seq.consensus.types import (
    ROOT_VIEW,
    BlockBuilt,
    BlocksFetched,
    BlockVerdict,
    BroadcastCertificates,
    BroadcastProposal,
    BuildBlock,
    CancelTimer,
    CastVote,
    CertificateRecord,
    CertificatesReceived,
    CertificatesRequested,
    Effect,
    Evidence,
    FetchBlock,
    FetchCertificates,
    Finalized,
    ForkDetected,
    Input,
    Instance,
    OldMessage,
    Persist,
    ProposalReceived,
    Record,
    SendTo,
    SetTimer,
    Start,
    TimerFired,
    TimerId,
    ValidateBlock,
    Verdict,
    ViewEntered,
    VotesReceived,
    WorkChanged,
)
from p2p_seq.protocol.types import Epoch, Hash32, Height, Signature, View, XOnlyKey
from p2p_seq.protocol.votes import Certificate, Vote, VoteStatement, slot_of
from p2p_seq.sim.blocks import (
    BlocksMessage,
    BlockWanted,
    CertificatesMessage,
    CertificatesWanted,
    Message,
    ProposalMessage,
    SimulatedBlock,
    TransactionMessage,
    VoteMessage,
)
from p2p_seq.sim.invariants import Invariant, Violation

if TYPE_CHECKING:
    from p2p_seq.sim.world import World

BLOCK_INTERVAL_MS = 25
"""A proposer waits so long after entering its view (PROTOCOL.md section 4)."""

TRANSACTIONS_PER_BLOCK = 8

ANCESTORS_PER_ANSWER = 8

QUESTION_INTERVAL_MS = 300
"""A node that is epochs behind asks at most so often."""

HELD_MAX = 16
"""Messages about the next epoch that are held for one node."""


MEMORY_CHECK_INPUTS = 64
"""The bound of memory is checked once in so many inputs."""


class Crashed(Exception):
    """The node dies here; nothing after this point happens."""


@dataclass(slots=True)
class Disk:
    """What a crash leaves."""

    records: dict[Epoch, list[Record]] = field(default_factory=dict)
    bodies: dict[Hash32, SimulatedBlock] = field(default_factory=dict)
    chain: list[Hash32] = field(default_factory=list)
    """Final blocks by height, genesis first."""
    seals: list[Certificate] = field(default_factory=list)
    """Finality of the seal of each finished epoch."""
    guard: dict[tuple[Epoch, View, int], VoteStatement] = field(default_factory=dict)


class Node:
    """One process. `identity` is its position in the scenario."""

    is_honest = True

    def __init__(self, world: "World", identity: int) -> None:
        self.world = world
        self.identity = identity
        self.key = world.keys[identity]
        self.disk = Disk()
        self.disk.chain.append(world.genesis)
        self.disk.bodies[world.genesis] = world.genesis_block
        self.is_up = False
        self.incarnation = 0
        self.final_transactions: set[int] = set()
        self.points = 0
        """Persist points that were passed."""
        self.down_ms = 0
        """How long the next crash at a persist point keeps it down."""
        self._point_hook: int | None = None
        self._fed = 0

    def boot(self) -> None:
        """Start from what the disk has."""
        self.is_up = True
        self.incarnation += 1
        self.bodies = dict(self.disk.bodies)
        self.mempool: dict[int, None] = {}
        self.timers: dict[tuple[Epoch, TimerId], int] = {}
        self.building: BuildBlock | None = None
        self.validating: dict[Hash32, SimulatedBlock] = {}
        self._queue: list[Input] = []
        self._timer_serial = 0
        self._asked_at = -QUESTION_INTERVAL_MS
        self._has_work = False
        self.unheard: dict[XOnlyKey, int] = {}
        self.held: dict[int, list[Message]] = {}
        self._handle_new_instance()

    def crash(self) -> None:
        self.is_up = False
        self.incarnation += 1
        self._point_hook = None

    def crash_at_point(self, count: int, down_ms: int) -> None:
        """Die at the count-th persist point from now."""
        self._point_hook = count
        self.down_ms = down_ms

    def _point(self) -> None:
        self.points += 1
        if self._point_hook is not None:
            self._point_hook -= 1
            if self._point_hook <= 0:
                raise Crashed

    def _handle_new_instance(self) -> None:
        disk = self.disk
        self.epoch = Epoch(len(disk.seals))
        self.members = self.world.members(self.epoch)
        self.root = disk.seals[-1].statement.block if disk.seals else self.world.genesis
        schedule = LeaderSchedule(self.members, self.root)
        own = self.members.index_of(self.key)
        unheard = tuple(self.unheard.get(member.key, 0) for member in self.members.members)
        instance = Instance(self.epoch, self.members, schedule, self.root, own, unheard)
        tip = disk.bodies[disk.chain[-1]]
        in_epoch = tip.epoch == self.epoch and disk.chain[-1] != self.root
        self.core = self.world.simplex.restore(
            instance,
            self.world.scenario.timers,
            disk.records.get(self.epoch, []),
            [vote for (epoch, _, _), vote in disk.guard.items() if epoch == self.epoch],
            disk.chain[-1] if in_epoch else None,
            tip.view if in_epoch else ROOT_VIEW,
        )
        border = Height(self.world.first_height + (self.epoch + 1) * self.world.epoch_blocks)
        scenario = self.world.scenario
        self.origin_rules = OriginRules(scenario.depth, scenario.step, border)
        self.building = None
        self.validating.clear()
        self._has_work = False
        self._queue.clear()
        self.feed(Start())
        held, self.held = self.held, {}
        for source, messages in held.items():
            for message in messages:
                self.receive(source, message)

    def feed(self, event: Input) -> None:
        """One input, all its effects, and the inputs that these cause."""
        self._queue.append(event)
        while self._queue:
            core, epoch = self.core, self.epoch
            for effect in core.step(self._queue.pop(0)):
                self._perform(effect, epoch)
        self._fed += 1
        if self._fed % MEMORY_CHECK_INPUTS == 0:
            self.world.monitor.votes_held(len(self.core.state.votes))
        self._update_work()

    def _perform(self, effect: Effect, epoch: Epoch) -> None:
        match effect:
            case Persist(records):
                self._persist(records, epoch)
            case CastVote(statement):
                self.cast(statement)
            case BuildBlock():
                self.building = effect
                self.world.after(BLOCK_INTERVAL_MS, self, self.try_build)
            case ValidateBlock(proposal):
                digest = proposal.block.digest
                self.validating[digest] = self.bodies[digest]
                self._judge(digest)
            case FetchBlock(digest):
                self._fetch(digest)
            case Finalized(blocks, certificate, sealed):
                self._apply(blocks, certificate, sealed)
            case ViewEntered():
                self.building = None
            case SetTimer(timer, delay):
                self._set_timer(epoch, timer, delay)
            case CancelTimer(timer):
                self.timers.pop((epoch, timer), None)
            case _:
                self._perform_send(effect, epoch)

    def _perform_send(self, effect: Effect, epoch: Epoch) -> None:
        """Effects that only send or report."""
        match effect:
            case BroadcastProposal(proposal, certificates):
                block = self.bodies[proposal.block.digest]
                self.broadcast(ProposalMessage(proposal, block, certificates))
            case BroadcastCertificates(certificates):
                self.broadcast(CertificatesMessage(epoch, certificates))
            case SendTo(peer, certificates):
                self.send(self.node_of(peer), CertificatesMessage(epoch, certificates))
            case FetchCertificates(first, last):
                self.broadcast(CertificatesWanted(epoch, first, last))
            case Evidence(conflict):
                self._report(conflict.first.signer, effect)
            case ForkDetected(first, second):
                if self.is_honest and not self.world.expects_forks:
                    raise Violation(Invariant.FORK_CLAIM, f"{first} and {second}")
            case _:
                raise AssertionError(effect)

    def _persist(self, records: tuple[Record, ...], epoch: Epoch) -> None:
        self._point()
        self.disk.records.setdefault(epoch, []).extend(records)
        for record in records:
            if isinstance(record, CertificateRecord):
                if self.is_honest:
                    self.world.monitor.certificate_used(record.certificate, self.members)
            else:
                digest = record.proposal.block.digest
                self.disk.bodies[digest] = self.bodies[digest]
        self._point()

    def cast(self, statement: VoteStatement) -> None:
        """Guard, sign, broadcast, feed back."""
        slot = (statement.epoch, statement.view, int(slot_of(statement.kind)))
        self._point()
        earlier = self.disk.guard.setdefault(slot, statement)
        if earlier != statement:
            raise Violation(Invariant.GUARD, f"node {self.identity}: {earlier}, then {statement}")
        self._point()
        self.world.monitor.vote_cast(self.key, statement, self.is_honest)
        own = self.core.instance.own_index
        assert own is not None
        vote = Vote(statement, own, Signature(bytes([self.identity]) * 64))
        self.broadcast(VoteMessage(vote))
        self._queue.append(VotesReceived(own, (vote,)))

    def _report(self, signer: int, effect: Evidence) -> None:
        key = self.members.key(signer)
        if self.is_honest:
            accused = self.world.keys.index(key)
            honest = accused not in self.world.byzantine
            self.world.monitor.evidence(effect.conflict, key, honest)

    def _apply(self, blocks: tuple[Hash32, ...], certificate: Certificate, sealed: bool) -> None:
        self._point()
        for digest in blocks:
            block = self.bodies[digest]
            if self.is_honest:
                height = len(self.disk.chain)
                self.world.monitor.finalized(height, digest, block, self.disk.chain[-1])
            self.disk.chain.append(digest)
            self.disk.bodies[digest] = block
            self.final_transactions.update(block.transactions)
            for transaction in block.transactions:
                self.mempool.pop(transaction, None)
        if sealed:
            self.disk.seals.append(certificate)
        self._point()
        self.validating = {
            digest: block
            for digest, block in self.validating.items()
            if block.height >= len(self.disk.chain)
        }
        if sealed:
            views = self.core.unheard_views()
            keys = [member.key for member in self.members.members]
            self.unheard = dict(zip(keys, views, strict=True))
            self.world.after(0, self, self._handle_new_instance)

    def _set_timer(self, epoch: Epoch, timer: TimerId, delay_ms: int) -> None:
        self._timer_serial += 1
        self.timers[epoch, timer] = self._timer_serial
        self.world.after(delay_ms, self, self._fire, (epoch, timer), self._timer_serial)

    def _fire(self, key: tuple[Epoch, TimerId], serial: int) -> None:
        if self.timers.get(key) == serial and key[0] == self.epoch:
            del self.timers[key]
            self.feed(TimerFired(key[1]))

    def bitcoin_changed(self) -> None:
        """This node's Bitcoin node has a new best chain."""
        for digest in list(self.validating):
            self._judge(digest)
        while self._queue:
            self.feed(self._queue.pop(0))
        self._update_work()
        self.try_build()

    def _unfinal_path(self, digest: Hash32) -> list[SimulatedBlock] | None:
        """Blocks from `digest` down to the final tip, newest first; None if one is not here."""
        path: list[SimulatedBlock] = []
        tip = self.disk.chain[-1]
        while digest != tip:
            block = self.bodies.get(digest)
            if block is None or block.height < len(self.disk.chain):
                return None
            path.append(block)
            digest = block.parent
        return path

    def _judge(self, digest: Hash32) -> None:
        verdict = self._verdict(self.validating[digest])
        if verdict is not Verdict.UNAVAILABLE:
            del self.validating[digest]
        self._queue.append(BlockVerdict(digest, verdict))

    def _verdict(self, block: SimulatedBlock) -> Verdict:
        path = self._unfinal_path(block.parent)
        if path is None:
            return Verdict.UNAVAILABLE
        parent = self.bodies[block.parent]
        if block.height != parent.height + 1 or (block.is_seal and block.transactions):
            return Verdict.INVALID
        included = {number for earlier in path for number in earlier.transactions}
        if any(
            number in included or number in self.final_transactions for number in block.transactions
        ):
            return Verdict.INVALID
        view = self.world.bitcoin_view(self.identity)
        on_best_chain = view.hash_at(block.origin) == block.origin_hash
        judgement = judge_origin(
            self.origin_rules, parent.origin, block.origin, block.is_seal, view.tip, on_best_chain
        )
        if judgement is OriginVerdict.WAIT:
            return Verdict.UNAVAILABLE
        return Verdict.VALID if judgement is OriginVerdict.VALID else Verdict.INVALID

    def try_build(self) -> None:
        """Answer an open `BuildBlock` if there is a reason for a block."""
        asked = self.building
        if asked is None or asked.view != self.core.view:
            return
        block = self.make_block(asked, salt=0)
        if block is None:
            return
        self.building = None
        reference = block.reference()
        self.bodies[reference.digest] = block
        self.feed(BlockBuilt(reference))

    def make_block(self, asked: BuildBlock, salt: int) -> SimulatedBlock | None:
        """A block on the asked parent; None without a reason, or while the parent is not here."""
        path = self._unfinal_path(asked.parent)
        if path is None:
            return None
        parent = self.bodies[asked.parent]
        view = self.world.bitcoin_view(self.identity)
        origin = propose_origin(self.origin_rules, parent.origin, view.tip)
        origin_hash = view.hash_at(origin)
        if origin == parent.origin:
            origin_hash = parent.origin_hash
        is_seal = origin == self.origin_rules.border
        included = {number for earlier in path for number in earlier.transactions}
        pending = [number for number in self.mempool if number not in included]
        if origin == parent.origin and not pending and not asked.required:
            return None
        assert origin_hash is not None
        transactions = () if is_seal else tuple(pending[:TRANSACTIONS_PER_BLOCK])
        return SimulatedBlock(
            self.epoch,
            asked.view,
            asked.parent,
            parent.height + 1,
            origin,
            origin_hash,
            is_seal,
            transactions,
            salt,
        )

    def _update_work(self) -> None:
        base = self.core.state.certificates.best_base()
        path = None if base.is_seal else self._unfinal_path(base.block)
        has_work = False
        if path is not None:
            tip = self.bodies[base.block]
            bitcoin_tip = self.world.bitcoin_view(self.identity).tip
            included = {number for block in path for number in block.transactions}
            has_work = is_origin_work(self.origin_rules, tip.origin, bitcoin_tip) or any(
                number not in included for number in self.mempool
            )
        if has_work != self._has_work:
            self._has_work = has_work
            self.feed(WorkChanged(has_work))
            if has_work:
                self.try_build()

    def _fetch(self, digest: Hash32) -> None:
        block = self.bodies.get(digest)
        if block is not None:
            self._queue.append(BlocksFetched((block.reference(),)))
        else:
            self.broadcast(BlockWanted(digest))

    def node_of(self, peer: int) -> int:
        return self.world.keys.index(self.members.key(peer)) if peer >= 0 else -peer - 1

    def peer_of(self, node: int) -> int:
        index = self.members.index_of(self.world.keys[node])
        return -node - 1 if index is None else index

    def broadcast(self, message: Message) -> None:
        for node in range(self.world.scenario.nodes):
            if node != self.identity:
                self.send(node, message)

    def send(self, node: int, message: Message) -> None:
        self.world.send(self.identity, node, message)

    def receive(self, source: int, message: Message) -> None:
        """A message that the network delivers."""
        if _epoch_of(message) == self.epoch + 1:
            held = self.held.setdefault(source, [])
            if len(held) < HELD_MAX:
                held.append(message)
        match message:
            case TransactionMessage(number):
                self.hear_transaction(number)
            case BlockWanted(digest):
                self._answer_block(source, digest)
            case BlocksMessage(blocks):
                self._take_blocks(blocks)
            case ProposalMessage():
                self._take_proposal(source, message)
            case VoteMessage(vote):
                self._take_vote(source, vote)
            case CertificatesMessage(epoch, certificates):
                self._take_certificates(source, epoch, certificates)
            case CertificatesWanted(epoch, first, last):
                if self._is_current(source, epoch):
                    self.feed(CertificatesRequested(self.peer_of(source), first, last))

    def hear_transaction(self, number: int) -> None:
        if number not in self.final_transactions and number not in self.mempool:
            self.mempool[number] = None
            self.broadcast(TransactionMessage(number))
            self._update_work()
            self.try_build()

    def _is_current(self, source: int, epoch: Epoch) -> bool:
        """Serve those who are behind, ask those who are ahead."""
        if epoch < self.epoch:
            certificate = self.disk.seals[epoch]
            self.send(source, CertificatesMessage(epoch, (certificate,)))
        elif epoch > self.epoch and self.world.now - self._asked_at >= QUESTION_INTERVAL_MS:
            self._asked_at = self.world.now
            first = View(self.core.state.certificates.final_view + 1)
            self.send(source, CertificatesWanted(self.epoch, first, self.core.view))
        return epoch == self.epoch

    def _take_proposal(self, source: int, message: ProposalMessage) -> None:
        proposal = message.proposal
        if not self._is_current(source, proposal.epoch):
            return
        if not self.core.wants_proposal(proposal.epoch, proposal.view):
            return
        if self.core.leader(proposal.view) != self.peer_of(source):
            return
        self.bodies[proposal.block.digest] = message.block
        if message.certificates:
            self.feed(CertificatesReceived(self.peer_of(source), message.certificates))
        if proposal.epoch == self.epoch:
            self.feed(ProposalReceived(proposal))

    def _take_vote(self, source: int, vote: Vote) -> None:
        if not self._is_current(source, vote.statement.epoch):
            return
        peer = self.peer_of(source)
        if self.core.wants_vote(vote):
            self.feed(VotesReceived(peer, (vote,)))
        else:
            self.feed(OldMessage(peer, vote.statement, is_certificate=False))

    def _take_certificates(
        self, source: int, epoch: Epoch, certificates: tuple[Certificate, ...]
    ) -> None:
        if epoch < self.epoch and all(item.statement.is_seal for item in certificates):
            return
        if self._is_current(source, epoch):
            self.feed(CertificatesReceived(self.peer_of(source), certificates))

    def _answer_block(self, source: int, digest: Hash32) -> None:
        blocks: list[SimulatedBlock] = []
        while len(blocks) < ANCESTORS_PER_ANSWER and digest in self.bodies:
            blocks.append(self.bodies[digest])
            digest = blocks[-1].parent
        if blocks:
            self.send(source, BlocksMessage(tuple(blocks)))

    def _take_blocks(self, blocks: tuple[SimulatedBlock, ...]) -> None:
        wanted = self.core.state.wanted
        if blocks and blocks[0].digest() in wanted:
            references = tuple(block.reference() for block in blocks)
            for reference, block in zip(references, blocks, strict=True):
                self.bodies.setdefault(reference.digest, block)
            self.feed(BlocksFetched(references))
            for digest in list(self.validating):
                self._judge(digest)
            while self._queue:
                self.feed(self._queue.pop(0))
            self.try_build()


def _epoch_of(message: Message) -> int | None:
    """The epoch that a message is about, if it may be held until that starts."""
    match message:
        case ProposalMessage(proposal):
            return proposal.epoch
        case VoteMessage(vote):
            return vote.statement.epoch
        case CertificatesMessage(epoch):
            return epoch
        case _:
            return None
