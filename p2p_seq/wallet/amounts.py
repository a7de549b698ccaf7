"""Amounts as people write them: exact, and never without a unit.

"1.5" could be bitcoin or satoshi, and the difference is a hundred million: such text is refused
instead of guessed at.
"""

import re
from decimal import Decimal
from typing import Final

from p2p_seq.protocol.errors import OperatorError
from p2p_seq.protocol.types import Sats

SATS_PER_BTC: Final = 100_000_000

SUPPLY_SATS: Final = 21_000_000 * SATS_PER_BTC
"""More than there will ever be."""

_AMOUNT: Final = re.compile(r"([0-9]{1,16})(?:\.([0-9]{1,16}))? ?(btc|sats?)", re.IGNORECASE)
"""ASCII digits only: `\\d` would let digits of every script in."""


def parse_amount(text: str) -> Sats:
    """Satoshi of "0.5btc", "1000sat" or "1000 sats". Raises OperatorError with code 2."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise _refused(text, "it is not a number with the unit btc or sat")
    whole, fraction, unit = match[1], match[2] or "", match[3].lower()
    scale = SATS_PER_BTC if unit == "btc" else 1
    amount = Decimal(f"{whole}.{fraction or 0}") * scale
    if amount != amount.to_integral_value():
        raise _refused(text, "it is not a whole number of satoshi")
    if not 0 < amount <= SUPPLY_SATS:
        raise _refused(text, f"it is not between 1 sat and {SUPPLY_SATS // SATS_PER_BTC} BTC")
    return Sats(int(amount))


def format_amount(amount: int) -> str:
    """BTC with all eight places: "0.50000000 BTC"."""
    sign = "-" if amount < 0 else ""
    whole, fraction = divmod(abs(amount), SATS_PER_BTC)
    return f"{sign}{whole}.{fraction:08d} BTC"


def _refused(text: str, why: str) -> OperatorError:
    return OperatorError(
        f"{text[:40]!r} is not an amount", why, "write it like 0.5btc or 50000sat", code=2
    )
