"""The chip of B3: a compression of BLAKE3 on 24 words of memory.

    [v2] := compress(cv = [v2], message = [v1 .. v1 + 64), length 64, flags = imm, counter 0)

v1 is a multiple of 64, v2 of 32: their low limbs are known to be in range, so that it is enough to
show that the limb over 64 (32) is, too; a quotient that is no integer is an element far above. That
the two regions do not meet needs no constraint: a word that is in both would be received twice at
one clock, and the second time nothing is there but what the first sent, whose clock is not in the
past. Values that are written are in range because the facts of the BLAKE3 chip are.
"""

import struct
from collections import Counter
from collections.abc import Iterable
from typing import Final

from cython_core.air.language import Expression
from cython_core.chips.blake3 import HASH, hash_tuple
from cython_core.vm.operations import LINE_BYTES, Op
from cython_core.vm.records import LINE_WORDS
from cython_core.zkvm.buses import RANGE
from cython_core.zkvm.cells import Cell
from cython_core.zkvm.fill import Fill, part
from cython_core.zkvm.row_chip import WIDE_WORDS, At, RowChip, Second
from cython_core.zkvm.words import Word, word_address

PART_WORDS: Final = 16
OUT_AT: Final = At.WIDE + 8
"""The result in the head, behind the fields that narrow rows have too."""
LINE_A, LINE_B, LINE_C = (At.WIDE + PART_WORDS * number for number in (1, 2, 3))
CLOCK_BITS: Final = 24
WORD_BITS: Final = 32
BLOCK_LOG, LINE_LOG = 6, 5

assert 1 << LINE_LOG == LINE_BYTES


def word_at(line: int, index: int) -> int:
    """Place of a word of a line: behind the base."""
    return line + 1 + index


def clock_at(line: int, index: int) -> Fill:
    """The clock of a word of a line: 24 bits each, behind the words."""
    place, shift = divmod(CLOCK_BITS * index, WORD_BITS)
    place += line + 1 + LINE_WORDS
    here = min(CLOCK_BITS, WORD_BITS - shift)
    low = part(place, shift, (1 << here) - 1)
    if here == CLOCK_BITS:
        return low
    return low + part(place + 1, 0, (1 << CLOCK_BITS - here) - 1) * (1 << here)


def access_line(
    chip: RowChip, name: str, line: int, address: Cell, after: list[Word] | None = None
) -> list[Word]:
    """The words of a line as they were; `after` is what is written, by default the same."""
    words = [chip.words(f"{name}[{at}]", word_at(line, at)) for at in range(LINE_WORDS)]
    for at, word in enumerate(words):
        written = word if after is None else after[at]
        chip.memory_access(
            address + at, word, written, clock_at(line, at), f"clock of {name}[{at}]"
        )
    return words


def expressions(cells: Iterable[Cell]) -> list[Expression]:
    """Of cells that are no constants."""
    found = [cell.air for cell in cells]
    return [air for air in found if isinstance(air, Expression)]


def limbs(words: Iterable[Word]) -> list[Expression]:
    return expressions(limb for word in words for limb in (word.low, word.high))


def compressions() -> RowChip:
    chip = RowChip("b3", [(Op.B3, True)], second=Second.ANY, writes=False, row_words=WIDE_WORDS)
    for base, log in ((chip.v1, BLOCK_LOG), (chip.v2, LINE_LOG)):
        chip.everywhere.fact(RANGE, [base.low.divided(log)])
    source, target = word_address(chip.v1), word_address(chip.v2)
    first = access_line(chip, "message", LINE_A, source)
    second = access_line(chip, "rest", LINE_B, source + LINE_WORDS)
    out = [chip.words(f"out[{at}]", OUT_AT + at) for at in range(LINE_WORDS)]
    chaining = access_line(chip, "cv", LINE_C, target, out)
    (flags,) = expressions([chip.imm.low])
    message = limbs([*first, *second])
    chip.builder.send(
        HASH, hash_tuple(limbs(chaining), flags, message, limbs(out)), chip.is_real.air
    )
    chip.finish()
    return chip


COMPRESSION: Final = struct.Struct("<4x4s124x32s32x32s32x32s28x")
"""Of a row: flags, both halves of the message, chaining value."""

assert COMPRESSION.size == 4 * WIDE_WORDS


def hash_requests(rows: bytes) -> bytes:
    """What the BLAKE3 chip must have facts of, for `chips._blake3_trace`, in the order of the rows.

    Equal compressions are one request: a tenth of those of a batch of transfers are, each would
    take 16 rows of the widest table, and to find them takes no time. ValueError for what are no
    rows.
    """
    if len(rows) % COMPRESSION.size:
        raise ValueError(f"{len(rows)} bytes are no rows of {COMPRESSION.size} bytes")
    asked = Counter(COMPRESSION.iter_unpack(rows))
    requests: list[bytes] = []
    for (flags, first, second, chaining), times in asked.items():
        requests += (chaining, first, second, flags, times.to_bytes(4, "little"))
    return b"".join(requests)


WIDE_CHIPS: Final = (compressions(),)
