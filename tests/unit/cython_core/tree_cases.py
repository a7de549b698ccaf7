"""Hypothesis strategies and builders that the tests of the state tree share."""

import random
from dataclasses import dataclass

from hypothesis import strategies

from cython_core.merkle._reference import Slot


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations on distinct paths: path -> new value, or None to delete."""

    operations: dict[bytes, bytes | None]

    def columns(self) -> tuple[bytes, bytes, bytes]:
        """paths, values, present as `StateTree.update` takes them."""
        paths = b"".join(self.operations)
        values = b"".join(value or bytes(64) for value in self.operations.values())
        present = bytes(value is not None for value in self.operations.values())
        return paths, values, present


def value_of(number: int) -> bytes:
    return number.to_bytes(64, "big")


def near(base: int, flipped: int, tail: int) -> bytes:
    """A path that shares exactly the first `flipped` bits with `base`; 256 is `base` itself."""
    if flipped == 256:
        return base.to_bytes(32, "big")
    low_bits = 255 - flipped
    path = (base >> low_bits ^ 1) << low_bits | tail & ((1 << low_bits) - 1)
    return path.to_bytes(32, "big")


# Few bases and many depths: paths collide in long prefixes, up to all but the last bit.
PATHS = strategies.builds(
    near,
    strategies.sampled_from((0, (1 << 256) - 1, 0x5A5A << 240, random.Random(4).getrandbits(256))),
    strategies.one_of(
        strategies.integers(0, 12), strategies.sampled_from((63, 64, 65, 127, 254, 255, 256))
    ),
    strategies.sampled_from((0, 1, (1 << 256) - 1, random.Random(5).getrandbits(256))),
)
VALUES = strategies.one_of(strategies.none(), strategies.integers(0, 3).map(value_of))
BATCHES = strategies.dictionaries(PATHS, VALUES, max_size=12).map(Batch)


def slots_of(leaves: dict[bytes, bytes], batch: Batch) -> list[Slot]:
    """The slots of a batch before it is applied to `leaves`, ascending."""
    return [
        Slot(path, leaves.get(path), batch.operations[path]) for path in sorted(batch.operations)
    ]


def slot_columns(slots: list[Slot]) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """paths, old values, old present, new values, new present as `merkle.transition` takes them."""
    return (
        b"".join(slot.path for slot in slots),
        b"".join(slot.old or bytes(64) for slot in slots),
        bytes(slot.old is not None for slot in slots),
        b"".join(slot.new or bytes(64) for slot in slots),
        bytes(slot.new is not None for slot in slots),
    )


def random_batch(source: random.Random, known: list[bytes], size: int, deletes: float) -> Batch:
    """Half known paths, half new ones; a share of them deleted."""
    operations: dict[bytes, bytes | None] = {}
    while len(operations) < size:
        is_known = bool(known) and source.random() < 0.5
        path = source.choice(known) if is_known else source.randbytes(32)
        operations[path] = None if source.random() < deletes else source.randbytes(64)
    return Batch(operations)
