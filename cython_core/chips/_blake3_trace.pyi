from typing import Final

from cython_core.field._matrix import Matrix

REQUEST_BYTES: Final[int]
"""Of a request: chaining value 32, message 64, flags and multiplicity, 4 bytes each."""

def blake3_trace(requests: bytes, blocks: int) -> Matrix:
    """The trace of the BLAKE3 chip with `blocks` compressions, a power of two: those requested, in
    order, then some that nobody asks for.

    ValueError when they do not fit, for another length, flags not below 2^8 or a multiplicity not
    below p; MemoryError.
    """
