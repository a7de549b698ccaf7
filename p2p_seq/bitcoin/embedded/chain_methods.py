"""JSON-RPC methods that read the best chain, by Bitcoin Core's names.

Every public method of a `Methods` class is one RPC: its parameter names are bitcoind's, its
docstring says what it returns. Parameters are JSON of any kind until `arguments` has checked them.
"""

from collections.abc import Callable
from typing import Final

from p2p_seq.bitcoin.block import Block
from p2p_seq.bitcoin.embedded import arguments
from p2p_seq.bitcoin.embedded.arguments import RpcCode, RpcError
from p2p_seq.bitcoin.embedded.chain import REGTEST_BITS, REGTEST_TARGET
from p2p_seq.bitcoin.embedded.merkle import build_proof, read_proof
from p2p_seq.bitcoin.embedded.node import RegtestNode
from p2p_seq.bitcoin.embedded.records import Coin, HeaderRecord
from p2p_seq.bitcoin.embedded.views import (
    DIFFICULTY,
    JsonObject,
    bitcoin_amount,
    block_transactions_view,
    chain_work,
    header_view,
    script_view,
)
from p2p_seq.protocol.errors import CodecError
from p2p_seq.protocol.types import Hash32, OutPoint, display_id

BLOCK_NOT_FOUND: Final = "Block not found"
TX_NOT_FOUND: Final = (
    "No such mempool or blockchain transaction. Use gettransaction for wallet transactions."
)
MAX_PROOF_IDS: Final = 10_000
MAX_OUTPOINTS: Final = 10_000
MAX_SCAN_SCRIPTS: Final = 10_000

_IS_FRESH_SECONDS: Final = 24 * 3600


class Methods:
    def __init__(self, node: RegtestNode, clock: Callable[[], float]) -> None:
        self._node = node
        self._chain = node.chain
        self._mempool = node.mempool
        self._clock = clock

    def _header(self, block_hash: Hash32) -> HeaderRecord:
        record = self._chain.header(block_hash)
        if record is None:
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, BLOCK_NOT_FOUND)
        return record

    def _raw_block(self, block_hash: Hash32) -> bytes:
        encoded = self._chain.index.raw_block(block_hash)
        if encoded is None:
            self._header(block_hash)
            raise RpcError(RpcCode.MISC_ERROR, "Block not available (not fully downloaded)")
        return encoded

    def _confirmations(self, block_hash: Hash32, height: int) -> int:
        if self._chain.index.hash_at(height) != block_hash:
            return -1
        return self._chain.tip().height - height + 1

    def _confirmed(self, txid: Hash32) -> tuple[Hash32, bytes] | None:
        """Block and bytes of a confirmed transaction."""
        location = self._chain.index.location(txid)
        if location is None:
            return None
        encoded = self._raw_block(location.block)
        return location.block, encoded[location.offset : location.offset + location.length]


class ChainMethods(Methods):
    """What is in the best chain."""

    def getblockchaininfo(self) -> JsonObject:
        """State of the chain."""
        tip = self._chain.tip()
        record = self._header(tip.hash)
        return {
            "chain": arguments.CHAIN,
            "blocks": tip.height,
            "headers": tip.height,
            "bestblockhash": display_id(tip.hash),
            "bits": f"{REGTEST_BITS:08x}",
            "target": f"{REGTEST_TARGET:064x}",
            "difficulty": DIFFICULTY,
            "time": record.header.time,
            "mediantime": tip.median_time_past,
            "verificationprogress": 1,
            "initialblockdownload": self._clock() - record.header.time > _IS_FRESH_SECONDS,
            "chainwork": chain_work(tip.height),
            "size_on_disk": self._chain.size_on_disk(),
            "pruned": False,
            "warnings": [],
        }

    def getblockcount(self) -> int:
        """Height of the tip."""
        return self._chain.tip().height

    def getbestblockhash(self) -> str:
        """Id of the tip."""
        return display_id(self._chain.tip().hash)

    def getblockhash(self, height: object) -> str:
        """Id of the best chain's block at a height."""
        number = arguments.integer(height, -(2**31), 2**31 - 1, "height")
        found = self._chain.index.hash_at(number)
        if found is None:
            raise RpcError(RpcCode.INVALID_PARAMETER, "Block height out of range")
        return display_id(found)

    def getblockheader(self, blockhash: object, verbose: object = True) -> str | JsonObject:
        """A header, decoded or as 160 hexadecimal digits."""
        block_hash = arguments.digest(blockhash, "hash")
        record = self._header(block_hash)
        if not arguments.boolean(verbose):
            return record.header.serialize().hex()
        return self._header_view(block_hash, record)

    def _header_view(self, block_hash: Hash32, record: HeaderRecord) -> JsonObject:
        confirmations = self._confirmations(block_hash, record.height)
        median_time = self._chain.median_time_past(block_hash)
        view = header_view(block_hash, record, median_time, confirmations)
        following = self._chain.index.hash_at(record.height + 1)
        if confirmations > 0 and following is not None:
            view["nextblockhash"] = display_id(following)
        return view

    def getblock(self, blockhash: object, verbosity: object = 1) -> str | JsonObject:
        """A block: bytes, ids, decoded, or decoded with what it spends (verbosity 0 to 3)."""
        block_hash = arguments.digest(blockhash, "blockhash")
        level = arguments.verbosity(verbosity, 3)
        record = self._header(block_hash)
        encoded = self._raw_block(block_hash)
        if level == 0:
            return encoded.hex()
        view = self._header_view(block_hash, record)
        block = Block.parse(encoded)
        # Only blocks of the best chain have a record of what they spend.
        spent = self._chain.index.undo(block_hash) if view["confirmations"] > 0 else None
        view["strippedsize"] = (record.weight - record.size) // 3
        view["size"] = record.size
        view["weight"] = record.weight
        view["tx"] = block_transactions_view(block, level, spent)
        return view

    def gettxout(self, txid: object, n: object, include_mempool: object = True) -> object:
        """An unspent output, or null."""
        outpoint = OutPoint(arguments.digest(txid, "txid"), output_number(n))
        tip = self._chain.tip()
        confirmations: int
        coin: Coin | None
        if arguments.boolean(include_mempool):
            if outpoint in self._mempool.spenders:
                return None
            coin = self._mempool.coin(outpoint)
        else:
            coin = self._chain.index.coin(outpoint)
        if coin is None:
            return None
        confirmations = tip.height - coin.height + 1
        return {
            "bestblock": display_id(tip.hash),
            "confirmations": confirmations,
            "value": bitcoin_amount(coin.output.value),
            "scriptPubKey": script_view(coin.output.script),
            "coinbase": coin.is_coinbase,
        }

    def gettxoutproof(self, txids: object, blockhash: object = None) -> str:
        """The proof that transactions are in one block."""
        wanted = {arguments.digest(item, "txid") for item in arguments.array(txids, MAX_PROOF_IDS)}
        if not wanted:
            raise RpcError(RpcCode.INVALID_PARAMETER, "Parameter 'txids' cannot be empty")
        if blockhash is not None:
            block_hash = arguments.digest(blockhash, "blockhash")
        else:
            found = {self._chain.index.location(txid) for txid in wanted}
            located = {item.block for item in found if item is not None}
            if not located:
                raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Transaction not yet in block")
            block_hash = min(located)
        block = Block.parse(self._raw_block(block_hash))
        all_txids = [transaction.txid for transaction in block.transactions]
        if not wanted <= set(all_txids):
            raise RpcError(
                RpcCode.INVALID_ADDRESS_OR_KEY,
                "Not all transactions found in specified or retrieved block",
            )
        return build_proof(block.header, all_txids, wanted).hex()

    def verifytxoutproof(self, proof: object) -> list[str]:
        """The ids that a proof proves; empty when it proves nothing about the best chain."""
        encoded = arguments.hexadecimal(proof, "Proof decode failed")
        try:
            header, count, txids = read_proof(encoded)
        except CodecError:
            return []
        record = self._chain.header(header.hash)
        if record is None or not self._chain.is_active(header.hash):
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Block not found in chain")
        return [display_id(txid) for txid in txids] if record.transactions == count else []

    def scantxoutset(self, action: object, scanobjects: object = None) -> object:
        """All unspent outputs of some scripts (`start` only; the scan ends before the answer)."""
        if action in ("status", "abort"):
            return None if action == "status" else False
        if action != "start":
            raise RpcError(RpcCode.INVALID_PARAMETER, f"Invalid action '{action}'")
        wanted: dict[bytes, str] = {}
        for item in arguments.array(scanobjects, MAX_SCAN_SCRIPTS):
            spelled = arguments.json_object(item).get("desc") if isinstance(item, dict) else item
            script = arguments.script_of_descriptor(spelled)
            wanted[script] = arguments.text(spelled)
        tip = self._chain.tip()
        scanned = 0
        total = 0
        unspents: list[JsonObject] = []
        for outpoint, coin in self._chain.index.coins():
            scanned += 1
            if coin.output.script in wanted:
                total += coin.output.value
                unspents.append(
                    {
                        "txid": display_id(outpoint.txid),
                        "vout": outpoint.vout,
                        "scriptPubKey": coin.output.script.hex(),
                        "desc": wanted[coin.output.script],
                        "amount": bitcoin_amount(coin.output.value),
                        "coinbase": coin.is_coinbase,
                        "height": coin.height,
                        "blockhash": display_id(self._chain.hash_at(coin.height)),
                        "confirmations": tip.height - coin.height + 1,
                    }
                )
        return {
            "success": True,
            "txouts": scanned,
            "height": tip.height,
            "bestblock": display_id(tip.hash),
            "unspents": unspents,
            "total_amount": bitcoin_amount(total),
        }

    def getblockfilter(self, blockhash: object, filtertype: object = "basic") -> object:
        """Answers as a bitcoind without `-blockfilterindex`."""
        name = arguments.text(filtertype)
        if name != "basic":
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Unknown filtertype")
        arguments.digest(blockhash, "blockhash")
        raise RpcError(RpcCode.MISC_ERROR, f"Index is not enabled for filtertype {name}")

    def getindexinfo(self, index_name: object = "") -> JsonObject:
        """The transaction index, which this node always has."""
        if arguments.text(index_name) not in ("", "txindex"):
            return {}
        return {"txindex": {"synced": True, "best_block_height": self._chain.tip().height}}


def output_number(value: object) -> int:
    """The number of an output."""
    return arguments.integer(value, 0, 2**32 - 1, "vout")
