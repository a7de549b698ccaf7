"""Stake, slash and refund, and the pre-signatures that make the last two possible.

Slash and refund spend S and F, exactly these (PROTOCOL.md section 2).

- Slash: committee and owner pre-sign S with SIGHASH_SINGLE, which fixes inputs, sequences,
version, lock time and the burn, and leaves every further output to the challenger. The fee comes
from S (R6). - Refund: the committee pre-signs S with SIGHASH_NONE and lock time T; the owner signs
everything when it takes the bond back, so outputs and fee are chosen then (R4).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from p2p_seq.bitcoin.engine import verify_input
from p2p_seq.bitcoin.keys import verify
from p2p_seq.bitcoin.script import dust_limit
from p2p_seq.bitcoin.sighash import SighashType, witness_signature
from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.bitcoin.wallet import (
    TRANSACTION_VERSION,
    Coin,
    UnsignedTransaction,
    build_payment,
    fee_for,
)
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.stakes import BOND_OUTPUT, CONNECTOR_OUTPUT, StakeRecord
from p2p_seq.protocol.types import Hash32, OutPoint, Sats, SatsPerKvb, Signature
from p2p_seq.staking.scripts import (
    BOND_LEAF,
    KEY_LEAK_LEAF,
    OWNER_LEAF,
    StakeNote,
    StakeTerms,
)

BOND_INPUT: Final = 0
CONNECTOR_INPUT: Final = 1
NOTE_OUTPUT: Final = 2

_DUMMY_SIGNATURE: Final = Signature(bytes(64))


class StakeReason(StrEnum):
    """Why a stake is not what it claims to be."""

    OUTPUTS = "stake-outputs"
    """The stake transaction does not pay S, F and the note of these terms."""
    INPUTS = "stake-inputs"
    """An input carries a scriptSig: the transaction's id is not fixed by its signatures (R3)."""
    SIGNATURES = "presignature-count"
    """There is not one pre-signature of each kind for every co-signer."""
    SLASH = "slash-presignature"
    """A pre-signature of the slash is wrong."""
    REFUND = "refund-presignature"
    """A pre-signature of the refund is wrong."""
    FEE = "bond-below-fee"
    """What is free to be paid out does not cover the fee."""


@dataclass(frozen=True, slots=True)
class PreSignatures:
    """Signatures over S made at registration, the committee's in the order of its keys."""

    owner_slash: Signature
    committee_slash: tuple[Signature, ...]
    committee_refund: tuple[Signature, ...]

    @classmethod
    def of_record(cls, record: StakeRecord) -> "PreSignatures":
        return cls(
            record.owner_slash,
            tuple(entry.slash for entry in record.committee),
            tuple(entry.refund for entry in record.committee),
        )


def stake_outputs(network: str, terms: StakeTerms, bundle: Hash32) -> tuple[TxOut, TxOut, TxOut]:
    """S, F and the note, in their places."""
    bond, connector = terms.spent_outputs
    return bond, connector, TxOut(0, StakeNote(terms.consensus, bundle).script(network))


def build_stake(
    network: str,
    terms: StakeTerms,
    bundle: Hash32,
    coins: Iterable[Coin],
    change_script: bytes,
    feerate: SatsPerKvb,
) -> UnsignedTransaction:
    """The stake transaction from key-path coins, so that its id is known before it is signed.

    It must never be replaced: the pre-signatures name its id (R3). Its change output is there to
    bump it.
    """
    return build_payment(coins, stake_outputs(network, terms, bundle), change_script, feerate)


def check_stake(network: str, terms: StakeTerms, bundle: Hash32, transaction: Transaction) -> None:
    """Raises RemoteError unless `transaction` is the stake transaction of these terms."""
    if any(item.script_sig for item in transaction.inputs):
        raise RemoteError(StakeReason.INPUTS, "a legacy input makes the id malleable")
    if transaction.outputs[: NOTE_OUTPUT + 1] != stake_outputs(network, terms, bundle):
        raise RemoteError(StakeReason.OUTPUTS, "outputs 0 to 2 are not S, F and the note")


def _spend(
    terms: StakeTerms, txid: Hash32, outputs: Sequence[TxOut], lock_time: int = 0
) -> UnsignedTransaction:
    inputs = (TxIn(OutPoint(txid, BOND_OUTPUT)), TxIn(OutPoint(txid, CONNECTOR_OUTPUT)))
    transaction = Transaction(TRANSACTION_VERSION, inputs, tuple(outputs), lock_time)
    return UnsignedTransaction(transaction, terms.spent_outputs)


def slash_message(terms: StakeTerms, txid: Hash32) -> Hash32:
    """What committee and owner pre-sign at registration: SIGHASH_SINGLE on S."""
    draft = _spend(terms, txid, [terms.burn_output])
    leaf = terms.bond.leaves[BOND_LEAF]
    return draft.sighash.script_path(BOND_INPUT, leaf, SighashType.SINGLE)


def refund_message(terms: StakeTerms, txid: Hash32) -> Hash32:
    """What the committee pre-signs at registration: SIGHASH_NONE on S, lock time T."""
    draft = _spend(terms, txid, [], terms.refund_height)
    leaf = terms.bond.leaves[BOND_LEAF]
    return draft.sighash.script_path(BOND_INPUT, leaf, SighashType.NONE)


def _bond_witness(
    terms: StakeTerms, owner: bytes, committee: Sequence[Signature], kind: SighashType
) -> tuple[bytes, ...]:
    """The first co-signer is checked first, so its signature is on top, next to the script."""
    signed = (witness_signature(item, kind) for item in reversed(committee))
    return (owner, *signed, terms.bond_script, terms.bond.control_block(BOND_LEAF))


@dataclass(frozen=True)
class Slash:
    """A slash whose outputs are chosen; F still needs the witness of a fraud leaf."""

    terms: StakeTerms
    presignatures: PreSignatures
    unsigned: UnsignedTransaction

    @property
    def key_leak_message(self) -> Hash32:
        """What the leaked consensus key signs to open F."""
        leaf = self.terms.connector.leaves[KEY_LEAK_LEAF]
        return self.unsigned.sighash.script_path(CONNECTOR_INPUT, leaf)

    def complete(self, connector_witness: Sequence[bytes]) -> Transaction:
        """The complete transaction; `connector_witness` opens any leaf of F but the owner's."""
        owner = witness_signature(self.presignatures.owner_slash, SighashType.SINGLE)
        committee = self.presignatures.committee_slash
        bond = _bond_witness(self.terms, owner, committee, SighashType.SINGLE)
        return self.unsigned.transaction.with_witnesses((bond, tuple(connector_witness)))

    def complete_key_leak(self, signature: Signature) -> Transaction:
        """The complete transaction by the key-leak leaf."""
        control = self.terms.connector.control_block(KEY_LEAK_LEAF)
        return self.complete((bytes(signature), self.terms.key_leak_script, control))


def build_slash(
    terms: StakeTerms,
    txid: Hash32,
    presignatures: PreSignatures,
    challenger_script: bytes,
    feerate: SatsPerKvb,
    connector_weight: int | None = None,
) -> Slash:
    """A slash that burns output 0 and pays the challenger the rest less the fee.

    `connector_weight`: weight of F's witness with its count, for leaves other than the key leak.
    Raises RemoteError when the fee eats the challenger's share.
    """
    free = Sats(sum(output.value for output in terms.spent_outputs) - terms.burn)

    def with_share(share: int) -> Slash:
        outputs = [terms.burn_output, TxOut(share, challenger_script)]
        return Slash(terms, presignatures, _spend(terms, txid, outputs))

    sample = with_share(0).complete_key_leak(_DUMMY_SIGNATURE)
    weight = sample.weight
    if connector_weight is not None:
        key_leak = sample.inputs[CONNECTOR_INPUT].witness
        weight += connector_weight - 1 - sum(1 + len(element) for element in key_leak)
    share = free - fee_for(-(-weight // 4), feerate)
    if share < dust_limit(challenger_script):
        raise RemoteError(StakeReason.FEE, f"{free} sat are free, {share} would be left")
    return with_share(share)


@dataclass(frozen=True)
class Refund:
    """A refund whose outputs the owner chose; it needs the owner's two signatures."""

    terms: StakeTerms
    presignatures: PreSignatures
    unsigned: UnsignedTransaction

    def messages(self) -> tuple[Hash32, Hash32]:
        """What the owner signs for S and for F, SIGHASH_DEFAULT."""
        sighash = self.unsigned.sighash
        return (
            sighash.script_path(BOND_INPUT, self.terms.bond.leaves[BOND_LEAF]),
            sighash.script_path(CONNECTOR_INPUT, self.terms.connector.leaves[OWNER_LEAF]),
        )

    def complete(self, owner_bond: Signature, owner_connector: Signature) -> Transaction:
        committee = self.presignatures.committee_refund
        bond = _bond_witness(self.terms, bytes(owner_bond), committee, SighashType.NONE)
        control = self.terms.connector.control_block(OWNER_LEAF)
        connector = (bytes(owner_connector), self.terms.owner_script, control)
        return self.unsigned.transaction.with_witnesses((bond, connector))


def build_refund(
    terms: StakeTerms,
    txid: Hash32,
    presignatures: PreSignatures,
    destination: bytes,
    feerate: SatsPerKvb,
) -> Refund:
    """A refund to one output script. Raises RemoteError when the fee eats the bond."""
    total = sum(output.value for output in terms.spent_outputs)

    def paying(value: int) -> Refund:
        outputs = [TxOut(value, destination)]
        return Refund(terms, presignatures, _spend(terms, txid, outputs, terms.refund_height))

    sample = paying(0).complete(_DUMMY_SIGNATURE, _DUMMY_SIGNATURE)
    paid = total - fee_for(sample.vsize, feerate)
    if paid < dust_limit(destination):
        raise RemoteError(StakeReason.FEE, f"{total} sat are bonded, {paid} would be left")
    return paying(paid)


def check_presignatures(terms: StakeTerms, txid: Hash32, presignatures: PreSignatures) -> None:
    """Raises RemoteError unless every pre-signature works, the slash on Bitcoin's own engine.

    The refund lacks the owner's later signature, so its committee signatures are verified by
    themselves; the owner checks the whole refund with `check_refund` before it broadcasts the
    stake.
    """
    members = len(terms.committee)
    if len(presignatures.committee_slash) != members:
        raise RemoteError(StakeReason.SIGNATURES, "one slash signature a co-signer")
    if len(presignatures.committee_refund) != members:
        raise RemoteError(StakeReason.SIGNATURES, "one refund signature a co-signer")
    message = refund_message(terms, txid)
    for position, (key, signature) in enumerate(
        zip(terms.committee, presignatures.committee_refund, strict=True)
    ):
        if not verify(key, message, signature):
            raise RemoteError(StakeReason.REFUND, f"of co-signer {position}")
    slash = Slash(terms, presignatures, _spend(terms, txid, [terms.burn_output]))
    complete = slash.complete_key_leak(_DUMMY_SIGNATURE)
    if not verify_input(complete.serialize(), BOND_INPUT, terms.spent_outputs):
        raise RemoteError(StakeReason.SLASH, "the engine refuses the spend of S")


def check_refund(refund: Refund, owner_bond: Signature, owner_connector: Signature) -> Transaction:
    """The complete refund. Raises RemoteError unless the engine accepts both inputs."""
    complete = refund.complete(owner_bond, owner_connector)
    encoded = complete.serialize()
    for index in (BOND_INPUT, CONNECTOR_INPUT):
        if not verify_input(encoded, index, refund.terms.spent_outputs):
            raise RemoteError(StakeReason.REFUND, f"the engine refuses input {index}")
    return complete
