"""Writes a table's program as C, for the tables of shipped systems.

The build calls `write_sources` (setup.py) and links what it wrote into the extension `_generated`;
a program finds its code there by `program_digest`. The code has the interpreter's interface and
values (air/tape.h), is written once and compiled for each instruction set through
field/kb31_lanes.h.

A compiler takes minutes over one function of thousands of operations, and makes it no faster: so
the code is cut into functions of some hundred operations. What a later function needs lies in
scratch memory, in a slot that is free again when the last function that reads it is done.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cython_core.air.program import (
    TAKES_NONE,
    TAKES_SCALAR,
    Code,
    Listing,
    Step,
    compile_table,
    program_digest,
)
from cython_core.air.table import MODULUS, System, Table

CHUNK_OPERATIONS: Final = 200
BLOCK_ROWS: Final = 64
"""AIR_BLOCK_ROWS of air/tape.h."""
SHIPPED_KERNELS: Final = ("avx512",)
"""Where generated code beats the interpreter; with 16 registers (AVX2) or one lane it does not."""

_FORMULAS: Final = {
    Code.ADD: "kbv_add({a}, {b})",
    Code.SUBTRACT: "kbv_sub({a}, {b})",
    Code.MULTIPLY: "kbv_mul({a}, {b})",
    Code.ADD_SCALAR: "kbv_add({a}, {b})",
    Code.SUBTRACT_FROM: "kbv_sub({b}, {a})",
    Code.SCALE: "kbv_mul({a}, {b})",
    Code.DOUBLE_ADD: "kbv_add(kbv_add({a}, {a}), {b})",
    Code.COPY: "{a}",
    Code.FILL: "{b}",
}


@dataclass(frozen=True)
class GeneratedTable:
    symbol: str
    digest: bytes
    program: Listing
    body: str
    """The functions, to be included after field/kb31_lanes.h."""
    scratch_words: int


def write_sources(systems: Iterable[System], folder: Path) -> list[Path]:
    """Writes the C for all tables of the systems; returns the files, headers among them.

    A file that would not change is left alone, and one that nothing writes any more is removed.
    """
    tables = {program_digest(table): table for system in systems for table in system.tables}
    generated = [generate(table) for table in tables.values()]
    files = {"registry.c": _registry(generated)}
    for table in generated:
        files[f"{table.symbol}.h"] = table.body
        for kernel in SHIPPED_KERNELS:
            files[f"{table.symbol}_{kernel}.c"] = kernel_source(table, kernel)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.suffix in {".c", ".h"} and old.name not in files:
            old.unlink()
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="ascii") != text:
            path.write_text(text, encoding="ascii")
    return [folder / name for name in sorted(files)]


def generate(table: Table, chunk_operations: int = CHUNK_OPERATIONS) -> GeneratedTable:
    digest = program_digest(table)
    symbol = f"air_{re.sub('[^a-z0-9]', '_', table.name.lower())}_{digest[:6].hex()}"
    program = compile_table(table)
    copies = [Step(Code.COPY, -1 - output, value, 0) for output, value in program.copies]
    steps = [*program.steps, *copies]
    chunks = [
        steps[start : start + chunk_operations] for start in range(0, len(steps), chunk_operations)
    ]
    slots, slot_count = _shared_slots(program, chunks)
    functions = [
        _chunk_function(program, chunk, number, slots) for number, chunk in enumerate(chunks)
    ]
    return GeneratedTable(
        symbol=symbol,
        digest=digest,
        program=program,
        body="\n".join([_HEAD, *functions, _entry(len(chunks))]),
        scratch_words=slot_count * BLOCK_ROWS,
    )


def _shared_slots(program: Listing, chunks: Sequence[Sequence[Step]]) -> tuple[dict[int, int], int]:
    """A slot for each value that a later chunk reads and that is no output; their number."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, chunk in enumerate(chunks):
        for step in chunk:
            first[step.value] = number
            last |= dict.fromkeys(step.inputs(), number)
    slots: dict[int, int] = {}
    free: list[int] = []
    count = 0
    for number in range(len(chunks)):
        for value, chunk_number in first.items():
            if (
                chunk_number == number
                and last.get(value, number) > number
                and value not in program.homes
            ):
                if not free:
                    free.append(count)
                    count += 1
                slots[value] = free.pop()
        free += [slots[value] for value in slots if last[value] == number]
    return slots, count


def _chunk_function(
    program: Listing, chunk: Sequence[Step], number: int, slots: dict[int, int]
) -> str:
    lines = [
        f"KB_TARGET static void chunk_{number}(const struct air_block *block, uint32_t *scratch)",
        "{",
        "    const uint32_t *const *columns = block->columns;",
        "    const uint32_t *publics = block->publics;",
        "    uint32_t *restrict outputs = block->outputs;",
        "    (void)columns, (void)publics, (void)outputs, (void)scratch;",
        "    for (uint32_t row = 0; row < AIR_BLOCK_ROWS; row += KB_LANES) {",
    ]
    known: set[int] = set()
    for step in chunk:
        for value in step.inputs():
            if value not in known:
                known.add(value)
                lines.append(f"        kbv v{value} = kbv_load({_place(program, value, slots)});")
        lines += _step_lines(program, step, slots)
        known.add(step.value)
    return "\n".join([*lines, "    }", "}", ""])


def _step_lines(program: Listing, step: Step, slots: dict[int, int]) -> Iterator[str]:
    a = "" if step.code in TAKES_NONE else f"v{step.a}"
    b = _scalar(program, step.b) if step.code in TAKES_SCALAR else f"v{step.b}"
    formula = _FORMULAS[step.code].format(a=a, b=b)
    if step.code is Code.COPY:
        yield f"        kbv_store({_output(-1 - step.value)}, {formula});"
        return
    yield f"        kbv v{step.value} = {formula};"
    if step.value in program.homes or step.value in slots:
        yield f"        kbv_store({_place(program, step.value, slots)}, v{step.value});"


def _place(program: Listing, value: int, slots: dict[int, int]) -> str:
    """Where a value lies that is not of this chunk, or that others are to find."""
    if value in program.operand_numbers:
        return f"columns[{program.operand_numbers[value]}] + row"
    if value in program.homes:
        return _output(program.homes[value])
    return f"scratch + {slots[value] * BLOCK_ROWS} + row"


def _output(number: int) -> str:
    return f"outputs + {number * BLOCK_ROWS} + row"


def _scalar(program: Listing, number: int) -> str:
    if number < len(program.constants):
        return f"kbv_set1({(program.constants[number] << 32) % MODULUS:#x}u)"
    return f"kbv_set1(publics[{number - len(program.constants)}])"


_HEAD: Final = """#include "air/tape.h"
"""


def _entry(chunk_count: int) -> str:
    calls = "\n".join(f"    chunk_{number}(block, scratch);" for number in range(chunk_count))
    return f"""KB_TARGET int AIR_EVALUATE(const struct air_program *program,
                           const struct air_block *block, uint32_t *scratch)
{{
    (void)program, (void)scratch;
    if (block->rows != AIR_BLOCK_ROWS) {{
        return -1;
    }}
{calls}
    return 0;
}}
"""


def kernel_source(table: GeneratedTable, kernel: str) -> str:
    """The C file of one instruction set; it includes the table's body."""
    source = f"""#define KB_ISA_{kernel.upper()}
#include "field/kb31_lanes.h"

#define AIR_EVALUATE {table.symbol}_{kernel}
#include "{table.symbol}.h"
"""
    if kernel == "scalar":
        return source
    return (
        f"#if defined(__x86_64__)\n{source}#else\ntypedef int {table.symbol}_needs_x86;\n#endif\n"
    )


def _registry(tables: Sequence[GeneratedTable]) -> str:
    """All generated code, by digest."""
    lines = ['#include "air/tape.h"', ""]
    for table in tables:
        for kernel in SHIPPED_KERNELS:
            lines += [
                f"int {table.symbol}_{kernel}(const struct air_program *,",
                "    const struct air_block *, uint32_t *);",
            ]
        digest = ", ".join(f"{byte:#04x}" for byte in table.digest)
        lines += [
            f"static const struct air_generated {table.symbol} = {{",
            f"    .digest = {{{digest}}},",
            f"    .scratch_words = {table.scratch_words},",
            f"    .operand_count = {len(table.program.table.operands)},",
            f"    .output_count = {len(table.program.table.outputs)},",
            f"    .public_count = {table.program.public_count},",
            "    .evaluators = {",
            "        [ISA_SCALAR] = NULL,",
            "#if defined(__x86_64__)",
            *(
                f"        [ISA_{kernel.upper()}] = {table.symbol}_{kernel},"
                for kernel in SHIPPED_KERNELS
            ),
            "#endif",
            "    },",
            "};",
            "",
        ]
    pointers = "".join(f"    &{table.symbol},\n" for table in tables)
    return "\n".join(
        [
            *lines,
            "extern const struct air_generated *const AIR_GENERATED[];",
            "extern const size_t AIR_GENERATED_COUNT;",
            "const struct air_generated *const AIR_GENERATED[] = {",
            f"{pointers}    NULL,",
            "};",
            f"const size_t AIR_GENERATED_COUNT = {len(tables)};",
            "",
        ]
    )
