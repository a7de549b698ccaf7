"""Runs with one forged compression in which a single rule of the chip of B3 is broken.

All else balances, so that a proof of such a run would be accepted if the rule were left out. What a
forger wants: words and registers that were never written, operands that the machine does not take,
other flags than the program's, and registers that are touched by no step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final

from cython_core.vm.decoder import ENTRY_FORM, Entry
from cython_core.vm.operations import DUP, Op
from cython_core.vm.program import Program
from tests.unit.cython_core import vm_programs as asm
from tests.unit.cython_core.zkvm_balance import Forged, Run

MESSAGE, CHAINING = asm.LEFT, asm.RIGHT
"""Registers: a block at the start of the image, and the line behind it."""
CHAINING_AT: Final = 64
FLAGS: Final = 11
STEP: Final = asm.b3(MESSAGE, CHAINING, FLAGS)
SET_UP: Final = 4
"""Instructions before the compression."""
STORED: Final = 0x1234ABCD
WRAP: Final = 0x7F00
"""2^16 times it is -1 modulo p."""
LATER: Final = 100
CLOCKS: Final = ("t1", "t2", *(f"clock of {n}[{i}]" for n in ("message", "rest", "cv")
                               for i in range(8)))  # fmt: skip
"""In the order in which they take limbs."""

AnyOperands = Callable[[], AbstractContextManager[None]]
"""Has the machine take operands that it has no step for."""


@dataclass(frozen=True)
class Trace:
    """A run in which some rows are others, or more."""

    kind: str
    run: Run
    changed: Mapping[int, Sequence[int]]
    added: Sequence[Forged] = ()

    def complaints(self) -> list[str]:
        return self.run.complaints(self.changed, self.added)


def guest(
    *words: int, message: int = asm.IMAGE_BASE, chaining: int = asm.IMAGE_BASE + CHAINING_AT
) -> Program:
    """The words, with the two registers set."""
    start = asm.set_register(MESSAGE, message) + asm.set_register(CHAINING, chaining)
    return asm.program_of(*start, *words, asm.HALT, image=bytes(range(1, 129)))


def with_word(program: Program, at: int, word: int) -> Program:
    """Another word in the image."""
    image = program.image[:at] + word.to_bytes(4, "little") + program.image[at + 4 :]
    return replace(program, image=image)


def with_entry(program: Program, entry: Entry) -> Program:
    """An entry that need not be one that the decoder makes, in place of the compression."""
    at = SET_UP * ENTRY_FORM.size
    rom = program.rom[:at] + ENTRY_FORM.pack(*entry) + program.rom[at + ENTRY_FORM.size :]
    return replace(program, rom=rom)


def forged(kind: str, run: Run, row: Forged) -> Trace:
    return Trace(kind, run, {SET_UP: row.cells})


# Accesses


def on_clocks() -> Iterator[Trace]:
    """A row that says of an access before that it is not in the past."""
    run = Run(guest(STEP))
    base = asm.IMAGE_BASE
    yield from early("a register is another", run, Run(guest(STEP, message=base - 64)), 0)
    yield from early("a register is another", run, Run(guest(STEP, chaining=base + 96)), 1)
    for place in range(16):
        other = Run(with_word(run.program, 4 * place, STORED))
        yield from early("a word of the message is another", run, other, 2 + place)
    for place in range(8):
        yield from early_results(place)


def early(kind: str, run: Run, other: Run, number: int) -> Iterator[Trace]:
    """The step of another run, that receives from itself what is not there: what is only read is
    sent as it is received."""
    row = other.forged(Op.B3)
    yield from with_clock(kind, run, row, number, row["clock"])


def early_results(place: int) -> Iterator[Trace]:
    """A word that the step writes is received from a store after it."""
    at = CHAINING_AT + 4 * place
    value, address = asm.set_register(10, STORED), asm.set_register(11, asm.IMAGE_BASE + at)
    run = Run(guest(STEP, *value, *address, asm.store("sw", 10, 11, 0)))
    other = Run(with_word(run.program, at, STORED))
    store = run.place(Op.SW)
    kind = "a word of the chaining value is another"
    for trace in with_clock(kind, run, other.forged(Op.B3), 18 + place, store + 1):
        yield replace(trace, changed={**trace.changed, store: other.cells[store]})


def with_clock(kind: str, run: Run, row: Forged, number: int, before: int) -> Iterator[Trace]:
    """Of the two limbs of what is between, either can be the one that is none."""
    for high in (0, -1):
        other = Forged(row.chip, list(row.cells))
        other[CLOCKS[number]] = before
        other[f"limb.all.{number}"] = row["clock"] - before - 1 - (high << 16)
        yield forged(kind, run, other)


def on_operands(any_operands: AnyOperands) -> Iterator[Trace]:
    """Addresses that are no multiples."""
    away = asm.IMAGE_BASE + 1024
    with any_operands():
        yield Trace("v1 is no multiple of 64", Run(guest(STEP, message=away + 32)), {})
        yield Trace("v2 is no multiple of 32", Run(guest(STEP, chaining=away + 4)), {})


# What the program says of a step


def on_ports() -> Iterator[Trace]:
    """Operands without a register, by entries that name x0 or one register twice. `entries_of`
    refuses them; the chip does not rely on that."""
    for value in (128, 1 << 18):
        yield without_port(1, guest(STEP, message=value), (0, CHAINING, 0))
        yield without_port(2, guest(STEP, chaining=value), (MESSAGE, 0, 0))
    for away in (1 << 16, 256):
        program = guest(STEP, chaining=asm.IMAGE_BASE + away)
        yield without_port(2, program, (MESSAGE, 0, DUP))


def without_port(number: int, program: Program, sources: tuple[int, int, int]) -> Trace:
    rs1, rs2, dup = sources
    run = Run(program)
    row = run.forged(Op.B3)
    row[f"reads_{number}"] = row[f"rs{number}"] = row[f"t{number}"] = 0
    row[f"limb.all.{number - 1}"] = row["clock"] - 1
    row["dup"] = int(dup != 0)
    run.program = with_entry(program, Entry(Op.B3 | dup, 0, rs1, rs2, FLAGS))
    return forged(f"v{number} is in no register", run, row)


def on_padding() -> Iterator[Trace]:
    """A row without a step that says when a register was last touched."""
    run = Run(guest(STEP))
    for number, register in ((1, MESSAGE), (2, CHAINING)):
        honest = run.forged(Op.B3)
        row = Forged(honest.chip, [0] * len(honest.cells))
        row[f"reads_{number}"], row[f"rs{number}"] = 1, register
        row[f"t{number}"], row["clock"] = honest["clock"], LATER
        for limb in ("low", "high"):
            row[f"v{number}.{limb}"] = honest[f"v{number}.{limb}"]
        yield Trace("a row without a step", run, {}, [row])


def forgeries(any_operands: AnyOperands) -> Iterator[Trace]:
    yield from on_clocks()
    yield from on_operands(any_operands)
    yield from on_ports()
    yield from on_padding()


def on_flags() -> Iterator[Trace]:
    """Other flags than those of an entry that no decoder makes. The fact is about a byte, but
    cv[0] + 2^16 (flags + 0x7F00) = cv[0] - 1 + 2^16 flags."""
    honest = Run(guest(STEP))
    first = int.from_bytes(honest.program.image[CHAINING_AT : CHAINING_AT + 4], "little")
    for imm, more in ((FLAGS | 1 << 16, 0), (FLAGS + WRAP, 1)):
        entry = Entry(Op.B3, 0, MESSAGE, CHAINING, imm)
        run = Run(with_word(with_entry(honest.program, entry), CHAINING_AT, first + more))
        row = honest.forged(Op.B3)
        row["imm.low"], row["imm.high"] = imm & 0xFFFF, imm >> 16
        row["cv[0].low"] += more
        yield forged("flags are no byte", run, row)
