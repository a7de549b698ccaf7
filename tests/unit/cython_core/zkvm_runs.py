"""Guests whose runs the machine's tables can hold, and a small one to prove."""

import random
import struct

from cython_core.vm.elf import HEADER, SEGMENT
from cython_core.vm.operations import DUP, OP_MASK, Op
from cython_core.vm.program import Program
from cython_core.zkvm.row_chips import ROW_CHIPS
from tests.unit.cython_core.vm_programs import (
    HALT,
    IMAGE_BASE,
    ZERO_BASE,
    Guest,
    branch,
    immediate,
    load,
    program_of,
    random_guest,
    read_answer,
    read_input,
    register,
    set_register,
    show,
    store,
)

ACCEPTED = {place for chip in ROW_CHIPS for place in chip.accepts}


def is_provable(program: Program) -> bool:
    """Whether there is a chip for each instruction."""
    return all(
        (Op(entry.op & OP_MASK), bool(entry.op & DUP or entry.rs2)) in ACCEPTED
        for entry in program.entries
    )


def provable_guest(rng: random.Random) -> Guest:
    while not is_provable((guest := random_guest(rng)).program):
        pass
    return guest


WORDS = (
    *set_register(5, ZERO_BASE),
    read_input(6),
    store("sw", 6, 5, 4),
    load("lhu", 7, 5, 6),
    load("lw", 7, 5, 8),
    *set_register(5, IMAGE_BASE),
    load("lw", 8, 5, 4),
    store("sb", 8, 5, 7),
    register("divu", 9, 6, 8),
    register("mul", 9, 9, 9),
    read_answer(10),
    branch("beq", 10, 0, 8),
    immediate("addi", 9, 9, 1),
    *(show(place, 6 + place % 5) for place in range(8)),
    HALT,
)
SMALL = Guest(
    program_of(*WORDS, image=b"what it reads" + bytes(100)), b"abcdefgh", b"\1\0", list(WORDS)
)
"""Input, signatures, memory inside and outside of the image."""


def elf_of(guest: Guest) -> bytes:
    """An executable with the guest's code and image."""
    program = guest.program
    code = struct.pack(f"<{len(guest.words)}I", *guest.words)
    pieces = [(program.rom_base, code, 5), (program.image_base, program.image, 6)]
    start = HEADER.size + len(pieces) * SEGMENT.size
    table, body = b"", b""
    for address, content, flags in pieces:
        at, size = start + len(body), len(content)
        table += SEGMENT.pack(1, at, address, address, size, size, flags, 4)
        body += content
    identity = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    sizes = (HEADER.size, SEGMENT.size, len(pieces), 0, 0, 0)
    header = HEADER.pack(identity, 2, 243, 1, program.entry, HEADER.size, 0, 0, *sizes)
    return header + table + body
