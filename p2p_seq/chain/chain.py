"""The tree of blocks above the finalised tip, and the store below it.

`Chain` is what consensus calls the application: it judges proposals, builds own ones and makes
blocks final. A block is executed as soon as it is valid (voters compare its parent's root, so
execution is off the vote path), kept in memory until it is final or abandoned, and written in one
transaction when it is final: block, leaves, receipts, index, bridge and seal (HOUSE_STYLE 12).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from cython_core.ledger._ledger import MalformedTransaction, TransactionParser
from p2p_seq.bitcoin.scan import L1Block
from p2p_seq.bitcoin.watcher import Watcher
from p2p_seq.chain import derive, validity
from p2p_seq.chain.types import BlockReason, ChainState, InvalidBlockError, NotYetError
from p2p_seq.consensus.election import epoch_seed, seed_height
from p2p_seq.consensus.origin import OriginRules, is_origin_work, propose_origin
from p2p_seq.consensus.schedule import LeaderSchedule
from p2p_seq.consensus.types import BlockReference, Instance
from p2p_seq.ledger.core import EpochBudget
from p2p_seq.ledger.executor import Ledger
from p2p_seq.ledger.guest import program_id
from p2p_seq.mempool.types import Parsed, Selection, SelectionLimits
from p2p_seq.observability.logs import room_logger
from p2p_seq.protocol.blocks import (
    TRANSACTIONS_BYTES_MAX,
    TRANSACTIONS_COUNT_MAX,
    Block,
    BlockKind,
    Body,
    Header,
    Origin,
)
from p2p_seq.protocol.errors import LocalError, RemoteError
from p2p_seq.protocol.genesis import Genesis
from p2p_seq.protocol.records import Record, encode_records
from p2p_seq.protocol.seals import SealBody, SealedEpoch
from p2p_seq.protocol.sets import Member, SequencerSet
from p2p_seq.protocol.stakes import StakeRecord
from p2p_seq.protocol.state import (
    BlockContext,
    GenesisState,
    OutputsFrame,
    ledger_constants,
)
from p2p_seq.protocol.types import (
    ZERO32,
    BlockHeight,
    Epoch,
    Hash32,
    Height,
    SatsPerKvb,
    View,
    XOnlyKey,
)
from p2p_seq.protocol.votes import Certificate
from p2p_seq.settlement.bridge import BridgeState, apply_seal, genesis_bridge
from p2p_seq.settlement.planning import feerate_bounds, is_feerate_valid
from p2p_seq.staking.ceremony import Admission
from p2p_seq.staking.registration import check_range, check_record
from p2p_seq.staking.registry import Registry, founding_set
from p2p_seq.storage.chain_store import ChainStore, FinalBlock

log = room_logger("chain")

SelectTransactions = Callable[[SelectionLimits, Sequence[bytes]], Selection]
"""The mempool's choice for a block with this much room on these undecided ancestors."""

CheckSignatures = Callable[[bytes, Sequence[bytes]], Awaitable[bool]]
"""Whether all transactions of a block are signed: (encoded transactions, their ids)."""


@dataclass(frozen=True, slots=True)
class Finalised:
    """One block that has just become final."""

    block: Block
    state: ChainState
    receipts: bytes
    parsed: Sequence[Parsed]
    """Its user transactions, as the native parser gives them."""
    sealed: SealedEpoch | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A valid, executed block above the finalised tip."""

    block: Block
    state: ChainState
    receipts: bytes
    parsed: Sequence[Parsed]
    outputs: Hash32
    """Outputs digest when the block is a seal, else zeros."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A block that has just become a candidate: what the mempool must know of it."""

    digest: Hash32
    block: Block
    parsed: Sequence[Parsed]
    """Its user transactions, as the native parser gives them."""


class Chain:
    """One node's view of its chain. All methods belong to the trio thread."""

    def __init__(
        self,
        genesis: Genesis,
        store: ChainStore,
        watcher: Watcher,
        check_signatures: CheckSignatures,
        on_accepted: Callable[[Accepted], None],
        on_decided: Callable[[Sequence[Finalised]], None] | None = None,
    ) -> None:
        """`on_decided` is called when the finalised tip has moved in memory, before anything else
        can run: what waits for a block must not offer again what is final now.
        """
        self.genesis = genesis
        self.params = genesis.params
        self.chain_id = genesis.chain_id
        self.store = store
        self.watcher = watcher
        self._check_signatures = check_signatures
        self._on_accepted = on_accepted
        self._on_decided = on_decided
        constants = ledger_constants(self.params, self.chain_id)
        self.parser = TransactionParser(constants)
        self.program = program_id(self.params.network)
        self._candidates: dict[Hash32, _Candidate] = {}
        self._unwritten: dict[Epoch, SealedEpoch] = {}
        self.being_written: tuple[Finalised, ...] = ()
        """Final blocks that are on their way to the disk: no longer candidates, not yet rows."""
        self._writing = trio.Lock()
        self.ledger, self.final = self._restore(constants)
        self.durable = self.final
        """The finalised tip as the disk has it: what a person is shown."""

    def _restore(self, constants: bytes) -> tuple[Ledger, ChainState]:
        tip = self.store.tip()
        if tip is None:
            return self._begin(constants)
        names, values = self.store.leaves()
        leaves = (
            (names[33 * index : 33 * (index + 1)], values[64 * index : 64 * (index + 1)])
            for index in range(len(names) // 33)
        )
        ledger = Ledger.restore(constants, leaves, tip.digest, tip.root)
        encoded = self.store.block(tip.digest)
        if encoded is None:
            raise LocalError(f"finalised block {tip.digest.hex()} is missing")
        header = Block.decode(encoded, self.params.network).header
        registry = Registry.of_genesis(self.genesis)
        for record in self.store.stake_records():
            registry = registry.with_record(record)
        bridge = BridgeState.decode(self.store.bridge(tip.height))
        state = self._state_after(tip.digest, header, tip.root, bridge, registry)
        return ledger, state

    def _begin(self, constants: bytes) -> tuple[Ledger, ChainState]:
        """Execute and store the genesis block."""
        genesis = self.genesis
        bridge = genesis_bridge(
            self.params,
            genesis.draft.anchor_height,
            genesis.vault,
            genesis.vault_value,
            Registry.of_genesis(genesis).generation(0, founding_set(genesis)),
        )
        ledger = Ledger.from_genesis(
            constants,
            GenesisState(genesis.vault, genesis.vault_value, bridge.last_rate, genesis.allocation),
        )
        before = [
            (bytes([kind]) + key, value)
            for kind, key, value in GenesisState(
                genesis.vault, genesis.vault_value, bridge.last_rate, genesis.allocation
            ).leaves()
        ]
        block = genesis.block()
        digest = block.header.digest(self.params.network, self.chain_id)
        context = BlockContext(Epoch(0), BlockHeight(0), genesis.anchor, XOnlyKey(ZERO32))
        summary = ledger.execute(digest, ZERO32, context, block.body.records, b"", 0)
        changes = ledger.finalise(digest)[0]
        names = b"".join(name for name, _ in before) + changes.names
        values = b"".join(value for _, value in before) + changes.values
        final = FinalBlock(
            height=BlockHeight(0),
            digest=digest,
            root=summary.root,
            encoded=block.encode(),
            records=block.body.records,
            receipts=b"",
            txids=(),
            names=names,
            values=values,
            present=b"\x01" * len(before) + changes.present,
            bridge=bridge.encode(),
            stake_record=None,
            sealed=None,
        )
        self.store.write_final([final], None)
        registry = Registry.of_genesis(genesis)
        return ledger, self._state_after(digest, block.header, summary.root, bridge, registry)

    def _state_after(
        self,
        digest: Hash32,
        header: Header,
        root: Hash32,
        bridge: BridgeState,
        registry: Registry,
    ) -> ChainState:
        """The state after a final block: its children's set comes from the last seal."""
        if header.kind is BlockKind.GENESIS:
            members, epoch, instance_root = founding_set(self.genesis), Epoch(0), digest
        elif header.kind is BlockKind.SEAL:
            epoch = Epoch(header.epoch + 1)
            members, instance_root = self._set_of(epoch)
        else:
            epoch = header.epoch
            members, instance_root = self._set_of(epoch)
        return ChainState(digest, header, root, bridge, registry, epoch, members, instance_root)

    def _set_of(self, epoch: Epoch) -> tuple[SequencerSet, Hash32]:
        """Set and root of an epoch whose instance has started: from genesis or the seal before."""
        if epoch == 0:
            header = self.genesis.block().header
            return founding_set(self.genesis), header.digest(self.params.network, self.chain_id)
        before = Epoch(epoch - 1)
        sealed = self._unwritten.get(before) or self.store.sealed(before)
        if sealed is None:
            raise LocalError(f"the seal of epoch {before} is missing")
        return set_of_seal(sealed.body), sealed.seal

    def members_of(self, epoch: Epoch) -> SequencerSet | None:
        """The set of an epoch up to the running one; None for epochs that have not begun here."""
        return self._set_of(epoch)[0] if epoch <= self.final.epoch else None

    def instance(self, own_keys: frozenset[XOnlyKey]) -> Instance:
        """The consensus instance that runs on the finalised tip.

        Raises NotYetError while Bitcoin has not the blocks that seed the schedule.
        """
        epoch = self.final.epoch
        seed = self._seed(epoch)
        members = self.final.members
        own = next((i for i, member in enumerate(members.members) if member.key in own_keys), None)
        schedule = LeaderSchedule(members, seed)
        return Instance(epoch, members, schedule, self.final.instance_root, own)

    def _seed(self, epoch: Epoch) -> Hash32:
        """The seed of an epoch's leaders, drawn once: a reorg below it must not change them.

        It is drawn from the branch that the finalised origin is on, or not at all.
        """
        drawn = self.store.seed(epoch)
        if drawn is not None:
            return drawn
        height = seed_height(self.params, self.genesis.draft.anchor_height, epoch)
        block, before = self.watcher.block(height), self.watcher.block(Height(height - 1))
        if block is None or before is None:
            raise NotYetError(f"Bitcoin block {height} is not known here")
        origin = self.final.header.origin
        if self.is_orphaned(origin):
            raise NotYetError(f"the finalised origin {origin.height} left this node's best chain")
        root = self.chain_id if epoch == 0 else self.final.instance_root
        seed = epoch_seed(self.params.network, block.hash, before.hash, root, epoch)
        self.store.write_seed(epoch, seed)
        return seed

    def state(self, digest: Hash32) -> ChainState | None:
        """The state after the finalised tip or an executed block above it."""
        if digest == self.final.digest:
            return self.final
        candidate = self._candidates.get(digest)
        return None if candidate is None else candidate.state

    def undecided(self, digest: Hash32) -> list[Hash32]:
        """The executed, not yet final blocks from above the finalised tip up to `digest`."""
        path: list[Hash32] = []
        while (candidate := self._candidates.get(digest)) is not None:
            path.append(digest)
            digest = candidate.block.header.parent
        return path[::-1]

    def block(self, digest: Hash32) -> Block | None:
        """A candidate, a final block or a stored proposal."""
        candidate = self._candidates.get(digest)
        if candidate is not None:
            return candidate.block
        encoded = self.store.block(digest)
        return None if encoded is None else Block.decode(encoded, self.params.network)

    def digest(self, header: Header) -> Hash32:
        return header.digest(self.params.network, self.chain_id)

    def reference(self, block: Block) -> BlockReference:
        """The block as consensus sees it. The outputs of a seal are in its first record.

        Raises CodecError for a seal whose records do not begin with an epoch record.
        """
        outputs = derive.stated_outputs(block)
        header = block.header
        return BlockReference(self.digest(header), header.view, header.parent, outputs)

    async def accept(self, block: Block, leader: int, voting: bool) -> ChainState:
        """Judge and execute a block on its parent, which must have been accepted.

        `voting` applies the voter's origin rule against the own Bitcoin tip; a certified block is
        held to everything else all the same. Raises InvalidBlockError or NotYetError.
        """
        digest = self.digest(block.header)
        known = self.state(digest)
        parent = self.state(block.header.parent)
        if known is not None:
            if voting and parent is not None:  # its origin may have left the best chain since
                self._check_origin(parent, block.header, voting)
            return known
        if parent is None:
            raise NotYetError(f"parent {block.header.parent.hex()} is not known here")
        validity.check_header(parent, block.header, leader)
        self._check_origin(parent, block.header, voting)
        expected = self._derive(parent, block)
        parsed = await self._check_transactions(parent, block)
        await self._check_stake_record(parent, block)
        return self._execute(digest, parent, block, expected, parsed)

    def _check_origin(self, parent: ChainState, header: Header, voting: bool) -> None:
        base = parent.header.origin
        if self.is_orphaned(base):
            if header.origin == base and header.kind is BlockKind.ORDINARY:
                return  # nothing of Bitcoin is in it: ordering goes on (PROTOCOL.md section 8.1)
            raise NotYetError(f"origin {base.height} of the parent left this node's best chain")
        rules = self._rules(parent)
        own = self.watcher.block(header.origin.height)
        if voting:
            tip = self.watcher.tip_height
            validity.check_origin_vote(rules, parent, header, tip, own)
        else:
            validity.check_origin_final(rules, parent, header, own)
        if own is None:
            raise NotYetError(f"Bitcoin block {header.origin.height} is not known here")
        validity.check_origin_time(header, own)

    def is_orphaned(self, origin: Origin) -> bool:
        """Whether an origin is not on this node's best chain: another one is, or none yet."""
        return self.watcher.confirmations(origin.height, origin.hash) == 0

    def _rules(self, parent: ChainState) -> OriginRules:
        anchor = self.genesis.draft.anchor_height
        return validity.origin_rules(self.params, anchor, parent.epoch)

    def _origins(self, above: Height, up_to: Height) -> list[L1Block]:
        """Reduced Bitcoin blocks in (above, up_to]."""
        blocks = [self.watcher.block(Height(h)) for h in range(above + 1, up_to + 1)]
        found = [block for block in blocks if block is not None]
        if len(found) != len(blocks):
            raise NotYetError(f"Bitcoin blocks up to {up_to} are not all known here")
        return found

    def _derive(self, parent: ChainState, block: Block) -> derive.Derived:
        """Everything that parent and origin fix; raises InvalidBlockError where the block
        differs.
        """
        header, body = block.header, block.body
        feerate = SatsPerKvb(0)
        if header.kind is BlockKind.SEAL:
            try:
                feerate = SealBody.decode(body.seal).feerate
            except RemoteError as error:
                raise InvalidBlockError(BlockReason.SEAL, str(error)) from error
            if not is_feerate_valid(self.params, parent.bridge, feerate):
                raise InvalidBlockError(BlockReason.FEERATE, f"{feerate} sat/kvB")
        stake = self._decode_stake(block)
        derived = self._derived(parent, header.origin.height, header.kind, feerate, stake)
        expected = validity.ExpectedContent(encode_records(derived.records), derived.seal_bytes)
        validity.check_content(block, expected)
        return derived

    def _decode_stake(self, block: Block) -> StakeRecord | None:
        if not block.body.stake_record:
            return None
        try:
            record = StakeRecord.decode(block.body.stake_record)
            # Before anything is derived from it: heights follow from the range.
            check_range(record.bundle, self.genesis.draft)
            return record
        except RemoteError as error:
            raise InvalidBlockError(BlockReason.STAKE_RECORD, str(error)) from error

    def _derived(
        self,
        parent: ChainState,
        origin: Height,
        kind: BlockKind,
        feerate: SatsPerKvb,
        stake: StakeRecord | None,
    ) -> derive.Derived:
        """The content of a child of `parent`; the same for the proposer and every voter."""
        anchor = self.genesis.draft.anchor_height
        blocks = self._origins(parent.header.origin.height, origin)
        records: list[Record] = []
        seal: SealBody | None = None
        outputs = ZERO32
        next_set = parent.members
        if kind is BlockKind.SEAL:
            next_set = self._elect(parent, origin)
            seal = self._seal_body(parent, next_set, feerate)
            outputs = self._outputs(parent, next_set)
            records.append(derive.epoch_record(parent.epoch, outputs))
        bridge = parent.bridge
        advanced = derive.advance_records(bridge, self.params, blocks)
        records.extend(advanced.records)
        registry = parent.registry
        if stake is not None:
            records.append(derive.stake_leaf(stake, self.params, anchor))
            registry = registry.with_record(stake)
        return derive.Derived(
            tuple(records), seal, outputs, next_set, advanced.bridge, registry, tuple(blocks)
        )

    def _elect(self, parent: ChainState, origin: Height) -> SequencerSet:
        blocks = self._origins(Height(self.watcher.start - 1), origin)
        elected = parent.registry.elect(blocks, Epoch(parent.epoch + 1))
        if elected is None:
            raise NotYetError(
                f"epoch {parent.epoch + 1} has fewer eligible stakes than the network's minimum"
            )
        return elected.members

    def _seal_body(
        self, parent: ChainState, next_set: SequencerSet, feerate: SatsPerKvb
    ) -> SealBody:
        upto = parent.header.origin.height
        facts = derive.SealFacts(
            next_set=next_set,
            payouts=self.ledger.pending_payouts(parent.digest),
            fee_pool=self.ledger.totals(parent.digest).fee_pool,
            bonds=parent.registry.unspent_bonds(
                self._origins(Height(self.watcher.start - 1), upto)
            ),
        )
        return derive.seal_body(parent, self.params, facts, feerate)

    def _outputs(self, parent: ChainState, next_set: SequencerSet) -> Hash32:
        network = self.params.network
        frame = OutputsFrame(
            self.program,
            parent.members.digest(network),
            next_set.digest(network),
            parent.header.origin,
        )
        return self.ledger.outputs(frame, parent.digest)[0]

    async def _check_transactions(self, parent: ChainState, block: Block) -> Sequence[Parsed]:
        """Format, cycle budget and signatures of the user transactions; returns them parsed."""
        body = block.body
        try:
            parsed: Sequence[Parsed] = self.parser.parse_batch(body.transactions)
        except MalformedTransaction as error:
            raise InvalidBlockError(BlockReason.TRANSACTIONS, str(error)) from error
        if len(parsed) != body.transaction_count:
            raise InvalidBlockError(
                BlockReason.TRANSACTIONS, f"{len(parsed)}, header says {body.transaction_count}"
            )
        if parsed:
            cycles = self.ledger.static_cycles(
                body.records, body.transactions, body.transaction_count
            )
            budget = EpochBudget.after(self.ledger.accumulator(parent.digest))
            if not budget.charge(self.params, cycles).admits_users(self.params):
                raise InvalidBlockError(BlockReason.BUDGET, f"{cycles} cycles")
        txids = [item[2] for item in parsed]
        if parsed and not await self._check_signatures(body.transactions, txids):
            raise InvalidBlockError(BlockReason.SIGNATURE, "of a user transaction")
        return parsed

    async def _check_stake_record(self, parent: ChainState, block: Block) -> None:
        record = self._decode_stake(block)
        if record is None:
            return
        try:
            self.check_stake_record(parent, record)
            await trio.to_thread.run_sync(check_record, record, self.genesis.draft)
        except RemoteError as error:
            raise InvalidBlockError(BlockReason.STAKE_RECORD, str(error)) from error

    def check_stake_record(self, parent: ChainState, record: StakeRecord) -> None:
        """The part of a record's check that depends on the chain. Raises RemoteError."""
        self.admission(parent).check_record(record)

    def admission(self, parent: ChainState) -> Admission:
        """What decides whether a child of `parent` may take a record."""
        sets = [parent.members]
        if parent.epoch > 0:
            sets.append(self._set_of(Epoch(parent.epoch - 1))[0])
        return Admission(self.genesis.draft, parent.registry, parent.epoch, tuple(sets))

    def _execute(
        self,
        digest: Hash32,
        parent: ChainState,
        block: Block,
        derived: derive.Derived,
        parsed: Sequence[Parsed],
    ) -> ChainState:
        known = self.state(digest)
        if known is not None:  # accepted by another task while signatures were checked
            return known
        if self.state(parent.digest) is None:
            raise NotYetError("the parent was abandoned meanwhile")
        header, body = block.header, block.body
        is_seal = header.kind is BlockKind.SEAL
        epoch = Epoch(header.epoch + 1) if is_seal else header.epoch
        context = BlockContext(epoch, header.height, header.origin, self._reward(parent, block))
        try:
            summary = self.ledger.execute(
                digest,
                parent.digest,
                context,
                body.records,
                body.transactions,
                body.transaction_count,
            )
        except RemoteError as error:
            raise InvalidBlockError(BlockReason.RECORDS, str(error)) from error
        bridge = derived.bridge
        if derived.seal is not None:
            sealed = self._sealed(digest, header, derived, b"")
            bridge = derive.advance_records(
                apply_seal(parent.bridge, self.params, sealed, derived.next_set),
                self.params,
                derived.blocks,
            ).bridge
        state = ChainState(
            digest,
            header,
            summary.root,
            bridge,
            derived.registry,
            epoch,
            derived.next_set,
            digest if is_seal else parent.instance_root,
        )
        self._candidates[digest] = _Candidate(
            block, state, summary.receipt_bytes, parsed, derived.outputs
        )
        self._on_accepted(Accepted(digest, block, parsed))
        return state

    def _reward(self, parent: ChainState, block: Block) -> XOnlyKey:
        leader = parent.members.key(block.header.leader)
        return parent.registry.records[leader].bundle.keys.reward

    @staticmethod
    def _sealed(
        digest: Hash32, header: Header, derived: derive.Derived, certificate: bytes
    ) -> SealedEpoch:
        if derived.seal is None:
            raise LocalError("only a seal ends an epoch")
        return SealedEpoch(
            header.epoch,
            digest,
            derived.outputs,
            header.state_root,
            header.origin.height,
            certificate,
            derived.seal,
        )

    def has_origin_work(self, parent: ChainState) -> bool:
        """Whether a new eligible origin is a reason for a block on `parent`."""
        base = parent.header.origin
        if self.is_orphaned(base):
            return False
        return is_origin_work(self._rules(parent), base.height, self.watcher.tip_height)

    def build(
        self,
        parent_digest: Hash32,
        view: View,
        leader: int,
        select: SelectTransactions,
        stake: StakeRecord | None,
        feerate: SatsPerKvb,
        required: bool,
    ) -> Block | None:
        """A block on an accepted parent; None when there is no reason for one.

        Raises NotYetError when the parent is not accepted here, or Bitcoin is behind.
        """
        parent = self.state(parent_digest)
        if parent is None:
            raise NotYetError("the parent is not accepted here")
        rules = self._rules(parent)
        height = parent.header.origin.height
        if not self.is_orphaned(parent.header.origin):
            height = propose_origin(rules, height, self.watcher.tip_height)
        origin = self._origin_at(parent, height)
        is_seal = height == rules.border
        least, most = feerate_bounds(self.params, parent.bridge)
        rate = SatsPerKvb(max(least, min(most, feerate))) if is_seal else SatsPerKvb(0)
        kind = BlockKind.SEAL if is_seal else BlockKind.ORDINARY
        usable = None if stake is None or is_seal or not self.may_record(parent, stake) else stake
        derived = self._derived(parent, height, kind, rate, usable)
        chosen = Selection(b"", (), 0)
        if not is_seal:
            room = self.room(parent, len(derived.records))
            chosen = select(room, self.undecided(parent_digest))
        advances = height > parent.header.origin.height
        if not (chosen.count or advances or usable or required):
            return None
        body = Body(
            records=encode_records(derived.records),
            stake_record=b"" if usable is None else usable.encode(),
            transaction_count=chosen.count,
            transactions=chosen.transactions,
            seal=derived.seal_bytes,
        )
        network = self.params.network
        header = Header(
            kind=kind,
            epoch=parent.epoch,
            view=view,
            height=BlockHeight(parent.header.height + 1),
            parent=parent.digest,
            origin=origin,
            body_digest=body.body_digest(network),
            records_digest=body.records_digest(network),
            seal_digest=body.seal_digest(network),
            state_root=parent.state_root,
            leader=leader,
        )
        return Block(header, body)

    def _origin_at(self, parent: ChainState, height: Height) -> Origin:
        if height == parent.header.origin.height:
            return parent.header.origin
        block = self.watcher.block(height)
        if block is None:
            raise NotYetError(f"Bitcoin block {height} is not known here")
        return Origin(height, block.hash, block.median_time)

    def may_record(self, parent: ChainState, stake: StakeRecord) -> bool:
        """Whether a child of `parent` may take this record, whose signatures are known to hold."""
        try:
            self.check_stake_record(parent, stake)
        except RemoteError:
            return False
        return True

    def room(self, parent: ChainState, records: int = 0) -> SelectionLimits:
        """What user transactions may fill of a block on `parent` that holds so many records."""
        budget = EpochBudget.after(self.ledger.accumulator(parent.digest))
        cycles = budget.room_for_users(self.params, records)
        return SelectionLimits(TRANSACTIONS_COUNT_MAX, TRANSACTIONS_BYTES_MAX, cycles)

    async def finalise(
        self, digests: Sequence[Hash32], certificate: Certificate
    ) -> list[Finalised]:
        """Make accepted blocks final, oldest first; `certificate` is the last one's. Durable.

        The disk is in a thread: large blocks take longer than a vote may wait. Memory is ahead of
        it meanwhile. That is safe: what is final is final for the network, and a node that crashes
        here fetches it again. What another task made final while this one waited for its turn is
        left out. Raises LocalError when a block was not accepted: callers accept certified blocks
        first.
        """
        async with self._writing:
            digests = self._still_open(digests)
            if not digests:
                return []
            done, rows = self._decide(digests, certificate)
            await trio.to_thread.run_sync(self.store.write_final, rows, certificate)
            self.durable = done[-1].state
            self._unwritten.clear()
            self.being_written = ()
        return done

    async def is_durable(self, height: BlockHeight) -> bool:
        """Whether the block of this height is on disk; waits for the writes that are under way."""
        while self.durable.header.height < height <= self.final.header.height:
            async with self._writing:
                pass
        return height <= self.durable.header.height

    def _still_open(self, digests: Sequence[Hash32]) -> Sequence[Hash32]:
        """The end of a path of blocks that lies above the finalised tip."""
        if self.final.digest in digests:
            return digests[list(digests).index(self.final.digest) + 1 :]
        height = self.final.header.height
        known = [self.block(digest) for digest in digests[-1:]]
        is_below = any(block is not None and block.header.height <= height for block in known)
        return [] if is_below else digests

    def _decide(
        self, digests: Sequence[Hash32], certificate: Certificate
    ) -> tuple[list[Finalised], list[FinalBlock]]:
        """Move the finalised tip in memory; what to write, and what to tell."""
        done: list[Finalised] = []
        rows: list[FinalBlock] = []
        for digest in digests:
            candidate = self._candidates.get(digest)
            if candidate is None:
                raise LocalError(f"block {digest.hex()} was not accepted before its finality")
            sealed = self._seal_of(candidate, certificate)
            changes = self.ledger.finalise(digest)[0]
            rows.append(
                FinalBlock(
                    candidate.state.header.height,
                    digest,
                    candidate.state.state_root,
                    candidate.block.encode(),
                    candidate.block.body.records,
                    candidate.receipts,
                    [item[2] for item in candidate.parsed],
                    changes.names,
                    changes.values,
                    changes.present,
                    candidate.state.bridge.encode(),
                    self._decode_stake(candidate.block),
                    sealed,
                )
            )
            done.append(
                Finalised(
                    candidate.block, candidate.state, candidate.receipts, candidate.parsed, sealed
                )
            )
            if sealed is not None:
                self._unwritten[sealed.epoch] = sealed
        self.final = done[-1].state
        self.being_written = tuple(done)
        self._forget_abandoned()
        if self._on_decided is not None:
            self._on_decided(done)
        return done, rows

    def _seal_of(self, candidate: _Candidate, certificate: Certificate) -> SealedEpoch | None:
        header = candidate.block.header
        if header.kind is not BlockKind.SEAL:
            return None
        body = SealBody.decode(candidate.block.body.seal)
        return SealedEpoch(
            header.epoch,
            candidate.state.digest,
            candidate.outputs,
            header.state_root,
            header.origin.height,
            certificate.encode(),
            body,
        )

    def _forget_abandoned(self) -> None:
        """Drop candidates at or below the finalised height and on other branches."""
        kept: dict[Hash32, _Candidate] = {}
        known = {self.final.digest}
        by_height = sorted(self._candidates.items(), key=lambda item: item[1].state.header.height)
        for digest, candidate in by_height:
            if candidate.block.header.parent in known:
                known.add(digest)
                kept[digest] = candidate
        self._candidates = kept


def set_of_seal(body: SealBody) -> SequencerSet:
    """The set that a seal names for the next epoch."""
    return SequencerSet([Member(key, weight) for key, weight in body.next_set])
