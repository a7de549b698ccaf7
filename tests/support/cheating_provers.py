"""Provers that know a challenge before they say what it should depend on.

Each forgets one message: its transcript leaves it out, so that the challenges after it are known
when the message is chosen. Each then proves something false by solving the verifier's equations for
that message. A verifier that forgets the same message accepts: that shows that the attack is one.
The real verifiers must refuse. The method is Jolt's (book/src/dev/testing-gates.md).
"""

import copy
from collections.abc import Sequence

from cython_core.transcript._reference import Transcript as VerifierTranscript
from tests.support import reference_prover
from tests.support.reference_field import (
    DEGREE,
    GENERATOR,
    ZERO,
    Commitment,
    Ext,
    P,
    Stream,
    Transcript,
    base,
    bit_reversed,
    evaluate_on_subgroup,
    ext_bytes,
    interpolate,
    reversed_bits,
    root,
    xadd,
    xinverse,
    xmul,
    xpower,
    xsub,
)
from tests.support.reference_prover import Columns, Prover, combination, interpolate_shifted

X: Ext = (0, 1, 0, 0, 0)
Opened = list[tuple[Sequence[int], int, bool, Ext]]


class ForgetfulTranscript(Transcript):
    """The prover's, without the messages of one label."""

    def __init__(self, forgotten: str) -> None:
        super().__init__()
        self.forgotten = forgotten

    def absorb(self, label: str, message: bytes) -> None:
        if label != self.forgotten:
            super().absorb(label, message)

    def ahead(self, label: str) -> Stream:
        """What the next squeeze will give."""
        return copy.deepcopy(self).squeeze(label)


def forgetful_verifier(forgotten: str) -> type[VerifierTranscript]:
    """The verifier's, likewise."""

    class Forgetful(VerifierTranscript):
        def absorb(self, label: str, message: bytes) -> None:
            if label != forgotten:
                super().absorb(label, message)

    return Forgetful


class Forgetful(Prover):
    """Honest, but for its transcript."""

    forgotten = ""

    def __init__(self, key: bytes, publics: Sequence[int], forgotten: str = "") -> None:
        super().__init__(key, publics)
        self.transcript: ForgetfulTranscript = ForgetfulTranscript(forgotten or self.forgotten)

    def quotient_at_zeta(self, zeta: Ext) -> Ext:
        """What Q(zeta) must be for the only table: C(zeta) / (zeta^N - 1), whatever C is."""
        (trace,) = self.traces
        combined = []
        for index in range(4 << trace.log):
            x = GENERATOR * pow(root(trace.log + 2), index, P) % P
            combined.append(
                combination(self.constraint_coefficients, self.constraints_at(trace, x))
            )
        value = ZERO
        for coefficient in reversed(interpolate_shifted(combined)):
            value = xadd(xmul(value, zeta), coefficient)
        return xmul(value, xinverse(xsub(xpower(zeta, 1 << self.log), base(1))))

    def _quotient(self) -> Columns:
        self.constraint_coefficients = self.transcript.ahead("constraints").extensions(
            len(self.traces[0].table.constraints)
        )
        return super()._quotient()


class KnowsLogUp(Forgetful):
    """Knows gamma and alpha: gives the last table multiplicities that balance any lookups."""

    forgotten = "main"

    def _tables(self) -> None:
        stream = self.transcript.ahead("logup")
        self.gamma = stream.extension()
        self.alphas = stream.extensions(1 + max(self.key.buses))
        lookups, limits = self.traces
        target = ZERO
        for value in evaluate_on_subgroup(lookups.main[0], lookups.log):
            target = xadd(target, xinverse(self.fingerprint(0, [value])))
        inverses = [xinverse(self.fingerprint(0, [number])) for number in range(1 << limits.log)]
        limits.main = [interpolate(solved(inverses, target))]
        super()._tables()


class KnowsConstraintCoefficients(Forgetful):
    """Two tables of one height: terminals that sum to zero, whose errors cancel in the sum of C."""

    forgotten = "auxiliary"

    def send(self, label: str, message: bytes) -> None:
        if label == "auxiliary":
            stream = self.transcript.ahead("constraints")
            lasts = []
            for trace in self.traces:
                table = trace.table
                lasts.append(stream.extensions(len(table.constraints) + len(table.groups) + 3)[-1])
            one, other = self.traces
            total = xadd(xmul(lasts[0], one.terminal), xmul(lasts[1], other.terminal))
            one.terminal = xmul(total, xinverse(xsub(lasts[0], lasts[1])))
            other.terminal = xsub(ZERO, one.terminal)
            message = message[:32] + ext_bytes(one.terminal, other.terminal)
        super().send(label, message)


class KnowsPoint(Forgetful):
    """A constant quotient that is right at the point."""

    forgotten = "quotient"

    def _quotient(self) -> Columns:
        self.constraint_coefficients = self.transcript.squeeze("constraints").extensions(
            len(self.traces[0].table.constraints)
        )
        zeta = self.transcript.ahead("point").extension()
        constant = self.quotient_at_zeta(zeta)
        rest = [0] * ((1 << self.log) - 1)
        columns = [[value, *rest] for value in constant] + [[0, *rest]] * DEGREE
        commitment = reference_prover.commit([columns], self.parameters.blowup_log)
        assert commitment is not None
        self.add_commitment(commitment)
        self.send("quotient", commitment.root)
        return columns


class SendsOtherValues(Forgetful):
    """Replaces values of the quotient at the point, so that the identity holds."""

    def _out_of_domain(self, quotient: Columns) -> Opened:
        opened = Prover._out_of_domain(copy.deepcopy(self), quotient)
        self.zeta = self.transcript.squeeze("point").extension()
        right = self.quotient_at_zeta(self.zeta)
        values = [value for *_, value in opened[-2 * DEGREE :]]
        power = xpower(self.zeta, 1 << self.log)
        claimed = xadd(composed(values[:DEGREE]), xmul(power, composed(values[DEGREE:])))
        opened = self.changed(opened, xsub(right, claimed))
        self.send("values", ext_bytes(*(value for *_, value in opened)))
        return opened

    def changed(self, opened: Opened, missing: Ext) -> Opened:
        """The values with Q(zeta) greater by what is missing."""
        return shifted(opened, {-2 * DEGREE: missing})


class KnowsDeepCoefficients(SendsOtherValues):
    """Two wrong values whose errors cancel in F."""

    forgotten = "values"

    def changed(self, opened: Opened, missing: Ext) -> Opened:
        coefficients = self.transcript.ahead("deep").extensions(len(opened))
        first, second = coefficients[-2 * DEGREE], coefficients[1 - 2 * DEGREE]
        # first * a + second * b = 0 and a + X b = missing.
        ratio = xsub(ZERO, xmul(first, xinverse(second)))
        a = xmul(missing, xinverse(xadd(base(1), xmul(X, ratio))))
        return shifted(opened, {-2 * DEGREE: a, 1 - 2 * DEGREE: xmul(ratio, a)})


def deep_on_domain(prover: Forgetful, opened: Opened) -> list[Ext]:
    """F, whatever its degree: as many coefficients as the domain has points."""
    coefficients = prover.transcript.squeeze("deep").extensions(len(opened))
    log = prover.log + prover.parameters.blowup_log
    total: list[Ext] = [ZERO] * (1 << log)
    for at_next in (False, True):
        point = xmul(prover.zeta, base(root(prover.log))) if at_next else prover.zeta
        numerator: list[Ext] = [ZERO] * (1 << log)
        for c, (column, lift, is_next, value) in zip(coefficients, opened, strict=True):
            assert lift == 1
            if is_next == at_next:
                for place, f in enumerate(evaluate_on_subgroup(column, log)):
                    error = xmul(c, xsub(base(f), value))
                    numerator[place] = xadd(numerator[place], error)
        total = list(map(xadd, total, quotients(numerator, point, log)))
    columns = [interpolate(column) for column in zip(*total, strict=True)]
    return list(zip(*columns, strict=True))


class KnowsQueries(SendsOtherValues):
    """F is of no low degree; the final polynomial goes through the values that are asked for."""

    forgotten = "final"

    def _deep(self, opened: Opened) -> list[Ext]:
        return deep_on_domain(self, opened)

    def final(self, codeword: Sequence[Ext], count: int) -> list[Ext]:
        """Stands for reference_prover.final_coefficients."""
        log = self.log + self.parameters.blowup_log
        after = copy.deepcopy(self.transcript)
        after.grind(self.parameters.query_grinding, "query grind")
        stream = after.squeeze("queries")
        final_log = len(codeword).bit_length() - 1
        places = {
            (stream.word() % (1 << log)) >> (log - final_log)
            for _ in range(self.parameters.queries)
        }
        assert len(places) <= count
        points = {
            pow(root(final_log), reversed_bits(place, final_log), P): codeword[place]
            for place in places
        }
        return through(points, count)


class KnowsFold(SendsOtherValues):
    """F is of no low degree, but its first layer has opposite values so that it folds to zero."""

    forgotten = "layer"

    def _deep(self, opened: Opened) -> list[Ext]:
        return deep_on_domain(self, opened)

    def _fold(self, coefficients: list[Ext]) -> list[tuple[Commitment, int]]:
        p, bound = self.parameters, self.log
        log = self.log + p.blowup_log
        columns = [evaluate_on_subgroup(column, log) for column in zip(*coefficients, strict=True)]
        codeword: list[Ext] = bit_reversed(list(zip(*columns, strict=True)))
        for folded in range(1, self.log - p.final_log + 1):
            before = copy.deepcopy(self.transcript)
            before.grind(p.commit_grinding, "layer grind")
            beta = before.squeeze("fold").extension()
            if folded == 1:
                codeword = with_zero_fold(codeword, beta)
            pairs = zip(codeword[::2], codeword[1::2], strict=True)
            layer = Commitment([[[*one, *other] for one, other in pairs]])
            self.add_commitment(layer, folded)
            self.send("layer", layer.root)
            nonce = self.transcript.grind(p.commit_grinding, "layer grind")
            self.sent += nonce.to_bytes(8, "little")
            assert self.transcript.squeeze("fold").extension() == beta
            codeword = reference_prover.folded_by_two(codeword, beta)
            bound -= 1
        assert set(codeword) == {ZERO}
        self.send("final", ext_bytes(*codeword[: 1 << bound]))
        return self.commitments


def with_zero_fold(codeword: Sequence[Ext], beta: Ext) -> list[Ext]:
    """Every first value of a pair kept; the second so that the pair folds to zero."""
    log = len(codeword).bit_length() - 1
    changed: list[Ext] = []
    for place in range(0, len(codeword), 2):
        # (a + b) / 2 + beta (a - b) / (2 x) = 0: b (beta / x - 1) = a (beta / x + 1)
        x = pow(root(log), reversed_bits(place, log), P)
        ratio = xmul(beta, base(pow(x, -1, P)))
        opposite = xmul(xadd(ratio, base(1)), xinverse(xsub(ratio, base(1))))
        changed += (codeword[place], xmul(codeword[place], opposite))
    return changed


def quotients(values: Sequence[Ext], point: Ext, log: int) -> list[Ext]:
    """Each value on the domain, in natural order, divided by x - point."""
    return [
        xmul(value, xinverse(xsub(base(pow(root(log), place, P)), point)))
        for place, value in enumerate(values)
    ]


def shifted(opened: Opened, changes: dict[int, Ext]) -> Opened:
    changed = list(opened)
    for place, change in changes.items():
        *rest, value = changed[place]
        changed[place] = (*rest, xadd(value, change))  # type: ignore[assignment]
    return changed


def composed(values: Sequence[Ext]) -> Ext:
    total = ZERO
    for value in reversed(values):
        total = xadd(xmul(total, X), value)
    return total


def through(points: dict[int, Ext], count: int) -> list[Ext]:
    """Coefficients of a polynomial with these values, by Lagrange; filled up with zeros."""
    total: list[Ext] = [ZERO] * count
    for x, value in points.items():
        coefficients, scale = [1], 1
        for other in points:
            if other != x:
                pairs = zip([0, *coefficients], [*coefficients, 0], strict=True)
                coefficients = [(low - other * high) % P for low, high in pairs]
                scale = scale * (x - other) % P
        weight = xmul(value, base(pow(scale, -1, P)))
        for power, coefficient in enumerate(coefficients):
            total[power] = xadd(total[power], xmul(weight, base(coefficient)))
    return total


def solved(columns: Sequence[Ext], target: Ext) -> list[int]:
    """Base field numbers t with sum t_j columns_j = target; zeros where they are free."""
    rows: list[list[int]] = [[column[i] for column in columns] + [target[i]] for i in range(DEGREE)]
    pivots: list[int] = []
    for place in range(len(columns)):
        done = len(pivots)
        found = next((r for r in range(done, DEGREE) if rows[r][place]), None)
        if found is None:
            continue
        rows[done], rows[found] = rows[found], rows[done]
        scale = pow(rows[done][place], -1, P)
        rows[done] = [value * scale % P for value in rows[done]]
        for r in range(DEGREE):
            if r != done:
                factor = rows[r][place]
                pairs = zip(rows[r], rows[done], strict=True)
                rows[r] = [(value - factor * by) % P for value, by in pairs]
        pivots.append(place)
        if len(pivots) == DEGREE:
            break
    assert len(pivots) == DEGREE
    solution = [0] * len(columns)
    for r, place in enumerate(pivots):
        solution[place] = rows[r][-1]
    return solution


def kernel(columns: Sequence[Ext]) -> list[int]:
    """Base field numbers t, not all zero, with sum t_j columns_j = 0; for six columns or more."""
    return [*solved(columns[:-1], xsub(ZERO, columns[-1])), 1]
