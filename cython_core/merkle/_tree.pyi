from collections.abc import Iterator
from typing import final

@final
class StateTree:
    """The ledger's state: a compact sparse Merkle tree from 32-byte paths to 64-byte values.

    What the hashes are: docs/state-tree.md. One thread at a time: a call while another thread is
    inside an update or a proof (both release the GIL) raises RuntimeError.
    """

    def __init__(self, kernel: str = "auto") -> None:
        """Empty. `kernel` is a hash kernel of `cython_core.hash`; ValueError if not available."""

    @property
    def root(self) -> bytes:
        """32 bytes; zeros when empty."""

    @property
    def memory_bytes(self) -> int:
        """Memory held, scratch space included."""

    def __len__(self) -> int: ...
    def get(self, path: bytes) -> bytes | None:
        """The value at a path, or None. ValueError unless the path has 32 bytes."""

    def get_many(self, paths: bytes) -> tuple[bytes, bytes]:
        """n * 32 bytes -> values n * 64 (zeros where absent) and presence flags n."""

    def update(self, paths: bytes, values: bytes, present: bytes) -> tuple[bytes, bytes, bytes]:
        """Set (flag 1) or delete (0) n leaves at once, in any order.

        paths n * 32, values n * 64 (ignored where deleted), present n. Returns the new root, the
        old values (n * 64, zeros where absent) and old flags, in the order of the input: giving
        those back undoes the batch. Raises ValueError (wrong lengths, a path twice, a flag over 1),
        MemoryError or OverflowError, and then has changed nothing.
        """

    def prove(self, paths: bytes, may_vanish: bytes | None = None) -> bytes:
        """The witness of `transition` for exactly these paths as slots, in any order, before an
        update of them. may_vanish[i] = 0 promises that path i is present after the update and makes
        the witness shorter; None promises nothing. Raises ValueError for lengths and duplicates."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """(path, value) in ascending order. RuntimeError if the tree is updated meanwhile."""
