"""What the embedded node keeps in LMDB, byte by byte (local format; `FORMAT` names it).

Pure: encoders and decoders only. These bytes never leave the machine, so a decoder that meets
anything unexpected has met a damaged disk: LocalError.
"""

import struct
from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple, Self

from p2p_seq.bitcoin.block import HEADER_BYTES, BlockHeader
from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.protocol.errors import LocalError
from p2p_seq.protocol.types import Hash32, OutPoint

FORMAT: Final = b"p2pseq-embedded-1"

_HEADER: Final = Struct(">IQIIIB")
_COIN: Final = Struct(">IBQ")
_LOCATION: Final = Struct(">32sII")
_SPEND: Final = Struct(">32sI32s")
_OUTPOINT: Final = Struct(">32sI")
_COUNT: Final = Struct(">I")
_SEQUENCE: Final = Struct(">Q")


class HeaderRecord(NamedTuple):
    """A known block, on the best chain or not."""

    height: int
    sequence: int
    """Where its bytes are in the block log."""
    transactions: int
    size: int
    """Serialised bytes."""
    weight: int
    is_invalid: bool
    header: BlockHeader

    def encode(self) -> bytes:
        return (
            _HEADER.pack(
                self.height,
                self.sequence,
                self.transactions,
                self.size,
                self.weight,
                self.is_invalid,
            )
            + self.header.serialize()
        )

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        if len(encoded) != _HEADER.size + HEADER_BYTES:
            raise LocalError(f"header record of {len(encoded)} bytes")
        height, sequence, transactions, size, weight, is_invalid = _HEADER.unpack_from(encoded)
        header = BlockHeader.parse(encoded[_HEADER.size :])
        return cls(height, sequence, transactions, size, weight, bool(is_invalid), header)


class Coin(NamedTuple):
    """An unspent output and where it comes from."""

    height: int
    is_coinbase: bool
    output: TxOut

    def encode(self) -> bytes:
        return _COIN.pack(self.height, self.is_coinbase, self.output.value) + self.output.script

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        try:
            height, is_coinbase, value = _COIN.unpack_from(encoded)
        except struct.error as error:
            raise LocalError(f"coin record of {len(encoded)} bytes") from error
        return cls(height, bool(is_coinbase), TxOut(value, encoded[_COIN.size :]))


class TxLocation(NamedTuple):
    """Where a confirmed transaction is: its block, and its bytes inside it."""

    block: Hash32
    offset: int
    length: int

    def encode(self) -> bytes:
        return _LOCATION.pack(*self)

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        block, offset, length = _LOCATION.unpack(encoded)
        return cls(Hash32(block), offset, length)


class SpendRecord(NamedTuple):
    """Which confirmed input spends an output."""

    txid: Hash32
    input_index: int
    block: Hash32

    def encode(self) -> bytes:
        return _SPEND.pack(*self)

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        txid, input_index, block = _SPEND.unpack(encoded)
        return cls(Hash32(txid), input_index, Hash32(block))


def outpoint_key(outpoint: OutPoint) -> bytes:
    """36 bytes; outputs of one transaction are neighbours."""
    return _OUTPOINT.pack(*outpoint)


def decode_outpoint(key: bytes) -> OutPoint:
    """Inverse of `outpoint_key`."""
    txid, vout = _OUTPOINT.unpack(key)
    return OutPoint(Hash32(txid), vout)


def height_key(height: int) -> bytes:
    """Big-endian, so that LMDB's order is the chain's."""
    return _COUNT.pack(height)


def sequence_key(sequence: int) -> bytes:
    """Big-endian, so that LMDB's order is the order of arrival."""
    return _SEQUENCE.pack(sequence)


def decode_sequence(encoded: bytes) -> int:
    value: int = _SEQUENCE.unpack(encoded)[0]
    return value


def encode_coins(coins: Sequence[Coin]) -> bytes:
    """The coins that a block spends, in the order of its inputs: its undo record."""
    parts = [_COUNT.pack(len(coins))]
    for coin in coins:
        encoded = coin.encode()
        parts += (_COUNT.pack(len(encoded)), encoded)
    return b"".join(parts)


def decode_coins(encoded: bytes) -> list[Coin]:
    """Inverse of `encode_coins`."""
    try:
        (count,) = _COUNT.unpack_from(encoded)
        position = _COUNT.size
        coins: list[Coin] = []
        for _ in range(count):
            (length,) = _COUNT.unpack_from(encoded, position)
            position += _COUNT.size
            coins.append(Coin.decode(encoded[position : position + length]))
            position += length
    except struct.error as error:
        raise LocalError("truncated undo record") from error
    if position != len(encoded):
        raise LocalError(f"undo record with {len(encoded) - position} bytes too many")
    return coins
