"""The settlement and the depositor's reclaim, built the same by everybody.

A settlement spends the vault coin and the planned deposits and pays the vault, the note and the
payouts (PROTOCOL.md section 2). It is a pure function of plan, version, state root and commitment,
so signers exchange signatures only. Which signers' signatures end in the witness does not change
its id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from p2p_seq.bitcoin.keys import verify
from p2p_seq.bitcoin.script import dust_limit
from p2p_seq.bitcoin.taproot import TaprootOutput
from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.bitcoin.wallet import TRANSACTION_VERSION, UnsignedTransaction, fee_for
from p2p_seq.bitcoin.wire import WITNESS_SCALE, write_compact_size
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.types import Hash32, OutPoint, Sats, SatsPerKvb, Signature, XOnlyKey
from p2p_seq.settlement.fees import (
    SETTLEMENT_VSIZE_MAX,
    deposit_input_weight,
    outputs_bytes,
    settlement_fee,
    vault_input_weight,
    vsize,
)
from p2p_seq.settlement.generation import VaultGeneration
from p2p_seq.settlement.plan import SettlementPlan
from p2p_seq.settlement.scripts import (
    TIMEOUT_LEAF,
    VAULT_LEAF,
    DepositRequest,
    RecoveryLeaf,
    SettlementNote,
    deposit_output,
    threshold_stack,
    timeout_leaf,
    vault_leaf,
    vault_output,
)

VAULT_OUTPUT = 0
"""The vault coin is always output 0."""
NOTE_OUTPUT = 1
FIRST_PAYOUT_OUTPUT = 2


class SettlementReason(StrEnum):
    """Why a plan makes no transaction."""

    GENERATION = "unknown-generation"
    """The plan names a vault generation that does not exist."""
    UNDERFUNDED = "vault-underfunded"
    """Payouts and fee leave less than a relayable output in the vault."""
    SIZE = "settlement-too-large"
    """The worst-case size is above what relays forward."""
    VERSION = "fee-version"
    """The plan does not allow this fee version."""


@dataclass(frozen=True)
class Settlement:
    """One fee version of a settlement, waiting for signatures."""

    plan: SettlementPlan
    version: int
    unsigned: UnsignedTransaction
    holders: tuple[VaultGeneration, ...]
    """The generation that signs each input."""
    taproots: tuple[TaprootOutput, ...]
    """The output that each input spends."""
    worst_vsize: int

    @property
    def txid(self) -> Hash32:
        return self.unsigned.transaction.txid

    @property
    def fee(self) -> Sats:
        return self.unsigned.fee

    @property
    def vault_value(self) -> Sats:
        """Value of the next vault coin."""
        return Sats(self.unsigned.transaction.outputs[VAULT_OUTPUT].value)

    @cached_property
    def _messages(self) -> tuple[Hash32, ...]:
        sighash = self.unsigned.sighash
        return tuple(
            sighash.script_path(index, taproot.leaves[VAULT_LEAF])
            for index, taproot in enumerate(self.taproots)
        )

    def messages(self) -> tuple[Hash32, ...]:
        """What the vault keys of each input's generation sign."""
        return self._messages

    def inputs_of(self, key: XOnlyKey) -> tuple[int, ...]:
        """The inputs that this key is to sign."""
        return tuple(
            index for index, holder in enumerate(self.holders) if holder.index_of(key) is not None
        )

    def has_valid_signatures(self, key: XOnlyKey, signatures: Mapping[int, Signature]) -> bool:
        """Whether a member's signatures are good and cover exactly the inputs that are its own."""
        if set(signatures) != set(self.inputs_of(key)) or not signatures:
            return False
        messages = self.messages()
        return all(verify(key, messages[index], item) for index, item in signatures.items())

    def assemble(
        self, signatures: Mapping[XOnlyKey, Mapping[int, Signature]]
    ) -> Transaction | None:
        """The complete transaction out of verified signatures by key; None if too light."""
        witnesses: list[tuple[bytes, ...]] = []
        for index, (holder, taproot) in enumerate(zip(self.holders, self.taproots, strict=True)):
            present = {
                key: by_input[index] for key, by_input in signatures.items() if index in by_input
            }
            stack = threshold_stack(holder, present)
            if stack is None:
                return None
            witnesses.append((*stack, vault_leaf(holder), taproot.control_block(VAULT_LEAF)))
        return self.unsigned.transaction.with_witnesses(tuple(witnesses))


@dataclass(frozen=True, slots=True)
class SettlementContext:
    """What a plan's transaction depends on besides the plan."""

    network: str
    generations: Mapping[int, VaultGeneration]
    """By number; the hand-over's own comes from the plan."""
    deposit_timeout: int
    """CSV_USER."""
    recovery: RecoveryLeaf | None = None

    def generation(self, number: int) -> VaultGeneration:
        """Raises RemoteError for a number that does not exist."""
        generation = self.generations.get(number)
        if generation is None:
            raise RemoteError(SettlementReason.GENERATION, f"generation {number}")
        return generation


def worst_case_vsize(context: SettlementContext, plan: SettlementPlan) -> int:
    """Virtual bytes of the plan's transaction when every key of every input signs."""
    outputs = _outputs(context, plan, Sats(0), Hash32(bytes(32)), Hash32(bytes(32)))
    weight = vault_input_weight(context.generation(plan.generation), context.recovery)
    weight += sum(
        deposit_input_weight(context.generation(item.generation)) for item in plan.deposits
    )
    frame = 4 + 4 + len(write_compact_size(1 + len(plan.deposits)))
    return vsize(weight + WITNESS_SCALE * (frame + outputs_bytes(outputs)) + 2)


def build_settlement(
    context: SettlementContext,
    plan: SettlementPlan,
    version: int,
    state_root: Hash32,
    commitment: Hash32,
) -> Settlement:
    """Fee version `version` of the plan. Raises RemoteError with a SettlementReason."""
    if not 0 <= version <= plan.maximum_version:
        raise RemoteError(SettlementReason.VERSION, f"{version} of {plan.maximum_version}")
    worst_vsize = worst_case_vsize(context, plan)
    if worst_vsize > SETTLEMENT_VSIZE_MAX:
        raise RemoteError(SettlementReason.SIZE, f"{worst_vsize} vB")
    fee = settlement_fee(worst_vsize, plan.base_feerate, plan.maximum_feerate, version)
    received = plan.vault_value + sum(item.value for item in plan.deposits)
    kept = received - sum(item.amount for item in plan.payouts) - fee
    outputs = _outputs(context, plan, Sats(kept), state_root, commitment)
    if kept < dust_limit(outputs[VAULT_OUTPUT].script):
        raise RemoteError(SettlementReason.UNDERFUNDED, f"{kept} sat would be left")
    holder = context.generation(plan.generation)
    holders = [holder]
    taproots = [vault_output(holder, context.recovery)]
    for item in plan.deposits:
        holders.append(context.generation(item.generation))
        taproots.append(deposit_output(holders[-1], item.user_key, context.deposit_timeout))
    spent = [(plan.vault, plan.vault_value), *((d.outpoint, d.value) for d in plan.deposits)]
    transaction = Transaction(
        TRANSACTION_VERSION,
        tuple(TxIn(outpoint) for outpoint, _ in spent),
        tuple(outputs),
    )
    spent_outputs = tuple(
        TxOut(value, taproot.script) for (_, value), taproot in zip(spent, taproots, strict=True)
    )
    return Settlement(
        plan,
        version,
        UnsignedTransaction(transaction, spent_outputs),
        tuple(holders),
        tuple(taproots),
        worst_vsize,
    )


def _outputs(
    context: SettlementContext,
    plan: SettlementPlan,
    vault_value: Sats,
    state_root: Hash32,
    commitment: Hash32,
) -> list[TxOut]:
    successor = plan.hand_over or context.generation(plan.generation)
    note = SettlementNote(plan.last_epoch, state_root, commitment)
    return [
        TxOut(vault_value, vault_output(successor, context.recovery).script),
        TxOut(0, note.script(context.network)),
        *(TxOut(item.amount, item.script) for item in plan.payouts),
    ]


def version_of(versions: Sequence[Settlement], transaction: Transaction) -> Settlement | None:
    """The version that Bitcoin buried, if `transaction` is one of them."""
    for settlement in versions:
        if settlement.txid == transaction.txid:
            return settlement
    return None


def deposit_outputs(
    network: str,
    generation: VaultGeneration,
    request: DepositRequest,
    amount: Sats,
    timeout: int,
) -> tuple[TxOut, TxOut]:
    """What a user's deposit pays: the V-in output, then the announcement."""
    if request.generation != generation.number:
        raise ValueError("the request names another generation")
    return (
        TxOut(amount, deposit_output(generation, request.user_key, timeout).script),
        TxOut(0, request.script(network)),
    )


@dataclass(frozen=True)
class Reclaim:
    """A depositor's way back: spends the timeout leaf `timeout` blocks after confirmation."""

    unsigned: UnsignedTransaction
    user_key: XOnlyKey
    timeout: int
    taproot: TaprootOutput

    @property
    def message(self) -> Hash32:
        """What the user's key signs."""
        return self.unsigned.sighash.script_path(0, self.taproot.leaves[TIMEOUT_LEAF])

    def complete(self, signature: Signature) -> Transaction:
        witness = (
            bytes(signature),
            timeout_leaf(self.user_key, self.timeout),
            self.taproot.control_block(TIMEOUT_LEAF),
        )
        return self.unsigned.transaction.with_witnesses((witness,))


def build_reclaim(
    generation: VaultGeneration,
    user_key: XOnlyKey,
    timeout: int,
    outpoint: OutPoint,
    value: Sats,
    destination: bytes,
    feerate: SatsPerKvb,
) -> Reclaim:
    """Take a deposit back to the output script `destination`. Raises RemoteError when the fee eats
    it.
    """
    taproot = deposit_output(generation, user_key, timeout)
    control = taproot.control_block(TIMEOUT_LEAF)
    leaf = timeout_leaf(user_key, timeout)
    draft = Transaction(
        TRANSACTION_VERSION,
        (TxIn(outpoint, b"", timeout, (bytes(64), leaf, control)),),
        (TxOut(0, destination),),
    )
    paid = value - fee_for(draft.vsize, feerate)
    if paid < dust_limit(destination):
        raise RemoteError(SettlementReason.UNDERFUNDED, f"{value} sat do not pay their way back")
    transaction = Transaction(
        TRANSACTION_VERSION, (TxIn(outpoint, b"", timeout),), (TxOut(paid, destination),)
    )
    unsigned = UnsignedTransaction(transaction, (TxOut(value, taproot.script),))
    return Reclaim(unsigned, user_key, timeout, taproot)
