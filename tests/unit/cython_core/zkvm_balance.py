"""What all rows of a run say together, in plain Python: whether a proof of them could be accepted.

Rows can be replaced and added. The tables that speak of no step are not looked at, but only what
they can say: entries of the program, compressions, first and last states of registers and words.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from cython_core.air.language import Bus
from cython_core.air.table import MODULUS
from cython_core.chips.blake3 import HASH
from cython_core.vm.operations import Op
from cython_core.vm.program import Program
from cython_core.vm.wide import compress
from cython_core.zkvm.buses import BUSES, MEMORY, OUT, PROGRAM, SPACE_MEMORY, STATE
from cython_core.zkvm.program_table import fields_of
from cython_core.zkvm.row_chip import RowChip
from cython_core.zkvm.words import LIMB_LIMIT
from tests.unit.cython_core.zkvm_cases import TABLES, Said, cells_of, chip_of_row, said, steps


class Run:
    """The rows of a run, as cells, and what others put on the buses for it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.words = steps(program)
        self.chips = [chip_of_row(row) for row in self.words]
        self.cells = [cells_of(chip, row) for chip, row in zip(self.chips, self.words, strict=True)]
        self._said = [
            said(TABLES[chip.name], cells)
            for chip, cells in zip(self.chips, self.cells, strict=True)
        ]

    def place(self, op: Op) -> int:
        """The first row of an operation."""
        return next(n for n, chip in enumerate(self.chips) if op in chip.ops)

    def forged(self, op: Op) -> "Forged":
        """A copy of the first row of an operation."""
        number = self.place(op)
        return Forged(self.chips[number], list(self.cells[number]))

    def complaints(
        self, changed: Mapping[int, Sequence[int]] | None = None, added: Iterable["Forged"] = ()
    ) -> list[str]:
        """What is wrong with the rows, of which some are replaced and some added: nothing where a
        proof would be accepted, of whatever memory holds at the end."""
        heard = dict(enumerate(self._said))
        for number, cells in (changed or {}).items():
            heard[number] = said(TABLES[self.chips[number].name], cells)
        others = [said(TABLES[row.chip.name], row.cells) for row in added]
        return complaints(self.program, [*heard.values(), *others])


def complaints(program: Program, rows: Iterable[Said]) -> list[str]:
    """Broken rules, false facts, and tuples that no table takes up."""
    found: list[str] = []
    total: Counter[tuple[int, ...]] = Counter({(BUSES.index(STATE), 1, program.entry // 4): 1})
    for row in rows:
        found += row.broken
        total.update(row.tuples)
    ends: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = {}
    for (number, *elements), times in total.items():
        bus, count = BUSES[number], _centred(times)
        if not count or bus is OUT:
            continue
        if bus is MEMORY:
            ends.setdefault(tuple(elements[:2]), []).append((count, tuple(elements[2:])))
        elif not _is_answered(program, bus, count, elements):
            found.append(f"{bus.name} {elements} x {count}")
    for place, left in ends.items():
        if not _is_chain(program, place, left):
            found.append(f"memory {place}: {left}")
    return found


def _centred(value: int) -> int:
    value %= MODULUS
    return value - MODULUS if value > MODULUS // 2 else value


def _is_answered(program: Program, bus: Bus, count: int, elements: Sequence[int]) -> bool:
    """Whether a table that no row of a step is in takes it up."""
    if bus is HASH:
        return count > 0 and is_compression(elements)
    return bus is PROGRAM and count < 0 and _is_entry(program, elements)


def _is_entry(program: Program, elements: Sequence[int]) -> bool:
    entry = program.fetch(4 * elements[0]) if elements[0] < 1 << 30 else None
    return entry is not None and fields_of(elements[0], entry) == tuple(elements)


def _is_chain(
    program: Program, place: tuple[int, ...], left: list[tuple[int, tuple[int, ...]]]
) -> bool:
    """Whether the tables of memory make up for it: one first state, one last."""
    space, address = place
    value = 0
    if space == SPACE_MEMORY:
        if address >= 1 << 30:
            return False
        value = program.initial(4 * address)
    elif not 1 <= address < 32:
        return False
    first = (-1, (0, value & 0xFFFF, value >> 16))
    others = [one for one in left if one != first]
    return first in left and len(left) == 2 and len(others) == 1 and others[0][0] == 1


def is_compression(elements: Sequence[int]) -> bool:
    """A fact of the BLAKE3 chip: in cv[0] + 2^16 flags, flags are a byte, and limbs are limbs."""
    flags, first = divmod(elements[0], LIMB_LIMIT)
    cells = [first, *elements[1:]]
    if flags > 0xFF or max(cells) > 0xFFFF:
        return False
    words = [low | high << 16 for low, high in zip(cells[::2], cells[1::2], strict=True)]
    return compress(words[:8], words[8:24], flags) == tuple(words[24:])


@dataclass
class Forged:
    """Cells of a row by the names of their columns."""

    chip: RowChip
    cells: list[int]

    @cached_property
    def places(self) -> dict[str, int]:
        return {name: n for n, name in enumerate(TABLES[self.chip.name].labels.main)}

    def __getitem__(self, name: str) -> int:
        return self.cells[self.places[name]]

    def __setitem__(self, name: str, value: int) -> None:
        self.cells[self.places[name]] = value % MODULUS
