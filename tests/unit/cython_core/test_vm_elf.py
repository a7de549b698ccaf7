"""The loader and the program root: what is refused, with its whole message, and what P binds."""

import hashlib
import struct
from dataclasses import dataclass, field, replace

import pytest

from cython_core.vm.decoder import decode
from cython_core.vm.elf import ELF_BYTES_MAX, HEADER, SEGMENT, read_elf
from cython_core.vm.errors import ElfReason, InvalidElf
from cython_core.vm.program import (
    IMAGE_BYTES_MAX,
    ROM_WORDS_MAX,
    leaf,
    load_elf,
    node,
    tree_root,
)
from tests.unit.cython_core.vm_programs import (
    HALT,
    immediate,
    load,
    register,
    set_register,
    show,
    words_of,
)

CODE = struct.pack(
    "<7I",
    immediate("addi", 5, 0, 7),
    register("add", 5, 5, 5),
    *set_register(6, 0x20004),
    load("lw", 6, 6, 0),
    show(0, 5),
    HALT,
)
LOAD, R, W, X = 1, 4, 2, 1


@dataclass(frozen=True)
class Piece:
    address: int
    content: bytes
    flags: int
    kind: int = LOAD
    memory: int | None = None
    offset: int | None = None
    align: int = 4


@dataclass(frozen=True)
class File:
    """An ELF file in the making."""

    pieces: tuple[Piece, ...] = (
        Piece(0x1000, CODE, R | X),
        Piece(0x20004, b"data of the guest", R | W, memory=64),
    )
    entry: int = 0x1000
    identity: bytes = b"\x7fELF\x01\x01\x01"
    fields: dict[str, int] = field(default_factory=dict)

    def build(self) -> bytes:
        f = {"type": 2, "machine": 243, "version": 1, "flags": 0, "ehsize": 52, "phentsize": 32}
        f |= {"phoff": 52, "phnum": len(self.pieces)} | self.fields
        header = HEADER.pack(
            self.identity.ljust(16, b"\0"), f["type"], f["machine"], f["version"], self.entry,
            f["phoff"], 0, f["flags"], f["ehsize"], f["phentsize"], f["phnum"], 0, 0, 0,
        )  # fmt: skip
        offset = HEADER.size + SEGMENT.size * len(self.pieces)
        table, body = b"", b""
        for piece in self.pieces:
            start = -(-(offset + len(body)) // 64) * 64
            body = body.ljust(start - offset, b"\0") + piece.content
            table += SEGMENT.pack(
                piece.kind, start if piece.offset is None else piece.offset, piece.address,
                piece.address, len(piece.content),
                len(piece.content) if piece.memory is None else piece.memory, piece.flags,
                piece.align,
            )  # fmt: skip
        return header + table + body


GOOD = File()
TEXT, DATA = GOOD.pieces


def with_data(**changes: object) -> File:
    return replace(GOOD, pieces=(TEXT, replace(DATA, **changes)))  # type: ignore[arg-type]


def with_text(**changes: object) -> File:
    return replace(GOOD, pieces=(replace(TEXT, **changes), DATA))  # type: ignore[arg-type]


def with_field(name: str, value: int) -> File:
    return replace(GOOD, fields={name: value})


def test_a_good_file_is_loaded() -> None:
    program = load_elf(GOOD.build())
    assert (program.entry, program.rom_base, program.image_base) == (0x1000, 0x1000, 0x20000)
    assert program.entries == tuple(
        decode(word, 0x1000 + 4 * at) for at, word in enumerate(words_of(CODE))
    )
    assert program.image == (b"\0" * 4 + b"data of the guest").ljust(24, b"\0")
    assert program.initial(0x20004) == int.from_bytes(b"data", "little")
    assert [program.initial(address) for address in (0, 0x1FFFC, 0x20018, 0xFFFFFFFC)] == [0] * 4
    assert program.fetch(0x1000) == program.entries[0]
    assert [program.fetch(pc) for pc in (0xFFC, 0x1002, 0x1000 + len(CODE), 0xFFFFFFFF)] == (
        [None] * 4
    )


REFUSED = {
    "empty": (b"", ElfReason.NOT_ELF),
    "text": (b"#!/bin/sh\n", ElfReason.NOT_ELF),
    "header cut": (GOOD.build()[:51], ElfReason.SIZE),
    "program headers cut": (GOOD.build()[:100], ElfReason.SIZE),
    "segment cut": (GOOD.build()[:-1], ElfReason.SEGMENT),
    "too long": (GOOD.build().ljust(ELF_BYTES_MAX + 1, b"\0"), ElfReason.SIZE),
    "64 bits": (replace(GOOD, identity=b"\x7fELF\x02\x01\x01"), ElfReason.CLASS),
    "big endian": (replace(GOOD, identity=b"\x7fELF\x01\x02\x01"), ElfReason.CLASS),
    "identity version": (replace(GOOD, identity=b"\x7fELF\x01\x01\x02"), ElfReason.CLASS),
    "identity OS": (replace(GOOD, identity=b"\x7fELF\x01\x01\x01\x03"), ElfReason.HEADER),
    "relocatable": (with_field("type", 1), ElfReason.MACHINE),
    "shared": (with_field("type", 3), ElfReason.MACHINE),
    "x86": (with_field("machine", 62), ElfReason.MACHINE),
    "compressed": (with_field("flags", 1), ElfReason.FLAGS),
    "floats": (with_field("flags", 4), ElfReason.FLAGS),
    "RVE": (with_field("flags", 8), ElfReason.FLAGS),
    "version": (with_field("version", 2), ElfReason.HEADER),
    "header size": (with_field("ehsize", 64), ElfReason.HEADER),
    "entry size": (with_field("phentsize", 56), ElfReason.HEADER),
    "no segments": (with_field("phnum", 0), ElfReason.HEADER),
    "17 segments": (with_field("phnum", 17), ElfReason.HEADER),
    "headers inside the header": (with_field("phoff", 48), ElfReason.SIZE),
    "headers far away": (with_field("phoff", 0xFFFFFFFC), ElfReason.SIZE),
    "headers misaligned": (with_field("phoff", 54), ElfReason.HEADER),
    "dynamic": (with_data(kind=2), ElfReason.SEGMENT),
    "interpreter": (with_data(kind=3), ElfReason.SEGMENT),
    "thread local": (with_data(kind=7), ElfReason.SEGMENT),
    "data misaligned": (with_data(address=0x20002), ElfReason.SEGMENT),
    "alignment no power": (with_data(align=12), ElfReason.SEGMENT),
    "alignment broken": (with_data(align=4096), ElfReason.SEGMENT),
    "more in file than in memory": (with_data(memory=16), ElfReason.SEGMENT),
    "wraps around": (with_data(address=0xFFFFFF00), ElfReason.SEGMENT),
    "huge": (with_data(memory=0xFFFFFFFF), ElfReason.SEGMENT),
    "offset out of the file": (with_data(offset=0xFFFFFFC4), ElfReason.SEGMENT),
    "unknown flags": (with_data(flags=8 | R), ElfReason.SEGMENT),
    "written and executed": (with_text(flags=R | W | X), ElfReason.SEGMENT),
    "no code": (with_text(flags=R), ElfReason.CODE),
    "two codes": (with_data(flags=R | X, memory=None), ElfReason.CODE),
    "code in half words": (with_text(content=CODE[:-2]), ElfReason.CODE),
    "code with zeros behind": (with_text(memory=len(CODE) + 4), ElfReason.CODE),
    "too much code": (
        replace(with_text(content=bytes(4 * ROM_WORDS_MAX + 4), address=1 << 20), entry=1 << 20),
        ElfReason.CODE,
    ),
    "image over code": (with_data(address=0x1000 + len(CODE) - 4), ElfReason.OVERLAP),
    "zeros over code": (with_data(address=0xFF0, memory=32), ElfReason.OVERLAP),
    "two images overlap": (
        replace(GOOD, pieces=(TEXT, DATA, replace(DATA, address=0x20040))),
        ElfReason.OVERLAP,
    ),
    "image too wide": (
        replace(GOOD, pieces=(TEXT, DATA, replace(DATA, address=0x20000 + IMAGE_BYTES_MAX))),
        ElfReason.IMAGE,
    ),
    "entry in data": (replace(GOOD, entry=0x20004), ElfReason.ENTRY),
    "entry behind": (replace(GOOD, entry=0x1000 + len(CODE)), ElfReason.ENTRY),
    "entry misaligned": (replace(GOOD, entry=0x1002), ElfReason.ENTRY),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    made, reason = REFUSED[name]
    content = made if isinstance(made, bytes) else made.build()
    with pytest.raises(InvalidElf) as caught:
        load_elf(content)
    assert caught.value.reason is reason
    assert caught.value.what == "this is no program for the machine"
    assert caught.value.why
    assert caught.value.do


def test_a_refusal_names_the_place() -> None:
    with pytest.raises(InvalidElf) as caught:
        load_elf(with_data(address=0x20002).build())
    assert str(caught.value) == (
        "this is no program for the machine: the segment at 0x00020002 is not 4-byte aligned "
        "(use the linker script of the example guest (cython_core/guest/example))"
    )


@pytest.mark.parametrize("kind", [0, 4, 6, 0x6474E551, 0x6474E552, 0x70000003])
def test_what_is_not_loaded_is_ignored(kind: int) -> None:
    with_note = replace(GOOD, pieces=(*GOOD.pieces, Piece(0, b"note", R, kind)))
    assert load_elf(with_note.build()).root == load_elf(GOOD.build()).root


def test_random_changes_never_escape_the_loader() -> None:
    """Every one of the file's bytes, with three values: loaded or refused, nothing else."""
    good = GOOD.build()
    refused = 0
    for place in range(len(good)):
        for value in (0, 0xFF, good[place] ^ 0x10):
            changed = good[:place] + bytes([value]) + good[place + 1 :]
            try:
                load_elf(changed)
            except InvalidElf:
                refused += 1
    assert refused > 100


def test_every_loaded_bit_changes_the_root_and_the_identity() -> None:
    """The only flips that leave P are those between two spellings of one step (decoder.py)."""
    good = GOOD.build()
    program = load_elf(good)
    kept = []
    elf = read_elf(good)
    for segment in (elf.code, *elf.images):
        start = good.index(segment.content)
        for bit in range(8 * len(segment.content)):
            changed = bytearray(good)
            changed[start + bit // 8] ^= 1 << bit % 8
            other = load_elf(bytes(changed))
            assert other.identity != program.identity
            if other.root == program.root:
                assert other.entries == program.entries
                kept.append(bit)
    assert kept == []


def test_two_spellings_of_one_step_share_the_root_but_not_the_identity() -> None:
    move = struct.pack("<I", immediate("addi", 5, 6, 0))
    same = struct.pack("<I", register("add", 5, 6, 0))
    programs = [load_elf(with_text(content=first + CODE).build()) for first in (move, same)]
    assert programs[0].root == programs[1].root
    assert programs[0].identity != programs[1].identity


def test_entry_and_addresses_are_in_the_root() -> None:
    files = (
        GOOD,
        replace(GOOD, entry=0x1004),
        replace(with_text(address=0x1040), entry=0x1040),
        with_data(address=0x20044),
        with_data(content=DATA.content + b"!"),
    )
    assert len({load_elf(file.build()).root for file in files}) == len(files)


def test_root_by_hand() -> None:
    """P of a program whose two trees are single blocks."""
    program = load_elf(GOOD.build())
    rom = leaf(program.rom.ljust(64, b"\0"))
    image = leaf(program.image.ljust(64, b"\0"))
    record = struct.pack("<3I4x", 0x1000, 0x1000, 0x20000)
    assert len(program.rom) <= 64
    assert program.root == node([rom, image, record, bytes(16)])
    assert program.identity == program.root + hashlib.sha256(GOOD.build()).digest()


def test_trees_of_several_blocks() -> None:
    table = bytes(range(256)) + b"\1"
    leaves = [leaf(table[at : at + 64].ljust(64, b"\0")) for at in range(0, 257, 64)]
    empty = leaf(bytes(64))
    inner = [node(leaves[:4]), node([leaves[4], *[empty] * 3]), *[node([empty] * 4)] * 2]
    assert tree_root(table) == (node(inner), 2)
    assert tree_root(b"") == (empty, 0)
    assert tree_root(bytes(64)) == (empty, 0)
    assert tree_root(bytes(65)) == (node([empty] * 4), 1)


def test_limits_of_the_tables_can_be_reached() -> None:
    largest = with_data(content=bytes(IMAGE_BYTES_MAX), address=0x100000, memory=None)
    assert load_elf(largest.build()).root != load_elf(GOOD.build()).root
