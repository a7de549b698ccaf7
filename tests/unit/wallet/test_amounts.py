"""Amounts are exact, have a unit, and read back as they were written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.protocol.errors import OperatorError
from p2p_seq.wallet.amounts import SUPPLY_SATS, format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "sats"),
    [
        ("0.5btc", 50_000_000),
        ("1000sat", 1_000),
        ("1 sat", 1),
        ("2 SATS", 2),
        ("0.00000001 BTC", 1),
        ("21000000btc", SUPPLY_SATS),
        ("1.0sat", 1),
        (" 7sat ", 7),
    ],
)
def test_amounts(text: str, sats: int) -> None:
    assert parse_amount(text) == sats


NO_NUMBER = "it is not a number with the unit btc or sat"
NO_SATOSHI = "it is not a whole number of satoshi"
NO_MONEY = "it is not between 1 sat and 21000000 BTC"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5", NO_NUMBER),
        ("", NO_NUMBER),
        ("btc", NO_NUMBER),
        ("-1sat", NO_NUMBER),
        ("1e3sat", NO_NUMBER),
        ("1,000sat", NO_NUMBER),
        ("1.btc", NO_NUMBER),
        (".5btc", NO_NUMBER),
        ("٣sat", NO_NUMBER),
        ("1 mbtc", NO_NUMBER),
        ("9" * 17 + "sat", NO_NUMBER),
        ("0.5sat", NO_SATOSHI),
        ("0.000000001btc", NO_SATOSHI),
        ("0sat", NO_MONEY),
        ("21000001btc", NO_MONEY),
    ],
)
def test_what_is_no_amount(text: str, why: str) -> None:
    with pytest.raises(OperatorError) as caught:
        parse_amount(text)
    error = caught.value
    assert (error.what, error.why) == (f"{text[:40]!r} is not an amount", why)
    assert (error.do, error.code) == ("write it like 0.5btc or 50000sat", 2)


@given(st.integers(1, SUPPLY_SATS))
def test_written_amounts_read_back(sats: int) -> None:
    assert parse_amount(format_amount(sats)) == sats


def test_differences_are_written_with_their_sign() -> None:
    assert format_amount(-150_000_000) == "-1.50000000 BTC"
