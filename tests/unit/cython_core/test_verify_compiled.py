"""The compiled verifier: accepts what the page's prover makes, and nothing that differs from it."""

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import pytest

from cython_core.air.table import PublicInteraction
from cython_core.stark import _verify, verifier
from cython_core.stark.errors import InvalidProof, Reason
from tests.support import reference_prover
from tests.support.reference_air import decode, encode
from tests.support.reference_field import Ext, P, Stream, Transcript, b3, u32
from tests.support.reference_prover import Prover
from tests.support.reference_systems import PARAMETERS, Case, cases, fibonacci, mixed

MASKS = (0x01, 0x80, 0xFF)
HEAD_BYTES = 40
"""Magic, version and digest of the key; the heights follow."""
DIGEST_BYTES = 32
EXTENSION_BYTES = 20
FIBONACCI, MIXED = 0, 2
NAMES = [f"{number}-{case.name}" for number, case in enumerate(cases())]
Interactions = Sequence[tuple[int, int, Sequence[int]]]


@dataclass(frozen=True)
class Claim:
    """All that the verifier is given."""

    key: bytes
    publics: Sequence[int]
    interactions: Interactions
    context: bytes
    proof: bytes

    def reason(self) -> Reason | None:
        """Why it is refused; None if it is accepted."""
        try:
            _verify.verify(self.key, self.publics, self.interactions, self.context, self.proof)
        except InvalidProof as refusal:
            return refusal.reason
        return None

    def with_key(self, key: bytes) -> "Claim":
        """Another key, as if the proof were for it."""
        head = self.proof[:8] + b3("key", key)
        return replace(self, key=key, proof=head + self.proof[HEAD_BYTES:])

    def with_word(self, offset: int, word: int) -> "Claim":
        return replace(self, proof=self.proof[:offset] + u32(word) + self.proof[offset + 4 :])


def claim_of(case: Case, proof: bytes) -> Claim:
    interactions = [(i.bus, i.multiplicity, i.elements) for i in case.interactions]
    return Claim(case.key, case.publics, interactions, case.context, proof)


@cache
def proven(number: int) -> Claim:
    case = cases()[number]
    return claim_of(case, case.prove())


@pytest.fixture(params=range(len(NAMES)), ids=NAMES)
def claim(request: pytest.FixtureRequest) -> Claim:
    return proven(request.param)


def flipped(encoded: bytes, position: int, mask: int) -> bytes:
    return encoded[:position] + bytes([encoded[position] ^ mask]) + encoded[position + 1 :]


def words(encoded: bytes, first: int) -> Iterator[tuple[int, int]]:
    """Offset and value of each word from `first` on: elements, and parts of digests and nonces."""
    for offset in range(first, len(encoded) - 3, 4):
        yield offset, int.from_bytes(encoded[offset : offset + 4], "little")


def test_valid_proofs_are_accepted(claim: Claim) -> None:
    assert claim.reason() is None
    assert claim.reason() is None


def test_every_byte_counts(claim: Claim) -> None:
    for position in range(len(claim.proof)):
        changed = flipped(claim.proof, position, MASKS[position % len(MASKS)])
        assert replace(claim, proof=changed).reason() is not None, position


@pytest.mark.slow
def test_every_byte_counts_with_every_mask(claim: Claim) -> None:
    for position in range(len(claim.proof)):
        for mask in (1 << bit for bit in range(8)):
            changed = flipped(claim.proof, position, mask)
            assert replace(claim, proof=changed).reason() is not None, (position, mask)


def test_every_bit_of_the_head_counts(claim: Claim) -> None:
    tables = len(decode(claim.key).tables)
    for position in range(HEAD_BYTES + tables):
        expected = {Reason.BAD_HEIGHT}
        if position < HEAD_BYTES:
            expected = {Reason.BAD_MAGIC if position < 8 else Reason.WRONG_KEY}
        for bit in range(8):
            changed = replace(claim, proof=flipped(claim.proof, position, 1 << bit))
            reason = changed.reason()
            # Some other heights are possible; the rest of the proof is then another one's.
            if position >= HEAD_BYTES and reason is not Reason.BAD_HEIGHT:
                assert reason in {Reason.UNBALANCED_BUSES, Reason.CONSTRAINTS, Reason.BAD_OPENING}
            else:
                assert reason in expected


def test_every_truncation_is_seen(claim: Claim) -> None:
    for length in range(len(claim.proof)):
        assert replace(claim, proof=claim.proof[:length]).reason() is Reason.TRUNCATED


def test_nothing_may_follow(claim: Claim) -> None:
    for more in (b"\0", bytes(4), bytes(32), claim.proof):
        assert replace(claim, proof=claim.proof + more).reason() is Reason.TRAILING_BYTES


def test_splices_of_valid_proofs_are_refused() -> None:
    ours, theirs = proven(MIXED), claim_of(mixed(seed=2), mixed(seed=2).prove())
    assert theirs.reason() is None
    assert len(ours.key) == len(theirs.key)
    assert ours.key == theirs.key
    for cut in range(HEAD_BYTES, min(len(ours.proof), len(theirs.proof)), 4):
        for one, other in ((ours, theirs), (theirs, ours)):
            spliced = one.proof[:cut] + other.proof[cut:]
            if spliced not in {one.proof, other.proof}:
                assert replace(one, proof=spliced).reason() is not None, cut


def test_no_element_has_a_second_spelling(claim: Claim) -> None:
    reasons = set()
    for offset, word in words(claim.proof, HEAD_BYTES + len(decode(claim.key).tables)):
        if word + P < 1 << 32:
            reasons.add(claim.with_word(offset, word + P).reason())
    assert None not in reasons
    assert Reason.NOT_CANONICAL in reasons


def test_elements_of_each_part_must_be_canonical() -> None:
    with_buses, without = proven(MIXED), proven(FIBONACCI)
    tables = len(decode(with_buses.key).tables)
    terminals = HEAD_BYTES + tables + 2 * DIGEST_BYTES
    values = terminals + 3 * EXTENSION_BYTES + DIGEST_BYTES
    final = HEAD_BYTES + 1 + 2 * DIGEST_BYTES + EXTENSION_BYTES * 14 + 2 * (DIGEST_BYTES + 8)
    rows = final + 2 * EXTENSION_BYTES + 8
    for claim, part, otherwise in (
        (with_buses, terminals, Reason.UNBALANCED_BUSES),
        (with_buses, values, Reason.CONSTRAINTS),
        (without, final, Reason.QUERY_GRINDING),
        (without, rows, Reason.BAD_OPENING),
    ):
        for offset in range(part, part + 8, 4):
            (word,) = struct.unpack_from("<I", claim.proof, offset)
            assert claim.with_word(offset, word + P).reason() is Reason.NOT_CANONICAL
            assert claim.with_word(offset, P).reason() is Reason.NOT_CANONICAL
            assert claim.with_word(offset, (word + 1) % P).reason() is otherwise


def test_heights_stay_within_their_bounds() -> None:
    claim, tables = proven(MIXED), len(decode(proven(MIXED).key).tables)
    heights = claim.proof[HEAD_BYTES : HEAD_BYTES + tables]

    def with_heights(changed: bytes) -> Reason | None:
        head, rest = claim.proof[:HEAD_BYTES], claim.proof[HEAD_BYTES + tables :]
        return replace(claim, proof=head + changed + rest).reason()

    assert with_heights(heights) is None
    for huge in (23, 31, 32, 64, 255):
        for table in range(tables):
            changed = heights[:table] + bytes([huge]) + heights[table + 1 :]
            assert with_heights(changed) is Reason.BAD_HEIGHT
    assert with_heights(bytes(tables)) is Reason.BAD_HEIGHT  # a period needs its rows
    assert with_heights(heights[::-1]) is Reason.BAD_HEIGHT  # preprocessed columns have one height
    assert with_heights(heights[:2] + bytes([22]) + heights[3:]) is Reason.UNBALANCED_BUSES


def test_interactions_are_fewer_than_p() -> None:
    """508 interactions a row are p - 1 at 2^22 rows; one more, also a public one, is too much."""
    case = mixed()
    public = (0, 0, (0,))
    for count, interactions, expected in (
        (508, [], Reason.TRUNCATED),
        (508, [public], Reason.TOO_MANY_INTERACTIONS),
        (509, [], Reason.TOO_MANY_INTERACTIONS),
    ):
        key = decode(case.key)
        table = key.tables[0]
        table.interactions = [table.interactions[0]] * count
        table.groups = [(number,) for number in range(count)]
        encoded = encode(replace(key, tables=[table], preprocessed_root=bytes(32)))
        proof = b"P2SP" + u32(1) + b3("key", encoded) + bytes([22])
        assert Claim(encoded, case.publics, interactions, b"", proof).reason() is expected


def test_other_claims_are_refused() -> None:
    claim = proven(MIXED)
    publics, (first, second) = list(claim.publics), claim.interactions
    bus, multiplicity, elements = first
    for changed, expected in (
        (replace(claim, publics=publics[:-1]), Reason.BAD_PUBLICS),
        (replace(claim, publics=[*publics, 0]), Reason.BAD_PUBLICS),
        (replace(claim, publics=[publics[0] + P, *publics[1:]]), Reason.BAD_PUBLICS),
        (replace(claim, publics=[-1, *publics[1:]]), Reason.BAD_PUBLICS),
        (replace(claim, publics=[1 << 32, *publics[1:]]), Reason.BAD_PUBLICS),
        (replace(claim, publics=[publics[0] + 1, *publics[1:]]), Reason.UNBALANCED_BUSES),
        (replace(claim, publics=publics[::-1]), Reason.UNBALANCED_BUSES),
        (replace(claim, interactions=[second, first]), Reason.UNBALANCED_BUSES),
        (replace(claim, interactions=[first]), Reason.UNBALANCED_BUSES),
        (replace(claim, interactions=[]), Reason.UNBALANCED_BUSES),
        (replace(claim, interactions=[first, second, first]), Reason.UNBALANCED_BUSES),
        (replace(claim, interactions=[(2, 1, elements), second]), Reason.BAD_INTERACTIONS),
        (replace(claim, interactions=[(-1, 1, elements), second]), Reason.BAD_INTERACTIONS),
        (replace(claim, interactions=[(bus, 1, elements[:2]), second]), Reason.BAD_INTERACTIONS),
        (replace(claim, interactions=[(bus, P, elements), second]), Reason.BAD_INTERACTIONS),
        (replace(claim, interactions=[(bus, 1, [P, 1, 1]), second]), Reason.BAD_INTERACTIONS),
        (replace(claim, context=claim.context + b"\0"), Reason.UNBALANCED_BUSES),
        (replace(claim, context=b""), Reason.UNBALANCED_BUSES),
        (replace(claim, context=bytes(1024)), Reason.UNBALANCED_BUSES),
        (replace(claim, context=bytes(1025)), Reason.BAD_CONTEXT),
        (replace(claim, key=proven(MIXED + 1).key), Reason.WRONG_KEY),
        (replace(claim, proof=proven(FIBONACCI).proof), Reason.WRONG_KEY),
    ):
        assert changed.reason() is expected
    assert multiplicity == P - 1


def test_tuples_cannot_be_read_as_other_ones() -> None:
    """Two interactions of three words each would be encoded as one of two and one of four."""
    claim = proven(MIXED)
    wrong: Interactions = [(0, 1, ()), (0, 1, (1, 1))]
    good: Interactions = [(0, 1, (0,)), (1, 1, (1, 2, 3))]
    assert replace(claim, interactions=wrong).reason() is Reason.BAD_INTERACTIONS
    assert replace(claim, interactions=good).reason() is Reason.UNBALANCED_BUSES
    encoded = _verify.encode_interactions(good)
    for changed in (encoded[:-1], encoded[:-4], encoded + bytes(4), encoded[:3], u32(3), b""):
        with pytest.raises(InvalidProof, match=f"^{Reason.BAD_INTERACTIONS}$"):
            _verify.verify_encoded(
                claim.key, u32(*claim.publics), changed, claim.context, claim.proof
            )


def test_nonces_have_their_work() -> None:
    case = fibonacci(4, replace(PARAMETERS, commit_grinding=8, query_grinding=8))
    claim = claim_of(case, case.prove())
    values = 1 + 2 * DIGEST_BYTES + EXTENSION_BYTES * (2 + 2 + 10)
    layer_nonce = HEAD_BYTES + values + DIGEST_BYTES
    query_nonce = layer_nonce + 8 + DIGEST_BYTES + 8 + EXTENSION_BYTES * 2
    assert claim.reason() is None
    for offset, work, later in (
        (layer_nonce, Reason.LAYER_GRINDING, {Reason.LAYER_GRINDING, Reason.QUERY_GRINDING}),
        (query_nonce, Reason.QUERY_GRINDING, {Reason.BAD_OPENING, Reason.TRUNCATED}),
    ):
        reasons = [claim.with_word(offset, nonce).reason() for nonce in range(1, 400)]
        (nonce,) = struct.unpack_from("<I", claim.proof, offset)
        assert [number for number, reason in enumerate(reasons, 1) if reason is None] in (
            [nonce],
            [],
        )
        assert reasons.count(work) > 390
        assert set(reasons) <= {work, None, Reason.TRAILING_BYTES, *later}


def test_a_nonce_without_work_is_zero() -> None:
    claim = proven(FIBONACCI + 1)
    final = HEAD_BYTES + 1 + 2 * DIGEST_BYTES + EXTENSION_BYTES * (2 + 2 + 10)
    nonce = final + EXTENSION_BYTES * 2
    assert claim.proof[nonce : nonce + 8] == bytes(8)
    for byte in range(8):
        changed = replace(claim, proof=flipped(claim.proof, nonce + byte, 1))
        assert changed.reason() is Reason.NOT_CANONICAL


def test_terminals_must_cancel() -> None:
    case = mixed()
    first, second = case.interactions
    for interactions in (
        (),
        (first,),
        (replace(first, multiplicity=1), second),
        (first, replace(second, elements=(1, 2, 3))),
        (replace(first, bus=0, elements=(1,)), second),
    ):
        changed = replace(case, interactions=interactions)
        assert claim_of(changed, changed.prove()).reason() is Reason.UNBALANCED_BUSES


def reason_of_wrong_cell(case: Case, table: int, column: int, row: int) -> Reason | None:
    wrong = [[list(cells) for cells in columns] for columns in case.mains]
    wrong[table][column][row] += 1
    changed = replace(case, mains=wrong)
    return claim_of(case, changed.prove()).reason()


@pytest.mark.parametrize("number", [FIBONACCI, MIXED])
def test_a_wrong_cell_of_any_column_is_refused(number: int) -> None:
    case = cases()[number]
    for table, columns in enumerate(case.mains):
        for column, cells in enumerate(columns):
            row = (3 * column + 2) % len(cells)
            reason = reason_of_wrong_cell(case, table, column, row)
            assert reason in {Reason.CONSTRAINTS, Reason.UNBALANCED_BUSES}, (table, column)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_a_wrong_cell_is_refused(number: int) -> None:
    case = cases()[number]
    for table, columns in enumerate(case.mains):
        for column, cells in enumerate(columns):
            for row in range(0, len(cells), 1 + len(cells) // 16):
                reason = reason_of_wrong_cell(case, table, column, row)
                assert reason in {Reason.CONSTRAINTS, Reason.UNBALANCED_BUSES}, (table, column, row)


class Silent(Transcript):
    """Leaves out what has one label, as a careless verifier would."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def absorb(self, label: str, message: bytes) -> None:
        if label != self.label:
            super().absorb(label, message)


LABELS = (
    "protocol", "key", "publics", "interactions", "context", "heights", "main", "auxiliary",
    "quotient", "values", "layer", "layer grind", "final", "query grind",
)  # fmt: skip


def test_all_labels_are_known() -> None:
    case = mixed()
    prover = Prover(case.key, case.publics)
    prover.prove(case.mains, case.preprocessed, case.interactions, case.context)
    assert {label for label, _ in prover.transcript.record} == set(LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_challenges_depend_on_everything(label: str) -> None:
    """The algebra of such a proof holds, but one message of it could have been any other."""
    case = mixed()
    prover = Prover(case.key, case.publics)
    prover.transcript = Silent(label)
    proof = prover.prove(case.mains, case.preprocessed, case.interactions, case.context)
    assert claim_of(case, proof).reason() is not None


class Cheat(Prover):
    """Sends a codeword that is of low degree, but not F."""

    def _deep(self, opened: list[tuple[Sequence[int], int, bool, Ext]]) -> list[Ext]:
        coefficients = super()._deep(opened)
        return [*coefficients[1:], coefficients[0]]


def test_another_codeword_is_seen_in_the_first_layer() -> None:
    case = mixed()
    proof = Cheat(case.key, case.publics).prove(
        case.mains, case.preprocessed, case.interactions, case.context
    )
    assert claim_of(case, proof).reason() is Reason.BAD_FOLD


def test_another_fold_is_seen_in_the_next_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = reference_prover.folded_by_two

    def dishonest(codeword: Sequence[Ext], beta: Ext) -> list[Ext]:
        return honest(codeword, tuple((c + 1) % P for c in beta))

    monkeypatch.setattr(reference_prover, "folded_by_two", dishonest)
    for parameters, expected in (
        (PARAMETERS, Reason.BAD_FOLD),
        (replace(PARAMETERS, fold_log=4, final_log=0), Reason.BAD_FINAL),
    ):
        case = fibonacci(4, parameters)
        assert claim_of(case, case.prove()).reason() is expected


def test_another_final_polynomial_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = reference_prover.final_coefficients

    def dishonest(codeword: Sequence[Ext], count: int) -> list[Ext]:
        first, *rest = honest(codeword, count)
        return [tuple((c + 1) % P for c in first), *rest]

    monkeypatch.setattr(reference_prover, "final_coefficients", dishonest)
    for case in cases()[:3]:
        assert claim_of(case, case.prove()).reason() is Reason.BAD_FINAL


def reason_in_python(claim: Claim) -> Reason | None:
    interactions = [PublicInteraction(b, m, tuple(e)) for b, m, e in claim.interactions]
    try:
        verifier.verify(claim.key, claim.publics, interactions, claim.context, claim.proof)
    except InvalidProof as refusal:
        return refusal.reason
    return None


def damaged(claim: Claim, randomness: random.Random) -> Claim:
    position = randomness.randrange(HEAD_BYTES, len(claim.proof))
    kind = randomness.randrange(8)
    if kind == 0:
        return replace(claim, proof=claim.proof[:position])
    if kind == 1:
        return replace(claim, proof=claim.proof + randomness.randbytes(1 + position % 40))
    if kind == 2:
        key = flipped(claim.key, position % len(claim.key), 1 << randomness.randrange(8))
        return claim.with_key(key)
    if kind == 3:
        return claim.with_word(
            min(position, len(claim.proof) - 4), randomness.choice((P, 2**32 - 1))
        )
    return replace(claim, proof=flipped(claim.proof, position, 1 << randomness.randrange(8)))


def check_agreement(claim: Claim, randomness: random.Random, count: int) -> None:
    assert reason_in_python(claim) is None
    for _ in range(count):
        changed = damaged(claim, randomness)
        reason = changed.reason()
        assert reason is not None
        assert reason_in_python(changed) is reason, changed


def test_both_verifiers_give_the_same_reason(claim: Claim, seed: int) -> None:
    print("seed", seed)
    check_agreement(claim, random.Random(seed), 30)


@pytest.mark.slow
def test_both_verifiers_give_the_same_reason_often(claim: Claim, seed: int) -> None:
    print("seed", seed)
    check_agreement(claim, random.Random(seed), 1_500)


def test_memory_is_bounded_by_the_key(claim: Claim) -> None:
    size = _verify.memory_bytes(claim.key)
    assert 0 < size < 20_000
    assert _verify.memory_bytes(claim.key[:-1]) == 0


def test_the_stream_of_the_page_is_the_compiled_one() -> None:
    """A guard for the support itself: words are skipped, not reduced, when they are above p."""
    stream = Stream(bytes(56))
    drawn = [stream.element() for _ in range(600)]
    assert all(value < P for value in drawn)
    assert stream.offset > 4 * len(drawn)
