"""Domain keys of the hashes of proofs, computed: `proof_keys.c` has the same as constants.

K_x = BLAKE3("p2pseq/proof/<x>/v1"), docs/proofs.md, "Bytes".
"""

from typing import Final

from blake3 import blake3


def proof_key(name: str) -> bytes:
    """K_<name>, 32 bytes."""
    return blake3(f"p2pseq/proof/{name}/v1".encode("ascii")).digest()


KEY_ROW: Final = proof_key("row")
KEY_NODE: Final = proof_key("node")
KEY_INJECT: Final = proof_key("inject")
KEY_TRANSCRIPT: Final = proof_key("transcript")
KEY_SQUEEZE: Final = proof_key("squeeze")
KEY_GRIND: Final = proof_key("grind")
KEY_KEY: Final = proof_key("key")
"""For the digest of a verification key."""
