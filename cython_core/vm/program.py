"""A decoded program and its root P (shared reference trace.md, 1).

    P     = node(ROM root, image root, entry record, 0)
    ROM   = 4-ary tree over blocks of 8 entries; what is behind the last instruction is ILL(0)
    image = 4-ary tree over blocks of 16 words, from the first data address rounded down to 64

Leaves are BLAKE3(block)[:16] and nodes BLAKE3(a | b | c | d)[:16]. Each tree has the least depth
that holds its content. The entry record is 16 bytes: entry u32, first address of the ROM u32, first
address of the image u32, depth of the ROM u8, depth of the image u8, zero u16. The depths are in
it because they differ between programs, and P must fix the shape of what it is the root of; then a
block and a node, both 64 bytes, cannot be taken for each other.

The program id of PROTOCOL.md section 3 is `H_program(P | SHA256(ELF))`; `identity` is what is
hashed there.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from cython_core.vm.decoder import ENTRY_BYTES, ENTRY_FORM, Entry, decode
from cython_core.vm.elf import LAYOUT, Elf, Segment, read_elf
from cython_core.vm.errors import ElfReason, InvalidElf
from cython_core.vm.operations import BLOCK_BYTES

DIGEST_BYTES: Final = 16
DEPTH_MAX: Final = 8
"""2 MiB of instructions, 4 MiB of image: what one opening in a fragment can still carry."""
ENTRY_RECORD: Final = struct.Struct("<IIIBBxx")
ENTRIES_PER_BLOCK: Final = BLOCK_BYTES // ENTRY_BYTES
ROM_WORDS_MAX: Final = ENTRIES_PER_BLOCK * 4**DEPTH_MAX
IMAGE_BYTES_MAX: Final = BLOCK_BYTES * 4**DEPTH_MAX

assert ENTRY_RECORD.size == DIGEST_BYTES


def leaf(block: bytes) -> bytes:
    """The digest of one block of a program table."""
    import blake3  # not at the top: the build imports this room before packages are installed

    return blake3.blake3(block).digest(DIGEST_BYTES)


def node(children: Sequence[bytes]) -> bytes:
    """The digest of four children."""
    return leaf(b"".join(children))


def tree_depth(blocks: int) -> int:
    """The least depth whose 4-ary tree has at least `blocks` leaves."""
    depth = 0
    while 4**depth < blocks:
        depth += 1
    return depth


def tree_root(table: bytes) -> tuple[bytes, int]:
    """Root and depth of the tree over a table, filled up with zero blocks."""
    blocks = max(1, -(-len(table) // BLOCK_BYTES))
    depth = tree_depth(blocks)
    padded = table.ljust(blocks * BLOCK_BYTES, b"\0")
    level = [leaf(padded[at : at + BLOCK_BYTES]) for at in range(0, len(padded), BLOCK_BYTES)]
    empty = leaf(bytes(BLOCK_BYTES))
    for _ in range(depth):
        level += [empty] * (-len(level) % 4)
        level = [node(level[at : at + 4]) for at in range(0, len(level), 4)]
        empty = node([empty] * 4)
    return level[0], depth


@dataclass(frozen=True)
class Program:
    """What the machine runs. Build it by `load_elf` or `from_words`."""

    entry: int
    rom_base: int
    rom: bytes
    """Entries of eight bytes, one an instruction."""
    image_base: int
    """A multiple of 64."""
    image: bytes
    """Whole words; everything outside is zero."""
    elf_digest: bytes = field(default=bytes(32))
    """SHA-256 of the file."""

    def __post_init__(self) -> None:
        assert self.rom
        assert len(self.rom) % ENTRY_BYTES == 0
        assert self.rom_base % 4 == 0
        assert self.image_base % BLOCK_BYTES == 0
        assert len(self.image) % 4 == 0
        assert self.fetch(self.entry) is not None

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The program table."""
        return tuple(Entry._make(fields) for fields in ENTRY_FORM.iter_unpack(self.rom))

    @cached_property
    def image_words(self) -> tuple[int, ...]:
        return struct.unpack(f"<{len(self.image) // 4}I", self.image)

    def fetch(self, pc: int) -> Entry | None:
        """ROM[pc], or None when `pc` is misaligned or outside the ROM."""
        offset = pc - self.rom_base
        if offset % 4 or not 0 <= offset // 4 < len(self.rom) // ENTRY_BYTES:
            return None
        return self.entries[offset // 4]

    def initial(self, address: int) -> int:
        """The word at an aligned address before the first step."""
        index = (address - self.image_base) // 4
        return self.image_words[index] if 0 <= index < len(self.image_words) else 0

    @cached_property
    def root(self) -> bytes:
        """P: 16 bytes."""
        rom_root, rom_depth = tree_root(self.rom)
        image_root, image_depth = tree_root(self.image)
        record = ENTRY_RECORD.pack(
            self.entry, self.rom_base, self.image_base, rom_depth, image_depth
        )
        return node([rom_root, image_root, record, bytes(DIGEST_BYTES)])

    @property
    def identity(self) -> bytes:
        """P and the file's digest: the program id is its tagged hash."""
        return self.root + self.elf_digest


def decode_rom(words: Sequence[int], base: int) -> bytes:
    """The encoded program table of instruction words from address `base` on."""
    return b"".join(decode(word, base + 4 * at).encode() for at, word in enumerate(words))


def from_words(
    words: Sequence[int], *, base: int = 0x1000, image: bytes = b"", image_base: int = 0x20000
) -> Program:
    """A program from instruction words, entered at the first one."""
    padded = image.ljust(-(-len(image) // 4) * 4, b"\0")
    return Program(base, base, decode_rom(words, base), image_base, padded)


def _image(segments: Sequence[Segment]) -> tuple[int, bytes]:
    loaded = [segment for segment in segments if segment.content]
    if not loaded:
        return 0, b""
    base = loaded[0].address // BLOCK_BYTES * BLOCK_BYTES
    end = max(segment.address + len(segment.content) for segment in loaded)
    if end - base > IMAGE_BYTES_MAX:
        why = f"its data spans {end - base:,} bytes, at most {IMAGE_BYTES_MAX:,} are allowed"
        raise InvalidElf(ElfReason.IMAGE, why, LAYOUT)
    image = bytearray(-(-(end - base) // 4) * 4)
    for segment in loaded:
        start = segment.address - base
        image[start : start + len(segment.content)] = segment.content
    return base, bytes(image)


def from_elf(elf: Elf, elf_digest: bytes) -> Program:
    """The program of a read executable. Raises InvalidElf."""
    words = struct.unpack(f"<{len(elf.code.content) // 4}I", elf.code.content)
    if len(words) > ROM_WORDS_MAX:
        why = f"it has {len(words):,} instructions, at most {ROM_WORDS_MAX:,} are allowed"
        raise InvalidElf(ElfReason.CODE, why, "build it smaller (-Os, --gc-sections)")
    base, image = _image(elf.images)
    rom = decode_rom(words, elf.code.address)
    return Program(elf.entry, elf.code.address, rom, base, image, elf_digest)


def load_elf(content: bytes) -> Program:
    """The program of an ELF file. Raises InvalidElf."""
    return from_elf(read_elf(content), hashlib.sha256(content).digest())
