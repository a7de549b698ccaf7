"""Re-executes a node's finalised chain from genesis and compares everything on the way.

Nothing that the node derived is believed: blocks are read from its store, and links, certificates,
signatures, state roots, supply and every epoch's outputs are computed again, by the ledger block by
block and by the transition program batch by batch (its native build, over witnesses: the same run
that an epoch's trace is made from). Who wants these runs is told each of them on the way.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cython_core.ledger._ledger import NativeLedger, TransactionParser
from cython_core.merkle._tree import StateTree
from p2p_seq.chain.chain import set_of_seal
from p2p_seq.ledger.executor import Ledger
from p2p_seq.ledger.guest import GuestRun, prepare_run, program_id
from p2p_seq.ledger.witness import BatchBlock
from p2p_seq.node.signature_worker import check_triples
from p2p_seq.protocol.blocks import Block, BlockKind, Header, Origin
from p2p_seq.protocol.errors import LocalError, RemoteError
from p2p_seq.protocol.genesis import Genesis
from p2p_seq.protocol.seals import SealBody
from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.stakes import StakeRecord
from p2p_seq.protocol.state import BlockContext, GenesisState, OutputsFrame, ledger_constants
from p2p_seq.protocol.types import ZERO32, BlockHeight, Epoch, Hash32, SatsPerKvb, XOnlyKey
from p2p_seq.protocol.votes import Certificate, VoteKind
from p2p_seq.staking.registry import Registry, founding_set
from p2p_seq.storage.chain_store import ChainStore
from p2p_seq.storage.store import Store

SATS_PER_KVB: Final = 1_000
"""Params have sat/vB, the state sat/kvB."""


class RecomputeError(Exception):
    """The chain does not hold; says where and why."""


@dataclass(frozen=True, slots=True)
class SealDigests:
    """What one epoch's seal says, recomputed."""

    epoch: int
    seal: str
    outputs: str
    state_root: str


@dataclass(frozen=True, slots=True)
class BatchRun:
    """One run of the transition program, all of whose results were compared."""

    epoch: Epoch
    batch: int
    """From 0 in each epoch."""
    first_height: BlockHeight
    last_height: BlockHeight
    is_last: bool
    """Of its epoch, with the epoch's outputs in its statement."""
    run: GuestRun


@dataclass(slots=True)
class Recomputed:
    """What came out."""

    height: int = 0
    digest: str = ""
    state_root: str = ""
    """After the last block."""
    transactions: int = 0
    certificates: int = 0
    """Finality certificates that were verified."""
    batches: int = 0
    """Runs of the transition program."""
    roots: list[str] = field(default_factory=list)
    """State root after each block, from genesis on."""
    seals: list[SealDigests] = field(default_factory=list)


class Enough(Exception):
    """Raised by who is told of runs, to end the walk."""


def recompute(
    home: Path, genesis: Genesis, on_run: Callable[[BatchRun], object] = lambda _: None
) -> Recomputed:
    """Raises RecomputeError at the first thing that does not hold, OperatorError for no store.

    `on_run` hears each run of the transition program and may raise Enough; what was walked until
    then is what comes back.
    """
    store = Store.open_to_read(home / "chain")
    try:
        return _Walk(ChainStore(store), genesis, on_run).run()
    except (RemoteError, LocalError) as error:
        raise RecomputeError(f"{home}: {type(error).__name__}: {error}") from error
    finally:
        store.close()


class _Walk:
    """One pass over one store."""

    def __init__(
        self, store: ChainStore, genesis: Genesis, on_run: Callable[[BatchRun], object]
    ) -> None:
        self._store = store
        self._on_run = on_run
        self._genesis = genesis
        self._network = genesis.network
        self._chain_id = genesis.chain_id
        self._constants = ledger_constants(genesis.params, genesis.chain_id)
        rate = SatsPerKvb(SATS_PER_KVB * genesis.params.feerate_minimum)
        before = GenesisState(genesis.vault, genesis.vault_value, rate, genesis.allocation)
        self._ledger = Ledger.from_genesis(self._constants, before)
        self._lag = NativeLedger(StateTree(), self._constants)
        names = [bytes([kind]) + key for kind, key, _ in before.leaves()]
        self._lag.load(b"".join(names), b"".join(value for _, _, value in before.leaves()))
        self._parser = TransactionParser(self._constants)
        self._batch: list[BatchBlock] = []
        self._batch_number = 0
        self._batch_pre_root = Hash32(self._lag.root)
        self._registry = Registry.of_genesis(genesis)
        self._members = founding_set(genesis)
        self._epoch = Epoch(0)
        self._parent: Header | None = None
        self._digest: Hash32 = ZERO32
        self._root: Hash32 = ZERO32
        self._certified = BlockHeight(0)
        """Every block up to here has a certificate of its own or a certified descendant."""
        self._found = Recomputed()

    def run(self) -> Recomputed:
        tip = self._store.tip()
        if tip is None:
            raise RecomputeError("there is no finalised block")
        try:
            for height in range(tip.height + 1):
                self._step(BlockHeight(height))
        except Enough:
            return self._found
        self._finish_batch(None)
        self._require(self._certified == tip.height, "the tip has no finality certificate")
        self._found.height, self._found.digest = tip.height, self._digest.hex()
        self._found.state_root = self._root.hex()
        return self._found

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise RecomputeError(f"height {len(self._found.roots)}: {what}")

    def _step(self, height: BlockHeight) -> None:
        place = self._store.digest_at(height)
        encoded = None if place is None else self._store.block(place[0])
        if place is None or encoded is None:
            raise RecomputeError(f"height {height}: the block is missing")
        block = Block.decode(encoded, self._network)
        header = block.header
        digest = header.digest(self._network, self._chain_id)
        self._require(digest == place[0], "the block has another digest than its index says")
        self._check_link(block, height)
        is_seal = header.kind is BlockKind.SEAL
        if is_seal:
            self._check_seal(block, digest)
        context = self._context(header)
        body = block.body
        summary = self._ledger.execute(
            digest, self._digest, context, body.records, body.transactions, body.transaction_count
        )
        self._ledger.finalise(digest)
        if summary.opened_batch and height > 0:
            self._finish_batch(None)
        self._batch.append(
            BatchBlock(context, body.records, body.transactions, body.transaction_count)
        )
        self._require(summary.root == place[1], "the stored root is not the recomputed one")
        verdicts = check_triples(self._parser.signing_triples(body.transactions))
        self._require(all(verdicts), "a transaction's signature is wrong")
        self._require(
            summary.receipt_bytes == (self._store.receipts(height) or b""), "receipts differ"
        )
        self._require(self._ledger.totals().is_balanced, "the supply rule does not hold")
        self._check_certificate(header, digest)
        self._advance(block, digest, summary.root)

    def _check_link(self, block: Block, height: BlockHeight) -> None:
        header = block.header
        if self._parent is None:
            self._require(block == self._genesis.block(), "the genesis block is another one")
            return
        self._require(header.height == height, "the header has another height")
        self._require(header.parent == self._digest, "it does not follow its parent")
        self._require(header.epoch == self._epoch, "it has another epoch")
        self._require(header.state_root == self._root, "its root is not the parent's state")
        self._require(header.origin.height >= self._parent.origin.height, "its origin goes back")

    def _context(self, header: Header) -> BlockContext:
        if header.kind is BlockKind.GENESIS:
            leader = XOnlyKey(ZERO32)
        else:
            record = self._registry.records[self._members.key(header.leader)]
            leader = record.bundle.keys.reward
        epoch = Epoch(header.epoch + 1) if header.kind is BlockKind.SEAL else header.epoch
        return BlockContext(epoch, header.height, header.origin, leader)

    def _check_seal(self, block: Block, digest: Hash32) -> None:
        """Outputs of the epoch that ends: native ledger = transition program = what was voted."""
        if self._parent is None:
            raise RecomputeError("the genesis block cannot be a seal")
        next_set = set_of_seal(SealBody.decode(block.body.seal))
        frame = self._frame(next_set, self._parent.origin)
        outputs, _ = self._ledger.outputs(frame, self._digest)
        sealed = self._store.sealed(block.header.epoch)
        if sealed is None:
            raise RecomputeError(f"the seal of epoch {block.header.epoch} is not indexed")
        self._require(sealed.seal == digest, "the index names another seal")
        self._require(sealed.outputs == outputs, "the seal's outputs are not the recomputed ones")
        certificate = Certificate.decode(sealed.certificate)
        self._require(certificate.statement.block == digest, "the seal's certificate is another's")
        self._require(
            certificate.statement.outputs == outputs, "the seal was voted with other outputs"
        )
        certificate.verify(self._members, self._chain_id, self._network)
        self._finish_batch((frame, outputs))
        self._found.seals.append(
            SealDigests(block.header.epoch, digest.hex(), outputs.hex(), self._root.hex())
        )

    def _frame(self, next_set: SequencerSet, origin: Origin) -> OutputsFrame:
        network = self._network
        return OutputsFrame(
            program_id(network), self._members.digest(network), next_set.digest(network), origin
        )

    def _finish_batch(self, last: tuple[OutputsFrame, Hash32] | None) -> None:
        """Run the transition program over the blocks since the last batch."""
        if not self._batch:
            return
        frame, outputs = (None, ZERO32) if last is None else last
        run = prepare_run(self._lag.tree, self._constants, self._batch, frame)
        outcome = run.result
        self._require(outcome.pre_root == self._batch_pre_root, "the program starts elsewhere")
        self._require(outcome.post_root == self._root, "the program ends in another state")
        self._require(outcome.outputs_digest == outputs, "the program has other outputs")
        for block in self._batch:
            self._lag.execute(
                block.context.encode(), block.records, block.transactions, block.transaction_count
            )
        self._tell(run, is_last=last is not None)
        self._batch, self._batch_pre_root = [], Hash32(self._lag.root)
        self._found.batches += 1

    def _tell(self, run: GuestRun, *, is_last: bool) -> None:
        """Who listens hears of the run. The transitions of a seal belong to the next epoch."""
        first = self._batch[0].context
        batch = BatchRun(
            first.epoch,
            self._batch_number,
            first.height,
            self._batch[-1].context.height,
            is_last,
            run,
        )
        self._batch_number = 0 if is_last else self._batch_number + 1
        self._on_run(batch)

    def _check_certificate(self, header: Header, digest: Hash32) -> None:
        encoded = self._store.certificate(header.height)
        if encoded is None:
            if header.kind is BlockKind.GENESIS:
                return
            self._require(header.kind is not BlockKind.SEAL, "a seal has no certificate")
            return
        certificate = Certificate.decode(encoded)
        self._require(certificate.statement.kind == VoteKind.FINALIZE, "its votes do not finalise")
        self._require(certificate.statement.block == digest, "its certificate is another block's")
        certificate.verify(self._members, self._chain_id, self._network)
        self._certified = header.height
        self._found.certificates += 1

    def _advance(self, block: Block, digest: Hash32, root: Hash32) -> None:
        if block.body.stake_record:
            record = StakeRecord.decode(block.body.stake_record)
            self._registry = self._registry.with_record(record)
        if block.header.kind is BlockKind.SEAL:
            self._members = set_of_seal(SealBody.decode(block.body.seal))
            self._epoch = Epoch(block.header.epoch + 1)
        self._parent, self._digest, self._root = block.header, digest, root
        self._found.roots.append(root.hex())
        self._found.transactions += block.body.transaction_count
