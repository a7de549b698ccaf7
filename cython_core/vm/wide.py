"""The wide operations on words, in plain Python (trace.md 1.3, 7.1).

Compression, and arithmetic modulo P256: operands are any numbers of 256 bits, what comes out is
fully reduced. COPY alone leaves the number as it is.
"""

from collections.abc import Callable, Sequence
from typing import Final

from cython_core.hash._reference import COLUMNS_AND_DIAGONALS, INITIAL_VECTOR, PERMUTATION, ROUNDS
from cython_core.vm.operations import BLOCK_BYTES, LINE_BYTES, MASK, P256, Op

LINE_BITS: Final = 8 * LINE_BYTES


def _quarter(state: list[int], places: tuple[int, int, int, int], x: int, y: int) -> None:
    a, b, c, d = places
    for word, turn_d, turn_b in ((x, 16, 12), (y, 8, 7)):
        state[a] = (state[a] + state[b] + word) & MASK
        mixed = state[d] ^ state[a]
        state[d] = (mixed >> turn_d | mixed << (32 - turn_d)) & MASK
        state[c] = (state[c] + state[d]) & MASK
        mixed = state[b] ^ state[c]
        state[b] = (mixed >> turn_b | mixed << (32 - turn_b)) & MASK


def compress(chaining: Sequence[int], message: Sequence[int], flags: int) -> tuple[int, ...]:
    """BLAKE3's compression of a full block with counter 0: the next chaining value."""
    state = [*chaining, *INITIAL_VECTOR[:4], 0, 0, BLOCK_BYTES, flags]
    words = list(message)
    for _ in range(ROUNDS):
        for index, places in enumerate(COLUMNS_AND_DIAGONALS):
            _quarter(state, places, words[2 * index], words[2 * index + 1])
        words = [words[place] for place in PERMUTATION]
    return tuple(state[index] ^ state[index + 8] for index in range(8))


def number(words: Sequence[int]) -> int:
    """Eight words, the lowest first, as one number."""
    return sum(word << 32 * place for place, word in enumerate(words))


FIELD_STEPS: Final[dict[int, Callable[[int, int], int]]] = {
    Op.MULP: lambda operand, accumulator: operand * accumulator % P256,
    Op.SQRP: lambda operand, _: operand * operand % P256,
    Op.ADDP: lambda operand, accumulator: (accumulator + operand) % P256,
    Op.SUBP: lambda operand, accumulator: (accumulator - operand) % P256,
    Op.COPY: lambda operand, _: operand,
}


def combine(op: int, operand: Sequence[int], accumulator: Sequence[int]) -> tuple[int, ...]:
    """What an operation of FIELD leaves at rs2: operand is what is at rs1."""
    out = FIELD_STEPS[op](number(operand), number(accumulator))
    return tuple(out >> 32 * place & MASK for place in range(8))


def multiply(left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    """The product of two 256-bit numbers modulo P256, fully reduced."""
    return combine(Op.MULP, left, right)


def misplaced(op: int, v1: int, v2: int) -> int | None:
    """The operand address for which the operation has no step, or None when there is a step."""
    if v1 % (BLOCK_BYTES if op == Op.B3 else LINE_BYTES):
        return v1
    is_met = v1 // BLOCK_BYTES == v2 // BLOCK_BYTES if op == Op.B3 else v1 == v2
    return v2 if v2 % LINE_BYTES or is_met else None
