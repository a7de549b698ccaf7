from typing import Final

KEY_VALUE: Final[bytes]
"""K_value = BLAKE3("p2pseq/state/value/v1"), 32 bytes; the other keys likewise."""
KEY_LEAF: Final[bytes]
KEY_NODE: Final[bytes]
KEY_PATH: Final[bytes]

def available_kernels() -> tuple[str, ...]:
    """Names of the kernels that this CPU runs, narrowest first."""

def b3(domain_key: bytes, message: bytes) -> bytes:
    """Keyed BLAKE3 of at most 64 bytes: 32 bytes. ValueError for a longer message or a bad key."""

def b3_many(domain_key: bytes, messages: bytes, kernel: str = "auto") -> bytes:
    """n * 64 bytes -> n * 32 bytes, each message by itself. ValueError for other lengths, and for a
    kernel that this CPU lacks."""
