"""The hints of a verification: what whoever proves computes outside, and the guest checks.

`verify_hints` gives them for any key, message and signature, also for invalid ones; the answer is
the guest's. Most have one right value. What can be chosen is the factor v of scalars.h, in some
hundred ways, and the multiple of G modulo PI. Of the choices the first one is taken that meets none
of the exceptions of the ladder's formulas. Who makes a key or a nonce from START can make a choice
meet one, but not hundreds that differ from the top digit on.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from cython_core.guest.secp.curve import (
    BETA,
    PI,
    Eisenstein,
    G,
    N,
    P,
    Point,
    added,
    conjugate,
    difference,
    lifted,
    negated,
    norm,
    product,
    quotient,
    root,
    times,
)
from cython_core.guest.secp.tables import (
    BIAS,
    HIGH_BYTES,
    LIFT,
    LOW_BYTES,
    REST,
    WINDOWS,
    entries,
    start,
)

TAG: Final = hashlib.sha256(b"BIP0340/challenge").digest()
MULTIPLE_LIMIT: Final = 4**WINDOWS
BASE_LIMIT: Final = 1 << 8 * (LOW_BYTES + HIGH_BYTES)
NO_FACTOR: Final = 0x55555556
SMALL: Final = tuple(sorted(((i, j) for i in range(-2, 3) for j in range(-2, 3)), key=norm))
"""The factors v are sums of the two shortest with these numbers."""
WIDER: Final = range(3, 20)
CANDIDATES: Final = 256
"""Factors of which the one with most zero digits is taken."""
NOTHING: Final = 0x55555555
"""Digits 0, stored with the bias."""
ROUNDS: Final = 40
"""Multiples of PI added to the multiple of G: 8 to 47 times."""
THREE_HALVES: Final = 3 * pow(2, -1, P) % P
START: Final = start()
LOW: Final = entries(G)
HIGH: Final = entries(times(1 << 8 * LOW_BYTES, G))
ON_CURVE, KEY_OFF_CURVE, NONCE_OFF_CURVE = range(3)


Pair = tuple[Eisenstein, Eisenstein]


class NoHints(ArithmeticError):
    """All choices meet an exception of the formulas."""


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    """e of BIP340, not reduced."""
    return int.from_bytes(hashlib.sha256(TAG + TAG + r + key + message).digest(), "big")


def words(value: int, count: int) -> bytes:
    """The lowest first; OverflowError when they do not fit."""
    return value.to_bytes(4 * count, "little")


def split(scalar: int) -> tuple[bytes, Eisenstein]:
    """Hints of a scalar's halves, and the halves."""
    first = scalar * (PI[0] - PI[1]) // N
    second = scalar * PI[1] // N
    rest = difference((scalar, 0), product((first, -second), PI))
    hints = words(first, 4) + words(second, 4) + words(rest[0], 5) + words(rest[1] + LIFT, 5)
    return hints, rest


def times_conjugate(a: Pair, b: Pair) -> Eisenstein:
    """The Hermitian product of two pairs."""
    first, second = (product(x, conjugate(y)) for x, y in zip(a, b, strict=True))
    return first[0] + second[0], first[1] + second[1]


def pair_norm(a: Pair) -> int:
    return norm(a[0]) + norm(a[1])


def without(a: Pair, factor: Eisenstein, b: Pair) -> Pair:
    """a - factor * b."""
    first, second = (difference(x, product(factor, y)) for x, y in zip(a, b, strict=True))
    return first, second


def short_pairs(scalar: Eisenstein) -> tuple[Pair, Pair]:
    """A basis of the pairs (v, v * scalar modulo PI), reduced as by Gauss.

    The first one is shortest. Its norm is at most sqrt(3 / 2) |PI|, since no rest of a division in
    Z[w] is larger than 1 / sqrt(3) of the divisor; so its numbers are below 1.28 * 2^64.
    """
    long: Pair = (0, 0), PI
    short: Pair = (1, 0), difference(scalar, product(quotient(scalar, PI), PI))
    while pair_norm(short) < pair_norm(long):
        length = pair_norm(short)
        step = quotient(times_conjugate(long, short), (length, 0))
        long, short = short, without(long, step, short)
    return long, short


def factors(scalar: Eisenstein) -> Iterator[Eisenstein]:
    """v with v and v * scalar modulo PI small, the smallest first."""
    (first, _), (second, _) = short_pairs(scalar)
    for at in SMALL:
        for beside in SMALL:
            parts = product(at, first), product(beside, second)
            factor = parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
            if factor != (0, 0):
                yield factor
    # Where the second pair is long, the first one is short.
    yield from (product((i, j), first) for i in WIDER for j in WIDER)


def digit_words(multiple: Eisenstein) -> list[int]:
    """Of both halves with the bias: 16 bits of each in a word."""
    halves = [half + BIAS for half in multiple]
    if not all(0 <= half < MULTIPLE_LIMIT for half in halves):
        raise OverflowError("a multiple is too large")
    low, high = halves
    return [
        (low >> 16 * place & 0xFFFF) | (high >> 16 * place & 0xFFFF) << 16 for place in range(5)
    ]


def quotient_words(value: Eisenstein) -> bytes:
    return words(value[0] + REST, 3) + words(value[1] + REST, 3)


def inverse_of(values: list[int]) -> bytes:
    """1 / (product of all)."""
    total = 1
    for value in values:
        total = total * value % P
    return words(pow(total, -1, P), 8)


def act(multiple: Eisenstein, point: Point) -> Point:
    """(a + b w) applied to a point, for small a and b."""
    assert point is not None
    image = (point[0] * BETA % P, point[1])
    total: Point = None
    for count, one in zip(multiple, (point, image), strict=True):
        for _ in range(abs(count)):
            total = added(total, one if count > 0 else negated(one))
    return total


def denominators(point: Point) -> list[int]:
    """Of the two multiples that points.h computes last."""
    rest = act((1, -1), point)
    assert point is not None
    assert rest is not None
    return [rest[0] - point[0], point[0] * BETA - rest[0]]


class Multiples(NamedTuple):
    """Of the key and of the nonce point, for a factor."""

    factor: Eisenstein
    key_digits: list[int]
    nonce_digits: list[int]
    shift: Eisenstein
    """What PI is multiplied by between the key's multiple and -v e."""


class Choice(NamedTuple):
    """Multiples of the three points that are right for a verification."""

    key_digits: list[int]
    nonce_digits: list[int]
    base: Eisenstein
    hints: bytes

    def has_factor(self) -> bool:
        """Whether the guest sees at once that v is not 0."""
        return self.nonce_digits[0] != NO_FACTOR


class Ladder:
    """Follows ladder.h to see whether it meets an exception."""

    def __init__(self, key: Point, nonce: Point) -> None:
        digits = [(i, j) for j in range(-1, 3) for i in range(-1, 3)]
        self.entries = [{digit: act(digit, point) for digit in digits} for point in (key, nonce)]

    def is_exceptional(self, choice: Choice) -> bool:
        key, nonce, base, _ = choice
        self.x, self.y, self.z = *START, 1
        for window in reversed(range(WINDOWS)):
            if window != WINDOWS - 1:
                self._twice()
                self._twice()
            place = 2 * (window % 8)
            for table, digits in zip(self.entries, (key, nonce), strict=True):
                word = digits[window // 8]
                digit = (word >> place & 3) - 1, (word >> 16 + place & 3) - 1
                if digit != (0, 0):
                    self._join(table[digit])
            if window % 4 == 0:
                self._join_bytes(window // 4, base)
        return self.z == 0

    def _join_bytes(self, place: int, base: Eisenstein) -> None:
        for table, at in ((LOW, place), (HIGH, place + LOW_BYTES)):
            if table is LOW and place >= LOW_BYTES:
                continue
            for half, factor in zip(base, (1, BETA), strict=True):
                x, y = table[half >> 8 * at & 0xFF]
                self._join((x * factor % P, y))

    def _twice(self) -> None:
        slope = self.x * self.x * THREE_HALVES % P
        square = self.y * self.y % P
        middle = self.x * square % P
        self.z = self.z * self.y % P
        self.x = (slope * slope - 2 * middle) % P
        self.y = (slope * (middle - self.x) - square * square) % P

    def _join(self, point: Point) -> None:
        assert point is not None
        square = self.z * self.z % P
        h = (point[0] * square - self.x) % P
        r = (point[1] * square * self.z - self.y) % P
        cube, middle = h * h * h % P, self.x * h * h % P
        self.z = self.z * h % P
        self.x = (r * r - cube - 2 * middle) % P
        self.y = (r * (middle - self.x) - self.y * cube) % P


def zero_digits(words_of_digits: Iterable[int]) -> int:
    """How many digits are 0, of 8 in each word: the ladder adds nothing for them."""
    count = 0
    for word in words_of_digits:
        bits = (word ^ NOTHING) | (word ^ NOTHING) >> 16
        count += 8 - ((bits | bits >> 1) & 0x5555).bit_count()
    return count


def multiples(e: Eisenstein, small: Iterable[Eisenstein]) -> Iterator[Multiples]:
    """Of the key and of the nonce, for each of the factors for which they are not too large."""
    for factor in small:
        times_e = product(factor, e)
        shift = quotient(times_e, PI)
        key = difference(product(shift, PI), times_e)
        try:
            key_digits = digit_words(key)
            nonce_digits = digit_words(difference((1, 0), factor))
        except OverflowError:
            continue
        yield Multiples(factor, key_digits, nonce_digits, shift)


def choices(e: Eisenstein, s: Eisenstein, small: Iterable[Eisenstein]) -> Iterator[Choice]:
    """Those with most zero digits first; for the first factor also other multiples of G."""
    found = list(islice(multiples(e, small), CANDIDATES))
    found.sort(key=lambda one: zero_digits(one.key_digits + one.nonce_digits), reverse=True)
    for number, one in enumerate(found):
        times_s = product(one.factor, s)
        shift = quotient(times_s, PI)
        first_hints = struct.pack("<10I", *one.key_digits, *one.nonce_digits)
        first_hints += quotient_words(one.shift)
        for turn in range(1 if number else ROUNDS):
            taken = shift[0] - 8 - turn, shift[1]
            base = difference(times_s, product(taken, PI))
            assert all(0 <= half < BASE_LIMIT for half in base)
            hints = first_hints + words(base[0], 5) + words(base[1], 5) + quotient_words(taken)
            yield Choice(one.key_digits, one.nonce_digits, base, hints)


def hints_on_curve(
    points: Sequence[Point],
    e: int,
    s: int,
    is_taken: Callable[[Choice], bool],
    small: Iterable[Eisenstein] | None = None,
) -> bytes:
    """The hints of a key and a nonce that are on the curve, with the first choice that is taken."""
    hints = words(ON_CURVE, 1)
    for point in points:
        assert point is not None
        hints += words(point[1], 8)
    e_hints, e_halves = split(e)
    s_hints, s_halves = split(s)
    last = inverse_of([number for point in points if point is not None for number in point])
    last += inverse_of([number for point in points for number in denominators(point)])
    for choice in choices(e_halves, s_halves, small or factors(e_halves)):
        if is_taken(choice):
            return hints + e_hints + s_hints + choice.hints + last
    raise NoHints("no choice of hints avoids the exceptions")


def verify_hints(key: bytes, message: bytes, signature: bytes) -> bytes:
    """What secp_verify reads. NoHints if there is none, which nobody can bring about."""
    x, r = int.from_bytes(key, "big"), int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    if x >= P or r >= P or s >= N:
        return b""
    points = []
    for kind, number in ((KEY_OFF_CURVE, x), (NONCE_OFF_CURVE, r)):
        point = lifted(number)
        if point is None:
            return words(kind, 1) + words(root(number**3 + 7), 8)
        points.append(point)
    ladder = Ladder(*points)
    e = challenge(signature[:32], key, message)
    return hints_on_curve(
        points, e, s, lambda choice: choice.has_factor() and not ladder.is_exceptional(choice)
    )


def message_words(content: bytes) -> bytes:
    """Bytes as the words that the guest reads: big endian."""
    return struct.pack(f"<{len(content) // 4}I", *struct.unpack(f">{len(content) // 4}I", content))


def verify_input(key: bytes, message: bytes, signature: bytes) -> bytes:
    """All that guest.c reads for one signature."""
    return message_words(key + message + signature) + verify_hints(key, message, signature)
