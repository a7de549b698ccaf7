"""Which coins a script owns, asked from a node without a wallet.

`scantxoutset` walks the whole UTXO set: seconds on mainnet, milliseconds on a testnet. Nothing of
ours depends on wallet RPCs (DESIGN.md section 4).
"""

from decimal import Decimal
from typing import Any, Final

from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.bitcoin.wallet import Coin
from p2p_seq.bitcoin.watcher import BitcoinSource
from p2p_seq.protocol.types import OutPoint, Sats, display_id, parse_display_id

COINBASE_MATURITY: Final = 100
"""Confirmations that a coinbase needs before it can be spent."""


def sats_of(amount: object) -> Sats:
    """Satoshi of a JSON amount in bitcoin. Raises ValueError on anything but an exact amount."""
    value = Decimal(str(amount)) * 100_000_000
    if value != value.to_integral_value():
        raise ValueError(f"not an amount of bitcoin: {amount!r}")
    return Sats(int(value))


async def find_coins(bitcoin: BitcoinSource, script: bytes) -> list[Coin]:
    """Mature, unspent coins of `script` that no transaction of the mempool spends."""
    answer: Any = await bitcoin.call("scantxoutset", "start", [f"raw({script.hex()})"])
    tip = int(answer["height"])
    coins: list[Coin] = []
    for item in answer["unspents"]:
        immature = item.get("coinbase") and tip - item["height"] + 1 < COINBASE_MATURITY
        if not immature:
            outpoint = OutPoint(parse_display_id(item["txid"]), int(item["vout"]))
            coins.append(Coin(outpoint, TxOut(sats_of(item["amount"]), script)))
    return await _unspent_in_mempool(bitcoin, coins)


async def _unspent_in_mempool(bitcoin: BitcoinSource, coins: list[Coin]) -> list[Coin]:
    if not coins:
        return []
    asked = [{"txid": display_id(c.outpoint.txid), "vout": c.outpoint.vout} for c in coins]
    answer: Any = await bitcoin.call("gettxspendingprevout", asked)
    return [coin for coin, spent in zip(coins, answer, strict=True) if "spendingtxid" not in spent]
