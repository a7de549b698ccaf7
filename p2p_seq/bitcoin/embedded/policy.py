"""What the mempool takes beyond consensus, so that a devnet does not accept what Bitcoin refuses.

Limits are those of Bitcoin Core and, where they differ, the stricter ones that every relay on the
network still forwards (one OP_RETURN of at most 80 bytes of data). `accept_nonstandard` switches
the form rules off, as `-acceptnonstdtxn=1` does; feerates, chain limits and weights stay.

Not enforced, because the engine runs scripts with consensus flags only: MINIMALIF outside what
tapscript makes consensus, CLEANSTACK, LOW_S and STRICTENC in legacy scripts, NULLFAIL, minimal
pushes inside spent scripts, unknown key types in tapscript.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from p2p_seq.bitcoin.embedded.sigops import (
    is_push_only,
    last_push,
    operations,
    script_sigops,
)
from p2p_seq.bitcoin.script import MAX_OP_RETURN_BYTES, Op, OutputKind, classify, dust_limit
from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.protocol.errors import RemoteError

PAY_TO_ANCHOR: Final = b"\x51\x02\x4e\x73"
"""The keyless anchor output (Bitcoin Core 28)."""

MAX_STANDARD_WEIGHT: Final = 400_000
MAX_STANDARD_SIGOPS_COST: Final = 16_000
MIN_STRIPPED_BYTES: Final = 65
"""Shorter transactions could pass for an inner node of a Merkle tree (CVE-2017-12842)."""

MAX_SCRIPT_SIG_BYTES: Final = 1_650
MAX_P2SH_SIGOPS: Final = 15
MAX_STACK_ITEMS: Final = 100
MAX_STACK_ITEM_BYTES: Final = 80
MAX_WITNESS_SCRIPT_BYTES: Final = 3_600
TRUC_VERSION: Final = 3
"""Topologically restricted until confirmation (BIP431)."""

_MAX_STANDARD_VERSION: Final = 3
_ANCHOR_DUST: Final = 240
_ANNEX: Final = 0x50
_LEAF_TAPSCRIPT: Final = 0xC0
_CONTROL_BASE: Final = 33
_OP_SUCCESS: Final = frozenset(
    (
        *(80, 98, 137, 138, 141, 142),
        *range(126, 130),
        *range(131, 135),
        *range(149, 154),
        *range(187, 255),
    )
)
"""BIP342's opcodes that make any script succeed."""


class RejectReason(StrEnum):
    """Why a transaction is not admitted, in bitcoind's words."""

    ALREADY_IN_MEMPOOL = "txn-already-in-mempool"
    """This very transaction is in the mempool."""
    SAME_WITHOUT_WITNESS = "txn-same-nonwitness-data-in-mempool"
    """The mempool has it with another witness."""
    ALREADY_KNOWN = "txn-already-known"
    """It is confirmed."""
    MISSING_INPUTS = "bad-txns-inputs-missingorspent"
    """An output that it spends does not exist, or is spent in the best chain."""
    DUPLICATE_INPUTS = "bad-txns-inputs-duplicate"
    """It spends an output twice."""
    NULL_PREVOUT = "bad-txns-prevout-null"
    """An input names no output."""
    COINBASE = "coinbase"
    """A coinbase belongs into a block."""
    OVERSIZE = "bad-txns-oversize"
    """Without witnesses it would fill more than a block."""
    OUTPUT_TOTAL = "bad-txns-txouttotal-toolarge"
    """Its outputs are more than there will ever be."""
    NON_FINAL = "non-final"
    """Its lock time lies in the future (BIP65, BIP113)."""
    NON_BIP68_FINAL = "non-BIP68-final"
    """A relative lock time of an input has not passed."""
    PREMATURE_COINBASE = "bad-txns-premature-spend-of-coinbase"
    """It spends a coinbase with less than 100 confirmations."""
    IN_BELOW_OUT = "bad-txns-in-belowout"
    """It pays more than it spends."""
    FEE_TOO_LOW = "min relay fee not met"
    """Its feerate is below the minimum."""
    MEMPOOL_FULL = "mempool full"
    """The mempool is full of transactions that pay more."""
    TOO_LONG_CHAIN = "too-long-mempool-chain"
    """It has too many unconfirmed ancestors or descendants."""
    TRUC_VIOLATION = "TRUC-violation"
    """It breaks the topology rules of version 3 (BIP431)."""
    REPLACEMENT_FEE = "insufficient fee"
    """It conflicts with the mempool and does not pay enough to replace (BIP125 rules 3, 4, 6)."""
    REPLACEMENT_ADDS_UNCONFIRMED = "replacement-adds-unconfirmed"
    """A replacement may not bring new unconfirmed inputs (BIP125 rule 2)."""
    TOO_MANY_REPLACEMENTS = "too many potential replacements"
    """It would evict more than 100 transactions (BIP125 rule 5)."""
    SPENDS_CONFLICT = "bad-txns-spends-conflicting-tx"
    """It spends an output of what it would replace."""
    SCRIPT = "mandatory-script-verify-flag-failed"
    """An input's script or signature is wrong."""
    TOO_MANY_SIGOPS = "bad-txns-too-many-sigops"
    """More signature operations than a transaction may have."""
    SIZE_SMALL = "tx-size-small"
    """It could pass for a node of a Merkle tree."""
    VERSION = "version"
    """Its version is not in use."""
    SIZE = "tx-size"
    """It is heavier than a relay forwards."""
    SCRIPT_SIG_SIZE = "scriptsig-size"
    """An input script is longer than any standard spend."""
    SCRIPT_SIG_NOT_PUSH_ONLY = "scriptsig-not-pushonly"
    """An input script does more than push."""
    OUTPUT_SCRIPT = "scriptpubkey"
    """An output script is of no standard kind."""
    DATA_CARRIER = "datacarrier"
    """An OP_RETURN carries more than 80 bytes."""
    MULTI_OP_RETURN = "multi-op-return"
    """There is more than one OP_RETURN."""
    DUST = "dust"
    """An output is worth less than it costs to spend."""
    INPUTS_NONSTANDARD = "bad-txns-nonstandard-inputs"
    """It spends an output of no standard kind."""
    WITNESS_NONSTANDARD = "bad-witness-nonstandard"
    """A witness is of a form that relays do not forward."""
    MAX_FEE = "max feerate exceeded"
    """It pays more than its sender wanted to allow."""
    PACKAGE_NOT_CHILD = "package-not-child-with-unconfirmed-parents"
    """A package must be one child and its parents, in order."""


class TransactionRefusedError(RemoteError):
    """The mempool does not take a transaction; `reason` is a `RejectReason`."""


@dataclass(frozen=True)
class Policy:
    """The operator's choices."""

    accept_nonstandard: bool = False
    minimum_feerate: int = 1_000
    """sat/kvB; also what a replacement has to add per virtual byte (BIP125 rule 4)."""
    max_chain_transactions: int = 25
    """Unconfirmed ancestors or descendants of one transaction, itself included."""
    max_chain_vbytes: int = 101_000
    max_mempool_bytes: int = 100_000_000
    """Serialised transactions in the mempool."""


def check_form(transaction: Transaction) -> None:
    """Rules on a transaction's own bytes. Raises TransactionRefusedError."""
    if not 1 <= transaction.version <= _MAX_STANDARD_VERSION:
        raise TransactionRefusedError(RejectReason.VERSION, str(transaction.version))
    if transaction.weight > MAX_STANDARD_WEIGHT:
        raise TransactionRefusedError(RejectReason.SIZE, f"weight {transaction.weight}")
    for item in transaction.inputs:
        if len(item.script_sig) > MAX_SCRIPT_SIG_BYTES:
            raise TransactionRefusedError(RejectReason.SCRIPT_SIG_SIZE)
        if not is_push_only(item.script_sig):
            raise TransactionRefusedError(RejectReason.SCRIPT_SIG_NOT_PUSH_ONLY)
    _check_outputs(transaction.outputs)


def _check_outputs(outputs: Sequence[TxOut]) -> None:
    carriers = 0
    for output in outputs:
        if output.script[:1] == bytes([Op.RETURN]):
            carriers += 1
            if not is_push_only(output.script[1:]):
                raise TransactionRefusedError(RejectReason.OUTPUT_SCRIPT)
            if len(output.script) > MAX_OP_RETURN_BYTES + 3:
                raise TransactionRefusedError(RejectReason.DATA_CARRIER)
            continue
        is_anchor = output.script == PAY_TO_ANCHOR
        if not is_anchor and classify(output.script) is None and not _is_pay_to_key(output.script):
            raise TransactionRefusedError(RejectReason.OUTPUT_SCRIPT)
        if output.value < (_ANCHOR_DUST if is_anchor else dust_limit(output.script)):
            raise TransactionRefusedError(RejectReason.DUST, f"{output.value} sat")
    if carriers > 1:
        raise TransactionRefusedError(RejectReason.MULTI_OP_RETURN)


def check_spends(transaction: Transaction, spent: Sequence[TxOut]) -> None:
    """Rules on inputs and witnesses; `spent` in their order. Raises TransactionRefusedError."""
    for item, output in zip(transaction.inputs, spent, strict=True):
        script = output.script
        kind = classify(script)
        if kind is OutputKind.P2SH:
            script = last_push(item.script_sig)
            if script_sigops(script, is_accurate=True) > MAX_P2SH_SIGOPS:
                raise TransactionRefusedError(RejectReason.INPUTS_NONSTANDARD)
            kind = classify(script)
        elif kind is None and script != PAY_TO_ANCHOR and not _is_pay_to_key(script):
            raise TransactionRefusedError(RejectReason.INPUTS_NONSTANDARD)
        if not item.witness:
            continue
        if kind is OutputKind.P2WSH:
            _check_witness_script(item)
        elif kind is OutputKind.P2TR:
            _check_taproot(item)
        elif kind is not OutputKind.P2WPKH:
            raise TransactionRefusedError(RejectReason.WITNESS_NONSTANDARD)


def _check_witness_script(item: TxIn) -> None:
    stack, script = item.witness[:-1], item.witness[-1]
    is_standard = (
        len(script) <= MAX_WITNESS_SCRIPT_BYTES
        and len(stack) <= MAX_STACK_ITEMS
        and all(len(element) <= MAX_STACK_ITEM_BYTES for element in stack)
    )
    if not is_standard:
        raise TransactionRefusedError(RejectReason.WITNESS_NONSTANDARD)


def _check_taproot(item: TxIn) -> None:
    stack = item.witness
    if len(stack) >= 2 and stack[-1][:1] == bytes([_ANNEX]):
        raise TransactionRefusedError(RejectReason.WITNESS_NONSTANDARD, "annex")
    if len(stack) < 2:
        return
    control = stack[-1]
    if len(control) < _CONTROL_BASE or control[0] & 0xFE != _LEAF_TAPSCRIPT:
        raise TransactionRefusedError(RejectReason.WITNESS_NONSTANDARD, "leaf version")
    if any(len(element) > MAX_STACK_ITEM_BYTES for element in stack[:-2]):
        raise TransactionRefusedError(RejectReason.WITNESS_NONSTANDARD, "stack item over 80 bytes")
    if any(opcode in _OP_SUCCESS for opcode, _ in operations(stack[-2])):
        raise TransactionRefusedError(RejectReason.WITNESS_NONSTANDARD, "OP_SUCCESS")


def _is_pay_to_key(script: bytes) -> bool:
    """P2PK, compressed or not."""
    return len(script) in (35, 67) and script[0] == len(script) - 2 and script[-1] == Op.CHECKSIG


def minimum_fee(vbytes: int, feerate: int) -> int:
    """Satoshi that `vbytes` owe at `feerate` sat/kvB, rounded up."""
    return -(-vbytes * feerate // 1_000)
