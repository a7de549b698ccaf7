"""JSON-RPC methods that bring new transactions, by Bitcoin Core's names.

See `chain_methods.py` for the conventions.
"""

from typing import Final

from p2p_seq.bitcoin.embedded import arguments
from p2p_seq.bitcoin.embedded.arguments import RpcCode, RpcError
from p2p_seq.bitcoin.embedded.chain_methods import Methods
from p2p_seq.bitcoin.embedded.index import is_spendable
from p2p_seq.bitcoin.embedded.mempool import Entry
from p2p_seq.bitcoin.embedded.policy import RejectReason, TransactionRefusedError
from p2p_seq.bitcoin.embedded.views import JsonObject, bitcoin_amount
from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.protocol.errors import CodecError
from p2p_seq.protocol.types import display_id

MAX_PACKAGE: Final = 25
"""Transactions in one package (Bitcoin Core `MAX_PACKAGE_COUNT`)."""

DEFAULT_MAX_FEERATE: Final = "0.10"
"""BTC/kvB that a caller has to raise before anything pays more (Bitcoin Core)."""

_DECODE_FAILED: Final = "TX decode failed. Make sure the tx has at least one input."


class SubmissionMethods(Methods):
    """New transactions."""

    def sendrawtransaction(
        self,
        hexstring: object,
        maxfeerate: object = DEFAULT_MAX_FEERATE,
        maxburnamount: object = 0,
    ) -> str:
        """Admit a transaction; returns its id, also when the mempool has it already."""
        encoded, transaction = _decode(hexstring)
        limit = arguments.feerate_limit(maxfeerate)
        self._check_burn(transaction, maxburnamount)
        if transaction.txid in self._mempool.entries:
            return display_id(transaction.txid)
        try:
            entry = self._mempool.evaluate(encoded).entry
            if _is_over(entry, limit):
                raise RpcError(
                    RpcCode.VERIFY_ERROR,
                    "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)",
                )
            self._node.accept(encoded)
        except TransactionRefusedError as refusal:
            raise _refusal(refusal) from refusal
        return display_id(transaction.txid)

    @staticmethod
    def _check_burn(transaction: Transaction, maximum: object) -> None:
        limit = arguments.amount(maximum)
        if any(
            not is_spendable(output.script) and output.value > limit
            for output in transaction.outputs
        ):
            raise RpcError(
                RpcCode.VERIFY_ERROR,
                "Unspendable output exceeds maximum configured by user (maxburnamount)",
            )

    def testmempoolaccept(
        self, rawtxs: object, maxfeerate: object = DEFAULT_MAX_FEERATE
    ) -> list[JsonObject]:
        """Whether transactions would be admitted one after the other; nothing changes."""
        limit = arguments.feerate_limit(maxfeerate)
        items = arguments.array(rawtxs, MAX_PACKAGE)
        if not items:
            raise RpcError(
                RpcCode.INVALID_PARAMETER,
                f"Array must contain between 1 and {MAX_PACKAGE} transactions.",
            )
        decoded = [_decode(item) for item in items]
        mempool = self._mempool.copy() if len(decoded) > 1 else self._mempool
        views: list[JsonObject] = []
        for encoded, transaction in decoded:
            view: JsonObject = {
                "txid": display_id(transaction.txid),
                "wtxid": display_id(transaction.wtxid),
            }
            views.append(view)
            try:
                entry = mempool.evaluate(encoded).entry
                if _is_over(entry, limit):
                    view |= {"allowed": False, "reject-reason": "max-fee-exceeded"}
                    continue
                if len(decoded) > 1:
                    mempool.accept(encoded)
            except TransactionRefusedError as refusal:
                view |= {"allowed": False, "reject-reason": _spelling(refusal, is_test=True)}
                continue
            view |= _admission_view(entry)
        return views

    def submitpackage(
        self,
        package: object,
        maxfeerate: object = DEFAULT_MAX_FEERATE,
        maxburnamount: object = 0,
    ) -> JsonObject:
        """Admit a child with its parents, which may pay too little alone."""
        items = arguments.array(package, MAX_PACKAGE)
        limit = arguments.feerate_limit(maxfeerate)
        if not items:
            raise RpcError(
                RpcCode.INVALID_PARAMETER,
                f"Array must contain between 1 and {MAX_PACKAGE} transactions.",
            )
        decoded = [_decode(item) for item in items]
        for _, transaction in decoded:
            self._check_burn(transaction, maxburnamount)
        try:
            entries = self._node.accept_package([encoded for encoded, _ in decoded], limit)
        except TransactionRefusedError as refusal:
            if refusal.reason is RejectReason.PACKAGE_NOT_CHILD:
                raise RpcError(RpcCode.VERIFY_ERROR, str(refusal.reason)) from refusal
            return {
                "package_msg": "transaction failed",
                "tx-results": {
                    display_id(transaction.wtxid): {
                        "txid": display_id(transaction.txid),
                        "error": _spelling(refusal),
                    }
                    for _, transaction in decoded
                },
                "replaced-transactions": [],
            }
        return {
            "package_msg": "success",
            "tx-results": {
                display_id(entry.transaction.wtxid): {
                    "txid": display_id(entry.txid),
                    "vsize": entry.vsize,
                    "fees": {"base": bitcoin_amount(entry.fee)},
                }
                for entry in entries
            },
            "replaced-transactions": [],
        }


def _admission_view(entry: Entry) -> JsonObject:
    return {
        "allowed": True,
        "vsize": entry.vsize,
        "fees": {
            "base": bitcoin_amount(entry.fee),
            "effective-feerate": bitcoin_amount(entry.fee * 1000 // entry.vsize),
            "effective-includes": [display_id(entry.transaction.wtxid)],
        },
    }


def _decode(value: object) -> tuple[bytes, Transaction]:
    encoded = arguments.hexadecimal(value, _DECODE_FAILED)
    try:
        return encoded, Transaction.parse(encoded)
    except CodecError as error:
        raise RpcError(RpcCode.DESERIALIZATION_ERROR, _DECODE_FAILED) from error


def _is_over(entry: Entry, limit: int | None) -> bool:
    """True when a fee is above `limit` sat/kvB."""
    return limit is not None and entry.fee * 1_000 > limit * entry.vsize


def _spelling(refusal: TransactionRefusedError, is_test: bool = False) -> str:
    if is_test and refusal.reason is RejectReason.MISSING_INPUTS:
        return "missing-inputs"
    if is_test or not refusal.detail:
        return str(refusal.reason)
    return f"{refusal.reason}, {refusal.detail}"


def _refusal(refusal: TransactionRefusedError) -> RpcError:
    if refusal.reason is RejectReason.MISSING_INPUTS:
        return RpcError(RpcCode.VERIFY_ERROR, str(refusal.reason))
    if refusal.reason is RejectReason.ALREADY_KNOWN:
        return RpcError(
            RpcCode.VERIFY_ALREADY_IN_UTXO_SET, "Transaction outputs already in utxo set"
        )
    return RpcError(RpcCode.VERIFY_REJECTED, _spelling(refusal))
