"""Guests for the tests of the machine: an assembler of single words, and random programs.

Random programs end by construction: loops count down registers that nothing else writes, memory is
reached through base registers that stay where they are. Sources and destinations are drawn from a
few registers, so that equal ones are common.
"""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from cython_core.vm.program import Program, from_words

IMAGE_BASE = 0x20000
ZERO_BASE = 0x7FFFF000
CODE_BASE = 0x1000
WORKING = (0, 1, 5, 6, 7, 10, 11)
DATA, EMPTY, LEFT, RIGHT, COUNTER, LINK = 28, 29, 30, 31, 27, 26

REGISTER = {
    "add": (0, 0), "sub": (0, 0x20), "sll": (1, 0), "slt": (2, 0), "sltu": (3, 0), "xor": (4, 0),
    "srl": (5, 0), "sra": (5, 0x20), "or": (6, 0), "and": (7, 0), "mul": (0, 1), "mulh": (1, 1),
    "mulhsu": (2, 1), "mulhu": (3, 1), "div": (4, 1), "divu": (5, 1), "rem": (6, 1),
    "remu": (7, 1),
}  # fmt: skip
IMMEDIATE = {"addi": 0, "slti": 2, "sltiu": 3, "xori": 4, "ori": 6, "andi": 7}
SHIFT = {"slli": (1, 0), "srli": (5, 0), "srai": (5, 0x20)}
LOAD = {"lb": (0, 1), "lh": (1, 2), "lw": (2, 4), "lbu": (4, 1), "lhu": (5, 2)}
STORE = {"sb": (0, 1), "sh": (1, 2), "sw": (2, 4)}
BRANCH = {"beq": 0, "bne": 1, "blt": 4, "bge": 5, "bltu": 6, "bgeu": 7}


def register(name: str, rd: int, rs1: int, rs2: int) -> int:
    funct3, funct7 = REGISTER[name]
    return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x33


def immediate(name: str, rd: int, rs1: int, value: int) -> int:
    if name in SHIFT:
        funct3, funct7 = SHIFT[name]
        return funct7 << 25 | (value & 31) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x13
    return (value & 0xFFF) << 20 | rs1 << 15 | IMMEDIATE[name] << 12 | rd << 7 | 0x13


def load(name: str, rd: int, rs1: int, offset: int) -> int:
    return (offset & 0xFFF) << 20 | rs1 << 15 | LOAD[name][0] << 12 | rd << 7 | 0x03


def store(name: str, rs2: int, rs1: int, offset: int) -> int:
    high, low = (offset & 0xFFF) >> 5, offset & 31
    return high << 25 | rs2 << 20 | rs1 << 15 | STORE[name][0] << 12 | low << 7 | 0x23


def branch(name: str, rs1: int, rs2: int, offset: int) -> int:
    o = offset & 0x1FFF
    word = (o >> 12) << 31 | (o >> 5 & 63) << 25 | rs2 << 20 | rs1 << 15 | BRANCH[name] << 12
    return word | (o >> 1 & 15) << 8 | (o >> 11 & 1) << 7 | 0x63


def upper(rd: int, value: int, *, from_pc: bool = False) -> int:
    return (value & 0xFFFFF000) | rd << 7 | (0x17 if from_pc else 0x37)


def jal(rd: int, offset: int) -> int:
    o = offset & 0x1FFFFF
    word = (o >> 20) << 31 | (o >> 1 & 0x3FF) << 21 | (o >> 11 & 1) << 20 | (o >> 12 & 0xFF) << 12
    return word | rd << 7 | 0x6F


def jalr(rd: int, rs1: int, offset: int) -> int:
    return (offset & 0xFFF) << 20 | rs1 << 15 | rd << 7 | 0x67


def host(funct3: int, funct7: int = 0, rd: int = 0, rs1: int = 0, rs2: int = 0) -> int:
    return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x0B


def read_input(rd: int) -> int:
    return host(0, rd=rd)


def read_answer(rd: int) -> int:
    return host(1, rd=rd)


def show(place: int, rs1: int) -> int:
    return host(2, place, rs1=rs1)


HALT = host(3)


def b3(rs1: int, rs2: int, flags: int = 11) -> int:
    return host(4, flags, rs1=rs1, rs2=rs2)


def mulp(rs1: int, rs2: int) -> int:
    return host(5, rs1=rs1, rs2=rs2)


def sqrp(rs1: int, rs2: int) -> int:
    return host(5, 1, rs1=rs1, rs2=rs2)


def addp(rs1: int, rs2: int) -> int:
    return host(5, 2, rs1=rs1, rs2=rs2)


def subp(rs1: int, rs2: int) -> int:
    return host(5, 3, rs1=rs1, rs2=rs2)


def copy(rs1: int, rs2: int) -> int:
    return host(5, 4, rs1=rs1, rs2=rs2)


FIELD = (mulp, sqrp, addp, subp, copy)
"""In the order of their funct7."""


def set_register(rd: int, value: int) -> list[int]:
    """rd := value in two instructions."""
    value &= 0xFFFFFFFF
    return [upper(rd, value + 0x800), immediate("addi", rd, rd, value)]


def program_of(*words: int, image: bytes = b"") -> Program:
    return from_words(words, base=CODE_BASE, image=image, image_base=IMAGE_BASE)


@dataclass
class Guest:
    """A program with what it reads."""

    program: Program
    inputs: bytes
    answers: bytes
    words: list[int] = field(default_factory=list)


def _arithmetic(rng: random.Random) -> int:
    rd, rs1, rs2 = (rng.choice(WORKING) for _ in range(3))
    if rng.random() < 0.6:
        return register(rng.choice(list(REGISTER)), rd, rs1, rs2)
    name = rng.choice([*IMMEDIATE, *SHIFT])
    return immediate(name, rd, rs1, rng.choice([0, 1, -1, 31, rng.randrange(-2048, 2048)]))


def _upper(rng: random.Random) -> int:
    return upper(rng.choice(WORKING), rng.getrandbits(32), from_pc=rng.random() < 0.5)


def _memory(rng: random.Random) -> int:
    base, other = rng.choice((DATA, DATA, EMPTY)), rng.choice(WORKING)
    kinds = LOAD if rng.random() < 0.5 else STORE
    name = rng.choice(list(kinds))
    size = kinds[name][1]
    offset = rng.choice((rng.randrange(-16, 16), rng.randrange(-2048, 2048))) // size * size
    return (load if kinds is LOAD else store)(name, other, base, offset)


def _skip(rng: random.Random) -> int:
    name, rs1, rs2 = rng.choice(list(BRANCH)), rng.choice(WORKING), rng.choice(WORKING)
    return branch(name, rs1, rs2, rng.choice((4, 8)))


def _straight(rng: random.Random, count: int) -> list[int]:
    """Instructions with short forward branches; two harmless ones stand at the end."""
    makers: list[Callable[[random.Random], int]] = [_arithmetic, _arithmetic, _memory, _memory]
    makers += [_upper, _skip]
    return [rng.choice(makers)(rng) for _ in range(count)] + [immediate("addi", 0, 0, 0)] * 2


def _wide(rng: random.Random) -> list[int]:
    place, away = 64 * rng.randrange(6), 64 * rng.randrange(6, 12) + 32 * rng.randrange(2)
    base = rng.choice((IMAGE_BASE, IMAGE_BASE, ZERO_BASE))
    words = set_register(LEFT, base + place) + set_register(RIGHT, base + away)
    if rng.random() < 0.3:
        return [*words, b3(LEFT, RIGHT, rng.randrange(128))]
    left, right = rng.sample((LEFT, RIGHT), 2)
    return [*words, rng.choice(FIELD)(left, right)]


def random_guest(rng: random.Random, size: int = 12, *, host_calls: bool = True) -> Guest:
    """A guest that halts after OUT 0..7; without host calls for machines that have none."""
    inputs = rng.randbytes(4 * 40)
    answers = bytes(rng.randrange(2) for _ in range(40))
    words = set_register(DATA, IMAGE_BASE + 1024) + set_register(EMPTY, ZERO_BASE)
    for index in WORKING[1:]:
        corner = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, rng.getrandbits(32)))
        words += set_register(index, corner)
    for _ in range(rng.randrange(2, 5)):
        words += _piece(rng, size, host_calls=host_calls)
    if host_calls:
        words += [show(place, WORKING[place % len(WORKING)]) for place in range(8)]
        words.append(HALT)
    image = rng.randbytes(2048)
    return Guest(program_of(*words, image=image), inputs, answers, words)


def _piece(rng: random.Random, size: int, *, host_calls: bool) -> list[int]:
    """One of: straight code, a loop, a call, host operations."""
    body = _straight(rng, rng.randrange(1, size))
    kind = rng.randrange(4 if host_calls else 3)
    if kind == 1:
        turns = [immediate("addi", COUNTER, 0, rng.randrange(1, 4)), *body]
        turns.append(immediate("addi", COUNTER, COUNTER, -1))
        return [*turns, branch("bne", COUNTER, 0, -4 * (len(body) + 1))]
    if kind == 2:
        skip = jal(0, 4 * (len(body) + 2))
        call = jal(LINK, -4 * (len(body) + 1))
        return [skip, *body, jalr(rng.choice((0, 1)), LINK, 0), call]
    if kind == 3:
        calls = [read_input(rng.choice(WORKING[1:])), read_answer(rng.choice(WORKING[1:]))]
        return [*calls, *body, *_wide(rng)]
    return body


def words_of(content: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(content) // 4}I", content)
