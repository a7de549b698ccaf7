"""No rule of the BLAKE3 chip is idle: for each, a block that breaks it alone."""

import random
from collections.abc import Callable, Collection, Iterator
from functools import cache

import pytest

from cython_core.air.check import Violation, check
from cython_core.air.table import PublicInteraction
from cython_core.air.weaken import without_constraint, without_interaction
from cython_core.chips import _reference, blake3
from cython_core.chips._blake3_trace import blake3_trace
from cython_core.chips.blake3 import message_order
from cython_core.field import P
from cython_core.field._reference import inverse
from tests.unit.cython_core.air_rules import Pair, outcomes, pairs_of
from tests.unit.cython_core.blake3_cases import (
    A_XOR_C,
    BITS,
    CARRY,
    FLAGS,
    MESSAGE,
    SEED,
    matrix_of,
    random_requests,
    request,
    system,
    table,
)

Deltas = dict[tuple[int, int], int]
"""(sum, lane) -> what is added to the sum of a', c', a" or c" (0 to 3)."""
SUMS = ("a_middle", "c_middle", "a_out", "c_out")
ERRING_ROW = 5


def quarter(inputs: tuple[int, int, int, int], x: int, y: int, deltas: list[int]) -> list[int]:
    """d', b', d", b" with something added to each of the four sums."""
    a, b, c, d = inputs
    words = []
    for term, turn_d, turn_b, delta_a, delta_c in (
        (x, 16, 12, deltas[0], deltas[1]),
        (y, 8, 7, deltas[2], deltas[3]),
    ):
        a = (a + b + term + delta_a) & _reference.MASK
        d = _reference.rotated_right(d ^ a, turn_d)
        c = (c + d + delta_c) & _reference.MASK
        b = _reference.rotated_right(b ^ c, turn_b)
        words += [d, b]
    return words


class Forgery:
    """A block whose prover errs in one place and is consistent everywhere else."""

    def __init__(self, seed: int = SEED) -> None:
        ((key, message),) = random_requests(seed, 1)
        self.rows = _reference.block(request(key, message))

    def follow(self, start: int, faults: Deltas | None = None) -> None:
        """Computes the rows after `start` anew, the first of them with faults."""
        for number in range(start, 14):
            before, after = self.rows[number], self.rows[number + 1]
            for lane in range(4):
                x, y = (
                    after.message[2 * place] | after.message[2 * place + 1] << 16
                    for place in (2 * lane, 2 * lane + 1)
                )
                deltas = [(faults or {}).get((kind, lane), 0) for kind in range(4)]
                computed = quarter(
                    _reference.inputs(before, number, lane),
                    x,
                    y,
                    deltas if number == start else [0] * 4,
                )
                for kind in range(4):
                    after.words[kind][lane] = computed[kind]
        self.rows[15].words[0] = [self.rows[14].a_out(lane) for lane in range(4)]

    def cells(self) -> list[list[int]]:
        for row in self.rows:
            row.a_xor_c = []
        for number in range(16):
            _reference.complete(self.rows[number], number, self.rows[(number + 1) % 16])
        return [row.cells() for row in self.rows]


Made = Iterator[tuple[str, list[list[int]]]]
"""Names of constraints, each with a block that breaks no other."""


def with_bits_that_are_none() -> Made:
    """In row 15 bits are summed up to limbs: one is flipped, and another makes up for it."""
    honest = Forgery().cells()
    forgeries = []
    for column in range(BITS):
        rows = [*honest]
        for number in (14, 15, 0):
            rows[number] = [*honest[number]]
        flipped = column // 16 * 16 + (column % 16 == 0)
        difference = 1 - 2 * rows[15][flipped]
        weight = difference << flipped % 16
        rows[15][flipped] += difference
        rows[15][column] = (rows[15][column] - weight * inverse(1 << column % 16)) % P
        forgeries.append(rows)
    solve_free_cells(forgeries)
    names = table().labels.main
    for column, rows in enumerate(forgeries):
        yield names[column], rows


def solve_free_cells(forgeries: list[list[list[int]]]) -> None:
    """Gives the free cells of rows 15 and 0, and a ^ c, what the constraints leave for them."""
    names = {name: number for number, name in enumerate(table().labels.constraints)}
    for before, after in ((14, 15), (15, 0)):
        for rows in forgeries:
            rows[after][MESSAGE : MESSAGE + 16] = [0] * 16
            rows[after][CARRY:MESSAGE] = [0] * 32
            rows[before][A_XOR_C:FLAGS] = [0] * 8
        pairs = [Pair(before, 16, rows[before], rows[after]) for rows in forgeries]
        for rows, outcome in zip(forgeries, outcomes(table(), pairs), strict=True):
            for lane in range(4):
                for limb, text in enumerate(("low", "high")):
                    at = 2 * lane + limb
                    left = [
                        outcome.residuals[names[f"add {word}, lane {lane}, {text} limb"]]
                        for word in SUMS
                    ]
                    rows[after][MESSAGE + 4 * lane + limb] = -left[0] % P
                    rows[after][MESSAGE + 4 * lane + 2 + limb] = -left[2] % P
                    # The low carry of c' and c" enters the high limb.
                    for place, residual in ((CARRY + 8 + at, left[1]), (CARRY + 24 + at, left[3])):
                        carried = rows[after][place - 1] if limb else 0
                        rows[after][place] = (residual + carried) * inverse(1 << 16) % P
                    name = names[f"a ^ c, lane {lane}, limb {limb}"]
                    rows[before][A_XOR_C + at] = -outcome.residuals[name] % P


def with_wrong_sums() -> Made:
    """A sum is off by one in a limb, or right modulo p only, by a carry that is none."""
    for kind, word in enumerate(SUMS):
        for lane in range(4):
            for limb, text in enumerate(("low", "high")):
                forgery = Forgery()
                forgery.follow(ERRING_ROW - 1, {(kind, lane): 1 << 16 * limb})
                rows = forgery.cells()
                place = CARRY + 8 * kind + 2 * lane
                if limb:
                    yield f"{word}_carry.{lane}[1]", [[*row] for row in rows]
                rows[ERRING_ROW][place : place + 2] = integer_carries(forgery, kind, lane)
                yield f"add {word}, lane {lane}, {text} limb", rows
            yield f"{word}_carry.{lane}[0]", with_alias_of_carry(kind, lane)


def terms_of(forgery: Forgery, row: int, kind: int, lane: int) -> list[int]:
    """What a sum is of, in a half round."""
    after = forgery.rows[row]
    a, b, c, d = _reference.inputs(forgery.rows[row - 1], row - 1, lane)
    d_middle, b_middle, d_out, _ = (words[lane] for words in after.words)
    x, y = (
        after.message[2 * place] | after.message[2 * place + 1] << 16
        for place in (2 * lane, 2 * lane + 1)
    )
    a_middle = d ^ _reference.rotated_left(d_middle, 16)
    c_middle = b ^ _reference.rotated_left(b_middle, 12)
    return [[a, b, x], [c, d_middle], [a_middle, b_middle, y], [c_middle, d_out]][kind]


def integer_carries(forgery: Forgery, kind: int, lane: int) -> list[int]:
    terms = terms_of(forgery, ERRING_ROW, kind, lane)
    low = sum(term & 0xFFFF for term in terms) >> 16
    return [low, (sum(term >> 16 for term in terms) + low) >> 16]


def with_alias_of_carry(kind: int, lane: int) -> list[list[int]]:
    """2^16 * 32512 = p - 1: a low carry that is greater by 32512 takes one from the low limb."""
    alias = inverse(1 << 16)
    assert P - alias == 32512
    greatest = 2 if kind in {0, 2} else 1
    for seed in range(100):
        forgery = Forgery(seed)
        terms = terms_of(forgery, ERRING_ROW, kind, lane)
        low_sum, high_sum = (sum(term >> shift & 0xFFFF for term in terms) for shift in (0, 16))
        crossings = (low_sum + 1) >> 16
        low = low_sum + 1 - (crossings << 16)
        high = high_sum + 32512 + crossings
        if high >> 16 <= greatest:
            total = low | (high & 0xFFFF) << 16
            forgery.follow(ERRING_ROW - 1, {(kind, lane): total - sum(terms)})
            rows = forgery.cells()
            assert rows[ERRING_ROW][CARRY + 8 * kind + 2 * lane] == 32512 + crossings
            return rows
    raise AssertionError("no seed has small limbs")


def with_another_start() -> Made:
    for limb in range(16):
        forgery = Forgery()
        for row in forgery.rows:
            row.cv[limb] ^= 1
        word, place = ("a", limb) if limb < 8 else ("b", limb - 8)
        yield f"set up {word}, lane {place // 2}, limb {place % 2}", forgery.cells()
    for name, lane, change in (
        ("counter, low word", 1, 1),
        ("counter, high word", 2, 1 << 31),
        ("length", 3, 1),
        ("length, high limb", 3, 1 << 16),
        ("flags, high bits", 0, 1 << 8),
    ):
        forgery = Forgery()
        first = forgery.rows[0]
        cv = [first.a_out(each) for each in range(4)]
        first.words[2][lane] ^= change
        first.words[0] = [
            cv[each] ^ _reference.rotated_left(first.words[2][each], 8) for each in range(4)
        ]
        forgery.follow(0)
        yield f"set up the {name}", forgery.cells()
    forgery = Forgery()
    for row in forgery.rows:
        row.flags ^= 1
    yield "set up the flags", forgery.cells()


def with_other_inputs_later() -> Made:
    for limb in range(16):
        forgery = Forgery()
        forgery.rows[14].cv[limb] ^= 1
        yield f"keep cv[{limb}]", forgery.cells()
    forgery = Forgery()
    forgery.rows[14].flags ^= 1
    yield "keep the flags", forgery.cells()
    for place in range(16):
        for limb in range(2):
            forgery = Forgery()
            forgery.rows[2].message[2 * place + limb] ^= 1
            for number in range(2, 14):
                sources = blake3.SWAPPED if number % 2 else blake3.PERMUTED
                held = forgery.rows[number].message
                forgery.rows[number + 1].message = [
                    held[2 * source + i] for source in sources for i in range(2)
                ]
            held = forgery.rows[14].message
            for word, at in enumerate(message_order()):
                if word >= 4:
                    forgery.rows[15].words[word // 4][word % 4] = (
                        held[2 * at] | held[2 * at + 1] << 16
                    )
            forgery.follow(1)
            yield f"carry the message, word {place}, limb {limb}", forgery.cells()


def with_other_bits() -> Made:
    for word in range(16):
        for limb in range(2):
            forgery = Forgery()
            row, kind = (0, 1) if word < 4 else (15, word // 4)
            forgery.rows[row].words[kind][word % 4] ^= 1 << 16 * limb
            yield f"bits of message word {word}, limb {limb}", forgery.cells()
    for lane in range(4):
        for limb in range(2):
            forgery = Forgery()
            forgery.rows[15].words[0][lane] ^= 1 << 16 * limb
            yield f"final a, lane {lane}, limb {limb}", forgery.cells()
            rows = Forgery().cells()
            rows[14][A_XOR_C + 2 * lane + limb] ^= 1
            yield f"a ^ c, lane {lane}, limb {limb}", rows


FORGERIES = (
    with_bits_that_are_none,
    with_wrong_sums,
    with_another_start,
    with_other_inputs_later,
    with_other_bits,
)


@cache
def forgeries(forge: Callable[[], Made]) -> dict[str, list[list[int]]]:
    return dict(forge())


def only_broken(blocks: Collection[list[list[int]]]) -> list[set[str]]:
    """For each block. Blocks share rows, and two that follow each other are looked at once."""
    pairs = {
        (pair.number, id(pair.cells), id(pair.following)): pair
        for rows in blocks
        for pair in pairs_of(rows)
    }
    found = outcomes(table(), list(pairs.values()))
    broken = dict(zip(pairs, (outcome.broken(table()) for outcome in found), strict=True))
    return [
        set().union(
            *(broken[pair.number, id(pair.cells), id(pair.following)] for pair in pairs_of(rows))
        )
        for rows in blocks
    ]


@pytest.mark.parametrize("forge", FORGERIES)
def test_each_forgery_breaks_one_constraint(forge: Callable[[], Made]) -> None:
    forged = forgeries(forge)
    assert only_broken(forged.values()) == [{name} for name in forged]


def test_every_constraint_is_needed() -> None:
    names = [name for forge in FORGERIES for name in forgeries(forge)]
    assert sorted(names) == sorted(table().labels.constraints)


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forgery_is_accepted_without_its_constraint(forge: Callable[[], Made]) -> None:
    """And proves what is not so: the checker takes its word for the hash."""
    name, rows = random.Random(SEED).choice([*forgeries(forge).items()])
    (put,) = outcomes(table(), pairs_of(rows))[14].puts
    asking = [PublicInteraction(0, 1, put.elements)]
    with pytest.raises(Violation) as caught:
        check(system(), [matrix_of(rows)], [], asking)
    assert caught.value.rule == name
    weaker = without_constraint(table(), table().labels.constraints.index(name))
    check(system().with_table(weaker), [matrix_of(rows)], [], asking)


def test_the_interaction_is_needed() -> None:
    (key, message) = random_requests(1, 1)[0]
    trace = blake3_trace(request(key, message), 1)
    with pytest.raises(Violation, match="bus 'hash'"):
        check(system(), [trace])
    check(system().with_table(without_interaction(table(), 0)), [trace])
