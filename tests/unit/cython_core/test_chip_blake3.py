"""The BLAKE3 chip: its facts are true, its trace is the twin's, and every rule of it is needed."""

import random
import struct
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from cython_core.air.check import Violation, check
from cython_core.air.language import build_system
from cython_core.air.table import PublicInteraction, System, Table
from cython_core.air.weaken import without_constraint, without_interaction
from cython_core.chips import _reference, blake3
from cython_core.chips._blake3_trace import REQUEST_BYTES, blake3_trace
from cython_core.chips.blake3 import HASH, KEYED_FLAGS, blake3_table, message_order
from cython_core.field import Matrix, P
from cython_core.field._reference import inverse
from cython_core.hash import _reference as hash_reference
from cython_core.hash import b3
from tests.unit.cython_core.air_rules import Pair, outcomes, pairs_of

BITS = 512
CARRY = 512
MESSAGE = 544
CV = 576
A_XOR_C = 592
FLAGS = 600
MULTIPLICITY = 601
WIDTH = 602
SEED = 11


@cache
def system() -> System:
    return build_system([blake3_table()], [HASH])


def table() -> Table:
    return system().tables[0]


def request(key: bytes, message: bytes, flags: int = KEYED_FLAGS, multiplicity: int = 1) -> bytes:
    return key + message + struct.pack("<2I", flags, multiplicity)


def limbs(text: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(text) // 2}H", text)


def fact(key: bytes, message: bytes, out: bytes, flags: int = KEYED_FLAGS) -> tuple[int, ...]:
    cv = limbs(key)
    return (cv[0] + (flags << 16), *cv[1:], *limbs(message), *limbs(out))


def asked(*facts: tuple[int, ...]) -> list[PublicInteraction]:
    return [PublicInteraction(0, 1, each) for each in facts]


def random_requests(seed: int, count: int) -> list[tuple[bytes, bytes]]:
    chance = random.Random(seed)
    return [(chance.randbytes(32), chance.randbytes(64)) for _ in range(count)]


def matrix_of(rows: list[list[int]]) -> Matrix:
    return Matrix.from_columns([*zip(*rows, strict=True)])


# What is true is accepted


@pytest.mark.parametrize(("count", "blocks"), [(1, 1), (2, 2), (3, 4)])
def test_facts_are_the_hashes(count: int, blocks: int) -> None:
    pairs = random_requests(count, count)
    trace = blake3_trace(b"".join(request(*pair) for pair in pairs), blocks)
    check(system(), [trace], [], asked(*(fact(*pair, b3(*pair)) for pair in pairs)))


@pytest.mark.parametrize("message", [bytes(64), b"\xff" * 64, b"\xff\x00" * 32])
@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32])
def test_extreme_words(key: bytes, message: bytes) -> None:
    check(
        system(),
        [blake3_trace(request(key, message), 1)],
        [],
        asked(fact(key, message, b3(key, message))),
    )


@pytest.mark.parametrize("flags", [0, 1, 27, 255])
def test_flags_are_part_of_the_fact(flags: int) -> None:
    ((key, message),) = random_requests(3, 1)
    words = struct.unpack("<8I", key)
    out = hash_reference._single_block(words, message, 64, flags)
    trace = blake3_trace(request(key, message, flags), 1)
    check(system(), [trace], [], asked(fact(key, message, out, flags)))


@pytest.mark.parametrize("multiplicity", [0, 1, 7, P - 1])
def test_facts_may_be_taken_any_number_of_times(multiplicity: int) -> None:
    ((key, message),) = random_requests(4, 1)
    trace = blake3_trace(request(key, message, multiplicity=multiplicity), 1)
    taken = PublicInteraction(0, multiplicity, fact(key, message, b3(key, message)))
    check(system(), [trace], [], [taken])


@pytest.mark.parametrize(("count", "blocks"), [(0, 1), (1, 1), (1, 2), (4, 4)])
def test_the_trace_is_the_twins(count: int, blocks: int) -> None:
    chance = random.Random(count)
    requests = b"".join(
        request(*pair, chance.randrange(256), chance.randrange(P))
        for pair in random_requests(count, count)
    )
    trace = blake3_trace(requests, blocks)
    rows = _reference.blake3_trace_rows(requests, blocks)
    assert [list(trace.row(number)) for number in range(trace.height)] == rows


@pytest.mark.parametrize(
    ("requests", "blocks", "message"),
    [
        (bytes(REQUEST_BYTES - 1), 1, "requests have 104 bytes each"),
        (bytes(REQUEST_BYTES * 2), 1, "2 requests do not fit into 1 blocks, or no power of two"),
        (b"", 3, "0 requests do not fit into 3 blocks, or no power of two"),
        (b"", 0, "0 requests do not fit into 0 blocks, or no power of two"),
        (request(bytes(32), bytes(64), 256), 1, "request 0: flags or multiplicity out of range"),
        (request(bytes(32), bytes(64), 0, P), 1, "request 0: flags or multiplicity out of range"),
    ],
)
def test_bad_requests(requests: bytes, blocks: int, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        blake3_trace(requests, blocks)
    assert str(caught.value) == message


def test_constants_are_those_of_the_hash() -> None:
    assert hash_reference.INITIAL_VECTOR[:4] == blake3.INITIAL_VECTOR
    assert hash_reference.PERMUTATION == blake3.PERMUTATION


# What is false is refused


@pytest.mark.parametrize("limb", range(16))
def test_a_wrong_result_is_no_fact(limb: int) -> None:
    ((key, message),) = random_requests(5, 1)
    wrong = list(fact(key, message, b3(key, message)))
    wrong[48 + limb] ^= 1
    with pytest.raises(Violation, match="bus 'hash'"):
        check(system(), [blake3_trace(request(key, message), 1)], [], asked(tuple(wrong)))


@pytest.mark.parametrize("element", [0, 1, 15, 16, 47])
def test_a_limb_has_one_spelling(element: int) -> None:
    """2^16 more in one limb and one less in the next is the same word, but another tuple."""
    ((key, message),) = random_requests(6, 1)
    alias = list(fact(key, message, b3(key, message)))
    alias[element] += 1 << 16
    with pytest.raises(Violation, match="bus 'hash'"):
        check(system(), [blake3_trace(request(key, message), 1)], [], asked(tuple(alias)))


FREE_CELLS = {
    "multiplicity": "counts in row 14 only",
    "cv and flags": "free in row 15",
    "message": "places 8 to 15 are free in rows 0 and 15",
}


def counts(row: int, column: int) -> bool:
    """Whether a cell is not free."""
    if column == MULTIPLICITY:
        return row == 14
    if CV <= column < A_XOR_C or column == FLAGS:
        return row != 15
    if MESSAGE + 16 <= column < CV:
        return row not in {0, 15}
    return True


def honest_rows(seed: int) -> list[list[int]]:
    ((key, message),) = random_requests(seed, 1)
    return _reference.blake3_trace_rows(request(key, message), 1)


def changed(rows: list[list[int]], row: int, column: int, value: int) -> list[Pair]:
    """The two pairs that read a changed cell."""
    cells = [*rows[row]]
    cells[column] = value
    before, after = rows[row - 1], rows[(row + 1) % 16]
    return [Pair((row - 1) % 16, 16, before, cells), Pair(row, 16, cells, after)]


def test_every_column_is_covered() -> None:
    """A change of any cell breaks a constraint or changes the fact, unless the cell is free."""
    chance = random.Random(SEED)
    rows = honest_rows(SEED)
    honest = outcomes(table(), pairs_of(rows))
    places = [
        (row, column)
        for column in range(WIDTH)
        for row in chance.sample([row for row in range(16) if counts(row, column)], 1)
    ]
    pairs = [
        pair
        for row, column in places
        for pair in changed(rows, row, column, (rows[row][column] + chance.randrange(1, P)) % P)
    ]
    found = outcomes(table(), pairs)
    for index, (row, column) in enumerate(places):
        before = found[2 * index] != honest[row - 1]
        assert before or found[2 * index + 1] != honest[row], (
            f"row {row}, column {table().labels.main[column]} may be anything"
        )


def test_free_cells_are_free() -> None:
    rows = honest_rows(SEED)
    free = [(r, c) for r in range(16) for c in range(WIDTH) if not counts(r, c)]
    pairs = [pair for r, c in free for pair in changed(rows, r, c, 12345)]
    assert not any(outcome.broken(table()) for outcome in outcomes(table(), pairs))


# Every constraint is needed: for each, a trace that breaks it alone

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
        rows = [[*row] for row in honest]
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


def only_broken(blocks: list[list[list[int]]]) -> list[set[str]]:
    pairs = [pair for rows in blocks for pair in pairs_of(rows)]
    found = outcomes(table(), pairs)
    return [
        set().union(*(outcome.broken(table()) for outcome in found[start : start + 16]))
        for start in range(0, len(found), 16)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("forge", FORGERIES)
def test_each_forgery_breaks_one_constraint(forge: Callable[[], Made]) -> None:
    names, blocks = zip(*forge(), strict=True)
    assert only_broken(list(blocks)) == [{name} for name in names]


def test_every_constraint_is_needed() -> None:
    """There is a forgery for each; the slow test shows that it breaks that constraint alone."""
    names = [name for forge in FORGERIES for name, _ in forge()]
    assert sorted(names) == sorted(table().labels.constraints)


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forgery_is_accepted_without_its_constraint(forge: Callable[[], Made]) -> None:
    """And proves what is not so: the checker takes its word for the hash."""
    name, rows = random.Random(SEED).choice([*forge()])
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
