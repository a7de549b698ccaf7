"""BIP340 signing: the one file that touches the curve library's secret half.

Signatures are deterministic (auxiliary randomness of 32 zero bytes), so signing the same message
twice gives the same bytes: a signer that crashed between signing and sending repeats itself
instead of producing a second signature. Who may sign what is decided above this file, never in it.

Taproot key-path signatures use the secret of the tweaked output key (BIP341, "Constructing and
spending Taproot outputs").
"""

from typing import Final

from coincurve import PrivateKey, PublicKeyXOnly

from p2p_seq.bitcoin.taproot import tap_tweak
from p2p_seq.protocol.errors import LocalError
from p2p_seq.protocol.types import Signature, XOnlyKey

GROUP_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of secp256k1 (SEC 2)."""

_ZERO_AUXILIARY: Final = bytes(32)


def is_secret(secret: bytes) -> bool:
    """Whether these 32 bytes are a secret key: between 1 and the group order minus 1."""
    return len(secret) == 32 and 0 < int.from_bytes(secret, "big") < GROUP_ORDER


def _checked(secret: bytes) -> bytes:
    if not is_secret(secret):
        # The bytes themselves never enter a message: messages end in logs.
        raise LocalError("not a secret key of secp256k1")
    return bytes(secret)


def public_key(secret: bytes) -> XOnlyKey:
    """The x-only key of a 32-byte secret. Raises LocalError when it is no secret."""
    return XOnlyKey(PublicKeyXOnly.from_valid_secret(_checked(secret)).format())


def sign(secret: bytes, message: bytes) -> Signature:
    """The deterministic BIP340 signature of a 32-byte message. Raises LocalError for wrong
    lengths.
    """
    if len(message) != 32:
        raise LocalError(f"a message to sign has 32 bytes, not {len(message)}")
    return Signature(PrivateKey(_checked(secret)).sign_schnorr(bytes(message), _ZERO_AUXILIARY))


def output_secret(secret: bytes, merkle_root: bytes = b"") -> bytes:
    """The secret of the P2TR output key whose internal key is `public_key(secret)` (BIP341)."""
    point = PublicKeyXOnly.from_valid_secret(_checked(secret))
    scalar = int.from_bytes(secret, "big")
    even = GROUP_ORDER - scalar if point.parity else scalar
    tweak = int.from_bytes(tap_tweak(XOnlyKey(point.format()), merkle_root), "big")
    return ((even + tweak) % GROUP_ORDER).to_bytes(32, "big")


def sign_key_path(secret: bytes, message: bytes, merkle_root: bytes = b"") -> Signature:
    """Sign with the output key's secret: a taproot key-path spend."""
    return sign(output_secret(secret, merkle_root), message)


def _self_test() -> None:
    """BIP340 vector 0, whose auxiliary randomness is zero like ours."""
    expected = (
        "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215"
        "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0"
    )
    if sign((3).to_bytes(32, "big"), bytes(32)).hex() != expected:
        raise LocalError("the installed curve library does not sign BIP340's own vector")


_self_test()
