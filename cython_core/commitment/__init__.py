"""Commitments to matrices: hashes of rows, a tree over several heights, openings of many positions.

docs/proofs.md, "Commitment to matrices", is the definition. The prover's side is compiled, with
`_reference` as its twin in plain Python; `verify` is the plain Python check of an opening. The two
sides import nothing of one another; `positions` says to both which rows an opening shows.
"""

from typing import TYPE_CHECKING, Any

from cython_core.commitment.positions import rows_of

if TYPE_CHECKING:
    from cython_core.commitment._commitment import (
        BLOCKS_MAX,
        LOG_HEIGHT_MAX,
        CommitmentTree,
        RowHasher,
        available_kernels,
        commit_matrices,
    )

__all__ = [
    "BLOCKS_MAX",
    "LOG_HEIGHT_MAX",
    "CommitmentTree",
    "RowHasher",
    "available_kernels",
    "commit_matrices",
    "rows_of",
]


def __getattr__(name: str) -> Any:
    """What is compiled comes when it is asked for: the Python verifier runs without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cython_core.commitment import _commitment

    return getattr(_commitment, name)
