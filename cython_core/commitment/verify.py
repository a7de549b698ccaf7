"""Checks openings of commitments, in plain Python: docs/proofs.md, "Commitment to matrices".

What comes is read strictly: as many rows and digests as the positions ask for, and nothing is
looked at before it has all come.
"""

import struct
from collections.abc import Iterable, Sequence

from blake3 import blake3

from cython_core.commitment.positions import missing_siblings, rows_of
from cython_core.commitment.reader import Reader
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.transcript.keys import KEY_INJECT, KEY_NODE, KEY_ROW

PANEL = 16

Rows = dict[int, tuple[int, ...]]
"""Elements by the number of the row."""


def padded(row: tuple[int, ...]) -> bytes:
    """A row's bytes as they are hashed: zero elements up to a multiple of 16."""
    return struct.pack(f"<{len(row)}I", *row) + bytes(-len(row) % PANEL * 4)


def _row_digests(shapes: Sequence[tuple[int, int]], rows: list[Rows], log: int) -> dict[int, bytes]:
    """Digest by row, over all matrices of 2^log rows."""
    group = [rows[index] for index, shape in enumerate(shapes) if shape[0] == log]
    if not group:
        return {}
    return {
        row: blake3(b"".join(padded(matrix[row]) for matrix in group), key=KEY_ROW).digest()
        for row in group[0]
    }


def verify(
    root: bytes,
    shapes: Sequence[tuple[int, int]],
    positions: Iterable[int],
    domain_log: int,
    reader: Reader,
) -> list[Rows]:
    """Reads an opening at positions of a domain of 2^domain_log points.

    `shapes` are (log2 of the height, width) of the matrices in order. Returns the opened rows of
    each. InvalidProof if the opening is short, not canonical, or leads to another root.
    """
    positions = list(positions)
    if not shapes or not positions:
        raise ValueError("an opening has a matrix and a position at least")
    rows = [
        {row: reader.elements(width) for row in rows_of(positions, domain_log, log)}
        for log, width in shapes
    ]
    top = max(log for log, _ in shapes)
    nodes = _row_digests(shapes, rows, top)
    for level in range(top, 0, -1):
        nodes |= {sibling: reader.digest() for sibling in missing_siblings(sorted(nodes))}
        nodes = {
            node >> 1: blake3(digest + nodes[node + 1], key=KEY_NODE).digest()
            for node, digest in nodes.items()
            if node & 1 == 0
        }
        for row, digest in _row_digests(shapes, rows, level - 1).items():
            nodes[row] = blake3(nodes[row] + digest, key=KEY_INJECT).digest()
    if nodes[0] != root:
        raise InvalidProof(Reason.BAD_OPENING, f"the opening leads to {nodes[0].hex()}")
    return rows
