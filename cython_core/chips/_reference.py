"""The trace of the BLAKE3 chip in plain Python: the twin that the C code is tested against.

Written from the description of the chip, with the message permuted place by place and the free
cells solved for from the additions they belong to.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cython_core.chips.blake3 import BLOCK_LENGTH, INITIAL_VECTOR, PERMUTATION
from cython_core.field._reference import P, inverse

REQUEST: Final = struct.Struct("<8I16III")
MASK: Final = 0xFFFFFFFF
HALF_ROUNDS: Final = range(1, 15)
NOBODY: Final = REQUEST.pack(*[0] * 24, 27, 0)
"""A compression that fills the table."""


def rotated_right(word: int, distance: int) -> int:
    return (word >> distance | word << (32 - distance)) & MASK


def rotated_left(word: int, distance: int) -> int:
    return rotated_right(word, 32 - distance)


def limbs(word: int) -> list[int]:
    return [word & 0xFFFF, word >> 16]


@dataclass
class Row:
    """d', b', d", b" by lane, and what is not made of bits, by column."""

    words: list[list[int]]
    carries: list[list[list[int]]] = field(default_factory=list)
    """Of a', c', a", c", by lane."""
    message: list[int] = field(default_factory=lambda: [0] * 32)
    """Elements of the field, in free cells; limbs otherwise."""
    cv: list[int] = field(default_factory=list)
    a_xor_c: list[int] = field(default_factory=list)
    flags: int = 0
    multiplicity: int = 0

    def a_out(self, lane: int) -> int:
        return self.words[0][lane] ^ rotated_left(self.words[2][lane], 8)

    def c_out(self, lane: int) -> int:
        return self.words[1][lane] ^ rotated_left(self.words[3][lane], 7)

    def cells(self) -> list[int]:
        bits = [word >> bit & 1 for kind in self.words for word in kind for bit in range(32)]
        carries = [carry for kind in self.carries for lane in kind for carry in lane]
        last = [*self.cv, *self.a_xor_c, self.flags, self.multiplicity]
        return [*bits, *carries, *self.message, *last]


def inputs(row: Row, number: int, lane: int) -> tuple[int, int, int, int]:
    """a, b, c, d of a lane of the row after `row`, which has this number in its block."""
    to_diagonals = number % 2 == 1
    b = row.words[3][(lane + (1 if to_diagonals else 3)) % 4]
    c = INITIAL_VECTOR[lane] if number == 0 else row.c_out((lane + 2) % 4)
    d = row.words[2][(lane + (3 if to_diagonals else 1)) % 4]
    return row.a_out(lane), b, c, d


def half_round(row: Row, number: int, message: Sequence[int]) -> Row:
    after = Row([[0] * 4 for _ in range(4)])
    for lane in range(4):
        a, b, c, d = inputs(row, number, lane)
        for step, (turn_d, turn_b) in enumerate(((16, 12), (8, 7))):
            a = (a + b + message[2 * lane + step]) & MASK
            d = rotated_right(d ^ a, turn_d)
            c = (c + d) & MASK
            b = rotated_right(b ^ c, turn_b)
            after.words[2 * step][lane] = d
            after.words[2 * step + 1][lane] = b
    after.message = [limb for word in message for limb in limbs(word)]
    return after


def block(request: bytes) -> list[Row]:
    """The rows of one compression, with the free cells still zero."""
    values = REQUEST.unpack(request)
    cv, message = values[:8], list(values[8:24])
    d_out = [values[24], 0, 0, BLOCK_LENGTH]
    d_middle = [cv[lane] ^ rotated_left(d_out[lane], 8) for lane in range(4)]
    rows = [Row([d_middle, message[:4], d_out, [cv[5], cv[6], cv[7], cv[4]]])]
    words = message
    for number in HALF_ROUNDS:
        rows.append(half_round(rows[-1], number - 1, words))
        words = [*words[8:], *words[:8]]
        if number % 2 == 0:
            words = [words[place] for place in PERMUTATION]
    final_a = [rows[-1].a_out(lane) for lane in range(4)]
    rows.append(Row([final_a, message[4:8], message[8:12], message[12:]]))
    for row in rows:
        row.cv = [limb for word in cv for limb in limbs(word)]
        row.flags, row.multiplicity = values[24:]
    return rows


def complete(row: Row, number: int, after: Row) -> None:
    """The cells that depend on two rows that follow each other."""
    after.carries = [[[0, 0] for _ in range(4)] for _ in range(4)]
    is_half_round = (number + 1) % 16 in HALF_ROUNDS
    for lane in range(4):
        a, b, c, d = inputs(row, number, lane)
        d_middle, b_middle, d_out, _ = (kind[lane] for kind in after.words)
        a_middle = d ^ rotated_left(d_middle, 16)
        c_middle = b ^ rotated_left(b_middle, 12)
        for kind, terms, total, place in (
            (0, (a, b), a_middle, 2 * lane),
            (2, (a_middle, b_middle), after.a_out(lane), 2 * lane + 1),
        ):
            if is_half_round:
                word = after.message[2 * place] | after.message[2 * place + 1] << 16
                after.carries[kind][lane] = carries([*terms, word], total)
            else:
                free = [
                    (limbs(total)[i] - sum(limbs(term)[i] for term in terms)) % P for i in (0, 1)
                ]
                after.message[2 * place : 2 * place + 2] = free
        after.carries[1][lane] = carries([c, d_middle], c_middle)
        after.carries[3][lane] = carries([c_middle, d_out], after.c_out(lane))
        row.a_xor_c += limbs(row.c_out((lane + 2) % 4) ^ after.words[0][lane])


def carries(terms: Sequence[int], total: int) -> list[int]:
    """Of the two limbs of an addition; in the field, whether it is right or not."""
    low, high = (sum(limbs(term)[limb] for term in terms) - limbs(total)[limb] for limb in (0, 1))
    low_carry = low * inverse(1 << 16) % P
    return [low_carry, (high + low_carry) * inverse(1 << 16) % P]


def blake3_trace_rows(requests: bytes, blocks: int) -> list[list[int]]:
    """Row by row what `blake3_trace` has in its matrix."""
    asked = [requests[i : i + REQUEST.size] for i in range(0, len(requests), REQUEST.size)]
    rows = [row for request in asked for row in block(request)]
    for _ in range(blocks - len(asked)):
        rows += block(NOBODY)
    for index, row in enumerate(rows):
        complete(row, index % 16, rows[(index + 1) % len(rows)])
    return [row.cells() for row in rows]
