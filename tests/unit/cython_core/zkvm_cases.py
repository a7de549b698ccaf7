"""Rows of the machine as its chips take them, and what one row of a chip says to the others."""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cython_core.air.evaluate import BASE, Row, Selectors, evaluate
from cython_core.air.table import MODULUS, Table
from cython_core.vm.machine import Machine, stream_witness
from cython_core.vm.operations import DUP, OP_MASK, Op
from cython_core.vm.program import Program
from cython_core.vm.records import WideRow
from cython_core.zkvm.buses import ALIGNED, BUSES, CONJUNCTION, PAIR, RANGE
from cython_core.zkvm.fill_code import filled
from cython_core.zkvm.row_chip import RowChip
from cython_core.zkvm.row_chips import ROW_CHIPS

TABLES = {chip.name: chip.builder.build(BUSES) for chip in ROW_CHIPS}
LIMBS = 1 << 16
FACTS = {
    RANGE: lambda t: t[0] < LIMBS,
    PAIR: lambda t: t[0] < 256 and t[1] < 256,
    CONJUNCTION: lambda t: t[0] < 256 and t[1] < 256 and t[2] == t[0] & t[1],
    ALIGNED: lambda t: t[0] < LIMBS and t[1] == t[0] & 3,
}


@dataclass(frozen=True)
class Said:
    """What a row puts on the buses that are not facts, and what is wrong with it by itself."""

    tuples: Counter[tuple[int, ...]]
    """(bus, elements...) with their multiplicities."""
    broken: tuple[str, ...]
    """Constraints that fail and facts that are none."""


def chip_of(op: Op, *, has_second: bool) -> RowChip:
    (chip,) = (chip for chip in ROW_CHIPS if (op, has_second) in chip.accepts)
    return chip


def steps(program: Program, inputs: bytes = b"", answers: bytes = b"") -> list[list[int]]:
    """The words of each step's row (zkvm/rows.h), to the end of the run."""
    machine = Machine(program, stream_witness(inputs, answers))
    rows = []
    while not machine.is_halted:
        before = list(machine.registers)
        row = machine.step()
        words = list(
            struct.unpack(
                "<8I" if isinstance(row, WideRow) else "<13I",
                row.encode()[: 32 if isinstance(row, WideRow) else 52],
            )
        )
        words += [0] * (13 - len(words))
        port = before[row.rd]
        words += [machine.clock, port.clock, port.value]
        if isinstance(row, WideRow):
            words += struct.unpack("<64I", row.encode())
        rows.append(words)
    return rows


def chip_of_row(row: Sequence[int]) -> RowChip:
    has_second = bool(row[0] & DUP or row[0] >> 24)
    return chip_of(Op(row[0] & OP_MASK), has_second=has_second)


def cells_of(chip: RowChip, row: Sequence[int]) -> list[int]:
    return filled(chip, [row])[0][0]


def said(table: Table, cells: Sequence[int]) -> Said:
    leaves = Row(main=list(cells), main_next={}, selectors=Selectors(0, 0, 0))
    values = evaluate(table.nodes, leaves, (), BASE)
    broken = [
        table.labels.constraint(number)
        for number, node in enumerate(table.constraints)
        if values[node]
    ]
    tuples: Counter[tuple[int, ...]] = Counter()
    for number, interaction in enumerate(table.interactions):
        times = values[interaction.multiplicity]
        elements = tuple(values[element] for element in interaction.elements)
        bus = BUSES[interaction.bus]
        if not times:
            continue
        if bus in FACTS:
            if times != MODULUS - 1 or not FACTS[bus](elements):
                broken.append(f"{table.labels.interaction(number)} {elements} x {times}")
        else:
            tuples[interaction.bus, *elements] += times
    balance = {key: times % MODULUS for key, times in tuples.items()}
    return Said(Counter({key: times for key, times in balance.items() if times}), tuple(broken))
