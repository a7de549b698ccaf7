"""The machine, reference and compiled: instructions, corner cases, traps, limits, random guests."""

import random
from collections.abc import Callable

import pytest
from blake3 import blake3

from cython_core.vm import _executor
from cython_core.vm.errors import GuestTrap, TrapKind
from cython_core.vm.machine import Limits, run_reference
from cython_core.vm.operations import CLOCK_MAX, HALTED, P256
from cython_core.vm.program import Program
from cython_core.vm.records import INACTIVE_LINE, NarrowRow, Row, WideRow, decode_rows
from cython_core.vm.run import execute, executor, outcome, trace
from cython_core.vm.wide import compress, multiply, number
from tests.unit.cython_core.vm_programs import (
    CODE_BASE,
    FIELD,
    HALT,
    IMAGE_BASE,
    Guest,
    addp,
    b3,
    branch,
    copy,
    immediate,
    jal,
    jalr,
    load,
    mulp,
    program_of,
    random_guest,
    read_answer,
    read_input,
    register,
    set_register,
    show,
    sqrp,
    store,
    upper,
    words_of,
)

QUICK, CAMPAIGN = 100, 4_000
RANDOM_SEED = 20_260


def compiled_rows(program: Program, inputs: bytes, answers: bytes, limits: Limits) -> list[Row]:
    pieces = list(trace(program, inputs, answers, limits))
    return decode_rows(*(b"".join(part) for part in zip(*pieces, strict=True)))


def all_agree(
    program: Program, inputs: bytes = b"", answers: bytes = b"", limits: Limits | None = None
) -> list[Row]:
    """The rows of a run, which the three machines must agree on; so must their ends."""
    bounds = limits or Limits(10_000)
    rows, machine = run_reference(program, inputs, answers, bounds)
    assert compiled_rows(program, inputs, answers, bounds) == rows
    plain = execute(program, inputs, answers, bounds)
    ended = []
    assert list(trace(program, inputs, answers, bounds, ended.append))
    assert ended == [plain]
    assert plain.cycles == len(rows) == machine.clock
    assert plain.pages == len(machine.pages)
    shown: list[list[int]] = [[] for _ in range(8)]
    for place, word in machine.outputs:
        shown[place].append(word)
    assert plain.outputs == tuple((len(words), words[-1] if words else 0) for words in shown)
    return rows


def trapped(
    program: Program, inputs: bytes = b"", answers: bytes = b"", limits: Limits | None = None
) -> GuestTrap:
    """The trap of a run, the same from all three machines."""
    bounds = limits or Limits(1_000)
    caught = []
    runs: list[Callable[[], object]] = [
        lambda: run_reference(program, inputs, answers, bounds),
        lambda: execute(program, inputs, answers, bounds),
        lambda: list(trace(program, inputs, answers, bounds)),
    ]
    for attempt in runs:
        with pytest.raises(GuestTrap) as error:
            attempt()
        caught.append(error.value)
    assert len({(trap.kind, trap.pc, trap.cycles, trap.address) for trap in caught}) == 1
    return caught[0]


def computed(name: str, a: int, b: int) -> int:
    """rd of a register instruction, for distinct and for equal registers."""
    start = [*set_register(5, a), *set_register(6, b)]
    rows = all_agree(program_of(*start, register(name, 7, 5, 6), HALT))
    assert isinstance(rows[-2], NarrowRow)
    for rd, rs1, rs2 in ((5, 5, 6), (6, 5, 6)):
        again = all_agree(program_of(*start, register(name, rd, rs1, rs2), HALT))
        assert again[-2].wv == rows[-2].wv  # type: ignore[union-attr]
    return rows[-2].wv


LEAST, MOST, ALL = 0x80000000, 0x7FFFFFFF, 0xFFFFFFFF
RESULTS = [
    ("add", ALL, 1, 0), ("add", MOST, 1, LEAST), ("sub", 0, 1, ALL), ("sub", LEAST, 1, MOST),
    ("slt", LEAST, MOST, 1), ("slt", MOST, LEAST, 0), ("slt", ALL, 0, 1), ("slt", 5, 5, 0),
    ("sltu", ALL, 0, 0), ("sltu", 0, ALL, 1), ("sltu", 5, 5, 0),
    ("xor", 0xF0F0F0F0, 0xFF00FF00, 0x0FF00FF0), ("or", 0xF0F0F0F0, 0x0F0F0000, 0xFFFFF0F0),
    ("and", 0xF0F0F0F0, 0xFF00FF00, 0xF000F000),
    ("sll", 1, 31, LEAST), ("sll", 1, 32, 1), ("sll", 3, 0xFFFFFFE4, 48), ("sll", ALL, 0, ALL),
    ("srl", LEAST, 31, 1), ("srl", LEAST, 33, 0x40000000), ("srl", ALL, 0, ALL),
    ("sra", LEAST, 31, ALL), ("sra", LEAST, 33, 0xC0000000), ("sra", MOST, 30, 1),
    ("sra", ALL, 0, ALL),
    ("mul", ALL, ALL, 1), ("mul", LEAST, 2, 0), ("mul", 0x12345678, 0x9ABCDEF0, 0x242D2080),
    ("mulh", ALL, ALL, 0), ("mulh", LEAST, LEAST, 0x40000000), ("mulh", LEAST, 1, ALL),
    ("mulh", MOST, LEAST, 0xC0000000), ("mulh", ALL, 1, ALL), ("mulh", ALL, 0, 0),
    ("mulhsu", ALL, ALL, ALL), ("mulhsu", LEAST, ALL, LEAST), ("mulhsu", 1, ALL, 0),
    ("mulhsu", MOST, ALL, 0x7FFFFFFE), ("mulhsu", ALL, 0, 0),
    ("mulhu", ALL, ALL, 0xFFFFFFFE), ("mulhu", LEAST, 2, 1), ("mulhu", LEAST, LEAST, 0x40000000),
    ("div", 7, 0xFFFFFFFE, 0xFFFFFFFD), ("div", 0xFFFFFFF9, 2, 0xFFFFFFFD), ("div", 5, 0, ALL),
    ("div", LEAST, ALL, LEAST), ("div", LEAST, 0, ALL), ("div", ALL, 0, ALL), ("div", 0, 5, 0),
    ("divu", 7, 2, 3), ("divu", 5, 0, ALL), ("divu", LEAST, ALL, 0), ("divu", ALL, 1, ALL),
    ("rem", 7, 0xFFFFFFFE, 1), ("rem", 0xFFFFFFF9, 2, ALL), ("rem", 5, 0, 5),
    ("rem", LEAST, ALL, 0), ("rem", 0xFFFFFFF9, 0, 0xFFFFFFF9), ("rem", LEAST, 0, LEAST),
    ("remu", 7, 2, 1), ("remu", 5, 0, 5), ("remu", LEAST, ALL, LEAST), ("remu", ALL, ALL, 0),
]  # fmt: skip
"""Hand-picked: the tables of the RISC-V manual's chapter 7, and the ends of every range."""


@pytest.mark.parametrize(("name", "a", "b", "expected"), RESULTS)
def test_register_instructions(name: str, a: int, b: int, expected: int) -> None:
    assert computed(name, a, b) == expected


def last_written(*words: int, image: bytes = b"", inputs: bytes = b"") -> int:
    """wv of the step before HALT."""
    row = all_agree(program_of(*words, HALT, image=image), inputs)[-2]
    assert isinstance(row, NarrowRow)
    return row.wv


def test_equal_sources() -> None:
    assert last_written(*set_register(5, 7), register("mul", 6, 5, 5)) == 49
    assert last_written(*set_register(5, 7), register("sub", 5, 5, 5)) == 0
    assert last_written(*set_register(5, LEAST), register("mulhu", 5, 5, 5)) == 0x40000000


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (immediate("addi", 6, 5, -1), 0x8000000F),
        (immediate("slti", 6, 5, 0), 1),
        (immediate("sltiu", 6, 5, -1), 1),
        (immediate("sltiu", 6, 0, 1), 1),
        (immediate("xori", 6, 5, -1), 0x7FFFFFEF),
        (immediate("ori", 6, 5, -256), 0xFFFFFF10),
        (immediate("andi", 6, 5, -16), 0x80000010),
        (immediate("slli", 6, 5, 31), 0),
        (immediate("srli", 6, 5, 4), 0x08000001),
        (immediate("srai", 6, 5, 4), 0xF8000001),
        (upper(6, 0x12345000), 0x12345000),
        (upper(6, 0xFFFFF000, from_pc=True), CODE_BASE + 8 - 0x1000),
    ],
)
def test_immediate_instructions(word: int, expected: int) -> None:
    assert last_written(*set_register(5, 0x80000010), word) == expected


def test_x0_is_never_written_and_always_zero() -> None:
    rows = all_agree(
        program_of(
            immediate("addi", 0, 0, 5),
            *set_register(5, IMAGE_BASE),
            load("lw", 0, 5, 0),
            jal(0, 4),
            register("add", 6, 0, 0),
            HALT,
            image=b"\xff" * 4,
        )
    )
    assert [row.wv for row in rows if isinstance(row, NarrowRow) and row.rd == 0] == [0] * 4
    written = rows[-2]
    assert isinstance(written, NarrowRow)
    assert (written.rd, written.wv, written.t1, written.v1) == (6, 0, 0, 0)


IMAGE = bytes([0x80, 0x7F, 0xFE, 0x01, 0x11, 0x22, 0x33, 0x44])
LOADED = {
    ("lb", 0): 0xFFFFFF80, ("lb", 1): 0x7F, ("lb", 2): 0xFFFFFFFE, ("lb", 3): 1,
    ("lbu", 0): 0x80, ("lbu", 2): 0xFE, ("lh", 0): 0x7F80, ("lh", 2): 0x01FE,
    ("lhu", 0): 0x7F80, ("lw", 0): 0x01FE7F80, ("lw", 4): 0x44332211, ("lw", 8): 0, ("lw", -4): 0,
}  # fmt: skip


@pytest.mark.parametrize(("name", "offset"), LOADED)
def test_loads(name: str, offset: int) -> None:
    words = [*set_register(5, IMAGE_BASE), load(name, 6, 5, offset)]
    assert last_written(*words, image=IMAGE) == LOADED[name, offset]


def test_sign_of_a_half_word() -> None:
    words = [*set_register(5, IMAGE_BASE), load("lh", 5, 5, 0)]
    assert last_written(*words, image=b"\x00\x80\x00\x00") == 0xFFFF8000
    assert last_written(*words[:-1], load("lhu", 5, 5, 0), image=b"\x00\x80\0\0") == 0x8000


@pytest.mark.parametrize(
    ("name", "offset", "expected"),
    [
        ("sb", 0, 0x01FE7FDD), ("sb", 1, 0x01FEDD80), ("sb", 2, 0x01DD7F80), ("sb", 3, 0xDDFE7F80),
        ("sh", 0, 0x01FECCDD), ("sh", 2, 0xCCDD7F80), ("sw", 0, 0xAABBCCDD),
    ],
)  # fmt: skip
def test_stores_keep_the_rest_of_the_word(name: str, offset: int, expected: int) -> None:
    words = [*set_register(5, IMAGE_BASE), *set_register(6, 0xAABBCCDD)]
    words += [store(name, 6, 5, offset), load("lw", 7, 5, 0)]
    assert last_written(*words, image=IMAGE) == expected


def test_a_store_of_its_own_address() -> None:
    words = [*set_register(5, IMAGE_BASE), store("sw", 5, 5, 0), load("lw", 6, 5, 0)]
    assert last_written(*words) == IMAGE_BASE


def test_addresses_wrap_around() -> None:
    words = [store("sw", 0, 0, -4), load("lw", 5, 0, -4)]
    rows = all_agree(program_of(*words, HALT))
    assert isinstance(rows[0], NarrowRow)
    assert rows[0].ma == 0xFFFFFFFC


TAKEN = [
    ("beq", 5, 5, True), ("beq", 5, 6, False), ("bne", 5, 6, True), ("bne", 5, 5, False),
    ("blt", LEAST, MOST, True), ("blt", MOST, LEAST, False), ("blt", 5, 5, False),
    ("bge", MOST, LEAST, True), ("bge", LEAST, MOST, False), ("bge", 5, 5, True),
    ("bltu", MOST, LEAST, True), ("bltu", LEAST, MOST, False), ("bltu", 5, 5, False),
    ("bgeu", LEAST, MOST, True), ("bgeu", MOST, LEAST, False), ("bgeu", 5, 5, True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "a", "b", "is_taken"), TAKEN)
def test_branches(name: str, a: int, b: int, is_taken: bool) -> None:
    start = [*set_register(5, a), *set_register(6, b)]
    rows = all_agree(program_of(*start, branch(name, 5, 6, 8), HALT, HALT))
    assert rows[4].npc == CODE_BASE + (24 if is_taken else 20)


def test_jumps_link_and_jump() -> None:
    assert last_written(jal(1, 8), HALT) == CODE_BASE + 4
    target = CODE_BASE + 16
    words = [*set_register(1, target + 3), jalr(1, 1, -2), HALT]
    rows = all_agree(program_of(*words, HALT))
    assert rows[2].npc == target
    assert isinstance(rows[2], NarrowRow)
    assert rows[2].wv == CODE_BASE + 12


def test_pointers_name_the_last_row_that_touched() -> None:
    rows = all_agree(
        program_of(
            *set_register(5, IMAGE_BASE),  # 1, 2
            store("sw", 5, 5, 0),  # 3
            load("lb", 5, 5, 1),  # 4
            register("add", 6, 5, 5),  # 5
            register("add", 6, 6, 5),  # 6
            HALT,  # 7
        )
    )
    narrow = [row for row in rows if isinstance(row, NarrowRow)]
    assert [row.t1 for row in narrow] == [0, 1, 2, 3, 4, 5, 0]
    assert [row.t2 for row in narrow] == [0, 0, 0, 0, 0, 5, 0]
    assert [row.tm for row in narrow] == [0, 0, 0, 3, 0, 0, 0]
    assert [row.ma for row in narrow] == [1, 1, IMAGE_BASE, IMAGE_BASE, 1, 1, 1]
    assert narrow[-1].npc == HALTED


def test_compression_is_blake3() -> None:
    message = bytes(range(64))
    vector = number([0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C,
                     0x1F83D9AB, 0x5BE0CD19]).to_bytes(32, "little")  # fmt: skip
    assert _executor.compress(vector, message, 11) == blake3(message).digest()
    assert _executor.compress(message[:32], message, 27) == (
        blake3(message, key=message[:32]).digest()
    )


def test_wide_operations_equal_their_twins() -> None:
    rng = random.Random(RANDOM_SEED)
    edges = [0, 1, P256 - 1, P256, P256 + 1, 2**256 - 1, 2**255, 2**32 + 977]
    factors = [(a, b) for a in edges for b in edges]
    factors += [(rng.getrandbits(256), rng.getrandbits(256)) for _ in range(2_000)]
    for a, b in factors:
        left, right = a.to_bytes(32, "little"), b.to_bytes(32, "little")
        product = _executor.multiply(left, right)
        assert int.from_bytes(product, "little") == a * b % P256
        assert words_of(product) == multiply(words_of(left), words_of(right))
    for _ in range(100):
        chaining, block, flags = rng.randbytes(32), rng.randbytes(64), rng.randrange(256)
        assert words_of(_executor.compress(chaining, block, flags)) == (
            compress(words_of(chaining), words_of(block), flags)
        )


def test_wide_rows() -> None:
    image = bytes(range(256))
    start = [*set_register(5, IMAGE_BASE), *set_register(6, IMAGE_BASE + 96)]
    rows = all_agree(program_of(*start, b3(5, 6, 27), mulp(6, 5), load("lw", 7, 6, 0), HALT,
                                image=image))  # fmt: skip
    first, second, after = rows[4:7]
    assert isinstance(first, WideRow)
    assert isinstance(second, WideRow)
    assert isinstance(after, NarrowRow)
    assert first.out == words_of(blake3(image[:64], key=image[96:128]).digest())
    assert [line.base for line in (first.a, first.b, first.c)] == [
        IMAGE_BASE, IMAGE_BASE + 32, IMAGE_BASE + 96,
    ]  # fmt: skip
    assert second.a.words == first.out
    assert second.a.clocks == second.c.clocks == (5,) * 8
    assert number(second.out) == number(first.out) * number(words_of(image[:32])) % P256
    assert (after.tm, after.mv) == (6, first.out[0])


EDGES = [0, 1, P256 - 1, P256, P256 + 1, 2**256 - 1, 2**255, 2**32 + 977, 2**256 - 2**32]


def test_field_operations_are_arithmetic_modulo_p() -> None:
    """For any operands; in one run, each on a fresh pair of lines."""
    rng = random.Random(RANDOM_SEED + 1)
    numbers = [(a, b) for a in EDGES for b in EDGES]
    numbers += [(rng.getrandbits(256), rng.getrandbits(rng.choice((9, 200, 256)))) for _ in EDGES]
    words = [*set_register(5, IMAGE_BASE), *set_register(6, IMAGE_BASE + 32)]
    words += set_register(7, 64)
    for _ in numbers:
        for maker in FIELD:
            words += [maker(5, 6), register("add", 5, 5, 7), register("add", 6, 6, 7)]
    pair = [a.to_bytes(32, "little") + b.to_bytes(32, "little") for a, b in numbers]
    program = program_of(*words, HALT, image=b"".join(both * len(FIELD) for both in pair))
    rows = [row for row in all_agree(program) if isinstance(row, WideRow)]
    for at, (a, b) in enumerate(numbers):
        mine = rows[len(FIELD) * at : len(FIELD) * (at + 1)]
        assert [row.op for row in mine] == list(range(41, 46))
        results = [number(row.out) for row in mine]
        assert results == [a * b % P256, a * a % P256, (a + b) % P256, (b - a) % P256, a]
        for row in mine:
            assert (row.a.words, row.b, row.c.words) == (
                words_of(pair[at][:32]), INACTIVE_LINE, words_of(pair[at][32:])
            )  # fmt: skip


def wide_at(operation: int, v1: int, v2: int) -> Program:
    return program_of(*set_register(5, v1), *set_register(6, v2), operation, HALT)


TRAPS = {
    "zero word": (program_of(0), TrapKind.ILLEGAL, CODE_BASE, 0, 0),
    "ecall": (program_of(0x73), TrapKind.ILLEGAL, CODE_BASE, 0, 0),
    "ebreak": (program_of(jal(0, 4), 0x00100073), TrapKind.ILLEGAL, CODE_BASE + 4, 1, 0),
    "word misaligned": (program_of(load("lw", 5, 0, 2)), TrapKind.MISALIGNED, CODE_BASE, 0, 2),
    "half misaligned": (program_of(load("lhu", 0, 0, 3)), TrapKind.MISALIGNED, CODE_BASE, 0, 3),
    "store misaligned": (program_of(store("sh", 0, 0, 1)), TrapKind.MISALIGNED, CODE_BASE, 0, 1),
    "falls out": (program_of(jal(0, 4)), TrapKind.FETCH, CODE_BASE + 4, 1, CODE_BASE),
    "falls out after a step": (
        program_of(immediate("addi", 5, 0, 1), immediate("addi", 5, 0, 1)),
        TrapKind.FETCH, CODE_BASE + 8, 2, CODE_BASE + 4,
    ),
    "jumps back out": (program_of(jal(0, -4)), TrapKind.FETCH, CODE_BASE - 4, 1, CODE_BASE),
    "jumps between": (program_of(jal(0, 2)), TrapKind.FETCH, CODE_BASE + 2, 1, CODE_BASE),
    "branches out": (
        program_of(branch("beq", 0, 0, 4094)), TrapKind.FETCH, CODE_BASE + 4094, 1, CODE_BASE,
    ),
    "calls zero": (program_of(jalr(1, 0, 1)), TrapKind.FETCH, 0, 1, CODE_BASE),
    "calls between": (
        program_of(*set_register(5, CODE_BASE), jalr(0, 5, 6)),
        TrapKind.FETCH, CODE_BASE + 6, 3, CODE_BASE + 8,
    ),
    "input": (program_of(read_input(5), HALT), TrapKind.INPUT, CODE_BASE, 0, 0),
    "answer": (program_of(read_answer(5), HALT), TrapKind.INPUT, CODE_BASE, 0, 0),
    "block at 32": (
        wide_at(b3(5, 6), IMAGE_BASE + 32, IMAGE_BASE + 64),
        TrapKind.HOST, CODE_BASE + 16, 4, IMAGE_BASE + 32,
    ),
    "chaining at 16": (
        wide_at(b3(5, 6), IMAGE_BASE, IMAGE_BASE + 80),
        TrapKind.HOST, CODE_BASE + 16, 4, IMAGE_BASE + 80,
    ),
    "chaining in the block": (
        wide_at(b3(5, 6), IMAGE_BASE, IMAGE_BASE + 32),
        TrapKind.HOST, CODE_BASE + 16, 4, IMAGE_BASE + 32,
    ),
    "copy to itself": (
        wide_at(copy(5, 6), IMAGE_BASE, IMAGE_BASE),
        TrapKind.HOST, CODE_BASE + 16, 4, IMAGE_BASE,
    ),
    "term at 4": (
        wide_at(addp(5, 6), IMAGE_BASE, IMAGE_BASE + 36),
        TrapKind.HOST, CODE_BASE + 16, 4, IMAGE_BASE + 36,
    ),
    "root at 8": (
        wide_at(sqrp(5, 6), IMAGE_BASE + 8, IMAGE_BASE),
        TrapKind.HOST, CODE_BASE + 16, 4, IMAGE_BASE + 8,
    ),
    "square": (
        wide_at(mulp(5, 6), IMAGE_BASE, IMAGE_BASE),
        TrapKind.HOST, CODE_BASE + 16, 4, IMAGE_BASE,
    ),
    "factor at 16": (
        wide_at(mulp(5, 6), IMAGE_BASE + 16, IMAGE_BASE),
        TrapKind.HOST, CODE_BASE + 16, 4, IMAGE_BASE + 16,
    ),
    "endless": (program_of(jal(0, 0)), TrapKind.CYCLES, CODE_BASE, 1_000, 0),
    "endless but one": (
        program_of(jal(0, 4), immediate("addi", 5, 5, 1), jal(0, -4)),
        TrapKind.CYCLES, CODE_BASE + 8, 1_000, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAPS)
def test_traps(name: str) -> None:
    program, kind, pc, cycles, address = TRAPS[name]
    trap = trapped(program)
    assert (trap.kind, trap.pc, trap.cycles, trap.address) == (kind, pc, cycles, address)


def test_a_trap_says_what_why_and_what_to_do() -> None:
    trap = trapped(program_of(load("lw", 5, 0, 2)))
    assert trap.what == "the guest stopped at pc 0x00001000 after 0 cycles: misaligned-access"
    assert trap.why == "address 0x00000002 is not a multiple of the access's size"
    assert trap.do == "align the access; build with -mstrict-align"


@pytest.mark.parametrize("cycles", range(1, 12))
def test_the_cycle_limit_is_exact(cycles: int) -> None:
    """A loop, a fall out of the table and a jump out, cut at every step."""
    loop = program_of(immediate("addi", 5, 0, 3), immediate("addi", 5, 5, -1),
                      branch("bne", 5, 0, -4), HALT)  # fmt: skip
    if cycles < 8:
        trap = trapped(loop, limits=Limits(cycles))
        assert (trap.kind, trap.cycles) == (TrapKind.CYCLES, cycles)
    else:
        assert len(all_agree(loop, limits=Limits(cycles))) == 8
    for program in (program_of(jal(0, -4)), program_of(immediate("addi", 5, 0, 1))):
        trap = trapped(program, limits=Limits(cycles))
        assert trap.kind is (TrapKind.CYCLES if cycles == 1 else TrapKind.FETCH)


def test_the_memory_limit_counts_touched_pages() -> None:
    far = [*set_register(5, 0x40000000), load("lw", 6, 5, 0), *set_register(7, 0x40001000),
           store("sb", 0, 7, 3), HALT]  # fmt: skip
    program = program_of(*far, image=bytes(8))
    assert len(all_agree(program, limits=Limits(100, 3))) == 7
    trap = trapped(program, limits=Limits(100, 2))
    assert (trap.kind, trap.pc, trap.cycles) == (TrapKind.MEMORY, CODE_BASE + 20, 5)
    assert trap.address == 0x40001000


def test_witness_streams_are_read_in_order() -> None:
    program = program_of(
        read_input(5), read_answer(6), read_input(7), show(0, 5), show(1, 6), show(2, 7), HALT
    )
    rows = all_agree(program, bytes(range(8)), b"\1")
    assert [row.v1 for row in rows[3:6]] == [0x03020100, 1, 0x07060504]
    run = execute(program, bytes(range(12)), b"\1\0")
    assert run.inputs_read == 2
    assert run.statement is None


def test_a_statement_needs_each_word_once() -> None:
    shows = [show(place, 0) for place in range(8)]
    assert execute(program_of(*shows, HALT)).statement == bytes(32)
    assert execute(program_of(*shows[:-1], HALT)).statement is None
    assert execute(program_of(*shows, shows[0], HALT)).statement is None


@pytest.mark.parametrize(
    "changes",
    [
        {"rom": b""}, {"rom": bytes(7)}, {"rom_base": 2}, {"entry": 0x1002}, {"entry": 0x1008},
        {"entry": 0xFFC}, {"image": bytes(3)}, {"image_base": 2}, {"inputs": bytes(3)},
        {"image": bytes(8), "image_base": 0xFFFFFFFC}, {"rom_base": 0xFFFFFFFC, "rom": bytes(16)},
        {"answers": b"\2"}, {"cycles": 0}, {"cycles": 1 << 62}, {"memory_pages": (1 << 20) + 1},
        {"cycles": CLOCK_MAX + 1, "with_rows": True},
    ],
)  # fmt: skip
def test_the_door_checks_what_python_passes(changes: dict[str, object]) -> None:
    arguments: dict[str, object] = {
        "rom": bytes(8), "rom_base": 0x1000, "entry": 0x1000, "image": b"", "image_base": 0,
        "inputs": b"", "answers": b"", "cycles": 10, "memory_pages": 10, "with_rows": False,
    }  # fmt: skip
    _executor.Executor(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"."):
        _executor.Executor(**arguments | changes)  # type: ignore[arg-type]


def test_a_run_is_one_mode_and_one_life() -> None:
    plain = executor(program_of(HALT), b"", b"", Limits(10), with_rows=False)
    traced = executor(program_of(HALT), b"", b"", Limits(10), with_rows=True)
    with pytest.raises(ValueError, match="not set up"):
        plain.trace(1, 1)
    with pytest.raises(ValueError, match="not set up"):
        traced.run(1)
    with pytest.raises(ValueError, match="room for at least one"):
        traced.trace(0, 1)
    assert traced.trace(5, 5)[0]
    assert traced.trace(5, 5) == (b"", b"")
    assert outcome(traced).cycles == 1


def test_pieces_of_any_size_are_the_same_rows() -> None:
    guest = random_guest(random.Random(7))
    limits = Limits(CLOCK_MAX)
    whole = compiled_rows(guest.program, guest.inputs, guest.answers, limits)
    for rows, wide in ((1, 1), (3, 1), (7, 2)):
        run = executor(guest.program, guest.inputs, guest.answers, limits, with_rows=True)
        pieces = []
        while (piece := run.trace(rows, wide))[0]:
            pieces.append(piece)
        got = decode_rows(*(b"".join(part) for part in zip(*pieces, strict=True)))
        assert got == whole
    run = executor(guest.program, guest.inputs, guest.answers, limits, with_rows=True)
    assert run.discard(3, 1) == len(whole)


def check_random_guests(first: int, count: int) -> None:
    seen = set()
    for seed in range(first, first + count):
        guest: Guest = random_guest(random.Random(seed))
        rows = all_agree(guest.program, guest.inputs, guest.answers, Limits(100_000))
        seen |= {row.op for row in rows}
    operations = {op & 0x7F for op in seen}
    assert operations == set(range(1, 46)) - {39}, f"seeds {first}.. lack operations"


def test_random_guests_run_alike() -> None:
    check_random_guests(RANDOM_SEED, QUICK)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_random_guests_run_alike() -> None:
    check_random_guests(10 * RANDOM_SEED, CAMPAIGN)


def test_cut_runs_of_random_guests_trap_alike() -> None:
    """The same guests with too few cycles, inputs or pages: the same trap everywhere."""
    rng = random.Random(RANDOM_SEED)
    kinds = set()
    for seed in range(40):
        guest = random_guest(random.Random(seed))
        count = len(run_reference(guest.program, guest.inputs, guest.answers)[0])
        limits = Limits(rng.randrange(1, count))
        kinds.add(trapped(guest.program, guest.inputs, guest.answers, limits).kind)
        try:
            all_agree(guest.program, guest.inputs[:4], b"", Limits(100_000, 2))
        except GuestTrap:
            kinds.add(trapped(guest.program, guest.inputs[:4], b"", Limits(100_000, 2)).kind)
    assert {TrapKind.CYCLES, TrapKind.INPUT, TrapKind.MEMORY} <= kinds
