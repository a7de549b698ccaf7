"""FRI: kernels against the twin, honest proofs against the verifier, and wrong ones."""

import random
from collections.abc import Sequence

import pytest

from cython_core.air.key import Parameters
from cython_core.commitment._reference import commit_matrices
from cython_core.commitment.reader import Reader
from cython_core.field import Matrix, P, bit_reverse, root
from cython_core.field._reference import XZERO, Extension, xadd, xmul, xscale
from cython_core.fri import _fold as compiled
from cython_core.fri import _reference as reference
from cython_core.fri.prover import prove_fri
from cython_core.fri.schedule import fold_schedule
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.stark.folding import check_folds, check_work, read_folding, read_layers
from cython_core.transcript import Transcript
from cython_core.transcript._reference import Transcript as ReferenceTranscript

ALL_KERNELS = ("scalar", "avx2", "avx512")
SMALL = Parameters(queries=5, query_grinding=3, commit_grinding=2, fold_log=3, final_log=2)
HEIGHT_LOG = 6
"""Of the proofs that are attacked: two layers, by 8 and by 2."""


@pytest.fixture(params=compiled.available_kernels())
def kernel(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def random_extension(source: random.Random) -> Extension:
    a, b, c, d, e = (source.choice((0, 1, P - 1, source.randrange(P))) for _ in range(5))
    return (a, b, c, d, e)


def random_codeword(source: random.Random, log: int) -> list[Extension]:
    return [random_extension(source) for _ in range(1 << log)]


def evaluate(coefficients: Sequence[Extension], x: int) -> Extension:
    total = XZERO
    for coefficient in reversed(coefficients):
        total = xadd(xscale(total, x), coefficient)
    return total


def codeword_of(coefficients: Sequence[Extension], log: int) -> list[Extension]:
    """Values on the domain of 2^log points, bit-reversed."""
    return [
        evaluate(coefficients, pow(root(log), bit_reverse(position, log), P))
        for position in range(1 << log)
    ]


def matrix_of(rows: Sequence[Sequence[int]]) -> Matrix:
    encoded = b"".join(value.to_bytes(4, "little") for row in rows for value in row)
    return Matrix.from_rows(encoded, len(rows), len(rows[0]))


def rows_of_matrix(matrix: Matrix) -> list[list[int]]:
    return [list(matrix.row(row)) for row in range(matrix.height)]


@pytest.mark.parametrize("kernel", ALL_KERNELS)
def test_this_machine_runs_the_kernel(kernel: str) -> None:
    # The other tests run over what the CPU has; this one says in the summary what they left out.
    if kernel not in compiled.available_kernels():
        pytest.skip(f"this CPU does not run {kernel}: no test of it ran")
    folded = compiled.fold(
        matrix_of([[2, 0, 0, 0, 0, 2, 0, 0, 0, 0]]), 1, (7, 0, 0, 0, 0), 0, kernel
    )
    assert folded.row(0) == (2, 0, 0, 0, 0)


@pytest.mark.parametrize("fold_log", [1, 2, 3, 4])
@pytest.mark.parametrize("log", [4, 5, 7, 8, 9])
def test_folds_of_every_size(kernel: str, log: int, fold_log: int) -> None:
    source = random.Random(10 * log + fold_log)
    codeword, challenge = random_codeword(source, log), random_extension(source)
    layer = compiled.regroup(matrix_of(codeword), fold_log)
    assert rows_of_matrix(layer) == reference.layer_rows(codeword, fold_log)
    expected = reference.fold(codeword, fold_log, challenge)
    for next_fold_log in range(min(4, log - fold_log) + 1):
        folded = compiled.fold(layer, fold_log, challenge, next_fold_log, kernel)
        assert folded == matrix_of(reference.layer_rows(expected, next_fold_log))


def test_fold_of_a_domain_with_many_groups(kernel: str) -> None:
    # Beyond 2^8 groups of 16 rows; the scalar kernel is compared with the twin above.
    source = random.Random(1)
    encoded = b"".join(source.randrange(P).to_bytes(4, "little") for _ in range(5 << 15))
    layer = compiled.regroup(Matrix.from_rows(encoded, 1 << 15, 5), 3)
    challenge = random_extension(source)
    folded = compiled.fold(layer, 3, challenge, 2, kernel)
    assert folded == compiled.fold(layer, 3, challenge, 2, "scalar")
    # A fold by 8 is a fold by 2 and one by 4.
    twice = compiled.fold(
        compiled.regroup(Matrix.from_rows(encoded, 1 << 15, 5), 1), 1, challenge, 2
    )
    square = xmul(challenge, challenge)
    assert folded == compiled.fold(twice, 2, square, 2, kernel)


@pytest.mark.parametrize("log", range(6))
def test_interpolation(log: int) -> None:
    source = random.Random(log)
    coefficients = random_codeword(source, log)
    codeword = codeword_of(coefficients, log)
    assert reference.interpolate(codeword) == coefficients
    matrix = matrix_of(codeword)
    assert compiled.interpolate(matrix) == matrix_of(coefficients)
    assert matrix == matrix_of(codeword), "the codeword itself stays as it is"


def test_schedule() -> None:
    assert fold_schedule(20, 3, 5) == [3, 3, 3, 3, 3]
    assert fold_schedule(21, 3, 5) == [3, 3, 3, 3, 3, 1]
    assert fold_schedule(5, 3, 5) == fold_schedule(0, 4, 10) == []
    assert fold_schedule(6, 4, 0) == [4, 2]


def test_bad_shapes_are_refused() -> None:
    challenge = (1, 0, 0, 0, 0)
    with pytest.raises(ValueError, match=r"a row of 2\^1 values has 10 columns, not 5"):
        compiled.fold(Matrix(4, 5), 1, challenge)
    with pytest.raises(ValueError, match=r"a layer folds by 2\^0 to 2\^4, not 2\^5"):
        compiled.fold(Matrix(4, 160), 5, challenge)
    with pytest.raises(ValueError, match="a fold is by 2 at least"):
        compiled.fold(Matrix(4, 5), 0, challenge)
    with pytest.raises(ValueError, match=r"no codeword has 3 x 2\^0 values"):
        compiled.regroup(Matrix(3, 5), 0)
    with pytest.raises(ValueError, match=r"2\^2 values cannot be folded by 2\^3"):
        compiled.regroup(Matrix(4, 5), 3)
    with pytest.raises(ValueError, match=r"2\^1 values cannot be folded by 2\^2"):
        compiled.fold(Matrix(2, 10), 1, challenge, 2)
    with pytest.raises(ValueError, match="a challenge has five coefficients"):
        compiled.fold(Matrix(2, 10), 1, (1, 2))
    with pytest.raises(ValueError, match=f"{P} is not an element of the field"):
        compiled.fold(Matrix(2, 10), 1, (P, 0, 0, 0, 0))
    with pytest.raises(ValueError, match="there is no kernel 'neon'"):
        compiled.fold(Matrix(2, 10), 1, challenge, 0, "neon")
    with pytest.raises(ValueError, match="2 values leave no polynomial"):
        prove_fri(Transcript(), SMALL, Matrix(2, 5))


def verify_proof(
    proof: bytes, parameters: Parameters, height_log: int, codeword: Sequence[Extension]
) -> None:
    """The verifier's steps 7 and 8, with the values of F known."""
    reader, transcript = Reader(proof), ReferenceTranscript()
    folding = read_folding(reader, transcript, parameters, height_log)
    check_work(reader, transcript, parameters.query_grinding, "query grind", "queries")
    log = height_log + parameters.blowup_log
    positions = transcript.squeeze("queries").indices(parameters.queries, log)
    rows = read_layers(reader, folding, positions)
    reader.finish()
    check_folds(folding, rows, {position: codeword[position] for position in positions})


def make_proof(
    parameters: Parameters, codeword: Sequence[Extension], kernel: str = "auto"
) -> bytes:
    transcript = Transcript()
    proved = prove_fri(transcript, parameters, matrix_of(codeword), kernel)
    positions = transcript.squeeze("queries").indices(parameters.queries, proved.domain_log)
    return proved.message + proved.open(positions)


def make_reference_proof(parameters: Parameters, codeword: Sequence[Extension]) -> bytes:
    transcript = ReferenceTranscript()
    proved = reference.prove_fri(transcript, parameters, codeword)
    positions = transcript.squeeze("queries").indices(parameters.queries, proved.domain_log)
    return proved.message + proved.open(positions)


@pytest.mark.parametrize("height_log", range(7))
@pytest.mark.parametrize(("fold_log", "final_log"), [(3, 2), (1, 0), (2, 3), (4, 1)])
def test_honest_proofs_are_the_twins_and_verify(
    height_log: int, fold_log: int, final_log: int
) -> None:
    parameters = Parameters(
        queries=6, query_grinding=2, commit_grinding=1, fold_log=fold_log, final_log=final_log
    )
    source = random.Random(height_log)
    coefficients = random_codeword(source, height_log)
    codeword = codeword_of(coefficients, height_log + 2)
    proof = make_proof(parameters, codeword)
    verify_proof(proof, parameters, height_log, codeword)
    if height_log <= 5:
        assert proof == make_reference_proof(parameters, codeword)


def test_every_kernel_makes_the_same_proof(kernel: str) -> None:
    source = random.Random(2)
    codeword = codeword_of(random_codeword(source, 6), 8)
    assert make_proof(SMALL, codeword, kernel) == make_proof(SMALL, codeword, "scalar")


def test_a_prover_refuses_what_is_of_no_low_degree() -> None:
    source = random.Random(3)
    codeword = codeword_of(random_codeword(source, 4), 6)
    codeword[5] = xadd(codeword[5], (1, 0, 0, 0, 0))
    message = "the codeword is not that of a polynomial of low degree"
    with pytest.raises(ValueError, match=message):
        make_proof(SMALL, codeword)
    with pytest.raises(ValueError, match=message):
        make_reference_proof(SMALL, codeword)


@pytest.fixture(scope="module")
def honest() -> tuple[bytes, list[Extension]]:
    source = random.Random(4)
    codeword = codeword_of(random_codeword(source, HEIGHT_LOG), HEIGHT_LOG + 2)
    return make_proof(SMALL, codeword), codeword


def refusal(proof: bytes, codeword: Sequence[Extension]) -> Reason:
    with pytest.raises(InvalidProof) as caught:
        verify_proof(proof, SMALL, HEIGHT_LOG, codeword)
    return caught.value.reason


def test_every_changed_byte_is_rejected(honest: tuple[bytes, list[Extension]]) -> None:
    proof, codeword = honest
    for index in range(len(proof)):
        changed = bytearray(proof)
        changed[index] ^= 1 << (index % 8)
        refusal(bytes(changed), codeword)


def test_every_length_is_exact(honest: tuple[bytes, list[Extension]]) -> None:
    proof, codeword = honest
    for length in range(0, len(proof), 7):
        assert refusal(proof[:length], codeword) is Reason.TRUNCATED
    assert refusal(proof + b"\0", codeword) is Reason.TRAILING_BYTES


def test_grinding_is_demanded(honest: tuple[bytes, list[Extension]]) -> None:
    proof, codeword = honest
    for offset, reason in (
        (32, Reason.LAYER_GRINDING),
        (72, Reason.LAYER_GRINDING),
        (80 + 20 * 4, Reason.QUERY_GRINDING),
    ):
        reasons = set()
        for nonce in range(40):
            changed = proof[:offset] + nonce.to_bytes(8, "little") + proof[offset + 8 :]
            if changed != proof:
                reasons.add(refusal(changed, codeword))
        assert reason in reasons
    easy = Parameters(queries=5, query_grinding=0, commit_grinding=0, fold_log=3, final_log=2)
    easy_proof = make_proof(easy, codeword)
    changed = easy_proof[:32] + (1).to_bytes(8, "little") + easy_proof[40:]
    with pytest.raises(InvalidProof, match="not-canonical"):
        verify_proof(changed, easy, HEIGHT_LOG, codeword)


def cheating_proof(
    codeword: list[Extension], wrong_layer: int, parameters: Parameters = SMALL
) -> bytes:
    """A proof whose openings and work are right, but from layer `wrong_layer` on another codeword
    goes on: that of a random polynomial of the right degree."""
    source = random.Random(5)
    transcript = ReferenceTranscript()
    parts, trees = [], []
    height_log = HEIGHT_LOG
    domain_log = HEIGHT_LOG + parameters.blowup_log
    for number, fold_log in enumerate(fold_schedule(HEIGHT_LOG, 3, 2)):
        if number == wrong_layer:
            codeword = codeword_of(random_codeword(source, height_log), height_log + 2)
        trees.append(commit_matrices([reference.layer_rows(codeword, fold_log)]))
        transcript.absorb("layer", trees[-1].root)
        nonce = transcript.grind(parameters.commit_grinding, "layer grind")
        parts += [trees[-1].root, nonce.to_bytes(8, "little")]
        (challenge,) = transcript.squeeze("fold").extensions(1)
        codeword = reference.fold(codeword, fold_log, challenge)
        height_log -= fold_log
    coefficients = reference.interpolate(codeword)[:4]
    if wrong_layer == len(trees):
        coefficients = random_codeword(source, 2)
    final = b"".join(value.to_bytes(4, "little") for c in coefficients for value in c)
    transcript.absorb("final", final)
    nonce = transcript.grind(parameters.query_grinding, "query grind")
    proved = reference.FriProof(
        b"".join([*parts, final, nonce.to_bytes(8, "little")]), domain_log, trees
    )
    positions = transcript.squeeze("queries").indices(parameters.queries, domain_log)
    return proved.message + proved.open(positions)


@pytest.mark.parametrize(
    ("wrong_layer", "reason"),
    [(0, Reason.BAD_FOLD), (1, Reason.BAD_FOLD), (2, Reason.BAD_FINAL)],
)
def test_a_layer_that_does_not_follow_is_rejected(
    honest: tuple[bytes, list[Extension]], wrong_layer: int, reason: Reason
) -> None:
    _, codeword = honest
    assert refusal(cheating_proof(codeword, wrong_layer), codeword) is reason


def test_a_codeword_of_twice_the_degree_is_rejected() -> None:
    source = random.Random(6)
    codeword = codeword_of(random_codeword(source, HEIGHT_LOG + 1), HEIGHT_LOG + 2)
    # All is honest but that the final polynomial leaves its upper coefficients out.
    assert refusal(cheating_proof(codeword, -1), codeword) is Reason.BAD_FINAL


def test_a_proof_of_another_codeword_is_rejected(honest: tuple[bytes, list[Extension]]) -> None:
    proof, codeword = honest
    other = [xadd(value, (0, 0, 1, 0, 0)) for value in codeword]
    assert refusal(proof, other) is Reason.BAD_FOLD


def test_other_parameters_are_rejected(honest: tuple[bytes, list[Extension]]) -> None:
    proof, codeword = honest
    for change in ({"fold_log": 2}, {"final_log": 3}, {"queries": 4}, {"queries": 6}):
        values = {"queries": 5, "fold_log": 3, "final_log": 2} | change
        parameters = Parameters(query_grinding=3, commit_grinding=2, **values)
        with pytest.raises(InvalidProof):
            verify_proof(proof, parameters, HEIGHT_LOG, codeword)
    for height_log in (HEIGHT_LOG - 1, HEIGHT_LOG + 1):
        with pytest.raises(InvalidProof):
            verify_proof(proof, SMALL, height_log, codeword * 2)


def test_honest_proof_verifies(honest: tuple[bytes, list[Extension]]) -> None:
    proof, codeword = honest
    verify_proof(proof, SMALL, HEIGHT_LOG, codeword)
