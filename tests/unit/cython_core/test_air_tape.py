"""Programs: the interpreter on every instruction set and generated code, against the evaluator."""

import ctypes
import random
import subprocess
import sys
from pathlib import Path

import pytest

from cython_core.air import codegen
from cython_core.air._generated import generated_digests
from cython_core.air._tape import BLOCK_ROWS, Program, available_kernels
from cython_core.air.language import Bus, TableBuilder
from cython_core.air.program import Code, assemble, compile_table, program_digest
from cython_core.air.table import MODULUS, System
from cython_core.air.weaken import without_constraint
from cython_core.chips import shipped_systems
from tests.unit.cython_core.air_cases import (
    expected_outputs,
    pack,
    random_operands,
    random_table,
    small_system,
    unpack,
)

SOURCES = Path(codegen.__file__).resolve().parent.parent
SEEDS = range(6)
PUBLICS = [5, MODULUS - 1, 1234567]
SHIPPED_PUBLICS = list(range(7, 7 + max(system.public_count for system in shipped_systems())))
SHIPPED = {table.name: table for system in shipped_systems() for table in system.tables}


class Block(ctypes.Structure):
    """struct air_block."""

    _fields_ = (
        ("rows", ctypes.c_uint32),
        ("columns", ctypes.POINTER(ctypes.c_void_p)),
        ("publics", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
    )


def montgomery(values: list[int]) -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * max(len(values), 1))(*((v << 32) % MODULUS for v in values))


def run_generated(
    generated: codegen.GeneratedTable,
    kernel: str,
    folder: Path,
    operands: list[list[int]],
    publics: list[int],
) -> list[list[int]]:
    """Compiles the table's code for one instruction set and calls it."""
    (folder / f"{generated.symbol}.h").write_text(generated.body)
    source = folder / f"{generated.symbol}_{kernel}.c"
    source.write_text(codegen.kernel_source(generated, kernel))
    library = folder / f"{kernel}.so"
    flags = ["-O1", "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, f"-I{SOURCES}", source, "-o", library], check=True)
    function = getattr(ctypes.CDLL(str(library)), f"{generated.symbol}_{kernel}")
    columns = [montgomery(values) for values in operands]
    pointers = (ctypes.c_void_p * len(columns))(*map(ctypes.addressof, columns))
    public_words = montgomery(publics)
    outputs = (ctypes.c_uint32 * (len(generated.program.table.outputs) * BLOCK_ROWS))()
    scratch = (ctypes.c_uint32 * (generated.scratch_words + 1))()
    block = Block(BLOCK_ROWS, pointers, ctypes.addressof(public_words), ctypes.addressof(outputs))
    assert function(None, ctypes.byref(block), ctypes.byref(scratch)) == 0
    one = pow(2, -32, MODULUS)
    plain = [word * one % MODULUS for word in outputs]
    block.rows = BLOCK_ROWS - 1
    assert function(None, ctypes.byref(block), ctypes.byref(scratch)) == -1
    return [plain[i : i + BLOCK_ROWS] for i in range(0, len(plain), BLOCK_ROWS)]


@pytest.mark.parametrize("kernel", available_kernels())
@pytest.mark.parametrize("seed", SEEDS)
def test_the_interpreter_gives_the_evaluator_s_values(seed: int, kernel: str) -> None:
    table = random_table(seed)
    operands = random_operands(table, seed)
    program = Program(table, kernel)
    assert (program.kernel, program.is_generated) == (kernel, False)
    outputs = unpack(program.evaluate(pack(operands), pack([PUBLICS])))
    assert outputs == expected_outputs(table, operands, PUBLICS)


@pytest.mark.parametrize(
    ("seed", "chunk_operations", "kernel"),
    [(0, 200, "scalar"), (3, 1, "scalar"), *((1, 7, kernel) for kernel in available_kernels())],
)
def test_generated_code_gives_the_evaluator_s_values(
    seed: int, chunk_operations: int, kernel: str, tmp_path: Path
) -> None:
    """Small chunks make values cross from one to a later one by scratch memory and by outputs."""
    table = random_table(seed, operations=60)
    generated = codegen.generate(table, chunk_operations)
    assert (generated.scratch_words > 0) == (chunk_operations < 200)
    operands = random_operands(table, seed)
    outputs = run_generated(generated, kernel, tmp_path, operands, PUBLICS)
    assert outputs == expected_outputs(table, operands, PUBLICS)


def test_all_codes_are_met() -> None:
    met = {
        code
        for seed in SEEDS
        for code, *_ in assemble(compile_table(random_table(seed))).instructions
    }
    assert met == set(Code)


def test_slots_are_used_again() -> None:
    table = TableBuilder("chain")
    a = table.main("a")
    total = a + 3
    for _ in range(50):
        total = (total + a) * 3 + a.next
    table.require(total, "long")
    built = table.build()
    assert Program(built).slot_count == 1
    assert Program(built).instruction_count == 151


def test_outputs_may_be_columns_and_constants_and_the_same() -> None:
    bus = Bus("bus", 3)
    table = TableBuilder("copies")
    a = table.main("a")
    table.require(a * a - a, "boolean")
    table.require((a * a - a) * 1, "the same again")
    table.send(bus, [a, 7, table.public(1)], table.public(1))
    table.send(bus, [a * a - a, a.next, 0])
    built = table.build([bus])
    operands = random_operands(built, 3)
    for kernel in available_kernels():
        outputs = unpack(Program(built, kernel).evaluate(pack(operands), pack([[9, 8]])))
        assert outputs == expected_outputs(built, operands, [9, 8])


def test_a_table_without_rules_has_no_outputs() -> None:
    table = TableBuilder("nothing")
    table.main("a")
    assert Program(table.build()).evaluate(b"") == b""


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tables_run_generated_code(name: str) -> None:
    table = SHIPPED[name]
    assert program_digest(table) in generated_digests()
    for kernel in available_kernels():
        program = Program(table, kernel)
        assert program.is_generated == (kernel in codegen.SHIPPED_KERNELS)
        assert not Program(table, kernel, generated=False).is_generated


@pytest.mark.parametrize("name", SHIPPED)
def test_generated_code_of_shipped_tables_and_the_interpreter_agree(name: str) -> None:
    table = SHIPPED[name]
    operands, publics = pack(random_operands(table, 1)), pack([SHIPPED_PUBLICS])
    values = {
        Program(table, kernel, generated=generated).evaluate(operands, publics)
        for kernel in available_kernels()
        for generated in (True, False)
    }
    assert len(values) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tables_have_the_evaluator_s_values(name: str) -> None:
    table = SHIPPED[name]
    operands = random_operands(table, 2)
    outputs = unpack(Program(table).evaluate(pack(operands), pack([SHIPPED_PUBLICS])))
    assert outputs == expected_outputs(table, operands, SHIPPED_PUBLICS)


@pytest.mark.parametrize("name", SHIPPED)
def test_buses_alone_have_the_outputs_after_the_constraints(name: str) -> None:
    table = SHIPPED[name]
    alone = table.buses_alone
    operands = random_operands(table, 3)
    by_node = dict(zip(table.operands, operands, strict=True))
    expected = expected_outputs(table, operands, SHIPPED_PUBLICS)[len(table.constraints) :]
    own = [by_node[node] for node in alone.operands]
    assert expected_outputs(alone, own, SHIPPED_PUBLICS) == expected
    assert len(alone.nodes) <= len(table.nodes)
    assert bool(table.constraints) or alone.nodes == table.nodes
    assert (alone.groups, alone.constraints) == (table.groups, ())


def test_a_changed_table_does_not_run_the_code_of_the_old() -> None:
    table = next(iter(SHIPPED.values()))
    changed = without_constraint(table, 0)
    assert program_digest(changed) != program_digest(table)
    assert not Program(changed).is_generated


def test_the_digest_names_nodes_and_outputs() -> None:
    seen = {program_digest(random_table(seed)) for seed in SEEDS}
    table = random_table(0)
    for index in range(len(table.constraints)):
        seen.add(program_digest(without_constraint(table, index)))
    assert len(seen) == len(SEEDS) + len(table.constraints)
    assert program_digest(random_table(0)) == program_digest(table)


def test_sources_are_written_only_when_they_change(tmp_path: Path) -> None:
    systems = [small_system(), System((random_table(1),), (3,), 3)]
    written = codegen.write_sources(systems, tmp_path)
    assert {path.suffix for path in written} == {".c", ".h"}
    stamps = {path: path.stat().st_mtime_ns for path in written}
    assert len(written) == 1 + 3 * (1 + len(codegen.SHIPPED_KERNELS))
    assert codegen.write_sources(systems, tmp_path) == written
    assert {path: path.stat().st_mtime_ns for path in written} == stamps
    fewer = codegen.write_sources(systems[:1], tmp_path)
    assert sorted(tmp_path.iterdir()) == fewer
    assert len(fewer) < len(written)


def test_a_table_of_two_systems_is_written_once(tmp_path: Path) -> None:
    once = codegen.write_sources([small_system()], tmp_path)
    assert codegen.write_sources([small_system(), small_system()], tmp_path) == once


WITHOUT_EXTENSIONS = """
import importlib.machinery, pathlib, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        loader = getattr(spec, "loader", None)
        is_ours = name.startswith("cython_core")
        if name == "blake3" or (
            is_ours and isinstance(loader, importlib.machinery.ExtensionFileLoader)
        ):
            raise ImportError(f"the build imports {name}")
sys.meta_path.insert(0, Refuse())
from cython_core.air.codegen import write_sources
from cython_core.chips import shipped_systems
from cython_core.zkvm.fill_code import source
from cython_core.zkvm.row_chips import ROW_CHIPS
assert all(chip.name in source(ROW_CHIPS) for chip in ROW_CHIPS)
print(len(write_sources(shipped_systems(), pathlib.Path(sys.argv[1]))))
"""


def test_code_is_generated_before_anything_is_built(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTENSIONS, str(tmp_path)],
        cwd=SOURCES.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    expected = 1 + len(SHIPPED) * (1 + len(codegen.SHIPPED_KERNELS))
    assert (finished.stderr, finished.stdout) == ("", f"{expected}\n")


def test_the_door_checks_lengths_and_values() -> None:
    table = random_table(0)
    program = Program(table)
    operands = pack(random_operands(table, 0))
    publics = pack([PUBLICS])
    for arguments, message in (
        ((operands[4:], publics), f"{program.operand_count} operands have {len(operands)} bytes"),
        ((operands, publics[4:]), "3 public values are read"),
        (
            (MODULUS.to_bytes(4, "little") + operands[4:], publics),
            f"{MODULUS} is not an element of the field",
        ),
        (
            (operands, publics[:8] + b"\xff" * 4),
            f"{2**32 - 1} is not an element of the field",
        ),
    ):
        with pytest.raises(ValueError) as caught:
            program.evaluate(*arguments)
        assert str(caught.value) == message
    with pytest.raises(ValueError) as caught:
        Program(table, "neon")
    assert str(caught.value) == "there is no kernel 'neon'"


def test_values_do_not_depend_on_what_ran_before() -> None:
    """Slots and scratch memory are written before they are read."""
    table = random_table(4)
    operands = pack(random_operands(table, random.Random(4).randrange(9)))
    program = Program(table)
    once = program.evaluate(operands, pack([PUBLICS]))
    assert program.evaluate(operands, pack([PUBLICS]), repetitions=3) == once
