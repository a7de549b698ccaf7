"""Parameters of a JSON-RPC call: hostile JSON until one of these functions has looked at it."""

from decimal import Decimal
from enum import IntEnum
from typing import Final

from p2p_seq.bitcoin.address import decode_address
from p2p_seq.bitcoin.wire import MAX_BLOCK_WEIGHT, MAX_MONEY
from p2p_seq.protocol.errors import CodecError
from p2p_seq.protocol.types import Hash32, parse_display_id

CHAIN: Final = "regtest"

_MAX_SCRIPT_BYTES: Final = 10_000


class RpcCode(IntEnum):
    """Bitcoin Core's error codes (`rpc/protocol.h`)."""

    MISC_ERROR = -1
    TYPE_ERROR = -3
    INVALID_ADDRESS_OR_KEY = -5
    OUT_OF_MEMORY = -7
    INVALID_PARAMETER = -8
    DESERIALIZATION_ERROR = -22
    VERIFY_ERROR = -25
    VERIFY_REJECTED = -26
    VERIFY_ALREADY_IN_UTXO_SET = -27
    INTERNAL_ERROR = -32603
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    PARSE_ERROR = -32700


class RpcError(Exception):
    """An error that the caller gets as JSON."""

    def __init__(self, code: RpcCode, message: str) -> None:
        super().__init__(f"{int(code)}: {message}")
        self.code = code
        self.message = message


def _wrong_type(value: object, expected: str) -> RpcError:
    return RpcError(
        RpcCode.TYPE_ERROR,
        f"JSON value of type {_json_type(value)} is not of expected type {expected}",
    )


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float | Decimal):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def text(value: object) -> str:
    """A JSON string."""
    if not isinstance(value, str):
        raise _wrong_type(value, "string")
    return value


def integer(value: object, minimum: int, maximum: int, name: str) -> int:
    """A whole JSON number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(value, "number")
    if not minimum <= value <= maximum:
        raise RpcError(RpcCode.INVALID_PARAMETER, f"{name} {value} is out of range")
    return value


def boolean(value: object) -> bool:
    """JSON true or false."""
    if not isinstance(value, bool):
        raise _wrong_type(value, "bool")
    return value


def verbosity(value: object, maximum: int) -> int:
    """A number, or true and false for one and zero."""
    if isinstance(value, bool):
        return int(value)
    return min(integer(value, 0, 2**31 - 1, "verbosity"), maximum)


def array(value: object, maximum: int) -> list[object]:
    """A JSON array of at most `maximum` items."""
    if not isinstance(value, list):
        raise _wrong_type(value, "array")
    if len(value) > maximum:
        raise RpcError(RpcCode.INVALID_PARAMETER, f"Array must contain at most {maximum} items")
    return value


def json_object(value: object) -> dict[str, object]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise _wrong_type(value, "object")
    return value


def digest(value: object, name: str) -> Hash32:
    """64 hexadecimal digits in the order that people use."""
    spelled = text(value)
    if len(spelled) != 64:
        raise RpcError(
            RpcCode.INVALID_PARAMETER,
            f"{name} must be of length 64 (not {len(spelled)}, for '{spelled[:80]}')",
        )
    try:
        return parse_display_id(spelled)
    except ValueError:
        raise RpcError(
            RpcCode.INVALID_PARAMETER, f"{name} must be hexadecimal string (not '{spelled}')"
        ) from None


def hexadecimal(value: object, what: str) -> bytes:
    """Bytes in hexadecimal, no longer than a block. `what` is said when they are not."""
    spelled = text(value)
    if len(spelled) > 2 * MAX_BLOCK_WEIGHT or not spelled.isalnum():
        raise RpcError(RpcCode.DESERIALIZATION_ERROR, what)
    try:
        return bytes.fromhex(spelled)
    except ValueError:
        raise RpcError(RpcCode.DESERIALIZATION_ERROR, what) from None


def amount(value: object) -> int:
    """BTC as number or string, at most 21 million, in satoshi."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise _wrong_type(value, "number or string")
    try:
        bitcoin = Decimal(str(value)[:32])
    except ArithmeticError:
        raise RpcError(RpcCode.TYPE_ERROR, "Invalid amount") from None
    if not (bitcoin.is_finite() and 0 <= bitcoin <= MAX_MONEY // 100_000_000):
        raise RpcError(RpcCode.TYPE_ERROR, "Amount out of range")
    return int(bitcoin.scaleb(8))


def feerate_limit(value: object) -> int | None:
    """`maxfeerate`: BTC/kvB, as sat/kvB; None when there is no limit."""
    satoshi = amount(value)
    if satoshi > 100_000_000:
        raise RpcError(RpcCode.INVALID_PARAMETER, "maxfeerate is out of range")
    return satoshi or None


def script_of_address(value: object) -> bytes:
    """The output script of a regtest address."""
    try:
        return decode_address(text(value), CHAIN)
    except CodecError:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Error: Invalid address") from None


def script_of_descriptor(value: object) -> bytes:
    """An address, `addr(ADDRESS)` or `raw(SCRIPT)`, with or without a checksum (not checked)."""
    spelled = text(value).partition("#")[0]
    if spelled.startswith("addr(") and spelled.endswith(")"):
        return script_of_address(spelled[5:-1])
    if spelled.startswith("raw(") and spelled.endswith(")"):
        try:
            script = bytes.fromhex(spelled[4:-1])
        except ValueError:
            script = b""
        if not 0 < len(script) <= _MAX_SCRIPT_BYTES:
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "raw() script is not valid")
        return script
    return script_of_address(spelled)
