"""Batches of transactions between nodes: `version u8 = 1 | count u32 | transactions`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from p2p_seq.mempool.types import Parsed, TransactionParser
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.transactions import TRANSACTION_BYTES

BATCH_VERSION: Final = 1
"""First byte of a batch."""

HEAD_BYTES: Final = 5

BATCH_BYTES_MAX: Final = 131_072
"""Bytes of a batch: some 850 transactions, 50 ms of a signature worker."""


def encode_batches(transactions: Iterable[bytes]) -> Iterator[bytes]:
    """As few batches as hold all these encoded transactions, in their order."""
    waiting: list[bytes] = []
    size = HEAD_BYTES
    for encoded in transactions:
        if waiting and size + len(encoded) > BATCH_BYTES_MAX:
            yield _encode(waiting)
            waiting, size = [], HEAD_BYTES
        waiting.append(encoded)
        size += len(encoded)
    if waiting:
        yield _encode(waiting)


def _encode(transactions: Sequence[bytes]) -> bytes:
    head = bytes([BATCH_VERSION]) + len(transactions).to_bytes(4, "big")
    return head + b"".join(transactions)


def decode_batch(batch: bytes, parser: TransactionParser) -> tuple[bytes, Sequence[Parsed]]:
    """`(transactions, parsed)` of a batch. Raises CodecError on anything but a canonical one."""
    if len(batch) > BATCH_BYTES_MAX:
        raise CodecError(CodecReason.LENGTH, f"a batch of {len(batch)} bytes")
    if len(batch) < HEAD_BYTES:
        raise CodecError(CodecReason.TRUNCATED, f"a batch of {len(batch)} bytes")
    if batch[0] != BATCH_VERSION:
        raise CodecError(CodecReason.VALUE, f"batch version {batch[0]}")
    transactions = batch[HEAD_BYTES:]
    try:
        parsed = parser.parse_batch(transactions)
    except ValueError as error:
        raise CodecError(CodecReason.VALUE, str(error)) from error
    count = int.from_bytes(batch[1:HEAD_BYTES], "big")
    if not parsed or count != len(parsed):
        raise CodecError(CodecReason.VALUE, f"a batch of {len(parsed)} that says {count}")
    return transactions, parsed


def looks_like_batch(batch: bytes) -> bool:
    """Whether version, count and length fit together: the check that gossip is forwarded on, which
    has to be quicker than parsing.
    """
    if not HEAD_BYTES < len(batch) <= BATCH_BYTES_MAX or batch[0] != BATCH_VERSION:
        return False
    count, size = int.from_bytes(batch[1:HEAD_BYTES], "big"), len(batch) - HEAD_BYTES
    lengths = TRANSACTION_BYTES.values()
    return count * min(lengths) <= size <= count * max(lengths)
