"""Runs of a program on the compiled machine, bounded and with typed traps.

`execute` runs without rows, `trace` yields the rows of a run in pieces. Both stop with GuestTrap
where there is no step, and come back between pieces, so that an interrupt is served.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cython_core.vm._executor import DONE, NO_ROOM, RUNNING, TRAPS, Executor
from cython_core.vm.errors import GuestTrap, TrapKind
from cython_core.vm.machine import DEFAULT_LIMITS, Limits
from cython_core.vm.operations import CLOCK_MAX
from cython_core.vm.program import Program

SLICE_CYCLES: Final = 50_000_000
"""A tenth of a second: how long an interrupt may wait."""
CHUNK_ROWS: Final = 1 << 16
CHUNK_WIDE: Final = 1 << 13
KINDS: Final = tuple(TrapKind)

assert len(KINDS) == TRAPS


@dataclass(frozen=True)
class Outcome:
    """What a run that halted leaves."""

    cycles: int
    pages: int
    """Pages of 4 KiB that it touched, the image's included."""
    inputs_read: int
    """Words of the input."""
    outputs: tuple[tuple[int, int], ...]
    """Of each word of the statement: how often it was shown, and what last."""

    @property
    def statement(self) -> bytes | None:
        """S, if each of its words was shown exactly once."""
        if any(times != 1 for times, _ in self.outputs):
            return None
        return b"".join(word.to_bytes(4, "little") for _, word in self.outputs)


def executor(
    program: Program, inputs: bytes, signatures: bytes, limits: Limits, *, with_rows: bool
) -> Executor:
    """A run at its first step. Raises ValueError for limits or a witness out of bounds."""
    return Executor(
        program.rom,
        program.rom_base,
        program.entry,
        program.image,
        program.image_base,
        inputs,
        signatures,
        min(limits.cycles, CLOCK_MAX) if with_rows else limits.cycles,
        limits.memory_pages,
        with_rows,
    )


def outcome(run: Executor) -> Outcome:
    """What the run leaves. Raises GuestTrap when it did not halt, MemoryError without memory."""
    if run.state == NO_ROOM:
        raise MemoryError
    if run.state != DONE:
        raise GuestTrap(KINDS[run.state - 1], run.pc, run.cycles, run.address)
    return Outcome(run.cycles, run.pages, run.inputs_read, run.outputs)


def execute(
    program: Program,
    inputs: bytes = b"",
    signatures: bytes = b"",
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], object] = lambda _: None,
) -> Outcome:
    """Run to HALT without rows. `progress` hears the cycles so far. Raises GuestTrap."""
    run = executor(program, inputs, signatures, limits, with_rows=False)
    while run.run(SLICE_CYCLES) == RUNNING:
        progress(run.cycles)
    return outcome(run)


def trace(
    program: Program,
    inputs: bytes = b"",
    signatures: bytes = b"",
    limits: Limits = DEFAULT_LIMITS,
    ended: Callable[[Outcome], object] = lambda _: None,
) -> Iterator[tuple[bytes, bytes]]:
    """The rows of a run in pieces for `records.decode_rows`; `ended` hears what the run leaves.

    At most 2^24 - 1 rows. Raises GuestTrap after the rows before the trap.
    """
    run = executor(program, inputs, signatures, limits, with_rows=True)
    while True:
        piece = run.trace(CHUNK_ROWS, CHUNK_WIDE)
        if piece[0]:
            yield piece
        if run.state != RUNNING:
            ended(outcome(run))
            return
