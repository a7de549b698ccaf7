"""The reference machine: interprets the step definitions and writes one row a step.

State is 31 registers and 2^30 words, each with the clock of its last access; the clock is the
number of the row. Within a row sources come before destinations. Signature answers are a stream of
their own, so that inputs need not be interleaved with them. Slow and obvious; `run` is for use.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cython_core.vm.algebra import ReferenceAlgebra
from cython_core.vm.decoder import Entry
from cython_core.vm.errors import GuestTrap, TrapKind
from cython_core.vm.operations import (
    ARITHMETIC,
    BRANCHES,
    CYCLES,
    DUP,
    HALTED,
    LINE_BYTES,
    LOADS,
    MASK,
    MEMORY_PAGES,
    NO_ACCESS,
    OP_MASK,
    PAGE_BYTES,
    STORES,
    WIDE,
    Op,
)
from cython_core.vm.program import Program
from cython_core.vm.records import INACTIVE_LINE, Line, NarrowRow, Row, WideRow
from cython_core.vm.semantics import (
    ACCESS_BYTES,
    ARITHMETIC_STEPS,
    BRANCH_STEPS,
    LOAD_STEPS,
    STORE_STEPS,
)
from cython_core.vm.wide import combine, compress, misplaced

WORDS: Final = ReferenceAlgebra()

Witness = Callable[[int, Op], int | None]
"""Answers IN and SIG of a clock; None when the input is exhausted."""


class Limits(NamedTuple):
    """What a run may use."""

    cycles: int = CYCLES
    memory_pages: int = MEMORY_PAGES


class Cell(NamedTuple):
    """A register or word of memory: when it was last accessed, and what it holds."""

    clock: int
    value: int


NEW: Final = Cell(0, 0)
DEFAULT_LIMITS: Final = Limits()


def stream_witness(inputs: bytes, signatures: bytes) -> Witness:
    """The witness that reads whole words of `inputs` and bytes 0 or 1 of `signatures` in order."""
    words: Iterator[int] = (
        int.from_bytes(inputs[at : at + 4], "little") for at in range(0, len(inputs) - 3, 4)
    )
    answers = iter(signatures)
    return lambda _, op: next(answers if op is Op.SIG else words, None)


@dataclass
class Machine:
    """A run in progress; `step` makes the next row. Raises GuestTrap where there is none."""

    program: Program
    witness: Witness
    limits: Limits = DEFAULT_LIMITS
    pc: int = field(init=False)
    clock: int = 0
    outputs: list[tuple[int, int]] = field(default_factory=list)
    """(k, word) of each OUT."""

    def __post_init__(self) -> None:
        self.pc = self.program.entry
        self.last_pc = 0
        self.registers = [NEW] * 32
        self.memory: dict[int, Cell] = {}
        base, length = self.program.image_base, len(self.program.image)
        end = base + length
        self.pages = set(range(base // PAGE_BYTES, -(-end // PAGE_BYTES))) if length else set()

    @property
    def is_halted(self) -> bool:
        return self.pc == HALTED

    def trap(self, kind: TrapKind, address: int = 0) -> GuestTrap:
        return GuestTrap(kind, self.pc, self.clock, address)

    def step(self) -> Row:
        """Execute one instruction."""
        if self.clock >= self.limits.cycles:
            raise self.trap(TrapKind.CYCLES)
        entry = self.program.fetch(self.pc)
        if entry is None:
            raise self.trap(TrapKind.FETCH, self.last_pc)
        op = Op(entry.op & OP_MASK)
        if op is Op.ILL:
            raise self.trap(TrapKind.ILLEGAL)
        now = self.clock + 1
        first, second = self.registers[entry.rs1], self.registers[entry.rs2]
        row = (self._wide if op in WIDE else self._narrow)(op, entry, now, first, second)
        for index, cell in ((entry.rs1, first), (entry.rs2, second)):
            if index:
                self.registers[index] = Cell(now, cell.value)
        if isinstance(row, NarrowRow) and row.rd:
            self.registers[row.rd] = Cell(now, row.wv)
        self.clock, self.last_pc, self.pc = now, self.pc, row.npc
        return row

    def _touch(self, address: int) -> Cell:
        """The cell of an aligned address, once its page is within the limit."""
        page = address // PAGE_BYTES
        if page not in self.pages:
            if len(self.pages) >= self.limits.memory_pages:
                raise self.trap(TrapKind.MEMORY, address)
            self.pages.add(page)
        return self.memory.get(address) or Cell(0, self.program.initial(address))

    def _narrow(self, op: Op, entry: Entry, now: int, first: Cell, second: Cell) -> NarrowRow:
        a = first.value
        other = a if entry.op & DUP else second.value
        npc, written = self.pc + 4 & MASK, 0
        access = (0, NO_ACCESS, 0, 0)
        if op in ARITHMETIC:
            is_register = entry.op & DUP or entry.rs2
            b = other if is_register else entry.imm
            written = ARITHMETIC_STEPS[op](WORDS, a, b)
        elif op in LOADS or op in STORES:
            access, written = self._access(op, a + entry.imm & MASK, other, now)
        elif op in BRANCHES:
            npc = entry.imm if BRANCH_STEPS[op](WORDS, a, other) else npc
        elif op in (Op.JAL, Op.JALR):
            written = npc
            npc = entry.imm if op is Op.JAL else a + entry.imm & MASK & ~1
        elif op in (Op.IN, Op.SIG):
            answer = self.witness(now, op)
            if answer is None:
                raise self.trap(TrapKind.INPUT)
            written = answer
        elif op is Op.OUT:
            self.outputs.append((entry.imm, a))
        else:
            npc = HALTED
        ports = (first.clock, a, second.clock, second.value, *access)
        return NarrowRow(*entry, self.pc, npc, *ports, written if entry.rd else 0)

    def _access(
        self, op: Op, address: int, b: int, now: int
    ) -> tuple[tuple[int, int, int, int], int]:
        """(tm, ma, mv, mn) and, for a load, the value."""
        place = address % 4
        if address % ACCESS_BYTES[op]:
            raise self.trap(TrapKind.MISALIGNED, address)
        cell = self._touch(address - place)
        before = after = cell.value
        loaded = 0
        if op in LOADS:
            loaded = LOAD_STEPS[op](WORDS, before, place)
        else:
            after = STORE_STEPS[op](WORDS, before, place, b)
        self.memory[address - place] = Cell(now, after)
        return (cell.clock, address - place, before, after), loaded

    def _line(self, base: int) -> Line:
        cells = [self._touch(address) for address in range(base, base + LINE_BYTES, 4)]
        return Line(base, tuple(c.value for c in cells), tuple(c.clock for c in cells))

    def _wide(self, op: Op, entry: Entry, now: int, first: Cell, second: Cell) -> WideRow:
        v1, v2 = first.value, second.value
        wrong = misplaced(op, v1, v2)
        if wrong is not None:
            raise self.trap(TrapKind.HOST, wrong)
        a = self._line(v1)
        b = self._line(v1 + LINE_BYTES) if op is Op.B3 else INACTIVE_LINE
        c = self._line(v2)
        if op is Op.B3:
            out = compress(c.words, a.words + b.words, entry.imm)
        else:
            out = combine(op, a.words, c.words)
        for line, words in ((a, a.words), (b, b.words), (c, out)):
            if line.base != NO_ACCESS:
                for place, word in enumerate(words):
                    self.memory[line.base + 4 * place] = Cell(now, word)
        ports = (first.clock, v1, second.clock, v2)
        return WideRow(*entry, self.pc, self.pc + 4 & MASK, *ports, out, a, b, c)


def run_reference(
    program: Program, inputs: bytes = b"", signatures: bytes = b"", limits: Limits = DEFAULT_LIMITS
) -> tuple[list[Row], Machine]:
    """The rows of a run to HALT, and the machine after it. Raises GuestTrap."""
    machine = Machine(program, stream_witness(inputs, signatures), limits)
    rows = []
    while not machine.is_halted:
        rows.append(machine.step())
    return rows, machine
