"""Single steps of the machine: any operation, form and operands, and what such a step says."""

import random
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from cython_core.air.table import MODULUS
from cython_core.vm.machine import Cell, Machine, stream_witness
from cython_core.vm.operations import ARITHMETIC, BRANCHES, LOADS, MASK, OP_MASK, STORES, Op
from cython_core.vm.records import NarrowRow
from cython_core.vm.semantics import ACCESS_BYTES
from cython_core.zkvm.buses import BUSES, MEMORY, OUT, PROGRAM, SPACE_MEMORY, STATE
from cython_core.zkvm.program_table import fields_of
from cython_core.zkvm.row_chip import RowChip
from tests.unit.cython_core import vm_programs as asm
from tests.unit.cython_core.row_rules import Effect
from tests.unit.cython_core.zkvm_cases import cells_of, chip_of_row

EDGES: Final = (0, 1, MASK, 1 << 31, (1 << 31) - 1, 0xFFFF, 0x8000, 0x10000, 0xFFFF0000)
FIRST, SECOND, TARGET = 5, 6, 7
LATEST: Final = (1 << 24) - 1
REGISTERS: Final = (
    (TARGET, FIRST, SECOND), (FIRST, FIRST, SECOND), (SECOND, FIRST, SECOND),
    (TARGET, FIRST, FIRST), (FIRST, FIRST, FIRST), (0, FIRST, SECOND), (TARGET, 0, SECOND),
    (TARGET, FIRST, 0), (SECOND, 0, SECOND), (FIRST, FIRST, 0), (TARGET, 0, 0), (0, 0, 0),
    (0, FIRST, FIRST),
)  # fmt: skip
"""rd, rs1, rs2: all different, the destination a source, the same source twice, x0 anywhere."""
IMMEDIATES: Final = ((TARGET, FIRST), (FIRST, FIRST), (0, FIRST), (TARGET, 0), (0, 0))
SOURCES: Final = ((FIRST, SECOND), (FIRST, FIRST), (0, SECOND), (FIRST, 0), (0, 0))


@dataclass(frozen=True)
class Scene:
    """One instruction, and the machine before it."""

    word: int
    values: tuple[int, int, int] = (0, 0, 0)
    """Of the registers FIRST, SECOND and TARGET."""
    clocks: tuple[int, int, int, int] = (1, 2, 3, 4)
    """When they were touched last, and the word of memory."""
    now: int = 9
    memory: int = 0
    """What each word of memory holds."""
    answer: int = 0


@dataclass(frozen=True)
class Step:
    """A scene's row, and what the machine's record of the step says on the buses."""

    scene: Scene
    op: Op
    row: tuple[int, ...]
    effect: Effect = field(compare=False)

    @cached_property
    def chip(self) -> RowChip:
        return chip_of_row(self.row)

    @cached_property
    def cells(self) -> tuple[int, ...]:
        return tuple(cells_of(self.chip, self.row))


class _Everywhere(dict[int, Cell]):
    """Memory that holds one word everywhere."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self._cell = cell

    def get(self, address: int, default: object = None) -> Cell:
        return super().get(address, self._cell)


def step_of(scene: Scene) -> Step:
    program = asm.program_of(scene.word, asm.HALT)
    answer = struct.pack("<I", scene.answer)
    machine = Machine(program, stream_witness(answer, bytes([scene.answer & 1])))
    machine.clock = scene.now - 1
    for register, value, clock in zip(
        (FIRST, SECOND, TARGET), scene.values, scene.clocks, strict=False
    ):
        machine.registers[register] = Cell(clock, value)
    machine.memory = _Everywhere(Cell(scene.clocks[3], scene.memory))
    before = list(machine.registers)
    record = machine.step()
    assert isinstance(record, NarrowRow)
    port = before[record.rd]
    row = (*struct.unpack("<13I", record.encode()[:52]), scene.now, port.clock, port.value)
    return Step(scene, Op(record.op & OP_MASK), row, _effect_of(machine, record, before))


def _limbs(value: int) -> tuple[int, int]:
    return value & 0xFFFF, value >> 16


def _effect_of(machine: Machine, record: NarrowRow, before: Sequence[Cell]) -> Effect:
    """Written from docs/vm.md and buses.py, not from the chips."""
    now, op = machine.clock, Op(record.op & OP_MASK)
    said: Counter[tuple[int, ...]] = Counter()
    entry = machine.program.fetch(record.pc)
    assert entry is not None
    said[BUSES.index(PROGRAM), *fields_of(record.pc // 4, entry)] -= 1
    said[BUSES.index(STATE), now, record.pc // 4] -= 1
    if op is not Op.HALT:
        said[BUSES.index(STATE), now + 1, record.npc // 4] += 1
    if op is Op.OUT:
        said[BUSES.index(OUT), record.imm, *_limbs(record.v1)] += 1
    memory = BUSES.index(MEMORY)
    for register in {record.rs1, record.rs2, record.rd} - {0}:
        old, new = before[register], machine.registers[register]
        said[memory, 1, register, old.clock, *_limbs(old.value)] -= 1
        said[memory, 1, register, now, *_limbs(new.value)] += 1
    if op in LOADS or op in STORES:
        place = record.ma // 4
        said[memory, SPACE_MEMORY, place, record.tm, *_limbs(record.mv)] -= 1
        said[memory, SPACE_MEMORY, place, now, *_limbs(record.mn)] += 1
    return {key: times % MODULUS for key, times in said.items() if times}


# Scenes


def words_of_op(op: Op, rng: random.Random) -> list[int]:
    """An instruction for each form that an operation has."""
    name = op.name.lower()
    if name in asm.REGISTER:
        words = [asm.register(name, *fields) for fields in REGISTERS]
        if f"{name}i" in {**asm.IMMEDIATE, **asm.SHIFT}:
            value = rng.choice((0, 1, -1, 31, 2047, -2048, rng.randrange(-2048, 2048)))
            words += [asm.immediate(f"{name}i", *fields, value) for fields in IMMEDIATES]
        if op is Op.ADD:
            words += [asm.upper(rd, rng.getrandbits(32), from_pc=bool(rd)) for rd in (0, TARGET)]
        if op is Op.SLTU:
            words += [asm.immediate("sltiu", *fields, -1) for fields in IMMEDIATES]
        return words
    if name in asm.LOAD:
        size = asm.LOAD[name][1]
        offset = rng.randrange(-2048, 2048) // size * size
        return [asm.load(name, *fields, offset) for fields in IMMEDIATES]
    if name in asm.STORE:
        size = asm.STORE[name][1]
        offset = rng.randrange(-2048, 2048) // size * size
        return [asm.store(name, *fields[::-1], offset) for fields in SOURCES]
    if name in asm.BRANCH:
        offset = rng.choice((8, -4, -2048, 4094, 4, rng.randrange(-1024, 1024) * 2))
        return [asm.branch(name, *fields, offset // 4 * 4) for fields in SOURCES]
    return {
        Op.JAL: [asm.jal(rd, 4 * rng.randrange(-256, 1000)) for rd in (0, TARGET)],
        Op.JALR: [asm.jalr(*fields, 4 * rng.randrange(1, 500)) for fields in IMMEDIATES],
        Op.IN: [asm.read_input(TARGET)],
        Op.SIG: [asm.read_answer(TARGET)],
        Op.OUT: [asm.show(place, rs1) for place, rs1 in ((0, 0), (7, FIRST), (3, FIRST))],
        Op.HALT: [asm.HALT],
    }[op]


NARROW_OPS: Final = tuple(op for op in Op if Op.ADD <= op <= Op.HALT)


def scene_of(op: Op, word: int, rng: random.Random) -> Scene:
    """Random and edge operands; addresses that the operation takes."""

    def operand() -> int:
        return rng.choice((*EDGES, rng.getrandbits(32), rng.getrandbits(32), rng.randrange(256)))

    first, second = operand(), operand()
    kind = rng.randrange(8)
    if kind == 0:
        second = first
    elif kind == 1:
        second = first ^ 1 << rng.randrange(32)
    elif kind < 4 and op in (Op.SLL, Op.SRL, Op.SRA):
        second = rng.choice((0, 1, 31, 32, 33, 63, rng.getrandbits(32)))
    if op in LOADS or op in STORES:
        # rs1 is aligned as the offset is not at all: the assembler's offsets are multiples.
        size = {"b": 1, "h": 2, "w": 4}[op.name.lower()[1]]
        first = first // size * size
    if op is Op.JALR:
        first = first // 4 * 4 | rng.randrange(2)
    now = rng.choice((9, LATEST, rng.randrange(5, LATEST)))
    clocks = tuple(rng.choice((0, now - 1, rng.randrange(now))) for _ in range(4))
    return Scene(
        word,
        (first, second, operand()),
        (clocks[0], clocks[1], clocks[2], clocks[3]),
        now,
        rng.choice((*EDGES, rng.getrandbits(32), 0x807F_FF80)),
        rng.choice((*EDGES, 1, rng.getrandbits(32))),
    )


def scenes(op: Op, rng: random.Random, rounds: int) -> Iterator[Scene]:
    for _ in range(rounds):
        for word in words_of_op(op, rng):
            yield scene_of(op, word, rng)


DIVISIONS: Final = (
    (1 << 30, 3), (MASK - 2, MASK), (7, 0), (MASK - 6, 0), (0, 5), (1 << 31, MASK), (100, 7),
    (MASK - 99, 7), (100, MASK - 6), (MASK - 99, MASK - 6), (0x12345678, 0x9ABC),
    (0x12345678, 0x10001), (3, 1 << 30), (0x10000, 0x8000), (6, 3), (0xFFFF0000, 3),
    (0x80000001, 0x7FFFFFFF),
)  # fmt: skip


def division_scenes(op: Op) -> Iterator[Scene]:
    word = asm.register(op.name.lower(), TARGET, FIRST, SECOND)
    yield from (Scene(word, (first, second, 0)) for first, second in DIVISIONS)


def edge_scenes(op: Op, rng: random.Random) -> Iterator[Scene]:
    """The first form of an operation with all pairs of edge operands, or at each place."""
    word = words_of_op(op, rng)[0]
    if op in LOADS or op in STORES:
        name = op.name.lower()
        is_load = op in LOADS
        word = asm.load(name, TARGET, FIRST, -4) if is_load else asm.store(name, SECOND, FIRST, -4)
        size = ACCESS_BYTES[op]
        for base in (0, 4, 0xFFFC, 0x10000, MASK - 3, 1 << 31):
            for place in range(0, 4, size):
                memory = rng.choice((*EDGES, 0x807F_FF80))
                yield Scene(word, (base + place, rng.choice(EDGES), 0), memory=memory)
        return
    seconds = (*EDGES, 7, 8, 31, 32, 33, 0xFFFFFFE5) if op in (Op.SLL, Op.SRL, Op.SRA) else EDGES
    if op is Op.JALR:
        yield from (Scene(word, (first & ~3, 0, 0)) for first in EDGES)
    elif op in ARITHMETIC or op in BRANCHES:
        yield from (Scene(word, (first, second, 0)) for first in EDGES for second in seconds)
    elif op in (Op.IN, Op.SIG, Op.OUT):
        yield from (Scene(word, (edge, 0, 0), answer=edge) for edge in EDGES)
