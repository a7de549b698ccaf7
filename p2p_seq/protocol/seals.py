"""What the last block of an epoch adds: the next set, the feerate and the settlement plan.

A seal carries no user transactions, so the epoch's outputs are known when it is voted on, and its
finality certificate speaks of them to Bitcoin, to light peers and to foreign chains alike
(PROTOCOL.md section 4).
"""

from dataclasses import dataclass
from typing import Final

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import Epoch, Hash32, Height, SatsPerKvb, XOnlyKey

SET_MAX: Final = 100
"""Members of a set at most (relay.md 5.2)."""

PLAN_BYTES_MAX: Final = 250_000
"""Bytes of an encoded settlement plan."""


@dataclass(frozen=True, slots=True)
class SealBody:
    """The body of a seal block."""

    epoch: Epoch
    """The epoch that ends."""
    next_set: tuple[tuple[XOnlyKey, int], ...]
    """Consensus keys and weights of epoch + 1, in set order."""
    feerate: SatsPerKvb
    """f_0: what version 0 of the plan's settlement pays."""
    plan: bytes
    """Encoded `SettlementPlan`, or empty when nothing is settled at this seal."""

    def encode(self) -> bytes:
        writer = Writer().u64(self.epoch)
        writer.sequence(self.next_set, SET_MAX, lambda w, item: w.hash32(item[0]).u64(item[1]))
        return writer.u64(self.feerate).var_bytes(self.plan, PLAN_BYTES_MAX).bytes()

    @classmethod
    def decode(cls, encoded: bytes) -> "SealBody":
        """Strict inverse of `encode`. Raises CodecError."""
        reader = Reader(encoded)
        body = cls(
            Epoch(reader.u64()),
            reader.sequence(SET_MAX, lambda r: (r.xonly(), r.u64(minimum=1))),
            SatsPerKvb(reader.u64()),
            reader.var_bytes(PLAN_BYTES_MAX),
        )
        reader.finish()
        return body


@dataclass(frozen=True, slots=True)
class SealedEpoch:
    """What every node keeps of a sealed epoch."""

    epoch: Epoch
    seal: Hash32
    """Digest of the seal block."""
    outputs: Hash32
    """Outputs digest of the epoch."""
    state_root: Hash32
    """State after the epoch: the root in the seal's header."""
    border: Height
    """a_{e+1}: the seal's origin height."""
    certificate: bytes
    """Encoded finality certificate over (seal, outputs) by the epoch's set."""
    body: SealBody

    def statement(self, network: str) -> Hash32:
        """`H_statement(outputs_digest || seal digest)` (PROTOCOL.md section 3)."""
        return tagged_hash(network, Tag.STATEMENT, self.outputs, self.seal)

    def encode(self) -> bytes:
        writer = Writer().u64(self.epoch).hash32(self.seal).hash32(self.outputs)
        writer.hash32(self.state_root).u32(self.border).var_bytes(self.certificate, 65_536)
        return writer.var_bytes(self.body.encode(), 262_144).bytes()

    @classmethod
    def decode(cls, encoded: bytes) -> "SealedEpoch":
        """Strict inverse of `encode`. Raises CodecError."""
        reader = Reader(encoded)
        sealed = cls(
            Epoch(reader.u64()),
            reader.hash32(),
            reader.hash32(),
            reader.hash32(),
            Height(reader.u32()),
            reader.var_bytes(65_536),
            SealBody.decode(reader.var_bytes(262_144)),
        )
        reader.finish()
        return sealed
