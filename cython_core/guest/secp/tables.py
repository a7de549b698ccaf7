"""The guest's constants and its table of multiples of G, as `constants.c` and `table.bin`.

    python -m cython_core.guest.secp.tables

The table has 256 entries d B + Q for B = G, then 256 for B = 2^64 G: x and y, 32 bytes each, the
lowest first. Q is a point that nobody knows a multiple of; it keeps zero digits from being a case
of their own. What all the Q of one verification add up to is undone by where the sum starts: START.
"""

import hashlib
from pathlib import Path
from typing import Final

from cython_core.guest.secp.curve import (
    BETA,
    LAMBDA,
    PI,
    G,
    N,
    P,
    Point,
    added,
    lifted,
    negated,
    product,
    times,
)

HERE: Final = Path(__file__).parent
WINDOWS: Final = 34
"""Digits to the base 4 of the multiples of the key and of the nonce point."""
DOUBLINGS: Final = 2 * (WINDOWS - 1)
DIGITS: Final = 256
LOW_BYTES: Final = 8
"""Bytes of a multiple of G that belong to B = G."""
HIGH_BYTES: Final = 9
BIAS: Final = (4**WINDOWS - 1) // 3
"""Digits are -1 to 2, and stored with 1 added."""
LIFT: Final = 1 << 128
"""What is added to the second half of a scalar to make it positive."""
REST: Final = 1 << 80
"""What is added to quotients to make them positive."""


def blinding() -> Point:
    """The first point whose x is a hash of a number."""
    number = 0
    while True:
        seed = f"p2p-seq table of multiples of G {number}".encode()
        point = lifted(int.from_bytes(hashlib.sha256(seed).digest(), "big"))
        if point is not None:
            return point
        number += 1


def start() -> tuple[int, int]:
    """START: 2^DOUBLINGS START and all the Q add up to nothing."""
    count = sum(1 << 8 * place for place in range(LOW_BYTES))
    count += sum(1 << 8 * place for place in range(HIGH_BYTES))
    scalar = count * (1 + LAMBDA) * pow(1 << DOUBLINGS, -1, N)
    point = negated(times(scalar, blinding()))
    assert point is not None
    return point


def entries(base: Point) -> list[tuple[int, int]]:
    """d B + Q for each digit d."""
    found, point = [], blinding()
    for _ in range(DIGITS):
        assert point is not None
        found.append(point)
        point = added(point, base)
    return found


def table() -> bytes:
    points = entries(G) + entries(times(1 << 8 * LOW_BYTES, G))
    return b"".join(x.to_bytes(32, "little") + y.to_bytes(32, "little") for x, y in points)


def constants() -> dict[str, int]:
    """Lines of the guest by name, in the order of `enum secp_constant`."""
    bias = (BIAS, BIAS)
    rest = product((REST, REST), PI)
    first, second = PI
    x, y = start()
    return {
        "ONE": 1,
        "SEVEN": 7,
        "MINUS_ONE": P - 1,
        "THREE_HALVES": 3 * pow(2, -1, P),
        "BETA": BETA,
        "BETA_SQUARED": BETA * BETA,
        "TRIPLING": 2 * pow(1 - BETA, -1, P),
        "PI_0": first,
        "PI_1": second,
        "PI_REST": first - second,
        "LIFT": LIFT,
        "FACTOR_0": 1 + BIAS,
        "FACTOR_1": BIAS,
        "KEY_0": rest[0] - bias[0],
        "KEY_1": rest[1] - bias[1],
        "BASE_0": rest[0],
        "BASE_1": rest[1],
        "START_X": x,
        "START_Y": y,
    }


def source() -> str:
    lines = [
        "/* Written by tables.py. */",
        '#include "secp/secp_lines.h"',
        "",
        "const secp_line SECP_CONSTANTS[SECP_CONSTANT_COUNT] = {",
    ]
    for name, value in constants().items():
        words = [value % P >> 32 * place & 0xFFFFFFFF for place in range(8)]
        halves = [", ".join(f"0x{word:08x}u" for word in part) for part in (words[:4], words[4:])]
        lines += [f"    [SECP_{name}] = {{{{{halves[0]},", f"        {halves[1]}}}}},"]
    return "\n".join([*lines, "};", ""])


def main() -> None:
    (HERE / "constants.c").write_text(source(), encoding="utf-8")
    (HERE / "table.bin").write_bytes(table())


if __name__ == "__main__":
    main()
