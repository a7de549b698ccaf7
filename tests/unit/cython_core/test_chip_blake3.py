"""The BLAKE3 chip: its facts are true, and its trace is the twin's."""

import random
import struct

import pytest

from cython_core.air.check import Violation, check
from cython_core.air.table import PublicInteraction
from cython_core.chips import _reference, blake3
from cython_core.chips._blake3_trace import REQUEST_BYTES, blake3_trace
from cython_core.field import P
from cython_core.hash import _reference as hash_reference
from cython_core.hash import b3
from tests.unit.cython_core.air_rules import Pair, outcomes, pairs_of
from tests.unit.cython_core.blake3_cases import (
    A_XOR_C,
    CV,
    FLAGS,
    MESSAGE,
    MULTIPLICITY,
    SEED,
    WIDTH,
    asked,
    fact,
    random_requests,
    request,
    system,
    table,
)

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
