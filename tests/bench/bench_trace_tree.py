"""The trace tree: rows hashed per second, alone and behind the machine, and what an opening takes.

The limit is that of the compression function: 4/3 hashes for a narrow row, 16/3 for a wide one, at
7 ns (one core of a Sapphire Rapids that nobody shares). What the compression takes here
and now is measured too, so that the share of it can be told on a machine that is shared. Hashing
alone is on rows that stay in the second-level cache; the run has nearly 2^24 rows, and its figures
include the machine and what Python does between pieces. The design has no goal for it.
"""

import time
from collections.abc import Callable

from cython_core.hash import b3_many
from cython_core.vm._tree import TraceTree
from cython_core.vm.committed import Commitment, commit, open_rows
from cython_core.vm.operations import Op
from cython_core.vm.program import Program, from_words
from cython_core.vm.records import INACTIVE_LINE, NARROW_BYTES, PAD_ROW, WideRow, encode_rows
from cython_core.vm.run import trace
from cython_core.vm.tree import DIGIT_SUM, Shape
from tests.bench.bench_vm import LOOP, START
from tests.bench.harness import Benchmark, Better, Figure

SHAPE = Shape(64, 9)
SALT = bytes(range(16))
PIECE_ROWS = 1 << 12
PIECES = 1 << 9
WIDE_PIECES = 1 << 7
HASHES = 1 << 12
REPEATED_HASHES = 100
RUNS = 3
HASH_NS = 7.0
NARROW_HASHES = 4 / 3
OPENED_INDEX = 9_000_000
TURNS = 0x00111DB7  # lui x27, 0x111: 1,118,208 turns of 15 instructions
HALT = 0x0000300B
NO_WORDS = (0,) * 8
WIDE_ROW = WideRow._make((Op.B3, *NO_WORDS, 0, 0, NO_WORDS, *[INACTIVE_LINE] * 3))


def long_run() -> Program:
    """16,773,124 rows."""
    return from_words((*START[:2], TURNS, *LOOP, HALT))


def best_seconds(action: Callable[[], object]) -> float:
    """CPU time of the least disturbed run: a shared machine does not count."""
    times = []
    for _ in range(RUNS):
        started = time.process_time()
        action()
        times.append(time.process_time() - started)
    return min(times)


def hash_seconds() -> float:
    """One keyed hash of 64 bytes with the widest kernel."""
    messages, key = bytes(64 * HASHES), bytes(32)

    def repeat() -> None:
        for _ in range(REPEATED_HASHES):
            b3_many(key, messages)

    return best_seconds(repeat) / (HASHES * REPEATED_HASHES)


def absorb_seconds(slots: bytes, records: bytes, pieces: int) -> float:
    """One row of a piece that is hashed again and again."""

    def repeat() -> None:
        tree = TraceTree(SHAPE.groups, SHAPE.depth, SALT, DIGIT_SUM)
        for _ in range(pieces):
            tree.absorb(slots, records)

    return best_seconds(repeat) / (pieces * len(slots) // NARROW_BYTES)


def measure() -> list[Figure]:
    one_hash = hash_seconds()
    narrow = absorb_seconds(*encode_rows([PAD_ROW] * PIECE_ROWS), PIECES)
    wide = absorb_seconds(*encode_rows([WIDE_ROW] * PIECE_ROWS), WIDE_PIECES)
    empty = best_seconds(lambda: commit(SHAPE, SALT, []))
    program = long_run()
    made: list[Commitment] = []
    committed = best_seconds(lambda: made.append(commit(SHAPE, SALT, trace(program))))
    opened = best_seconds(lambda: open_rows(made[0], trace(program), [OPENED_INDEX]))
    limit = 1e3 / (NARROW_HASHES * HASH_NS)
    return [
        Figure("trace-tree.limit", "Mrows/s", limit, None, Better.HIGHER),
        Figure("trace-tree.hash", "ns", one_hash * 1e9, None, Better.LOWER),
        Figure("trace-tree.narrow", "Mrows/s", 1e-6 / narrow, None, Better.HIGHER),
        Figure("trace-tree.share", "%", 100 * NARROW_HASHES * one_hash / narrow, None,
               Better.HIGHER),
        Figure("trace-tree.wide", "Mrows/s", 1e-6 / wide, None, Better.HIGHER),
        Figure("trace-tree.run", "Mrows/s", made[0].rows / committed / 1e6, None, Better.HIGHER),
        Figure("trace-tree.run.time", "s", committed, None, Better.LOWER),
        Figure("trace-tree.padding", "ms", empty * 1e3, None, Better.LOWER),
        Figure("trace-tree.opening", "ms", opened * 1e3, None, Better.LOWER),
    ]  # fmt: skip


BENCHMARKS = [Benchmark("trace-tree", measure)]
