"""secp256k1 in plain Python, for the tables of the guest and for its hints.

Points are affine, None is the point at infinity. Not constant time: nothing here is secret.

The curve has the endomorphism (x, y) -> (BETA x, y), which multiplies points by LAMBDA. So the ring
Z[w] with w^2 + w + 1 = 0 acts on points, w as LAMBDA. Its elements are pairs (a, b) for a + b w.
The element PI of norm N acts as zero: PI[0] + PI[1] LAMBDA = 0 modulo N.
"""

from typing import Final

Point = tuple[int, int] | None
Eisenstein = tuple[int, int]

P: Final = 2**256 - 2**32 - 977
"""The field (SEC 2, section 2.4.1)."""
N: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of the group."""
G: Final = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
BETA: Final = 0x7AE96A2B657C07106E64479EAC3434E99CF0497512F58995C1396C28719501EE
LAMBDA: Final = 0x5363AD4CC05C30E0A5261C028812645A122E22EA20816678DF02967C1B23BD72
PI: Final[Eisenstein] = (
    0x114CA50F7A8E2F3F657C1108D9D44CFD8,
    0x3086D221A7D46BCDE86C90E49284EB15,
)
"""Of the six associates the one for which the signs in `hints` are as they are."""

assert (BETA * BETA + BETA + 1) % P == 0
assert (LAMBDA * LAMBDA + LAMBDA + 1) % N == 0
assert (PI[0] + PI[1] * LAMBDA) % N == 0
assert PI[0] ** 2 - PI[0] * PI[1] + PI[1] ** 2 == N


def product(a: Eisenstein, b: Eisenstein) -> Eisenstein:
    """In Z[w]: w^2 = -1 - w."""
    both = a[1] * b[1]
    return a[0] * b[0] - both, a[0] * b[1] + a[1] * b[0] - both


def difference(a: Eisenstein, b: Eisenstein) -> Eisenstein:
    return a[0] - b[0], a[1] - b[1]


def conjugate(a: Eisenstein) -> Eisenstein:
    return a[0] - a[1], -a[1]


def norm(a: Eisenstein) -> int:
    return a[0] * a[0] - a[0] * a[1] + a[1] * a[1]


def quotient(a: Eisenstein, b: Eisenstein) -> Eisenstein:
    """The nearest pair to a / b: the rest is smaller than b."""
    top, bottom = product(a, conjugate(b)), norm(b)
    return (2 * top[0] + bottom) // (2 * bottom), (2 * top[1] + bottom) // (2 * bottom)


def root(square: int) -> int:
    """A candidate; of `square` or of its negative."""
    return pow(square, (P + 1) // 4, P)


def lifted(x: int) -> Point:
    """The point with an even y, or None."""
    if not 0 <= x < P:
        return None
    square = (x * x * x + 7) % P
    y = root(square)
    if y * y % P != square:
        return None
    return x, y if y % 2 == 0 else P - y


def negated(point: Point) -> Point:
    return None if point is None else (point[0], -point[1] % P)


def added(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return b if a is None else a
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(scalar: int, point: Point) -> Point:
    total: Point = None
    for bit in bin(scalar % N)[2:]:
        total = added(total, total)
        if bit == "1":
            total = added(total, point)
    return total
