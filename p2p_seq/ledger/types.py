"""What enters and leaves the ledger's executor, and what it keeps of an executed block."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cython_core.ledger._ledger import Execution
from p2p_seq.protocol.state import LeafKind
from p2p_seq.protocol.transactions import Receipt, decode_receipts
from p2p_seq.protocol.types import Hash32

NAME_BYTES: Final = 33
"""A leaf's name: kind, then key."""

VALUE_BYTES: Final = 64

INDEXED_KINDS: Final = frozenset((LeafKind.PAYOUT, LeafKind.STAKE))
"""Kinds that are listed as a whole; the tree itself finds leaves by name only."""


class BlockFault(StrEnum):
    """Why a block cannot be executed: no honest voter votes for it."""

    FORMAT = "block-format"
    """Records or transactions are not the one spelling of what they claim to be."""
    CONTEXT = "block-context"
    """The block's epoch is not the state's."""
    BUDGET = "block-budget"
    """User transactions use more cycles than the epoch has left for them."""
    RECORD = "block-record"
    """A record contradicts the state or its neighbours."""


class LedgerReason(StrEnum):
    """Why the ledger cannot do what it was asked."""

    UNKNOWN_BLOCK = "unknown-block"
    """Not executed here, or abandoned since."""


@dataclass(frozen=True, slots=True)
class LeafChanges:
    """What one block changed, packed: names n*33, values n*64, present n*1. For the store."""

    block: Hash32
    root: Hash32
    names: bytes
    values: bytes
    present: bytes

    def __iter__(self) -> Iterator[tuple[bytes, bytes | None]]:
        """(name, value or None when the leaf is gone)."""
        for index, is_present in enumerate(self.present):
            name = self.names[NAME_BYTES * index : NAME_BYTES * (index + 1)]
            value = self.values[VALUE_BYTES * index : VALUE_BYTES * (index + 1)]
            yield name, value if is_present else None


@dataclass(frozen=True, slots=True)
class ExecutionSummary:
    """What executing a block gave."""

    block: Hash32
    root: Hash32
    """State root after the block: what its children's headers carry."""
    receipt_bytes: bytes
    opened_batch: bool
    """Whether the block is the first of a batch."""

    def receipts(self) -> tuple[Receipt, ...]:
        return decode_receipts(self.receipt_bytes)


@dataclass(slots=True)
class Executed:
    """A block that is executed and not final."""

    digest: Hash32
    parent: Hash32
    depth: int
    execution: Execution
    positions: dict[bytes, int] | None = field(default=None)

    def position(self, name: bytes) -> int | None:
        """Index of a leaf among the changes; the table is made when it is first asked for."""
        if self.positions is None:
            names = self.execution.names
            self.positions = {
                names[start : start + NAME_BYTES]: index
                for index, start in enumerate(range(0, len(names), NAME_BYTES))
            }
        return self.positions.get(name)

    def value_after(self, index: int) -> bytes | None:
        return value_at(self.execution.values, self.execution.present, index)

    def value_before(self, index: int) -> bytes | None:
        return value_at(self.execution.old_values, self.execution.old_present, index)

    def indexed_changes(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Changed leaves of the kinds that are listed."""
        names = self.execution.names
        kinds = names[::NAME_BYTES]
        if not any(kind in kinds for kind in INDEXED_KINDS):
            return
        for index, kind in enumerate(kinds):
            if kind in INDEXED_KINDS:
                start = NAME_BYTES * index
                yield names[start : start + NAME_BYTES], self.value_after(index)


@dataclass(frozen=True, slots=True)
class Route:
    """How the tree gets from one block to another."""

    undone: list[Executed]
    """Newest first."""
    redone: list[Executed]
    """Oldest first."""


def value_at(values: bytes, present: bytes, index: int) -> bytes | None:
    if not present[index]:
        return None
    return values[VALUE_BYTES * index : VALUE_BYTES * (index + 1)]
