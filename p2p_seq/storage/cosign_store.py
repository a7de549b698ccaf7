"""What this node's co-signing keys have signed: the rows of one table."""

from dataclasses import dataclass
from typing import Final

from p2p_seq.protocol.errors import LocalError
from p2p_seq.protocol.types import Epoch, Hash32, Signature, XOnlyKey
from p2p_seq.storage.store import Store
from p2p_seq.storage.tables import Table

KEPT_EPOCHS: Final = 8
"""Rows of older epochs are dropped: their ceremonies are over, and their keys are gone."""

ROW_BYTES: Final = 8 + 32 + 64 + 64


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The one thing that a co-signing key signed."""

    epoch: Epoch
    request: Hash32
    """Digest of the request."""
    slash: Signature
    refund: Signature


class CosignStore:
    """Typed access to the table."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, key: XOnlyKey, signed: Cosigned) -> None:
        """Durable when it returns. Raises LocalError when the key has signed before."""
        row = signed.epoch.to_bytes(8, "big") + signed.request + signed.slash + signed.refund
        oldest = max(0, signed.epoch - KEPT_EPOCHS).to_bytes(8, "big")
        with self._store.write() as change:
            if change.get(Table.COSIGNED, key) is not None:
                raise LocalError(f"co-signing key {key.hex()} signs twice")
            stale = [name for name, value in change.scan(Table.COSIGNED) if value[:8] < oldest]
            for name in stale:
                change.delete(Table.COSIGNED, name)
            change.put(Table.COSIGNED, key, row)

    def read(self, key: XOnlyKey) -> Cosigned | None:
        """What the key signed, None when it has signed nothing."""
        with self._store.read() as view:
            row = view.get(Table.COSIGNED, key)
        if row is None:
            return None
        if len(row) != ROW_BYTES:
            raise LocalError(f"the row of co-signing key {key.hex()} has {len(row)} bytes")
        return Cosigned(
            Epoch(int.from_bytes(row[:8], "big")),
            Hash32(row[8:40]),
            Signature(row[40:104]),
            Signature(row[104:]),
        )
