"""Addresses: the human spelling of the five standard output scripts.

Sources: BIP173 and BIP350 (bech32, bech32m), BIP141 and BIP341 (witness versions 0 and 1),
base58check with the version bytes of Bitcoin Core's `chainparams.cpp`. An address of another chain
is refused with that reason: paying to it would be a mistake that nobody can undo.
"""

from typing import Final, NamedTuple

from p2p_seq.bitcoin.script import OutputKind, classify
from p2p_seq.bitcoin.wire import BitcoinReason, sha256d
from p2p_seq.protocol.errors import CodecError


class _Chain(NamedTuple):
    prefix: str
    """Human-readable part of witness addresses."""
    pubkey_version: int
    """Base58 version byte of P2PKH."""
    script_version: int
    """Base58 version byte of P2SH."""


CHAINS: Final = {
    "main": _Chain("bc", 0x00, 0x05),
    "signet": _Chain("tb", 0x6F, 0xC4),
    "regtest": _Chain("bcrt", 0x6F, 0xC4),
}
"""By the names of `Params.bitcoin_chain`."""

_BECH32_CHARACTERS: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_CONSTANT: Final = 1
_BECH32M_CONSTANT: Final = 0x2BC830A3
_BECH32_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_MAXIMUM: Final = 90
_BASE58_CHARACTERS: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_MAXIMUM: Final = 35


def encode_address(script: bytes, chain: str) -> str:
    """The address of a standard output script. Raises CodecError for every other script."""
    parameters = CHAINS[chain]
    match classify(script):
        case OutputKind.P2PKH:
            return _base58_encode(bytes([parameters.pubkey_version]) + script[3:23])
        case OutputKind.P2SH:
            return _base58_encode(bytes([parameters.script_version]) + script[2:22])
        case OutputKind.P2WPKH | OutputKind.P2WSH:
            return _segwit_encode(parameters.prefix, 0, script[2:])
        case OutputKind.P2TR:
            return _segwit_encode(parameters.prefix, 1, script[2:])
        case None:
            raise CodecError(BitcoinReason.SCRIPT, "this output script has no address")


def decode_address(text: str, chain: str) -> bytes:
    """The output script of an address of `chain`. Raises CodecError saying what is wrong."""
    parameters = CHAINS[chain]
    if not text.isascii() or len(text) > _BECH32_MAXIMUM:
        raise _refused("it is too long or not ASCII")
    prefix, separator, _ = text.lower().rpartition("1")
    known = {item.prefix for item in CHAINS.values()}
    if separator and prefix in known:
        if prefix != parameters.prefix:
            raise _refused(f"it belongs to another Bitcoin network than {chain}")
        return _segwit_decode(text, prefix)
    payload = _base58_decode(text)
    if payload[0] == parameters.pubkey_version:
        return b"\x76\xa9\x14" + payload[1:] + b"\x88\xac"
    if payload[0] == parameters.script_version:
        return b"\xa9\x14" + payload[1:] + b"\x87"
    raise _refused(f"it belongs to another Bitcoin network than {chain}")


def _refused(why: str) -> CodecError:
    return CodecError(BitcoinReason.ADDRESS, why)


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_BECH32_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _expand(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _regroup(values: list[int], width: int, target: int) -> tuple[list[int], int, int]:
    """Split `width`-bit values into `target`-bit ones; what is left over and its number of bits."""
    accumulator = bits = 0
    groups = []
    for value in values:
        accumulator = accumulator << width | value
        bits += width
        while bits >= target:
            bits -= target
            groups.append(accumulator >> bits)
            accumulator &= (1 << bits) - 1
    return groups, accumulator, bits


def _segwit_encode(prefix: str, version: int, program: bytes) -> str:
    groups, rest, bits = _regroup(list(program), 8, 5)
    values = [version, *groups]
    if bits:
        values.append(rest << (5 - bits))
    constant = _BECH32M_CONSTANT if version else _BECH32_CONSTANT
    checksum = _polymod(_expand(prefix) + values + [0] * 6) ^ constant
    values += [checksum >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join(_BECH32_CHARACTERS[value] for value in values)


def _segwit_decode(text: str, prefix: str) -> bytes:
    if text not in (text.lower(), text.upper()):
        raise _refused("it mixes upper and lower case")
    values = [_BECH32_CHARACTERS.find(character) for character in text.lower()[len(prefix) + 1 :]]
    if -1 in values or len(values) < 8:
        raise _refused("it is too short or has a character that no such address has")
    version = values[0]
    constant = _BECH32M_CONSTANT if version else _BECH32_CONSTANT
    if _polymod(_expand(prefix) + values) != constant:
        raise _refused("its checksum is wrong: a character was mistyped")
    groups, rest, bits = _regroup(values[1:-6], 5, 8)
    program = bytes(groups)
    if bits >= 5 or rest:
        raise _refused("its padding is not canonical")
    script = bytes([version and 0x50 + version, len(program)]) + program
    if classify(script) is None:
        raise _refused(f"witness version {version} with {len(program)} bytes is not in use")
    return script


def _base58_encode(payload: bytes) -> str:
    encoded = payload + sha256d(payload)[:4]
    number = int.from_bytes(encoded, "big")
    characters = ""
    while number:
        number, digit = divmod(number, 58)
        characters = _BASE58_CHARACTERS[digit] + characters
    zeros = len(encoded) - len(encoded.lstrip(b"\x00"))
    return "1" * zeros + characters


def _base58_decode(text: str) -> bytes:
    """Version byte and 20-byte hash."""
    if not text or len(text) > _BASE58_MAXIMUM:
        raise _refused("it is neither a witness nor a base58 address")
    number = 0
    for character in text:
        digit = _BASE58_CHARACTERS.find(character)
        if digit < 0:
            raise _refused("it is neither a witness nor a base58 address")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    encoded = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(encoded) != 25:
        raise _refused("it has the wrong length")
    if sha256d(encoded[:-4])[:4] != encoded[-4:]:
        raise _refused("its checksum is wrong: a character was mistyped")
    return encoded[:-4]
