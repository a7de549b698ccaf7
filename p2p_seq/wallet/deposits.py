"""Deposits as a wallet sees them: the script to pay, rebuilt and checked, and the note to keep.

A node tells the keys and weights of the vault's generation; the wallet builds the script itself and
compares. The note holds all that the way back needs, so that a deposit which nobody sweeps can be
reclaimed with Bitcoin alone, without any node of the network (PROTOCOL.md section 2, timeout leaf).
"""

import json
from dataclasses import dataclass
from typing import Any

from p2p_seq.api.types import VaultReport
from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.protocol.codec import Reader
from p2p_seq.protocol.errors import CodecError, OperatorError
from p2p_seq.protocol.tags import BitcoinTag, tag4
from p2p_seq.protocol.types import OutPoint, Sats, SatsPerKvb, XOnlyKey, parse_display_id
from p2p_seq.settlement.generation import VaultGeneration, VaultMember
from p2p_seq.settlement.scripts import CSV_BLOCKS_MAX, DepositRequest, vault_output
from p2p_seq.settlement.transactions import Reclaim, build_reclaim, deposit_outputs

DEPOSIT_VOUT = 0
"""The wallet's deposits have the V-in output first."""


def generation_of(report: VaultReport) -> VaultGeneration:
    """The generation that a node describes. Raises OperatorError when the report does not hold."""
    try:
        keys = [XOnlyKey(bytes.fromhex(key)) for key in report.keys]
        members = tuple(VaultMember(*pair) for pair in zip(keys, report.weights, strict=True))
        generation = VaultGeneration(report.generation, members)
        script = vault_output(generation).script
        is_consistent = (
            script.hex() == report.script_pubkey
            and generation.threshold == report.threshold
            and tag4(report.network, BitcoinTag.DEPOSIT).hex() == report.deposit_tag
            and 1 <= report.deposit_timeout <= CSV_BLOCKS_MAX
        )
    except ValueError as error:
        raise _untrusted(str(error)) from error
    if not is_consistent:
        raise _untrusted("the script built from its keys and weights is another one")
    return generation


def _untrusted(why: str) -> OperatorError:
    return OperatorError(
        "the node's description of the vault does not hold",
        why,
        "pay nothing; ask another node of the network with --api",
        code=3,
    )


@dataclass(frozen=True, slots=True)
class DepositNote:
    """One deposit of this wallet, written down before it is broadcast."""

    outpoint: OutPoint
    amount: Sats
    generation: VaultGeneration
    timeout: int
    """CSV_USER of the script."""
    recipient: XOnlyKey
    key_index: int
    """Number of the deposit key whose timeout leaf it has."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(
            {
                "outpoint": str(self.outpoint),
                "amount_sats": self.amount,
                "generation": self.generation.encode().hex(),
                "timeout": self.timeout,
                "recipient": self.recipient.hex(),
                "key_index": self.key_index,
            }
        )

    @classmethod
    def from_json(cls, line: str) -> "DepositNote":
        """Inverse of `to_json`. Raises ValueError."""
        try:
            table: dict[str, Any] = json.loads(line)
            reader = Reader(bytes.fromhex(table["generation"]))
            generation = VaultGeneration.read(reader)
            reader.finish()
            return cls(
                parse_outpoint(table["outpoint"]),
                Sats(int(table["amount_sats"])),
                generation,
                int(table["timeout"]),
                XOnlyKey(bytes.fromhex(table["recipient"])),
                int(table["key_index"]),
            )
        except (KeyError, TypeError, CodecError) as error:
            raise ValueError(f"not a deposit note: {error}") from error

    def reclaim(self, user_key: XOnlyKey, destination: bytes, feerate: SatsPerKvb) -> Reclaim:
        """The way back. Raises RemoteError when the fee would eat the deposit."""
        return build_reclaim(
            self.generation,
            user_key,
            self.timeout,
            self.outpoint,
            self.amount,
            destination,
            feerate,
        )


def parse_outpoint(text: str) -> OutPoint:
    """Inverse of `str(outpoint)`. Raises ValueError."""
    txid, separator, vout = text.partition(":")
    if not separator or not vout.isascii() or not vout.isdigit() or len(vout) > 6:
        raise ValueError(f"not an outpoint: {text[:80]!r}")
    return OutPoint(parse_display_id(txid), int(vout))


def payments(
    report: VaultReport, recipient: XOnlyKey, user_key: XOnlyKey, amount: Sats
) -> tuple[TxOut, TxOut]:
    """What a deposit transaction pays. Raises OperatorError when the network would not take it."""
    least = report.deposit_minimum_sats
    if amount < least:
        raise OperatorError(
            f"a deposit of {amount} sat would not be swept",
            f"the network's minimum is {least} sat",
            "deposit more",
            code=2,
        )
    generation = generation_of(report)
    request = DepositRequest(generation.number, recipient, user_key)
    return deposit_outputs(report.network, generation, request, amount, report.deposit_timeout)
