"""The system of a program: the tables of its runs, in the order of the proof.

    chips of steps (row_chips), blake3, program, image, memory, registers, facts

Only program, image and their heights depend on the program, and they do so by preprocessed columns
alone: the constraints are the same for all, so that the code that is generated for them at build
time serves every program. Imports nothing compiled, for the build calls it.

Public values, all limbs of 16 bits: the program's root P, the statement S, the edges of the image
(`memory_tables.image_edges`). The tables read the edges only; P stands for the program whose key it
is, and S enters by public interactions on OUT.
"""

from functools import cache
from typing import Final

from cython_core.air.language import TableBuilder
from cython_core.air.table import System, Table
from cython_core.chips.blake3 import blake3_table
from cython_core.vm.program import Program, from_words
from cython_core.zkvm.buses import BUSES
from cython_core.zkvm.facts import facts_table
from cython_core.zkvm.memory_tables import (
    EDGE_LIMBS,
    image_table,
    memory_table,
    registers_table,
)
from cython_core.zkvm.program_table import program_table
from cython_core.zkvm.row_chips import ROW_CHIPS

ROOT_LIMBS: Final = 8
STATEMENT_LIMBS: Final = 16
ROOT: Final = range(ROOT_LIMBS)
"""Places among the public values."""
STATEMENT: Final = range(ROOT.stop, ROOT.stop + STATEMENT_LIMBS)
EDGES: Final = range(STATEMENT.stop, STATEMENT.stop + EDGE_LIMBS)
PUBLIC_COUNT: Final = EDGES.stop
HALT: Final = 0x0000300B
"""`.insn r 0x0b, 3, 0, x0, x0, x0`"""


@cache
def _common_table(name: str) -> Table:
    """A table that is the same for all programs."""
    makers = {
        "blake3": blake3_table,
        "memory": lambda: memory_table(EDGES),
        "registers": registers_table,
        "facts": facts_table,
    }
    return makers[name]().build(BUSES)


@cache
def _chip_tables() -> tuple[Table, ...]:
    return tuple(chip.builder.build(BUSES) for chip in ROW_CHIPS)


def _built(table: TableBuilder) -> Table:
    return table.build(BUSES)


def run_system(program: Program) -> System:
    """ValueError for a program of which no run can be proven (`program_table.entries_of`)."""
    tables = (
        *_chip_tables(),
        _common_table("blake3"),
        _built(program_table(program)),
        _built(image_table(program)),
        *(_common_table(name) for name in ("memory", "registers", "facts")),
    )
    return System(
        tables=tables,
        bus_widths=tuple(bus.width for bus in BUSES),
        public_count=PUBLIC_COUNT,
        bus_names=tuple(bus.name for bus in BUSES),
    )


def sample_system() -> System:
    """That of the least program, whose constraints are everybody's."""
    return run_system(from_words([HALT]))
