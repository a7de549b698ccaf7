"""Commitments of proofs: hashing of rows, the tree, FRI and grinding, on one core.

Rows are hashed panel by panel, as a prover does it, out of panels that do not fit in the cache. A
cell is one element of a row, four bytes of what is hashed.
"""

import random

from cython_core.commitment import CommitmentTree, RowHasher
from cython_core.field import Matrix
from cython_core.fri._fold import fold, regroup
from cython_core.transcript import Transcript
from tests.bench.harness import Benchmark, Better, Figure, best_of, percentile

LOG_ROWS = 20
PANELS = 8
FOLD_LOG = 3
GRIND_BITS = 20
GRINDS = 9
CHALLENGE = (3, 1, 4, 1, 5)
SEED = 1


def filled(height: int, width: int) -> Matrix:
    """A matrix of values that differ, by the quickest way: one row block, repeated."""
    source = random.Random(SEED)
    block = b"".join(source.randrange(1 << 30).to_bytes(4, "little") for _ in range(width << 10))
    return Matrix.from_rows(block * (height >> 10), height, width)


def hashed(rows: Matrix, coset_log: int | None) -> RowHasher:
    hasher = RowHasher(rows.height, PANELS, coset_log)
    for block in range(PANELS):
        hasher.absorb(rows, block)
    return hasher


def measure_rows() -> list[Figure]:
    rows = filled(1 << LOG_ROWS, 16)
    cells = rows.height * PANELS * 16
    hasher = RowHasher(rows.height, PANELS, 2)

    def absorb() -> None:
        for block in range(PANELS):
            hasher.absorb(rows, block)

    seconds = best_of(3, absorb)
    wide = filled(1 << (LOG_ROWS - 3), 16 * PANELS)
    together = RowHasher(wide.height, PANELS)
    together_seconds = best_of(3, lambda: together.absorb(wide))
    finish_seconds = best_of(3, hasher.digests)
    lower, higher = Better.LOWER, Better.HIGHER
    return [
        Figure("commitment.rows.cell", "ns/cell", 1e9 * seconds / cells, 0.9, lower),
        Figure("commitment.rows.rate", "GB/s", 4e-9 * cells / seconds, None, higher),
        Figure(
            "commitment.rows.together",
            "ns/cell",
            1e9 * together_seconds / (wide.height * wide.width),
            None,
            lower,
        ),
        Figure("commitment.rows.finish", "ns/row", 1e9 * finish_seconds / rows.height, None, lower),
    ]


def measure_tree() -> list[Figure]:
    digests = random.Random(SEED).randbytes(32 << LOG_ROWS)
    low = digests[: 16 << LOG_ROWS]
    seconds = best_of(3, lambda: CommitmentTree.from_digests({LOG_ROWS: digests}))
    mixed = best_of(3, lambda: CommitmentTree.from_digests({LOG_ROWS: digests, LOG_ROWS - 1: low}))
    leaves = 1 << LOG_ROWS
    lower = Better.LOWER
    return [
        Figure("commitment.tree.leaf", "ns/leaf", 1e9 * seconds / leaves, None, lower),
        Figure("commitment.tree.mixed", "ns/leaf", 1e9 * mixed / leaves, None, lower),
    ]


def measure_fri() -> list[Figure]:
    codeword = filled(1 << LOG_ROWS, 5)
    layer = regroup(codeword, FOLD_LOG)
    hasher = RowHasher(layer.height, layer.panels)
    parts = {
        "regroup": best_of(5, lambda: regroup(codeword, FOLD_LOG)),
        "fold": best_of(5, lambda: fold(layer, FOLD_LOG, CHALLENGE, FOLD_LOG)),
        "hash": best_of(5, lambda: hasher.absorb(layer)),
    }
    return [
        Figure(
            f"commitment.fri.{name}", "ns/element", 1e9 * s / codeword.height, None, Better.LOWER
        )
        for name, s in parts.items()
    ]


def measure_grinding() -> list[Figure]:
    """Nonces tried per second: the median of several searches, each over how far it went."""
    rates = []
    for seed in range(GRINDS):
        transcripts = [Transcript(), Transcript()]
        for transcript in transcripts:
            transcript.absorb("seed", bytes([seed]))
        nonce = transcripts[0].grind(GRIND_BITS, "grind")
        seconds = best_of(1, lambda: transcripts[1].grind(GRIND_BITS, "grind"))  # noqa: B023
        rates.append((nonce + 1) / seconds)
    return [
        Figure("commitment.grind.rate", "nonces/s", percentile(rates, 0.5), None, Better.HIGHER)
    ]


BENCHMARKS = [
    Benchmark("commitment.rows", measure_rows),
    Benchmark("commitment.tree", measure_tree),
    Benchmark("commitment.fri", measure_fri),
    Benchmark("commitment.grind", measure_grinding),
]
