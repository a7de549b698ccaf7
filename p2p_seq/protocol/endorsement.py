"""What members endorse of a sealed epoch (PROTOCOL.md section 3).

An epoch is cut into batches, each a run of the guest with a trace tree of its own. The tree is
salted with what is known only after all content of the epoch is fixed, so that no user can have
prepared a collision; the salt is public, and the same for all members.

M(e) names everything that is signed one-time of an epoch: the group roots of each batch by their
hash (the trace root of docs/vm.md), its program root P and its statement S, and the statement of
the epoch. It is what a settlement's commitment has of an epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from p2p_seq.protocol.codec import Writer
from p2p_seq.protocol.tags import Tag, tag_text, tagged_hash
from p2p_seq.protocol.types import Hash32

SALT_BYTES: Final = 16
PROGRAM_ROOT_BYTES: Final = 16
BATCHES_MAX: Final = 64
"""Batches of an epoch at most; stakes are for four (PROTOCOL.md section 1)."""


def trace_salt(network: str, seal: Hash32, batch: int) -> bytes:
    """`BLAKE3(T || seal digest || u32 batch)[:16]`, T = `p2pseq/<network>/trace-salt/v1`."""
    if not 0 <= batch < BATCHES_MAX:
        raise ValueError(f"an epoch has no batch {batch}")
    message = Writer().hash32(seal).u32(batch).bytes()
    return blake3(tag_text(network, Tag.TRACE_SALT) + message).digest(SALT_BYTES)


@dataclass(frozen=True, slots=True)
class EndorsedBatch:
    """What is signed one-time of one batch."""

    trace_root: Hash32
    """BLAKE3 of the group roots, one after the other."""
    program_root: bytes
    """P."""
    statement: Hash32
    """S."""


def endorsed_digest(network: str, batches: Sequence[EndorsedBatch], statement: Hash32) -> Hash32:
    """M(e) = `H_endorsed(u32 batches || each (trace root || P || S) || statement of the epoch)`."""
    if not batches:
        raise ValueError("an epoch has at least one batch")
    writer = Writer().sequence(
        batches,
        BATCHES_MAX,
        lambda w, batch: (
            w.hash32(batch.trace_root)
            .fixed(batch.program_root, PROGRAM_ROOT_BYTES)
            .hash32(batch.statement)
        ),
    )
    return tagged_hash(network, Tag.ENDORSED, writer.hash32(statement).bytes())
