"""Rows of the chips "product" and "sum" that break one rule each and say what is not so.

A wrong product is made by a slip: something is added to the total of a limb. Operands, quotient and
remainder are those of the sum with it, so that all other limbs are right. A slip of one is a broken
equation; other slips are what a column that is out of its range adds, modulo the field's p, to the
limbs that it is in. So each fact about a range is shown to keep something out.
"""

import random
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from cython_core.air.table import MODULUS
from cython_core.vm.operations import P256, Op
from tests.unit.cython_core.vm_programs import (
    FIELD,
    HALT,
    IMAGE_BASE,
    LEFT,
    RIGHT,
    program_of,
    set_register,
    show,
)
from tests.unit.cython_core.zkvm_cases import cells_of, chip_of, steps
from tests.unit.cython_core.zkvm_forgery import places_of

Slips = Mapping[int, int]
"""By the limb: what is added to its total."""

LIMB: Final = 0xFFFF
LIMBS: Final = 16
BYTES: Final = 32
EXCESS: Final = (977, 0, 1, *(0,) * 13)
"""Limbs of 2^256 - p256."""
CARRIED: Final = -32512
"""2^16 times it is 1 modulo p: as a carry it takes one off a limb, and 32512 off the next one."""
BYTE: Final = 8323072
"""256 times it is -1 modulo p: a byte more by it and one less by -1 are the same limb."""
QUOTIENT: Final = 2180866
"""977 times it is little below p: as a limb of the quotient it takes 351 off a limb."""
FUNCTIONS: Final = dict(zip((Op.MULP, Op.SQRP, Op.ADDP, Op.SUBP, Op.COPY), FIELD, strict=True))
CLOCKS: Final = (
    "t1", "t2", *(f"clock of {line}[{at}]" for line in "ac" for at in range(8)),
)  # fmt: skip
"""In the order in which they take limbs."""
ACCUMULATOR: Final = IMAGE_BASE + 32

assert (CARRIED << 16) % MODULUS == 1
assert 256 * BYTE % MODULUS == MODULUS - 1
assert 977 * QUOTIENT - MODULUS == -351


class Comparison(NamedTuple):
    """Columns that show that a result is below p256."""

    has_zero: str
    inverse: str
    borrows: tuple[str, str]
    left: tuple[str, str, str]


SUM_LEFT: Final = ("limb.0", "limb.1", "limb.2")
COMPARISON: Final = {
    Op.MULP: Comparison(
        "bit.all.1", "free.all.48", ("bit.all.2", "bit.all.3"),
        ("limb.all.34", "limb.all.35", "limb.all.36"),
    ),
    Op.ADDP: Comparison("bit.32", "free.0", ("bit.33", "bit.34"), SUM_LEFT),
    Op.SUBP: Comparison("bit.48", "free.0", ("bit.49", "bit.50"), SUM_LEFT),
}  # fmt: skip


class NoRow(Exception):
    """The carries of these numbers have no columns."""


@dataclass(frozen=True)
class Lie:
    what: str
    op: Op
    honest: Sequence[int]
    cells: Sequence[int]


def row_of(op: Op, operand: int, accumulator: int) -> list[int]:
    """The words of one step on these numbers."""
    image = operand.to_bytes(32, "little") + accumulator.to_bytes(32, "little")
    words = [
        *set_register(LEFT, IMAGE_BASE),
        *set_register(RIGHT, ACCUMULATOR),
        FUNCTIONS[op](LEFT, RIGHT),
        *(show(place, 1) for place in range(8)),
        HALT,
    ]
    (row,) = (row for row in steps(program_of(*words, image=image)) if row[0] & 0x7F == op)
    return row


def limbs_of(number: int) -> list[int]:
    return list(struct.unpack("<16H", number.to_bytes(32, "little")))


def slipped(slips: Slips) -> int:
    return sum(slip << 16 * at for at, slip in slips.items())


class Forged:
    """The columns of one row, by what they are for."""

    def __init__(self, op: Op, operand: int, accumulator: int) -> None:
        self.op, self.operand, self.accumulator = op, operand, accumulator
        chip = chip_of(op, has_second=True)
        self.places = places_of(chip.name)
        self.honest = cells_of(chip, row_of(op, operand, accumulator))
        self.cells = list(self.honest)
        self.comparison = COMPARISON.get(op)

    def put(self, name: str, value: int) -> None:
        self.cells[self.places[name]] = value % MODULUS

    def add(self, name: str, value: int) -> None:
        self.put(name, self.cells[self.places[name]] + value)

    def put_result(self, limbs: Sequence[int]) -> None:
        for at, limb in enumerate(limbs):
            self.put(f"out[{at // 2}].{('low', 'high')[at % 2]}", limb)
        missing = sum(LIMB - limb for limb in limbs[3:])
        assert self.comparison is not None
        self.put(self.comparison.has_zero, 1)
        self.put(self.comparison.inverse, pow(missing, -1, MODULUS) if missing else 0)

    def lie(self, what: str) -> Lie:
        return Lie(what, self.op, self.honest, tuple(self.cells))


def digits(number: int) -> bytes:
    return number.to_bytes(BYTES, "little")


class Product(Forged):
    """MULP with a second factor, a result and a quotient of the cheat's choice."""

    def __init__(self, operand: int, accumulator: int) -> None:
        super().__init__(Op.MULP, operand, accumulator)
        self.factor = accumulator

    def choose_factor(self, factor: int) -> None:
        self.factor = factor
        for at, limb in enumerate(limbs_of(factor)):
            self.put(f"free.all.{3 * at + 1}", limb)
            self.put(f"free.all.{3 * at + 2}", limb & 0xFF)

    def solve(self, slips: Slips) -> "Product":
        """Result and quotient of the product with the slips."""
        quotient, result = divmod(self.operand * self.factor + slipped(slips), P256)
        return self.settle(limbs_of(result), quotient, slips)

    def settle(self, result: Sequence[int], quotient: int, slips: Slips) -> "Product":
        top = quotient >> 256
        low = limbs_of(quotient % 2**256)
        self.put_result(result)
        self.put("bit.all.0", top)
        for at, limb in enumerate(low):
            self.put(f"limb.all.{18 + at}", limb)
        sums = [0] * (2 * BYTES)
        for i, x in enumerate(digits(self.operand)):
            for j, y in enumerate(digits(self.factor)):
                sums[i + j] += x * y
        carry, whole = 0, [*low, top]
        for at in range(2 * LIMBS):
            total = sums[2 * at] + 256 * sums[2 * at + 1] + carry + slips.get(at, 0)
            total += 977 * whole[at] if at <= LIMBS else 0
            total += whole[at - 2] if 2 <= at <= LIMBS + 2 else 0
            limb = result[at] if at < LIMBS else low[at - LIMBS]
            carry, rest = divmod(total - limb, 1 << 16)
            assert rest == 0
            if at == 2 * LIMBS - 1:
                assert carry == top
            elif 0 <= carry < 1 << 14:
                self.put(f"carry.all.{at}", carry)
            else:
                raise NoRow
        return self


class Sum(Forged):
    """ADDP or SUBP with a result and a multiple of p256 of the cheat's choice."""

    def solve(self, slips: Slips) -> "Sum":
        slip = slipped(slips)
        if self.op is Op.ADDP:
            value = self.accumulator + self.operand + slip
            return self.settle(limbs_of(value % P256), value // P256, slips)
        value = self.accumulator - self.operand - slip
        return self.settle(limbs_of(value % P256), -(value // P256), slips)

    def settle(self, result: Sequence[int], times: int, slips: Slips) -> "Sum":
        """c + a + k D = k 2^256 + r, and a + r + k D = c + k 2^256 with k from -1."""
        is_sum = self.op is Op.ADDP
        least, bits = (0, 2) if is_sum else (-1, 3)
        self.put_result(result)
        self._put_bits(0, times - least, bits)
        a, c = limbs_of(self.operand), limbs_of(self.accumulator)
        first, second, target = (c, a, result) if is_sum else (a, result, c)
        carry = 0
        for at in range(LIMBS):
            total = first[at] + second[at] + times * EXCESS[at] + carry + slips.get(at, 0)
            carry, rest = divmod(total - target[at], 1 << 16)
            assert rest == 0
            if at < LIMBS - 1:
                self._put_bits(bits * (1 + at), carry - least, bits)
        assert carry == times
        return self

    def _put_bits(self, first: int, count: int, bits: int) -> None:
        if not 0 <= count <= bits:
            raise NoRow
        for at in range(bits):
            self.put(f"bit.{first + at}", int(at < count))


def large(rng: random.Random) -> int:
    """With large limbs, so that all carries are some, and the last limb's product, too."""
    return sum(rng.randrange(0xC000, 1 << 16) << 16 * at for at in range(LIMBS))


def product_lies(rng: random.Random) -> Iterator[Lie]:
    a, c = (large(rng) for _ in range(2))
    for at in range(2 * LIMBS):
        yield Product(a, c).solve({at: 1}).lie(f"limb {at} of the product is one more")
    for at in range(LIMBS):
        other = Product(a, c)
        other.choose_factor(c ^ 1 << 16 * at)
        yield other.solve({}).lie(f"limb {at} of another factor")
    for at in range(LIMBS - 1):
        row = Product(a, c).solve({at: -351, at + 2: QUOTIENT, at + 16: -QUOTIENT})
        row.add(f"limb.all.{18 + at}", QUOTIENT)
        yield row.lie(f"limb {at} of the quotient makes up p")
    for at in range(2 * LIMBS - 1):
        row = Product(a, c).solve({at: -1, at + 1: CARRIED})
        row.add(f"carry.all.{at}", CARRIED)
        yield row.lie(f"carry {at} makes up p")
    for at in range(LIMBS):
        slips = {at: 256, at + 1: BYTE}
        for name, pair in ((3 * at, (a, 256)), (3 * at + 2, (256, c))):
            row = Product(*pair).solve(slips)
            row.add(f"free.all.{name}", 1)
            yield row.lie(f"bytes {at} of the pair from column {name} make up p")
    row = Product(a, c).solve({16: 977 * CARRIED, 18: CARRIED, 31: -1})
    row.put("bit.all.0", CARRIED)
    yield row.lie("the quotient's last bit makes up p")
    quotient, result = divmod(a * c, P256)
    for at, limbs in enumerate(wide_results(result)):
        yield Product(a, c).settle(limbs, quotient - (at == 15), {}).lie(f"limb {at} is too large")
    yield from unreduced(lambda: Product(P256, 1).settle(limbs_of(P256), 0, {}))


def wide_results(result: int) -> Iterator[list[int]]:
    """Each with another limb that is none: of the same number, the last of p256 more."""
    for at in range(LIMBS - 1):
        limbs = limbs_of(result)
        limbs[at] += 1 << 16
        limbs[at + 1] -= 1
        assert limbs[at + 1] >= 0
        yield limbs
    more = result + P256
    low = limbs_of(more % 2**256)
    yield [*low[:15], more >> 240]


def unreduced(make: Callable[[], Forged]) -> Iterator[Lie]:
    """Where 0 is right and p256 is said: its lowest limbs are one, 0 and 0 above the greatest."""
    yield make().lie("p256 is said to have a zero in its high limbs")
    for what, first, second, left in (
        ("the lowest limb is no more", 0, 0, (0, 0, 0)),
        ("the second limb is no more", 1, 0, (LIMB, 0, 0)),
        ("the third limb is no more", 1, 1, (LIMB, LIMB, 0)),
        ("something is left of the lowest limb", 0, 0, (-1, 0, 0)),
        ("something is left of the second limb", 1, 0, (LIMB, -1, 0)),
        ("something is left of the third limb", 1, 1, (LIMB, LIMB, -1)),
        ("the first borrow makes up p", CARRIED, 0, (0, -CARRIED, 0)),
        ("the second borrow makes up p", 1, CARRIED, (LIMB, 0, -CARRIED)),
    ):
        row = make()
        columns = row.comparison
        assert columns is not None
        row.put(columns.has_zero, 0)
        for name, value in zip(columns.borrows, (first, second), strict=True):
            row.put(name, value)
        for name, value in zip(columns.left, left, strict=True):
            row.put(name, value)
        yield row.lie(what)


def found(op: Op, slips: Slips, rng: random.Random) -> Sum:
    """Numbers whose carries have columns with the slips."""
    while True:
        try:
            return Sum(op, rng.getrandbits(256), rng.getrandbits(256)).solve(slips)
        except NoRow:
            continue


def unreduced_sum(op: Op) -> Sum:
    return Sum(op, 0, P256).settle(limbs_of(P256), 0, {})


def sum_lies(rng: random.Random) -> Iterator[Lie]:
    for op, bits in ((Op.ADDP, 2), (Op.SUBP, 3)):
        for at in range(LIMBS):
            yield found(op, {at: 1}, rng).lie(f"limb {at} of the sum is one more")
        for at in range(LIMBS - 1):
            for bit in range(bits):
                row = found(op, {at: -1, at + 1: CARRIED}, rng)
                row.add(f"bit.{bits * (1 + at) + bit}", CARRIED)
                yield row.lie(f"bit {bit} of carry {at} makes up p")
        yield from unreduced(partial(unreduced_sum, op))
    a, c = large(rng), large(rng)
    times, result = divmod(a + c, P256)
    for at, limbs in enumerate(wide_results(result)):
        row = Sum(Op.ADDP, a, c).settle(limbs, times - (at == 15), {})
        yield row.lie(f"limb {at} is too large")
    for at in range(LIMBS):
        copied = Forged(Op.COPY, a, c)
        copied.add(f"out[{at // 2}].{('low', 'high')[at % 2]}", -1)
        yield copied.lie(f"limb {at} of a copy")


def port_lies(op: Op, rng: random.Random) -> Iterator[Lie]:
    """Of what all wide rows have: accesses, addresses, and flags of the program."""
    pair = rng.getrandbits(256), rng.getrandbits(256)
    now = Forged(op, *pair).cells[Forged(op, *pair).places["clock"]]
    for at, clock in enumerate(CLOCKS):
        row = Forged(op, *pair)
        row.put(clock, now)
        row.put(f"limb.all.{at}", -1)
        yield row.lie(f"{clock} is the row's own clock")
    for clock, limb in ((CLOCKS[at], f"limb.all.{at}") for at in range(0, len(CLOCKS), 2)):
        row = Forged(op, *pair)
        row.put(clock, now - 1 + (1 << 16))
        row.put(limb, 0)
        yield row.lie(f"{clock} is far in the future")
    for number in (1, 2):
        row = Forged(op, *pair)
        row.add(f"v{number}.low", 4)
        yield row.lie(f"v{number} is no multiple of 32")
        for part, other in (("low", "high"), ("high", "low")):
            row = Forged(op, *pair)
            row.put(f"v{number}.{part}", 32)
            row.put(f"v{number}.{other}", 0)
            row.put(f"reads_{number}", 0)
            yield row.lie(f"v{number}.{part} is read from no register")
            if number == 2:
                row.add("v2." + other, row.cells[row.places["v1." + other]])
                row.put("dup", 1)
                yield row.lie(f"v2.{part} is not that of v1")
        row = Forged(op, *pair)
        row.cells = [0] * len(row.cells)
        row.put(f"reads_{number}", 1)
        yield row.lie(f"padding reads register {number}")
