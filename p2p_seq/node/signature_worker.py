"""The program of a signature worker: BIP340 checks in a process of its own.

Run by file name (`python -I signature_worker.py`), so that it starts in tens of milliseconds: it
imports the secp256k1 binding and nothing of this package, which would bring libp2p along. The
node calls `check_triples` itself for batches that are too small to be worth the way to a worker.

On standard input: `u32 count | count * (public key 32 | message 32 | signature 64)`, big-endian,
again and again. On standard output, for each: `count` bytes, 1 where the signature holds and 0
where it does not. The end of standard input ends the process: the kernel closes the pipe when the
node dies, also of SIGKILL, so no worker outlives its node.
"""

import os
import signal
import sys
from typing import Final

from coincurve._libsecp256k1 import ffi, lib

TRIPLE_BYTES: Final = 128
"""One check: x-only public key 32, message 32, signature 64."""

TRIPLES_MAX: Final = 4_096
"""Checks in one request; a larger count means that the stream is out of step, and ends the
process.
"""

_CONTEXT: Final = lib.secp256k1_context_static
"""Verification needs no precomputed tables of its own; the static context is shared and
read-only.
"""


def check_triples(triples: bytes | bytearray | memoryview) -> bytes:
    """BIP340 verification of packed triples: one byte 0 or 1 for each. A key off the curve fails.

    Raises ValueError when the length is not a multiple of `TRIPLE_BYTES`: a caller's bug.
    """
    if len(triples) % TRIPLE_BYTES:
        raise ValueError(f"{len(triples)} bytes are not a number of {TRIPLE_BYTES}-byte triples")
    parse_key = lib.secp256k1_xonly_pubkey_parse
    verify = lib.secp256k1_schnorrsig_verify
    parsed_key = ffi.new("secp256k1_xonly_pubkey *")
    verdicts = bytearray(len(triples) // TRIPLE_BYTES)
    first = ffi.from_buffer("unsigned char[]", triples) + 0
    for index in range(len(verdicts)):
        key = first + index * TRIPLE_BYTES
        if parse_key(_CONTEXT, parsed_key, key):
            verdicts[index] = verify(_CONTEXT, key + 64, key + 32, 32, parsed_key)
    return bytes(verdicts)


def read_exactly(descriptor: int, length: int) -> bytes | None:
    """`length` bytes, or None at the end of the stream."""
    parts = []
    while length:
        part = os.read(descriptor, length)
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def write_all(descriptor: int, answer: bytes) -> None:
    view = memoryview(answer)
    while view:
        view = view[os.write(descriptor, view) :]


def main() -> int:
    """Answer until standard input ends."""
    # Ctrl-C reaches the whole foreground group; the node decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        head = read_exactly(0, 4)
        if head is None:
            return 0
        count = int.from_bytes(head, "big")
        if not 1 <= count <= TRIPLES_MAX:
            sys.stderr.write(f"signature worker: a request of {count} checks is out of step\n")
            return 1
        triples = read_exactly(0, count * TRIPLE_BYTES)
        if triples is None:
            return 0
        try:
            write_all(1, check_triples(triples))
        except BrokenPipeError:
            return 0


if __name__ == "__main__":
    sys.exit(main())
