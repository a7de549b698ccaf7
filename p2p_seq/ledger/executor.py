"""The ledger's state: one tree that stands at some executed block, and the way back from it.

Blocks are executed before they are final, on branches that may be abandoned. The tree holds one
state at a time; each execution keeps what it changed, so that the tree moves between branches by
undoing to the common ancestor and redoing from there. A query names the block whose state it asks
for and is answered from those changes without moving the tree.

Pure as far as I/O goes: no disk, no clock, no trio. One thread at a time.
"""

from collections.abc import Iterable
from typing import Final

from cython_core.ledger._ledger import Execution, LedgerFault, NativeLedger
from cython_core.merkle._tree import StateTree
from p2p_seq.ledger.types import (
    INDEXED_KINDS,
    BlockFault,
    Executed,
    ExecutionSummary,
    LeafChanges,
    LedgerReason,
    Route,
)
from p2p_seq.protocol.errors import LocalError, RemoteError
from p2p_seq.protocol.state import (
    Account,
    BlockContext,
    EpochAccumulator,
    GenesisState,
    LeafKind,
    OutputsFrame,
    PendingPayout,
    StakeLeaf,
    Totals,
    VaultLeaf,
    numbered_key,
)
from p2p_seq.protocol.types import ZERO32, Hash32, XOnlyKey

EPOCH_PAGES: Final = (0, 1, 2)
"""Leaves of the epoch accumulator."""


_FAULTS: Final = {
    1: BlockFault.FORMAT,
    2: BlockFault.CONTEXT,
    3: BlockFault.BUDGET,
    4: BlockFault.RECORD,
}
"""Codes of `enum ledger_error` that a block can cause; any other is our own bug."""


class Ledger:
    """The state at the last finalised block and at every executed block above it.

    Blocks are named by their digests; `base` is the last finalised one. Every query takes `at`, the
    block after which to look, and means the finalised state without it. Unknown blocks raise
    RemoteError(UNKNOWN_BLOCK).
    """

    def __init__(self, constants: bytes) -> None:
        self._native = NativeLedger(StateTree(), constants)
        self._base: Hash32 = ZERO32
        self._base_root: Hash32 = ZERO32
        self._position: Hash32 = ZERO32
        self._executed: dict[Hash32, Executed] = {}
        self._indexed: dict[bytes, bytes] = {}
        self._routes: dict[Hash32, Route] = {}

    @classmethod
    def from_genesis(cls, constants: bytes, genesis: GenesisState) -> "Ledger":
        """The state before the genesis block, whose parent is ZERO32; execute that block next."""
        ledger = cls(constants)
        leaves = ((bytes([kind]) + key, value) for kind, key, value in genesis.leaves())
        ledger._load(leaves, ZERO32)
        return ledger

    @classmethod
    def restore(
        cls,
        constants: bytes,
        leaves: Iterable[tuple[bytes, bytes]],
        block: Hash32,
        root: Hash32,
    ) -> "Ledger":
        """The finalised state after `block` from stored (name, value) pairs.

        Raises LocalError when they do not give `root`: the store is damaged.
        """
        ledger = cls(constants)
        ledger._load(leaves, block)
        if ledger._base_root != root:
            raise LocalError(
                f"stored state has root {ledger._base_root.hex()}, the chain says {root.hex()}"
            )
        return ledger

    def _load(self, leaves: Iterable[tuple[bytes, bytes]], block: Hash32) -> None:
        names, values = [], []
        for name, value in leaves:
            names.append(name)
            values.append(value)
            if name[0] in INDEXED_KINDS:
                self._indexed[name] = value
        self._base_root = Hash32(self._native.load(b"".join(names), b"".join(values)))
        self._base = self._position = block

    @property
    def base(self) -> Hash32:
        """Digest of the last finalised block; ZERO32 before genesis."""
        return self._base

    @property
    def native(self) -> NativeLedger:
        """The tree with the program; it stands at whatever block was used last."""
        return self._native

    @property
    def executed_count(self) -> int:
        """Blocks above the finalised one whose changes are kept."""
        return len(self._executed)

    def knows(self, block: Hash32) -> bool:
        """Whether the state after `block` can be asked for."""
        return block == self._base or block in self._executed

    def execute(
        self,
        block: Hash32,
        parent: Hash32,
        context: BlockContext,
        records: bytes,
        transactions: bytes,
        transaction_count: int,
    ) -> ExecutionSummary:
        """Execute a block on the state after `parent`; again is free.

        Raises RemoteError(BlockFault) when the block breaks a rule, RemoteError(UNKNOWN_BLOCK) when
        the parent is not known, LocalError when an invariant of the ledger breaks.
        """
        known = self._executed.get(block)
        if known is None:
            self.move_to(parent)
            execution = self._run(context, records, transactions, transaction_count)
            depth = self._executed[parent].depth + 1 if parent in self._executed else 1
            known = Executed(block, parent, depth, execution)
            self._executed[block] = known
            self._stand_at(block)
        return ExecutionSummary(
            block,
            Hash32(known.execution.root),
            known.execution.receipts,
            known.execution.opened_batch,
        )

    def _run(
        self, context: BlockContext, records: bytes, transactions: bytes, count: int
    ) -> Execution:
        try:
            return self._native.execute(context.encode(), records, transactions, count)
        except LedgerFault as fault:
            reason = _FAULTS.get(fault.code)
            if reason is None:
                raise LocalError(f"the ledger's books are broken: {fault}") from fault
            raise RemoteError(reason, f"block at height {context.height}") from fault

    def finalise(self, block: Hash32) -> tuple[LeafChanges, ...]:
        """Make `block` and its ancestors final; every other branch is forgotten.

        Returns what to store, oldest block first; empty when it is final already.
        """
        if block == self._base:
            return ()
        chain = self._chain(block)
        self.move_to(block)
        for node in chain:
            for name, value in node.indexed_changes():
                if value is None:
                    self._indexed.pop(name, None)
                else:
                    self._indexed[name] = value
        self._base, self._base_root = block, Hash32(chain[-1].execution.root)
        self._forget_branches()
        return tuple(
            LeafChanges(
                node.digest,
                Hash32(node.execution.root),
                node.execution.names,
                node.execution.values,
                node.execution.present,
            )
            for node in chain
        )

    def _forget_branches(self) -> None:
        """Keep only descendants of the base, with depths counted from it."""
        kept: dict[Hash32, Executed] = {}
        for node in sorted(self._executed.values(), key=lambda node: node.depth):
            if node.parent == self._base or node.parent in kept:
                node.depth = kept[node.parent].depth + 1 if node.parent in kept else 1
                kept[node.digest] = node
        self._executed = kept
        self._routes.clear()

    def _chain(self, block: Hash32) -> list[Executed]:
        """Executed blocks from above the base up to `block`, oldest first."""
        chain: list[Executed] = []
        while block != self._base:
            node = self._executed.get(block)
            if node is None:
                raise RemoteError(LedgerReason.UNKNOWN_BLOCK, block.hex())
            chain.append(node)
            block = node.parent
        chain.reverse()
        return chain

    def _route(self, block: Hash32) -> Route:
        """From where the tree stands to `block`; kept until the tree moves."""
        route = self._routes.get(block)
        if route is None:
            here, there = self._chain(self._position), self._chain(block)
            common = 0
            while common < min(len(here), len(there)) and here[common] is there[common]:
                common += 1
            route = Route(here[common:][::-1], there[common:])
            self._routes[block] = route
        return route

    def _stand_at(self, block: Hash32) -> None:
        self._position = block
        self._routes.clear()

    def move_to(self, block: Hash32) -> None:
        """Let the tree stand after `block`: for outputs, proofs and the next execution."""
        route = self._route(block)
        for node in route.undone:
            self._native.undo(node.execution)
            self._stand_at(node.parent)
        for node in route.redone:
            self._native.redo(node.execution)
            self._stand_at(node.digest)

    def root_after(self, block: Hash32) -> Hash32:
        """State root after an executed or the finalised block."""
        if block == self._base:
            return self._base_root
        node = self._executed.get(block)
        if node is None:
            raise RemoteError(LedgerReason.UNKNOWN_BLOCK, block.hex())
        return Hash32(node.execution.root)

    def leaf(self, kind: LeafKind, key: bytes, at: Hash32 | None = None) -> bytes | None:
        """Value of a leaf after `at`, or None."""
        name = bytes([kind]) + key
        route = self._route(self._base if at is None else at)
        for node in reversed(route.redone):
            index = node.position(name)
            if index is not None:
                return node.value_after(index)
        for node in reversed(route.undone):
            index = node.position(name)
            if index is not None:
                return node.value_before(index)
        return self._native.get(name)

    def _certain(self, kind: LeafKind, number: int, at: Hash32 | None) -> bytes:
        value = self.leaf(kind, numbered_key(number), at)
        if value is None:
            raise LocalError(f"the state has no {kind.name} leaf {number}")
        return value

    def account(self, key: XOnlyKey, at: Hash32 | None = None) -> Account | None:
        value = self.leaf(LeafKind.ACCOUNT, key, at)
        return None if value is None else Account.decode(value)

    def totals(self, at: Hash32 | None = None) -> Totals:
        return Totals.decode(self._certain(LeafKind.TOTALS, 0, at))

    def vault(self, at: Hash32 | None = None) -> VaultLeaf:
        return VaultLeaf.decode(self._certain(LeafKind.VAULT, 0, at))

    def accumulator(self, at: Hash32 | None = None) -> EpochAccumulator:
        """The running epoch; raises LocalError before the genesis block is executed."""
        first, second, third = (self._certain(LeafKind.EPOCH, page, at) for page in EPOCH_PAGES)
        return EpochAccumulator.decode((first, second, third))

    def _listed(self, kind: LeafKind, at: Hash32 | None) -> dict[bytes, bytes]:
        found = {name: value for name, value in self._indexed.items() if name[0] == kind}
        for node in self._chain(self._base if at is None else at):
            for name, value in node.indexed_changes():
                if name[0] != kind:
                    continue
                if value is None:
                    found.pop(name, None)
                else:
                    found[name] = value
        return found

    def pending_payouts(self, at: Hash32 | None = None) -> tuple[PendingPayout, ...]:
        """Withdrawals that no buried settlement has paid, by ascending id."""
        found = self._listed(LeafKind.PAYOUT, at)
        return tuple(
            PendingPayout.decode(int.from_bytes(name[1:], "big"), found[name])
            for name in sorted(found)
        )

    def stakes(self, at: Hash32 | None = None) -> tuple[StakeLeaf, ...]:
        """Every stake that the ledger has recorded, by consensus key."""
        found = self._listed(LeafKind.STAKE, at)
        return tuple(StakeLeaf.decode(XOnlyKey(name[1:]), found[name]) for name in sorted(found))

    def outputs(self, frame: OutputsFrame, at: Hash32) -> tuple[Hash32, bytes]:
        """(outputs digest, 12 words) of the epoch whose last block before the seal is `at`."""
        self.move_to(at)
        digest, words = self._native.outputs(
            frame.encode(), frame.origin.height, frame.origin.median_time
        )
        return Hash32(digest), words

    def static_cycles(self, records: bytes, transactions: bytes, count: int) -> int:
        """Fixed cycle price of a block. Raises RemoteError(FORMAT) when its bytes do not add up."""
        try:
            return self._native.static_cycles(records, transactions, count)
        except LedgerFault as fault:
            raise RemoteError(BlockFault.FORMAT, "block body") from fault
