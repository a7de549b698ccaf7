"""Path arguments: strict, with an error that says what would be right."""

from typing import Final

from p2p_seq.api.problems import wrong_argument
from p2p_seq.protocol.types import BlockHeight, Hash32, OutPoint, parse_display_id

NUMBER_MAX: Final = 2**64 - 1
NUMBER_DIGITS: Final = 20


def number(name: str, text: str) -> int:
    """A canonical decimal u64."""
    is_decimal = text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS
    if is_decimal and str(int(text)) == text and int(text) <= NUMBER_MAX:
        return int(text)
    raise wrong_argument(name, f"{shown(text)} is no number", "give decimal digits, below 2^64")


def digest(name: str, text: str) -> Hash32:
    """64 lower-case hexadecimal digits, in the order of the bytes."""
    if len(text) == 64 and all(letter in "0123456789abcdef" for letter in text):
        return Hash32(bytes.fromhex(text))
    raise wrong_argument(
        name, f"{shown(text)} is no 32-byte id", "give 64 lower-case hexadecimal digits"
    )


def block_selector(text: str) -> BlockHeight | Hash32 | None:
    """`latest`, a height or a digest."""
    if text == "latest":
        return None
    if len(text) == 64:
        return digest("block", text)
    return BlockHeight(number("block", text))


def outpoint(text: str) -> OutPoint:
    """`txid:vout`, the txid as Bitcoin's tools show it."""
    txid, colon, vout = text.partition(":")
    if not colon:
        raise wrong_argument("outpoint", f"{shown(text)} has no colon", "give <txid>:<output>")
    digest("outpoint", txid)
    index = number("outpoint", vout)
    if index >= 2**32:
        raise wrong_argument("outpoint", f"{index} is no output index", "give <txid>:<output>")
    return OutPoint(parse_display_id(txid), index)


def shown(text: str) -> str:
    """What the client sent, short enough to repeat."""
    return repr(text) if len(text) <= 80 else repr(text[:77]) + "..."
