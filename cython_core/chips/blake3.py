"""The BLAKE3 chip: 16 rows for each compression of one full block, every step checked bit by bit.

A receive on the bus HASH is a fact: with the chaining value `cv` (the key, where the hash is
keyed), a message block of 64 bytes, `flags` below 2^8 and the counter 0, the first 8 words of the
compression function (BLAKE3 paper, section 2.2) are `out`. Facts may be taken any number of times,
so the multiplicity is free. Words are two limbs of 16 bits, low limb first; the tuple is

    cv[0] + 2^16 flags, cv[1..15], message[0..31], out[0..15]

Rows of a block: row 0 sets up the state, rows 1 to 14 are the half rounds (columns, diagonals,
columns, ...) of four quarter rounds G each, row 15 closes. A quarter round is, with a first and a
second step,

    a' = a + b + x     d' = (d ^ a') >>> 16     c' = c + d'     b' = (b ^ c') >>> 12
    a" = a' + b' + y   d" = (d' ^ a") >>> 8     c" = c' + d"    b" = (b' ^ c") >>> 7

Only the bits of d', b', d", b" are columns (of each of the four lanes). The other words follow from
them, since a' = d ^ (d' <<< 16), c' = b ^ (b' <<< 12), a" = d' ^ (d" <<< 8), c" = b' ^ (b" <<< 7);
that each addition is right is checked on its limbs, with columns for the carries. A row's inputs
are the outputs of the row before it. Between columns and diagonals b, c and d change lanes: by 1,
2, 3 on the way to a diagonal, by 3, 2, 1 on the way back.

Why a row 14 that is received is a true fact. All bit columns are boolean in every row. In row 0 the
state is fixed: b" and a" are cv, d" is counter, length and flags, and row 1 takes the initial
vector in place of c". In rows 1 to 14 limbs of words are sums of 16 bits and those of the message
as well (they are carried to rows where they are bits, see below), a carry of a is 0, 1 or 2 and one
of c is 0 or 1: so both sides of an addition are integers below 2^18 that are equal modulo p, hence
equal, hence a and c are the sums modulo 2^32, and d', b', d", b" follow. cv and flags are the same
in rows 0 to 14.

What the rows 0 and 15 hold besides. An addition cannot be switched off there, its degree is 3
already: instead it is left a free cell. Those of a read the message, which rows 0 and 15 do not
carry; those of c have a carry, which is boolean in rows 1 to 14 only. The bits that these rows do
not need for the state hold the message: words 0 to 3 are b' in row 0, words 4 to 15 are b', d", b"
in row 15, so its limbs have 16 bits. The bits of d' in row 15 are the final a, a copy that brings
the degree of a ^ c down; the limbs of a ^ c are columns in all rows, for the same reason that
nothing can be switched off.

All constraints speak of a row and the next, of the last and the first row as well.
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from cython_core.air.language import Bus, Column, Expression, TableBuilder

Bits = list[Expression]

INITIAL_VECTOR: Final = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A)
"""BLAKE3 paper, table 1. Repeated from cython_core.hash, which needs its extensions built."""
PERMUTATION: Final = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
"""BLAKE3 paper, table 2."""

ROWS: Final = 16
"""Of a block."""
LANES: Final = 4
FINISHING_ROW: Final = 14
"""The row after the last half round's constraints, where the fact is received."""
BLOCK_LENGTH: Final = 64
"""Bytes of the message. Compressions of shorter blocks are not offered."""
KEYED_FLAGS: Final = 27
"""CHUNK_START, CHUNK_END, ROOT, KEYED_HASH: a keyed hash of one block."""
ROTATIONS: Final = (16, 12, 8, 7)
"""Of d', b', d", b"."""
MESSAGE_IN_FIRST_ROW: Final = 4
"""Words of the message whose bits stand in row 0, the others stand in row 15."""

HASH: Final = Bus("hash", 64)


def message_order() -> list[int]:
    """order[word] is the place, in row 14, of a word of the message.

    The half round of a row reads places 0 to 7: to a diagonal the halves are swapped, and from it
    they are swapped back and permuted."""
    held = list(range(16))
    for row in range(1, FINISHING_ROW):
        held = [held[place] for place in (SWAPPED if row % 2 else PERMUTED)]
    return [held.index(word) for word in range(16)]


SWAPPED: Final = tuple((place + 8) % 16 for place in range(16))
PERMUTED: Final = tuple((place + 8) % 16 for place in PERMUTATION)
"""The place in this row that a place of the next row is filled from."""


def hash_tuple(
    cv: list[Expression], flags: Expression, message: list[Expression], out: list[Expression]
) -> list[Expression]:
    """A tuple of the bus HASH, from limbs."""
    return [cv[0] + flags * 2**16, *cv[1:], *message, *out]


def rotated_left(bits: Bits, distance: int) -> Bits:
    return [bits[(place - distance) % 32] for place in range(32)]


def pack(bits: Bits) -> Expression:
    """The integer with these bits, lowest first. Doubling by addition: cheaper than a product."""
    total = bits[-1]
    for bit in reversed(bits[:-1]):
        total = total + total + bit
    return total


def limbs(bits: Bits) -> list[Expression]:
    return [pack(bits[:16]), pack(bits[16:])]


def xor(first: Bits, second: Bits) -> Bits:
    both = [a * b for a, b in zip(first, second, strict=True)]
    return [a + b - (c + c) for a, b, c in zip(first, second, both, strict=True)]


def xor_limbs(first: Bits, second: Bits) -> list[Expression]:
    """The limbs of first ^ second = first + second - 2 (first & second)."""
    both = limbs([a * b for a, b in zip(first, second, strict=True)])
    sums = zip(limbs(first), limbs(second), both, strict=True)
    return [a + b - (c + c) for a, b, c in sums]


@dataclass(frozen=True)
class Words:
    """The words of one row as bits, by lane: d', b', d", b"."""

    d_middle: list[Bits]
    b_middle: list[Bits]
    d_out: list[Bits]
    b_out: list[Bits]

    def a_out(self, lane: int) -> list[Expression]:
        """Limbs of a"."""
        return xor_limbs(self.d_middle[lane], rotated_left(self.d_out[lane], 8))

    def c_out(self, lane: int) -> list[Expression]:
        return xor_limbs(self.b_middle[lane], rotated_left(self.b_out[lane], 7))

    def c_out_bits(self, lane: int) -> Bits:
        return xor(self.b_middle[lane], rotated_left(self.b_out[lane], 7))


def words_of(columns: list[list[list[Column]]], *, following: bool) -> Words:
    """The words of this row or of the next, from the columns of their bits."""
    d_middle, b_middle, d_out, b_out = (
        [[bit.next if following else bit for bit in lane] for lane in lanes] for lanes in columns
    )
    return Words(d_middle, b_middle, d_out, b_out)


class Blake3Chip:
    """Writes the table; each method adds one group of constraints."""

    def __init__(self, name: str = "blake3") -> None:
        self.table = TableBuilder(name)
        table = self.table
        bits: dict[str, list[list[Column]]] = {
            word: [table.main(f"{word}.{lane}", 32) for lane in range(LANES)]
            for word in ("d_middle", "b_middle", "d_out", "b_out")
        }
        self.carries: dict[str, list[list[Column]]] = {
            word: [table.main(f"{word}_carry.{lane}", 2) for lane in range(LANES)]
            for word in ("a_middle", "c_middle", "a_out", "c_out")
        }
        self.message = table.main("message", 32)
        self.cv = table.main("cv", 16)
        self.a_xor_c = table.main("a_xor_c", 8)
        self.flags = table.main("flags")
        self.multiplicity = table.main("multiplicity")
        self.here = words_of(list(bits.values()), following=False)
        self.following = words_of(list(bits.values()), following=True)
        self.columns = [bit for lanes in bits.values() for lane in lanes for bit in lane]
        self.is_even = table.periodic("is_even", [1, 0])
        self.is_set_up = self._rows("is_set_up", [0])
        self.is_finished = self._rows("is_finished", [FINISHING_ROW])
        self.is_half_round = self._rows("is_half_round", range(1, 15))
        self.swaps = self._rows("swaps", range(1, 14, 2))
        self.permutes = self._rows("permutes", range(2, 13, 2))
        self.keeps_inputs = self._rows("keeps_inputs", range(FINISHING_ROW))

    def _rows(self, name: str, rows: Container[int]) -> Expression:
        return self.table.periodic(name, [int(row in rows) for row in range(ROWS)])

    def write(self) -> TableBuilder:
        self._cells()
        self._set_up()
        for lane in range(LANES):
            self._quarter_round(lane)
        self._inputs()
        self._message_bits()
        self._result()
        return self.table

    def _cells(self) -> None:
        for column in self.columns:
            self.table.require_boolean(column, column.name)
        for word, lanes in self.carries.items():
            for carry in (carry for lane in lanes for carry in lane):
                boolean = carry * (carry - 1)
                if word.startswith("a"):
                    self.table.require(boolean * (carry - 2), carry.name)
                else:
                    self.table.require(self.is_half_round * boolean, carry.name)

    def _set_up(self) -> None:
        """Row 0: the state, placed so that the change of lanes before row 1 puts it right."""
        require, here = self.table.require, self.here
        for lane in range(LANES):
            for limb in range(2):
                require(
                    self.is_set_up * (here.a_out(lane)[limb] - self.cv[2 * lane + limb]),
                    f"set up a, lane {lane}, limb {limb}",
                )
                require(
                    self.is_set_up
                    * (limbs(here.b_out[(lane + 3) % 4])[limb] - self.cv[8 + 2 * lane + limb]),
                    f"set up b, lane {lane}, limb {limb}",
                )
        counter_low, counter_high, length, flags = (here.d_out[(i + 1) % 4] for i in range(4))
        # Sums of few bits that are zero: each of them is.
        require(self.is_set_up * sum_of(limbs(counter_low)), "set up the counter, low word")
        require(self.is_set_up * sum_of(limbs(counter_high)), "set up the counter, high word")
        require(self.is_set_up * (limbs(length)[0] - BLOCK_LENGTH), "set up the length")
        require(self.is_set_up * limbs(length)[1], "set up the length, high limb")
        require(self.is_set_up * (pack(flags[:8]) - self.flags), "set up the flags")
        require(self.is_set_up * pack(flags[8:]), "set up the flags, high bits")

    def _quarter_round(self, lane: int) -> None:
        """The additions of the next row's quarter round, its inputs from this row."""
        here, after = self.here, self.following
        # Limbs of the inputs; each is what the row holds in the lane that it comes from.
        b = self._moved(limbs(here.b_out[(lane + 3) % 4]), limbs(here.b_out[(lane + 1) % 4]))
        a = here.a_out(lane)
        c = [
            carried + self.is_set_up * (start - carried)
            for carried, start in zip(
                here.c_out((lane + 2) % 4),
                (INITIAL_VECTOR[lane] & 0xFFFF, INITIAL_VECTOR[lane] >> 16),
                strict=True,
            )
        ]
        d_turned = rotated_left(after.d_middle[lane], 16)
        a_middle = self._moved(
            xor_limbs(here.d_out[(lane + 1) % 4], d_turned),
            xor_limbs(here.d_out[(lane + 3) % 4], d_turned),
        )
        b_turned = rotated_left(after.b_middle[lane], 12)
        c_middle = self._moved(
            xor_limbs(here.b_out[(lane + 3) % 4], b_turned),
            xor_limbs(here.b_out[(lane + 1) % 4], b_turned),
        )
        d_middle, b_middle = limbs(after.d_middle[lane]), limbs(after.b_middle[lane])
        x, y = self._message_limbs(2 * lane), self._message_limbs(2 * lane + 1)
        self._addition("a_middle", lane, [a, b, x], a_middle)
        self._addition("c_middle", lane, [c, d_middle], c_middle)
        self._addition("a_out", lane, [a_middle, b_middle, y], after.a_out(lane))
        self._addition("c_out", lane, [c_middle, limbs(after.d_out[lane])], after.c_out(lane))

    def _moved(
        self, to_columns: list[Expression], to_diagonals: list[Expression]
    ) -> list[Expression]:
        """What the next row takes: columns follow on even rows, diagonals on odd ones."""
        return [
            odd + self.is_even * (even - odd)
            for even, odd in zip(to_columns, to_diagonals, strict=True)
        ]

    def _message_limbs(self, word: int) -> list[Expression]:
        return [self.message[2 * word].next, self.message[2 * word + 1].next]

    def _addition(
        self, word: str, lane: int, terms: list[list[Expression]], total: list[Expression]
    ) -> None:
        low, high = (carry.next for carry in self.carries[word][lane])
        name = f"add {word}, lane {lane}"
        self.table.require(
            sum_of([term[0] for term in terms]) - total[0] - low * 2**16, f"{name}, low limb"
        )
        self.table.require(
            sum_of([term[1] for term in terms]) + low - total[1] - high * 2**16,
            f"{name}, high limb",
        )

    def _inputs(self) -> None:
        """What is carried from row to row."""
        for index, column in enumerate([*self.cv, self.flags]):
            name = f"keep cv[{index}]" if index < 16 else "keep the flags"
            self.table.require(self.keeps_inputs * (column.next - column), name)
        for place in range(16):
            for limb in range(2):
                after = self.message[2 * place + limb].next
                swapped = self.message[2 * SWAPPED[place] + limb]
                permuted = self.message[2 * PERMUTED[place] + limb]
                self.table.require(
                    self.swaps * (after - swapped) + self.permutes * (after - permuted),
                    f"carry the message, word {place}, limb {limb}",
                )

    def _message_bits(self) -> None:
        order = message_order()
        closing = [*self.following.b_middle, *self.following.d_out, *self.following.b_out]
        for word in range(16):
            for limb in range(2):
                name = f"bits of message word {word}, limb {limb}"
                if word < MESSAGE_IN_FIRST_ROW:
                    bits = limbs(self.here.b_middle[word])[limb]
                    carried = self.message[2 * word + limb].next
                    self.table.require(self.is_set_up * (carried - bits), name)
                else:
                    bits = limbs(closing[word - MESSAGE_IN_FIRST_ROW])[limb]
                    carried = self.message[2 * order[word] + limb]
                    self.table.require(self.is_finished * (carried - bits), name)

    def _result(self) -> None:
        """After the last diagonal, word j of a, b, c, d is in lane j, j + 3, j + 2, j + 1."""
        here, final_a = self.here, self.following.d_middle
        for lane in range(LANES):
            a_xor_c = xor_limbs(here.c_out_bits((lane + 2) % 4), final_a[lane])
            for limb in range(2):
                self.table.require(
                    self.is_finished * (limbs(final_a[lane])[limb] - here.a_out(lane)[limb]),
                    f"final a, lane {lane}, limb {limb}",
                )
                self.table.require(
                    self.a_xor_c[2 * lane + limb] - a_xor_c[limb],
                    f"a ^ c, lane {lane}, limb {limb}",
                )
        b_xor_d = [
            limb
            for lane in range(LANES)
            for limb in xor_limbs(here.b_out[(lane + 3) % 4], here.d_out[(lane + 1) % 4])
        ]
        places = [2 * place + limb for place in message_order() for limb in range(2)]
        message: list[Expression] = [self.message[place] for place in places]
        self.table.receive(
            HASH,
            hash_tuple([*self.cv], self.flags, message, [*self.a_xor_c, *b_xor_d]),
            multiplicity=self.is_finished * self.multiplicity,
        )


def sum_of(terms: list[Expression]) -> Expression:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def blake3_table() -> TableBuilder:
    """The chip. It receives on HASH; see the module for what a tuple says."""
    return Blake3Chip().write()
