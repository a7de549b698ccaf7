"""BLAKE3 for the state tree: keyed single-block hashes, one at a time or many at once.

`b3(key, message)` equals `blake3(message, key=key)` for messages of at most 64 bytes; `b3_many`
hashes any number of independent 64-byte messages in the lanes of the widest kernel that the CPU has
(scalar, AVX2 8 lanes, AVX-512 16 lanes). `_reference` is the pure-Python twin; both pass the same
tests.
"""

from cython_core.hash._b3 import (
    KEY_LEAF,
    KEY_NODE,
    KEY_PATH,
    KEY_VALUE,
    available_kernels,
    b3,
    b3_many,
)

__all__ = [
    "KEY_LEAF",
    "KEY_NODE",
    "KEY_PATH",
    "KEY_VALUE",
    "available_kernels",
    "b3",
    "b3_many",
]
