"""What all chips of the machine's rows share: state, fetch, register ports, operations.

A chip is a table with one row for each step of the operations that it accepts. It speaks of that
row alone. Its columns are of two kinds: those of the chip, and those of a pool that the operations
take in turn, since a row is of one operation: what an operation demands is multiplied by its
selector. In a row without a step all columns are zero, and nothing is sent, received or looked up.

Ports of registers (buses.MEMORY): a source is received as it was left and sent on; where the
destination is a source too, or no source, the new value is sent in its place, so that a row sends
each register at most once. The clock of the access before is smaller than the row's: the
difference less one is below 2^24, shown on two limbs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from cython_core.air.language import Bus, Column, Expression, TableBuilder
from cython_core.vm.operations import OP_MASK, Op
from cython_core.zkvm.buses import (
    ALIGNED,
    MEMORY,
    PAIR,
    PROGRAM,
    RANGE,
    SPACE_MEMORY,
    SPACE_REGISTER,
    STATE,
)
from cython_core.zkvm.cells import ZERO, Cell, Value, air_of
from cython_core.zkvm.fill import Fill, as_fill, column_value, part
from cython_core.zkvm.words import Word, word_of

LIMB: Final = 0xFFFF
NARROW_WORDS: Final = 16
"""Words of a row as the filling gets it: the record's 13, clock, and the destination's port."""
WIDE_WORDS: Final = 80
"""The same, and the four parts of the wide record."""


class At:
    """Formulas of the words of a row (zkvm/rows.h)."""

    OP: Final = part(0, 0, OP_MASK)
    DUP: Final = part(0, 7, 1)
    RD: Final = part(0, 8, 0xFF)
    RS1: Final = part(0, 16, 0xFF)
    RS2: Final = part(0, 24, 0xFF)
    IMM: Final = 1
    PC: Final = part(2, 2)
    T1: Final = part(4)
    V1: Final = 5
    T2: Final = part(6)
    V2: Final = 7
    TM: Final = part(8)
    WORD_BEFORE: Final = 10
    WORD_AFTER: Final = 11
    RESULT: Final = 12
    CLOCK: Final = part(13)
    TD: Final = part(14)
    OLD: Final = 15
    WIDE: Final = 16


class Second(Enum):
    """What the second operand of a chip's operations can be."""

    IMMEDIATE = "imm"
    """There is no second port."""
    REGISTER = "register"
    """A port, possibly of x0; the immediate is zero."""
    ANY = "any"
    """A port and an immediate."""


@dataclass
class Slot:
    """A column: its formula, or one for each operation that uses it."""

    name: str
    air: Column
    fills: dict[Op | None, Fill] = field(default_factory=dict)
    """By operation; None is for all."""


@dataclass(frozen=True)
class Count:
    """A fact that rows of an operation (None: all) ask for."""

    op: Op | None
    bus: Bus
    elements: tuple[Fill, ...]


class Scope:
    """Where gadgets take columns and state constraints: for all rows, or those of one operation."""

    def __init__(self, chip: "RowChip", op: Op | None, gate: Cell) -> None:
        self.chip = chip
        self.op = op
        self.gate = gate
        """1 in the rows concerned, else 0."""
        self._taken: dict[str, int] = {}
        self._requirements = 0

    def bit(self, fill: Fill) -> Cell:
        return self._take("bit", fill)

    def limb(self, fill: Fill) -> Cell:
        """16 bits, shown by a fact."""
        return self._take("limb", fill)

    def carry(self, fill: Fill) -> Cell:
        """14 bits: four times the column is 16 bits and a multiple of 4."""
        return self._take("carry", fill)

    def free(self, fill: Fill) -> Cell:
        """A column of which nothing is known."""
        return self._take("free", fill)

    def byte_pair(self, first: Fill, second: Fill) -> tuple[Cell, Cell]:
        """Two bytes, shown by one fact."""
        return self._take("byte", first), self._take("byte", second)

    def result(self, low: Fill, high: Fill) -> Word:
        """The chip's two columns for what an operation computes."""
        columns = [
            self.chip.pool_column("result", at, self.op, fill)
            for at, fill in enumerate((low, high))
        ]
        return word_of(*columns)

    def _take(self, kind: str, fill: Fill) -> Cell:
        place = self._taken.get(kind, 0)
        self._taken[kind] = place + 1
        return self.chip.pool_column(kind, place, self.op, fill)

    def require(self, expression: Value, name: str) -> None:
        """The expression is zero in the rows concerned."""
        self._requirements += 1
        owner = "all" if self.op is None else self.op.name
        label = f"{owner} {self._requirements}: {name}"
        self.chip.builder.require(self.gate.air * air_of(expression), label)

    def fact(self, bus: Bus, elements: Sequence[Cell]) -> None:
        self.chip.ask(bus, elements, self.gate, self.op)

    def equal(self, column: Cell, meaning: Cell, name: str) -> None:
        self.require(column - meaning, name)

    def flat(self, cell: Cell) -> Cell:
        """The cell with degree 1: itself, or a column that equals it."""
        if cell.degree <= 1:
            return cell
        column = self.free(cell.fill)
        self.equal(column, cell, "an intermediate value")
        return column


class RowChip:
    """One table. `scope(op)` for what an operation demands; `finish` closes the row."""

    def __init__(
        self,
        name: str,
        accepts: Iterable[tuple[Op, bool]],
        *,
        second: Second,
        reads: bool = True,
        writes: bool = True,
        row_words: int = NARROW_WORDS,
    ) -> None:
        self.name = name
        self.accepts = frozenset(accepts)
        """Operations, and whether the program gives them a second register."""
        self.row_words = row_words
        self.builder = TableBuilder(name)
        self.slots: list[Slot] = []
        self.counts: list[Count] = []
        self.ops = tuple(sorted({op for op, _ in self.accepts}))
        self.selectors = {
            op: self.column(f"is_{op.name.lower()}", At.OP.equals(int(op))) for op in self.ops
        }
        self.is_real = Cell(sum_of([cell.air for cell in self.selectors.values()]), as_fill(1))
        for op, selector in self.selectors.items():
            self._boolean(selector, f"is_{op.name.lower()} is boolean")
        if len(self.ops) > 1:
            self._boolean(self.is_real, "one operation at most")
        self.clock = self.column("clock", At.CLOCK)
        self.pc = self.column("pc", At.PC)
        self._pools: dict[str, list[int]] = {}
        """By kind, the numbers of its columns."""
        self.gadgets: dict[tuple[object, ...], object] = {}
        """What gadgets made of operands that all operations share (`algebra`)."""
        self._places: dict[Word, list[Cell]] = {}
        self._everywhere = Scope(self, None, self.is_real)
        self._clock_highs: list[Cell] = []
        self._ports(second, reads=reads, writes=writes)

    # Columns

    def column(self, name: str, fill: Fill) -> Cell:
        """A column of all operations."""
        column = self.builder.main(name)
        self.slots.append(Slot(name, column, {None: fill}))
        return Cell(column, fill)

    def words(self, name: str, place: int) -> Word:
        """Two columns for a word of the row, known to be in range."""
        low = self.column(f"{name}.low", part(place, 0, LIMB))
        high = self.column(f"{name}.high", part(place, 16, LIMB))
        return word_of(low, high, shared=True)

    def pool_column(self, kind: str, place: int, op: Op | None, fill: Fill) -> Cell:
        """Column `place` of a kind for one operation; made when it is the first to ask for it."""
        pool = self._pools.setdefault(kind if op is not None else f"all.{kind}", [])
        while len(pool) <= place:
            self._grow(kind, pool, f"{kind}{'' if op is not None else '.all'}.{len(pool)}")
        slot = self.slots[pool[place]]
        assert op not in slot.fills
        slot.fills[op] = fill
        return Cell(slot.air, fill)

    def _grow(self, kind: str, pool: list[int], name: str) -> None:
        """Adds a column of a kind, with what holds of it whichever operation uses it."""
        pool.append(len(self.slots))
        self.slots.append(Slot(name, self.builder.main(name)))
        if kind == "bit":
            self._boolean(self._filled(pool[-1]), f"{name} is boolean")
        elif kind == "limb":
            self.ask(RANGE, [self._filled(pool[-1])], self.is_real, None)
        elif kind == "carry":
            self.ask(ALIGNED, [self._filled(pool[-1]) * 4, ZERO], self.is_real, None)
        elif kind == "byte" and len(pool) % 2 == 0:
            self.ask(PAIR, [self._filled(number) for number in pool[-2:]], self.is_real, None)

    def pooled(self, kind: str) -> list[Cell]:
        """All columns of a kind, whichever operation fills them."""
        return [self._filled(number) for number in self._pools[kind]]

    def _filled(self, number: int) -> Cell:
        """A column whose value is what it was filled with, by whichever operation."""
        return Cell(self.slots[number].air, column_value(number))

    def _boolean(self, cell: Cell, name: str) -> None:
        assert isinstance(cell.air, Expression)
        self.builder.require_boolean(cell.air, name)

    # Facts and rules

    def ask(self, bus: Bus, elements: Sequence[Cell], gate: Cell, op: Op | None) -> None:
        """Rows with the gate take a fact; rows of `op` (None: all) are counted for it."""
        self.builder.receive(bus, [element.air for element in elements], gate.air)
        self.counts.append(Count(op, bus, tuple(element.fill for element in elements)))

    @property
    def everywhere(self) -> Scope:
        """For what all operations of the chip demand."""
        return self._everywhere

    def scope(self, op: Op) -> Scope:
        """For what one operation demands; it takes the pool from its beginning."""
        return Scope(self, op, self.selectors[op])

    # Registers

    def _ports(self, second: Second, *, reads: bool, writes: bool) -> None:
        self.imm = ZERO_WORD if second is Second.REGISTER else self.words("imm", At.IMM)
        self.reads_1 = self._flag("reads_1", 1 - At.RS1.equals(0)) if reads else ZERO
        has_second = second is not Second.IMMEDIATE
        self.reads_2 = self._flag("reads_2", 1 - At.RS2.equals(0)) if has_second else ZERO
        self.dup = self._flag("dup", At.DUP) if has_second and reads else ZERO
        self.writes = self._flag("writes", 1 - At.RD.equals(0)) if writes else ZERO
        self.rd = self.column("rd", At.RD) if writes else ZERO
        self.v1 = ZERO_WORD
        self.v2 = ZERO_WORD
        self.rs1 = self.rs2 = self.alias_1 = self.alias_2 = ZERO
        if reads:
            self.rs1 = self.column("rs1", At.RS1)
            self.alias_1 = self._alias("alias_1", At.RS1) if writes else ZERO
            self.v1 = self.words("v1", At.V1)
            self._source(self.rs1, "t1", At.T1, self.v1, self.reads_1, self.alias_1)
            self._nothing_in(self.v1, 1 - self.reads_1, "v1 of x0")
        if has_second:
            self.rs2 = self.column("rs2", At.RS2)
            self.alias_2 = self._alias("alias_2", At.RS2) if writes else ZERO
            self.v2 = self._second_word()
            self._source(self.rs2, "t2", At.T2, self.v2, self.reads_2, self.alias_2)
            self._nothing_in(self.v2, 1 - self.reads_2 - self.dup, "v2 of x0")
            for limb, first in ((self.v2.low, self.v1.low), (self.v2.high, self.v1.high)):
                if reads:
                    self.builder.require(
                        self.dup.air * (limb - first).air, f"{limb.air!r} is that of v1"
                    )

    def _second_word(self) -> Word:
        """v2, which is v1 where the program has the register once (dup)."""
        fills = [
            At.DUP.choose(part(At.V1, shift, LIMB), part(At.V2, shift, LIMB)) for shift in (0, 16)
        ]
        low, high = self.column("v2.low", fills[0]), self.column("v2.high", fills[1])
        return word_of(low, high, shared=True)

    def _flag(self, name: str, fill: Fill) -> Cell:
        """A column of the program's table. It is zero where no step is, so that nothing is sent."""
        flag = self.column(name, fill)
        self.builder.require((1 - self.is_real.air) * flag.air, f"{name} only in a step")
        return flag

    def _alias(self, name: str, source: Fill) -> Cell:
        return self._flag(name, At.RD.equals(source) & (1 - At.RD.equals(0)))

    def _nothing_in(self, word: Word, gate: Value, name: str) -> None:
        for limb in (word.low, word.high):
            self.builder.require(air_of(gate) * air_of(limb), f"{name}: {limb.air!r}")

    def _source(
        self, register: Cell, name: str, clock: Fill, word: Word, reads: Cell, alias: Cell
    ) -> None:
        before = self.column(name, clock)
        self.receive_access(SPACE_REGISTER, register, before, word, reads)
        self.send_access(SPACE_REGISTER, register, word, reads - alias)

    # Accesses of registers and memory

    def receive_access(
        self, space: int, address: Cell, before: Cell, word: Word, times: Cell
    ) -> None:
        """What an address holds since the clock `before`, which is shown to be in the past."""
        self.builder.receive(
            MEMORY,
            [space, address.air, before.air, word.low.air, word.high.air],
            times.air,
        )
        self._in_the_past(before)

    def send_access(self, space: int, address: Cell, word: Word, times: Cell) -> None:
        self.builder.send(
            MEMORY,
            [space, address.air, self.clock.air, word.low.air, word.high.air],
            times.air,
        )

    def _in_the_past(self, before: Cell) -> None:
        """clock - before - 1 is below 2^24. Where nothing is accessed, `before` is zero."""
        gap = self.clock - before - 1
        low = self.everywhere.limb(gap.fill & LIMB)
        self._clock_highs.append((gap - low).divided(16))

    def _close_clocks(self) -> None:
        highs = self._clock_highs
        for place in range(0, len(highs), 2):
            second = highs[place + 1] if place + 1 < len(highs) else ZERO
            self.ask(PAIR, [highs[place], second], self.is_real, None)

    def places(self, place: Word) -> list[Cell]:
        """Which of the four bytes of a word a place is: one bit each, exactly one of them set."""
        known = self._places.get(place)
        if known is None:
            known = self._places[place] = [
                self.everywhere.bit(place.low.fill.equals(number)) for number in range(4)
            ]
            total = sum_of([bit.air for bit in known])
            number = sum_of([bit.air * number for number, bit in enumerate(known)])
            self.everywhere.require(Cell(total, as_fill(1)) - 1, "one place")
            self.everywhere.require(Cell(number, place.low.fill) - place.low, "the place")
        return known

    # The end of a row

    def finish(
        self, result: Word | None = None, following: Cell | None = None, goes_on: Cell | None = None
    ) -> None:
        """Writes the destination, fetches the instruction and hands the state on.

        `following`: the next pc, by default that of the next instruction. `goes_on`: 1 where there
        is a next step, by default in every step.
        """
        if result is not None:
            assert result.is_canonical
            before, old = self.column("td", At.TD), self.words("old", At.OLD)
            has_port = self.writes - self.alias_1 - self.alias_2
            self.receive_access(SPACE_REGISTER, self.rd, before, old, has_port)
            self.send_access(SPACE_REGISTER, self.rd, result, self.writes)
        self._close_clocks()
        following = self.pc + 1 if following is None else following
        goes_on = self.is_real if goes_on is None else goes_on
        self.builder.receive(STATE, [self.clock.air, self.pc.air], self.is_real.air)
        self.builder.send(STATE, [self.clock.air + 1, following.air], goes_on.air)
        number = sum_of([cell.air * int(op) for op, cell in self.selectors.items()])
        fetched = (
            self.dup, self.rd, self.rs1, self.rs2, self.imm.low, self.imm.high,
            self.reads_1, self.reads_2, self.writes, self.alias_1, self.alias_2,
        )  # fmt: skip
        entry = [self.pc.air, number, *(cell.air for cell in fetched)]
        self.builder.receive(PROGRAM, entry, self.is_real.air)

    def memory_access(
        self, address: Cell, before: Word, after: Word, clock: Fill = At.TM, name: str = "tm"
    ) -> None:
        """Reads and writes the word at a word address."""
        touched = self.column(name, clock)
        self.receive_access(SPACE_MEMORY, address, touched, before, self.is_real)
        self.send_access(SPACE_MEMORY, address, after, self.is_real)


ZERO_WORD: Final = word_of(ZERO, ZERO, shared=True)


def sum_of(terms: Sequence[Expression | int]) -> Expression | int:
    total: Expression | int = 0
    for term in terms:
        total = total + term
    return total
