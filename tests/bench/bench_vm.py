"""The RV32IM machine: instructions per second without rows and with them.

The loop has 15 instructions: ten of arithmetic, a product, a load, a store and two branches, on
data that fits the caches. Rows are written into room that is used again: once as small as the
first-level cache, where the machine itself is measured, and once as large as a proof would take
them, where memory is. CPU time of one thread, so that a shared machine does not count.
"""

import time
from collections.abc import Callable

from cython_core.vm.errors import GuestTrap, TrapKind
from cython_core.vm.finder import find, padded
from cython_core.vm.machine import Limits
from cython_core.vm.operations import CLOCK_MAX
from cython_core.vm.program import Program, from_words
from cython_core.vm.records import decode_rows
from cython_core.vm.run import KINDS, executor, trace
from tests.bench.harness import Benchmark, Better, Figure

CYCLES = 300_000_000
SMALL_ROOM, LARGE_ROOM = 512, 1 << 16
WIDE_ROOM = 64
RUNS = 3
FINDER_ROWS = 20_000
GOAL_PLAIN = 500.0
GOAL_ROWS = 250.0
LOOP = (
    0x006282B3,  # add   x5, x5, x6
    0x04D2C313,  # xori  x6, x5, 77
    0x000E2383,  # lw    x7, 0(x28)
    0x005383B3,  # add   x7, x7, x5
    0x007E2223,  # sw    x7, 4(x28)
    0x00339513,  # slli  x10, x7, 3
    0x005535B3,  # sltu  x11, x10, x5
    0x004E0E13,  # addi  x28, x28, 4
    0x3FCE7613,  # andi  x12, x28, 0x3fc
    0x00CE8E33,  # add   x28, x29, x12
    0x02530333,  # mul   x6, x6, x5
    0x000D8463,  # beq   x27, x0, 8
    0x00000013,  # nop
    0xFFFD8D93,  # addi  x27, x27, -1
    0xFC0D94E3,  # bne   x27, x0, back to the first
)
START = (
    0x00020EB7,  # lui   x29, 0x20
    0x000E8E13,  # addi  x28, x29, 0
    0x40000DB7,  # lui   x27, 0x40000
)


def endless() -> Program:
    """Longer than any limit here."""
    return from_words((*START, *LOOP))


def best_rate(measure: Callable[[], tuple[int, float]]) -> float:
    """Millions per second, of the least disturbed run."""
    return max(count / seconds / 1e6 for count, seconds in (measure() for _ in range(RUNS)))


def measure_plain() -> tuple[int, float]:
    run = executor(endless(), b"", b"", Limits(CYCLES), with_rows=False)
    started = time.process_time()
    run.run(CYCLES)
    seconds = time.process_time() - started
    assert KINDS[run.state - 1] is TrapKind.CYCLES
    return run.cycles, seconds


def measure_rows(room: int) -> tuple[int, float]:
    run = executor(endless(), b"", b"", Limits(CLOCK_MAX), with_rows=True)
    started = time.process_time()
    rows = run.discard(room, WIDE_ROOM)
    seconds = time.process_time() - started
    assert rows == CLOCK_MAX
    return rows, seconds


def measure_finder() -> tuple[int, float]:
    run = executor(endless(), b"", b"", Limits(FINDER_ROWS), with_rows=True)
    rows = decode_rows(*run.trace(FINDER_ROWS, 1))
    table = padded(rows, len(rows) + 1)
    started = time.process_time()
    fragments = list(find(endless(), table, bytes(32)))
    seconds = time.process_time() - started
    assert [fragment.clause for fragment in fragments] == ["v1.last"]
    return len(rows), seconds


def measure_collected() -> tuple[int, float]:
    """Rows as Python gets them: pieces of bytes."""
    pieces = trace(endless(), limits=Limits(1 << 22))
    started = time.process_time()
    length = 0
    try:
        for narrow, _ in pieces:
            length += len(narrow)
    except GuestTrap as trap:
        assert trap.kind is TrapKind.CYCLES
    return length // 52, time.process_time() - started


def measure() -> list[Figure]:
    plain = best_rate(measure_plain)
    small = best_rate(lambda: measure_rows(SMALL_ROOM))
    large = best_rate(lambda: measure_rows(LARGE_ROOM))
    collected = best_rate(measure_collected)
    finder = best_rate(measure_finder) * 1e3
    return [
        Figure("vm.plain", "Minstr/s", plain, GOAL_PLAIN, Better.HIGHER),
        Figure("vm.rows.in-cache", "Mrows/s", small, GOAL_ROWS, Better.HIGHER),
        Figure("vm.rows.in-memory", "Mrows/s", large, None, Better.HIGHER),
        Figure("vm.rows.collected", "Mrows/s", collected, None, Better.HIGHER),
        Figure("vm.finder.python", "krows/s", finder, None, Better.HIGHER),
    ]


BENCHMARKS = [Benchmark("vm", measure)]
