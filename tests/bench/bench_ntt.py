"""Transforms and field multiplication: nanoseconds an element, by size and kernel.

A panel of 16 columns is transformed as the prover does it: values to coefficients in place, then
coefficients to values on three cosets, which is the extension of a trace to blowup 4 (the trace
itself is the fourth part). The goals were measured on a Zen 5 core with AVX-512.
"""

import random
import struct
from functools import partial
from statistics import median
from time import perf_counter

from cython_core import ntt
from cython_core.field import _field as field
from cython_core.field import _reference as twin
from cython_core.field._matrix import Matrix
from tests.bench.harness import Benchmark, Better, Figure, best_of

COLUMNS = 16
LOGS = (14, 16, 18, 20)
GOAL_NS_PER_ELEMENT = {14: 1.0, 16: 1.3, 18: 1.6, 20: 2.5}
GOAL_EXTENSION_NS_PER_CELL = {16: 6.0, 18: 7.9, 20: 9.9}
GOAL_MULTIPLICATIONS_PER_S = {"scalar": 0.98e9, "avx2": 7.6e9, "avx512": 14.8e9}
COSETS = 3
SEED = 1


def panel(log: int) -> Matrix:
    """Values without a pattern: a transform of a few."""
    sparse = Matrix(1 << log, COLUMNS)
    source = random.Random(SEED)
    for column in range(COLUMNS):
        sparse.set(source.randrange(1 << log), column, source.randrange(1, twin.P))
    return ntt.forward(sparse, 3)


def seconds_of_transform(matrix: Matrix, kernel: str) -> float:
    return best_of(7 if matrix.height > 1 << 17 else 40, lambda: ntt.inverse(matrix, kernel))


def measure_transforms() -> list[Figure]:
    best = ntt.available_kernels()[-1]
    figures = []
    for log in LOGS:
        elements = COLUMNS << log
        seconds = seconds_of_transform(panel(log), best)
        figures += [
            Figure(
                f"ntt.{best}.2^{log}",
                "ns/element",
                seconds / elements * 1e9,
                GOAL_NS_PER_ELEMENT[log],
                Better.LOWER,
            ),
            Figure(f"ntt.rate.2^{log}", "elements/s", elements / seconds, None, Better.HIGHER),
        ]
    return figures


def measure_kernels() -> list[Figure]:
    """Every kernel at one size that fits no cache of its own."""
    log = 18
    matrix = panel(log)
    return [
        Figure(
            f"ntt.kernel.{kernel}.2^{log}",
            "ns/element",
            seconds_of_transform(matrix, kernel) / (COLUMNS << log) * 1e9,
            None,
            Better.LOWER,
        )
        for kernel in ntt.available_kernels()
    ]


def measure_extension() -> list[Figure]:
    """One inverse and three coset transforms, new memory for the results included."""
    figures = []
    for log, goal in GOAL_EXTENSION_NS_PER_CELL.items():
        matrix = panel(log)
        shifts = [pow(twin.root(log + 2), coset, twin.P) for coset in range(1, COSETS + 1)]
        times = []
        for _ in range(5):
            start = perf_counter()
            ntt.inverse(matrix)
            for shift in shifts:
                ntt.forward(matrix, shift)
            times.append(perf_counter() - start)
        name = f"ntt.extension.2^{log}"
        cells = COLUMNS << log
        figures += [
            Figure(name, "ns/cell", min(times) / cells * 1e9, goal, Better.LOWER),
            Figure(f"{name}.median", "ns/cell", median(times) / cells * 1e9, None, Better.LOWER),
        ]
    return figures


def measure_multiplication() -> list[Figure]:
    """Elements that lie in the nearest cache."""
    count, rounds = 4096, 2000
    multiply = field.multiply_repeatedly
    source = random.Random(SEED)
    elements = struct.pack(f"<{count}I", *(source.randrange(twin.P) for _ in range(count)))
    figures = []
    for kernel in field.available_kernels():
        once = best_of(5, partial(multiply, elements, elements, kernel, 1))
        seconds = best_of(5, partial(multiply, elements, elements, kernel, rounds))
        rate = count * (rounds - 1) / (seconds - once)
        name = f"field.multiply.{kernel}"
        goal = GOAL_MULTIPLICATIONS_PER_S[kernel]
        figures.append(Figure(name, "elements/s", rate, goal, Better.HIGHER))
    return figures


BENCHMARKS = [
    Benchmark("ntt.transform", measure_transforms),
    Benchmark("ntt.kernel", measure_kernels),
    Benchmark("ntt.extension", measure_extension),
    Benchmark("field.multiply", measure_multiplication),
]
