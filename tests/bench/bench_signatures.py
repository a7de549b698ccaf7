"""BIP340 checks: the bare loop, a batch through a worker, and what the worker adds to its
latency.
"""

import hashlib
import time

import trio

from p2p_seq.node.signature_worker import TRIPLE_BYTES, check_triples
from p2p_seq.node.workers import SignatureWorkers, WorkerLimits, open_signature_workers
from p2p_seq.signer.schnorr import public_key, sign
from tests.bench.harness import Benchmark, Better, Figure, best_of, percentile

BATCH = 100
"""Checks of the batch whose latency is measured: a block at 1,000 tx/s and ten blocks a second."""

ROUNDS = 60
"""Batches whose latencies make the percentiles."""


def packed_triples(count: int) -> bytes:
    """`count` valid triples of different keys and messages."""
    parts = []
    for index in range(count):
        secret = hashlib.sha256(b"bench %d" % index).digest()
        message = hashlib.sha256(b"message %d" % index).digest()
        parts.append(public_key(secret) + message + sign(secret, message))
    return b"".join(parts)


def measure_loop() -> list[Figure]:
    packed = packed_triples(500)
    seconds = best_of(5, lambda: check_triples(packed))
    rate = len(packed) / TRIPLE_BYTES / seconds
    return [Figure("signatures.checks.rate", "checks/s/core", rate, None, Better.HIGHER)]


async def _latencies(workers: SignatureWorkers, packed: bytes) -> tuple[list[float], list[float]]:
    """Milliseconds of batches through a worker and here, by turns: both meet the same noise."""
    there, here = [], []
    await workers.verify(packed)
    for _ in range(ROUNDS):
        start = time.perf_counter()
        await workers.verify(packed)
        middle = time.perf_counter()
        check_triples(packed)
        there.append((middle - start) * 1_000)
        here.append((time.perf_counter() - middle) * 1_000)
    return there, here


async def _through_worker() -> list[Figure]:
    large = packed_triples(500) * 4
    name = "signatures.worker"
    async with open_signature_workers(WorkerLimits(workers=1)) as workers:
        there, here = await _latencies(workers, large[: BATCH * TRIPLE_BYTES])
        start = time.perf_counter()
        await workers.verify(large)
        rate = len(large) / TRIPLE_BYTES / (time.perf_counter() - start)
    way = percentile(there, 0.5) - percentile(here, 0.5)
    return [
        Figure(f"{name}.rate", "checks/s/core", rate, None, Better.HIGHER),
        Figure(f"{name}.batch100.p50", "ms", percentile(there, 0.5), None, Better.LOWER),
        Figure(f"{name}.batch100.p99", "ms", percentile(there, 0.99), None, Better.LOWER),
        Figure(f"{name}.batch100.way", "ms", way, None, Better.LOWER),
    ]


def measure_worker() -> list[Figure]:
    return trio.run(_through_worker)


BENCHMARKS = [
    Benchmark("signatures.checks", measure_loop),
    Benchmark("signatures.worker", measure_worker),
]
