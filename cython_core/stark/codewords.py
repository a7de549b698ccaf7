"""Codewords: columns extended to the evaluation domain, and the threads that do it.

Memory is what limits a proof. Codewords are kept while they fit into `Options.codeword_bytes`.
Beyond, nothing is stored but the coefficients (as many as the tables have cells) and the digests of
the commitments: panels of 16 columns are extended again each time that values outside of the trace
domain are needed, for the commitment, for the quotient, for the rows that are opened.

All heavy work is in C without the interpreter's lock, one panel, coset or range of rows a task;
tasks run on as many threads as asked for. Between tasks a prover reports progress and may be
cancelled.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from cython_core.commitment import CommitmentTree, RowHasher
from cython_core.field import Matrix
from cython_core.field import _reference as kb31
from cython_core.stark import _prover as passes

Item = TypeVar("Item")

COSET_LOG: Final = 2
COSETS: Final = 1 << COSET_LOG
"""Of the trace domain in the evaluation domain: the blowup."""
BLOCK: Final = 64
"""Rows that a kernel works on at once (stark/kernels.h)."""


class Spares:
    """Matrices that nobody needs any more, for whoever next needs some of the same shape.

    Fresh memory is cleared page by page, which costs as much as a transform, so a prover that makes
    proof after proof passes one of these along. What is taken holds anything, zeros in its padding.
    """

    def __init__(self) -> None:
        self._free: dict[tuple[int, int], list[Matrix]] = {}

    def take(self, height: int, width: int) -> Matrix:
        try:
            return self._free[height, width].pop()
        except (KeyError, IndexError):
            return Matrix(height, width)

    def give(self, matrix: Matrix) -> None:
        self._free.setdefault((matrix.height, matrix.width), []).append(matrix)


class Stage(StrEnum):
    """What the prover is doing, for progress reports."""

    TABLES = "tables"
    BUSES = "buses"
    QUOTIENT = "quotient"
    POINT = "point"
    FRI = "fri"
    QUERIES = "queries"


class Cancelled(Exception):
    """The proof was given up because its caller asked for it."""


@dataclass(frozen=True)
class Options:
    """How to work; nothing here changes the proof."""

    threads: int = 1
    kernel: str = "auto"
    codeword_bytes: int = 4 << 30
    """Codewords are kept in memory if they take no more, and computed thrice otherwise."""
    consumes_tables: bool = False
    """Empty the list of tables as soon as they are taken: who gives up the last reference to them
    has that memory for the proof."""
    spares: Spares | None = None
    """Memory of earlier proofs, and for later ones."""
    progress: Callable[[Stage, int, int], None] | None = None
    """Called with the stage, tasks done, tasks in all; from the calling thread."""
    is_cancelled: Callable[[], bool] | None = None


@dataclass
class Committed:
    """A matrix of a table as coefficients, and what is read of it."""

    coefficients: Matrix
    next_columns: tuple[int, ...]
    cosets: dict[int, Matrix] = field(default_factory=dict)
    """Values on cosets of the trace domain, as far as they are kept."""
    is_lent: bool = False
    """The values on the first coset, the trace domain, are the caller's."""

    def forget_values(self, spares: Spares) -> None:
        """Keep the coefficients alone."""
        for coset, values in self.cosets.items():
            if coset != 0 or not self.is_lent:
                spares.give(values)
        self.cosets.clear()


class Workers:
    """Runs tasks on threads, with progress and cancellation between them."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.spares = options.spares or Spares()
        self._pool = ThreadPoolExecutor(options.threads) if options.threads > 1 else None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, stage: Stage, task: Callable[[Item], object], items: Sequence[Item]) -> None:
        """Do `task` for all items. The first exception ends it, as does cancellation."""
        for done, _ in enumerate(self._results(task, items), 1):
            if self._options.progress is not None:
                self._options.progress(stage, done, len(items))

    def _results(self, task: Callable[[Item], object], items: Sequence[Item]) -> Iterator[object]:
        def guarded(item: Item) -> object:
            if self._options.is_cancelled is not None and self._options.is_cancelled():
                raise Cancelled
            return task(item)

        return map(guarded, items) if self._pool is None else self._pool.map(guarded, items)


def log_of(height: int) -> int:
    return height.bit_length() - 1


def coset_shift(log_height: int, coset: int) -> int:
    """Coset c of the trace domain in the evaluation domain begins at g_{h+2}^c."""
    return pow(kb31.root(log_height + 2), coset, kb31.P)


def ranges(rows: int, pieces: int) -> list[tuple[int, int]]:
    """Blocks of a table cut into ranges for as many tasks."""
    blocks = -(-rows // BLOCK)
    step = -(-blocks // pieces)
    return [(first, min(first + step, blocks)) for first in range(0, blocks, step)]


def commit(
    workers: Workers, stage: Stage, committed: Sequence[Committed], *, is_kept: bool
) -> CommitmentTree:
    """Commit to the codewords of matrices. Cosets that are known are not computed again."""
    hashers: dict[int, RowHasher] = {}
    members: dict[int, list[Committed]] = {}
    for one in committed:
        members.setdefault(log_of(one.coefficients.height), []).append(one)
    tasks = []
    for log, group in sorted(members.items(), reverse=True):
        blocks = sum(one.coefficients.panels for one in group)
        hashers[log] = RowHasher(COSETS << log, blocks, COSET_LOG)
        tasks += [(log, coset) for coset in (1, 2, 3, 0)]

    def extend(task: tuple[int, int]) -> None:
        log, coset = task
        shift, block = coset_shift(log, coset), 0
        for one in members[log]:
            if is_kept and coset not in one.cosets:
                values = workers.spares.take(one.coefficients.height, one.coefficients.width)
                for panel in range(values.panels):
                    passes.extend(one.coefficients, shift, values, panel)
                one.cosets[coset] = values
            known = one.cosets.get(coset)
            passes.hash_coset(hashers[log], one.coefficients, known, coset, shift, block)
            block += one.coefficients.panels

    workers.run(stage, extend, tasks)
    return CommitmentTree.from_digests({log + 2: hasher for log, hasher in hashers.items()})


def interpolate(
    workers: Workers,
    stage: Stage,
    matrices: Sequence[Matrix],
    next_columns: Sequence[tuple[int, ...]],
) -> list[Committed]:
    """Coefficients of the columns, in new matrices; the values are those of the first coset."""
    results = [
        Committed(workers.spares.take(values.height, values.width), following, {0: values})
        for values, following in zip(matrices, next_columns, strict=True)
    ]
    tasks = [
        (values, one.coefficients, panel)
        for values, one in zip(matrices, results, strict=True)
        for panel in range(values.panels)
    ]
    workers.run(stage, lambda task: passes.interpolate(*task), tasks)
    return results
