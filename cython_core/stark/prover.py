"""The prover: docs/proofs.md, "The protocol", step by step.

Each method of `_Run` is a step and ends with what is absorbed and sent. What columns are made of in
between, and how the work is shared out, is in codewords.py. The prover does not evaluate its own
proof, but notices what no proof would cure: buses that do not balance, and a quotient whose degree
shows that a constraint is broken.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cython_core.air.key import NO_ROOT, Parameters, VerificationKey, key_digest
from cython_core.air.table import PublicInteraction, System, Table
from cython_core.commitment import CommitmentTree
from cython_core.field import _reference as kb31
from cython_core.field._matrix import Matrix
from cython_core.fri.prover import prove_fri
from cython_core.stark import _prover as passes
from cython_core.stark._prover import TableView
from cython_core.stark.codewords import (
    COSETS,
    Committed,
    Options,
    Stage,
    Workers,
    commit,
    coset_shift,
    interpolate,
    log_of,
    ranges,
)
from cython_core.stark.encoding import (
    PROOF_MAGIC,
    PROOF_VERSION,
    encode_extensions,
    encode_interactions,
    encode_publics,
)
from cython_core.transcript import Transcript

Extension = tuple[int, int, int, int, int]

ZERO: Final[Extension] = (0, 0, 0, 0, 0)
QUOTIENT_WIDTH: Final = 10
QUOTIENT_COSETS: Final = (1, 3)
"""Cosets of the trace domain in the evaluation domain that together are one of twice its size."""


class UnprovableError(ValueError):
    """These tables have no proof: they do not satisfy the constraints or do not fit the key."""


@dataclass(frozen=True)
class ProvingKey:
    """A verification key, and the preprocessed columns that it commits to."""

    key: VerificationKey
    encoding: bytes
    preprocessed: tuple["Committed | None", ...]
    tree: CommitmentTree | None

    @property
    def system(self) -> System:
        return self.key.system


def make_proving_key(
    system: System, parameters: Parameters, options: Options | None = None
) -> ProvingKey:
    """Commit to the preprocessed columns, and write the key."""
    workers = Workers(options or Options())
    try:
        fixed = [table for table in system.tables if table.preprocessed_width]
        matrices = [Matrix.from_columns(table.preprocessed) for table in fixed]
        following = [table.preprocessed_next for table in fixed]
        present = interpolate(workers, Stage.TABLES, matrices, following)
        tree = commit(workers, Stage.TABLES, present, is_kept=True) if present else None
        remaining = iter(present)
        preprocessed = tuple(
            next(remaining) if table.preprocessed_width else None for table in system.tables
        )
    finally:
        workers.close()
    root = NO_ROOT if tree is None else tree.root
    key = VerificationKey(parameters, system, root)
    return ProvingKey(key, key.encode(), preprocessed, tree)


def prove(
    proving_key: ProvingKey,
    main: list[Matrix],
    publics: Sequence[int],
    interactions: Sequence[PublicInteraction] = (),
    context: bytes = b"",
    options: Options | None = None,
) -> bytes:
    """A proof that the tables satisfy the key's system with these public values.

    `main` has one matrix of values for each table, in the key's order. Raises UnprovableError when
    they do not fit or do not satisfy the system, Cancelled when asked to stop.
    """
    chosen = options or Options()
    _check_shapes(proving_key.key, main, publics)
    workers = Workers(chosen)
    try:
        run = _Run(proving_key, workers, chosen, list(main), publics)
        if chosen.consumes_tables:
            main.clear()
        run.begin(interactions, context)
        run.commit_tables()
        run.commit_buses(interactions)
        run.commit_quotient()
        run.open_point()
        run.prove_nearness()
        return run.finish()
    finally:
        workers.close()


def _check_shapes(key: VerificationKey, main: Sequence[Matrix], publics: Sequence[int]) -> None:
    system = key.system
    if len(main) != len(system.tables):
        raise UnprovableError(f"{len(system.tables)} tables are needed, not {len(main)}")
    if len(publics) != system.public_count:
        raise UnprovableError(f"{system.public_count} public values, not {len(publics)}")
    for table, matrix in zip(system.tables, main, strict=True):
        height, log = matrix.height, log_of(matrix.height)
        if height != 1 << log or not table.smallest_log <= log <= table.greatest_log:
            raise UnprovableError(
                f"table {table.name} has {height} rows, not a power of two from "
                f"2^{table.smallest_log} to 2^{table.greatest_log}"
            )
        if matrix.width != table.main_width:
            raise UnprovableError(
                f"table {table.name} has {table.main_width} columns, not {matrix.width}"
            )
        if any(len(column) > height for column in table.periodic):
            raise UnprovableError(f"table {table.name} is shorter than a period")


@dataclass
class _Run:
    """One proof in the making."""

    proving_key: ProvingKey
    workers: Workers
    options: Options
    values: list[Matrix]
    publics: Sequence[int]
    transcript: Transcript = field(default_factory=Transcript)
    parts: list[bytes] = field(default_factory=list)
    gamma: Extension = ZERO
    alphas: list[Extension] = field(default_factory=list)
    main: list[Committed] = field(default_factory=list)
    auxiliary: list[Committed | None] = field(default_factory=list)
    terminals: list[Extension] = field(default_factory=list)
    trees: list[CommitmentTree] = field(default_factory=list)
    """In the order of the openings."""
    opened: list[list[Committed]] = field(default_factory=list)
    """The matrices of each tree."""
    quotient: Committed | None = None
    point: Extension = ZERO
    openings: list[tuple[Matrix, list[Extension], list[tuple[int, Extension]]]] = field(
        default_factory=list
    )
    """Of each matrix in the order of step 5: its values here, (column, value) in the next row."""

    @property
    def tables(self) -> tuple[Table, ...]:
        return self.proving_key.system.tables

    @property
    def logs(self) -> list[int]:
        return [log_of(matrix.height) for matrix in self.values]

    # Step 1.
    def begin(self, interactions: Sequence[PublicInteraction], context: bytes) -> None:
        digest = key_digest(self.proving_key.encoding)
        self._heights = self.logs
        self._greatest = max(self._heights)
        self._is_kept = self._codeword_bytes() <= self.options.codeword_bytes
        absorb = self.transcript.absorb
        absorb("protocol", b"p2pseq/stark/v1")
        absorb("key", digest)
        absorb("publics", encode_publics(self.publics))
        absorb("interactions", encode_interactions(interactions))
        absorb("context", context)
        absorb(
            "heights",
            struct.pack(f"<{len(self._heights) + 1}I", len(self._heights), *self._heights),
        )
        self.parts += [PROOF_MAGIC, struct.pack("<I", PROOF_VERSION), digest, bytes(self._heights)]

    def _codeword_bytes(self) -> int:
        rows = zip(self.tables, self._heights, strict=True)
        cells = sum((table.main_width + table.auxiliary_width) << log for table, log in rows)
        return 4 * COSETS * cells

    # Step 2.
    def commit_tables(self) -> None:
        following = [table.main_next for table in self.tables]
        self.main = interpolate(self.workers, Stage.TABLES, self.values, following)
        for one in self.main:
            one.is_lent = not self.options.consumes_tables
        if self.proving_key.tree is not None:
            present = [one for one in self.proving_key.preprocessed if one is not None]
            self._remember(self.proving_key.tree, present)
        tree = commit(self.workers, Stage.TABLES, self.main, is_kept=self._is_kept)
        self._remember(tree, self.main)
        self.transcript.absorb("main", tree.root)
        self.parts.append(tree.root)

    def _remember(self, tree: CommitmentTree, matrices: list[Committed]) -> None:
        self.trees.append(tree)
        self.opened.append(matrices)

    # Step 3.
    def commit_buses(self, interactions: Sequence[PublicInteraction]) -> None:
        width = max(self.proving_key.system.bus_widths, default=0)
        self.gamma, *self.alphas = self.transcript.squeeze("logup").extensions(width + 2)
        columns: list[Matrix | None] = []
        for number, table in enumerate(self.tables):
            columns.append(self._fractions(number) if table.interactions else None)
        self._forget_values(self.main)
        present = [matrix for matrix in columns if matrix is not None]
        if not present:
            self.auxiliary = [None] * len(self.tables)
            return
        following = [_sum_columns(table) for table in self.tables if table.interactions]
        committed = interpolate(self.workers, Stage.BUSES, present, following)
        tree = commit(self.workers, Stage.BUSES, committed, is_kept=self._is_kept)
        self._forget_values(committed)
        self._remember(tree, committed)
        remaining = iter(committed)
        self.auxiliary = [next(remaining) if table.interactions else None for table in self.tables]
        self._check_balance(interactions)
        message = tree.root + encode_extensions(self.terminals)
        self.transcript.absorb("auxiliary", message)
        self.parts.append(message)

    def _forget_values(self, committed: Sequence[Committed]) -> None:
        self.values = []
        if not self._is_kept:
            for one in committed:
                one.forget_values(self.workers.spares)

    def _fractions(self, number: int) -> Matrix:
        table, values = self.tables[number], self.values[number]
        view = self._view(number, table.buses_alone)
        auxiliary = self.workers.spares.take(values.height, table.auxiliary_width)
        preprocessed = self._preprocessed_on(number, 0)
        view.on_trace(values, preprocessed)
        pieces = ranges(values.height, 4 * self.options.threads)
        self.workers.run(
            Stage.BUSES, lambda piece: view.fractions(piece[0], piece[1], auxiliary), pieces
        )
        self.terminals.append(view.accumulate(auxiliary))
        return auxiliary

    def _view(self, number: int, table: Table) -> TableView:
        """A table, or a part of it, on the rows of table `number`."""
        log, kernel = self._heights[number], self.options.kernel
        return TableView(table, log, self.publics, self.gamma, self.alphas, kernel)

    def _preprocessed_on(self, number: int, coset: int) -> Matrix | None:
        """The preprocessed columns of a table on a coset of its domain."""
        one = self.proving_key.preprocessed[number]
        return None if one is None else self._extend(one, coset)

    def _extend(self, one: Committed, coset: int) -> Matrix:
        if coset in one.cosets:
            return one.cosets[coset]
        shift = coset_shift(log_of(one.coefficients.height), coset)
        values = self.workers.spares.take(one.coefficients.height, one.coefficients.width)
        panels = range(values.panels)
        self.workers.run(
            Stage.QUOTIENT,
            lambda panel: passes.extend(one.coefficients, shift, values, panel),
            panels,
        )
        return values

    def _check_balance(self, interactions: Sequence[PublicInteraction]) -> None:
        """What does not balance is found before time is spent on it; check.py says where."""
        total = ZERO
        for terminal in self.terminals:
            total = kb31.xadd(total, terminal)
        for bus, multiplicity, elements in interactions:
            denominator = kb31.xadd(self.gamma, kb31.xscale(self.alphas[0], bus + 1))
            for alpha, element in zip(self.alphas[1:], elements, strict=False):
                denominator = kb31.xadd(denominator, kb31.xscale(alpha, element))
            fraction = kb31.xscale(kb31.xinverse(denominator), multiplicity)
            total = kb31.xadd(total, fraction)
        if total != ZERO:
            raise UnprovableError("the buses do not balance; air.check names the tuple")

    # Step 4.
    def commit_quotient(self) -> None:
        greatest = self._greatest
        counts = [
            len(table.constraints) + (len(table.groups) + 3 if table.interactions else 0)
            for table in self.tables
        ]
        coefficients = self.transcript.squeeze("constraints").extensions(sum(counts))
        combined = Matrix(2 << greatest, kb31_width())
        start = 0
        terminals = iter(self.terminals)
        for number, table in enumerate(self.tables):
            terminal = next(terminals) if table.interactions else ZERO
            own = coefficients[start : start + counts[number]]
            start += counts[number]
            passes.add_lifted(self._table_quotient(number, own, terminal), combined)
        matrix = passes.split_quotient(combined)
        self.quotient = Committed(matrix, ())
        tree = commit(self.workers, Stage.QUOTIENT, [self.quotient], is_kept=self._is_kept)
        self._remember(tree, [self.quotient])
        self.transcript.absorb("quotient", tree.root)
        self.parts.append(tree.root)

    def _table_quotient(
        self, number: int, coefficients: Sequence[Extension], terminal: Extension
    ) -> Matrix:
        """Coefficients of the table's quotient: 2n rows, bit-reversed."""
        log = self._heights[number]
        view = self._view(number, self.tables[number])
        quotient = Matrix(2 << log, kb31_width())
        for phase, coset in enumerate(QUOTIENT_COSETS):
            shift = coset_shift(log, coset)
            auxiliary = self.auxiliary[number]
            extended = (
                self._extend(self.main[number], coset),
                self._preprocessed_on(number, coset),
                None if auxiliary is None else self._extend(auxiliary, coset),
            )
            view.on_coset(shift, *extended)
            vanishing = (pow(shift, 1 << log, kb31.P) - 1) % kb31.P
            inverse = pow(vanishing, -1, kb31.P)
            scaled = [kb31.xscale(coefficient, inverse) for coefficient in coefficients]
            view.set_coefficients(scaled, terminal)
            self.workers.run(
                Stage.QUOTIENT,
                lambda piece: view.quotient(piece[0], piece[1], quotient, phase),  # noqa: B023
                ranges(1 << log, 4 * self.options.threads),
            )
            view.release()
            self._give_back(extended, (self.main[number], auxiliary), coset)
        passes.interpolate_coset(quotient, coset_shift(log, 1))
        # Constraints of degree 3 that hold leave a quotient of degree 2n - 2 at most.
        if quotient.row(quotient.height - 1) != ZERO:
            raise UnprovableError(
                f"table {self.tables[number].name} does not satisfy its constraints; "
                "air.check names the row"
            )
        return quotient

    def _give_back(
        self,
        extended: Sequence[Matrix | None],
        committed: Sequence[Committed | None],
        coset: int,
    ) -> None:
        """What was extended for this alone. Preprocessed columns keep theirs."""
        kept = [one.cosets.get(coset) for one in committed if one is not None]
        for matrix, is_main_or_auxiliary in zip(extended, (True, False, True), strict=True):
            if matrix is not None and is_main_or_auxiliary and all(matrix is not k for k in kept):
                self.workers.spares.give(matrix)

    # Step 5.
    def open_point(self) -> None:
        point = self.transcript.squeeze("point").extensions(1)[0]
        if kb31.xpower(point, 4 << self._greatest) == (1, 0, 0, 0, 0):
            raise UnprovableError("the point lies in the domain: a chance of 2^-130")
        self.point = point
        tasks: list[tuple[int, int, Committed]] = []
        for number in range(len(self.tables)):
            for one in (
                self.proving_key.preprocessed[number],
                self.main[number],
                self.auxiliary[number],
            ):
                if one is not None:
                    tasks.append((len(tasks), self._heights[number], one))
        assert self.quotient is not None
        tasks.append((len(tasks), self._greatest, self.quotient))
        found: list[tuple[Matrix, list[Extension], list[tuple[int, Extension]]] | None]
        found = [None] * len(tasks)
        weights = self._weights({log for _, log, _ in tasks})

        def evaluate(task: tuple[int, int, Committed]) -> None:
            index, log, one = task
            here = passes.evaluate(one.coefficients, weights[log][0], range(one.coefficients.width))
            after = passes.evaluate(one.coefficients, weights[log][1], one.next_columns)
            following = list(zip(one.next_columns, after, strict=True))
            found[index] = (one.coefficients, here, following)

        self.workers.run(Stage.POINT, evaluate, tasks)
        self.openings = [one for one in found if one is not None]
        message = b"".join(
            encode_extensions(here) + encode_extensions([value for _, value in following])
            for _, here, following in self.openings
        )
        self.transcript.absorb("values", message)
        self.parts.append(message)

    def _weights(self, logs: set[int]) -> dict[int, tuple[passes.Weights, passes.Weights]]:
        """Powers of each height's point and of the point of its next row."""
        weights = {}
        for log in logs:
            here = kb31.xpower(self.point, 1 << (self._greatest - log))
            following = kb31.xscale(here, kb31.root(log))
            weights[log] = (
                passes.Weights(here, log, self.options.kernel),
                passes.Weights(following, log, self.options.kernel),
            )
        return weights

    # Steps 6 and 7.
    def prove_nearness(self) -> None:
        count = sum(len(here) + len(following) for _, here, following in self.openings)
        coefficients = iter(self.transcript.squeeze("deep").extensions(count))
        rows = 1 << self._greatest
        combined = Matrix(rows, QUOTIENT_WIDTH)
        values = [ZERO, ZERO]
        for matrix, here, following in self.openings:
            own = [next(coefficients) for _ in here]
            after = {column: next(coefficients) for column, _ in following}
            for coefficient, value in zip(own, here, strict=True):
                values[0] = kb31.xadd(values[0], kb31.xmul(coefficient, value))
            for column, value in following:
                values[1] = kb31.xadd(values[1], kb31.xmul(after[column], value))
            terms = passes.Terms(matrix, own, after, self.options.kernel)
            pieces = ranges(matrix.height, 4 * self.options.threads)
            self.workers.run(
                Stage.FRI,
                lambda piece: terms.combine(piece[0], piece[1], combined),  # noqa: B023
                pieces,
            )
        evaluations = Matrix(COSETS * rows, kb31_width())
        next_point = kb31.xscale(self.point, kb31.root(self._greatest))
        deep = passes.Deep(combined, (self.point, next_point), values, self.options.kernel)
        self.workers.run(
            Stage.FRI,
            lambda coset: deep.evaluate(coset, coset_shift(self._greatest, coset), evaluations),
            range(COSETS),
        )
        self._fri = prove_fri(self.transcript, self.proving_key.key.parameters, evaluations)
        self.parts.append(self._fri.message)

    # Step 8.
    def finish(self) -> bytes:
        parameters = self.proving_key.key.parameters
        domain_log = self._greatest + parameters.blowup_log
        positions = self.transcript.squeeze("queries").indices(parameters.queries, domain_log)
        for tree, matrices in zip(self.trees, self.opened, strict=True):
            openings = [self._opening(one, positions, domain_log) for one in matrices]
            tasks = [
                (opening, panel)
                for opening, one in zip(openings, matrices, strict=True)
                for panel in range(one.coefficients.panels)
            ]
            self.workers.run(Stage.QUERIES, lambda task: task[0].open(task[1]), tasks)
            self.parts += [opening.encoded() for opening in openings]
            self.parts.append(tree.open(positions, domain_log))
        self.parts.append(self._fri.open(positions))
        self._give_up()
        return b"".join(self.parts)

    def _opening(self, one: Committed, positions: Sequence[int], domain_log: int) -> passes.Opening:
        shift = domain_log - log_of(one.coefficients.height) - 2
        unique = sorted({position >> shift for position in positions})
        return passes.Opening(one.coefficients, unique, one.cosets, self.options.kernel)

    def _give_up(self) -> None:
        """All memory of the tables, to whoever makes the next proof."""
        for one in (*self.main, *self.auxiliary):
            if one is not None:
                one.forget_values(self.workers.spares)
                self.workers.spares.give(one.coefficients)


def kb31_width() -> int:
    return len(ZERO)


def _sum_columns(table: Table) -> tuple[int, ...]:
    """The running sum's columns: the only auxiliary ones that are read in the next row."""
    first = 5 * len(table.groups)
    return tuple(range(first, first + 5))
