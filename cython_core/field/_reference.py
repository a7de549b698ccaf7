"""KoalaBear and its extension of degree 5 in plain Python: the twin of kb31.h.

An element is an int below `P`, plain and not in Montgomery form; an element of the extension
F[X] / (X^5 + X^2 - 1) is a tuple of its five coefficients in ascending order. The Python verifier
computes with these functions, so they are written to be quick: `xmul` reduces once a coefficient.
"""

from typing import Final, TypeAlias

P: Final = 2**31 - 2**24 + 1
"""The order of the field, a prime: KoalaBear."""
GENERATOR: Final = 3
"""Generates the multiplicative group."""
TWO_ADICITY: Final = 24
"""p - 1 = 2^24 * 127."""
DEGREE: Final = 5
"""Of the extension."""

Extension: TypeAlias = tuple[int, int, int, int, int]

XZERO: Final[Extension] = (0, 0, 0, 0, 0)
XONE: Final[Extension] = (1, 0, 0, 0, 0)

assert P - 1 == 127 << TWO_ADICITY


def root(log: int) -> int:
    """g_log, which generates the subgroup of order 2^log. ValueError above `TWO_ADICITY`."""
    if not 0 <= log <= TWO_ADICITY:
        raise ValueError(f"there is no subgroup of order 2^{log}")
    return pow(GENERATOR, (P - 1) >> log, P)


def inverse(a: int) -> int:
    """1 / a. ZeroDivisionError for zero."""
    if a % P == 0:
        raise ZeroDivisionError("zero has no inverse")
    return pow(a, -1, P)


def bit_reverse(index: int, bits: int) -> int:
    """The low `bits` bits of `index` in opposite order."""
    reverse = 0
    for _ in range(bits):
        reverse = reverse << 1 | index & 1
        index >>= 1
    return reverse


def xadd(a: Extension, b: Extension) -> Extension:
    return (
        (a[0] + b[0]) % P,
        (a[1] + b[1]) % P,
        (a[2] + b[2]) % P,
        (a[3] + b[3]) % P,
        (a[4] + b[4]) % P,
    )


def xsub(a: Extension, b: Extension) -> Extension:
    return (
        (a[0] - b[0]) % P,
        (a[1] - b[1]) % P,
        (a[2] - b[2]) % P,
        (a[3] - b[3]) % P,
        (a[4] - b[4]) % P,
    )


def xscale(a: Extension, b: int) -> Extension:
    """An extension element times a base element."""
    return (a[0] * b % P, a[1] * b % P, a[2] * b % P, a[3] * b % P, a[4] * b % P)


def xmul(a: Extension, b: Extension) -> Extension:
    # X^5 = 1 - X^2, X^6 = X - X^3, X^7 = X^2 - X^4, X^8 = X^3 + X^2 - 1; t5 is the sum before X^5.
    a0, a1, a2, a3, a4 = a
    b0, b1, b2, b3, b4 = b
    t5 = a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1
    t6 = a2 * b4 + a3 * b3 + a4 * b2
    t7 = a3 * b4 + a4 * b3
    t8 = a4 * b4
    return (
        (a0 * b0 + t5 - t8) % P,
        (a0 * b1 + a1 * b0 + t6) % P,
        (a0 * b2 + a1 * b1 + a2 * b0 + t7 - t5 + t8) % P,
        (a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 - t6 + t8) % P,
        (a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0 - t7) % P,
    )


def xpower(base: Extension, exponent: int) -> Extension:
    """`exponent` is not negative."""
    power = XONE
    while exponent:
        if exponent & 1:
            power = xmul(power, base)
        base = xmul(base, base)
        exponent >>= 1
    return power


def _frobenius_images() -> tuple[Extension, ...]:
    """X^(i p) for i < 5."""
    first = xpower((0, 1, 0, 0, 0), P)
    images = [XONE]
    for _ in range(DEGREE - 1):
        images.append(xmul(images[-1], first))
    return tuple(images)


FROBENIUS: Final = _frobenius_images()
"""Coefficient i of an element counts that many times in its p-th power."""


def xfrobenius(a: Extension) -> Extension:
    """a^p: a linear map, because it leaves the base field alone."""
    _, f1, f2, f3, f4 = FROBENIUS
    a0, a1, a2, a3, a4 = a
    return (
        (a0 + a1 * f1[0] + a2 * f2[0] + a3 * f3[0] + a4 * f4[0]) % P,
        (a1 * f1[1] + a2 * f2[1] + a3 * f3[1] + a4 * f4[1]) % P,
        (a1 * f1[2] + a2 * f2[2] + a3 * f3[2] + a4 * f4[2]) % P,
        (a1 * f1[3] + a2 * f2[3] + a3 * f3[3] + a4 * f4[3]) % P,
        (a1 * f1[4] + a2 * f2[4] + a3 * f3[4] + a4 * f4[4]) % P,
    )


def xinverse(a: Extension) -> Extension:
    """1 / a. ZeroDivisionError for zero.

    a^(p + p^2 + p^3 + p^4) times a is the norm, which lies in the base field (Itoh, Tsujii 1988).
    """
    first = xfrobenius(a)
    pair = xmul(first, xfrobenius(first))
    conjugates = xmul(pair, xfrobenius(xfrobenius(pair)))
    return xscale(conjugates, inverse(xmul(a, conjugates)[0]))
