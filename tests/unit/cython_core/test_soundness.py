"""Attacks: whatever a prover says too late, too freely or twice must be refused by both verifiers.

The attacks on the transcript are those of cheating_provers.py: each is shown to work against a
verifier that forgets the message in question, so that its refusal means something.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from cython_core.air.key import key_digest
from cython_core.air.table import PublicInteraction
from cython_core.stark import verifier
from cython_core.stark.errors import Reason
from cython_core.transcript._reference import Stream
from cython_core.transcript._reference import Transcript as PythonTranscript
from tests.support import reference_prover
from tests.support.cheating_provers import (
    Forgetful,
    KnowsConstraintCoefficients,
    KnowsDeepCoefficients,
    KnowsFold,
    KnowsLogUp,
    KnowsPoint,
    KnowsQueries,
    SendsOtherValues,
    kernel,
)
from tests.support.proof_claims import Claim, claim_of
from tests.support.reference_air import Air, Key, Parameters, Table, encode
from tests.support.reference_field import P, base, root, u32, xadd, xinverse, xsub
from tests.support.reference_field import Transcript as ProverTranscript
from tests.support.reference_prover import Columns, Prover, preprocessed_root
from tests.support.reference_systems import PARAMETERS, Case, fibonacci, mixed

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
    assert claim.asked_of_forgetful(forgotten, monkeypatch) is None
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
    assert claim.asked_of_forgetful(cheat.forgotten, monkeypatch) is None, "the attack is one"
    # The nonces were found for other challenges, so that their few bits may be missed first.
    assert claim.reason() in {reason, Reason.LAYER_GRINDING, Reason.QUERY_GRINDING}


def test_a_fold_known_before_its_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the queries see the opposite point: one query, and a few tries until it does not."""
    case = false_fibonacci(replace(PARAMETERS, queries=1, fold_log=1))
    for number in range(40):
        attempt = replace(case, context=bytes([number]))
        claim = claim_of(attempt, KnowsFold(case.key, case.publics))
        assert claim.reason() is not None
        if claim.asked_of_forgetful("layer", monkeypatch) is None:
            return
    pytest.fail("the attack is none")


def test_public_values_chosen_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six values stand in six constraints of the first row: combined, their errors cancel."""
    air = Air(Table("row", 6))
    air.require(*(air.first * (air.main(i) - air.public(i)) for i in range(6)))
    key = encode(Key(PARAMETERS, [], 6, [air.table]))
    case = Case("row", key, tuple(range(6)), [[[i, 9] for i in range(6)]], [[]])
    prover = Forgetful(key, case.publics, "publics")
    claim = claim_of(case, prover)
    assert claim.asked_of_forgetful("publics", monkeypatch) is None
    errors = kernel(prover.constraint_coefficients)
    publics = tuple((i + error) % P for i, error in enumerate(errors))
    false_claim = replace(claim, publics=publics)
    assert publics != claim.publics
    assert false_claim.asked_of_forgetful("publics", monkeypatch) is None, "the attack is one"
    assert false_claim.reason() is Reason.CONSTRAINTS


def test_public_interactions_chosen_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six tuples, never sent by anybody, with multiplicities whose fractions sum to zero."""
    case = sends_without_receiver()
    taken = tuple(reference_prover.PublicInteraction(0, P - 1, (value,)) for value in range(1, 9))
    case = replace(case, interactions=taken)
    prover = Forgetful(case.key, case.publics, "interactions")
    claim = claim_of(case, prover)
    assert claim.asked_of_forgetful("interactions", monkeypatch) is None
    inverses = [xinverse(prover.fingerprint(0, [value])) for value in range(100, 106)]
    spurious = tuple(
        PublicInteraction(0, multiplicity, (value,))
        for value, multiplicity in zip(range(100, 106), kernel(inverses), strict=True)
    )
    false_claim = replace(claim, interactions=claim.interactions + spurious)
    assert false_claim.asked_of_forgetful("interactions", monkeypatch) is None, "the attack is one"
    assert false_claim.reason() is Reason.UNBALANCED_BUSES


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
            stream.__class__ = type("Chosen", (FixedStream,), {"challenge": self.challenge})
        return stream


def with_challenge(
    claim: Claim, label: str, challenge: tuple[int, ...], patch: pytest.MonkeyPatch
) -> Reason | None:
    changed = type("Changed", (Fixed,), {"label": label, "challenge": challenge})
    patch.setattr(verifier, "Transcript", changed)
    return claim.asked_of(verifier.verify)


@pytest.mark.parametrize("power", [0, 1, 17, 63])
def test_a_point_in_the_domain(honest: Claim, power: int, monkeypatch: pytest.MonkeyPatch) -> None:
    point = base(pow(root(6), power, P))
    assert with_challenge(honest, "point", point, monkeypatch) is Reason.BAD_POINT


def test_a_denominator_that_is_zero(honest: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    # gamma such that the first public interaction's denominator vanishes.
    case = mixed()
    prover = Prover(case.key, case.publics)
    prover.prove(case.mains, case.preprocessed, case.interactions, case.context)
    first = case.interactions[0]
    denominator = prover.fingerprint(first.bus, first.elements)
    gamma = xsub(prover.gamma, denominator)
    assert with_challenge(honest, "logup", gamma, monkeypatch) is Reason.ZERO_DENOMINATOR
