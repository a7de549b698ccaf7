"""A slow prover for tests, straight from docs/proofs.md: plain integers, naive polynomials.

For tables of at most some dozens of rows. It does not check that the traces satisfy the AIR: a
remainder of the division is dropped, so that tests can see such proofs rejected.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support import reference_air as air
from tests.support.reference_field import (
    DEGREE,
    GENERATOR,
    ZERO,
    Commitment,
    Ext,
    P,
    Transcript,
    b3,
    base,
    bit_reversed,
    evaluate,
    evaluate_on_subgroup,
    ext_bytes,
    extended,
    interpolate,
    reversed_bits,
    root,
    u32,
    xadd,
    xinverse,
    xmul,
    xpower,
    xsub,
)

Columns = Sequence[Sequence[int]]


@dataclass(frozen=True)
class PublicInteraction:
    bus: int
    multiplicity: int
    elements: tuple[int, ...]


def encode_interactions(interactions: Sequence[PublicInteraction]) -> bytes:
    encoded = [u32(i.bus, i.multiplicity, *i.elements) for i in interactions]
    return u32(len(interactions)) + b"".join(encoded)


@dataclass
class Trace:
    """One table on its way through the protocol: coefficients of columns, and its challenges."""

    table: air.Table
    log: int
    main: Columns
    preprocessed: Columns
    auxiliary: Columns = ()
    terminal: Ext = ZERO
    challenges: list[Ext] = field(default_factory=list)

    @property
    def generator(self) -> int:
        return root(self.log)

    def nodes_at(self, x: int, publics: Sequence[int]) -> list[int]:
        """All nodes at the base field point x; a removable singularity is removed."""
        values: list[int] = []
        for operation, a, b in self.table.nodes:
            if operation == air.ADD:
                values.append((values[a] + values[b]) % P)
            elif operation == air.SUB:
                values.append((values[a] - values[b]) % P)
            elif operation == air.MUL:
                values.append(values[a] * values[b] % P)
            else:
                values.append(self._leaf_at(x, publics, operation, a, b) % P)
        return values

    def _leaf_at(self, x: int, publics: Sequence[int], operation: int, a: int, b: int) -> int:
        last = pow(self.generator, -1, P)
        if operation in {air.MAIN, air.PREPROCESSED}:
            columns = self.main if operation == air.MAIN else self.preprocessed
            return at(columns[a], x * self.generator % P if b else x)
        if operation == air.PERIODIC:
            values = self.table.periodic[a]
            return at(interpolate(values), pow(x, (1 << self.log) // len(values), P))
        if operation in {air.IS_FIRST, air.IS_LAST}:
            return quotient_of_vanishing(self.log, x, 1 if operation == air.IS_FIRST else last)
        if operation == air.IS_TRANSITION:
            return x - last
        return a if operation == air.CONSTANT else publics[a]


def at(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % P
    return value


def quotient_of_vanishing(log: int, x: int, point: int) -> int:
    """(x^n - 1) / (x - point), for a point of the subgroup."""
    if x != point:
        return (pow(x, 1 << log, P) - 1) * pow(x - point, -1, P)
    return (1 << log) * pow(x, (1 << log) - 1, P)


def preprocessed_root(preprocessed: Sequence[Columns], blowup_log: int = 2) -> bytes:
    """Of the values of the tables' preprocessed columns; empty for tables that have none."""
    commitment = commit([list(map(interpolate, columns)) for columns in preprocessed], blowup_log)
    return commitment.root if commitment else bytes(32)


def commit(tables: Sequence[Columns], blowup_log: int) -> Commitment | None:
    matrices = [extended(columns, blowup_log) for columns in tables if columns]
    return Commitment(matrices) if matrices else None


class Prover:
    """`prove` runs the steps of the page in order; what they send collects in `sent`."""

    def __init__(self, key: bytes, publics: Sequence[int]) -> None:
        self.key = air.decode(key)
        self.encoded_key = key
        self.parameters = self.key.parameters
        self.publics = publics
        self.transcript = Transcript()
        self.sent = b""
        self.commitments: list[tuple[Commitment, int]] = []

    def send(self, label: str, message: bytes) -> None:
        self.transcript.absorb(label, message)
        self.sent += message

    def add_commitment(self, commitment: Commitment, folded: int = 0) -> None:
        """Opened at the query positions, shifted by the folds before it."""
        self.commitments.append((commitment, folded))

    def prove(
        self,
        mains: Sequence[Columns],
        preprocessed: Sequence[Columns],
        interactions: Sequence[PublicInteraction] = (),
        context: bytes = b"",
    ) -> bytes:
        self.traces = [
            Trace(
                table,
                (len(main[0])).bit_length() - 1,
                list(map(interpolate, main)),
                list(map(interpolate, fixed)),
            )
            for table, main, fixed in zip(self.key.tables, mains, preprocessed, strict=True)
        ]
        self.log = max(trace.log for trace in self.traces)
        self._statement(interactions, context)
        self._tables()
        self._buses(mains)
        quotient = self._quotient()
        opened = self._out_of_domain(quotient)
        layers = self._fold(self._deep(opened))
        self._query(layers)
        return self.sent

    def _statement(self, interactions: Sequence[PublicInteraction], context: bytes) -> None:
        heights = [trace.log for trace in self.traces]
        digest = b3("key", self.encoded_key)
        absorb = self.transcript.absorb
        absorb("protocol", b"p2pseq/stark/v1")
        absorb("key", digest)
        absorb("publics", u32(len(self.publics), *self.publics))
        absorb("interactions", encode_interactions(interactions))
        absorb("context", context)
        absorb("heights", u32(len(heights), *heights))
        self.sent = b"P2SP" + u32(1) + digest + bytes(heights)

    def _tables(self) -> None:
        fixed = commit([trace.preprocessed for trace in self.traces], self.parameters.blowup_log)
        if fixed:
            assert fixed.root == self.key.preprocessed_root
            self.add_commitment(fixed)
        main = commit([trace.main for trace in self.traces], self.parameters.blowup_log)
        assert main is not None
        self.add_commitment(main)
        self.send("main", main.root)
        stream = self.transcript.squeeze("logup")
        self.gamma = stream.extension()
        self.alphas = stream.extensions(1 + max(self.key.buses, default=0))

    def fingerprint(self, bus: int, elements: Sequence[int]) -> Ext:
        denominator = xadd(self.gamma, xmul(self.alphas[0], base(bus + 1)))
        for alpha, element in zip(self.alphas[1:], elements, strict=False):
            denominator = xadd(denominator, xmul(alpha, base(element)))
        return denominator

    def _fractions(self, trace: Trace, nodes: Sequence[int]) -> list[tuple[int, Ext]]:
        """Multiplicity and denominator of each interaction of a row."""
        return [
            (nodes[i.multiplicity], self.fingerprint(i.bus, [nodes[e] for e in i.elements]))
            for i in trace.table.interactions
        ]

    def _buses(self, mains: Sequence[Columns]) -> None:
        with_buses = [trace for trace in self.traces if trace.table.interactions]
        for trace in with_buses:
            sum_so_far, rows = ZERO, []
            for number in range(1 << trace.log):
                nodes = trace.nodes_at(pow(trace.generator, number, P), self.publics)
                fractions = self._fractions(trace, nodes)
                row: list[int] = []
                at_start = sum_so_far
                for group in trace.table.groups:
                    phi = ZERO
                    for member in group:
                        multiplicity, denominator = fractions[member]
                        phi = xadd(phi, xmul(base(multiplicity), xinverse(denominator)))
                    row += phi
                    sum_so_far = xadd(sum_so_far, phi)
                rows.append(row + list(at_start))
            trace.terminal = sum_so_far
            trace.auxiliary = [interpolate(column) for column in zip(*rows, strict=True)]
        auxiliary = commit([trace.auxiliary for trace in with_buses], self.parameters.blowup_log)
        if auxiliary:
            self.add_commitment(auxiliary)
            terminals = ext_bytes(*(trace.terminal for trace in with_buses))
            self.send("auxiliary", auxiliary.root + terminals)

    def constraints_at(self, trace: Trace, x: int) -> list[Ext]:
        """The constraints of a table and of its buses at a base field point, in their order."""
        nodes = trace.nodes_at(x, self.publics)
        values = [base(nodes[number]) for number in trace.table.constraints]
        if not trace.table.interactions:
            return values
        auxiliary = [at(column, x) for column in trace.auxiliary]
        fractions, phis = self._fractions(trace, nodes), ZERO
        for index, group in enumerate(trace.table.groups):
            phi = tuple(auxiliary[DEGREE * index : DEGREE * (index + 1)])
            phis = xadd(phis, phi)
            value = product_except(fractions, group, None, phi)
            for member in group:
                part = product_except(fractions, group, member, base(fractions[member][0]))
                value = xsub(value, part)
            values.append(value)
        now = tuple(auxiliary[-DEGREE:])
        then = tuple(at(c, x * trace.generator % P) for c in trace.auxiliary[-DEGREE:])
        last = pow(trace.generator, -1, P)
        ends = [quotient_of_vanishing(trace.log, x, point) for point in (1, last)]
        values.append(xmul(base(ends[0]), now))
        values.append(xmul(base(x - last), xsub(xsub(then, now), phis)))
        values.append(xmul(base(ends[1]), xsub(xadd(now, phis), trace.terminal)))
        return values

    def _quotient(self) -> Columns:
        stream = self.transcript.squeeze("constraints")
        total: list[Ext] = [ZERO] * (4 << self.log)
        for trace in self.traces:
            count = len(trace.table.constraints)
            count += len(trace.table.groups) + 3 if trace.table.interactions else 0
            coefficients = stream.extensions(count)
            combined = []
            for index in range(4 << trace.log):
                x = GENERATOR * pow(root(trace.log + 2), index, P) % P
                combined.append(combination(coefficients, self.constraints_at(trace, x)))
            lift = 1 << (self.log - trace.log)
            for power, coefficient in enumerate(interpolate_shifted(combined)):
                total[power * lift] = xadd(total[power * lift], coefficient)
        size = 1 << self.log
        for power in range(4 * size - 1, size - 1, -1):  # X^power = X^(power - N) mod X^N - 1
            total[power - size] = xadd(total[power - size], total[power])
        low, high = total[size : 2 * size], total[2 * size : 3 * size]
        columns = [[x[i] for x in part] for part in (low, high) for i in range(DEGREE)]
        quotient = commit([columns], self.parameters.blowup_log)
        assert quotient is not None
        self.add_commitment(quotient)
        self.send("quotient", quotient.root)
        return columns

    def _out_of_domain(self, quotient: Columns) -> list[tuple[Sequence[int], int, bool, Ext]]:
        """(column, its lift, whether at the next row, value) of each value, in order."""
        self.zeta = self.transcript.squeeze("point").extension()
        opened = []

        def opening(trace: Trace, columns: Columns, is_next: bool) -> None:
            lift = 1 << (self.log - trace.log)
            point = xpower(self.zeta, lift)
            if is_next:
                point = xmul(point, base(trace.generator))
            opened.extend([(c, lift, is_next, evaluate(c, point)) for c in columns])

        for trace in self.traces:
            for kind, columns in ((air.PREPROCESSED, trace.preprocessed), (air.MAIN, trace.main)):
                opening(trace, columns, False)
                opening(trace, [columns[i] for i in trace.table.next_columns(kind)], True)
            opening(trace, trace.auxiliary, False)
            opening(trace, trace.auxiliary[-DEGREE:], True)
        opened += [(column, 1, False, evaluate(column, self.zeta)) for column in quotient]
        self.send("values", ext_bytes(*(value for *_, value in opened)))
        return opened

    def _deep(self, opened: list[tuple[Sequence[int], int, bool, Ext]]) -> list[Ext]:
        """The coefficients of F."""
        coefficients = self.transcript.squeeze("deep").extensions(len(opened))
        total: list[Ext] = [ZERO] * (1 << self.log)
        for at_next in (False, True):
            numerator: list[Ext] = [ZERO] * (1 << self.log)
            for c, (column, lift, is_next, value) in zip(coefficients, opened, strict=True):
                if is_next != at_next:
                    continue
                for power, x in enumerate(column):
                    place = power * lift
                    numerator[place] = xadd(numerator[place], xmul(c, base(x)))
                numerator[0] = xsub(numerator[0], xmul(c, value))
            point = xmul(self.zeta, base(root(self.log))) if at_next else self.zeta
            total = list(map(xadd, total, divided_by_linear(numerator, point)))
        return total

    def _fold(self, coefficients: list[Ext]) -> list[tuple[Commitment, int]]:
        p = self.parameters
        columns = list(zip(*coefficients, strict=True))
        log = self.log + p.blowup_log
        values = [evaluate_on_subgroup(column, log) for column in columns]
        codeword: list[Ext] = bit_reversed(list(zip(*values, strict=True)))
        bound, folded = self.log, 0
        while bound > p.final_log:
            fold = min(p.fold_log, bound - p.final_log)
            rows = [
                [x for value in codeword[start : start + (1 << fold)] for x in value]
                for start in range(0, len(codeword), 1 << fold)
            ]
            bound, folded = bound - fold, folded + fold
            layer = Commitment([rows])
            self.add_commitment(layer, folded)
            self.send("layer", layer.root)
            nonce = self.transcript.grind(p.commit_grinding, "layer grind")
            self.sent += nonce.to_bytes(8, "little")
            beta = self.transcript.squeeze("fold").extension()
            for _ in range(fold):
                codeword = folded_by_two(codeword, beta)
                beta = xmul(beta, beta)
        final = final_coefficients(codeword, 1 << bound)
        self.send("final", ext_bytes(*final))
        return self.commitments

    def _query(self, commitments: list[tuple[Commitment, int]]) -> None:
        p = self.parameters
        nonce = self.transcript.grind(p.query_grinding, "query grind")
        self.sent += nonce.to_bytes(8, "little")
        stream = self.transcript.squeeze("queries")
        log = self.log + p.blowup_log
        positions = [stream.word() % (1 << log) for _ in range(p.queries)]
        for commitment, folded in commitments:
            self.sent += commitment.open([j >> folded for j in positions], log - folded)


def product_except(
    fractions: Sequence[tuple[int, Ext]], group: Sequence[int], left_out: int | None, start: Ext
) -> Ext:
    for member in group:
        if member != left_out:
            start = xmul(start, fractions[member][1])
    return start


def combination(coefficients: Sequence[Ext], values: Sequence[Ext]) -> Ext:
    total = ZERO
    for coefficient, value in zip(coefficients, values, strict=True):
        total = xadd(total, xmul(coefficient, value))
    return total


def interpolate_shifted(values: Sequence[Ext]) -> list[Ext]:
    """Of values on the coset of the generator."""
    inverse = pow(GENERATOR, -1, P)
    columns = [interpolate(column) for column in zip(*values, strict=True)]
    return [
        tuple(x * pow(inverse, power, P) % P for x in row)
        for power, row in enumerate(zip(*columns, strict=True))
    ]


def divided_by_linear(numerator: Sequence[Ext], point: Ext) -> list[Ext]:
    """numerator / (X - point); the remainder is zero for who is honest, and dropped."""
    quotient, carry = [ZERO] * len(numerator), ZERO
    for power in range(len(numerator) - 1, 0, -1):
        carry = xadd(numerator[power], xmul(carry, point))
        quotient[power - 1] = carry
    return quotient


def folded_by_two(codeword: Sequence[Ext], beta: Ext) -> list[Ext]:
    log = len(codeword).bit_length() - 1
    half, folded = pow(2, -1, P), []
    for i in range(len(codeword) // 2):
        x = pow(root(log), reversed_bits(2 * i, log), P)
        one, other = codeword[2 * i], codeword[2 * i + 1]
        even = xmul(xadd(one, other), base(half))
        odd = xmul(xsub(one, other), base(half * pow(x, -1, P)))
        folded.append(xadd(even, xmul(beta, odd)))
    return folded


def final_coefficients(codeword: Sequence[Ext], count: int) -> list[Ext]:
    natural = bit_reversed(codeword)
    columns = [interpolate(column) for column in zip(*natural, strict=True)]
    return list(zip(*(column[:count] for column in columns), strict=True))


def prove(
    key: bytes,
    publics: Sequence[int],
    mains: Sequence[Columns],
    preprocessed: Sequence[Columns],
    interactions: Sequence[PublicInteraction] = (),
    context: bytes = b"",
) -> bytes:
    """A proof, for the traces' columns table by table (none where a table has none)."""
    return Prover(key, publics).prove(mains, preprocessed, interactions, context)
