"""Rows to the byte: layouts as the specification has them, and strict decoding."""

import struct

import pytest

from cython_core.vm.operations import HALTED, Op
from cython_core.vm.records import (
    INACTIVE_LINE,
    PAD_ROW,
    Line,
    MalformedRow,
    NarrowRow,
    WideRow,
    decode_narrow,
    decode_rows,
    decode_wide,
    encode_rows,
)

NARROW = NarrowRow(Op.SW | 0x80, 1, 2, 3, 4, *range(5, 16))
LINE = Line(0x1000, tuple(range(1, 9)), tuple(range(0x010203, 0x01020B)))
WIDE = WideRow(Op.B3, 0, 2, 3, 4, *range(5, 11), tuple(range(50, 58)), LINE, LINE, LINE)


def test_narrow_layout() -> None:
    record = NARROW.encode()
    assert len(record) == 52
    assert record[:4] == bytes([0x80 | 26, 1, 2, 3])
    names = ("imm", "pc", "npc", "t1", "v1", "t2", "v2", "tm", "ma", "mv", "mn", "wv")
    for offset, name in zip(range(4, 52, 4), names, strict=True):
        assert int.from_bytes(record[offset : offset + 4], "little") == getattr(NARROW, name)
    assert NARROW.leaves() == (record + bytes(12),)


def test_wide_layout() -> None:
    head, a, b, c = WIDE.leaves()
    assert head[:32] == NARROW._replace(op=Op.B3, rd=0).encode()[:32]
    assert struct.unpack("<8I", head[32:]) == WIDE.out
    assert a == b == c == LINE.encode()
    assert struct.unpack("<9I", a[:36]) == (LINE.base, *LINE.words)
    assert a[36:39] == bytes([3, 2, 1])
    assert a[60:] == bytes(4)
    assert INACTIVE_LINE.encode() == b"\1" + bytes(63)


def test_pad_is_one_constant() -> None:
    expected = [0] * 13
    expected[0], expected[2], expected[3], expected[9] = Op.PAD, HALTED, HALTED, 1
    assert PAD_ROW.encode() == struct.pack("<13I", *expected)


def test_what_is_decoded_is_encoded_again() -> None:
    assert decode_narrow(NARROW.encode()) == NARROW
    assert decode_narrow(NARROW.leaves()[0]) == NARROW
    assert decode_wide(WIDE.encode()) == WIDE
    rows = [NARROW, WIDE, PAD_ROW, WIDE]
    assert decode_rows(*encode_rows(rows)) == rows


@pytest.mark.parametrize(
    ("narrow", "wide", "message"),
    [
        (NARROW.encode()[:51], b"", "rows end in the middle of a record"),
        (b"", WIDE.encode()[:255], "rows end in the middle of a record"),
        (b"", WIDE.encode(), "there are more wide records than rows for them"),
        (WIDE.encode()[:32] + bytes(20), b"", "a wide record has 256 bytes, not 0"),
        (
            WIDE._replace(imm=5).encode()[:32] + bytes(20),
            WIDE.encode(),
            "row 1 and its wide record differ",
        ),
        (WIDE.encode()[:32] + b"\1" + bytes(19), WIDE.encode(), "row 1 and its wide record differ"),
        (
            WIDE.encode()[:32] + bytes(20),
            WIDE.encode()[:-1] + b"\1",
            "a line ends in four zero bytes",
        ),
    ],
)
def test_other_spellings_are_refused(narrow: bytes, wide: bytes, message: str) -> None:
    with pytest.raises(MalformedRow) as caught:
        decode_rows(narrow, wide)
    assert str(caught.value) == message


@pytest.mark.parametrize("length", [0, 51, 53, 63, 65])
def test_narrow_records_have_one_length(length: int) -> None:
    with pytest.raises(MalformedRow) as caught:
        decode_narrow(bytes(length))
    assert str(caught.value) == f"a narrow record has 52 bytes, not {length}"


def test_padding_of_a_leaf_is_zero() -> None:
    with pytest.raises(MalformedRow):
        decode_narrow(NARROW.encode() + bytes(11) + b"\1")


def test_a_field_that_does_not_fit_is_not_cut() -> None:
    with pytest.raises(struct.error):
        NARROW._replace(imm=1 << 32).encode()
    with pytest.raises(OverflowError):
        WIDE._replace(a=LINE._replace(clocks=(1 << 24, *LINE.clocks[1:]))).encode()
