"""Commitments to matrices: hashes of rows, a tree over several heights, openings of many positions.

docs/proofs.md, "Commitment to matrices", is the definition. The prover's side is compiled, with
`_reference` as its twin in plain Python; `verify` is the plain Python check of an opening. The two
sides import nothing of one another; `positions` says to both which rows an opening shows.
"""

from cython_core.commitment._commitment import (
    BLOCKS_MAX,
    LOG_HEIGHT_MAX,
    CommitmentTree,
    RowHasher,
    available_kernels,
    commit_matrices,
)
from cython_core.commitment.positions import rows_of

__all__ = [
    "BLOCKS_MAX",
    "LOG_HEIGHT_MAX",
    "CommitmentTree",
    "RowHasher",
    "available_kernels",
    "commit_matrices",
    "rows_of",
]
