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


async def _latencies(workers: SignatureWorkers, packed: bytes) -> list[float]:
    samples = []
    await workers.verify(packed)
    for _ in range(ROUNDS):
        start = time.perf_counter()
        await workers.verify(packed)
        samples.append((time.perf_counter() - start) * 1_000)
    return samples


async def _through_worker() -> tuple[list[float], float]:
    """Latencies in ms of batches through one worker, and checks per second of a large batch."""
    large = packed_triples(500) * 4
    async with open_signature_workers(WorkerLimits(workers=1)) as workers:
        samples = await _latencies(workers, large[: BATCH * TRIPLE_BYTES])
        start = time.perf_counter()
        await workers.verify(large)
        rate = len(large) / TRIPLE_BYTES / (time.perf_counter() - start)
    return samples, rate


def measure_worker() -> list[Figure]:
    samples, rate = trio.run(_through_worker)
    packed = packed_triples(BATCH)
    here = best_of(5, lambda: check_triples(packed)) * 1_000
    name = "signatures.worker"
    return [
        Figure(f"{name}.rate", "checks/s/core", rate, None, Better.HIGHER),
        Figure(f"{name}.batch100.p50", "ms", percentile(samples, 0.5), None, Better.LOWER),
        Figure(f"{name}.batch100.p99", "ms", percentile(samples, 0.99), None, Better.LOWER),
        Figure(f"{name}.batch100.way", "ms", min(samples) - here, None, Better.LOWER),
    ]


BENCHMARKS = [
    Benchmark("signatures.checks", measure_loop),
    Benchmark("signatures.worker", measure_worker),
]
