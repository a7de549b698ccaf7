"""Bitcoin transactions as immutable values, parsed strictly.

`Transaction.parse` accepts exactly the bytes that `serialize` gives back: minimal counts, no
trailing bytes, no empty witness section, values within the money range. Ids are in internal byte
order (as hashed); `protocol.types.display_id` reverses them for people.

A transaction is parsed with plain offsets into one buffer, without a reader object: a node parses
each block of Bitcoin on its event loop, and 2,000 transactions have to take less than a frame of a
film.
"""

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, Self, TypeAlias

from p2p_seq.bitcoin.wire import (
    MAX_BLOCK_WEIGHT,
    MAX_MONEY,
    WITNESS_SCALE,
    BitcoinReason,
    read_compact_size,
    sha256d,
    write_compact_size,
    write_var_bytes,
)
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.types import ZERO32, Hash32, OutPoint

_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")

SEQUENCE_FINAL: Final = 0xFFFFFFFF
SEQUENCE_REPLACEABLE: Final = 0xFFFFFFFD
"""nSequence of everything that the network writes: replaceable by fee, lock time active, no BIP68.
"""

NULL_VOUT: Final = 0xFFFFFFFF
"""The output index that a coinbase input names."""

_Input: TypeAlias = list[Any]
"""The fields of a TxIn while they are being read; the witness comes after all outputs."""

_MINIMUM_INPUT_BYTES: Final = 41
_MINIMUM_OUTPUT_BYTES: Final = 9


class TxIn(NamedTuple):
    """One input; the witness belongs to it although BIP144 writes it elsewhere."""

    previous: OutPoint
    script_sig: bytes = b""
    sequence: int = SEQUENCE_REPLACEABLE
    witness: tuple[bytes, ...] = ()


class TxOut(NamedTuple):
    """One output: value in satoshi and scriptPubKey."""

    value: int
    script: bytes

    def serialize(self) -> bytes:
        return _U64.pack(self.value) + write_var_bytes(self.script)


@dataclass(frozen=True)
class Transaction:
    """A Bitcoin transaction. Equality is equality of all fields, witnesses included."""

    version: int
    inputs: tuple[TxIn, ...]
    outputs: tuple[TxOut, ...]
    lock_time: int = 0

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """The transaction that `encoded` is, all of it. Raises CodecError."""
        transaction, end = cls.parse_at(bytes(encoded), 0)
        if end != len(encoded):
            raise CodecError(CodecReason.TRAILING, f"{len(encoded) - end} bytes after lock time")
        return transaction

    @classmethod
    def parse_at(cls, encoded: bytes, start: int) -> tuple[Self, int]:
        """The transaction at `start` and the position after it. Raises CodecError."""
        try:
            return cls._parse_at(encoded, start)
        except (struct.error, IndexError):
            raise CodecError(CodecReason.TRUNCATED, "inside a transaction") from None

    @classmethod
    def _parse_at(cls, encoded: bytes, start: int) -> tuple[Self, int]:
        (version,) = _U32.unpack_from(encoded, start)
        body = start + 4
        is_segwit = encoded[body] == 0
        if is_segwit:
            if encoded[body + 1] != 1:
                raise CodecError(BitcoinReason.WITNESS_FLAG, f"flag {encoded[body + 1]}")
            body += 2
        inputs, position = _parse_inputs(encoded, body)
        outputs, position = _parse_outputs(encoded, position)
        body_end = position
        if is_segwit:
            position = _parse_witnesses(encoded, position, inputs)
        (lock_time,) = _U32.unpack_from(encoded, position)
        end = position + 4
        if end - start > MAX_BLOCK_WEIGHT:
            raise CodecError(CodecReason.LENGTH, f"transaction of {end - start} bytes")
        transaction = cls(
            version,
            tuple([TxIn._make(item) for item in inputs]),
            tuple(outputs),
            lock_time,
        )
        stripped = encoded[start:end]
        if is_segwit:
            stripped = encoded[start : start + 4] + encoded[body:body_end] + encoded[position:end]
        # cached_property looks here first: parsed transactions know their id and size already.
        transaction.__dict__["txid"] = sha256d(stripped)
        transaction.__dict__["weight"] = (WITNESS_SCALE - 1) * len(stripped) + end - start
        return transaction, end

    def serialize(self, include_witness: bool = True) -> bytes:
        """BIP144 bytes; without witnesses (or when there are none) the original format."""
        with_witness = include_witness and self.has_witness
        parts = [_U32.pack(self.version)]
        if with_witness:
            parts.append(b"\x00\x01")
        parts.append(write_compact_size(len(self.inputs)))
        for previous, script_sig, sequence, _ in self.inputs:
            parts += (
                previous.txid,
                _U32.pack(previous.vout),
                write_var_bytes(script_sig),
                _U32.pack(sequence),
            )
        parts.append(write_compact_size(len(self.outputs)))
        parts += (output.serialize() for output in self.outputs)
        if with_witness:
            for item in self.inputs:
                parts.append(write_compact_size(len(item.witness)))
                parts += (write_var_bytes(element) for element in item.witness)
        parts.append(_U32.pack(self.lock_time))
        return b"".join(parts)

    @property
    def has_witness(self) -> bool:
        return any(item.witness for item in self.inputs)

    @cached_property
    def txid(self) -> Hash32:
        """Double SHA-256 without witnesses, internal byte order."""
        return sha256d(self.serialize(include_witness=False))

    @cached_property
    def wtxid(self) -> Hash32:
        """Double SHA-256 with witnesses; ZERO32 for a coinbase inside the commitment is the
        caller's.
        """
        return sha256d(self.serialize())

    @cached_property
    def weight(self) -> int:
        """Weight units (BIP141)."""
        stripped = len(self.serialize(include_witness=False))
        return (WITNESS_SCALE - 1) * stripped + len(self.serialize())

    @property
    def vsize(self) -> int:
        """Virtual bytes: weight over four, rounded up."""
        return -(-self.weight // WITNESS_SCALE)

    @property
    def is_coinbase(self) -> bool:
        first = self.inputs[0].previous
        return len(self.inputs) == 1 and first.vout == NULL_VOUT and first.txid == ZERO32

    def outpoint(self, vout: int) -> OutPoint:
        """The name of output `vout`, which must exist."""
        if not 0 <= vout < len(self.outputs):
            raise ValueError(f"output {vout} of {len(self.outputs)}")
        return OutPoint(self.txid, vout)

    def with_witnesses(self, witnesses: tuple[tuple[bytes, ...], ...]) -> Self:
        """The same transaction with these witnesses, one tuple of elements per input."""
        inputs = tuple(
            item._replace(witness=witness)
            for item, witness in zip(self.inputs, witnesses, strict=True)
        )
        return type(self)(self.version, inputs, self.outputs, self.lock_time)


def _parse_inputs(encoded: bytes, position: int) -> tuple[list[_Input], int]:
    count, position = _read_count(encoded, position, _MINIMUM_INPUT_BYTES)
    inputs: list[_Input] = []
    for _ in range(count):
        txid = Hash32(encoded[position : position + 32])
        (vout,) = _U32.unpack_from(encoded, position + 32)
        length = encoded[position + 36]
        position += 37
        if length >= 0xFD:
            length, position = read_compact_size(encoded, position - 1)
        script_sig = encoded[position : position + length]
        position += length
        (sequence,) = _U32.unpack_from(encoded, position)
        position += 4
        inputs.append([OutPoint(txid, vout), script_sig, sequence, ()])
    return inputs, position


def _parse_outputs(encoded: bytes, position: int) -> tuple[list[TxOut], int]:
    count, position = _read_count(encoded, position, _MINIMUM_OUTPUT_BYTES)
    outputs: list[TxOut] = []
    for _ in range(count):
        (value,) = _U64.unpack_from(encoded, position)
        if value > MAX_MONEY:
            raise CodecError(CodecReason.VALUE, f"output of {value} sat")
        length = encoded[position + 8]
        position += 9
        if length >= 0xFD:
            length, position = read_compact_size(encoded, position - 1)
        end = position + length
        if end > len(encoded):
            raise CodecError(CodecReason.TRUNCATED, f"script of {length} bytes at {position}")
        outputs.append(TxOut(value, encoded[position:end]))
        position = end
    return outputs, position


def _read_count(encoded: bytes, position: int, minimum_bytes: int) -> tuple[int, int]:
    """A count of inputs or outputs: at least one, and no more than the bytes left can hold."""
    count, position = read_compact_size(encoded, position)
    if not 1 <= count <= (len(encoded) - position) // minimum_bytes:
        raise CodecError(CodecReason.LENGTH, f"{count} items in {len(encoded) - position} bytes")
    return count, position


def _parse_witnesses(encoded: bytes, position: int, inputs: list[_Input]) -> int:
    """Fills the witness of each input; the position after the last one."""
    is_empty = True
    for item in inputs:
        count, position = read_compact_size(encoded, position)
        if count > len(encoded) - position:
            raise CodecError(CodecReason.LENGTH, f"{count} witness elements")
        elements: list[bytes] = []
        for _ in range(count):
            length = encoded[position]
            position += 1
            if length >= 0xFD:
                length, position = read_compact_size(encoded, position - 1)
            end = position + length
            if end > len(encoded):
                raise CodecError(CodecReason.TRUNCATED, f"witness of {length} bytes")
            elements.append(encoded[position:end])
            position = end
        item[3] = tuple(elements)
        is_empty = is_empty and not elements
    if is_empty:
        raise CodecError(BitcoinReason.WITNESS_FLAG, "all witnesses are empty")
    return position
