"""Strict loader of ELF32 executables for RV32IM (System V ABI; RISC-V ELF psABI).

Only what the machine can run is accepted: one executable segment that nothing writes to, data
segments that never meet it, no compressed code, no floating point. Section headers and symbols are
not read: they change nothing of what runs. Every refusal names its reason.
"""

import struct
from itertools import pairwise
from typing import Final, NamedTuple

from cython_core.vm.errors import ElfReason, InvalidElf

ELF_BYTES_MAX: Final = 16 << 20
SEGMENTS_MAX: Final = 16
HEADER: Final = struct.Struct("<16sHHIIIIIHHHHHH")
SEGMENT: Final = struct.Struct("<8I")
IDENTITY: Final = b"\x7fELF\x01\x01\x01"
"""Magic, 32 bits, little endian, version 1; then OS ABI and its version, and zeros."""
EXECUTABLE: Final = 2
RISCV: Final = 243
LOAD: Final = 1
IGNORED: Final = {0, 4, 6, 0x6474E551, 0x6474E552, 0x70000003}
"""NULL, NOTE, PHDR, GNU_STACK, GNU_RELRO, RISCV_ATTRIBUTES: nothing of them is loaded."""
EXECUTE: Final = 1
WRITE: Final = 2
READ: Final = 4
ADDRESS_END: Final = (1 << 32) - 4096
"""The last page stays empty, so that no address computed from a segment wraps around."""
BUILD: Final = "link a static executable for -march=rv32im -mabi=ilp32 (see docs/vm.md)"
LAYOUT: Final = "use the linker script of the example guest (cython_core/guest/example)"
DAMAGED: Final = "build the file again; it is damaged"


class Segment(NamedTuple):
    """A loaded piece of the file."""

    address: int
    content: bytes
    memory_bytes: int
    """Length in memory; what goes beyond `content` is zero."""

    @property
    def end(self) -> int:
        return self.address + self.memory_bytes


class Elf(NamedTuple):
    """What an executable says."""

    entry: int
    code: Segment
    images: tuple[Segment, ...]
    """Data segments by ascending address."""


def _header(content: bytes) -> tuple[int, int, int]:
    """Entry, offset and number of the program headers."""
    if len(content) > ELF_BYTES_MAX:
        why = f"{len(content):,} bytes, at most {ELF_BYTES_MAX:,} are allowed"
        raise InvalidElf(ElfReason.SIZE, why, "strip it")
    if content[:4] != IDENTITY[:4]:
        raise InvalidElf(ElfReason.NOT_ELF, "it does not start like an ELF file", BUILD)
    if len(content) < HEADER.size:
        raise InvalidElf(ElfReason.SIZE, "it ends inside its header", DAMAGED)
    identity, kind, machine, version, entry, offset, _, flags, *sizes = HEADER.unpack_from(content)
    if not identity.startswith(IDENTITY):
        raise InvalidElf(ElfReason.CLASS, "it is not 32 bits, little endian, version 1", BUILD)
    if kind != EXECUTABLE or machine != RISCV:
        why = f"type {kind} for machine {machine}, not an executable (2) for RISC-V (243)"
        raise InvalidElf(ElfReason.MACHINE, why, BUILD)
    if flags:
        known = {1: "compressed code", 2: "single floats", 4: "double floats", 6: "quad floats"}
        why = f"flags 0x{flags:x}: {known.get(flags, 'not a plain RV32 program')}"
        raise InvalidElf(ElfReason.FLAGS, why, BUILD)
    header_bytes, entry_bytes, count = sizes[0], sizes[1], sizes[2]
    if any(identity[7:]) or version != 1 or header_bytes != HEADER.size:
        raise InvalidElf(ElfReason.HEADER, "a field of its header is impossible", DAMAGED)
    if entry_bytes != SEGMENT.size or not 0 < count <= SEGMENTS_MAX or offset % 4:
        why = f"{count} program headers of {entry_bytes} bytes at {offset}"
        raise InvalidElf(ElfReason.HEADER, why, DAMAGED)
    if not HEADER.size <= offset <= len(content) - count * SEGMENT.size:
        raise InvalidElf(ElfReason.SIZE, "it ends inside its program headers", DAMAGED)
    return entry, offset, count


def _segment(content: bytes, fields: tuple[int, ...]) -> tuple[Segment, int]:
    _, offset, address, _, file_bytes, memory_bytes, flags, align = fields
    name = f"the segment at 0x{address:08x}"

    def refuse(why: str, do: str = LAYOUT) -> InvalidElf:
        return InvalidElf(ElfReason.SEGMENT, f"{name} {why}", do)

    if address % 4:
        raise refuse("is not 4-byte aligned")
    if align > 1 and (align & (align - 1) or (address - offset) % align):
        raise refuse(f"does not have its own alignment of {align}", DAMAGED)
    if file_bytes > memory_bytes or address + memory_bytes > ADDRESS_END:
        raise refuse(f"has impossible sizes: {file_bytes} of {memory_bytes} bytes", DAMAGED)
    if offset > len(content) or file_bytes > len(content) - offset:
        raise refuse("goes beyond the end of the file", DAMAGED)
    if flags & ~(READ | WRITE | EXECUTE):
        raise refuse(f"has unknown flags 0x{flags:x}", DAMAGED)
    if flags & WRITE and flags & EXECUTE:
        raise refuse("is both written and executed")
    return Segment(address, content[offset : offset + file_bytes], memory_bytes), flags


def _check_layout(code: list[Segment], images: list[Segment]) -> None:
    if len(code) != 1:
        why = f"it has {len(code)} executable segments instead of one"
        raise InvalidElf(ElfReason.CODE, why, LAYOUT)
    if len(code[0].content) % 4 or len(code[0].content) != code[0].memory_bytes:
        why = "its executable segment is not made of whole words"
        raise InvalidElf(ElfReason.CODE, why, LAYOUT)
    placed = sorted([*code, *images])
    for before, after in pairwise(placed):
        if before.end > after.address:
            why = f"the segments at 0x{before.address:08x} and 0x{after.address:08x} overlap"
            raise InvalidElf(ElfReason.OVERLAP, why, LAYOUT)


def read_elf(content: bytes) -> Elf:
    """The executable in `content`. Raises InvalidElf."""
    entry, offset, count = _header(content)
    code: list[Segment] = []
    images: list[Segment] = []
    for index in range(count):
        fields = SEGMENT.unpack_from(content, offset + index * SEGMENT.size)
        kind = fields[0]
        if kind in IGNORED:
            continue
        if kind != LOAD:
            why = f"it has a segment of unknown kind 0x{kind:x} (dynamic or thread-local data)"
            raise InvalidElf(ElfReason.SEGMENT, why, BUILD)
        segment, flags = _segment(content, fields)
        if segment.memory_bytes:
            (code if flags & EXECUTE else images).append(segment)
    _check_layout(code, images)
    if entry % 4 or not code[0].address <= entry < code[0].end:
        why = f"entry 0x{entry:08x} is no instruction of its executable segment"
        raise InvalidElf(ElfReason.ENTRY, why, LAYOUT)
    return Elf(entry, code[0], tuple(sorted(images)))
