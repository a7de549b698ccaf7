"""Attacks: whatever a prover says too late, too freely or twice must be refused by both verifiers.

The attacks on the transcript are those of cheating_provers.py: each is shown to work against a
verifier that forgets the message in question, so that its refusal means something.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cython_core.air.key import key_digest
from cython_core.air.table import MODULUS, PublicInteraction
from cython_core.stark import verifier
from cython_core.stark.checking import VerifierName, find_verifier
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.transcript._reference import Stream
from cython_core.transcript._reference import Transcript as PythonTranscript
from tests.support import reference_prover
from tests.support.cheating_provers import (
    Forgetful,
    KnowsConstraintCoefficients,
    KnowsDeepCoefficients,
    KnowsLogUp,
    KnowsPoint,
    KnowsQueries,
    SendsOtherValues,
    forgetful_verifier,
)
from tests.support.reference_air import Air, Key, Parameters, Table, encode
from tests.support.reference_field import P, base, ext_bytes, u32, xadd, xsub
from tests.support.reference_field import Transcript as ProverTranscript
from tests.support.reference_prover import Columns, Prover, preprocessed_root
from tests.support.reference_systems import PARAMETERS, Case, fibonacci, mixed

VERIFIERS = [found for name in VerifierName if (found := find_verifier(name))]
ALL_LABELS = [
    ("protocol", 15),
    ("key", 32),
    ("publics", 12),
    ("interactions", 44),
    ("context", 4),
    ("heights", 20),
    ("main", 32),
    ("auxiliary", 92),
    ("quotient", 32),
    ("values", 1580),
    ("layer", 32),
    ("layer grind", 8),
    ("layer", 32),
    ("layer grind", 8),
    ("final", 40),
    ("query grind", 8),
]
"""All that the transcript of `mixed()` absorbs, with its lengths: what challenges depend on."""


@dataclass(frozen=True)
class Claim:
    """What a verifier is asked."""

    key: bytes
    publics: tuple[int, ...]
    interactions: tuple[PublicInteraction, ...]
    context: bytes
    proof: bytes

    def reason(self) -> Reason | None:
        """What all verifiers say of it: they must agree. None if it is accepted."""
        (reason,) = {self._ask(verify) for verify in VERIFIERS}
        return reason

    def _ask(self, verify: Callable[..., None]) -> Reason | None:
        try:
            verify(self.key, self.publics, self.interactions, self.context, self.proof)
        except InvalidProof as error:
            return error.reason
        return None

    def asked_of(self, forgotten: str, monkeypatch: pytest.MonkeyPatch) -> Reason | None:
        """What the Python verifier would say if it forgot the messages of a label."""
        with monkeypatch.context() as patch:
            patch.setattr(verifier, "Transcript", forgetful_verifier(forgotten))
            return self._ask(verifier.verify)


def claim_of(case: Case, prover: Prover | None = None) -> Claim:
    interactions = tuple(
        PublicInteraction(i.bus, i.multiplicity, i.elements) for i in case.interactions
    )
    prover = prover or Prover(case.key, case.publics)
    proof = prover.prove(case.mains, case.preprocessed, case.interactions, case.context)
    return Claim(case.key, case.publics, interactions, case.context, proof)


@pytest.fixture(scope="module")
def honest() -> Claim:
    return claim_of(mixed())


def test_the_honest_proof_is_accepted(honest: Claim) -> None:
    assert honest.reason() is None


# The transcript


def test_inventory_of_the_transcript(honest: Claim) -> None:
    record: list[tuple[str, bytes]] = []
    case = mixed()
    verifier.verify(
        honest.key, honest.publics, honest.interactions, honest.context, honest.proof, record
    )
    assert [(label, len(message)) for label, message in record] == ALL_LABELS
    prover = Prover(case.key, case.publics)
    proof = prover.prove(case.mains, case.preprocessed, case.interactions, case.context)
    assert prover.transcript.record == record
    # Everything that the prover says before the openings, in order and without a gap.
    said = b"".join(message for label, message in record[6:])
    assert said in proof
    assert proof.index(said) == 40 + len(prover.traces)
    statement = dict(record[:6])
    assert statement == {
        "protocol": b"p2pseq/stark/v1",
        "key": key_digest(honest.key),
        "publics": u32(2, *honest.publics),
        "interactions": reference_prover.encode_interactions(case.interactions),
        "context": honest.context,
        "heights": u32(4, 4, 3, 2, 0),
    }


@pytest.mark.parametrize("forgotten", sorted({label for label, _ in ALL_LABELS}))
def test_every_message_counts_for_the_real_verifiers(
    forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = mixed()
    claim = claim_of(case, Forgetful(case.key, case.publics, forgotten))
    assert claim.asked_of(forgotten, monkeypatch) is None
    assert claim.reason() is not None


def false_fibonacci(parameters: Parameters = PARAMETERS) -> Case:
    """The sequence does not end like that."""
    case = fibonacci(parameters=parameters)
    return replace(case, publics=(*case.publics[:2], (case.publics[2] + 1) % P))


def lookups_out_of_range() -> Case:
    """Values from 90 looked up in a table of the numbers below 8."""
    lookups = Air(Table("lookups", 1))
    lookups.interact(0, 1, lookups.main(0))
    limits = Air(Table("limits", 1, 1, 3, 3))
    limits.interact(0, 0 - limits.main(0), limits.preprocessed(0))
    fixed = [list(range(8))]
    tables = [lookups.group((0,)), limits.group((0,))]
    key = encode(Key(PARAMETERS, [1], 0, tables, preprocessed_root([fixed])))
    mains: list[Columns] = [[list(range(90, 98))], [[1] * 8]]
    return Case("lookups", key, (), mains, [[], fixed])


def sends_without_receiver() -> Case:
    """Two tables of one height that only send."""
    tables = []
    for name in ("one", "other"):
        air = Air(Table(name, 1))
        air.interact(0, 1, air.main(0))
        tables.append(air.group((0,)))
    key = encode(Key(PARAMETERS, [1], 0, tables))
    return Case("sends", key, (), [[[1, 2, 3, 4]], [[5, 6, 7, 8]]], [[], []])


LONG_FINAL = replace(PARAMETERS, final_log=3)
ATTACKS: list[tuple[Case, type[Forgetful], Reason]] = [
    (lookups_out_of_range(), KnowsLogUp, Reason.CONSTRAINTS),
    (sends_without_receiver(), KnowsConstraintCoefficients, Reason.CONSTRAINTS),
    (false_fibonacci(), KnowsPoint, Reason.CONSTRAINTS),
    (false_fibonacci(), KnowsDeepCoefficients, Reason.BAD_FOLD),
    (false_fibonacci(LONG_FINAL), KnowsQueries, Reason.BAD_OPENING),
]
"""A false statement, who can prove it, and what is wrong with the proof if no work is missing."""


@pytest.mark.parametrize(
    ("case", "cheat", "reason"), ATTACKS, ids=[cheat.__name__ for _, cheat, _ in ATTACKS]
)
def test_challenges_known_before_the_message(
    case: Case, cheat: type[Forgetful], reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert claim_of(case).reason() is not None, "what the attack proves is false"
    prover = cheat(case.key, case.publics)
    if isinstance(prover, KnowsQueries):
        monkeypatch.setattr(reference_prover, "final_coefficients", prover.final)
    claim = claim_of(case, prover)
    assert claim.asked_of(cheat.forgotten, monkeypatch) is None, "the attack is one"
    # The nonces were found for other challenges, so that their few bits may be missed first.
    assert claim.reason() in {reason, Reason.LAYER_GRINDING, Reason.QUERY_GRINDING}


# FRI


class OtherValues(SendsOtherValues):
    """Values for which the identity holds, though F then has a pole at the point."""


def test_values_that_only_satisfy_the_identity() -> None:
    case = false_fibonacci()
    claim = claim_of(case, OtherValues(case.key, case.publics, "nothing"))
    assert claim.reason() in {Reason.BAD_FOLD, Reason.BAD_FINAL}


class OtherFinal(Prover):
    """Sends a final polynomial that is off by one coefficient."""

    def send(self, label: str, message: bytes) -> None:
        if label == "final":
            message = message[:20] + u32((int.from_bytes(message[20:24], "little") + 1) % P)
            message += b"".join(u32(0) for _ in range(4))
        super().send(label, message)


def test_another_final_polynomial() -> None:
    case = fibonacci()
    assert claim_of(case, OtherFinal(case.key, case.publics)).reason() is Reason.BAD_FINAL


def test_a_layer_that_is_not_the_fold_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    honest_fold = reference_prover.folded_by_two

    def fold(codeword: Sequence[Any], beta: Any) -> list[Any]:
        # Plus one everywhere: still of low degree.
        return [xadd(value, base(1)) for value in honest_fold(codeword, beta)]

    monkeypatch.setattr(reference_prover, "folded_by_two", fold)
    assert claim_of(fibonacci()).reason() is Reason.BAD_FOLD
    one_layer = fibonacci(parameters=LONG_FINAL)
    assert claim_of(one_layer).reason() is Reason.BAD_FINAL


def test_no_queries() -> None:
    case = fibonacci()
    key = case.key[:12] + u32(0) + case.key[16:]
    assert replace(claim_of(case), key=key).reason() is Reason.BAD_KEY


def test_work_that_was_not_done() -> None:
    case = fibonacci(parameters=replace(PARAMETERS, commit_grinding=16, query_grinding=16))

    class LazyTranscript(ProverTranscript):
        lazy_label = ""

        def grind(self, bits: int, label: str) -> int:
            return super().grind(0 if label == self.lazy_label else bits, label)

    for label, reason in (
        ("layer grind", Reason.LAYER_GRINDING),
        ("query grind", Reason.QUERY_GRINDING),
    ):
        prover = Prover(case.key, case.publics)
        prover.transcript = lazy = LazyTranscript()
        lazy.lazy_label = label
        assert claim_of(case, prover).reason() is reason


# Points


class FixedStream(Stream):
    """A stream whose first extension element is chosen."""

    challenge = (0, 0, 0, 0, 0)

    def extensions(self, count: int) -> list[tuple[int, int, int, int, int]]:
        return [self.challenge, *super().extensions(count)[1:]]


class Fixed(PythonTranscript):
    """The Python verifier's transcript with one challenge chosen by the test."""

    label = ""
    challenge = (0, 0, 0, 0, 0)

    def squeeze(self, label: str) -> Stream:
        stream = super().squeeze(label)
        if label == self.label:
            stream.__class__ = FixedStream
            stream.challenge = self.challenge
        return stream


def with_challenge(
    claim: Claim, label: str, challenge: tuple[int, ...], patch: pytest.MonkeyPatch
) -> Reason | None:
    changed = type("Changed", (Fixed,), {"label": label, "challenge": challenge})
    patch.setattr(verifier, "Transcript", changed)
    return claim._ask(verifier.verify)


@pytest.mark.parametrize("power", [0, 1, 17, 63])
def test_a_point_in_the_domain(honest: Claim, power: int, monkeypatch: pytest.MonkeyPatch) -> None:
    point = base(pow(3, ((P - 1) >> 6) * power, P))
    assert with_challenge(honest, "point", point, monkeypatch) is Reason.BAD_POINT


# Buses


def test_a_denominator_that_is_zero(honest: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    # gamma such that the first public interaction's denominator vanishes.
    case = mixed()
    prover = Prover(case.key, case.publics)
    prover.prove(case.mains, case.preprocessed, case.interactions, case.context)
    first = case.interactions[0]
    denominator = prover.fingerprint(first.bus, first.elements)
    gamma = xsub(prover.gamma, denominator)
    assert with_challenge(honest, "logup", gamma, monkeypatch) is Reason.ZERO_DENOMINATOR


TERMINALS = 40 + 4 + 64
"""Where the terminals of `mixed()` stand: behind heights and two roots; three tables have one."""


def test_terminals(honest: Claim) -> None:
    proof = honest.proof
    before, first, second, after = (
        proof[:TERMINALS],
        proof[TERMINALS : TERMINALS + 20],
        proof[TERMINALS + 20 : TERMINALS + 40],
        proof[TERMINALS + 40 :],
    )
    one, other = (
        tuple(int.from_bytes(t[i : i + 4], "little") for i in range(0, 20, 4))
        for t in (first, second)
    )
    tampered = ext_bytes(xadd(one, base(1)), xsub(other, base(1)))
    for changed, reason in (
        (before + second + after, None),
        (before + first + second + ext_bytes(base(0)) + after, None),
        (before + second + first + after, Reason.CONSTRAINTS),
        (before + tampered + after, Reason.CONSTRAINTS),
        (before + ext_bytes(xadd(one, base(1))) + second + after, Reason.UNBALANCED_BUSES),
    ):
        found = replace(honest, proof=changed).reason()
        assert found is not None
        assert reason is None or found is reason


def pair(
    buses: list[int], sent: tuple[int, tuple[int, ...]], received: tuple[int, tuple[int, ...]]
) -> Case:
    """A table that sends and one that receives, each the value 5 and constants."""
    tables = []
    for name, (bus, constants), sign in (("sends", sent, 1), ("receives", received, P - 1)):
        air = Air(Table(name, 1))
        air.interact(bus, sign, air.main(0), *(air.constant(c) for c in constants))
        tables.append(air.group((0,)))
    key = encode(Key(PARAMETERS, buses, 0, tables))
    return Case("pair", key, (), [[[5, 5]], [[5, 5]]], [[], []])


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (pair([1], (0, ()), (0, ())), None),
        (pair([1, 1], (0, ()), (1, ())), Reason.UNBALANCED_BUSES),
        (pair([1, 2], (0, ()), (1, (0,))), Reason.UNBALANCED_BUSES),
        (pair([2, 2], (0, (1,)), (1, (0,))), Reason.UNBALANCED_BUSES),
        (pair([2], (0, (1,)), (0, (1,))), None),
        (pair([2], (0, (1,)), (0, (2,))), Reason.UNBALANCED_BUSES),
    ],
    ids=["same", "other bus", "narrower", "bus and element", "same of two", "other element"],
)
def test_tuples_of_other_buses_and_widths_do_not_meet(case: Case, reason: Reason | None) -> None:
    assert claim_of(case).reason() is reason


@pytest.mark.parametrize(
    ("interactions", "height", "reason"),
    [
        (507, 22, Reason.TRUNCATED),
        (508, 22, Reason.TRUNCATED),
        (509, 22, Reason.TOO_MANY_INTERACTIONS),
        (509, 21, Reason.TRUNCATED),
    ],
)
def test_multiplicities_that_could_wrap(interactions: int, height: int, reason: Reason) -> None:
    assert (508 << 22) < MODULUS <= (509 << 22)
    air = Air(Table("busy", 1))
    for _ in range(interactions):
        air.interact(0, 1, air.main(0))
    key = encode(Key(PARAMETERS, [1], 0, [air.group(*((i,) for i in range(interactions)))]))
    proof = b"P2SP" + u32(1) + key_digest(key) + bytes([height])
    assert Claim(key, (), (), b"", proof).reason() is reason


# Rows that are not used


def with_row(row: int, value: int, marked: int) -> Case:
    """`mixed()` with one row of its first table changed, and lookups counted accordingly."""
    case = mixed()
    values, marks, first, _ = (list(column) for column in case.mains[0])
    limit = len(case.mains[1][0])
    values[row], marks[row] = value, marked % P
    times = [0] * limit
    for looked_up, times_marked in zip(values, marks, strict=True):
        if looked_up < limit:
            times[looked_up] = (times[looked_up] + times_marked) % P
    square = [number * number % P for number in values]
    mains = [[values, marks, first, square], [times], *case.mains[2:]]
    return replace(case, mains=mains)


def test_padding_rows_may_hold_anything() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    randomness = random.Random(seed)
    assert [row for row in range(16) if not mixed().mains[0][1][row]] == [1, 4, 7, 10, 13]
    for row in (1, 7, 13):
        assert claim_of(with_row(row, randomness.randrange(P), 0)).reason() is None


@pytest.mark.parametrize("marked", [2, -1, 1 << 30])
@pytest.mark.parametrize("row", [1, 3])
def test_marks_are_zero_or_one(row: int, marked: int) -> None:
    assert claim_of(with_row(row, 5, marked)).reason() is Reason.CONSTRAINTS


def test_a_used_row_must_be_in_range() -> None:
    assert claim_of(with_row(3, 8, 1)).reason() is Reason.UNBALANCED_BUSES
    assert claim_of(with_row(3, 7, 1)).reason() is None


# Heights


class Lying(Prover):
    """Says that one table is of another height than what it commits to."""

    def __init__(self, case: Case, table: int, log: int) -> None:
        super().__init__(case.key, case.publics)
        self.lie = (table, log)

    def _statement(self, *arguments: Any) -> None:
        table, log = self.lie
        honest_log = self.traces[table].log
        self.traces[table].log = log
        super()._statement(*arguments)
        self.traces[table].log = honest_log


@pytest.mark.parametrize("table", range(4))
@pytest.mark.parametrize("log", [0, 1, 3, 5])
def test_heights_that_are_not_those_of_the_commitment(table: int, log: int) -> None:
    case = mixed()
    if 1 << log == len(case.mains[table][0]):
        return
    assert claim_of(case, Lying(case, table, log)).reason() is not None


@pytest.mark.parametrize("height", [2, 4, 23, 255])
def test_preprocessed_tables_have_one_height(honest: Claim, height: int) -> None:
    proof = honest.proof[:41] + bytes([height]) + honest.proof[42:]
    assert replace(honest, proof=proof).reason() is Reason.BAD_HEIGHT


# False statements by an honest prover


@pytest.mark.parametrize("seed", range(8))
def test_one_changed_cell_is_found(seed: int) -> None:
    randomness = random.Random(seed)
    case = mixed()
    mains = [[list(column) for column in columns] for columns in case.mains]
    table = randomness.choice([0, 1, 2, 3])
    column = randomness.randrange(len(mains[table]))
    row = randomness.randrange(len(mains[table][column]))
    old = mains[table][column][row]
    mains[table][column][row] = (old + 1 + randomness.randrange(P - 1)) % P
    reason = claim_of(replace(case, mains=mains)).reason()
    # In an unused row a value and its square may change together, but not one of them.
    assert reason in {Reason.CONSTRAINTS, Reason.UNBALANCED_BUSES}
