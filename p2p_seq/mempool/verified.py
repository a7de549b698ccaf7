"""Signatures that were found to hold, so that each is checked once per node.

The key is the id **and** the signature. An id alone would not do: it does not commit to the
signature, so a block could carry a known id with a signature of garbage, and nodes that had seen
the transaction before would accept what the others refuse.
"""

from collections.abc import Iterable, Sequence

from p2p_seq.mempool.types import Parsed
from p2p_seq.protocol.transactions import SIGNATURE_BYTES


def signature_of(payload: bytes, parsed: Parsed) -> bytes:
    """The signature at the end of a transaction of `payload`."""
    end = parsed[0] + parsed[1]
    return payload[end - SIGNATURE_BYTES : end]


def triples_of(payload: bytes, parsed: Iterable[Parsed]) -> bytes:
    """What a signature worker wants: `sender 32 | txid 32 | signature 64` of each."""
    parts = []
    for offset, length, txid, sender, _, _, _, _ in parsed:
        end = offset + length
        parts += [sender, txid, payload[end - SIGNATURE_BYTES : end]]
    return b"".join(parts)


class VerifiedSignatures:
    """The last `limit` transactions whose signature holds; the oldest are forgotten first."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("at least one signature is remembered")
        self._limit = limit
        self._signatures: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._signatures)

    def add(self, payload: bytes, parsed: Iterable[Parsed]) -> None:
        """Remember transactions of `payload` whose signatures hold."""
        signatures = self._signatures
        for one in parsed:
            # A second valid signature of one id replaces the first and counts as the newest.
            signatures.pop(one[2], None)
            signatures[one[2]] = signature_of(payload, one)
        excess = len(signatures) - self._limit
        if excess > 0:
            for txid in list(signatures)[:excess]:
                del signatures[txid]

    def unknown(self, payload: bytes, parsed: Sequence[Parsed]) -> list[Parsed]:
        """Those whose signature has to be checked."""
        known = self._signatures.get
        return [one for one in parsed if known(one[2]) != signature_of(payload, one)]
