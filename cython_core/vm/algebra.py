"""Words as the step definitions see them.

`semantics` is written over this algebra only: a back end decides what a word is. The reference back
end computes with integers and asserts what definitions require; others build columns and
constraints, or Script, out of the same calls. A definition never branches on a value.
"""

from typing import Protocol, TypeVar

from cython_core.vm.operations import MASK

W = TypeVar("W")


class Algebra(Protocol[W]):
    """What a back end has. Bits are words that are 0 or 1; shift distances use five bits."""

    def constant(self, value: int) -> W: ...
    def add(self, a: W, b: W) -> W: ...
    def subtract(self, a: W, b: W) -> W: ...
    def conjunction(self, a: W, b: W) -> W: ...
    def disjunction(self, a: W, b: W) -> W: ...
    def exclusive(self, a: W, b: W) -> W: ...
    def shift_left(self, a: W, distance: W) -> W: ...
    def shift_right(self, a: W, distance: W) -> W: ...
    def equal(self, a: W, b: W) -> W: ...
    def less(self, a: W, b: W) -> W:
        """Unsigned."""

    def select(self, bit: W, if_one: W, if_zero: W) -> W: ...
    def product(self, a: W, b: W) -> tuple[W, W]:
        """Low and high word of the unsigned product."""

    def division_hint(self, a: W, b: W) -> tuple[W, W]:
        """Quotient and remainder from outside: the definition requires what makes them right."""

    def require(self, bit: W) -> None: ...
    def take(self, word: W, place: W, bits: int) -> W:
        """`bits` bits of `word` from byte `place` on."""

    def put(self, word: W, place: W, bits: int, part: W) -> W:
        """`word` with its `bits` bits from byte `place` on replaced by the low bits of `part`."""


class ReferenceAlgebra:
    """Words are integers below 2^32."""

    def constant(self, value: int) -> int:
        return value & MASK

    def add(self, a: int, b: int) -> int:
        return (a + b) & MASK

    def subtract(self, a: int, b: int) -> int:
        return (a - b) & MASK

    def conjunction(self, a: int, b: int) -> int:
        return a & b

    def disjunction(self, a: int, b: int) -> int:
        return a | b

    def exclusive(self, a: int, b: int) -> int:
        return a ^ b

    def shift_left(self, a: int, distance: int) -> int:
        return (a << (distance & 31)) & MASK

    def shift_right(self, a: int, distance: int) -> int:
        return a >> (distance & 31)

    def equal(self, a: int, b: int) -> int:
        return int(a == b)

    def less(self, a: int, b: int) -> int:
        return int(a < b)

    def select(self, bit: int, if_one: int, if_zero: int) -> int:
        return if_one if bit else if_zero

    def product(self, a: int, b: int) -> tuple[int, int]:
        return a * b & MASK, a * b >> 32

    def division_hint(self, a: int, b: int) -> tuple[int, int]:
        return divmod(a, b) if b else (MASK, a)

    def require(self, bit: int) -> None:
        assert bit == 1

    def take(self, word: int, place: int, bits: int) -> int:
        return word >> 8 * place & ((1 << bits) - 1)

    def put(self, word: int, place: int, bits: int, part: int) -> int:
        window = (1 << bits) - 1
        return (word & ~(window << 8 * place)) | (part & window) << 8 * place
