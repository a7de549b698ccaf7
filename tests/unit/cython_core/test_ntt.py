"""Transforms: every kernel bit for bit against the twin, and the twin against the definition."""

import random
import threading
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cython_core import ntt as compiled
from cython_core.field._matrix import Matrix
from cython_core.field._reference import P, bit_reverse, root
from cython_core.ntt import _reference as twin

ALL_KERNELS = ("scalar", "avx2", "avx512", "avx512ifma")
LOG_OF_TWO_PASSES = 13
"""From here on a transform is done in two passes."""
SHIFTS = (1, 3, P - 1, 1234567890)

elements = st.one_of(st.sampled_from((0, 1, P - 1)), st.integers(0, P - 1))


@pytest.fixture(params=compiled.available_kernels())
def kernel(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def random_rows(log: int, width: int, seed: int) -> Matrix:
    """Random elements, a quarter of them the extreme ones."""
    source = random.Random(seed)
    extremes = (0, 1, P - 1)
    return Matrix.from_columns(
        [
            [
                source.choice(extremes) if source.random() < 0.25 else source.randrange(P)
                for _ in range(1 << log)
            ]
            for _ in range(width)
        ]
    )


@pytest.mark.parametrize("name", ALL_KERNELS)
def test_this_machine_runs_the_kernel(name: str) -> None:
    if name not in compiled.available_kernels():
        pytest.skip(f"this CPU does not run {name}: no test of it ran")
    matrix = Matrix.from_columns([[7, 7]])
    compiled.inverse(matrix, name)
    assert matrix.column(0) == [7, 0]


@given(st.integers(0, 5), st.integers(1, P - 1), st.data())
def test_the_twin_is_what_the_definition_says(log: int, shift: int, data: st.DataObject) -> None:
    height = 1 << log
    natural = data.draw(st.lists(elements, min_size=height, max_size=height))
    coefficients = twin.reverse_rows(natural)
    values = [twin.evaluate(natural, shift * pow(root(log), row, P) % P) for row in range(height)]
    assert twin.forward(coefficients, shift) == values
    assert twin.inverse(twin.forward(coefficients)) == coefficients


@pytest.mark.parametrize("log", range(11))
def test_kernels_equal_the_twin(kernel: str, log: int) -> None:
    # 17 columns: a full panel, and one with padding that must stay zero.
    matrix = random_rows(log, 17, seed=log)
    coefficients = matrix.copy()
    compiled.inverse(coefficients, kernel)
    for column in (0, 7, 16):
        assert coefficients.column(column) == twin.inverse(matrix.column(column))
    for shift in SHIFTS[:2] if log > 8 else SHIFTS:
        values = compiled.forward(coefficients, shift, kernel)
        for column in (0, 7, 16):
            expected = twin.forward(coefficients.column(column), shift)
            assert values.column(column) == expected


@pytest.mark.parametrize("pattern", ["zeros", "ones", "largest", "alternating", "last row"])
@pytest.mark.parametrize("log", [1, 4, 8, 12])
def test_extreme_values_in_every_lane(kernel: str, pattern: str, log: int) -> None:
    height = 1 << log
    column = {
        "zeros": [0] * height,
        "ones": [1] * height,
        "largest": [P - 1] * height,
        "alternating": [P - 1 if row % 2 == 0 else 1 for row in range(height)],
        "last row": [0] * (height - 1) + [P - 1],
    }[pattern]
    matrix = Matrix.from_columns([column] * 16)
    backward, forward = twin.inverse(column), twin.forward(column, 3)
    transformed = compiled.forward(matrix, 3, kernel)
    compiled.inverse(matrix, kernel)
    assert matrix == Matrix.from_columns([backward] * 16)
    assert transformed == Matrix.from_columns([forward] * 16)


@cache
def long_column(log: int) -> tuple[list[int], list[int], list[int]]:
    """Random values, their coefficients, and the values on a coset."""
    source = random.Random(log)
    values = [source.randrange(P) for _ in range(1 << log)]
    coefficients = twin.inverse(values)
    return values, coefficients, twin.forward(coefficients, 3)


@pytest.mark.parametrize("log", [11, 12, LOG_OF_TWO_PASSES, 14])
def test_long_transforms_equal_the_twin_in_a_column(kernel: str, log: int) -> None:
    column, coefficients, on_coset = long_column(log)
    matrix = Matrix.from_columns([[P - 1] * (1 << log), column])
    compiled.inverse(matrix, kernel)
    assert matrix.column(1) == coefficients
    assert matrix.column(0) == [P - 1] + [0] * ((1 << log) - 1)
    values = compiled.forward(matrix, 3, kernel)
    assert values.column(1) == on_coset
    assert values.column(0) == [P - 1] * (1 << log)


@pytest.mark.parametrize("block_log", [0, 1, 3, 4, 5, 9])
def test_blocks_are_transforms_of_their_own(kernel: str, block_log: int) -> None:
    matrix = random_rows(9, 17, seed=block_log)
    values = compiled.forward_blocks(matrix, block_log, 3, kernel)
    column, transformed = matrix.column(16), values.column(16)
    for start in range(0, 1 << 9, 1 << block_log):
        block = slice(start, start + (1 << block_log))
        assert transformed[block] == twin.forward(column[block], 3)


@pytest.mark.parametrize(
    "log", [16, *(pytest.param(log, marks=pytest.mark.slow) for log in range(17, 23))]
)
def test_kernels_agree_where_the_twin_is_slow(log: int) -> None:
    sparse = Matrix(1 << log, 16)
    for row in range(0, 1 << log, (1 << log) // 512 + 1):
        sparse.set(row, row % 16, row * 2654435761 % P)
    matrix = compiled.forward(sparse, 7, "scalar")
    results = []
    for name in compiled.available_kernels():
        coefficients = matrix.copy()
        compiled.inverse(coefficients, name)
        results.append((coefficients, compiled.forward(coefficients, 3, name)))
        assert compiled.forward(coefficients, 1, name) == matrix
    for coefficients, values in results[1:]:
        assert coefficients == results[0][0]
        assert values == results[0][1]
    # A point of the coset, by the definition.
    column = compiled.reverse_rows(results[0][0]).column(5)
    row = (1 << log) - 3
    point = 3 * pow(root(log), row, P) % P
    assert results[0][1].get(row, 5) == twin.evaluate(column, point)


def test_rows_reverse() -> None:
    for log in range(8):
        matrix = random_rows(log, 18, seed=log)
        reverse = compiled.reverse_rows(matrix)
        for row in range(1 << log):
            assert reverse.row(bit_reverse(row, log)) == matrix.row(row)
        assert reverse.column(3) == twin.reverse_rows(matrix.column(3))


def test_two_threads_make_the_same_plans_at_once() -> None:
    matrices = [random_rows(9, 16, seed=9) for _ in range(4)]
    # Sizes that no other test asks for are made here by whoever comes first.
    large = [Matrix(1 << 17, 16) for _ in range(4)]
    for matrix in large:
        matrix.set(12345, 7, 99)
    barrier = threading.Barrier(4)

    def work(index: int) -> None:
        barrier.wait()
        for matrix in (matrices[index], large[index]):
            compiled.inverse(matrix)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(matrix == matrices[0] for matrix in matrices)
    assert all(matrix == large[0] for matrix in large)
    assert matrices[0].column(2) == twin.inverse(random_rows(9, 16, seed=9).column(2))


def test_the_door_refuses() -> None:
    for height in (3, 5, (1 << 12) + 1):
        with pytest.raises(ValueError) as refusal:
            compiled.inverse(Matrix(height, 1))
        assert str(refusal.value) == f"{height} is not a power of two of at most 2^24"
    with pytest.raises(ValueError, match=r"^33554432 is not a power of two of at most 2\^24$"):
        compiled.forward(Matrix(1 << 25, 0))
    for shift in (0, P, -1, 2**32 + 1):
        with pytest.raises(ValueError, match=f"^{shift} is not the shift of a coset$"):
            compiled.forward(Matrix(4, 1), shift)
        with pytest.raises(ValueError, match=f"^{shift} is not the shift of a coset$"):
            compiled.forward_blocks(Matrix(4, 1), 1, shift)
    for height, block_log in ((4, 3), (4, -1), (1 << 13, 13)):
        with pytest.raises(ValueError, match=rf"^{height} rows are not blocks of 2\^{block_log}$"):
            compiled.forward_blocks(Matrix(height, 1), block_log)
    with pytest.raises(ValueError, match=r"^there is no kernel 'neon'$"):
        compiled.inverse(Matrix(4, 1), "neon")
    with pytest.raises(ValueError, match=r"^3 is not a power of two$"):
        twin.forward([1, 2, 3])
