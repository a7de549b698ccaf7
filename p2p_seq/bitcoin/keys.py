"""X-only keys and BIP340 verification: the one file that wraps the curve library's public half.

Every function takes hostile bytes and checks their length itself: the wrapped library reads 32
bytes from whatever it is given. Signing is in `p2p_seq.signer`.
"""

from coincurve import PublicKeyXOnly

from p2p_seq.bitcoin.wire import BitcoinReason
from p2p_seq.protocol.errors import CodecError, LocalError
from p2p_seq.protocol.types import XOnlyKey


def _point(encoded: bytes) -> PublicKeyXOnly | None:
    if len(encoded) != 32:
        return None
    try:
        return PublicKeyXOnly(bytes(encoded))
    except ValueError:
        return None


def is_xonly_key(encoded: bytes) -> bool:
    """Whether these are the 32 bytes of a point's x coordinate."""
    return _point(encoded) is not None


def parse_xonly_key(encoded: bytes) -> XOnlyKey:
    """The key that `encoded` is. Raises CodecError when it is no point of the curve."""
    if _point(encoded) is None:
        raise CodecError(BitcoinReason.KEY, f"{bytes(encoded[:33]).hex()} is not an x-only key")
    return XOnlyKey(bytes(encoded))


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """BIP340 verification of a 64-byte signature over a 32-byte message; False for anything
    malformed.
    """
    if len(signature) != 64 or len(message) != 32:
        return False
    point = _point(key)
    return point is not None and bool(point.verify(bytes(signature), bytes(message)))


def tweak_add(key: XOnlyKey, tweak: bytes) -> tuple[XOnlyKey, int]:
    """`lift_x(key) + tweak*G` as x-only key and the parity of its y (BIP341).

    Raises CodecError when `key` is no point or `tweak` is not below the group order.
    """
    point = _point(key)
    if point is None or len(tweak) != 32:
        raise CodecError(BitcoinReason.KEY, "cannot tweak what is not an x-only key")
    try:
        point.tweak_add(bytes(tweak))
    except ValueError as error:
        raise CodecError(BitcoinReason.KEY, "tweak out of range") from error
    return XOnlyKey(point.format()), int(point.parity)


def _self_test() -> None:
    """The published vectors 0 and 6 of BIP340: a good signature, and one whose R has an odd y."""
    good_key = bytes.fromhex("f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9")
    good_signature = bytes.fromhex(
        "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215"
        "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0"
    )
    bad_key = bytes.fromhex("dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659")
    bad_message = bytes.fromhex("243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89")
    bad_signature = bytes.fromhex(
        "fff97bd5755eeea420453a14355235d382f6472f8568a18b2f057a1460297556"
        "3cc27944640ac607cd107ae10923d9ef7a73c643e166be5ebeafa34b1ac553e2"
    )
    is_sound = verify(good_key, bytes(32), good_signature) and not verify(
        bad_key, bad_message, bad_signature
    )
    if not is_sound:
        raise LocalError("the installed curve library does not verify BIP340's own vectors")


_self_test()
