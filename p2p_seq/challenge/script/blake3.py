"""The compression function of BLAKE3 in Script, on doubled nibbles (tables.py).

Source: the BLAKE3 paper, section 2.2 (compression), figure 1 (constants), table 2 (permutation). A
word is eight items, digit 0 the least significant. Rotations by 16, 12 and 8 only rename digits;
the rotation by 7 is one by 8 and a doubling chain.

One step of an addition handles one digit: the carry lies on top, operands are fetched and added to
it, the sum is looked up twice (row pointer, next carry), and the row pointer finds the XOR that
follows. Every step takes two items and leaves two, so all look-ups happen at the same height and
need no constant. The result of an addition is kept in one of two forms:

* the *sum* of its digits before any carry, for an operand that is only added to again. Costs least;
  possible while the next sum still fits into the tables.
* the *row pointers* of its digits; one PICK more gives the digit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from p2p_seq.challenge.script.assembler import Assembler
from p2p_seq.challenge.script.tables import NibbleTables

INITIAL_VECTOR: Final = (
    0x6A09E667,
    0xBB67AE85,
    0x3C6EF372,
    0xA54FF53A,
    0x510E527F,
    0x9B05688C,
    0x1F83D9AB,
    0x5BE0CD19,
)
PERMUTATION: Final = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START: Final = 1
CHUNK_END: Final = 2
ROOT: Final = 8
KEYED_HASH: Final = 16
SINGLE_BLOCK: Final = CHUNK_START | CHUNK_END | ROOT
"""Flags of the only block of a message: what the `blake3` package computes for up to 64 bytes."""

ROUNDS: Final = 7
DIGITS: Final = 8
"""Nibbles of a word."""
STATE_ITEMS: Final = 16 * DIGITS
MESSAGE_ITEMS: Final = 16 * DIGITS
ROOM: Final = STATE_ITEMS + MESSAGE_ITEMS + 1
"""Items above the tables at a look-up: state, message, carry."""

Quarter = tuple[int, int, int, int]
"""The words a, b, c, d of one G; a is also its number in its half of the round."""

_COLUMNS: Final[tuple[Quarter, ...]] = (
    (0, 4, 8, 12),
    (2, 6, 10, 14),
    (1, 5, 9, 13),
    (3, 7, 11, 15),
)
_DIAGONALS: Final[tuple[Quarter, ...]] = (
    (2, 7, 8, 13),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (3, 4, 9, 14),
)
"""The order of the four G is free; this one makes the shortest script."""

VALUE: Final = "value"
SUM: Final = "sum"
ROW: Final = "row"


class Ends(NamedTuple):
    """What is special about the last half of the last round."""

    is_last: bool
    needs_b: bool
    """The digest needs the words b and d as well: it has more than four words."""


Digits = Sequence[str | int]
"""A word from outside: for each digit the name of its item, or its value when it is constant."""


def constant_word(word: int) -> list[str | int]:
    """The digits of a constant."""
    return [word >> 4 * place & 15 for place in range(DIGITS)]


@dataclass
class _Word:
    """One of the sixteen words of the state."""

    items: list[str]
    form: str = VALUE
    bound: int = 15
    """No digit is greater; those of a SUM may be greater than 15."""
    is_begun: bool = False
    """The SUM contains the addends of the first addition already (`_Writer.begin`)."""


class _Writer:
    """The state of the compression while its script is written."""

    def __init__(self, asm: Assembler, tables: NibbleTables, message: Sequence[Digits]) -> None:
        self.asm = asm
        self.tables = tables
        self.message = message
        self.words: list[_Word] = []
        self._names = 0

    def begin(self, chaining: Sequence[Digits], length: int, flags: int) -> None:
        """... message and chaining digits -> ... fillers state K"""
        asm = self.asm
        outside: list[Digits] = [*chaining, *map(constant_word, INITIAL_VECTOR[:4])]
        outside += [constant_word(word) for word in (0, 0, length, flags)]
        begun = {k for k in range(4) if _is_constant(outside[k]) and _is_constant(outside[4 + k])}
        held = sum(isinstance(digit, str) for word in outside for digit in word)
        room = self.tables.room - 1 - self.tables.above(asm) - (STATE_ITEMS - held)
        if room < 0:
            raise ValueError(f"{-room} items too many above the tables")
        _push_fillers(asm, room)
        self.words = [_Word([]) for _ in outside]
        for index in sorted(range(16), key=lambda k: (k not in begun, -(k % 4))):
            if index in begun:
                self.words[index] = self._begun(outside[index], outside[4 + index], index)
            else:
                self.words[index] = _Word([self._place(digit) for digit in outside[index]])
        asm.number(self.tables.zero)

    def _begun(self, a: Digits, b: Digits, index: int) -> _Word:
        """The first sum of a column whose a and b are constant: one addition, made at the start."""
        asm, items = self.asm, self._fresh(DIGITS)
        for place in range(DIGITS):
            constant = 2 * (_constant(a[place]) + _constant(b[place]))
            digit = self.message[2 * index][place]
            if isinstance(digit, int):
                asm.number(constant + 2 * digit)
            else:
                asm.pick(digit)
                _add_constant(asm, constant)
            asm.name(items[place])
        return _Word(items, SUM, 45, is_begun=True)

    def _place(self, digit: str | int) -> str:
        if isinstance(digit, str):
            return digit
        (name,) = self._fresh(1)
        self.asm.number(2 * digit, name)
        return name

    def mix(self, abcd: Quarter, x: Digits, y: Digits, ends: Ends) -> None:
        """The function G of the paper. ... K -> ... K"""
        a, b, c, d = abcd
        self._chain(a, (self.words[b].items, x), d, 4)
        self._chain(c, (self.words[d].items,), b, 3)
        self._chain(a, (self.words[b].items, y), d, 2, ends.is_last)
        if ends.is_last and not ends.needs_b:
            self._chain(c, (self.words[d].items,), None, 2, is_final=True)
        else:
            self._chain(c, (self.words[d].items,), b, 2, ends.is_last)
            self._rotate_left(b, ROW if ends.is_last else VALUE)

    def _chain(
        self,
        target: int,
        addends: Sequence[Digits],
        partner: int | None,
        rotation: int,
        is_final: bool = False,
    ) -> None:
        """target += addends; partner = (partner XOR target) rotated right by `rotation` digits.

        ... K -> ... K
        """
        word = self.words[target]
        step = 15 * len(addends)
        total = word.bound + (0 if word.is_begun else step)
        keeps_sum = self._fits(total + step) and not is_final
        if not self._fits(total):
            raise ValueError(f"sums of {total} in tables for {self.tables.sum_range}")
        kept, made = self._fresh(DIGITS), self._fresh(DIGITS)
        for place in range(DIGITS):
            self._sum(word, [addend[place] for addend in addends], place, keeps_sum)
            other = None if partner is None else self.words[partner].items[place]
            self._look_up(other, place == DIGITS - 1, keeps_sum)
            names = kept[place : place + 1] + ([] if other is None else made[place : place + 1])
            if word.is_begun and keeps_sum:
                kept[place] = word.items[place]
                del names[0]
            for depth, name in enumerate(reversed(names), 1):
                self.asm.name(name, depth)
        self.words[target] = _Word(kept, SUM, total) if keeps_sum else _Word(kept, ROW)
        if partner is not None:
            self.words[partner] = _Word(made[rotation:] + made[:rotation])

    def _fits(self, total: int) -> bool:
        """Whether sums up to `total` and the carries they make are in the tables."""
        return total + (total - 1) // 15 < self.tables.sum_range

    def _sum(self, word: _Word, addends: Sequence[str | int], place: int, keeps: bool) -> None:
        """... carry -> ... [sum] carry+sum; a sum that was begun stays where it is"""
        asm = self.asm
        if word.is_begun and keeps:
            asm.pick(word.items[place])
            asm.ops("ADD")
            return
        self._fetch(word, place)
        if not word.is_begun:
            for digit in addends:
                if isinstance(digit, str):
                    asm.pick(digit)
                    asm.ops("ADD")
            _add_constant(asm, 2 * sum(digit for digit in addends if isinstance(digit, int)))
        asm.ops("TUCK ADD" if keeps else "ADD")

    def _look_up(self, partner: str | None, is_top: bool, keeps_sum: bool) -> None:
        """... [sum] index -> ... kept [partner] carry; K instead of the top digit's carry"""
        asm = self.asm
        if is_top:
            asm.number(self.tables.zero)
        if keeps_sum and partner is not None:
            asm.ops("SWAP PICK" if is_top else "DUP PICK")
            asm.roll(partner)
            asm.ops("ADD PICK SWAP" if is_top else "ADD PICK SWAP PICK")
            return
        asm.ops("SWAP 1SUB PICK" if is_top else "DUP PICK SWAP 1SUB PICK")
        if partner is None:
            asm.ops("SWAP")
        else:
            asm.roll(partner)
            asm.ops("OVER ADD PICK ROT")

    def _rotate_left(self, index: int, form: str) -> None:
        """The word that the last chain made, rotated left by one bit.

        ... digit K -> ... K
        """
        asm, word = self.asm, self.words[index]
        first = next(place for place in range(DIGITS) if asm.depth(word.items[place]) == 1)
        asm.ops("OVER DUP ADD ADD PICK")
        made = self._fresh(DIGITS)
        for step in range(1, DIGITS + 1):
            place = (first + step) % DIGITS
            asm.roll(word.items[place])
            asm.ops("DUP ADD ADD")
            if step == DIGITS:
                asm.number(self.tables.zero)
            asm.ops("SWAP 1SUB PICK" if step == DIGITS else "DUP PICK SWAP 1SUB PICK")
            asm.ops("SWAP" if form == ROW else "PICK SWAP")
            asm.name(made[place], 1)
        self.words[index] = _Word(made, form)

    def finish(self, out_words: int) -> None:
        """... K -> ...; altstack: digest, its first digit on top. Everything above the tables
        goes."""
        asm = self.asm
        for index in range(out_words):
            one, other = self.words[index], self.words[index + 8]
            for place in reversed(range(DIGITS)):
                self._fetch(other, place)
                asm.pick(one.items[place])
                asm.ops("ADD PICK")
                asm.name(digest_name(index, place))
        for _ in range(out_words * DIGITS):
            asm.to_alt()
        asm.drop(self.tables.above(asm))

    def _fetch(self, word: _Word, place: int) -> None:
        """... -> ... digit, or sum; the item of the word is used up"""
        self.asm.roll(word.items[place])
        if word.form == ROW:
            self.asm.ops("PICK")

    def _fresh(self, count: int) -> list[str]:
        self._names += count
        return [f"b3:{self._names - k}" for k in range(count)]


def compress(
    asm: Assembler,
    tables: NibbleTables,
    message: Sequence[Digits],
    chaining: Sequence[Digits],
    *,
    length: int = 64,
    flags: int = SINGLE_BLOCK,
    out_words: int = 4,
) -> None:
    """The first `out_words` (1 to 4, or 8) words of a compression with counter 0.

    tables, any order of the message and chaining digits that have names -> tables altstack: ... ->
    ... digest, its first digit on top: word 0 digit 7, .., word 0 digit 0, word 1 ..

    Everything above the tables is used up; at most `tables.room - 1` items including what of the
    state is constant may lie there.
    """
    writer = _Writer(asm, tables, message)
    writer.begin(chaining, length, flags)
    schedule = list(range(16))
    for index in range(ROUNDS):
        for half, quarters in enumerate((_COLUMNS, _DIAGONALS)):
            ends = Ends(index == ROUNDS - 1 and half == 1, out_words > 4)
            for quarter in quarters:
                first = 8 * half + 2 * quarter[0]
                x, y = schedule[first : first + 2]
                writer.mix(quarter, message[x], message[y], ends)
        schedule = [schedule[k] for k in PERMUTATION]
    writer.finish(out_words)


def digest_name(word: int, place: int) -> str:
    """The name that a digit of the digest has on the altstack."""
    return f"digest:{word}.{place}"


def digest_order(words: int) -> list[tuple[int, int]]:
    """(word, digit) in the order in which a block lies on the stack, the deepest first."""
    return [(word, place) for word in range(words) for place in reversed(range(DIGITS))]


def _is_constant(word: Digits) -> bool:
    return all(isinstance(digit, int) for digit in word)


def _constant(digit: str | int) -> int:
    if isinstance(digit, str):
        raise TypeError(f"{digit!r} is no constant")
    return digit


def _add_constant(asm: Assembler, constant: int) -> None:
    if constant:
        asm.number(constant)
        asm.ops("ADD")


def _push_fillers(asm: Assembler, count: int) -> None:
    """... -> ... and `count` zeros"""
    pushed = min(count, 3)
    for _ in range(pushed):
        asm.number(0)
    while count - pushed >= 3:
        asm.ops("3DUP")
        pushed += 3
    for _ in range(count - pushed):
        asm.number(0)
