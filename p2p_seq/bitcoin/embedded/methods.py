"""JSON-RPC methods about transactions, the mempool and mining, by Bitcoin Core's names.

See `chain_methods.py` for the conventions.
"""

from collections.abc import Sequence
from typing import Final

from p2p_seq.bitcoin.block import Block
from p2p_seq.bitcoin.embedded import arguments
from p2p_seq.bitcoin.embedded.arguments import RpcCode, RpcError
from p2p_seq.bitcoin.embedded.chain_methods import Methods, output_number
from p2p_seq.bitcoin.embedded.node import MINE_BATCH, BlockRefusedError
from p2p_seq.bitcoin.embedded.policy import TransactionRefusedError
from p2p_seq.bitcoin.embedded.records import Coin
from p2p_seq.bitcoin.embedded.views import (
    JsonObject,
    bitcoin_amount,
    entry_view,
    transaction_view,
)
from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.protocol.errors import CodecError, LocalError
from p2p_seq.protocol.types import Hash32, OutPoint, display_id

TX_NOT_FOUND: Final = (
    "No such mempool or blockchain transaction. Use gettransaction for wallet transactions."
)
MAX_OUTPOINTS: Final = 10_000


class TransactionMethods(Methods):
    """Single transactions and the mempool."""

    def getrawtransaction(
        self, txid: object, verbosity: object = 0, blockhash: object = None
    ) -> str | JsonObject:
        """A transaction of the mempool or of the best chain: bytes, or decoded (1, 2)."""
        wanted = arguments.digest(txid, "parameter 1")
        level = arguments.verbosity(verbosity, 2)
        block_hash: Hash32 | None = None
        if blockhash is not None:
            block_hash = arguments.digest(blockhash, "parameter 3")
            encoded = self._in_block(wanted, block_hash)
        elif wanted in self._mempool.entries:
            encoded = self._mempool.entries[wanted].encoded
        else:
            found = self._confirmed(wanted)
            if found is None:
                raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, TX_NOT_FOUND)
            block_hash, encoded = found
        if level == 0:
            return encoded.hex()
        transaction = Transaction.parse(encoded)
        view = transaction_view(transaction, self._spent(transaction, level, block_hash))
        if block_hash is not None:
            record = self._header(block_hash)
            confirmations = self._confirmations(block_hash, record.height)
            view["blockhash"] = display_id(block_hash)
            view["confirmations"] = max(confirmations, 0)
            view["time"] = view["blocktime"] = record.header.time
        return view

    def _in_block(self, txid: Hash32, block_hash: Hash32) -> bytes:
        for transaction in Block.parse(self._raw_block(block_hash)).transactions:
            if transaction.txid == txid:
                return transaction.serialize()
        message = "No such transaction found in the provided block. "
        raise RpcError(
            RpcCode.INVALID_ADDRESS_OR_KEY,
            message + "Use gettransaction for wallet transactions.",
        )

    def _spent(
        self, transaction: Transaction, level: int, block_hash: Hash32 | None
    ) -> Sequence[Coin] | None:
        """What a transaction spends, when that is asked for and known."""
        if level < 2 or transaction.is_coinbase:
            return None
        if block_hash is None:
            return self._mempool.entries[transaction.txid].spent
        if not self._chain.is_active(block_hash):
            return None
        coins = self._chain.index.undo(block_hash)
        for other in Block.parse(self._raw_block(block_hash)).transactions[1:]:
            if other.txid == transaction.txid:
                return coins[: len(other.inputs)]
            del coins[: len(other.inputs)]
        raise LocalError("an indexed transaction is not in its block")

    def getrawmempool(self, verbose: object = False, mempool_sequence: object = False) -> object:
        """Ids in the mempool, or entries by id."""
        if arguments.boolean(verbose):
            return {
                display_id(txid): entry_view(self._mempool, entry)
                for txid, entry in self._mempool.entries.items()
            }
        txids = [display_id(txid) for txid in self._mempool.entries]
        if arguments.boolean(mempool_sequence):
            return {"txids": txids, "mempool_sequence": self._mempool.changes + 1}
        return txids

    def getmempoolentry(self, txid: object) -> JsonObject:
        """One entry of the mempool."""
        entry = self._mempool.entries.get(arguments.digest(txid, "txid"))
        if entry is None:
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Transaction not in mempool")
        return entry_view(self._mempool, entry)

    def getmempoolinfo(self) -> JsonObject:
        """Size and limits of the mempool."""
        entries = self._mempool.entries.values()
        policy = self._mempool.policy
        minimum = bitcoin_amount(policy.minimum_feerate)
        return {
            "loaded": True,
            "size": len(entries),
            "bytes": sum(entry.vsize for entry in entries),
            "usage": self._mempool.total_bytes,
            "total_fee": bitcoin_amount(sum(entry.fee for entry in entries)),
            "maxmempool": policy.max_mempool_bytes,
            "mempoolminfee": minimum,
            "minrelaytxfee": minimum,
            "incrementalrelayfee": minimum,
            "unbroadcastcount": 0,
            "fullrbf": True,
        }

    def gettxspendingprevout(self, outputs: object) -> list[JsonObject]:
        """Which transactions of the mempool spend some outputs."""
        views: list[JsonObject] = []
        for item in arguments.array(outputs, MAX_OUTPOINTS):
            named = arguments.json_object(item)
            txid = arguments.digest(named.get("txid"), "txid")
            outpoint = OutPoint(txid, output_number(named.get("vout")))
            view: JsonObject = {"txid": display_id(txid), "vout": outpoint.vout}
            spender = self._mempool.spenders.get(outpoint)
            if spender is not None:
                view["spendingtxid"] = display_id(spender)
            views.append(view)
        if not views:
            raise RpcError(RpcCode.INVALID_PARAMETER, "Invalid parameter, outputs are missing")
        return views

    def estimatesmartfee(self, conf_target: object, estimate_mode: object = "") -> JsonObject:
        """Answers as a bitcoind that has seen too few transactions to estimate."""
        blocks = arguments.integer(conf_target, 1, 1008, "conf_target")
        arguments.text(estimate_mode)
        return {"errors": ["Insufficient data or no feerate found"], "blocks": max(blocks, 2)}


class MiningMethods(Methods):
    """Whole blocks of others and of our own."""

    def submitblock(self, hexdata: object, dummy: object = None) -> str | None:
        """null, or why a block is not the new tip (BIP22)."""
        encoded = arguments.hexadecimal(hexdata, "Block decode failed")
        reason = self._node.submit_block(encoded)
        if reason == "bad-block-encoding":
            raise RpcError(RpcCode.DESERIALIZATION_ERROR, "Block decode failed")
        return reason

    def generateblock(
        self, output: object, transactions: object, submit: object = True
    ) -> JsonObject:
        """Mine exactly these transactions (bytes, or ids of the mempool), without any policy."""
        script = arguments.script_of_descriptor(output)
        chosen: list[bytes | Hash32] = []
        for item in arguments.array(transactions, 100_000):
            spelled = arguments.text(item)
            if len(spelled) == 64:
                chosen.append(arguments.digest(spelled, "txid"))
            else:
                chosen.append(arguments.hexadecimal(spelled, "Transaction decode failed"))
        is_submitted = arguments.boolean(submit)
        try:
            block_hash, block = self._node.generate_block(chosen, script, is_submitted)
        except TransactionRefusedError as refusal:
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Transaction not in mempool.") from (
                refusal
            )
        except CodecError as error:
            raise RpcError(RpcCode.DESERIALIZATION_ERROR, "Transaction decode failed") from error
        except BlockRefusedError as error:
            raise RpcError(RpcCode.VERIFY_ERROR, f"TestBlockValidity failed: {error}") from error
        view: JsonObject = {"hash": display_id(block_hash)}
        if not is_submitted:
            view["hex"] = block.hex()
        return view

    def p2pseq_reorg(
        self, depth: object, empty: object = True, address: object = None
    ) -> list[str]:
        """Not bitcoind's: replace the last `depth` blocks by one more, and return their ids.

        `empty`: the replaced transactions return to the mempool, else they are mined again.
        """
        tip = self._chain.tip()
        number = arguments.integer(depth, 1, MINE_BATCH - 1, "depth")
        if tip.height < number:
            raise RpcError(RpcCode.INVALID_PARAMETER, f"depth {number} is out of range")
        script = b"\x51" if address is None else arguments.script_of_descriptor(address)
        mined = self._node.reorg(number, arguments.boolean(empty), script)
        return [display_id(block_hash) for block_hash in mined]
