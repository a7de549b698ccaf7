"""The prover against the slow one that is written from docs/proofs.md: the same bytes."""

import random
import struct
from dataclasses import replace

import pytest

from cython_core import ntt
from cython_core.air.key import decode_key
from cython_core.air.table import PublicInteraction
from cython_core.field import Matrix
from cython_core.field._reference import P, bit_reverse
from cython_core.stark._prover import Opening, available_kernels
from cython_core.stark.codewords import (
    COSETS,
    Cancelled,
    Options,
    Spares,
    Stage,
    coset_shift,
)
from cython_core.stark.prover import ProvingKey, UnprovableError, make_proving_key, prove
from tests.support.reference_systems import Case, fibonacci, mixed

CASES = {
    "fibonacci": fibonacci(),
    "one row": fibonacci(log=0),
    "two rows": fibonacci(log=1),
    "several blocks": fibonacci(log=8),
    "mixed": mixed(),
    "taller range": mixed(values_log=2, range_log=5, single_log=3),
    "all tiny": mixed(values_log=1, range_log=1),
}


def proving_key_of(case: Case) -> ProvingKey:
    """The key of a case with the values of its preprocessed columns."""
    key = decode_key(case.key)
    tables = tuple(
        replace(table, preprocessed=tuple(tuple(column) for column in columns))
        for table, columns in zip(key.system.tables, case.preprocessed, strict=True)
    )
    made = make_proving_key(replace(key.system, tables=tables), key.parameters)
    assert made.encoding == case.key
    return made


def proof_of(case: Case, options: Options | None = None) -> bytes:
    main = [Matrix.from_columns(columns) for columns in case.mains]
    interactions = interactions_of(case)
    return prove(proving_key_of(case), main, case.publics, interactions, case.context, options)


def interactions_of(case: Case) -> list[PublicInteraction]:
    return [
        PublicInteraction(one.bus, one.multiplicity, tuple(one.elements))
        for one in case.interactions
    ]


@pytest.mark.parametrize("name", CASES)
def test_the_proof_is_that_of_the_slow_prover(name: str) -> None:
    assert proof_of(CASES[name]) == CASES[name].prove()


@pytest.mark.parametrize("kernel", available_kernels())
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("codeword_bytes", [0, 1 << 20])
def test_how_the_prover_works_does_not_change_the_proof(
    kernel: str, threads: int, codeword_bytes: int
) -> None:
    for case in (mixed(), fibonacci(log=8)):
        options = Options(threads=threads, kernel=kernel, codeword_bytes=codeword_bytes)
        assert proof_of(case, options) == proof_of(case)


@pytest.mark.parametrize("kernel", available_kernels())
@pytest.mark.parametrize("known", [(), (0, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("log", [0, 1, 3, 4, 5, 11])
def test_opened_rows_are_those_of_the_codeword(
    kernel: str, known: tuple[int, ...], log: int
) -> None:
    source = random.Random(log)
    height = 1 << log
    coefficients = Matrix.from_columns(
        [[source.randrange(P) for _ in range(height)] for _ in range(18)]
    )
    cosets = [ntt.forward(coefficients, coset_shift(log, coset)) for coset in range(COSETS)]
    positions = sorted({source.randrange(4 * height) for _ in range(20)})
    at_hand = {coset: cosets[coset] for coset in known}
    opening = Opening(coefficients, positions, at_hand, kernel)
    for panel in range(coefficients.panels):
        opening.open(panel)
    rows = [
        cosets[bit_reverse(place >> log, 2)].row(bit_reverse(place & (height - 1), log))
        for place in positions
    ]
    assert opening.encoded() == b"".join(struct.pack("<18I", *row) for row in rows)


def test_an_opening_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"^a position lies outside of the codeword$"):
        Opening(Matrix(4, 3), [16], {})
    with pytest.raises(ValueError, match=r"^the matrices differ in shape, or have no such panel$"):
        Opening(Matrix(4, 3), [1], {1: Matrix(8, 3)})
    with pytest.raises(ValueError, match=r"^the matrices differ in shape, or have no such panel$"):
        Opening(Matrix(4, 3), [1], {}).open(1)


def test_the_values_given_are_left_as_they_were() -> None:
    case = mixed()
    main = [Matrix.from_columns(columns) for columns in case.mains]
    before = [matrix.copy() for matrix in main]
    interactions = interactions_of(case)
    prove(proving_key_of(case), main, case.publics, interactions, case.context)
    assert main == before


def test_tables_may_be_given_up() -> None:
    case = mixed()
    main = [Matrix.from_columns(columns) for columns in case.mains]
    interactions = interactions_of(case)
    options = Options(consumes_tables=True, codeword_bytes=0)
    key = proving_key_of(case)
    assert prove(key, main, case.publics, interactions, case.context, options) == case.prove()
    assert main == []


@pytest.mark.parametrize("codeword_bytes", [0, 1 << 20])
@pytest.mark.parametrize("consumes_tables", [False, True])
def test_memory_of_one_proof_serves_the_next(codeword_bytes: int, consumes_tables: bool) -> None:
    spares = Spares()
    options = Options(spares=spares, codeword_bytes=codeword_bytes, consumes_tables=consumes_tables)
    for case in (mixed(), mixed(seed=5), fibonacci(), mixed(seed=2)):
        main = [Matrix.from_columns(columns) for columns in case.mains]
        lent = [matrix.copy() for matrix in main]
        key = proving_key_of(case)
        proof = prove(key, main, case.publics, interactions_of(case), case.context, options)
        assert proof == case.prove()
        assert consumes_tables or main == lent


def test_progress_tells_every_stage_and_ends_each() -> None:
    seen: list[tuple[Stage, int, int]] = []
    proof_of(mixed(), Options(progress=lambda *step: seen.append(step)))
    assert [stage for stage in Stage if any(step[0] == stage for step in seen)] == list(Stage)
    assert all(1 <= done <= total for _, done, total in seen)
    assert {stage for stage, done, total in seen if done == total} == set(Stage)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_proof_can_be_cancelled_at_any_task(threads: int) -> None:
    calls = 0

    def count() -> bool:
        nonlocal calls
        calls += 1
        return False

    proof_of(mixed(), Options(is_cancelled=count))
    for stop in range(1, calls + 1, 7):
        left = stop

        def is_cancelled() -> bool:
            nonlocal left
            left -= 1
            return left <= 0

        with pytest.raises(Cancelled):
            proof_of(mixed(), Options(threads=threads, is_cancelled=is_cancelled))


def test_tables_that_break_a_constraint_are_unprovable() -> None:
    case = fibonacci()
    broken = [list(column) for column in case.mains[0]]
    broken[0][5] += 1
    with pytest.raises(UnprovableError) as caught:
        proof_of(replace(case, mains=[broken]))
    assert str(caught.value) == (
        "table fibonacci does not satisfy its constraints; air.check names the row"
    )


def test_buses_that_do_not_balance_are_unprovable() -> None:
    case = mixed()
    with pytest.raises(UnprovableError) as caught:
        proof_of(replace(case, interactions=()))
    assert str(caught.value) == "the buses do not balance; air.check names the tuple"


@pytest.mark.parametrize(
    ("mains", "message"),
    [
        ([], "1 tables are needed, not 0"),
        (
            [[[1, 1, 2], [1, 2, 3]]],
            "table fibonacci has 3 rows, not a power of two from 2^0 to 2^22",
        ),
        ([[[1, 1]]], "table fibonacci has 2 columns, not 1"),
    ],
)
def test_tables_of_the_wrong_shape(mains: list[list[list[int]]], message: str) -> None:
    case = fibonacci()
    main = [Matrix.from_columns(columns) for columns in mains]
    with pytest.raises(UnprovableError) as caught:
        prove(proving_key_of(case), main, case.publics)
    assert str(caught.value) == message


def test_public_values_are_counted() -> None:
    case = fibonacci()
    main = [Matrix.from_columns(columns) for columns in case.mains]
    with pytest.raises(UnprovableError) as caught:
        prove(proving_key_of(case), main, [1])
    assert str(caught.value) == "3 public values, not 1"
