"""The vault's and the deposits' scripts, and the OP_RETURNs of deposits and settlements.

PROTOCOL.md section 2. The threshold leaf counts weight without OP_IF (some relays refuse it in
tapscript): every CHECKSIG leaves 0 or 1, which is multiplied by the member's weight by doubling
and adding:

    <k0> CHECKSIG  [times w0]
    SWAP <k1> CHECKSIG  [times w1]  ADD
    ...
    <t> GREATERTHANOREQUAL

`times w`: bits of w from the lowest; a set bit below the highest leaves a copy of the running
power behind (DUP), each step doubles the power (DUP ADD), and the copies are added at the end. An
absent signer's element is empty, a wrong signature makes the whole script fail (BIP342), so nobody
can spoil a spend unnoticed by a bad signature. The witness holds the last key's element first.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from p2p_seq.bitcoin.keys import is_xonly_key
from p2p_seq.bitcoin.scan import announcement
from p2p_seq.bitcoin.script import (
    Op,
    check_signature,
    op_return,
    op_return_payload,
    push_number,
)
from p2p_seq.bitcoin.taproot import TaprootOutput
from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError
from p2p_seq.protocol.tags import BitcoinTag, tag4
from p2p_seq.protocol.types import Epoch, Hash32, Sats, Signature, XOnlyKey
from p2p_seq.settlement.generation import VaultGeneration, VaultMember

SETTLEMENT_VERSION: Final = 1
"""Format of the settlement's OP_RETURN."""

VAULT_LEAF: Final = 0
"""Index of the threshold leaf in vault and deposit outputs."""
TIMEOUT_LEAF: Final = 1
"""Index of the depositor's leaf in a deposit output."""

CSV_BLOCKS_MAX: Final = 0xFFFF
"""BIP68 counts blocks in 16 bits."""


def _times(weight: int) -> bytes:
    """Multiply the top of the stack by `weight` (module docstring)."""
    operations = bytearray()
    copies = 0
    while weight > 1:
        if weight & 1:
            operations.append(Op.DUP)
            copies += 1
        operations += bytes([Op.DUP, Op.ADD])
        weight >>= 1
    return bytes(operations) + bytes([Op.ADD]) * copies


def threshold_script(members: Sequence[VaultMember], threshold: int) -> bytes:
    """True when signatures of members with at least `threshold` weight are on the stack."""
    script = b""
    for position, member in enumerate(members):
        counted = check_signature(member.key) + _times(member.weight)
        script += counted if position == 0 else bytes([Op.SWAP]) + counted + bytes([Op.ADD])
    return script + push_number(threshold) + bytes([Op.GREATERTHANOREQUAL])


def after_blocks(blocks: int) -> bytes:
    """`<blocks> CSV DROP`: the rest of the leaf is usable so many confirmations later."""
    if not 1 <= blocks <= CSV_BLOCKS_MAX:
        raise ValueError(f"relative lock of {blocks} blocks")
    return push_number(blocks) + bytes([Op.CHECKSEQUENCEVERIFY, Op.DROP])


@dataclass(frozen=True, slots=True)
class RecoveryLeaf:
    """Who may spend the vault when no settlement has happened for `timeout` blocks (V11)."""

    members: tuple[VaultMember, ...]
    threshold: int
    timeout: int

    def script(self) -> bytes:
        return after_blocks(self.timeout) + threshold_script(self.members, self.threshold)


def vault_leaf(generation: VaultGeneration) -> bytes:
    """The threshold leaf that spends the vault coin and the generation's deposits."""
    return threshold_script(generation.members, generation.threshold)


@lru_cache(maxsize=64)
def vault_output(
    generation: VaultGeneration, recovery: RecoveryLeaf | None = None
) -> TaprootOutput:
    """The output that holds the vault coin of a generation."""
    scripts = [vault_leaf(generation)]
    if recovery is not None:
        scripts.append(recovery.script())
    return TaprootOutput.of_scripts(scripts)


def timeout_leaf(user_key: XOnlyKey, timeout: int) -> bytes:
    """`CSV_USER CSV DROP <user> CHECKSIG`."""
    return after_blocks(timeout) + check_signature(user_key)


@lru_cache(maxsize=4096)
def deposit_output(generation: VaultGeneration, user_key: XOnlyKey, timeout: int) -> TaprootOutput:
    """What a user pays into: the vault's generation takes it, or the user after `timeout`."""
    return TaprootOutput.of_scripts([vault_leaf(generation), timeout_leaf(user_key, timeout)])


def choose_signers(
    generation: VaultGeneration, available: Container[XOnlyKey]
) -> tuple[XOnlyKey, ...] | None:
    """The fewest keys of `available` that reach the threshold, heaviest first; None if they do
    not.
    """
    chosen: list[XOnlyKey] = []
    weight = 0
    for member in sorted(generation.members, key=lambda item: -item.weight):
        if member.key in available:
            chosen.append(member.key)
            weight += member.weight
            if weight >= generation.threshold:
                return tuple(chosen)
    return None


def threshold_stack(
    generation: VaultGeneration, signatures: Mapping[XOnlyKey, Signature]
) -> tuple[bytes, ...] | None:
    """Stack elements for the threshold leaf out of any signatures; None when they are too light.

    Only as many signatures as needed enter: the others would be paid for by the byte.
    """
    signers = choose_signers(generation, signatures)
    if signers is None:
        return None
    return tuple(
        bytes(signatures[member.key]) if member.key in signers else b""
        for member in reversed(generation.members)
    )


@dataclass(frozen=True, slots=True)
class DepositRequest:
    """What the OP_RETURN of a deposit says (pitfall V4)."""

    generation: int
    recipient: XOnlyKey
    """Ledger account that is credited."""
    user_key: XOnlyKey
    """Key of the timeout leaf."""

    def script(self, network: str) -> bytes:
        """The OP_RETURN: tag4, generation u16, recipient 32, user key 32."""
        writer = Writer().fixed(tag4(network, BitcoinTag.DEPOSIT), 4).u16(self.generation)
        return op_return(writer.hash32(self.recipient).hash32(self.user_key).bytes())


def parse_deposit_payload(payload: bytes) -> DepositRequest | None:
    """The request in an OP_RETURN after its tag; None when it is malformed.

    A recipient that is no curve point could never move what it is credited, so such a deposit is
    none: it is not swept and returns by its timeout leaf.
    """
    try:
        reader = Reader(payload)
        request = DepositRequest(reader.u16(), reader.xonly(), reader.xonly())
        reader.finish()
    except CodecError:
        return None
    return request if is_xonly_key(request.recipient) else None


def parse_deposit_op_return(network: str, script: bytes) -> DepositRequest | None:
    """The request in an output script; None for every script that is not a deposit's OP_RETURN."""
    payload = op_return_payload(script)
    if payload is None or payload[:4] != tag4(network, BitcoinTag.DEPOSIT):
        return None
    return parse_deposit_payload(payload[4:])


def request_of(network: str, transaction: Transaction) -> DepositRequest | None:
    """The deposit that a transaction announces, if it announces nothing else."""
    kind, payload = announcement(network, transaction)
    return parse_deposit_payload(payload) if kind is BitcoinTag.DEPOSIT else None


class FoundDeposit(NamedTuple):
    """One V-in output of a transaction."""

    vout: int
    value: Sats
    request: DepositRequest


def deposits_in(
    network: str,
    transaction: Transaction,
    generations: Mapping[int, VaultGeneration],
    timeout: int,
) -> tuple[FoundDeposit, ...]:
    """Every output that pays exactly the script which the announced request makes."""
    request = request_of(network, transaction)
    generation = None if request is None else generations.get(request.generation)
    if request is None or generation is None:
        return ()
    script = deposit_output(generation, request.user_key, timeout).script
    return tuple(
        FoundDeposit(vout, Sats(output.value), request)
        for vout, output in enumerate(transaction.outputs)
        if output.script == script
    )


@dataclass(frozen=True, slots=True)
class SettlementNote:
    """What the OP_RETURN of a settlement says."""

    last_epoch: Epoch
    state_root: Hash32
    commitment: Hash32

    def script(self, network: str) -> bytes:
        """The OP_RETURN: tag4, version u8, last epoch u32, state root 32, commitment 32."""
        writer = Writer().fixed(tag4(network, BitcoinTag.SETTLE), 4).u8(SETTLEMENT_VERSION)
        writer.u32(self.last_epoch).hash32(self.state_root).hash32(self.commitment)
        return op_return(writer.bytes())


def parse_settlement_payload(payload: bytes) -> SettlementNote | None:
    """The note in an OP_RETURN after its tag; None when it is malformed or of another version."""
    try:
        reader = Reader(payload)
        reader.u8(SETTLEMENT_VERSION, SETTLEMENT_VERSION)
        note = SettlementNote(Epoch(reader.u32()), reader.hash32(), reader.hash32())
        reader.finish()
    except CodecError:
        return None
    return note


def parse_settlement_op_return(network: str, script: bytes) -> SettlementNote | None:
    """The note in an output script; None for every script that is not a settlement's OP_RETURN."""
    payload = op_return_payload(script)
    if payload is None or payload[:4] != tag4(network, BitcoinTag.SETTLE):
        return None
    return parse_settlement_payload(payload[4:])
