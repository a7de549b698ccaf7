"""Hints that are made to turn an answer: what stops each of them, and that without it they would.

Each attack is built with knowledge of the whole program. It stops the verification as it is; when
the one check that is meant against it is taken out of the source, it makes an invalid signature
valid. So none of these checks is a luxury, and the attacks are real.
"""

import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cython_core.guest.secp.curve import G, N, P, Point, lifted, times
from cython_core.guest.secp.hints import (
    Choice,
    Ladder,
    challenge,
    hints_on_curve,
    message_words,
)
from cython_core.guest.secp.tables import start
from tests.unit.cython_core.secp_cases import (
    GUEST,
    Case,
    build_native,
    bytes_of,
    is_valid,
    native,
    signed,
    x_of,
)

SEED = 0xBAD


class Attack(NamedTuple):
    case: Case
    hints: bytes
    file: str
    check: str
    """What stands in the source against it."""
    without: str
    """What is put there instead."""


def points_of(case: Case) -> list[Point]:
    return [lifted(int.from_bytes(x, "big")) for x in (case.key, case.signature[:32])]


def numbers_of(case: Case) -> tuple[int, int]:
    """The challenge and s."""
    r = case.signature[:32]
    return challenge(r, case.key, case.message), int.from_bytes(case.signature[32:], "big")


def plain_choice(case: Case) -> Callable[[Choice], bool]:
    ladder = Ladder(*points_of(case))
    return lambda choice: choice.has_factor() and not ladder.is_exceptional(choice)


def random_signed(rng: random.Random, *, odd: bool = False) -> Case:
    return signed(rng.randrange(1, N), rng.randrange(1, N), rng.randbytes(32), odd=odd)


def factor_zero(rng: random.Random) -> Attack:
    """With v = 0 the equations say nothing of e and s, and the sum is the nonce point."""
    case = random_signed(rng)._replace(message=bytes(32))
    hints = hints_on_curve(points_of(case), *numbers_of(case), lambda _: True, [(0, 0)])
    return Attack(case, hints, "scalars.h", "work->nonce_digits[0] == NO_FACTOR", "0")


def s_and_p(rng: random.Random) -> Attack:
    """s + p instead of s: the same modulo p, but not modulo n."""
    while True:
        good = random_signed(rng)
        s = (numbers_of(good)[1] - P) % N
        if s < N // 10:
            break
    case = good._replace(signature=good.signature[:32] + bytes_of(s))
    e = numbers_of(case)[0]
    hints = hints_on_curve(points_of(case), e, s + P, plain_choice(case))
    return Attack(case, hints, "verify.c", "work->wrong_words != 0", "0")


def e_and_p(rng: random.Random) -> Attack:
    """e + p instead of e, for a signature that is right with that challenge."""
    secret, nonce = rng.randrange(1, N), rng.randrange(1, N)
    case = signed(secret, nonce, bytes(32))
    point, key = points_of(case)[1], points_of(case)[0]
    assert point is not None
    assert key is not None
    secret = secret if times(secret, G) == key else N - secret
    nonce = nonce if times(nonce, G) == point else N - nonce
    while True:
        case = case._replace(message=rng.randbytes(32))
        e = numbers_of(case)[0]
        if e < N // 10:
            break
    s = (nonce + (e + P) * secret) % N
    case = case._replace(signature=case.signature[:32] + bytes_of(s))
    hints = hints_on_curve(points_of(case), e + P, s, plain_choice(case))
    return Attack(case, hints, "verify.c", "work->wrong_words != 0", "0")


def exception(rng: random.Random) -> Attack:
    """A key that the ladder meets as it is: from there on X, Y and Z are zero, to the end."""
    point = times(4, start())
    while True:
        case = random_signed(rng)._replace(key=x_of(point))
        ladder = Ladder(*points_of(case))

        def is_taken(choice: Choice, ladder: Ladder = ladder) -> bool:
            return ladder.is_exceptional(choice) and ladder.x == ladder.y == 0

        try:
            hints = hints_on_curve(points_of(case), *numbers_of(case), is_taken)
        except ArithmeticError:
            continue
        check = "work->z.words[0] == 0 && is_zero(&work->z)"
        return Attack(case, hints, "verify.c", check, "0")


def odd_nonce(rng: random.Random) -> Attack:
    """The other root as y."""
    case = random_signed(rng, odd=True)
    key, point = points_of(case)
    assert point is not None
    nonce = (point[0], P - point[1])
    hints = hints_on_curve([key, nonce], *numbers_of(case), lambda choice: choice.has_factor())
    return Attack(case, hints, "verify.c", "point[1].words[0] % 2 != 0", "0")


def odd_key(rng: random.Random) -> Attack:
    secret = rng.randrange(1, N)
    key = times(secret, G)
    assert key is not None
    if key[1] % 2 == 0:
        secret, key = N - secret, (key[0], P - key[1])
    nonce = lifted(G[0])
    assert nonce is not None
    message = rng.randbytes(32)
    e = challenge(x_of(nonce), x_of(key), message)
    s = ((1 if nonce == G else N - 1) + e * secret) % N
    case = Case(x_of(key), message, x_of(nonce) + bytes_of(s))
    ladder = Ladder(key, nonce)
    hints = hints_on_curve(
        [key, nonce], e, s,
        lambda choice: choice.has_factor() and not ladder.is_exceptional(choice),
    )  # fmt: skip
    return Attack(case, hints, "verify.c", "point[1].words[0] % 2 != 0", "0")


def refused_key(rng: random.Random) -> Attack:
    """The claim that a key is of no point; here the answer that is turned is a valid one."""
    case = random_signed(rng)
    point = points_of(case)[0]
    assert point is not None
    hints = struct.pack("<I", 1) + point[1].to_bytes(32, "little")
    return Attack(case, hints, "verify.c", "!is_zero(&work->wrong)", "0")


ATTACKS = (factor_zero, s_and_p, e_and_p, exception, odd_nonce, odd_key, refused_key)


def content_of(attack: Attack) -> bytes:
    case = attack.case
    return (
        struct.pack("<I", 1)
        + message_words(case.key + case.message + case.signature)
        + attack.hints
    )


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("secp"))


@pytest.mark.parametrize("build", ATTACKS)
def test_attacks_stop_the_run(program: Path, build: Callable[[random.Random], Attack]) -> None:
    rng = random.Random(SEED)
    for _ in range(3):
        assert native(program, content_of(build(rng))) is None


@pytest.mark.slow
@pytest.mark.parametrize("build", ATTACKS)
def test_each_check_is_needed(tmp_path: Path, build: Callable[[random.Random], Attack]) -> None:
    rng = random.Random(SEED)
    attack = build(rng)
    copied = tmp_path / "guest"
    shutil.copytree(GUEST / "secp", copied / "secp")
    source = copied / "secp" / attack.file
    text = source.read_text(encoding="utf-8")
    assert attack.check in text
    source.write_text(text.replace(attack.check, attack.without), encoding="utf-8")
    program = build_native(tmp_path, guest=copied)
    assert native(program, content_of(attack)) == [not is_valid(attack.case)]
