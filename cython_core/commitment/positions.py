"""Which rows an opening shows: what prover and verifier must agree on.

Position `j` of a domain of 2^M points belongs to row `j >> (M - l)` of a matrix of 2^l rows; rows
are shown once each, ascending (docs/proofs.md, "Commitment to matrices").
"""

from collections.abc import Iterable


def rows_of(positions: Iterable[int], domain_log: int, log_height: int) -> list[int]:
    """The rows of a matrix of 2^log_height rows that belong to positions of the domain."""
    shift = domain_log - log_height
    if shift < 0:
        raise ValueError(f"a domain of 2^{domain_log} points has no 2^{log_height} rows")
    return sorted({position >> shift for position in positions})


def missing_siblings(nodes: list[int]) -> list[int]:
    """Of ascending nodes of one level the siblings that are not among them, ascending."""
    present = set(nodes)
    return [node ^ 1 for node in nodes if node ^ 1 not in present]
