class WitnessError(ValueError):
    """A witness or slots that `transition` refuses; `reason`: a tree_status of guest/tree.h."""

    reason: str

    def __init__(self, reason: str) -> None: ...

def tree_path(name: bytes) -> bytes:
    """Where the leaf named by 64 bytes lies: b3(K_path, name), 32 bytes. ValueError for lengths."""

def transition(
    paths: bytes,
    old_values: bytes,
    old_present: bytes,
    new_values: bytes,
    new_present: bytes,
    proof: bytes,
) -> tuple[bytes, bytes]:
    """The roots before and after an update of n slots, strictly ascending by path, from a witness.

    paths n * 32, values n * 64, flags n. The caller compares the first root with the one it trusts.
    Raises WitnessError for a bad witness, ValueError for wrong lengths.
    """
