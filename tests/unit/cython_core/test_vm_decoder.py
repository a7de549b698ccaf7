"""The decoder: operands, absolute targets, the dup flag, host operations, and what is nothing."""

import random
from collections.abc import Callable

import pytest

from cython_core.vm.decoder import Entry, decode, illegal
from cython_core.vm.operations import DUP, Op
from tests.unit.cython_core.vm_programs import (
    BRANCH,
    FIELD,
    HALT,
    IMMEDIATE,
    LOAD,
    REGISTER,
    SHIFT,
    STORE,
    b3,
    branch,
    host,
    immediate,
    jal,
    jalr,
    load,
    mulp,
    read_answer,
    read_input,
    register,
    show,
    store,
    upper,
)

PC = 0x1000


@pytest.mark.parametrize("name", REGISTER)
def test_register_forms(name: str) -> None:
    op = Op[name.upper()]
    assert decode(register(name, 1, 2, 3), PC) == (op, 1, 2, 3, 0)
    assert decode(register(name, 1, 2, 2), PC) == (op | DUP, 1, 2, 0, 0)
    assert decode(register(name, 1, 0, 0), PC) == (op, 1, 0, 0, 0)
    assert decode(register(name, 0, 2, 0), PC) == (op, 0, 2, 0, 0)


@pytest.mark.parametrize("name", IMMEDIATE)
def test_immediate_forms_share_the_operation(name: str) -> None:
    op = Op["SLTU" if name == "sltiu" else name[:-1].upper()]
    assert decode(immediate(name, 1, 2, -1), PC) == (op, 1, 2, 0, 0xFFFFFFFF)
    assert decode(immediate(name, 1, 2, 2047), PC) == (op, 1, 2, 0, 2047)


@pytest.mark.parametrize("name", SHIFT)
def test_shifts_by_a_constant(name: str) -> None:
    assert decode(immediate(name, 1, 2, 31), PC) == (Op[name[:-1].upper()], 1, 2, 0, 31)
    assert decode(immediate(name, 1, 2, 1) | 1 << 25, PC).op == Op.ILL


@pytest.mark.parametrize("name", [*LOAD, *STORE])
def test_accesses(name: str) -> None:
    op = Op[name.upper()]
    if name in LOAD:
        assert decode(load(name, 1, 2, -4), PC) == (op, 1, 2, 0, 0xFFFFFFFC)
    else:
        assert decode(store(name, 1, 2, -4), PC) == (op, 0, 2, 1, 0xFFFFFFFC)
        assert decode(store(name, 2, 2, 4), PC) == (op | DUP, 0, 2, 0, 4)
        assert decode(store(name, 0, 2, 4), PC) == (op, 0, 2, 0, 4)


@pytest.mark.parametrize("name", BRANCH)
def test_branch_targets_are_absolute(name: str) -> None:
    op = Op[name.upper()]
    for offset in (-4096, -4, 4, 4094):
        assert decode(branch(name, 1, 2, offset), PC) == (op, 0, 1, 2, PC + offset)
    assert decode(branch(name, 5, 5, 8), PC) == (op | DUP, 0, 5, 0, PC + 8)
    assert decode(branch(name, 1, 2, -8), 4).imm == 0xFFFFFFFC


def test_jumps_and_upper_immediates() -> None:
    for offset in (-(1 << 20), -4, 2, (1 << 20) - 2):
        assert decode(jal(1, offset), 1 << 21) == (Op.JAL, 1, 0, 0, (1 << 21) + offset)
    assert decode(jalr(1, 2, -1), PC) == (Op.JALR, 1, 2, 0, 0xFFFFFFFF)
    assert decode(upper(1, 0xABCDE000), PC) == (Op.ADD, 1, 0, 0, 0xABCDE000)
    assert decode(upper(1, 0xFFFFF000, from_pc=True), PC) == (Op.ADD, 1, 0, 0, 0)


def test_host_operations() -> None:
    assert decode(read_input(5), PC) == (Op.IN, 5, 0, 0, 0)
    assert decode(read_answer(5), PC) == (Op.SIG, 5, 0, 0, 0)
    assert decode(show(7, 5), PC) == (Op.OUT, 0, 5, 0, 7)
    assert decode(show(7, 0), PC) == (Op.OUT, 0, 0, 0, 7)
    assert decode(HALT, PC) == (Op.HALT, 0, 0, 0, 0)
    assert decode(b3(5, 6, 127), PC) == (Op.B3, 0, 5, 6, 127)
    assert decode(mulp(5, 6), PC) == (Op.MULP, 0, 5, 6, 0)


@pytest.mark.parametrize("maker", FIELD)
def test_field_operations(maker: Callable[[int, int], int]) -> None:
    assert decode(maker(5, 6), PC) == (Op[maker.__name__.upper()], 0, 5, 6, 0)
    for word in (maker(5, 5), maker(0, 5), maker(5, 0), maker(5, 6) | 1 << 7):
        assert decode(word, PC) == illegal(word)


def test_numbers_of_the_field_operations_are_for_ever() -> None:
    assert [Op.MULP, Op.SQRP, Op.ADDP, Op.SUBP, Op.COPY] == [41, 42, 43, 44, 45]


NOTHING = {
    "zero": 0,
    "ones": 0xFFFFFFFF,
    "ecall": 0x73,
    "ebreak": 0x00100073,
    "csrrw": 0x30001073,
    "fence.i": 0x100F,
    "compressed": 0x4501,
    "load double": 0x3003,
    "lwu": 0x6003,
    "store double": 0x3023,
    "branch 2": 0x2063,
    "branch 3": 0x3063,
    "jalr 1": 0x1067,
    "float": 0x00002007,
    "atomic": 0x0000202F,
    "register funct7 2": 0x04000033,
    "sub with funct3 1": 0x40001033,
    "slli 0x20": 0x40001013,
    "input to x0": read_input(0),
    "answer to x0": read_answer(0),
    "input with rs1": host(0, rd=1, rs1=1),
    "input with rs2": host(0, rd=1, rs2=1),
    "input with funct7": host(0, 1, rd=1),
    "out 8": show(8, 5),
    "out with rd": host(2, rd=1),
    "out with rs2": host(2, rs2=1),
    "halt with rd": host(3, rd=1),
    "halt with funct7": host(3, 1),
    "b3 equal": b3(5, 5),
    "b3 rs1 x0": b3(0, 5),
    "b3 rs2 x0": b3(5, 0),
    "b3 with rd": host(4, rd=1, rs1=2, rs2=3),
    "mulp equal": mulp(5, 5),
    "mulp x0": mulp(0, 5),
    "field operation 5": host(5, 5, rs1=2, rs2=3),
    "field operation 127": host(5, 127, rs1=2, rs2=3),
    "host 6": host(6, rs1=2, rs2=3),
    "host 7": host(7),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_no_instruction(name: str) -> None:
    assert decode(NOTHING[name], PC) == illegal(NOTHING[name]) == (0, 0, 0, 0, NOTHING[name])


def test_fence_does_nothing_but_keeps_its_word() -> None:
    assert decode(0x0FF0000F, PC) == (Op.ADD, 0, 0, 0, 0x0FF0000F)


def test_one_entry_is_one_instruction_or_two_spellings_of_one_step() -> None:
    """Over random words and their neighbours at one bit: same entry, same step."""
    rng = random.Random(5)
    seen: dict[Entry, int] = {}
    shared = 0
    opcodes = (0x33, 0x13, 0x37, 0x17, 0x03, 0x23, 0x63, 0x6F, 0x67, 0x0F, 0x0B, 0x73)
    for _ in range(4_000):
        base = (rng.getrandbits(32) & ~0x7F) | rng.choice(opcodes)
        if rng.random() < 0.5:
            base &= ~0xFE000000
        if rng.random() < 0.3:
            base &= ~0xFFF00000
        for word in (base, *(base ^ 1 << bit for bit in range(32))):
            entry = decode(word, PC)
            before = seen.setdefault(entry, word)
            if before != word:
                shared += 1
                opcode_pair = {before & 0x7F, word & 0x7F}
                assert entry.op in range(Op.ADD, Op.SRA + 1)
                assert entry.rs2 == 0
                assert opcode_pair <= {0x33, 0x13, 0x37, 0x17, 0x0F}
    assert shared > 0
