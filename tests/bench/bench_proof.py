"""Proving and verifying the statement "tree-update", stage by stage.

Rates count committed cells (main and auxiliary) over CPU seconds of one thread, so that they stay
comparable when the machine is shared. Proofs follow one another in the memory of the first, as in a
prover that goes on; `proof.two-threads.speed-up` says what the second core brings
in wall time. Compressions are those that the batch asks for, not the padding of the table.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from cython_core.chips.tree_batches import made_up_batch
from cython_core.chips.tree_trace import tree_update_trace
from cython_core.chips.tree_update import tree_update_system
from cython_core.field import Matrix
from cython_core.stark import _verify, verifier
from cython_core.stark.codewords import Options, Spares, Stage
from cython_core.stark.parameters import PROVEN
from cython_core.stark.prover import ProvingKey, make_proving_key, prove
from tests.bench.harness import Benchmark, Better, Figure, best_of

ROOT = Path(__file__).resolve().parents[2]
LEAVES = 50_000
UPDATES = 400
"""A table of 2^17 rows of the BLAKE3 chip, well filled."""
LARGE_LEAVES = 200_000
LARGE_UPDATES = 3_800
"""A table of 2^20 rows."""
ROWS_PER_COMPRESSION = 16

GOAL_CELLS = 50e6
GOAL_COMPRESSIONS = 5_000.0
GOAL_PROOF_BYTES = 1.5e6
GOAL_COMPILED_MS = 20.0
GOAL_PYTHON_S = 2.0
GOAL_PEAK_GIB = 8.0


@dataclass
class Clock:
    """CPU seconds of each stage."""

    seconds: dict[Stage, float] = field(default_factory=dict)
    last: float = field(default_factory=time.process_time)

    def tick(self, stage: Stage, done: int, total: int) -> None:
        now = time.process_time()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.last
        self.last = now


@dataclass(frozen=True)
class Case:
    key: ProvingKey
    publics: list[int]
    matrices: list[Matrix]
    rows: int
    cells: int
    compressions: int

    def prove(self, options: Options) -> bytes:
        return prove(self.key, self.matrices, self.publics, options=options)

    def verification(self, proof: bytes) -> tuple[bytes, list[int], tuple[()], bytes, bytes]:
        return self.key.encoding, self.publics, (), b"", proof


def make_case(leaves: int, updates: int) -> Case:
    batch = made_up_batch(leaves, updates)
    update = tree_update_trace(batch.updates, batch.proof)
    system = tree_update_system()
    tables = list(zip(system.tables, update.matrices, strict=True))
    cells = sum(m.height * (m.width + table.auxiliary_width) for table, m in tables)
    rows = max(matrix.height for matrix in update.matrices)
    asked = update.matrices[0].column(system.tables[0].labels.main.index("multiplicity"))
    blocks = range(0, len(asked), ROWS_PER_COMPRESSION)
    compressions = sum(any(asked[at : at + ROWS_PER_COMPRESSION]) for at in blocks)
    key = make_proving_key(system, PROVEN)
    return Case(key, update.publics, list(update.matrices), rows, cells, compressions)


def measure() -> list[Figure]:
    case = make_case(LEAVES, UPDATES)
    clocks = []
    proof, spares = b"", Spares()
    for _ in range(4):
        clocks.append(Clock())
        proof = case.prove(Options(progress=clocks[-1].tick, spares=spares))
    clock = min(clocks, key=lambda one: sum(one.seconds.values()))
    total = sum(clock.seconds.values())
    figures = [
        Figure(
            "proof.cells", "Mcells/s", case.cells / total / 1e6, GOAL_CELLS / 1e6, Better.HIGHER
        ),
        Figure(
            "proof.compressions",
            "1/s",
            case.compressions / total,
            GOAL_COMPRESSIONS,
            Better.HIGHER,
        ),
    ]
    for stage in Stage:
        rate = case.cells / clock.seconds[stage] / 1e6
        figures.append(Figure(f"proof.{stage}.cells", "Mcells/s", rate, None, Better.HIGHER))
    return [*figures, *_threads(case, spares), *_verification(case, proof)]


def _threads(case: Case, spares: Spares) -> list[Figure]:
    one = best_of(2, lambda: case.prove(Options(spares=spares)))
    two = best_of(2, lambda: case.prove(Options(threads=2, spares=spares)))
    return [Figure("proof.two-threads.speed-up", "x", one / two, None, Better.HIGHER)]


def _verification(case: Case, proof: bytes) -> list[Figure]:
    arguments = case.verification(proof)
    compiled = best_of(10, lambda: _verify.verify(*arguments)) * 1e3
    python = best_of(2, lambda: verifier.verify(*arguments))
    return [
        Figure("proof.size", "bytes", len(proof), GOAL_PROOF_BYTES, Better.LOWER),
        Figure("proof.verify.compiled", "ms", compiled, GOAL_COMPILED_MS, Better.LOWER),
        Figure("proof.verify.python", "s", python, GOAL_PYTHON_S, Better.LOWER),
    ]


def measure_large() -> list[Figure]:
    """In a process of its own, so that the peak of memory is this proof's."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.bench_proof"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    is_full = found["rows"] >= 1 << 20
    return [
        Figure(f"proof.large.{name}", unit, found[name], goal, better)
        for name, unit, goal, better in (
            ("rows", "rows", None, Better.HIGHER),
            ("cells", "Mcells/s", GOAL_CELLS / 1e6, Better.HIGHER),
            ("compressions", "1/s", GOAL_COMPRESSIONS, Better.HIGHER),
            ("warm.cells", "Mcells/s", GOAL_CELLS / 1e6, Better.HIGHER),
            ("peak", "GiB", GOAL_PEAK_GIB if is_full else None, Better.LOWER),
            ("size", "bytes", GOAL_PROOF_BYTES, Better.LOWER),
            ("verify", "ms", GOAL_COMPILED_MS, Better.LOWER),
        )
    ]


def _large() -> dict[str, float]:
    """Of a process's first proof, and the rate of the next one, in the first one's memory."""
    case = make_case(LARGE_LEAVES, LARGE_UPDATES)
    options = Options(consumes_tables=True, spares=(spares := Spares()))
    begun = time.process_time()
    proof = case.prove(options)
    seconds = time.process_time() - begun
    # The tables of the next proof are made anew: what one of them needs is given up before.
    spares.take(case.rows, tree_update_system().tables[0].main_width)
    batch = made_up_batch(LARGE_LEAVES, LARGE_UPDATES)
    case.matrices.extend(tree_update_trace(batch.updates, batch.proof).matrices)
    begun = time.process_time()
    case.prove(options)
    warm_seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    arguments = case.verification(proof)
    return {
        "rows": case.rows,
        "cells": case.cells / seconds / 1e6,
        "compressions": case.compressions / seconds,
        "warm.cells": case.cells / warm_seconds / 1e6,
        "peak": peak,
        "size": len(proof),
        "verify": best_of(5, lambda: _verify.verify(*arguments)) * 1e3,
    }


BENCHMARKS = [
    Benchmark("proof", measure),
    Benchmark("proof.large", measure_large, slow=True),
]

if __name__ == "__main__":
    print(json.dumps(_large()))
