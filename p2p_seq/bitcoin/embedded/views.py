"""Blocks, transactions and mempool entries as Bitcoin Core's JSON shows them. Pure.

Left out of bitcoind's objects: `asm` and `desc` of scripts.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from p2p_seq.bitcoin.address import encode_address
from p2p_seq.bitcoin.block import Block
from p2p_seq.bitcoin.embedded.arguments import CHAIN
from p2p_seq.bitcoin.embedded.mempool import Entry, Mempool
from p2p_seq.bitcoin.embedded.policy import PAY_TO_ANCHOR
from p2p_seq.bitcoin.embedded.records import Coin, HeaderRecord
from p2p_seq.bitcoin.script import Op, OutputKind, classify
from p2p_seq.bitcoin.transaction import Transaction, TxIn
from p2p_seq.protocol.types import Hash32, display_id

JsonObject = dict[str, Any]

DIFFICULTY: Final = 4.656542373906925e-10
"""Regtest's, always."""

WORK_PER_BLOCK: Final = 2
"""Expected hashes of a regtest block."""

_TYPE_NAMES: Final = {
    OutputKind.P2PKH: "pubkeyhash",
    OutputKind.P2SH: "scripthash",
    OutputKind.P2WPKH: "witness_v0_keyhash",
    OutputKind.P2WSH: "witness_v0_scripthash",
    OutputKind.P2TR: "witness_v1_taproot",
}


def bitcoin_amount(satoshi: int) -> Decimal:
    """BTC with eight decimals."""
    return Decimal(satoshi).scaleb(-8)


def chain_work(height: int) -> str:
    """Total expected hashes of a chain of this height, 64 hexadecimal digits."""
    return f"{WORK_PER_BLOCK * (height + 1):064x}"


def script_view(script: bytes) -> JsonObject:
    kind = classify(script)
    if kind is not None:
        address = encode_address(script, CHAIN)
        return {"hex": script.hex(), "address": address, "type": _TYPE_NAMES[kind]}
    if script[:1] == bytes([Op.RETURN]):
        name = "nulldata"
    else:
        name = "anchor" if script == PAY_TO_ANCHOR else "nonstandard"
    return {"hex": script.hex(), "type": name}


def header_view(
    block_hash: Hash32, record: HeaderRecord, median_time: int, confirmations: int
) -> JsonObject:
    """`getblockheader`; -1 confirmations are a block outside the best chain."""
    header = record.header
    view: JsonObject = {
        "hash": display_id(block_hash),
        "confirmations": confirmations,
        "height": record.height,
        "version": header.version,
        "versionHex": f"{header.version:08x}",
        "merkleroot": display_id(header.merkle_root),
        "time": header.time,
        "mediantime": median_time,
        "nonce": header.nonce,
        "bits": f"{header.bits:08x}",
        "difficulty": DIFFICULTY,
        "chainwork": chain_work(record.height),
        "nTx": record.transactions,
    }
    if record.height:
        view["previousblockhash"] = display_id(header.previous)
    return view


def block_transactions_view(
    block: Block, verbosity: int, spent: Sequence[Coin] | None
) -> list[str] | list[JsonObject]:
    """Ids at verbosity 1; decoded with fee at 2, and with the spent outputs at 3."""
    if verbosity < 2:
        return [display_id(transaction.txid) for transaction in block.transactions]
    views: list[JsonObject] = []
    position = 0
    for transaction in block.transactions:
        coins: Sequence[Coin] | None = None
        if spent is not None and not transaction.is_coinbase:
            coins = spent[position : position + len(transaction.inputs)]
            position += len(transaction.inputs)
        view = transaction_view(transaction, coins if verbosity > 2 else None)
        if coins is not None:
            view["fee"] = bitcoin_amount(_fee(transaction, coins))
        views.append(view)
    return views


def _fee(transaction: Transaction, coins: Sequence[Coin]) -> int:
    paid = sum(output.value for output in transaction.outputs)
    return sum(coin.output.value for coin in coins) - paid


def transaction_view(transaction: Transaction, spent: Sequence[Coin] | None = None) -> JsonObject:
    """`getrawtransaction` and `getblock`; `spent` adds the outputs that the inputs name."""
    encoded = transaction.serialize()
    inputs = [_input_view(item, transaction.is_coinbase) for item in transaction.inputs]
    if spent is not None:
        for view, coin in zip(inputs, spent, strict=True):
            view["prevout"] = {
                "generated": coin.is_coinbase,
                "height": coin.height,
                "value": bitcoin_amount(coin.output.value),
                "scriptPubKey": script_view(coin.output.script),
            }
    return {
        "txid": display_id(transaction.txid),
        "hash": display_id(transaction.wtxid),
        "version": transaction.version,
        "size": len(encoded),
        "vsize": transaction.vsize,
        "weight": transaction.weight,
        "locktime": transaction.lock_time,
        "vin": inputs,
        "vout": [
            {
                "value": bitcoin_amount(output.value),
                "n": vout,
                "scriptPubKey": script_view(output.script),
            }
            for vout, output in enumerate(transaction.outputs)
        ],
        "hex": encoded.hex(),
    }


def _input_view(item: TxIn, is_coinbase: bool) -> JsonObject:
    view: JsonObject
    if is_coinbase:
        view = {"coinbase": item.script_sig.hex()}
    else:
        view = {
            "txid": display_id(item.previous.txid),
            "vout": item.previous.vout,
            "scriptSig": {"hex": item.script_sig.hex()},
        }
    if item.witness:
        view["txinwitness"] = [element.hex() for element in item.witness]
    view["sequence"] = item.sequence
    return view


def entry_view(mempool: Mempool, entry: Entry) -> JsonObject:
    """`getmempoolentry`."""
    ancestors = mempool.ancestors([entry.txid])
    descendants = {*mempool.descendants(entry.txid), entry.txid}

    def total(txids: set[Hash32]) -> tuple[int, Decimal]:
        entries = [mempool.entries[txid] for txid in txids]
        fee = sum(item.fee for item in entries)
        return sum(item.vsize for item in entries), bitcoin_amount(fee)

    ancestor_size, ancestor_fee = total(ancestors)
    descendant_size, descendant_fee = total(descendants)
    fee = bitcoin_amount(entry.fee)
    return {
        "vsize": entry.vsize,
        "weight": entry.transaction.weight,
        "time": entry.time,
        "height": entry.height,
        "descendantcount": len(descendants),
        "descendantsize": descendant_size,
        "ancestorcount": len(ancestors),
        "ancestorsize": ancestor_size,
        "wtxid": display_id(entry.transaction.wtxid),
        "fees": {
            "base": fee,
            "modified": fee,
            "ancestor": ancestor_fee,
            "descendant": descendant_fee,
        },
        "depends": [display_id(txid) for txid in entry.parents],
        "spentby": [display_id(txid) for txid in entry.children],
        "unbroadcast": False,
    }
