"""Signatures inside the machine: the guest's verification beside libsecp256k1."""

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from cython_core.guest.secp import tables
from cython_core.guest.secp.curve import LAMBDA, G, N, P, added, lifted, times
from cython_core.guest.secp.hints import (
    challenge,
    choices,
    factors,
    short_pairs,
    split,
    verify_hints,
)
from tests.unit.cython_core.secp_cases import (
    GUEST,
    Case,
    build_native,
    input_of,
    invalid,
    is_valid,
    native,
    official_valid,
    random_case,
    signed,
    small,
    x_of,
)

SEED = 340
RANDOM, CAMPAIGN = 30, 2_000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("secp"))


def answers(program: Path, cases: list[Case]) -> list[bool]:
    found = native(program, input_of(cases))
    assert found is not None
    return found


def test_tables_are_what_is_committed() -> None:
    assert (GUEST / "secp/table.bin").read_bytes() == tables.table()
    assert (GUEST / "secp/constants.c").read_text(encoding="utf-8") == tables.source()


def test_the_start_undoes_the_blinding() -> None:
    """Zero digits everywhere: the doubled start and all the Q are nothing."""
    total = times(1 << tables.DOUBLINGS, tables.start())
    for count in (tables.LOW_BYTES, tables.HIGH_BYTES):
        for place in range(count):
            total = added(total, times((1 + LAMBDA) << 8 * place, tables.blinding()))
    assert total is None


def test_valid_official_vectors(program: Path) -> None:
    cases = official_valid()
    assert all(is_valid(case) for case in cases.values())
    assert answers(program, list(cases.values())) == [True] * len(cases)
    assert cases["0"].signature.hex().upper().startswith("E907831F80848D1069A5371B402410364BDF1C5F")


@pytest.mark.parametrize("name", invalid())
def test_invalid_signatures(program: Path, name: str) -> None:
    case = invalid()[name]
    assert not is_valid(case)
    assert answers(program, [case]) == [False]


def test_exceptions_of_the_formulas(program: Path) -> None:
    cases = small()
    blinding = tables.blinding()
    others = [cases[0]._replace(key=x_of(blinding)), cases[0]._replace(key=x_of(tables.start()))]
    others += [
        case._replace(signature=x_of(point) + case.signature[32:])
        for case in cases for point in (G, blinding, times(2, G), times(1 << 66, tables.start()))
    ]  # fmt: skip
    others += [
        cases[0]._replace(
            key=x_of(times(4**power * by, tables.start())),
            signature=x_of(times(4**power * by * other, tables.start())) + cases[0].signature[32:],
        )
        for power in range(4) for by in (1, 2, LAMBDA, LAMBDA - 1) for other in (1, 3, LAMBDA)
    ]  # fmt: skip
    expected = [True] * len(cases) + [is_valid(case) for case in others]
    assert answers(program, cases + others) == expected


def check_random(program: Path, seed: int, count: int) -> None:
    rng = random.Random(seed)
    cases = [random_case(rng) for _ in range(count)]
    expected = [is_valid(case) for case in cases]
    assert answers(program, cases) == expected
    assert len(set(expected)) == 2


def test_random_signatures(program: Path) -> None:
    check_random(program, SEED, RANDOM)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_random_signatures(program: Path) -> None:
    check_random(program, SEED + 1, CAMPAIGN)


def forged_hints(case: Case, change: Callable[[list[int]], None]) -> bytes:
    content = input_of([case])
    words = list(struct.unpack(f"<{len(content) // 4}I", content))
    hints = words[33:]
    change(hints)
    return struct.pack(f"<{33 + len(hints)}I", *words[:33], *hints)


def hint_cases() -> list[Case]:
    bad = invalid()
    return [
        official_valid()["1"], bad["other message"], bad["nonce with an odd y"],
        bad["infinite, r of G"], bad["key not on the curve"], bad["r not on the curve"],
    ]  # fmt: skip


def check_hints(program: Path, case: Case, changes: int, seed: int = SEED) -> None:
    """Each word of the hints changed: the run stops, or the answer stays."""
    rng = random.Random(seed)
    count = len(verify_hints(*case)) // 4
    stopped = 0
    for place in range(count):
        telling = [1, 0x80000000, 0xFFFFFFFF, 1 << rng.randrange(32), rng.randrange(1, 1 << 32)]
        for changed in rng.sample(telling, changes):

            def change(hints: list[int], place: int = place, by: int = changed) -> None:
                hints[place] ^= by

            found = native(program, forged_hints(case, change))
            assert found in (None, [is_valid(case)]), (place, changed)
            stopped += found is None
    assert stopped > 3 * count * changes // 4


def test_no_hint_turns_the_answer(program: Path) -> None:
    check_hints(program, official_valid()["1"], 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(6))
def test_no_hint_turns_any_answer(program: Path, number: int) -> None:
    check_hints(program, hint_cases()[number], 5)


def test_hints_of_another_signature_stop_the_run(program: Path) -> None:
    rng = random.Random(SEED)
    case, other = (signed(rng.randrange(1, N), rng.randrange(1, N), rng.randbytes(32))
                   for _ in range(2))  # fmt: skip
    strange = verify_hints(*other)
    hints = struct.unpack(f"<{len(strange) // 4}I", strange)

    def change(own: list[int]) -> None:
        own[:] = hints

    assert native(program, forged_hints(case, change)) is None


def test_a_key_on_the_curve_is_not_refused(program: Path) -> None:
    """The claims that x is of no point, with both roots of what would be the square."""
    case = official_valid()["2"]
    for kind, x in ((1, case.key), (2, case.signature[:32])):
        point = lifted(int.from_bytes(x, "big"))
        assert point is not None
        for y in (point[1], P - point[1]):
            claim = [kind, *struct.unpack("<8I", y.to_bytes(32, "little"))]

            def change(own: list[int], claim: list[int] = claim) -> None:
                own[:] = claim

            assert native(program, forged_hints(case, change)) is None


def low_point() -> tuple[int, int]:
    """A point whose odd y is so small that y + p has 256 bits."""
    for y in range(1, 1_000, 2):
        cube = y * y - 7
        x = pow(cube, (P + 2) // 9, P)
        if pow(x, 3, P) == cube % P:
            return x, y
    raise AssertionError


def test_a_root_that_is_not_reduced_is_no_root(program: Path) -> None:
    """y + p is even and y modulo p, but y is odd; the even root p - y starts with 32 ones."""
    x, y = low_point()
    assert P - y >> 224 == 0xFFFFFFFF
    case = official_valid()["1"]
    content = x.to_bytes(32, "big")
    lows = {1: case._replace(key=content), 9: case._replace(signature=content + bytes(31) + b"\1")}
    for place, low in lows.items():
        assert not is_valid(low)
        assert answers(program, [low]) == [False]

        def change(hints: list[int], place: int = place) -> None:
            assert sum(word << 32 * at for at, word in enumerate(hints[place : place + 8])) == P - y
            hints[place : place + 8] = struct.unpack("<8I", (y + P).to_bytes(32, "little"))

        assert native(program, forged_hints(low, change)) is None


def test_factors_are_small_and_many() -> None:
    """The first one fits for every scalar, so there are hints for all; there are many others."""
    rng = random.Random(SEED)
    bound = 128 * 2**64 // 100
    counts = []
    for turn in range(60):
        scalar = rng.choice((rng.randrange(N), rng.randrange(1 << rng.randrange(256))))
        if turn < 8:
            scalar = (0, 1, 2, N - 1, N, LAMBDA, 1 << 128, 2**256 - 1)[turn]
        halves = split(scalar)[1]
        assert (halves[0] + halves[1] * LAMBDA - scalar) % N == 0
        first = short_pairs(halves)[0]
        assert first != ((0, 0), (0, 0))
        assert all(abs(half) < bound for number in first for half in number)
        assert (first[0][0] + first[0][1] * LAMBDA) * scalar % N == (
            first[1][0] + first[1][1] * LAMBDA
        ) % N
        counts.append(len(list(choices(halves, (3, 5), factors(halves)))))
    assert min(counts) > 200


def test_the_challenge_is_that_of_the_proposal() -> None:
    case = signed(5, 7, bytes(32))
    e = challenge(case.signature[:32], case.key, case.message)
    s = int.from_bytes(case.signature[32:], "big")
    nonce = added(times(s, G), times(N - e % N, lifted(int.from_bytes(case.key, "big"))))
    assert nonce == lifted(int.from_bytes(case.signature[:32], "big"))
