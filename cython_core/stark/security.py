"""How many bits of security the proofs have: every error term, with the equation it comes from.

The security that is computed is **proven**: it holds in the random-oracle model without
conjectures about Reed-Solomon codes. Two regimes are known for the distance at which a word counts
as a proof of a polynomial: up to half of the code's distance (unique decoding), and up to the
Johnson bound. Both are valid for the same proof, so that the better one counts. What was once
conjectured up to the capacity of the code is false (ePrint 2025/2046, 2025/2055) and is not
computed.

Notation: q is the size of the challenge field, n the size of the evaluation domain, rho the rate,
delta the distance, l the length of the list of polynomials that are that near to a word.

Sources:

- [BCIKS20] ePrint 2020/654, Proximity Gaps for Reed-Solomon Codes.
- [BCHKS25] ePrint 2025/2055, On Proximity Gaps for Reed-Solomon Codes. In its theorem 4.2 the
  number m lacks a factor of 2, which its authors confirm to be an error of print; theorem 1.5 has
  it right, and only the right one is used here.
- [Hab22] ePrint 2022/1216, A Summary on the FRI Low Degree Test: theorem 8 for the out-of-domain
  point.
- [Hab22b] ePrint 2022/1530, Multivariate lookups based on logarithmic derivatives.
- [ethSTARK] ePrint 2021/582: section 6.3 for grinding.

A term is the chance that one round of the protocol saves a false statement; an attacker may repeat
a round as often as it can hash, so that the **smallest** term is the security of the proof made
non-interactive (round-by-round soundness). The sum over all rounds is computed as well.

Deviations:

- Where the list of polynomials matters to the rounds before the out-of-domain point (buses,
  constraints), the terms here are multiplied by its length: published calculators leave that out.
- A DEEP quotient of degree below N is a column of degree at most N, not N - 1. Degrees and rates
  here are those of N + 1 coefficients where that makes a term worse.
"""

from dataclasses import dataclass
from math import ceil, comb, log2, sqrt
from typing import Final, Protocol

P: Final = 2**31 - 2**24 + 1
"""KoalaBear."""

EXTENSION_DEGREE: Final = 5
"""Challenges come from the extension of this degree."""

MULTIPLICITY_MIN: Final = 3
"""Least m of [BCHKS25] theorem 1.5."""

MULTIPLICITY_MAX: Final = 1_000
"""Where the search for the best m ends; beyond, the folding errors grow without use."""

COMBINATORIAL_MAX: Final = 512
"""Domains up to this size have their lists counted by sets of points too."""

HASH_BITS: Final = 128
"""Collisions of a digest of 256 bits, which bind all commitments and the transcript."""


class ParametersLike(Protocol):
    """What the calculator reads of the parameters of a key."""

    @property
    def blowup_log(self) -> int: ...
    @property
    def queries(self) -> int: ...
    @property
    def query_grinding(self) -> int: ...
    @property
    def commit_grinding(self) -> int: ...
    @property
    def fold_log(self) -> int: ...
    @property
    def final_log(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Shape:
    """What of an AIR its security depends on."""

    height_log: int
    """Log of the greatest height, N."""
    columns: int
    """Committed columns of base elements; only reported: independent coefficients cost nothing."""
    constraints: int
    """Also only reported, for the same reason."""
    interactions: int
    """Bus interactions of a row, over all tables."""
    degree: int = 3
    """Greatest degree of a constraint."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A proof system as the formulas see it; `instance_of` makes one from our parameters."""

    height_log: int
    blowup_log: int
    queries: int
    query_grinding: int
    commit_grinding: int
    folds: tuple[int, ...]
    """Log of each FRI round's fold."""
    interactions: int
    degree: int = 3
    batch_grinding: int = 0
    extension_degree: int = EXTENSION_DEGREE

    @property
    def field_bits(self) -> float:
        """log2 of q."""
        return self.extension_degree * log2(P)

    @property
    def height(self) -> int:
        """N."""
        return 1 << self.height_log


@dataclass(frozen=True, slots=True)
class Term:
    """One way to be lucky: bits of security against it, and where the formula comes from."""

    name: str
    bits: float
    source: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """All terms of one regime."""

    regime: str
    terms: tuple[Term, ...]

    @property
    def bits(self) -> float:
        """Round-by-round: the weakest term, the hash included."""
        return min(term.bits for term in self.terms)

    @property
    def sum_bits(self) -> float:
        """Of the sum of all errors."""
        return -_log2_sum([-term.bits for term in self.terms])


@dataclass(frozen=True, slots=True)
class Regime:
    """A distance delta, and what is known of words and codes at that distance."""

    name: str
    log_kept: float
    """log2(1 - delta): what a single query misses."""
    list_bits: float
    """log2 of the list's length."""
    source: str
    multiplicity: int | None = None

    def line_error(self, instance: Instance, height_log: float) -> float:
        """log2 of the chance that a line (or a space, [BCIKS20] theorem 1.6) of words misleads."""
        size_log = height_log + instance.blowup_log
        if self.multiplicity is None:
            # [BCIKS20] theorem 1.2 with equation 1.1: n / q.
            return size_log - instance.field_bits
        # [BCHKS25] theorem 1.5: ((2 (m + 1/2)^5 + 3 (m + 1/2) delta rho) n / (3 rho^(3/2))
        #                         + (m + 1/2) / sqrt(rho)) / q.
        rho = 2.0**-instance.blowup_log
        m = self.multiplicity + 0.5
        delta = 1 - 2.0**self.log_kept
        exceptional = (2 * m**5 + 3 * m * delta * rho) * 2.0**size_log / (3 * rho**1.5)
        return log2(exceptional + m / sqrt(rho)) - instance.field_bits


def unique_decoding(instance: Instance) -> Regime:
    """delta = (1 - rho) / 2, lists of one."""
    rho = 2.0**-instance.blowup_log
    return Regime("unique decoding", log2((1 + rho) / 2), 0.0, "[BCIKS20] theorem 1.2")


def johnson(instance: Instance, multiplicity: int) -> Regime:
    """delta = 1 - sqrt(rho) - eta with eta = sqrt(rho) / (2 m)."""
    if multiplicity < MULTIPLICITY_MIN:
        raise ValueError(f"m is at least {MULTIPLICITY_MIN}")
    rho = 2.0**-instance.blowup_log
    eta = sqrt(rho) / (2 * multiplicity)
    lists = _list_bits(instance, sqrt(rho) + eta)
    name = f"Johnson bound, m = {multiplicity}"
    source = "[BCHKS25] theorem 1.5"
    return Regime(name, log2(sqrt(rho) + eta), lists, source, multiplicity)


def _list_bits(instance: Instance, kept: float) -> float:
    """log2 of the length of the lists of columns that agree with a word on this part of it.

    Columns have at most N + 1 coefficients. Their list is bounded by Johnson with their rate,
    1 / (2 eta' sqrt(rho')); and by the sets of N + 1 points, each of which determines one.
    """
    size = instance.height << instance.blowup_log
    bounds = []
    root = sqrt((instance.height + 1) / size)
    if kept > root:
        bounds.append(-log2(2 * (kept - root) * root))
    if size <= COMBINATORIAL_MAX:
        bounds.append(log2(comb(size, instance.height + 1)))
    return max(0.0, min(bounds, default=instance.field_bits))


def estimate(instance: Instance, regime: Regime) -> Estimate:
    """Every error term of the protocol in the order of its rounds (docs/proofs.md)."""
    q = instance.field_bits
    lists = regime.list_bits
    terms: list[Term] = []
    if instance.interactions:
        # [Hab22b] lemma 5 over all buses at once: the sum of M fractions is a polynomial of degree
        # below M in (gamma, alpha) over a product of M linear ones, any of which may vanish: 2 M/q.
        fractions = instance.interactions * instance.height
        terms.append(Term("buses", q - 1 - log2(fractions) - lists, "[Hab22b] lemma 5"))
    # Independent coefficients: a combination of what is not all zero vanishes with chance 1/q.
    terms.append(Term("constraints", q - lists, "[Hab22] theorem 8, linear batching"))
    # [Hab22] theorem 8: a polynomial of degree below (d + 1)(N + 1) (one more for is_transition)
    # has a root at the point, which is drawn from outside of the domain.
    degree = (instance.degree + 1) * (instance.height + 1)
    outside = q + log2(1 - 2.0 ** (instance.height_log + instance.blowup_log - q))
    terms.append(Term("out-of-domain point", outside - log2(degree) - lists, "[Hab22] theorem 8"))
    # Independent coefficients again: an affine space of words errs no more than a line.
    batching = instance.batch_grinding - regime.line_error(instance, instance.height_log)
    terms.append(Term("DEEP batching", batching, regime.source))
    height_log: float = instance.height_log
    for number, fold in enumerate(instance.folds, 1):
        height_log -= fold
        # Powers of beta: a curve of degree 2^fold - 1 ([BCIKS20] theorem 1.5).
        error = regime.line_error(instance, height_log) + log2((1 << fold) - 1)
        terms.append(Term(f"fold {number}", instance.commit_grinding - error, regime.source))
    # [Hab22] theorem 2, last term; [ethSTARK] section 6.3 for the grinding.
    missed = instance.query_grinding - instance.queries * regime.log_kept
    terms.append(Term("queries", missed, "[Hab22] theorem 2"))
    terms.append(Term("hash collisions", HASH_BITS, "256-bit digests"))
    return Estimate(regime.name, tuple(terms))


def best_johnson(instance: Instance) -> Estimate:
    """The estimate for the m that gives the most bits; the theorem holds for each."""
    choices = (
        estimate(instance, johnson(instance, multiplicity))
        for multiplicity in range(MULTIPLICITY_MIN, MULTIPLICITY_MAX + 1)
    )
    return max(choices, key=lambda choice: choice.bits)


def folds_of(height_log: int, fold_log: int, final_log: int) -> tuple[int, ...]:
    """The folds of docs/proofs.md step 7."""
    if fold_log < 1:
        raise ValueError("a fold is at least by two")
    folds = []
    while height_log > final_log:
        folds.append(min(fold_log, height_log - final_log))
        height_log -= folds[-1]
    return tuple(folds)


def instance_of(parameters: ParametersLike, shape: Shape) -> Instance:
    """Lifting puts all tables on the domain of the highest: one FRI instance of N rows."""
    return Instance(
        height_log=shape.height_log,
        blowup_log=parameters.blowup_log,
        queries=parameters.queries,
        query_grinding=parameters.query_grinding,
        commit_grinding=parameters.commit_grinding,
        folds=folds_of(shape.height_log, parameters.fold_log, parameters.final_log),
        interactions=shape.interactions,
        degree=shape.degree,
    )


@dataclass(frozen=True, slots=True)
class Security:
    """Both regimes. A proof has the bits of the better one."""

    shape: Shape
    unique: Estimate
    johnson: Estimate

    @property
    def bits(self) -> int:
        """Proven bits, rounded down."""
        return int(max(self.unique.bits, self.johnson.bits))

    def label(self) -> str:
        """The one line that may be printed beside a proof."""
        return (
            f"{self.bits} bits proven (random-oracle model; Johnson bound, ePrint 2025/2055), "
            f"{int(self.unique.bits)} in unique decoding"
        )

    def table(self) -> list[str]:
        """One line for each term: bits in either regime, and the source."""
        lines = [f"{'term':<20} {'unique':>7} {'Johnson':>8}  source"]
        for ours, theirs in zip(self.unique.terms, self.johnson.terms, strict=True):
            lines.append(f"{ours.name:<20} {ours.bits:7.1f} {theirs.bits:8.1f}  {theirs.source}")
        for name, first, second in (
            ("weakest round", self.unique.bits, self.johnson.bits),
            ("sum of all errors", self.unique.sum_bits, self.johnson.sum_bits),
        ):
            lines.append(f"{name:<20} {first:7.1f} {second:8.1f}  {self.johnson.regime}")
        return lines


def security(parameters: ParametersLike, shape: Shape) -> Security:
    """The security of proofs with these parameters for AIRs up to this shape."""
    instance = instance_of(parameters, shape)
    unique = estimate(instance, unique_decoding(instance))
    return Security(shape, unique, best_johnson(instance))


def queries_needed(bits: float, blowup_log: int, multiplicity: int) -> int:
    """How many queries miss with 2^-bits at the Johnson bound."""
    rho = 2.0**-blowup_log
    return ceil(-bits / log2(sqrt(rho) * (1 + 1 / (2 * multiplicity))))


def _log2_sum(logs: list[float]) -> float:
    greatest = max(logs)
    return greatest + log2(sum(2.0 ** (log - greatest) for log in logs))
