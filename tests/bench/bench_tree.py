"""The state tree: leaf updates per second, against what the hash kernel alone would allow.

One update of a tree of a million leaves costs two hashes for the leaf and about eight nodes (in a
batch of 10,000 the upper levels are shared): `limit` is the kernel's rate over that number, which
no tree can pass on one core. What is lost to it is sorting, descent and memory.
"""

import random

from cython_core.hash import KEY_NODE, b3_many
from cython_core.merkle import StateTree, transition
from tests.bench.harness import Benchmark, Better, Figure, best_of

LEAVES = 1_000_000
BATCH = 10_000
BATCHES = 20
GOAL_UPDATES_PER_S = 1_000_000
SEED = 1


def hash_rate() -> float:
    """Hashes per second of the best kernel over messages that lie in the cache."""
    messages = random.Random(SEED).randbytes(64 * 2048)
    rounds = 50

    def run() -> None:
        for _ in range(rounds):
            b3_many(KEY_NODE, messages)

    return rounds * 2048 / best_of(5, run)


def loaded_tree(source: random.Random) -> tuple[StateTree, bytes]:
    """A tree of random leaves, and its paths."""
    tree, paths = StateTree(), source.randbytes(32 * LEAVES)
    tree.update(paths, source.randbytes(64 * LEAVES), b"\1" * LEAVES)
    return tree, paths


def batches_of(source: random.Random, paths: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Updates of existing leaves, chosen at random."""
    batches = []
    for _ in range(BATCHES):
        chosen = source.sample(range(LEAVES), BATCH)
        batch_paths = b"".join(paths[32 * index : 32 * index + 32] for index in chosen)
        batches.append((batch_paths, source.randbytes(64 * BATCH), b"\1" * BATCH))
    return batches


def nodes_per_update(paths: bytes, batch_paths: bytes) -> float:
    """Nodes above the leaves of a batch, from the shape of the tree, over the batch's size."""
    ordered = sorted(int.from_bytes(paths[32 * i : 32 * i + 32], "big") for i in range(LEAVES))
    depths: dict[int, int] = {}
    for index, path in enumerate(ordered):
        near = [ordered[other] for other in (index - 1, index + 1) if 0 <= other < LEAVES]
        # A leaf sits one bit below the longest prefix that it shares with a neighbour.
        depths[path] = max(257 - (path ^ other).bit_length() for other in near)
    touched: set[tuple[int, int]] = set()
    for start in range(0, len(batch_paths), 32):
        path = int.from_bytes(batch_paths[start : start + 32], "big")
        touched.update((depth, path >> (256 - depth)) for depth in range(depths[path]))
    return len(touched) / (len(batch_paths) // 32)


def measure_updates() -> list[Figure]:
    source = random.Random(SEED)
    tree, paths = loaded_tree(source)
    batches = batches_of(source, paths)
    remaining = [*batches, *batches]
    seconds = best_of(len(remaining), lambda: tree.update(*remaining.pop()))
    hashes_per_s = hash_rate()
    hashes_per_update = 2 + nodes_per_update(paths, batches[0][0])
    all_seconds = best_of(3, lambda: [tree.update(*batch) for batch in batches])
    higher = Better.HIGHER
    return [
        Figure("tree.update.rate", "updates/s", BATCH / seconds, GOAL_UPDATES_PER_S, higher),
        Figure(
            "tree.update.sustained",
            "updates/s",
            BATCH * BATCHES / all_seconds,
            GOAL_UPDATES_PER_S,
            higher,
        ),
        Figure("tree.hash.rate", "compressions/s", hashes_per_s, None, higher),
        Figure("tree.update.hashes", "hashes/update", hashes_per_update, None, Better.LOWER),
        Figure("tree.update.limit", "updates/s", hashes_per_s / hashes_per_update, None, higher),
        Figure("tree.memory", "B/leaf", tree.memory_bytes / LEAVES, None, Better.LOWER),
    ]


def measure_bulk_load() -> list[Figure]:
    source = random.Random(SEED)
    paths, values = source.randbytes(32 * LEAVES), source.randbytes(64 * LEAVES)
    seconds = best_of(2, lambda: StateTree().update(paths, values, b"\1" * LEAVES))
    return [Figure("tree.load.rate", "leaves/s", LEAVES / seconds, None, Better.HIGHER)]


def measure_witness() -> list[Figure]:
    """Witness of 10,000 overwrites in a tree of a million leaves: size, making, checking."""
    source = random.Random(SEED)
    tree, paths = loaded_tree(source)
    batch_paths, new_values, present = batches_of(source, paths)[0]
    ordered = sorted(batch_paths[start : start + 32] for start in range(0, 32 * BATCH, 32))
    slot_paths = b"".join(ordered)
    old_values, old_present = tree.get_many(slot_paths)
    stays = bytes(BATCH)
    proof = tree.prove(slot_paths, stays)
    make_seconds = best_of(5, lambda: tree.prove(slot_paths, stays))
    check_seconds = best_of(
        5, lambda: transition(slot_paths, old_values, old_present, new_values, present, proof)
    )
    lower, higher = Better.LOWER, Better.HIGHER
    return [
        Figure("tree.witness.size", "B/slot", len(proof) / BATCH, None, lower),
        Figure("tree.witness.make", "slots/s", BATCH / make_seconds, None, higher),
        Figure("tree.witness.check", "slots/s", BATCH / check_seconds, None, higher),
    ]


BENCHMARKS = [
    Benchmark("tree.update", measure_updates),
    Benchmark("tree.load", measure_bulk_load),
    Benchmark("tree.witness", measure_witness),
]
