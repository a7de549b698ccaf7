"""Group roots and openings of a run, in bounded memory.

The rows of a long run are a gigabyte, and the nodes over them a third of one; neither is kept. An
opening runs the program again and hashes only the groups that it is about: slots that are watched
keep their record and their path. Pieces of rows are those of `run.trace` or of a file.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cython_core.vm._tree import TraceTree
from cython_core.vm.program import DIGEST_BYTES
from cython_core.vm.records import NARROW_BYTES, Row, decode_narrow, decode_wide
from cython_core.vm.tree import DIGIT_SUM, OpenedRow, Shape, opened_row, trace_root

Pieces = Iterable[tuple[bytes, bytes]]
Progress = Callable[[int], object]


@dataclass(frozen=True)
class Commitment:
    """What a tree is signed by."""

    shape: Shape
    salt: bytes
    rows: int
    roots: tuple[bytes, ...]
    nonces: tuple[int, ...]

    @property
    def trace_root(self) -> bytes:
        """The hash over the group roots."""
        return trace_root(self.roots)


def _absorb(tree: TraceTree, pieces: Pieces, progress: Progress) -> int:
    rows = 0
    for narrow, wide in pieces:
        tree.absorb(narrow, wide)
        rows += len(narrow) // NARROW_BYTES
        progress(rows)
    tree.finish()
    return rows


def commit(
    shape: Shape,
    salt: bytes,
    pieces: Pieces,
    progress: Progress = lambda _: None,
    digit_sum: int = DIGIT_SUM,
) -> Commitment:
    """The group roots of a run.

    `progress` hears the rows so far, some thousand times a second at most; what it raises ends the
    work. ValueError for more rows than slots and for bytes that are no rows.
    """
    tree = TraceTree(shape.groups, shape.depth, salt, digit_sum)
    rows = _absorb(tree, pieces, progress)
    return Commitment(shape, salt, rows, tree.roots, tree.nonces)


def open_rows(
    commitment: Commitment,
    pieces: Pieces,
    indices: Sequence[int],
    progress: Progress = lambda _: None,
    digit_sum: int = DIGIT_SUM,
) -> list[OpenedRow]:
    """The slots of these indices, from the rows that were committed to; groups of other slots are
    not hashed. ValueError as from `commit`, and when the rows are others.
    """
    shape, salt = commitment.shape, commitment.salt
    watched = sorted(set(indices))
    tree = TraceTree(shape.groups, shape.depth, salt, digit_sum, watched, only_watched=True)
    _absorb(tree, pieces, progress)
    roots = tree.roots
    opened = {}
    for number, index in enumerate(watched):
        group = index // shape.group_slots
        if roots[group] != commitment.roots[group]:
            raise ValueError("these are not the rows that were committed to")
        is_last = (index + 1) % shape.group_slots == 0
        nonce = commitment.nonces[group] if is_last else None
        siblings = _siblings(tree.path(number), index, shape.depth)
        opened[index] = opened_row(salt, index, _row(tree, number), siblings, nonce)
    return [opened[index] for index in indices]


def _row(tree: TraceTree, number: int) -> Row:
    record, is_wide = tree.record(number)
    return decode_wide(record) if is_wide else decode_narrow(record[:NARROW_BYTES])


def _siblings(path: bytes, index: int, depth: int) -> tuple[bytes, ...]:
    siblings = []
    for level in range(depth):
        start = 4 * DIGEST_BYTES * level
        own = start + DIGEST_BYTES * (index >> 2 * level & 3)
        end = start + 4 * DIGEST_BYTES
        siblings.append(path[start:own] + path[own + DIGEST_BYTES : end])
    return tuple(siblings)
