"""The trace tree: the builder in C against the twin, openings against all but the truth."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from cython_core.hash import available_kernels
from cython_core.vm import _tree, tree
from cython_core.vm._tree import TraceTree
from cython_core.vm.committed import commit, open_rows
from cython_core.vm.operations import WIDE
from cython_core.vm.program import load_elf
from cython_core.vm.records import PAD_ROW, Line, NarrowRow, Row, WideRow, encode_rows
from cython_core.vm.run import trace
from cython_core.vm.tree import (
    DIGIT_SUM,
    NONCES,
    PARTS,
    GroupTree,
    MalformedOpening,
    OpenedRow,
    Opening,
    Shape,
    Tree,
    View,
    decode_opening,
    digit_sum,
    implied_root,
    nonce_salt,
    opens,
    root_under,
    trace_root,
)

ROOT = Path(__file__).parents[3]
VECTORS = json.loads((ROOT / "tests/vectors/trace_tree.json").read_text(encoding="utf-8"))["trace"]
EXAMPLE = ROOT / "cython_core/guest/example/hash.elf"
INPUT = (2).to_bytes(4, "little") + bytes(range(128))
SALT = bytes(range(100, 116))
NARROW_OPS = [op for op in range(256) if op not in WIDE]
SHAPES = (Shape(1, 1), Shape(3, 1), Shape(2, 2), Shape(5, 3), Shape(1, 6), Shape(2, 7))
"""A chunk of the builder has 4^6 leaves: groups below, of one and of several."""


def word(rng: random.Random) -> int:
    return rng.getrandbits(32)


def words(rng: random.Random, count: int) -> tuple[int, ...]:
    return tuple(word(rng) for _ in range(count))


def line(rng: random.Random) -> Line:
    return Line(word(rng), words(rng, 8), tuple(rng.getrandbits(24) for _ in range(8)))


def random_row(rng: random.Random, wide_share: float) -> Row:
    if rng.random() >= wide_share:
        return NarrowRow(rng.choice(NARROW_OPS), *rng.randbytes(3), *words(rng, 12))
    op = rng.choice(sorted(WIDE))
    lines = (line(rng), line(rng), line(rng))
    return WideRow(op, *rng.randbytes(3), *words(rng, 7), words(rng, 8), *lines)


def random_rows(rng: random.Random, count: int, wide_share: float = 0.2) -> list[Row]:
    return [random_row(rng, wide_share) for _ in range(count)]


def in_pieces(rng: random.Random, rows: Sequence[Row]) -> list[tuple[bytes, bytes]]:
    pieces, at = [], 0
    while at < len(rows):
        size = rng.choice((1, 15, 16, 17, 100, len(rows)))
        pieces.append(encode_rows(list(rows[at : at + size])))
        at += size
    return pieces


def built(shape: Shape, pieces: Sequence[tuple[bytes, bytes]], kernel: str = "auto") -> TraceTree:
    made = TraceTree(shape.groups, shape.depth, SALT, DIGIT_SUM, kernel=kernel)
    for piece in pieces:
        made.absorb(*piece)
    made.finish()
    return made


def border_counts(shape: Shape) -> list[int]:
    """Numbers of rows with which the last row, or the one after it, is first or last of a group."""
    size = shape.group_slots
    if size > 4096:
        return [size - 1, shape.capacity - 1]
    near = {0, 1, 2, size - 3, size - 2, size - 1, size, 2 * size - 2, 2 * size - 1, 2 * size}
    near |= {shape.capacity - 2, shape.capacity - 1}
    return sorted(count for count in near if 0 <= count < shape.capacity)


def test_constants_of_both_sides_are_the_same() -> None:
    assert (_tree.DIGEST_BYTES, _tree.DEPTH_MAX, _tree.NONCES) == (16, tree.DEPTH_MAX, NONCES)
    assert DIGIT_SUM == 240


def test_a_tree_by_words() -> None:
    """Trace.md 1.1, spelled out for four slots: PAD, a narrow row, a wide row, PAD."""
    rng = random.Random(1)
    narrow, wide = random_row(rng, 0), random_row(rng, 1)
    key = SALT + bytes(16)
    pad = blake3(PAD_ROW.encode() + bytes(12), key=key).digest()[:16]
    first = blake3(narrow.encode() + bytes(12), key=key).digest()[:16]
    record = wide.encode()
    parts = [blake3(record[at : at + 64], key=key).digest()[:16] for at in range(0, 256, 64)]
    second = blake3(b"".join(parts)).digest()[:16]
    for nonce in range(NONCES):
        own = blake3(SALT + nonce.to_bytes(4, "little")).digest()[:16]
        last = blake3(PAD_ROW.encode() + bytes(12), key=own + bytes(16)).digest()[:16]
        root = blake3(pad + first + second + last).digest()[:16]
        if sum(int(digit, 16) for digit in root.hex()) == 240:
            break
    made = Tree(Shape(1, 1), SALT, [narrow, wide])
    assert (made.roots, made.nonces) == ((root,), (nonce,))
    assert trace_root(made.roots) == blake3(root).digest()


@pytest.mark.parametrize("kernel", available_kernels())
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_builder_and_twin_agree_at_borders(shape: Shape, kernel: str) -> None:
    rng = random.Random(f"{shape}")
    for count in border_counts(shape):
        share = rng.choice((0, 0.2, 1)) if count < 1000 else 0.02
        rows = random_rows(rng, count, share)
        twin = Tree(shape, SALT, rows)
        made = built(shape, in_pieces(rng, rows) if count < 1000 else [encode_rows(rows)], kernel)
        assert (made.roots, made.nonces) == (twin.roots, twin.nonces), count


@given(
    groups=st.integers(1, 6),
    depth=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    share=st.sampled_from((0.0, 0.3, 1.0)),
    target=st.integers(225, 255),
    chosen=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_builder_and_twin_agree(
    groups: int, depth: int, seed: int, share: float, target: int, chosen: st.DataObject
) -> None:
    shape, rng = Shape(groups, depth), random.Random(seed)
    rows = random_rows(rng, chosen.draw(st.integers(0, shape.capacity - 1)), share)
    pieces = in_pieces(rng, rows)
    twin = Tree(shape, SALT, rows, target)
    commitment = commit(shape, SALT, pieces, digit_sum=target)
    assert (commitment.roots, commitment.nonces) == (twin.roots, twin.nonces)
    assert {digit_sum(root) for root in twin.roots} == {target}
    index = chosen.draw(st.integers(0, shape.capacity - 1))
    opened = open_rows(commitment, pieces, [index], digit_sum=target)
    assert opened == [twin.open_row(index)]
    for view in views_of(opened[0]):
        opening = opened[0].opening(view)
        assert opens(shape, SALT, commitment.roots, opening)
        assert decode_opening(opening.encode()) == opening


def test_the_nonce_is_the_smallest() -> None:
    made = Tree(Shape(1, 2), SALT, random_rows(random.Random(2), 15)).groups[0]
    opening = Tree(Shape(1, 2), SALT, made.rows[1:]).open_row(15).opening()
    sums = [
        digit_sum(implied_root(SALT, replace(opening, nonce=nonce)))
        for nonce in range(made.nonce + 1)
    ]
    assert DIGIT_SUM not in sums[:-1]
    assert sums[-1] == DIGIT_SUM == digit_sum(made.root)


def test_groups_of_padding_are_alike() -> None:
    shape = Shape(7, 4)
    made = built(shape, [encode_rows(random_rows(random.Random(3), 2 * shape.group_slots))])
    assert len(set(made.roots)) == 4
    assert len(set(made.roots[3:])) == 1
    assert built(shape, []).roots == (made.roots[3],) * 7


def views_of(opened: OpenedRow) -> tuple[View, ...]:
    return (View.NARROW,) if isinstance(opened.row, NarrowRow) else (*PARTS, View.WIDE)


@pytest.mark.parametrize("shape", [Shape(3, 2), Shape(2, 3)], ids=str)
@pytest.mark.parametrize("share", [0, 0.4, 1])
def test_every_slot_opens(shape: Shape, share: float) -> None:
    rng = random.Random(f"{shape}{share}")
    for count in (0, shape.group_slots + 3, shape.capacity - 1):
        rows = random_rows(rng, count, share)
        twin, pieces = Tree(shape, SALT, rows), in_pieces(rng, rows)
        commitment = commit(shape, SALT, pieces)
        slots = range(shape.capacity)
        together = open_rows(commitment, pieces, slots)
        for index in slots:
            (alone,) = open_rows(commitment, pieces, [index])
            assert alone == together[index] == twin.open_row(index)
            assert alone.row == ([PAD_ROW, *rows][index] if index <= count else PAD_ROW)
            for view in views_of(alone):
                assert opens(shape, SALT, commitment.roots, alone.opening(view))


def test_slots_of_long_groups_open() -> None:
    """Groups of several chunks: rows in one, in the next, in padding, at the ends."""
    shape, rng = Shape(3, 7), random.Random(4)
    rows = random_rows(rng, shape.group_slots + 5000, 0.01)
    pieces = [encode_rows(rows)]
    commitment, twin = commit(shape, SALT, pieces), Tree(shape, SALT, rows)
    size = shape.group_slots
    indices = [shape.capacity - 1, 0, 1, 4095, 4096, size - 1, size, size + 5000, size + 5001,
               size + 8192, 2 * size - 4, 2 * size - 1, 2 * size, 2 * size + 4096]  # fmt: skip
    assert open_rows(commitment, pieces, indices) == [twin.open_row(index) for index in indices]


def some_tree() -> Tree:
    """A wide row in a last slot, another group that ends in PAD, one that is PAD."""
    rng = random.Random(5)
    rows = [random_row(rng, share) for share in (0, 1, *[0.5] * 12, 1, *[0] * 9)]
    assert isinstance(rows[14], WideRow)
    return Tree(Shape(3, 2), SALT, rows)


def some_openings() -> tuple[Shape, tuple[bytes, ...], list[Opening]]:
    """Of a narrow, a wide, a last, and PAD slots, in all views."""
    made = some_tree()
    opened = [made.open_row(index) for index in (1, 2, 15, 16, 40, 47)]
    openings = [row.opening(view) for row in opened for view in views_of(row)]
    return made.shape, made.roots, openings


def test_nothing_else_opens() -> None:
    shape, roots, openings = some_openings()
    for opening in openings:
        encoded = opening.encode()
        assert opens(shape, SALT, roots, opening)
        for at in range(len(encoded)):
            changed = bytearray(encoded)
            changed[at] ^= 1 << at % 8
            try:
                other = decode_opening(bytes(changed))
            except MalformedOpening:
                continue
            assert other != opening
            assert not opens(shape, SALT, roots, other), (opening.view, at)


def test_moved_openings_are_refused() -> None:
    """Unless the same record stands there with the same siblings, as in padding."""
    made = some_tree()
    shape, roots, openings = some_openings()
    for opening in openings:
        is_pad = opening.index > len(made.rows)
        for index in range(-1, shape.capacity + 2):
            for nonce in {0, opening.nonce}:
                moved = replace(opening, index=index, nonce=nonce)
                is_true = 0 <= index < shape.capacity and (
                    opening.view in views_of(made.open_row(index))
                    and made.open_row(index).opening(opening.view) == moved
                )
                assert is_true <= (index == opening.index or is_pad)
                assert opens(shape, SALT, roots, moved) == is_true, (opening.view, index)


def test_padding_opens_where_it_is_alike() -> None:
    """Groups of nothing but PAD are the same tree: the path of a slot is that of its likes."""
    shape = Shape(4, 2)
    made = Tree(shape, SALT, [])
    opening = made.open_row(17).opening()
    assert opens(shape, SALT, made.roots, replace(opening, index=33))
    assert opens(shape, SALT, made.roots, replace(opening, index=18))
    assert not opens(shape, SALT, made.roots, replace(opening, index=29))


def test_other_salts_roots_and_shapes_are_refused() -> None:
    shape, roots, openings = some_openings()
    for opening in openings:
        for at in range(16):
            salt = bytearray(SALT)
            salt[at] ^= 1
            assert not opens(shape, bytes(salt), roots, opening)
        assert not opens(shape, SALT, roots[1:] + roots[:1], opening)
        assert not opens(Shape(3, 3), SALT, roots, opening)
        assert not opens(shape, SALT, roots, replace(opening, nonce=opening.nonce + 1))
        assert not opens(shape, SALT, roots, replace(opening, siblings=opening.siblings[1:]))
        assert not opens(shape, SALT, roots, replace(opening, siblings=()))
        assert not opens(shape, SALT, roots, replace(opening, content=opening.content[:-1]))
        doubled = replace(opening, siblings=(opening.siblings[0], *opening.siblings))
        assert not opens(shape, SALT, roots, doubled)


def test_a_node_is_no_record() -> None:
    """One level less with a node's children as its content: refused by depth, and by the key."""
    shape, roots, openings = some_openings()
    wide = next(opening for opening in openings if opening.view is View.WIDE)
    parts = b"".join(tree.leaf(wide.content[at : at + 64], SALT) for at in range(0, 256, 64))
    for view in (View.HEAD, View.NARROW):
        short = replace(wide, view=view, content=parts)
        assert not opens(shape, SALT, roots, short)


def test_openings_have_one_spelling() -> None:
    _, _, openings = some_openings()
    for opening in openings:
        encoded = opening.encode()
        levels = 48 * (2 + (opening.view in PARTS))
        assert len(encoded) == 10 + tree.CONTENT_BYTES[opening.view] + levels
        assert encoded[:2] == bytes([opening.view, 2])
        assert encoded[2:6] == opening.index.to_bytes(4, "little")
        assert encoded[6:10] == opening.nonce.to_bytes(4, "little")
        for wrong in (encoded[:-1], encoded + b"\0", encoded[:9], b"", encoded + bytes(48)):
            with pytest.raises(MalformedOpening):
                decode_opening(wrong)


@pytest.mark.parametrize(
    ("at", "content", "message"),
    [
        (0, b"\6", "there is no view 6"),
        (1, b"\0", "an opening is longer or shorter than it says"),
        (2, (1 << 24).to_bytes(4, "little"), "an opening has a depth"),
        (6, b"\1", "an opening has a depth"),
    ],
)
def test_what_no_opening_has(at: int, content: bytes, message: str) -> None:
    opening = Tree(Shape(1, 2), SALT, []).open_row(1).opening()
    encoded = bytearray(opening.encode())
    encoded[at : at + len(content)] = content
    with pytest.raises(MalformedOpening, match=message):
        decode_opening(bytes(encoded))


def test_bounds_of_openings() -> None:
    """The last slot of the deepest and largest tree has the largest index."""
    path = (bytes(48),) * 12
    largest = Opening(View.NARROW, (1 << 24) - 1, NONCES - 1, bytes(52), path)
    assert decode_opening(largest.encode()) == largest
    for wrong in (
        replace(largest, nonce=NONCES),
        replace(largest, index=1 << 24),
        replace(largest, siblings=(bytes(48),) * 13),
        replace(largest, siblings=()),
    ):
        with pytest.raises(MalformedOpening):
            decode_opening(wrong.encode())


@given(st.binary(max_size=400))
def test_garbage_is_no_opening_or_canonical(garbage: bytes) -> None:
    try:
        opening = decode_opening(garbage)
    except MalformedOpening:
        return
    assert opening.encode() == garbage


def test_other_spellings_of_lines_are_refused() -> None:
    _, _, openings = some_openings()
    for opening in openings:
        for end in range(64, len(opening.content) + 1, 64):
            if opening.view is View.HEAD or (opening.view is View.WIDE and end == 64):
                continue
            content = bytearray(opening.content)
            content[end - 1] = 1
            with pytest.raises(MalformedOpening):
                decode_opening(replace(opening, content=bytes(content)).encode())


def test_a_row_has_its_views_only() -> None:
    made = Tree(Shape(1, 2), SALT, random_rows(random.Random(6), 1, 0))
    for view in set(View) - {View.NARROW}:
        with pytest.raises(ValueError, match=f"row 1 has no view {view.name}"):
            made.open_row(1).opening(view)


def test_cheats_can_be_opened() -> None:
    """A tree of rows that no machine writes: a wide operation in a narrow leaf, and the reverse."""
    rng = random.Random(7)
    narrow = NarrowRow(min(WIDE), *rng.randbytes(3), *words(rng, 12))
    wide = random_row(rng, 1)
    assert isinstance(wide, WideRow)
    rows = [narrow, wide._replace(op=1)]
    made = Tree(Shape(1, 1), SALT, rows)
    for index, row in enumerate(rows, 1):
        opening = made.open_row(index).opening()
        assert opens(made.shape, SALT, made.roots, opening)
        assert opening.row() == row


def test_a_slot_under_another_salt_can_be_shown() -> None:
    """A signer who gives the last slot a salt of his own signs a tree that `opens` refuses."""
    made, other = Tree(Shape(1, 1), SALT, []), bytes(16)
    opening = made.open_row(3).opening()
    root = root_under(other, opening)
    key = other + bytes(16)
    last = blake3(PAD_ROW.encode() + bytes(12), key=key).digest()[:16]
    assert root == blake3(opening.siblings[0] + last).digest()[:16]
    assert root_under(made.open_row(3).own_salt, opening) == made.roots[0]
    assert not opens(made.shape, SALT, [root], opening)


ROWS = random_rows(random.Random(8), 20, 0.5)
SLOTS, RECORDS = encode_rows(ROWS)
FIRST_WIDE = next(at for at, row in enumerate(ROWS) if isinstance(row, WideRow))
MISMATCH = "a row and its wide record differ, or one is missing or left over"


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x80]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("slots", "records", "message"),
    [
        (SLOTS[:-1], RECORDS, "rows end in the middle of a record"),
        (SLOTS, RECORDS[:-1], "rows end in the middle of a record"),
        (SLOTS, RECORDS[:-256], MISMATCH),
        (SLOTS, RECORDS + bytes(256), MISMATCH),
        (flipped(SLOTS, 52 * FIRST_WIDE + 31), RECORDS, MISMATCH),
        (flipped(SLOTS, 52 * FIRST_WIDE + 32), RECORDS, MISMATCH),
        (flipped(SLOTS, 52 * FIRST_WIDE + 51), RECORDS, MISMATCH),
        (SLOTS, flipped(RECORDS, 31), MISMATCH),
        (SLOTS, flipped(RECORDS, 124), MISMATCH),
        (SLOTS, flipped(RECORDS, 191), MISMATCH),
        (SLOTS, flipped(RECORDS, 255), MISMATCH),
        (SLOTS * 4, RECORDS * 4, "there are more rows than slots"),
    ],
)
def test_what_is_no_piece_of_rows(slots: bytes, records: bytes, message: str) -> None:
    made = TraceTree(1, 3, SALT, DIGIT_SUM)
    with pytest.raises(ValueError, match=message):
        made.absorb(slots, records)
    if "middle" not in message:
        with pytest.raises(ValueError, match="the tree is busy, finished or broken"):
            made.absorb(SLOTS, RECORDS)


@pytest.mark.parametrize(("groups", "depth"), [(0, 1), (1, 0), (1, 13), (65, 9), (1 << 23, 1)])
def test_shapes_are_bounded(groups: int, depth: int) -> None:
    for make in (Shape, lambda *shape: TraceTree(*shape, SALT, DIGIT_SUM)):
        with pytest.raises(ValueError, match="a tree has at most 2\\^24 slots and a depth"):
            make(groups, depth)


def test_parameters_are_bounded() -> None:
    for watched in ([2, 1], [1, 1], list(range(5000))):
        with pytest.raises(ValueError, match="watched slots ascend, and there are at most 4,096"):
            TraceTree(1, 2, SALT, DIGIT_SUM, watched)
    for watched in ([-1], [16]):
        with pytest.raises(ValueError, match="a watched slot is outside the tree"):
            TraceTree(1, 2, SALT, DIGIT_SUM, watched)
    with pytest.raises(ValueError, match="a salt has 16 bytes"):
        TraceTree(1, 2, SALT + b"\0", DIGIT_SUM)
    with pytest.raises(ValueError, match="a salt has 16 bytes"):
        Tree(Shape(1, 1), b"", [])
    with pytest.raises(ValueError, match="there is no kernel 'neon'"):
        TraceTree(1, 2, SALT, DIGIT_SUM, kernel="neon")
    with pytest.raises(ValueError, match="there are more rows than slots"):
        Tree(Shape(1, 1), SALT, random_rows(random.Random(9), 4))


def test_a_tree_is_read_when_it_is_finished() -> None:
    made = TraceTree(1, 2, SALT, DIGIT_SUM, [3])
    for read in (lambda: made.roots, lambda: made.nonces, lambda: made.path(0)):
        with pytest.raises(ValueError, match="the tree is not finished"):
            read()
    made.finish()
    assert made.record(0) == (PAD_ROW.encode().ljust(256, b"\0"), False)
    assert len(made.path(0)) == 128
    with pytest.raises(IndexError, match="there is no such watched slot"):
        made.path(1)
    with pytest.raises(ValueError, match="the tree is busy, finished or broken"):
        made.finish()


def test_a_digit_sum_that_no_root_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(_tree.Unreachable, match="no nonce below 1,048,576 gives a root its digit"):
        TraceTree(1, 1, SALT, 481).finish()
    monkeypatch.setattr(tree, "NONCES", 100)
    with pytest.raises(tree.Unreachable, match="no nonce below 100 gives a root its digit sum"):
        GroupTree([], 1, SALT, 481)


class Stopped(Exception):
    """What a progress callback raises to end the work."""


def test_progress_is_told_and_can_end_the_work() -> None:
    pieces = [(SLOTS, RECORDS)] * 3
    heard: list[int] = []
    commit(Shape(1, 3), SALT, pieces, heard.append)
    assert heard == [20, 40, 60]

    def stop(rows: int) -> None:
        if rows == 40:
            raise Stopped

    with pytest.raises(Stopped):
        commit(Shape(1, 3), SALT, pieces, stop)


def test_other_rows_are_not_opened() -> None:
    commitment = commit(Shape(1, 3), SALT, [(SLOTS, RECORDS)])
    with pytest.raises(ValueError, match="these are not the rows that were committed to"):
        open_rows(commitment, [(SLOTS[52 * 20 :], b"")], [1])


def test_the_pinned_trees() -> None:
    program = load_elf(EXAMPLE.read_bytes())
    salt = bytes.fromhex(VECTORS["salt"])
    for number, digest in VECTORS["nonce_salts"].items():
        assert nonce_salt(salt, int(number)).hex() == digest
    pads = GroupTree([], 9, salt).pads
    assert [pad.hex() for pad in pads] == VECTORS["pads"]
    for pinned in VECTORS["trees"]:
        shape = Shape(pinned["groups"], pinned["depth"])
        commitment = commit(shape, salt, trace(program, INPUT))
        given = len(pinned["roots"])
        assert commitment.rows == VECTORS["rows"]
        assert [root.hex() for root in commitment.roots[:given]] == pinned["roots"]
        assert list(commitment.nonces[:given]) == pinned["nonces"]
        assert set(commitment.roots[given:]) <= {commitment.roots[given - 1]}
        assert commitment.trace_root.hex() == pinned["trace_root"]


def test_the_pinned_openings() -> None:
    program, pinned = load_elf(EXAMPLE.read_bytes()), VECTORS["opened"]
    salt, shape = bytes.fromhex(VECTORS["salt"]), Shape(pinned["groups"], pinned["depth"])
    commitment = commit(shape, salt, trace(program, INPUT))
    for encoded in map(bytes.fromhex, pinned["openings"]):
        opening = decode_opening(encoded)
        assert opens(shape, salt, commitment.roots, opening)
        (opened,) = open_rows(commitment, trace(program, INPUT), [opening.index])
        assert opened.opening(opening.view).encode() == encoded
