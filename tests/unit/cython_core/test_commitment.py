"""Commitments: every kernel, the twin, the public BLAKE3, and openings that are wrong."""

import random
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise

import blake3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cython_core import commitment as compiled
from cython_core.commitment import _reference as reference
from cython_core.commitment.positions import missing_siblings, rows_of
from cython_core.commitment.reader import Reader
from cython_core.commitment.verify import padded, verify
from cython_core.field import Matrix, P, bit_reverse
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.transcript.keys import KEY_INJECT, KEY_NODE, KEY_ROW

ALL_KERNELS = ("scalar", "avx2", "avx512")
Rows = list[list[int]]
Tree = compiled.CommitmentTree | reference.CommitmentTree
Commit = Callable[[Sequence[Rows]], Tree]
SHAPES = [(4, 3), (2, 17), (4, 20), (0, 1), (5, 2)]
"""(log2 of the height, width): several of one height, of one row, and the widest not first."""


@pytest.fixture(params=compiled.available_kernels())
def kernel(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=("reference", *compiled.available_kernels()))
def commit(request: pytest.FixtureRequest) -> Commit:
    name: str = request.param
    if name == "reference":
        return reference.commit_matrices
    return lambda matrices: compiled.commit_matrices([matrix_of(rows) for rows in matrices], name)


def matrix_of(rows: Rows) -> Matrix:
    encoded = b"".join(value.to_bytes(4, "little") for row in rows for value in row)
    return Matrix.from_rows(encoded, len(rows), len(rows[0]))


def random_rows(source: random.Random, height: int, width: int) -> Rows:
    special = (0, 1, P - 1, P // 2)
    return [
        [
            source.choice(special) if source.random() < 0.2 else source.randrange(P)
            for _ in "x" * width
        ]
        for _ in range(height)
    ]


def row_hash(row: Sequence[int]) -> bytes:
    return blake3.blake3(padded(tuple(row)), key=KEY_ROW).digest()


@pytest.mark.parametrize("kernel", ALL_KERNELS)
def test_this_machine_runs_the_kernel(kernel: str) -> None:
    # The other tests run over what the CPU has; this one says in the summary what they left out.
    if kernel not in compiled.available_kernels():
        pytest.skip(f"this CPU does not run {kernel}: no test of it ran")
    assert compiled.commit_matrices([Matrix(1, 1)], kernel).root == row_hash([0])


@pytest.mark.parametrize("blocks", [*range(1, 41), 48, 49, 64, 65, 113, 129])
def test_rows_of_any_number_of_blocks(kernel: str, blocks: int) -> None:
    # Up to 16 blocks are one chunk; 129 blocks make nine, so that three subtrees wait at once.
    source = random.Random(blocks)
    height = 32 if blocks <= 40 else 16
    rows = random_rows(source, height, 16 * blocks - source.randrange(16))
    hasher = compiled.RowHasher(height, blocks, kernel=kernel)
    hasher.absorb(matrix_of(rows))
    assert hasher.digests() == b"".join(row_hash(row) for row in rows)


@pytest.mark.parametrize("height", [1, 2, 4, 8, 16, 64])
@pytest.mark.parametrize("blocks", [1, 3, 35])
def test_panel_by_panel_and_rows_in_any_parts(kernel: str, height: int, blocks: int) -> None:
    source = random.Random(height + blocks)
    rows = random_rows(source, height, 16 * blocks)
    hasher = compiled.RowHasher(height, blocks, kernel=kernel)
    cuts = sorted({0, height, *(source.randrange(height + 1) for _ in range(3))})
    parts = list(pairwise(cuts))
    for block in range(blocks):
        source.shuffle(parts)
        for start, end in parts:
            panel = matrix_of([row[16 * block : 16 * block + 16] for row in rows[start:end]])
            hasher.absorb(panel, block, start)
    assert hasher.digests() == b"".join(row_hash(row) for row in rows)


@pytest.mark.parametrize("coset_log", [0, 1, 2, 3])
@pytest.mark.parametrize("log", [3, 4, 6, 7, 9])
def test_cosets_in_natural_order_go_to_their_positions(
    kernel: str, log: int, coset_log: int
) -> None:
    height, n = 1 << log, 1 << (log - coset_log)
    hasher = compiled.RowHasher(height, 1, coset_log, kernel)
    hasher.absorb(matrix_of([[row] for row in range(height)]))
    digests = hasher.digests()
    for row in range(height):
        coset, inner = divmod(row, n)
        # The row's point is g^(coset + inner * 2^coset_log) for the generator g of the domain.
        position = bit_reverse(coset + (inner << coset_log), log)
        assert position == bit_reverse(coset, coset_log) * n + bit_reverse(inner, log - coset_log)
        assert digests[32 * position : 32 * position + 32] == row_hash([row])


def test_two_threads_absorb_different_rows(kernel: str) -> None:
    # Cosets of 8 rows share a group of 16 lanes: neither thread may touch the other's.
    source = random.Random(3)
    rows = random_rows(source, 16, 16 * 20)
    for _ in range(20):
        hasher = compiled.RowHasher(16, 20, kernel=kernel)

        def work(start: int, hasher: compiled.RowHasher = hasher) -> None:
            for block in range(20):
                part = [row[16 * block : 16 * block + 16] for row in rows[start : start + 8]]
                hasher.absorb(matrix_of(part), block, start)

        threads = [threading.Thread(target=work, args=(start,)) for start in (0, 8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert hasher.digests() == b"".join(row_hash(row) for row in rows)


def test_bad_shapes_are_refused() -> None:
    for rows in (0, 3, -1, 1 << 27):
        with pytest.raises(ValueError, match=rf"2\^0 to 2\^26 rows, not {rows}"):
            compiled.RowHasher(rows, 1)
    for blocks in (0, 4097):
        with pytest.raises(ValueError, match=f"a row has 1 to 4096 blocks, not {blocks}"):
            compiled.RowHasher(2, blocks)
    with pytest.raises(ValueError, match=r"2 rows do not make 2\^2 cosets"):
        compiled.RowHasher(2, 1, 2)
    with pytest.raises(ValueError, match="there is no kernel 'neon'"):
        compiled.RowHasher(2, 1, kernel="neon")
    hasher = compiled.RowHasher(4, 2)
    for block, row in ((1, 0), (-1, 0)):
        with pytest.raises(ValueError, match="of 2"):
            hasher.absorb(Matrix(2, 17), block, row)
    for row in (3, -1):
        with pytest.raises(ValueError, match="of 4"):
            hasher.absorb(Matrix(2, 17), 0, row)
    with pytest.raises(RuntimeError, match="a row hasher starts once"):
        hasher.__init__(2, 1)  # type: ignore[misc]
    with pytest.raises(ValueError, match="a matrix without columns cannot be committed to"):
        compiled.commit_matrices([Matrix(2, 0)])
    with pytest.raises(ValueError, match="a commitment is to one matrix at least"):
        compiled.commit_matrices([])
    with pytest.raises(ValueError, match=r"2\^1 digests have 64 bytes, not 32"):
        compiled.CommitmentTree.from_digests({1: bytes(32)})
    with pytest.raises(ValueError, match=r"a hasher of 4 rows stands for 2\^1"):
        compiled.CommitmentTree.from_digests({1: hasher})
    with pytest.raises(TypeError, match="a tree comes from commit_matrices"):
        compiled.CommitmentTree()


def test_the_definition_by_hand(commit: Commit) -> None:
    wide, narrow, single = [[1, 2], [3, 4]], [[5], [6]], [[7]]
    leaves = [
        blake3.blake3(padded((*row,)) + padded((*other,)), key=KEY_ROW).digest()
        for row, other in zip(wide, narrow, strict=True)
    ]
    node = blake3.blake3(leaves[0] + leaves[1], key=KEY_NODE).digest()
    root = blake3.blake3(node + row_hash([7]), key=KEY_INJECT).digest()
    tree = commit([wide, single, narrow])
    assert tree.root == root
    position = tree.open_rows([1], 1)
    words = b"".join(value.to_bytes(4, "little") for value in (3, 4, 7, 6))
    assert position == words + leaves[0]
    # Of a domain four times as large, positions 0 to 3 are row 0 and nothing is shown twice.
    words = b"".join(value.to_bytes(4, "little") for value in (1, 2, 7, 5))
    assert tree.open_rows([3, 0, 2, 3], 3) == words + leaves[1]


def test_twin_and_kernels_agree(commit: Commit) -> None:
    source = random.Random(4)
    matrices = [random_rows(source, 1 << log, width) for log, width in SHAPES]
    expected, tree = reference.commit_matrices(matrices), commit(matrices)
    assert tree.root == expected.root
    assert tree.log == expected.log == 5
    for count in (1, 2, 5, 40):
        positions = [source.randrange(1 << 7) for _ in range(count)]
        assert tree.open(positions, 7) == expected.open(positions, 7)
        assert tree.open_rows(positions, 7) == expected.open_rows(positions, 7)


def test_large_trees_agree_with_the_scalar_kernel(kernel: str) -> None:
    # Levels of more than one chunk of the injection and of the many-lane hash.
    source = random.Random(5)
    matrices = [
        Matrix.from_rows(
            b"".join(source.randrange(P).to_bytes(4, "little") for _ in range(height * 2)),
            height,
            2,
        )
        for height in (1 << 10, 1 << 9, 1 << 3)
    ]
    tree = compiled.commit_matrices(matrices, kernel)
    expected = compiled.commit_matrices(matrices, "scalar")
    for level in range(11):
        for index in range(1 << level):
            assert tree.node(level, index) == expected.node(level, index)


def test_tree_from_digests_and_from_hashers(kernel: str) -> None:
    source = random.Random(6)
    tall, low = random_rows(source, 16, 5), random_rows(source, 4, 5)
    expected = compiled.commit_matrices([matrix_of(tall), matrix_of(low)])
    hashers = {}
    for log, rows in ((4, tall), (2, low)):
        hashers[log] = compiled.RowHasher(1 << log, 1, kernel=kernel)
        hashers[log].absorb(matrix_of(rows))
    tree = compiled.CommitmentTree.from_digests(hashers, kernel)
    assert tree.root == expected.root
    digests = {log: bytearray(hasher.digests()) for log, hasher in hashers.items()}
    assert compiled.CommitmentTree.from_digests(digests).root == expected.root
    assert tree.open([3, 9], 4) == expected.open([3, 9], 4)
    with pytest.raises(ValueError, match="the tree was built from digests: it has no rows"):
        tree.open_rows([3], 4)
    with pytest.raises(IndexError, match="there is no node 4 of level 2"):
        tree.node(2, 4)


def test_positions_outside_of_the_domain_are_refused() -> None:
    tree = compiled.commit_matrices([Matrix(4, 1)])
    for position in (-1, 8):
        with pytest.raises(ValueError, match=rf"{position} is no position of a domain of 2\^3"):
            tree.open([position], 3)
    with pytest.raises(ValueError, match=r"a domain of 2\^1 points has no 2\^2 rows"):
        tree.open([0], 1)


def test_which_rows_and_siblings() -> None:
    assert rows_of([9, 8, 3, 9], 4, 3) == [1, 4]
    assert rows_of([9, 8, 3], 4, 0) == [0]
    assert missing_siblings([0, 1, 2, 7]) == [3, 6]


@given(
    shapes=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 18)), min_size=1, max_size=5),
    extra=st.integers(0, 3),
    seed=st.integers(0, 1 << 30),
    count=st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_openings_verify(shapes: list[tuple[int, int]], extra: int, seed: int, count: int) -> None:
    source = random.Random(seed)
    matrices = [random_rows(source, 1 << log, width) for log, width in shapes]
    tree = compiled.commit_matrices([matrix_of(rows) for rows in matrices])
    domain_log = max(log for log, _ in shapes) + extra
    positions = [source.randrange(1 << domain_log) for _ in range(count)]
    reader = Reader(tree.open_rows(positions, domain_log))
    opened = verify(tree.root, shapes, positions, domain_log, reader)
    reader.finish()
    for rows, found, (log, _) in zip(matrices, opened, shapes, strict=True):
        wanted = {position >> (domain_log - log) for position in positions}
        assert found == {row: tuple(rows[row]) for row in wanted}


def opening_under_attack() -> tuple[bytes, bytes, list[int]]:
    source = random.Random(7)
    matrices = [random_rows(source, 1 << log, width) for log, width in SHAPES]
    tree = reference.commit_matrices(matrices)
    positions = [3, 77, 78, 120]
    return tree.root, tree.open_rows(positions, 7), positions


def test_every_changed_byte_is_rejected() -> None:
    root, opening, positions = opening_under_attack()
    for index in range(len(opening)):
        changed = bytearray(opening)
        changed[index] ^= 1 << (index % 8)
        with pytest.raises(InvalidProof) as caught:
            verify(root, SHAPES, positions, 7, Reader(bytes(changed)))
        assert caught.value.reason in {Reason.BAD_OPENING, Reason.NOT_CANONICAL}


def test_every_truncation_is_rejected() -> None:
    root, opening, positions = opening_under_attack()
    for length in range(len(opening)):
        with pytest.raises(InvalidProof) as caught:
            verify(root, SHAPES, positions, 7, Reader(opening[:length]))
        assert caught.value.reason is Reason.TRUNCATED


def test_other_positions_shapes_and_roots_are_rejected() -> None:
    root, opening, positions = opening_under_attack()
    # A position that belongs to the same row of every matrix is the same opening.
    assert verify(root, SHAPES, [3, 77, 78, 121], 7, Reader(opening))
    swapped = [SHAPES[2], SHAPES[1], SHAPES[0], *SHAPES[3:]]
    cases = [
        (root, SHAPES, [7, 77, 78, 120]),
        (root, SHAPES, [3, 77, 78, 124]),
        (root, swapped, positions),
        (root, [(4, 4), *SHAPES[1:]], positions),
        (bytes(32), SHAPES, positions),
    ]
    for case_root, shapes, case_positions in cases:
        with pytest.raises(InvalidProof):
            verify(case_root, shapes, case_positions, 7, Reader(opening))


def test_elements_above_the_field_are_rejected() -> None:
    root, opening, positions = opening_under_attack()
    for value in (P, P + 1, 2**32 - 1):
        changed = value.to_bytes(4, "little") + opening[4:]
        with pytest.raises(InvalidProof, match=f"not-canonical: {value} at offset 0"):
            verify(root, SHAPES, positions, 7, Reader(changed))


def test_reader_is_strict() -> None:
    reader = Reader(bytes(range(13)))
    assert (reader.u32(), reader.u64(), reader.remaining) == (0x03020100, 0x0B0A090807060504, 1)
    with pytest.raises(InvalidProof, match="trailing-bytes: 1 bytes after the proof"):
        reader.finish()
    with pytest.raises(InvalidProof, match="truncated: 32 bytes at offset 12, 1 are left"):
        reader.digest()
    assert reader.take(1) == b"\x0c"
    reader.finish()
