"""User transactions of the ledger: one fixed layout, parsed by this module and by the program in C.

    version u8 = 1 | kind u8 | sender 32 | nonce u64 | fee u64 | body | signature 64
    TRANSFER body: recipient 32, amount u64                  154 bytes
    WITHDRAW body: amount u64, script length u8, script 34   157 bytes, script zero padded

The id of a transaction is what its sender signs: `H_tx(chain_id | everything before the
signature)`. The signature is outside, so nobody can change an id without the sender's key. The
length is a function of the kind, so a block's transactions are a plain concatenation.

This twin is for wallets, tests and tools; the node's hot path is `cython_core.ledger`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import Hash32, Sats, Signature, XOnlyKey

TRANSACTION_VERSION: Final = 1
"""First byte of every transaction."""

SCRIPT_ROOM: Final = 34
"""Bytes that a WITHDRAW has for its output script: the longest payable template."""

SIGNATURE_BYTES: Final = 64
"""BIP340, at the end of every transaction."""


class TransactionKind(IntEnum):
    """Second byte of a transaction."""

    TRANSFER = 1
    WITHDRAW = 2


TRANSACTION_BYTES: Final = {TransactionKind.TRANSFER: 154, TransactionKind.WITHDRAW: 157}
"""Length of a signed transaction by its kind."""

TRANSACTION_BYTES_MAX: Final = max(TRANSACTION_BYTES.values())


class ReceiptCode(IntEnum):
    """What became of an executed transaction (`enum receipt_code` of the program)."""

    OK = 0
    DROPPED_NO_ACCOUNT = 1
    """The sender has no account; nothing changed."""
    DROPPED_NONCE = 2
    """Not the sender's next nonce; nothing changed."""
    DROPPED_PRICE = 3
    """The fee is below the price of its kind; nothing changed."""
    DROPPED_FEE = 4
    """The sender cannot pay the fee; nothing changed."""
    FAILED_BALANCE = 16
    """The amount is over what is left after the fee; fee and nonce are taken."""
    FAILED_ACCOUNT_MIN = 17
    """It would create an account with less than the minimum; fee and nonce are taken."""
    FAILED_DUST = 18
    """A payout below the minimum; fee and nonce are taken."""
    FAILED_SCRIPT = 19
    """A payout to a script that is none of the five templates; fee and nonce are taken."""

    @property
    def is_dropped(self) -> bool:
        """Whether the transaction left no trace in the state."""
        return ReceiptCode.OK < self < ReceiptCode.FAILED_BALANCE


def is_payable_script(script: bytes) -> bool:
    """Whether a settlement may pay to it: exactly P2PKH, P2SH, P2WPKH, P2WSH or P2TR."""
    match len(script):
        case 25:
            return script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac"
        case 23:
            return script[:2] == b"\xa9\x14" and script[22:] == b"\x87"
        case 22:
            return script[:2] == b"\x00\x14"
        case 34:
            return script[:2] in (b"\x00\x20", b"\x51\x20")
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Transfer:
    """Moves bitcoin from the sender's account to another."""

    sender: XOnlyKey
    nonce: int
    fee: Sats
    """At least the price of the kind; what is above it is a tip to the block's leader."""
    recipient: XOnlyKey
    amount: Sats

    @property
    def kind(self) -> TransactionKind:
        return TransactionKind.TRANSFER

    def encode_unsigned(self) -> bytes:
        """What the sender signs, without the chain id."""
        return _head(self).hash32(self.recipient).u64(self.amount).bytes()


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Burns bitcoin on the ledger; a later settlement pays it to `script` on Bitcoin."""

    sender: XOnlyKey
    nonce: int
    fee: Sats
    """Pays the output on Bitcoin besides the price of the kind."""
    amount: Sats
    """What the output on Bitcoin gets, in full."""
    script: bytes
    """Output script; one that is not payable fails when it is executed."""

    @property
    def kind(self) -> TransactionKind:
        return TransactionKind.WITHDRAW

    def encode_unsigned(self) -> bytes:
        """What the sender signs, without the chain id."""
        writer = _head(self).u64(self.amount).u8(len(self.script))
        return writer.fixed(self.script.ljust(SCRIPT_ROOM, b"\x00"), SCRIPT_ROOM).bytes()


Order = Transfer | Withdraw


def _head(order: Order) -> Writer:
    writer = Writer().u8(TRANSACTION_VERSION).u8(order.kind).hash32(order.sender)
    return writer.u64(order.nonce).u64(order.fee)


def transaction_id(network: str, chain_id: Hash32, unsigned: bytes) -> Hash32:
    """Id of a transaction and the message that its sender signs."""
    return tagged_hash(network, Tag.TX, chain_id, unsigned)


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """An order with its signature; the signature is not checked by decoding."""

    order: Order
    signature: Signature

    def encode(self) -> bytes:
        return self.order.encode_unsigned() + self.signature

    def id(self, network: str, chain_id: Hash32) -> Hash32:
        return transaction_id(network, chain_id, self.order.encode_unsigned())

    @classmethod
    def read(cls, reader: Reader) -> "SignedTransaction":
        """One transaction off the front of `reader`. Raises CodecError."""
        reader.u8(TRANSACTION_VERSION, TRANSACTION_VERSION)
        kind = reader.u8(min(TransactionKind), max(TransactionKind))
        sender, nonce, fee = reader.xonly(), reader.u64(), Sats(reader.u64())
        order: Order
        if kind == TransactionKind.TRANSFER:
            order = Transfer(sender, nonce, fee, reader.xonly(), Sats(reader.u64()))
        else:
            amount, length = Sats(reader.u64()), reader.u8(0, SCRIPT_ROOM)
            padded = reader.fixed(SCRIPT_ROOM)
            if any(padded[length:]):
                raise CodecError(CodecReason.VALUE, "a withdrawal's script is padded with zeros")
            order = Withdraw(sender, nonce, fee, amount, padded[:length])
        return cls(order, reader.signature())

    @classmethod
    def decode(cls, encoded: bytes) -> "SignedTransaction":
        """Strict inverse of `encode`. Raises CodecError."""
        reader = Reader(encoded)
        transaction = cls.read(reader)
        reader.finish()
        return transaction


def decode_transactions(encoded: bytes, count: int) -> tuple[SignedTransaction, ...]:
    """The transactions of a block body. Raises CodecError unless there are exactly `count`."""
    reader = Reader(encoded)
    transactions = tuple(SignedTransaction.read(reader) for _ in range(count))
    reader.finish()
    return transactions


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a block's execution says of one of its transactions. 24 bytes."""

    code: ReceiptCode
    kind: TransactionKind
    index: int
    """Position in the block; with the block's digest it names the transaction."""
    fee: Sats
    """What was taken: the whole fee, or nothing when the transaction was dropped."""
    payout_id: int
    """The payout that a WITHDRAW created; 0 for none."""

    def encode(self) -> bytes:
        writer = Writer().u8(self.code).u8(self.kind).u16(0).u32(self.index)
        return writer.u64(self.fee).u64(self.payout_id).bytes()

    @classmethod
    def read(cls, reader: Reader) -> "Receipt":
        code, kind = reader.u8(), reader.u8(min(TransactionKind), max(TransactionKind))
        reader.u16(0, 0)
        if code not in ReceiptCode._value2member_map_:
            raise CodecError(CodecReason.VALUE, f"{code} is no receipt code")
        return cls(
            ReceiptCode(code),
            TransactionKind(kind),
            reader.u32(),
            Sats(reader.u64()),
            reader.u64(),
        )


RECEIPT_BYTES: Final = 24
"""Bytes of an encoded receipt."""


def decode_receipts(encoded: bytes) -> tuple[Receipt, ...]:
    """The receipts of a block, in the order of its transactions. Raises CodecError."""
    reader = Reader(encoded)
    receipts = []
    while not reader.at_end():
        receipts.append(Receipt.read(reader))
    return tuple(receipts)
