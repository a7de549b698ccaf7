"""Signature hashes of taproot inputs (BIP341 "Common signature message", BIP342 extension).

One `TaprootSighash` per transaction keeps the hashes over all inputs and outputs, so that signing
many inputs of one transaction is linear. The network itself writes no annex; the argument exists
because others may, and because the rule is checked against an independent library in all 28
combinations.
"""

import hashlib
from collections.abc import Sequence
from enum import IntEnum
from functools import cached_property
from typing import Final

from p2p_seq.bitcoin.taproot import bitcoin_tagged_hash
from p2p_seq.bitcoin.transaction import Transaction, TxOut
from p2p_seq.bitcoin.wire import write_var_bytes
from p2p_seq.protocol.types import Hash32, Signature

_NO_CODE_SEPARATOR: Final = b"\xff\xff\xff\xff"
_OUTPUT_MASK: Final = 3
_ANYONECANPAY: Final = 0x80


class SighashType(IntEnum):
    """The signature hash types that taproot allows."""

    DEFAULT = 0x00
    ALL = 0x01
    NONE = 0x02
    SINGLE = 0x03
    ALL_ANYONECANPAY = 0x81
    NONE_ANYONECANPAY = 0x82
    SINGLE_ANYONECANPAY = 0x83


def witness_signature(signature: Signature, sighash_type: SighashType) -> bytes:
    """The witness element: 64 bytes for DEFAULT, else 65 with the type at the end."""
    if sighash_type is SighashType.DEFAULT:
        return bytes(signature)
    return bytes(signature) + bytes([sighash_type])


def _sha256(preimage: bytes) -> bytes:
    return hashlib.sha256(preimage).digest()


class TaprootSighash:
    """Signature hashes of one transaction whose spent outputs are all known."""

    def __init__(self, transaction: Transaction, spent: Sequence[TxOut]) -> None:
        if len(spent) != len(transaction.inputs):
            raise ValueError(f"{len(spent)} spent outputs for {len(transaction.inputs)} inputs")
        self._transaction = transaction
        self._spent = tuple(spent)

    def key_path(
        self,
        index: int,
        sighash_type: SighashType = SighashType.DEFAULT,
        annex: bytes | None = None,
    ) -> Hash32:
        """What a key-path signature of input `index` signs."""
        return bitcoin_tagged_hash("TapSighash", self._message(index, sighash_type, 0, annex))

    def script_path(
        self,
        index: int,
        leaf: Hash32,
        sighash_type: SighashType = SighashType.DEFAULT,
        annex: bytes | None = None,
    ) -> Hash32:
        """What a CHECKSIG in the tapscript with hash `leaf` checks (no OP_CODESEPARATOR before
        it).
        """
        message = self._message(index, sighash_type, 1, annex)
        return bitcoin_tagged_hash("TapSighash", message + leaf + b"\x00" + _NO_CODE_SEPARATOR)

    def _message(
        self, index: int, sighash_type: SighashType, extension: int, annex: bytes | None
    ) -> bytes:
        transaction = self._transaction
        if not 0 <= index < len(transaction.inputs):
            raise ValueError(f"input {index} of {len(transaction.inputs)}")
        any_one = bool(sighash_type & _ANYONECANPAY)
        outputs = sighash_type & _OUTPUT_MASK
        parts = [
            bytes([0, sighash_type]),
            transaction.version.to_bytes(4, "little"),
            transaction.lock_time.to_bytes(4, "little"),
        ]
        if not any_one:
            parts.append(self._input_hashes)
        if outputs not in (SighashType.NONE, SighashType.SINGLE):
            parts.append(self._outputs_hash)
        parts.append(bytes([2 * extension + (annex is not None)]))
        spending = transaction.inputs[index]
        if any_one:
            parts += (
                spending.previous.txid,
                spending.previous.vout.to_bytes(4, "little"),
                self._spent[index].serialize(),
                spending.sequence.to_bytes(4, "little"),
            )
        else:
            parts.append(index.to_bytes(4, "little"))
        if annex is not None:
            parts.append(_sha256(write_var_bytes(annex)))
        if outputs == SighashType.SINGLE:
            if index >= len(transaction.outputs):
                raise ValueError(f"SIGHASH_SINGLE of input {index} has no output")
            parts.append(_sha256(transaction.outputs[index].serialize()))
        return b"".join(parts)

    @cached_property
    def _input_hashes(self) -> bytes:
        inputs = self._transaction.inputs
        previous = b"".join(
            item.previous.txid + item.previous.vout.to_bytes(4, "little") for item in inputs
        )
        amounts = b"".join(output.value.to_bytes(8, "little") for output in self._spent)
        scripts = b"".join(write_var_bytes(output.script) for output in self._spent)
        sequences = b"".join(item.sequence.to_bytes(4, "little") for item in inputs)
        return b"".join(_sha256(part) for part in (previous, amounts, scripts, sequences))

    @cached_property
    def _outputs_hash(self) -> bytes:
        return _sha256(b"".join(output.serialize() for output in self._transaction.outputs))
