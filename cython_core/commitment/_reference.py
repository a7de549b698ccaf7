"""Commitments in plain Python, on the public BLAKE3: the twin of the kernels (prover's side).

Written from docs/proofs.md, "Commitment to matrices". A matrix here is a list of rows, each a
sequence of plain field elements, in the order of the positions.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

from blake3 import blake3

from cython_core.commitment.positions import missing_siblings, rows_of
from cython_core.transcript.keys import KEY_INJECT, KEY_NODE, KEY_ROW

Rows = Sequence[Sequence[int]]

PANEL = 16


def _log(count: int) -> int:
    log = count.bit_length() - 1
    if count != 1 << log:
        raise ValueError(f"a matrix has 2^l rows, not {count}")
    return log


def _encoded(row: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(row)}I", *row)


def row_digests(matrices: Sequence[Rows]) -> list[bytes]:
    """Digest of each row of matrices of one height, whose rows are concatenated."""
    return [
        blake3(
            b"".join(_encoded(row) + bytes(-len(row) % PANEL * 4) for row in parts), key=KEY_ROW
        ).digest()
        for parts in zip(*matrices, strict=True)
    ]


class CommitmentTree:
    """All nodes of a commitment; `levels[l]` has 2^l."""

    def __init__(self, digests: Mapping[int, Sequence[bytes]], matrices: Sequence[Rows]) -> None:
        self.matrices = matrices
        self.log = max(digests)
        self.levels = [list(digests[self.log])]
        for level in reversed(range(self.log)):
            below = self.levels[0]
            nodes = [
                blake3(below[2 * index] + below[2 * index + 1], key=KEY_NODE).digest()
                for index in range(1 << level)
            ]
            if level in digests:
                nodes = [
                    blake3(node + digest, key=KEY_INJECT).digest()
                    for node, digest in zip(nodes, digests[level], strict=True)
                ]
            self.levels.insert(0, nodes)

    @property
    def root(self) -> bytes:
        return self.levels[0][0]

    def open(self, positions: Iterable[int], domain_log: int) -> bytes:
        """The digests of an opening, its part 2."""
        digests = []
        nodes = rows_of(positions, domain_log, self.log)
        for level in range(self.log, 0, -1):
            digests += [self.levels[level][sibling] for sibling in missing_siblings(nodes)]
            nodes = rows_of(nodes, level, level - 1)
        return b"".join(digests)

    def open_rows(self, positions: Sequence[int], domain_log: int) -> bytes:
        """A whole opening."""
        rows = [
            _encoded(matrix[row])
            for matrix in self.matrices
            for row in rows_of(positions, domain_log, _log(len(matrix)))
        ]
        return b"".join(rows) + self.open(positions, domain_log)


def commit_matrices(matrices: Sequence[Rows]) -> CommitmentTree:
    by_log: dict[int, list[Rows]] = {}
    for matrix in matrices:
        by_log.setdefault(_log(len(matrix)), []).append(matrix)
    digests = {log: row_digests(group) for log, group in by_log.items()}
    return CommitmentTree(digests, matrices)
