"""Bitcoin Script: the opcodes that the network's leaves use, minimal pushes, numbers, output
kinds, dust.

Sources: Bitcoin Core `script/script.h` (opcodes, number encoding), BIP141 and BIP341 (output
kinds), `policy/policy.cpp` (dust at 3 sat/vB). Pushes are always minimal: anything else is a
second spelling and is refused by relays (MINIMALDATA).
"""

from enum import IntEnum, StrEnum
from typing import Final

from p2p_seq.protocol.types import Sats, XOnlyKey


class Op(IntEnum):
    """Opcodes by their names in Bitcoin Core, without the prefix."""

    PUSHDATA1 = 0x4C
    PUSHDATA2 = 0x4D
    PUSHDATA4 = 0x4E
    NEGATIVE_1 = 0x4F
    NUMBER_1 = 0x51
    TOALTSTACK = 0x6B
    FROMALTSTACK = 0x6C
    RETURN = 0x6A
    DROP = 0x75
    DUP = 0x76
    SWAP = 0x7C
    EQUAL = 0x87
    EQUALVERIFY = 0x88
    ADD = 0x93
    GREATERTHANOREQUAL = 0xA2
    HASH160 = 0xA9
    CHECKSIG = 0xAC
    CHECKSIGVERIFY = 0xAD
    CHECKLOCKTIMEVERIFY = 0xB1
    CHECKSEQUENCEVERIFY = 0xB2
    CHECKSIGADD = 0xBA


class OutputKind(StrEnum):
    """The output scripts that the network pays to."""

    P2PKH = "p2pkh"
    P2SH = "p2sh"
    P2WPKH = "p2wpkh"
    P2WSH = "p2wsh"
    P2TR = "p2tr"


MAX_PAYOUT_SCRIPT: Final = 34
"""Bytes of the longest standard output script (P2WSH, P2TR)."""

MAX_OP_RETURN_BYTES: Final = 80
"""Bytes of data that every relay still forwards in an OP_RETURN (shared reference bitcoin.md,
B.2).
"""

_DUST_FEERATE: Final = 3
"""Bitcoin Core's default dust relay feerate, sat/vB."""
_SPEND_BYTES_WITNESS: Final = 67
_SPEND_BYTES_LEGACY: Final = 148


def push(element: bytes) -> bytes:
    """The minimal push of `element`, at most 520 bytes."""
    length = len(element)
    if length == 0:
        return b"\x00"
    if length == 1 and 1 <= element[0] <= 16:
        return bytes([Op.NUMBER_1 + element[0] - 1])
    if element == b"\x81":
        return bytes([Op.NEGATIVE_1])
    if length < Op.PUSHDATA1:
        return bytes([length]) + element
    if length <= 0xFF:
        return bytes([Op.PUSHDATA1, length]) + element
    if length <= 520:
        return bytes([Op.PUSHDATA2]) + length.to_bytes(2, "little") + element
    raise ValueError(f"push of {length} bytes")


def encode_number(value: int) -> bytes:
    """Script's number: little-endian magnitude, sign in the top bit of the last byte, zero is
    empty.
    """
    if value == 0:
        return b""
    magnitude = abs(value)
    encoded = bytearray(magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "little"))
    if encoded[-1] & 0x80:
        encoded.append(0)
    if value < 0:
        encoded[-1] |= 0x80
    return bytes(encoded)


def push_number(value: int) -> bytes:
    """The minimal push of a script number."""
    return push(encode_number(value))


def check_signature(key: XOnlyKey) -> bytes:
    """`<key> CHECKSIG`."""
    if len(key) != 32:
        raise ValueError(f"key of {len(key)} bytes")
    return push(key) + bytes([Op.CHECKSIG])


def op_return(payload: bytes) -> bytes:
    """The output script that carries `payload`, 2 to 80 bytes in one push.

    One byte or none is refused: opcodes instead of pushes spell some of those.
    """
    if not 2 <= len(payload) <= MAX_OP_RETURN_BYTES:
        raise ValueError(f"OP_RETURN of {len(payload)} bytes")
    return bytes([Op.RETURN]) + push(payload)


def op_return_payload(script: bytes) -> bytes | None:
    """The payload of an output script that is exactly `OP_RETURN <minimal push>`, else None."""
    if len(script) < 2 or script[0] != Op.RETURN:
        return None
    header = 3 if script[1] == Op.PUSHDATA1 else 2
    payload = script[header:]
    if not 2 <= len(payload) <= MAX_OP_RETURN_BYTES or op_return(payload) != script:
        return None
    return payload


def pay_to_taproot(output_key: XOnlyKey) -> bytes:
    """The P2TR script of an output key (already tweaked)."""
    if len(output_key) != 32:
        raise ValueError(f"key of {len(output_key)} bytes")
    return bytes([Op.NUMBER_1]) + push(output_key)


def classify(script: bytes) -> OutputKind | None:
    """Which standard kind an output script is, by its exact bytes; None for every other script.

    A P2TR or P2WPKH script is recognised by its form alone: whether its key exists is the payee's
    affair, and the ledger's program, which has to agree, knows no curve.
    """
    length = len(script)
    if length == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return OutputKind.P2PKH
    if length == 23 and script[:2] == b"\xa9\x14" and script[22:] == b"\x87":
        return OutputKind.P2SH
    if length == 22 and script[:2] == b"\x00\x14":
        return OutputKind.P2WPKH
    if length == 34 and script[:2] == b"\x00\x20":
        return OutputKind.P2WSH
    if length == 34 and script[:2] == b"\x51\x20":
        return OutputKind.P2TR
    return None


def dust_limit(script: bytes) -> Sats:
    """The smallest value that relays forward in an output with this script; 0 for OP_RETURN.

    Bitcoin Core's rule: what it costs at 3 sat/vB to create the output and to spend it again.
    """
    if script[:1] == bytes([Op.RETURN]):
        return Sats(0)
    is_witness = 4 <= len(script) <= 42 and script[0] in (0, *range(0x51, 0x61))
    spend = _SPEND_BYTES_WITNESS if is_witness and script[1] == len(script) - 2 else None
    size = 8 + 1 + len(script)
    return Sats(_DUST_FEERATE * (size + (spend or _SPEND_BYTES_LEGACY)))
