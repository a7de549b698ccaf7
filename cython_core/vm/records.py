"""One committed row, to the byte (shared reference trace.md, 1.2 and 1.3).

A narrow row is 13 little-endian words, a wide row four parts of 64 bytes: head H and the lines A, B
and C. The first 32 bytes of a narrow record and of H have the same layout. Decoding is strict:
what is decoded encodes to the same bytes, and every other spelling is refused.
"""

import struct
from typing import Final, NamedTuple

from cython_core.vm.operations import HALTED, NO_ACCESS, WIDE, Op

NARROW_BYTES: Final = 52
LEAF_BYTES: Final = 64
WIDE_BYTES: Final = 256
HEAD_BYTES: Final = 32
LINE_WORDS: Final = 8
NARROW_FORM: Final = struct.Struct("<4B12I")
HEAD_FORM: Final = struct.Struct("<4B7I8I")
LINE_FORM: Final = struct.Struct("<I8I24s4x")
WORD_LIMIT: Final = 1 << 32

assert NARROW_FORM.size == NARROW_BYTES
assert HEAD_FORM.size == LINE_FORM.size == LEAF_BYTES


class MalformedRow(ValueError):
    """Bytes that are no canonical record."""


class NarrowRow(NamedTuple):
    """Fields in the order of their bytes; unused ones are 0, `ma` without access is 1."""

    op: int
    rd: int
    rs1: int
    rs2: int
    imm: int
    pc: int
    npc: int
    t1: int
    v1: int
    t2: int
    v2: int
    tm: int
    ma: int
    mv: int
    mn: int
    wv: int

    def encode(self) -> bytes:
        """The record: 52 bytes. Raises struct.error for a field that does not fit."""
        return NARROW_FORM.pack(*self)

    def leaves(self) -> tuple[bytes, ...]:
        """What is hashed: one block."""
        return (self.encode().ljust(LEAF_BYTES, b"\0"),)


class Line(NamedTuple):
    """Eight words at `base` with the clock of the last access to each."""

    base: int
    words: tuple[int, ...]
    clocks: tuple[int, ...]

    def encode(self) -> bytes:
        clocks = b"".join(clock.to_bytes(3, "little") for clock in self.clocks)
        return LINE_FORM.pack(self.base, *self.words, clocks)


INACTIVE_LINE: Final = Line(NO_ACCESS, (0,) * LINE_WORDS, (0,) * LINE_WORDS)
"""Line B of all wide operations but B3."""


class WideRow(NamedTuple):
    """A row of B3 or of an operation of FIELD."""

    op: int
    rd: int
    rs1: int
    rs2: int
    imm: int
    pc: int
    npc: int
    t1: int
    v1: int
    t2: int
    v2: int
    out: tuple[int, ...]
    a: Line
    b: Line
    c: Line

    def encode(self) -> bytes:
        """The four parts: 256 bytes. Raises struct.error or OverflowError for a wrong field."""
        return b"".join(self.leaves())

    def leaves(self) -> tuple[bytes, ...]:
        """What is hashed: H, A, B and C."""
        head = HEAD_FORM.pack(*self[:11], *self.out)
        return head, self.a.encode(), self.b.encode(), self.c.encode()


Row = NarrowRow | WideRow

PAD_ROW: Final = NarrowRow(Op.PAD, 0, 0, 0, 0, HALTED, HALTED, 0, 0, 0, 0, 0, NO_ACCESS, 0, 0, 0)
"""Every slot after HALT, and slot 0, which no rule looks at."""


def decode_narrow(record: bytes) -> NarrowRow:
    """A record of 52 bytes, or of 64 when the last 12 are zero. Raises MalformedRow."""
    if len(record) == LEAF_BYTES and not any(record[NARROW_BYTES:]):
        record = record[:NARROW_BYTES]
    if len(record) != NARROW_BYTES:
        raise MalformedRow(f"a narrow record has {NARROW_BYTES} bytes, not {len(record)}")
    return NarrowRow._make(NARROW_FORM.unpack(record))


def _decode_line(part: bytes) -> Line:
    fields = LINE_FORM.unpack(part)
    if any(part[-4:]):
        raise MalformedRow("a line ends in four zero bytes")
    clocks = fields[9]
    numbers = tuple(int.from_bytes(clocks[at : at + 3], "little") for at in range(0, 24, 3))
    return Line(fields[0], fields[1:9], numbers)


def decode_wide(record: bytes) -> WideRow:
    """The four parts of a wide record. Raises MalformedRow."""
    if len(record) != WIDE_BYTES:
        raise MalformedRow(f"a wide record has {WIDE_BYTES} bytes, not {len(record)}")
    parts = [record[at : at + LEAF_BYTES] for at in range(0, WIDE_BYTES, LEAF_BYTES)]
    head = HEAD_FORM.unpack(parts[0])
    a, b, c = map(_decode_line, parts[1:])
    return WideRow._make((*head[:11], head[11:], a, b, c))


def decode_rows(narrow: bytes, wide: bytes) -> list[Row]:
    """The rows of a run as the executor writes them.

    Each row has a slot of 52 bytes. The slot of a wide row holds the first 32 bytes of its head and
    zeros; its record is the next one in `wide`. Raises MalformedRow.
    """
    if len(narrow) % NARROW_BYTES or len(wide) % WIDE_BYTES:
        raise MalformedRow("rows end in the middle of a record")
    rows: list[Row] = []
    at = 0
    for fields in NARROW_FORM.iter_unpack(narrow):
        if fields[0] not in WIDE:
            rows.append(NarrowRow._make(fields))
            continue
        row = decode_wide(wide[at : at + WIDE_BYTES])
        if row[:11] != fields[:11] or any(fields[11:]):
            raise MalformedRow(f"row {len(rows) + 1} and its wide record differ")
        rows.append(row)
        at += WIDE_BYTES
    if at != len(wide):
        raise MalformedRow("there are more wide records than rows for them")
    return rows


def encode_rows(rows: list[Row]) -> tuple[bytes, bytes]:
    """Inverse of `decode_rows`."""
    narrow, wide = bytearray(), bytearray()
    for row in rows:
        record = row.encode()
        if isinstance(row, WideRow):
            narrow += record[:HEAD_BYTES].ljust(NARROW_BYTES, b"\0")
            wide += record
        else:
            narrow += record
    return bytes(narrow), bytes(wide)
