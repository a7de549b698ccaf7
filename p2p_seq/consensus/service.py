"""The trio shell of consensus: sockets, disk, clock and signer around the pure core.

One instance of `Simplex` runs at a time, on the finalised tip's epoch. Every input goes through
`feed`, which performs the core's effects in order: durable writes and the guard's record happen
before anything is sent (consensus.md C.7). What takes time (judging a block, fetching one) runs in
tasks of its own and comes back as an input. `intake.py` is the door for what peers send, and
`bodies.py` holds and fetches blocks.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import trio

from p2p_seq.chain.chain import Chain, Finalised, SelectTransactions
from p2p_seq.chain.types import ChainState, InvalidBlockError, NotYetError
from p2p_seq.consensus.bodies import Bodies
from p2p_seq.consensus.core import Simplex
from p2p_seq.consensus.intake import Intake
from p2p_seq.consensus.messages import (
    CERTIFICATES_MAX,
    VOTES_MAX,
    CertificatesFrame,
    CertificatesWanted,
    Frame,
    ProposalFrame,
    VotesFrame,
    message_of_proposal,
)
from p2p_seq.consensus.peers import PeerNumbers
from p2p_seq.consensus.signing import VoteSigner
from p2p_seq.consensus.timers import TimerConfig
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
    Effect,
    Evidence,
    FetchBlock,
    FetchCertificates,
    Finalized,
    ForkDetected,
    Input,
    Instance,
    Persist,
    Proposal,
    ProposalRecord,
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
from p2p_seq.network.identity import peer_id_of_xonly
from p2p_seq.network.types import (
    Channel,
    Network,
    PeerId,
    RequestProtocol,
)
from p2p_seq.observability.logs import room_logger
from p2p_seq.protocol.blocks import Block
from p2p_seq.protocol.errors import LocalError
from p2p_seq.protocol.stakes import StakeRecord
from p2p_seq.protocol.types import BlockHeight, Epoch, Hash32, SatsPerKvb, XOnlyKey
from p2p_seq.protocol.votes import (
    Certificate,
    Vote,
    VoteStatement,
)
from p2p_seq.settlement.bridge import VaultBrokenError

log = room_logger("consensus")

BLOCK_INTERVAL_MS: Final = 25
"""A leader waits at least so long after it entered its view (PROTOCOL.md section 4)."""

RETRY_SECONDS: Final = 0.1
"""Pause before a block that could not be judged is judged again, if nothing else happens."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the rest of the node gives to consensus, and is told by it."""

    select: SelectTransactions
    stake_candidate: Callable[[], StakeRecord | None]
    feerate: Callable[[], SatsPerKvb]
    finalised: Callable[[Sequence[Finalised]], None]
    epoch_started: Callable[[], None]
    """The next epoch's instance runs: its members may be others."""
    evidence: Callable[[Evidence], None]
    crash_point: Callable[[str], None]


class ConsensusService:
    """Runs consensus for one node; a node outside the set follows and serves."""

    def __init__(
        self,
        chain: Chain,
        network: Network,
        signer: VoteSigner,
        hooks: Hooks,
        timers: TimerConfig,
    ) -> None:
        self._chain = chain
        self._network = network
        self._signer = signer
        self._hooks = hooks
        self._timers = timers
        self.core: Simplex | None = None
        """The running instance."""
        self._nursery: trio.Nursery | None = None
        self._queue: list[Input] = []
        self._is_feeding = False
        self._bodies = Bodies(chain, network)
        self._intake = Intake(chain, network, signer, self._bodies, self)
        self._building: BuildBlock | None = None
        self._is_build_due = False
        """Whether the least interval since the view's start has passed."""
        self._deadlines: dict[TimerId, float] = {}
        self._timer_changed = trio.Event()
        self._has_work = False
        self._fetching: set[Hash32] = set()
        self._judging: set[Hash32] = set()
        self._unheard: dict[XOnlyKey, int] = {}
        self.peers: PeerNumbers[PeerId] = PeerNumbers(())
        """By what numbers it knows peers."""
        self._votes_out: list[Vote] = []
        self._final_blocks: list[Hash32] = []
        self._final_last: Finalized | None = None
        self._final_changed = trio.Event()
        self._accepted = trio.Event()
        self.halted: str | None = None
        """Why this node votes no more, if so (PROTOCOL.md section 8)."""
        self.leader = 0
        """Index of the current view's leader, for status."""

    @property
    def view(self) -> int:
        return 0 if self.core is None else self.core.view

    @property
    def own_index(self) -> int | None:
        return None if self.core is None else self.core.instance.own_index

    async def run(self) -> None:
        """Run until cancelled."""
        self._network.serve(RequestProtocol.BODIES, self._bodies.answer)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._run_timers)
            nursery.start_soon(self._run_finality)
            nursery.start_soon(self._follow_bitcoin)
            nursery.start_soon(self._intake.read, self._network.inbox(Channel.CONSENSUS))
            nursery.start_soon(self._intake.read, self._network.inbox(Channel.BLOCKS))
            await self.restart()

    async def restart(self) -> None:
        """Start the instance of the finalised tip's epoch; also after the tip moved by sync."""
        self._remember_unheard()
        instance = await self._next_instance()
        final = self._chain.final
        epoch = instance.epoch
        inside = final.header.epoch == epoch and final.digest != instance.root
        own = () if instance.own_index is None else self._own_votes(instance.own_index, epoch)
        self.core = Simplex.restore(
            instance,
            self._timers,
            self._records(epoch, final.header.height if inside else None),
            own,
            final.digest if inside else None,
            final.header.view if inside else ROOT_VIEW,
        )
        self.peers = PeerNumbers(
            [
                peer_id_of_xonly(final.registry.records[member.key].bundle.keys.peer)
                for member in instance.members.members
            ]
        )
        self._building = None
        self._bodies.clear()
        self._deadlines.clear()
        self._fetching.clear()
        self._judging.clear()
        self._queue.clear()
        self._has_work = False
        log.info(
            "epoch_started", epoch=epoch, members=len(instance.members), own=instance.own_index
        )
        self.feed(Start())
        self.update_work()
        self._intake.take_held()

    def _records(self, epoch: Epoch, tip: BlockHeight | None) -> list[Record]:
        """What was durable of an epoch, with the finality of the tip.

        A tip that came from a peer is final by a certificate that consensus has not seen: without
        it the instance would stand on what was final when this node went down.
        """
        records = self._chain.store.records(epoch)
        certificate = None if tip is None else self._chain.store.certificate(tip)
        if certificate is not None:
            records.append(CertificateRecord(Certificate.decode(certificate)))
        return records

    def _remember_unheard(self) -> None:
        """Who was silent in the instance that ends: nobody waits for them anew in every epoch."""
        core = self.core
        if core is not None and core.sealed:
            keys = [member.key for member in core.instance.members.members]
            self._unheard = dict(zip(keys, core.unheard_views(), strict=True))

    async def _next_instance(self) -> Instance:
        """Wait until Bitcoin has the blocks that seed the epoch's schedule."""
        while True:
            try:
                instance = self._chain.instance(self._signer.consensus_keys())
                unheard = tuple(
                    self._unheard.get(member.key, 0) for member in instance.members.members
                )
                return replace(instance, unheard=unheard)
            except NotYetError as error:
                log.info("epoch_waits", why=str(error))
                with trio.move_on_after(RETRY_SECONDS):
                    await self._chain.watcher.wait_changed()

    def _own_votes(self, own_index: int, epoch: Epoch) -> list[VoteStatement]:
        return self._signer.own_votes(self._chain.final.members.key(own_index), epoch)

    def _has_halted(self) -> bool:
        return self.halted is not None

    def _halt(self, why: str) -> None:
        """Vote no more; go on serving (PROTOCOL.md section 8.1)."""
        if self.halted is None:
            self.halted = why
            log.critical("consensus_halted", why=why)

    def feed(self, event: Input) -> None:
        """One input, all its effects in order, and the inputs that these cause."""
        self._queue.append(event)
        if self._is_feeding or self.core is None:
            return
        self._is_feeding = True
        try:
            while self._queue and self.halted is None:
                core = self.core
                for effect in core.step(self._queue.pop(0)):
                    self._perform(effect, core)
        finally:
            self._is_feeding = False
        self._flush_votes()

    def _flush_votes(self) -> None:
        while self._votes_out:
            frame = VotesFrame(tuple(self._votes_out[:VOTES_MAX])).encode()
            del self._votes_out[:VOTES_MAX]
            self._network.broadcast(Channel.CONSENSUS, frame)

    def _perform(self, effect: Effect, core: Simplex) -> None:  # noqa: C901, PLR0912
        epoch = core.instance.epoch
        match effect:
            case Persist(records):
                self._persist(epoch, records)
            case CastVote(statement):
                self._cast(core, statement)
            case BroadcastProposal(proposal, certificates):
                self._send_proposal(core, proposal, certificates)
            case BroadcastCertificates(certificates):
                for first in range(0, len(certificates), CERTIFICATES_MAX):
                    some = certificates[first : first + CERTIFICATES_MAX]
                    frame = CertificatesFrame(epoch, some).encode()
                    self._network.broadcast(Channel.CONSENSUS, frame)
            case SendTo(peer, certificates):
                self._send(peer, CertificatesFrame(epoch, certificates))
            case BuildBlock():
                self._building = effect
                self._is_build_due = False
                self._start(self._build_later, core, effect)
            case ValidateBlock(proposal):
                self._start(self._validate, core, proposal)
            case FetchBlock(digest):
                self._fetch(core, digest)
            case FetchCertificates(first, last):
                frame = CertificatesWanted(epoch, first, last).encode()
                self._network.broadcast(Channel.CONSENSUS, frame)
            case SetTimer(timer, delay_ms):
                self._deadlines[timer] = trio.current_time() + delay_ms / 1_000
                self._timer_changed.set()
            case CancelTimer(timer):
                self._deadlines.pop(timer, None)
            case ViewEntered(view, leader):
                self._building = None
                self.leader = leader
                log.debug("view_entered", epoch=epoch, view=view, leader=leader)
            case Finalized():
                self._final_blocks.extend(effect.blocks)
                self._final_last = effect
                self._final_changed.set()
            case Evidence():
                self._hooks.evidence(effect)
            case ForkDetected(first_certificate, second):
                self._halt(f"two finality certificates: {first_certificate} and {second}")

    def _start(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        if self._nursery is None:
            raise LocalError("consensus is not running")
        self._nursery.start_soon(task, *arguments)

    def _persist(self, epoch: Epoch, records: Sequence[object]) -> None:
        proposals = [item.proposal for item in records if isinstance(item, ProposalRecord)]
        bodies = [
            (digest, block.encode())
            for digest in (proposal.block.digest for proposal in proposals)
            if (block := self._bodies.held(digest)) is not None
        ]
        self._hooks.crash_point("records-before-write")
        self._chain.store.write_records(epoch, records, bodies)  # type: ignore[arg-type]
        self._hooks.crash_point("records-after-write")

    def _cast(self, core: Simplex, statement: VoteStatement) -> None:
        own = core.instance.own_index
        if own is None:
            raise LocalError("a node outside the set does not vote")
        members = core.instance.members
        network = self._chain.params.network
        message = statement.message(network, self._chain.chain_id, members.digest(network))
        self._hooks.crash_point("vote-before-guard")
        vote = self._signer.cast_vote(members.key(own), statement, message, own)
        log.debug("voted", kind=statement.kind.name, view=statement.view)
        self._hooks.crash_point("vote-after-guard")
        if vote is None:
            return
        self._votes_out.append(vote)
        self._queue.append(VotesReceived(own, (vote,)))

    def _send_proposal(
        self, core: Simplex, proposal: Proposal, certificates: tuple[Certificate, ...]
    ) -> None:
        block = self._bodies.get(proposal.block.digest)
        if block is None:
            raise LocalError("a proposal without its block")
        key = core.instance.members.key(core.leader(proposal.view))
        chain = self._chain
        message = message_of_proposal(chain.params.network, chain.chain_id, proposal)
        signature = self._signer.sign_proposal(key, message)
        frame = ProposalFrame(proposal, signature, certificates, block.encode())
        self._network.broadcast(Channel.BLOCKS, frame.encode())

    async def _run_timers(self) -> None:
        while True:
            self._timer_changed = trio.Event()
            now = trio.current_time()
            due = [timer for timer, deadline in self._deadlines.items() if deadline <= now]
            for timer in due:
                if self._deadlines.get(timer, now + 1) <= now:
                    del self._deadlines[timer]
                    self.feed(TimerFired(timer))
            if due:
                await trio.lowlevel.checkpoint()
                continue
            next_deadline = min(self._deadlines.values(), default=now + 3_600)
            with trio.move_on_at(next_deadline):
                await self._timer_changed.wait()

    async def _build_later(self, core: Simplex, asked: BuildBlock) -> None:
        await trio.sleep(BLOCK_INTERVAL_MS / 1_000)
        if self._building is asked:
            await self._ensure_accepted(
                core, [asked.parent], is_wanted=lambda: self._building is asked
            )
            self._is_build_due = True
            self._try_build()

    def _try_build(self) -> None:
        """Answer an open `BuildBlock` if there is a reason for a block."""
        asked, core = self._building, self.core
        if asked is None or core is None or self.halted or core.instance.own_index is None:
            return
        if not self._is_build_due:
            return
        try:
            block = self._chain.build(
                asked.parent,
                asked.view,
                core.instance.own_index,
                self._hooks.select,
                self._hooks.stake_candidate(),
                self._hooks.feerate(),
                asked.required,
            )
        except NotYetError:
            return
        except VaultBrokenError as error:
            self._halt(str(error))
            return
        if block is None:
            return
        self._building = None
        reference = self._chain.reference(block)
        self._bodies.put(reference.digest, block)
        log.debug("built", view=asked.view, transactions=block.body.transaction_count)
        self.feed(BlockBuilt(reference))

    def update_work(self) -> None:
        """Tell the core whether this node knows a reason for a block."""
        core = self.core
        if core is None or self.halted:
            return
        base = core.state.certificates.best_base()
        state = None if base.is_seal else self._chain.state(base.block)
        has_work = state is not None and (
            self._chain.has_origin_work(state)
            or self._has_stake(state)
            or self._has_transactions(state)
        )
        if has_work != self._has_work:
            self._has_work = has_work
            self.feed(WorkChanged(has_work))
        if has_work:
            self._try_build()

    def _has_transactions(self, state: ChainState) -> bool:
        """Whether a transaction waits that is in no undecided ancestor and fits the budget."""
        room = replace(self._chain.room(state), count=1)
        return self._hooks.select(room, self._chain.undecided(state.digest)).count > 0

    def _has_stake(self, state: ChainState) -> bool:
        """Whether a stake record waits that a child of this block may take."""
        record = self._hooks.stake_candidate()
        return record is not None and self._chain.may_record(state, record)

    def work_arrived(self) -> None:
        """The mempool or the stake candidates changed."""
        if self._building is not None and self._is_build_due:
            self._try_build()
        if not self._has_work:
            self.update_work()

    async def _follow_bitcoin(self) -> None:
        while True:
            await self._chain.watcher.wait_changed()
            self.update_work()

    def _leader_of(self, core: Simplex, block: Block) -> int:
        return core.leader(block.header.view)

    async def _validate(self, core: Simplex, proposal: Proposal) -> None:
        """Judge a proposal until there is a verdict or nobody wants one any more.

        One task per block: the core asks again at every standstill.
        """
        digest = proposal.block.digest
        if digest in self._judging:
            return
        self._judging.add(digest)
        while self.core is core and self.halted is None:
            verdict = await self._judge(core, digest)
            if self.core is not core:
                return
            is_open = verdict is Verdict.UNAVAILABLE and digest in core.state.judging
            if not is_open:  # before the core is told: it may ask for another view at once
                self._judging.discard(digest)
            self.feed(BlockVerdict(digest, verdict))
            self.update_work()
            if not is_open:
                return
            await self._wait_for_change()

    async def _judge(self, core: Simplex, digest: Hash32) -> Verdict:
        block = self._bodies.get(digest)
        if block is None:
            return Verdict.UNAVAILABLE
        try:
            await self._accept_ancestors(core, block)
            await self._chain.accept(block, self._leader_of(core, block), voting=True)
        except NotYetError:
            return Verdict.UNAVAILABLE
        except InvalidBlockError as error:
            log.warning("block_invalid", digest=digest.hex(), why=str(error))
            return Verdict.INVALID
        except VaultBrokenError as error:
            self._halt(str(error))
            return Verdict.UNAVAILABLE
        self._notify_accepted()
        return Verdict.VALID

    async def _accept_ancestors(self, core: Simplex, block: Block) -> None:
        """Accept notarized ancestors that this node did not vote for."""
        missing: list[Block] = []
        parent = block.header.parent
        while self._chain.state(parent) is None:
            body = self._bodies.get(parent)
            if body is None or body.header.height <= self._chain.final.header.height:
                raise NotYetError(f"ancestor {parent.hex()} is not known here")
            missing.append(body)
            parent = body.header.parent
        for body in reversed(missing):
            await self._chain.accept(body, self._leader_of(core, body), voting=False)

    def _notify_accepted(self) -> None:
        self._accepted.set()
        self._accepted = trio.Event()

    async def _wait_for_change(self) -> None:
        """Until Bitcoin moved, a block was accepted, or a moment has passed."""
        with trio.move_on_after(RETRY_SECONDS):
            async with trio.open_nursery() as nursery:

                async def wait(event: Callable[[], Awaitable[None]]) -> None:
                    await event()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(wait, self._chain.watcher.wait_changed)
                nursery.start_soon(wait, self._accepted.wait)

    async def _run_finality(self) -> None:
        while True:
            event = await self._next_final()
            core = self.core
            if core is None or self.halted is not None:
                continue
            if event.certificate.statement.epoch != core.instance.epoch:
                continue
            digests = [d for d in event.blocks if not self._is_final(d)]
            await self._ensure_accepted(core, digests, lambda: self.halted is None)
            if self._has_halted():
                continue
            if digests:
                self._hooks.crash_point("final-before-write")
                done = await self._chain.finalise(digests, event.certificate)
                self._hooks.crash_point("final-after-write")
                header = self._chain.final.header
                log.debug("finalised", epoch=header.epoch, height=header.height)
                self._bodies.forget(header.height, header.view)
                if done:
                    self._hooks.finalised(done)
            if event.sealed:
                self._signer.seal(core.instance.epoch)
                self._chain.store.forget_records(core.instance.epoch)
                await self.restart()
                self._hooks.epoch_started()
            else:
                self.update_work()

    async def _next_final(self) -> Finalized:
        """Everything that became final while the last write was under way, as one write.

        However long this node has waited for Bitcoin: 32 bytes a block are kept, and no queue
        overflows.
        """
        while self._final_last is None:
            await self._final_changed.wait()
        event = replace(self._final_last, blocks=tuple(self._final_blocks))
        self._final_blocks.clear()
        self._final_last, self._final_changed = None, trio.Event()
        return event

    def _is_final(self, digest: Hash32) -> bool:
        if digest == self._chain.final.digest:
            return True
        block = self._bodies.get(digest)
        return block is not None and block.header.height <= self._chain.final.header.height

    async def _ensure_accepted(
        self, core: Simplex, digests: Sequence[Hash32], is_wanted: Callable[[], bool]
    ) -> None:
        """Accept certified blocks, waiting for whatever is missing while they are wanted; a
        refused one halts the node.
        """
        for digest in digests:
            while self.core is core and is_wanted() and self._chain.state(digest) is None:
                block = self._bodies.get(digest)
                try:
                    if block is None:
                        raise NotYetError("the body is being fetched")
                    await self._accept_ancestors(core, block)
                    await self._chain.accept(block, self._leader_of(core, block), voting=False)
                    self._notify_accepted()
                except NotYetError as error:
                    log.debug("certified_block_waits", digest=digest.hex(), why=str(error))
                    await self._wait_for_change()
                except (InvalidBlockError, VaultBrokenError) as error:
                    self._halt(f"certified block {digest.hex()} is invalid here: {error}")
                    return

    def _fetch(self, core: Simplex, digest: Hash32) -> None:
        block = self._bodies.get(digest)
        if block is not None:
            self._bodies.put(digest, block)
            self._queue.append(BlocksFetched((self._chain.reference(block),)))
        elif digest not in self._fetching:
            self._fetching.add(digest)
            self._start(self._fetch_from_peers, core, digest)

    async def _fetch_from_peers(self, core: Simplex, digest: Hash32) -> None:
        """Ask members in turn until one has the block."""
        try:
            while self.core is core and digest in core.state.wanted:
                for peer in [p for p in self.peers.members if p != self._network.local_peer]:
                    if await self._fetch_from(core, peer, digest):
                        return
                await trio.sleep(RETRY_SECONDS)
        finally:
            self._fetching.discard(digest)

    async def _fetch_from(self, core: Simplex, peer: PeerId, digest: Hash32) -> bool:
        linked = await self._bodies.ask(peer, digest)
        if not linked or self.core is not core:
            return False
        self.feed(BlocksFetched(linked))
        self._notify_accepted()
        return True

    def _send(self, number: int, frame: Frame) -> None:
        peer = self.peers.name(number)
        if peer is not None:
            self._network.send(peer, Channel.CONSENSUS, frame.encode())
