"""Tables of a run: from the rows of the machine to one matrix for each table of the system.

The run is made by the compiled machine, its rows are sorted by chip in C as they come, and each
chip's table is filled by C that was generated from its formulas. Memory is bounded by the limits of
the machine: 2^24 - 1 rows of 64 bytes, and 256 more for each wide one.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import add
from typing import Final, Protocol

from cython_core.air.language import GREATEST_LOG
from cython_core.chips._blake3_trace import REQUEST_BYTES, blake3_trace
from cython_core.chips.blake3 import ROWS as BLAKE3_ROWS
from cython_core.field import Matrix
from cython_core.vm._executor import RUNNING, Executor
from cython_core.vm.errors import VmError
from cython_core.vm.machine import DEFAULT_LIMITS, Limits
from cython_core.vm.operations import Op
from cython_core.vm.program import Program
from cython_core.vm.run import CHUNK_ROWS, CHUNK_WIDE, Outcome, executor, outcome
from cython_core.zkvm._fill import Tally, fill
from cython_core.zkvm._rows import (
    FactCounts,
    NoTable,
    RowSorter,
    TooManyRows,
    image_rows,
    memory_rows,
)
from cython_core.zkvm.buses import FACTS_LOG
from cython_core.zkvm.facts import KINDS
from cython_core.zkvm.memory_tables import REGISTERS, image_edges, image_of
from cython_core.zkvm.program_table import entries_of, power_of_two
from cython_core.zkvm.row_chip import RowChip
from cython_core.zkvm.row_chips import ROW_CHIPS
from cython_core.zkvm.wide import hash_requests

FINAL_WIDTH: Final = 3
MEMORY_WIDTH: Final = 9
ROWS_MAX: Final = 1 << GREATEST_LOG
SECOND: Final = 1 << 7
"""Added to an operation's number where the program gives it a second register."""
WORD_BYTES: Final = 4


class UnprovableRun(VmError):
    """The run ended well, but is no run of which something can be proven."""


class Counters(Protocol):
    """How often facts are asked for (`_fill.Tally`, `_rows.FactCounts`)."""

    def column(self, kind: str, /) -> bytes:
        """A counter for each place (`facts.KINDS`)."""


def facts_trace(counters: Iterable[Counters], log: int = FACTS_LOG) -> Matrix:
    """The sums of all counters. ValueError for a sum not below p, or another length."""
    form = struct.Struct(f"={1 << log}I")
    columns = [[0] * (1 << log) for _ in KINDS]
    for counter in counters:
        for number, kind in enumerate(KINDS):
            column = counter.column(kind)
            if len(column) != form.size:
                raise ValueError(f"the counter {kind!r} has {len(column)} bytes, not {form.size}")
            if any(column):
                columns[number] = list(map(add, columns[number], form.unpack(column)))
    return Matrix.from_columns(columns)


def program_trace(program: Program, times: bytes) -> Matrix:
    """`times`: of each instruction, u32. ValueError for another length."""
    counts = struct.unpack(f"={len(program.entries)}I", times)
    held = len(entries_of(program))
    return Matrix.from_columns([[*counts[:held], *([0] * (power_of_two(held) - held))]])


def image_trace(program: Program, touched: bytes) -> Matrix:
    """`touched`: as `Executor.touched` gives it."""
    first, words = image_of(program)
    height = power_of_two(len(words))
    rows = image_rows(touched, first, program.image[: 4 * len(words)], height)
    return Matrix.from_rows(rows, height, FINAL_WIDTH)


def memory_trace(program: Program, touched: bytes, facts: FactCounts) -> Matrix:
    """What the rows ask for is added to `facts`. TooManyRows."""
    first, end = _edges(program)
    rows = memory_rows(touched, first, end, facts)
    count = len(rows) // (4 * MEMORY_WIDTH)
    # The last row is not in use; rows that are not are above the image.
    height = power_of_two(count + 1)
    if height > ROWS_MAX:
        raise TooManyRows(f"it touches {count - 1:,} words outside of the image, and a table has "
                          f"{ROWS_MAX:,} rows")  # fmt: skip
    padding = struct.pack(f"<{MEMORY_WIDTH}I", 0, 0, 1, *([0] * (MEMORY_WIDTH - 3)))
    return Matrix.from_rows(rows + padding * (height - count), height, MEMORY_WIDTH)


def _edges(program: Program) -> tuple[int, int]:
    first_low, first_high, end_low, end_high = image_edges(program)
    return first_low | first_high << 16, end_low | end_high << 16


def registers_trace(final: Sequence[tuple[int, int]]) -> Matrix:
    """`final`: clock and value of each register at the end; register 0 is not in use."""
    if len(final) != REGISTERS:
        raise ValueError(f"there are {REGISTERS} registers, not {len(final)}")
    rows = [(0, 0), *final[1:]]
    clocks, values = zip(*rows, strict=True)
    limbs = [[value >> shift & 0xFFFF for value in values] for shift in (0, 16)]
    return Matrix.from_columns([list(clocks), *limbs])


@dataclass(frozen=True)
class RunTables:
    """One run, as the prover takes it."""

    matrices: list[Matrix]
    """In the order of the system's tables (`system.run_system`)."""
    outcome: Outcome
    statement: bytes


def places_of(chip: RowChip) -> list[int]:
    """What the chip accepts, as numbers for a RowSorter."""
    return [int(op) + SECOND * has_second for op, has_second in sorted(chip.accepts)]


def new_sorter(program: Program, rows_max: int = ROWS_MAX) -> RowSorter:
    """For one run of the program. A table has room for 2^22 rows."""
    chips = [(chip.name, chip.row_words, places_of(chip)) for chip in ROW_CHIPS]
    return RowSorter(chips, program.rom_base, len(program.entries), rows_max)


def run_tables(
    program: Program,
    inputs: bytes = b"",
    signatures: bytes = b"",
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], object] = lambda _: None,
) -> RunTables:
    """Run to HALT and fill the tables. `progress` hears the cycles so far.

    Raises GuestTrap; UnprovableRun for a run that does not show each word of a statement once, or
    that does not fit the tables; ValueError for limits or a witness out of bounds.
    """
    run = executor(program, inputs, signatures, limits, with_rows=True)
    sorter = new_sorter(program)
    try:
        while run.state == RUNNING:
            sorter.add(*run.trace(CHUNK_ROWS, CHUNK_WIDE))
            progress(run.cycles)
        ended = outcome(run)
        if ended.statement is None:
            raise UnprovableRun(
                "this run shows no statement",
                "a word of it is missing or was shown more than once",
                "let the program show each word of its statement once: OUT 0 to OUT 7",
            )
        return RunTables(_matrices(program, run, sorter), ended, ended.statement)
    except TooManyRows as error:
        raise UnprovableRun(
            "this run is too long for a proof", str(error), "let the program do less in one run"
        ) from None
    except NoTable as error:
        raise UnprovableRun(
            "this run has a step that cannot be proven",
            str(error),
            "let the program do without it; `p2pseq vm trace --print` shows the row",
        ) from None


def _matrices(program: Program, run: Executor, sorter: RowSorter) -> list[Matrix]:
    tally, facts = Tally(), FactCounts()
    matrices, requests = [], b""
    for number, chip in enumerate(ROW_CHIPS):
        rows = sorter.rows(number)
        height = power_of_two(len(rows) // (WORD_BYTES * chip.row_words))
        matrices.append(fill(chip.name, rows, height, tally))
        if Op.B3 in chip.ops:
            requests += hash_requests(bytes(rows))
    touched = run.touched()
    return [
        *matrices,
        _blake3_trace(requests),
        program_trace(program, sorter.times),
        image_trace(program, touched),
        memory_trace(program, touched, facts),
        registers_trace(sorter.registers),
        facts_trace([tally, facts]),
    ]


def _blake3_trace(requests: bytes) -> Matrix:
    blocks = power_of_two(len(requests) // REQUEST_BYTES)
    if blocks * BLAKE3_ROWS > ROWS_MAX:
        raise TooManyRows(f"a proof has room for {ROWS_MAX // BLAKE3_ROWS:,} compressions")
    return blake3_trace(requests, blocks)
