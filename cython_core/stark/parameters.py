"""The parameter sets that proofs are made with.

A set is part of the verification key, so that a proof cannot choose a weaker one. Each set that
ships has at least `SECURITY_BITS` proven bits for the greatest AIR that the engine is meant for
(`MAXIMAL`); a test computes them (`security.py` has the formulas). Sets for tests are not here.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from cython_core.air.key import Parameters
from cython_core.air.table import System
from cython_core.stark.security import Security, Shape, security

SECURITY_BITS: Final = 100
"""Proven bits that every set which ships must have."""

MAXIMAL: Final = Shape(
    height_log=22, columns=1_800 + 5 * 250, constraints=6_000, interactions=2 * 250, degree=3
)
"""The greatest AIR that the engine is meant for: 250 auxiliary columns of two interactions each."""

PROVEN: Final = Parameters(
    blowup_log=2,
    queries=84,
    query_grinding=20,
    commit_grinding=4,
    fold_log=3,
    final_log=5,
    max_height_log=22,
)
"""What proofs are made with unless somebody asks for another set: 102 bits.

84 queries at a rate of 1/4 give 82 bits at the Johnson bound and the grinding 20. A fold by 8 has
the smallest proofs; commit grinding pays for the 7 that its error is multiplied with. 32 final
coefficients cost as much as the layer that they save.
"""

PRESETS: Final[Mapping[str, Parameters]] = MappingProxyType({"proven": PROVEN})
"""Every set that ships, by name."""


def preset_name(parameters: Parameters) -> str | None:
    """The name of a set that ships; None for others."""
    for name, preset in PRESETS.items():
        if preset == parameters:
            return name
    return None


def security_of(parameters: Parameters, shape: Shape = MAXIMAL) -> Security:
    """The proven security of a set for AIRs up to a shape."""
    return security(parameters, shape)


def shape_of(system: System, heights: Sequence[int]) -> Shape:
    """The shape of an AIR whose tables have these heights (logs)."""
    greatest = max(heights)
    rows = sum(
        len(table.interactions) << height
        for table, height in zip(system.tables, heights, strict=True)
    )
    return Shape(
        height_log=greatest,
        columns=sum(
            table.main_width + table.preprocessed_width + table.auxiliary_width
            for table in system.tables
        ),
        constraints=sum(
            len(table.constraints) + (len(table.groups) + 3 if table.interactions else 0)
            for table in system.tables
        ),
        interactions=-(-rows >> greatest),
    )
