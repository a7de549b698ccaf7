"""Peer ids without libp2p: a peer's name follows from its public key, and back.

A libp2p peer id of a secp256k1 key is the identity multihash of the key's protobuf
(libp2p specs/peer-ids, "Keys"): `00 25 | 08 02 12 21 | compressed key`, in base58btc.
The ledger knows keys by their x coordinate (BIP340), so the network always uses the key with the
even y: both spellings of a key name one peer, and a secret with an odd key is negated before use.
"""

from typing import Final

from p2p_seq.network.types import PeerId
from p2p_seq.protocol.types import XOnlyKey

SECP256K1_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""SEC 2, section 2.4.1."""

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_PREFIX: Final = bytes.fromhex("002508021221")
"""Identity multihash of 37 bytes; protobuf: field 1 key type 2 (secp256k1), field 2 of 33 bytes."""
_ID_LENGTH: Final = len(_PREFIX) + 33
_TEXT_MAX: Final = 64
"""A peer id has 53 letters; longer text is refused before it is multiplied out."""


def base58_encode(raw: bytes) -> str:
    value = int.from_bytes(raw, "big")
    letters = []
    while value:
        value, digit = divmod(value, 58)
        letters.append(_ALPHABET[digit])
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(letters))


def base58_decode(text: str) -> bytes:
    """Raises ValueError on a letter outside the alphabet."""
    value = 0
    for letter in text:
        if letter not in _VALUES:
            raise ValueError(f"not a base58 letter: {letter!r}")
        value = value * 58 + _VALUES[letter]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + value.to_bytes((value.bit_length() + 7) // 8, "big")


def peer_id_of_xonly(key: XOnlyKey | bytes) -> PeerId:
    """The peer id of a BIP340 key (32 bytes). Does not check that the key is on the curve."""
    if len(key) != 32:
        raise ValueError(f"an x-only key has 32 bytes, not {len(key)}")
    return PeerId(base58_encode(_PREFIX + b"\x02" + key))


def peer_id_of(public_key: bytes) -> PeerId:
    """The peer id of a compressed key (33 bytes); the sign of y is ignored (module docstring)."""
    if len(public_key) != 33 or public_key[0] not in (2, 3):
        raise ValueError("a compressed public key has 33 bytes and starts with 02 or 03")
    return peer_id_of_xonly(public_key[1:])


def xonly_of(peer: PeerId) -> XOnlyKey:
    """The key behind a peer id. Raises ValueError unless it is the canonical spelling of one."""
    if len(peer) > _TEXT_MAX:
        raise ValueError(f"not a peer id: {peer[:_TEXT_MAX]!r}...")
    raw = base58_decode(peer)
    if (
        len(raw) != _ID_LENGTH
        or not raw.startswith(_PREFIX + b"\x02")
        or base58_encode(raw) != peer
    ):
        raise ValueError(f"not the peer id of an even secp256k1 key: {peer!r}")
    return XOnlyKey(raw[-32:])


def even_secret(secret: bytes, public_key: bytes) -> bytes:
    """`secret`, negated if its compressed `public_key` has an odd y."""
    if public_key[0] == 2:
        return secret
    return (SECP256K1_ORDER - int.from_bytes(secret, "big")).to_bytes(32, "big")
