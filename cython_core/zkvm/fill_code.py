"""Writes the C that fills the tables of the machine's chips, one function for each.

The build calls `write_sources` (setup.py) and links what it wrote into the extension `_fill`. A
function goes over rows, computes each column's formula (`fill`), counts the facts that the row asks
for (tally.h), and stores the columns. `filled` is its twin in plain Python.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cython_core.air.table import MODULUS
from cython_core.vm.operations import OP_MASK, Op
from cython_core.zkvm.buses import ALIGNED, CONJUNCTION, PAIR, RANGE
from cython_core.zkvm.fill import OPERATIONS, Fill, Interpreter
from cython_core.zkvm.row_chip import Count, RowChip

SOURCE_NAME: Final = "zkvm_fill.c"
TALLIED: Final = {RANGE: "range", PAIR: "pair", CONJUNCTION: "conjunction", ALIGNED: "aligned"}
"""Counters by the bus; places are numbers below 2^16 (tally.h). HASH is counted elsewhere."""


def write_sources(chips: Iterable[RowChip], folder: Path) -> list[Path]:
    """Writes the C for the chips; returns its file. An unchanged file is left alone."""
    text = source(list(chips))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SOURCE_NAME
    if not path.exists() or path.read_text(encoding="ascii") != text:
        path.write_text(text, encoding="ascii")
    return [path]


def source(chips: Sequence[RowChip]) -> str:
    entries = [
        f'    {{"{chip.name}", {symbol(chip)}, {len(chip.slots)}, {chip.row_words}}},'
        for chip in chips
    ]
    return "\n".join(
        [
            '#include "zkvm/fill_support.h"',
            "",
            *(_Function(chip).text() for chip in chips),
            "uint32_t zk_inverses[ZK_INVERSES];",
            "const zk_chip zk_chips[] = {",
            *entries,
            "};",
            "const size_t zk_chip_count = sizeof zk_chips / sizeof zk_chips[0];",
            "",
        ]
    )


def symbol(chip: RowChip) -> str:
    return f"fill_{chip.name.replace('-', '_')}"


def columns_of(chip: RowChip, op: Op | None, *, late: bool) -> list[tuple[int, Fill]]:
    """Numbers and formulas of the columns of all operations (None) or one."""
    return [
        (number, slot.fills[op])
        for number, slot in enumerate(chip.slots)
        if op in slot.fills and slot.fills[op].reads_columns == late
    ]


class _Function:
    """The text of one chip's function."""

    def __init__(self, chip: RowChip) -> None:
        self._chip = chip
        self._lines: list[str] = []
        self._indent = " " * 8
        self._locals: dict[Fill, str] = {}

    def text(self) -> str:
        chip = self._chip
        self._write_columns(late=False)
        self._write_operations()
        self._write_columns(late=True)
        self._write_counts(None)
        return "\n".join(
            [
                f"static void {symbol(chip)}(const uint32_t *row, size_t count, size_t height,",
                "    uint32_t *cells, zk_tally *tally)",
                "{",
                f"    for (size_t at = 0; at < count; at++, row += {chip.row_words}) {{",
                f"        int64_t column[{len(chip.slots)}] = {{0}};",
                *self._lines,
                f"        zk_store(column, {len(chip.slots)}, height, at, cells);",
                "    }",
                "    (void)tally;",
                "}",
                "",
            ]
        )

    def _put(self, line: str) -> None:
        self._lines.append(self._indent + line)

    def _write_columns(self, *, late: bool) -> None:
        """Columns of all operations: those whose formulas read others come late."""
        for number, formula in columns_of(self._chip, None, late=late):
            self._put(f"column[{number}] = {self._name(formula)};")

    def _write_operations(self) -> None:
        """What only rows of one operation have; formulas of all rows are known already."""
        known = dict(self._locals)
        self._put("switch (row[0] & 0x7f) {")
        for op in self._chip.ops:
            self._put(f"case {int(op)}: {{")
            for number, formula in columns_of(self._chip, op, late=False):
                self._put(f"    column[{number}] = {self._name(formula)};")
            self._write_counts(op)
            self._put("    break;")
            self._put("}")
            self._locals = dict(known)
        self._put("}")

    def _write_counts(self, op: object) -> None:
        for count in self._chip.counts:
            if count.op is op and count.bus in TALLIED:
                place = self._name(count.elements[0])
                if count.bus in (PAIR, CONJUNCTION):
                    place = f"zk_pair({place}, {self._name(count.elements[1])})"
                self._put(f"zk_count(tally->{TALLIED[count.bus]}, {place});")

    def _name(self, formula: Fill | int) -> str:
        """A C expression without side effects: a constant, or a local that is made here."""
        if isinstance(formula, int):
            return f"{formula}"
        if formula.is_constant:
            return f"INT64_C({formula.arguments[0]})"
        if formula.operation == "column":
            return f"column[{formula.arguments[0]}]"
        if formula not in self._locals:
            text = self._expression(formula)
            name = f"n{len(self._lines)}"
            self._put(f"const int64_t {name} = {text};")
            self._locals[formula] = name
        return self._locals[formula]

    def _expression(self, formula: Fill) -> str:
        if formula.operation == "row":
            word, shift, mask = formula.arguments
            return f"(row[{word}] >> {shift}) & {mask}u"
        arguments = [self._name(argument) for argument in formula.arguments]
        return OPERATIONS[formula.operation].code.format(*arguments)


def filled(
    chip: RowChip, rows: Sequence[Sequence[int]]
) -> tuple[list[list[int]], Mapping[str, Mapping[tuple[int, ...], int]]]:
    """The chip's rows, and how often each fact is asked for, by bus and tuple."""
    table = []
    counts: dict[str, dict[tuple[int, ...], int]] = {}
    for row in rows:
        columns = [0] * len(chip.slots)
        interpreter = Interpreter(row, columns)
        op = Op(row[0] & OP_MASK)
        for owner, late in ((None, False), (op, False), (None, True)):
            for number, formula in columns_of(chip, owner, late=late):
                columns[number] = interpreter.value(formula)
        for count in chip.counts:
            if count.op in (None, op):
                _count(counts.setdefault(count.bus.name, {}), count, interpreter)
        table.append([value % MODULUS for value in columns])
    return table, counts


def _count(counts: dict[tuple[int, ...], int], count: Count, interpreter: Interpreter) -> None:
    key = tuple(interpreter.value(element) for element in count.elements)
    counts[key] = counts.get(key, 0) + 1
