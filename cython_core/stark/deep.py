"""The DEEP quotient at the query positions (docs/proofs.md, steps 6 and 8).

For each position of a query: from the opened rows of all matrices, F at the position's point. The
coefficients of step 6 are packed, five coefficients of an extension element into one integer, so
that a whole row takes one multiplication and one addition for each column.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final

from cython_core.field._reference import (
    XZERO,
    Extension,
    P,
    bit_reverse,
    root,
    xadd,
    xinverse,
    xmul,
    xscale,
    xsub,
)
from cython_core.stark.opened import Layout, Source

OpenedRows = Mapping[tuple[Source, int], Mapping[int, Sequence[int]]]
"""Opened rows, by commitment and matrix, then by the row's number in bit-reversed order."""

LIMB_BITS: Final = 96
"""Of a packed coefficient; 2^31 products of 62 bits fit in, and no row has that many columns."""
LIMB_MASK: Final = (1 << LIMB_BITS) - 1


def pack(element: Extension) -> int:
    """The five coefficients as the limbs of one integer."""
    packed = 0
    for coefficient in reversed(element):
        packed = packed << LIMB_BITS | coefficient
    return packed


def unpack(packed: int) -> Extension:
    """The coefficients, each modulo p."""
    return (
        (packed & LIMB_MASK) % P,
        (packed >> LIMB_BITS & LIMB_MASK) % P,
        (packed >> 2 * LIMB_BITS & LIMB_MASK) % P,
        (packed >> 3 * LIMB_BITS & LIMB_MASK) % P,
        (packed >> 4 * LIMB_BITS) % P,
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """What the columns of one block contribute."""

    source: Source
    matrix: int
    row_shift: int
    columns: Sequence[int] | None
    """None for all."""
    weights: Sequence[int]


class DeepQuotient:
    """F, made from the opened values and the coefficients; `at` evaluates it at a position."""

    def __init__(
        self,
        layout: Layout,
        zeta: Extension,
        greatest_log: int,
        values: Sequence[Extension],
        coefficients: Sequence[Extension],
    ) -> None:
        self._domain_log = greatest_log + 2
        self._generator = root(self._domain_log)
        self._points = (zeta, xscale(zeta, root(greatest_log)))
        self._parts: tuple[list[_Part], list[_Part]] = ([], [])
        constants = [XZERO, XZERO]
        used = 0
        for block in layout.blocks:
            matrix = layout.matrices[block.source][block.matrix]
            weights = coefficients[used : used + len(block.columns)]
            for weight, value in zip(weights, values[used:], strict=False):
                constants[block.is_next] = xadd(constants[block.is_next], xmul(weight, value))
            used += len(block.columns)
            whole = len(block.columns) == matrix.width
            self._parts[block.is_next].append(
                _Part(
                    block.source,
                    block.matrix,
                    greatest_log - matrix.log_height,
                    None if whole else block.columns,
                    [pack(weight) for weight in weights],
                )
            )
        self._constants = tuple(constants)

    def at(self, position: int, rows: OpenedRows) -> Extension:
        """F at the point of a position below 4N. Its rows must be among those opened."""
        x = pow(self._generator, bit_reverse(position, self._domain_log), P)
        total = XZERO
        for point, constant, parts in zip(self._points, self._constants, self._parts, strict=True):
            numerator = xsub(unpack(_dot(parts, position, rows)), constant)
            # The point is an element of the extension outside of the domain: no division by zero.
            total = xadd(total, xmul(numerator, xinverse(xsub((x, 0, 0, 0, 0), point))))
        return total


def _dot(parts: Iterable[_Part], position: int, rows: OpenedRows) -> int:
    total = 0
    for part in parts:
        row = rows[part.source, part.matrix][position >> part.row_shift]
        if part.columns is not None:
            row = [row[column] for column in part.columns]
        total += sum(map(mul, part.weights, row))
    return total
