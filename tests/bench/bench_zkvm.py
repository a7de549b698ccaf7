"""Proofs of runs: cycles and transfers proven per second, with what they cost.

Two runs: the ledger's program on 1,000 transfers between 1,000 accounts out of 2^16, whose rows
are the ledger's mix with its compressions; and a loop of arithmetic, loads, stores and branches,
which has no wide step. Rates are over CPU time of one thread; proofs follow one another in the
memory of the first, as in a prover that goes on. Each run has a process of its own, so that the
peak of memory is its own.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cython_core.guest.program import ledger_program
from cython_core.stark.checking import VerifierName, find_verifier
from cython_core.stark.codewords import Options, Spares
from cython_core.vm.machine import DEFAULT_LIMITS
from cython_core.vm.program import Program, from_words
from cython_core.zkvm.proof import prove_run, verify_run
from cython_core.zkvm.run_trace import run_tables
from cython_core.zkvm.system import run_system
from tests.bench.bench_guest import SMALL, TRANSFERS, transfer_run
from tests.bench.bench_vm import LOOP
from tests.bench.harness import Benchmark, Better, Figure, best_of

ROOT = Path(__file__).resolve().parents[2]
PROOFS = 3
TURNS = 32_700
"""Of the loop: most of its tables are nearly full."""
GOAL_CYCLES = 0.3
GOAL_PROOF_BYTES = 1.5e6
GOAL_COMPILED_MS, GOAL_PYTHON_S = 20.0, 2.0
GOAL_PEAK_GIB = 8.0
LUI_29, ADDI_28 = 0x00020EB7, 0x000E8E13
OUT_WORD, HALT = 0x0002A00B, 0x0000300B
"""OUT 0 of x5; bits 25 to 27 are the place."""


@dataclass(frozen=True)
class Case:
    program: Program
    inputs: bytes = b""
    answers: bytes = b""
    transfers: int = 0


def ledger_case() -> Case:
    run = transfer_run(SMALL, TRANSFERS)
    return Case(ledger_program(), run.inputs, run.answers, TRANSFERS)


def loop_case() -> Case:
    turns = (TURNS + 0x800) >> 12
    count = (turns << 12 | 27 << 7 | 0x37, (TURNS & 0xFFF) << 20 | 27 << 15 | 27 << 7 | 0x13)
    shown = [OUT_WORD | place << 25 for place in range(8)]
    return Case(from_words((LUI_29, ADDI_28, *count, *LOOP, *shown, HALT)))


CASES = {"ledger": ledger_case, "loop": loop_case}


def figures_of(case: Case) -> dict[str, float]:
    """What one process measures."""
    tables = run_tables(case.program, case.inputs, case.answers, DEFAULT_LIMITS)
    widths = [table.main_width + table.auxiliary_width for table in run_system(case.program).tables]
    cells = sum(m.height * width for m, width in zip(tables.matrices, widths, strict=True))
    cycles = tables.outcome.cycles
    del tables
    options, seconds, proofs = Options(spares=Spares()), [], []
    for _ in range(PROOFS):
        begun = time.process_time()
        proofs.append(prove_run(case.program, case.inputs, case.answers, options=options)[0])
        seconds.append(time.process_time() - begun)
    proof, python = proofs[-1], find_verifier(VerifierName.PYTHON)
    return {
        "cycles": cycles,
        "cells": cells,
        "cold": seconds[0],
        "seconds": min(seconds),
        "transfers": case.transfers,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20),
        "size": len(proof.body),
        "compiled": best_of(5, lambda: verify_run(case.program, proof)) * 1e3,
        "python": best_of(1, lambda: verify_run(case.program, proof, python)),
    }


def measured(name: str) -> Mapping[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.bench_zkvm", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def figures(name: str) -> list[Figure]:
    found = measured(name)
    rate = found["cycles"] / found["seconds"]
    shown: list[tuple[str, str, float, float | None, Better]] = [
        ("cycles", "M/s", rate / 1e6, GOAL_CYCLES, Better.HIGHER),
        ("cycles.cold", "M/s", found["cycles"] / found["cold"] / 1e6, None, Better.HIGHER),
        ("cells", "Mcells/s", found["cells"] / found["seconds"] / 1e6, None, Better.HIGHER),
        ("cells-per-cycle", "cells", found["cells"] / found["cycles"], None, Better.LOWER),
        ("peak", "GiB", found["peak"], GOAL_PEAK_GIB, Better.LOWER),
        ("size", "bytes", found["size"], GOAL_PROOF_BYTES, Better.LOWER),
        ("verify.compiled", "ms", found["compiled"], GOAL_COMPILED_MS, Better.LOWER),
        ("verify.python", "s", found["python"], GOAL_PYTHON_S, Better.LOWER),
    ]
    if found["transfers"]:
        transfers = found["transfers"] / found["seconds"]
        shown.append(("transfers", "1/s", transfers, None, Better.HIGHER))
    return [
        Figure(f"zkvm.{name}.{what}", unit, value, goal, better)
        for what, unit, value, goal, better in shown
    ]


def measure() -> list[Figure]:
    return [figure for name in CASES for figure in figures(name)]


BENCHMARKS = [Benchmark("zkvm", measure, slow=True)]

if __name__ == "__main__":
    print(json.dumps(figures_of(CASES[sys.argv[1]]())))
