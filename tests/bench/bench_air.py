"""Constraints: the time that the shipped tables take per row, interpreted and by generated code.

A block of 64 rows is evaluated again and again, so operands and outputs lie in the second cache, as
they do in the prover, which transposes them just before. Per cell means per main column and row.
"""

import random
import struct

from cython_core.air._tape import BLOCK_ROWS, Program, available_kernels
from cython_core.air.table import MODULUS, Table
from cython_core.chips import shipped_systems
from tests.bench.harness import Benchmark, Better, Figure, best_of

BLOCKS = 100
SEED = 1
GOAL_NS_PER_CELL = 1.5
"""Of the widest kernel: about a tenth of what the low-degree extension of a cell takes."""


def random_words(count: int) -> bytes:
    generator = random.Random(SEED)
    return struct.pack(f"<{count}I", *(generator.randrange(MODULUS) for _ in range(count)))


def ns_per_row(program: Program) -> float:
    operands = random_words(BLOCK_ROWS * program.operand_count)
    publics = random_words(program.public_count)

    def run(blocks: int) -> None:
        program.evaluate(operands, publics, blocks)

    both = best_of(5, lambda: run(BLOCKS + 1))
    door = best_of(5, lambda: run(1))
    return (both - door) / BLOCKS / BLOCK_ROWS * 1e9


def figures_of(table: Table) -> list[Figure]:
    figures = []
    for kernel in available_kernels():
        is_widest = kernel == available_kernels()[-1]
        for generated in (False, True):
            program = Program(table, kernel, generated=generated)
            if program.is_generated == generated:
                way = "generated" if generated else "interpreted"
                time_ns = ns_per_row(program)
                name = f"air.{table.name}.{way}.{kernel}"
                goal = GOAL_NS_PER_CELL if is_widest else None
                cell_ns = time_ns / table.main_width
                figures += [
                    Figure(f"{name}.row", "ns", time_ns, None, Better.LOWER),
                    Figure(f"{name}.cell", "ns", cell_ns, goal, Better.LOWER),
                ]
    return figures


def measure() -> list[Figure]:
    tables = {table.name: table for system in shipped_systems() for table in system.tables}
    return [figure for table in tables.values() for figure in figures_of(table)]


BENCHMARKS = [Benchmark("air", measure)]
