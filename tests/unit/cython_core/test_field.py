"""KoalaBear: constants, the lanes of each kernel and the extension, against plain integers."""

import random
import struct
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cython_core.field import _field as compiled
from cython_core.field import _reference as twin
from cython_core.field._matrix import PANEL, Matrix

P = 2130706433
R = 2**32
ALL_KERNELS = ("scalar", "avx2", "avx512")
EDGES = (0, 1, 2, P - 1, P - 2, (P - 1) // 2, (P + 1) // 2, 1 << 24, (1 << 24) - 1, R % P)

elements = st.one_of(st.sampled_from(EDGES), st.integers(0, P - 1))
Extension: TypeAlias = twin.Extension
extensions = st.tuples(elements, elements, elements, elements, elements)


def lifted(element: Extension) -> Extension:
    """Into Montgomery form."""
    a, b, c, d, e = (value * R % P for value in element)
    return a, b, c, d, e


def pack(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def unpack(elements_bytes: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(elements_bytes) // 4}I", elements_bytes))


@pytest.fixture(params=compiled.available_kernels())
def kernel(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("name", ALL_KERNELS)
def test_this_machine_runs_the_kernel(name: str) -> None:
    if name not in compiled.available_kernels():
        pytest.skip(f"this CPU does not run {name}: no test of it ran")
    one = pack([compiled.ONE] * 16)
    assert compiled.multiply(one, one, name) == one


def test_constants_of_the_header() -> None:
    assert compiled.P == twin.P == P == 2**31 - 2**24 + 1
    assert compiled.ONE == R % P
    assert compiled.R2 == R * R % P
    assert compiled.P * compiled.MU % R == 1


def test_the_modulus_is_prime_and_three_generates() -> None:
    # Lucas: 3 has the full order p - 1 = 2^24 * 127, so p is prime.
    assert P - 1 == 2**24 * 127
    assert pow(3, P - 1, P) == 1
    assert pow(3, (P - 1) // 2, P) != 1
    assert pow(3, (P - 1) // 127, P) != 1


def test_the_polynomial_of_the_extension_is_irreducible() -> None:
    # Its degree 5 is prime: a polynomial f with X^(p^5) = X modulo f that is not X^p has factors of
    # degree 5 or 1 only, and gcd(X^p - X, f) = 1 leaves none of degree 1. That gcd is 1 exactly if
    # X^p - X has an inverse modulo f.
    x: Extension = (0, 1, 0, 0, 0)
    assert twin.xmul(twin.xpower(x, 4), x) == (1, 0, P - 1, 0, 0)
    assert twin.xpower(x, P**5) == x
    difference = twin.xsub(twin.xpower(x, P), x)
    inverse = twin.xinverse(difference)
    assert twin.xmul(difference, inverse) == twin.XONE


def test_roots_have_their_orders() -> None:
    for log in range(twin.TWO_ADICITY + 1):
        root = twin.root(log)
        assert root == pow(3, (P - 1) >> log, P)
        assert compiled.root(log) == root * R % P
        assert pow(root, 1 << log, P) == 1
        assert log == 0 or pow(root, 1 << (log - 1), P) == P - 1
    for refused in (-1, 25):
        with pytest.raises(ValueError, match=f"^there is no subgroup of order 2\\^{refused}$"):
            twin.root(refused)
    with pytest.raises(ValueError, match=r"^there is no subgroup of order 2\^25$"):
        compiled.root(25)


@given(st.integers(0, R - 1))
def test_any_word_comes_into_montgomery_form(value: int) -> None:
    element = compiled.to_montgomery(value)
    assert element == value * R % P
    assert compiled.to_plain(element) == value % P


@given(elements, st.integers(0, 2**64 - 1))
def test_powers_and_inverses(value: int, exponent: int) -> None:
    element = value * R % P
    assert compiled.power(element, exponent) == pow(value, exponent, P) * R % P
    if value == 0:
        assert compiled.inverse(0) == 0
        with pytest.raises(ZeroDivisionError):
            twin.inverse(0)
    else:
        assert twin.inverse(value) * value % P == 1
        assert compiled.inverse(element) == twin.inverse(value) * R % P


def test_every_pair_of_edges_in_every_lane(kernel: str) -> None:
    # Equality with the canonical value also says that no lane leaves [0, p).
    for shift in range(16):
        pairs = [(a, b) for a in EDGES for b in EDGES]
        pairs = pairs[shift:] + pairs[:shift]
        pairs += pairs[: -len(pairs) % 16]
        left, right = [a for a, _ in pairs], [b for _, b in pairs]
        a, b = pack(left), pack(right)
        inverse_r = pow(R, -1, P)
        expected = [x * y * inverse_r % P for x, y in pairs]
        assert unpack(compiled.multiply(a, b, kernel)) == expected
        assert unpack(compiled.add(a, b, kernel)) == [(x + y) % P for x, y in pairs]
        assert unpack(compiled.subtract(a, b, kernel)) == [(x - y) % P for x, y in pairs]


@given(st.lists(st.tuples(elements, elements), min_size=16, max_size=16))
def test_lanes_compute_as_integers_do(pairs: list[tuple[int, int]]) -> None:
    a, b = pack([x for x, _ in pairs]), pack([y for _, y in pairs])
    inverse_r = pow(R, -1, P)
    for name in compiled.available_kernels():
        product = unpack(compiled.multiply(a, b, name))
        assert product == [x * y * inverse_r % P for x, y in pairs]
        assert unpack(compiled.add(a, b, name)) == [(x + y) % P for x, y in pairs]
        assert unpack(compiled.subtract(a, b, name)) == [(x - y) % P for x, y in pairs]


def test_lanes_over_many_random_elements(kernel: str) -> None:
    source = random.Random(1)
    left = [source.randrange(P) for _ in range(4096)]
    right = [source.randrange(P) for _ in range(4096)]
    product = compiled.multiply(pack(left), pack(right), kernel)
    inverse_r = pow(R, -1, P)
    assert unpack(product) == [x * y * inverse_r % P for x, y in zip(left, right, strict=True)]
    twice = compiled.multiply(product, pack(right), kernel)
    assert compiled.multiply_repeatedly(pack(left), pack(right), kernel, 2) == twice


def test_the_door_refuses_what_is_no_array_of_elements() -> None:
    with pytest.raises(ValueError, match=f"^{P} is not an element of the field$"):
        compiled.add(pack([P] * 16), pack([0] * 16), "scalar")
    for left, right in ((bytes(64), bytes(128)), (bytes(60), bytes(60))):
        with pytest.raises(ValueError) as refusal:
            compiled.add(left, right, "scalar")
        assert str(refusal.value) == "both sides have one length, a multiple of 16 elements"
    with pytest.raises(ValueError, match=r"^there is no kernel 'neon'$"):
        compiled.add(bytes(64), bytes(64), "neon")


@given(extensions, extensions, extensions)
def test_the_extension_is_a_field(a: Extension, b: Extension, c: Extension) -> None:
    product = twin.xmul(a, b)
    assert product == twin.xmul(b, a)
    assert twin.xmul(product, c) == twin.xmul(a, twin.xmul(b, c))
    assert twin.xmul(a, twin.xadd(b, c)) == twin.xadd(product, twin.xmul(a, c))
    assert twin.xsub(twin.xadd(a, b), b) == a
    assert twin.xscale(a, b[0]) == twin.xmul(a, (b[0], 0, 0, 0, 0))
    assert twin.xfrobenius(a) == twin.xpower(a, P)
    if a != twin.XZERO:
        assert twin.xmul(a, twin.xinverse(a)) == twin.XONE


@given(extensions, extensions, st.integers(0, 2**64 - 1))
def test_the_extension_in_c_equals_the_twin(a: Extension, b: Extension, exponent: int) -> None:
    left, right = lifted(a), lifted(b)
    assert compiled.extension_add(left, right) == lifted(twin.xadd(a, b))
    assert compiled.extension_subtract(left, right) == lifted(twin.xsub(a, b))
    assert compiled.extension_multiply(left, right) == lifted(twin.xmul(a, b))
    assert compiled.extension_power(left, exponent) == lifted(twin.xpower(a, exponent))
    if a != twin.XZERO:
        assert compiled.extension_inverse(left) == lifted(twin.xinverse(a))


def test_zero_of_the_extension_has_no_inverse() -> None:
    assert compiled.extension_inverse((0, 0, 0, 0, 0)) == (0, 0, 0, 0, 0)
    with pytest.raises(ZeroDivisionError):
        twin.xinverse(twin.XZERO)


def test_bits_reverse() -> None:
    assert [twin.bit_reverse(index, 3) for index in range(8)] == [0, 4, 2, 6, 1, 5, 3, 7]
    assert twin.bit_reverse(0, 0) == 0


@given(st.integers(1, 9), st.integers(1, 35), st.randoms(use_true_random=False))
def test_a_matrix_holds_what_was_put_in(height: int, width: int, source: random.Random) -> None:
    rows = [
        [source.choice((0, P - 1, source.randrange(P))) for _ in range(width)]
        for _ in range(height)
    ]
    matrix = Matrix.from_rows(b"".join(pack(row) for row in rows), height, width)
    assert (matrix.height, matrix.width, matrix.panels) == (height, width, -(-width // PANEL))
    assert [list(matrix.row(row)) for row in range(height)] == rows
    columns = [[row[column] for row in rows] for column in range(width)]
    assert [matrix.column(column) for column in range(width)] == columns
    assert Matrix.from_columns(columns) == matrix
    assert matrix.to_bytes() == b"".join(pack(row) for row in rows)
    other = matrix.copy()
    assert other == matrix
    other.set(height - 1, width - 1, (rows[-1][-1] + 1) % P)
    assert other != matrix
    assert matrix.get(height - 1, width - 1) == rows[-1][-1]


def test_a_new_matrix_is_zero_also_when_it_is_large() -> None:
    # Above 2 MiB memory comes in huge pages of its own.
    for height, width in ((1, 1), (1 << 10, 17), (1 << 16, 40)):
        matrix = Matrix(height, width)
        assert matrix == Matrix(height, width)
        assert matrix.get(height - 1, width - 1) == 0
        assert not any(matrix.to_bytes())


def test_a_matrix_refuses_what_is_not_in_it() -> None:
    matrix = Matrix(2, 3)
    for row, column in ((2, 0), (0, 3), (-1, 0), (0, -1)):
        with pytest.raises(IndexError, match=f"^row {row}, column {column} of 2 x 3$"):
            matrix.get(row, column)
    for value in (P, -1, 2**32, 2**64):
        with pytest.raises(ValueError, match=f"^{value} is not an element of the field$"):
            matrix.set(0, 0, value)
        with pytest.raises(ValueError, match=f"^{value} is not an element of the field$"):
            Matrix.from_columns([[0], [value]])
    with pytest.raises(ValueError, match=f"^{P} is not an element of the field$"):
        Matrix.from_rows(pack([0, P]), 1, 2)
    with pytest.raises(ValueError, match=r"^2 x 3 elements have 24 bytes$"):
        Matrix.from_rows(bytes(20), 2, 3)
    with pytest.raises(ValueError, match=r"^column 1 has 1 values, not 2$"):
        Matrix.from_columns([[1, 2], [1]])
    with pytest.raises(ValueError, match=r"^a matrix from columns needs one$"):
        Matrix.from_columns([])
    for height, width in ((0, 1), (-1, 1), (1, -1)):
        with pytest.raises(ValueError) as refusal:
            Matrix(height, width)
        assert str(refusal.value) == f"there is no matrix of {height} rows and {width} columns"
    with pytest.raises(MemoryError):
        Matrix(1 << 61, 16)


def test_a_matrix_may_have_no_columns() -> None:
    matrix = Matrix(4, 0)
    assert (matrix.panels, matrix.row(3), matrix.to_bytes()) == (0, (), b"")
    assert matrix == matrix.copy()
    assert matrix != object()
