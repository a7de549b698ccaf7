"""Rows on disk: what `p2pseq vm trace` writes.

    magic 16 | program root P 16 | rows u32 | wide rows u32 | slots of 52 bytes | records of 256

Slots and wide records are those of `records.decode_rows`: row 1 first, HALT last, no padding. A
reader accepts exactly this; the file proves nothing by itself, whoever relies on rows checks them.
"""

import struct
from collections.abc import Iterable
from typing import BinaryIO, Final

from cython_core.vm.operations import CLOCK_MAX
from cython_core.vm.program import DIGEST_BYTES
from cython_core.vm.records import NARROW_BYTES, WIDE_BYTES, MalformedRow, Row, decode_rows

MAGIC: Final = b"p2pseq-rows-v1\r\n"
HEADER: Final = struct.Struct(f"<16s{DIGEST_BYTES}sII")


def write_trace(file: BinaryIO, root: bytes, pieces: Iterable[tuple[bytes, bytes]]) -> int:
    """Writes the rows of a run as they come; returns their number. The file must be seekable."""
    file.write(bytes(HEADER.size))
    rows, wide_records = 0, []
    for narrow, wide in pieces:
        file.write(narrow)
        wide_records.append(wide)
        rows += len(narrow) // NARROW_BYTES
    for wide in wide_records:
        file.write(wide)
    file.seek(0)
    file.write(HEADER.pack(MAGIC, root, rows, sum(map(len, wide_records)) // WIDE_BYTES))
    return rows


def read_trace(content: bytes) -> tuple[bytes, list[Row]]:
    """P and the rows of a file. Raises MalformedRow."""
    if len(content) < HEADER.size or not content.startswith(MAGIC):
        raise MalformedRow("this is no file of rows")
    _, root, rows, wide = HEADER.unpack_from(content)
    split = HEADER.size + rows * NARROW_BYTES
    if rows > CLOCK_MAX or len(content) != split + wide * WIDE_BYTES:
        raise MalformedRow("the file is longer or shorter than it says")
    return root, decode_rows(content[HEADER.size : split], content[split:])
