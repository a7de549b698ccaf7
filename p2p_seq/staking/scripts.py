"""The bond S, the fraud connector F and the OP_RETURN of a stake transaction (PROTOCOL.md section
2).

S needs the owner and every co-signer of the committee; as their keys are deleted after two
pre-signatures, S can only be slashed (with F, at any time) or refunded (with F, from height T on).
F is what makes a slash permissionless: each of its leaves but the owner's is a proof of
misbehaviour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from p2p_seq.bitcoin.keys import is_xonly_key
from p2p_seq.bitcoin.script import (
    Op,
    check_signature,
    op_return,
    op_return_payload,
    pay_to_taproot,
    push,
    push_number,
)
from p2p_seq.bitcoin.taproot import TaprootOutput, leaf_hash, read_leaf_spend
from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.stakes import COMMITTEE_MAX, StakeRecord
from p2p_seq.protocol.tags import BitcoinTag, tag4
from p2p_seq.protocol.types import Hash32, Height, Sats, XOnlyKey

CONNECTOR_VALUE: Final = Sats(1_000)
"""Value of F, sat."""

BURN_SEED: Final = b"p2pseq/burn/v1"
"""The burn key's x is SHA256(seed || counter u32 big-endian) for the first counter that is a
point.
"""

BURN_KEY: Final = XOnlyKey(
    bytes.fromhex("1c4fb02f6a77b2f5d3474b651c314be7747982162005e72721d383530b8a6913")
)
"""Output key that nobody can spend: no secret is known, and no script is committed to (pitfall
R7).
"""

LOCK_TIME_HEIGHTS: Final = 500_000_000
"""nLockTime below this is a block height (BIP65)."""

BOND_LEAF: Final = 0
OWNER_LEAF: Final = 0
"""Index of the owner's leaf in F."""
KEY_LEAK_LEAF: Final = 1
"""Index of the leaf that a leaked consensus key opens."""


def bond_leaf(committee: Sequence[XOnlyKey], owner: XOnlyKey) -> bytes:
    """`<c1> CHECKSIGVERIFY ... <cm> CHECKSIGVERIFY <owner> CHECKSIG`."""
    verified = b"".join(push(key) + bytes([Op.CHECKSIGVERIFY]) for key in committee)
    return verified + check_signature(owner)


def owner_leaf(owner: XOnlyKey, refund_height: Height) -> bytes:
    """`<T> CLTV DROP <owner> CHECKSIG`."""
    if not 0 < refund_height < LOCK_TIME_HEIGHTS:
        raise ValueError(f"refund height {refund_height}")
    locked = push_number(refund_height) + bytes([Op.CHECKLOCKTIMEVERIFY, Op.DROP])
    return locked + check_signature(owner)


def key_leak_leaf(consensus: XOnlyKey) -> bytes:
    """`<consensus> CHECKSIG`: anyone who extracted the key from two votes can sign."""
    return check_signature(consensus)


class ConnectorSpend(StrEnum):
    """What a spend of F means."""

    OWNER = "owner"
    """The refund: no offence."""
    KEY_LEAK = "key-leak"
    """Slashed for equivocation (or for losing the consensus key)."""
    FRAUD = "fraud"
    """Slashed by another leaf."""


@dataclass(frozen=True)
class StakeTerms:
    """Everything that the scripts of one stake depend on."""

    owner: XOnlyKey
    consensus: XOnlyKey
    committee: tuple[XOnlyKey, ...]
    """One-use co-signing keys in the order of S's leaf."""
    refund_height: Height
    """T."""
    value: Sats
    """Value of S."""
    burn: Sats
    """What output 0 of a slash holds."""
    fraud_leaves: tuple[Hash32, ...] = ()
    """Leaf hashes of F after owner and key leak."""

    def __post_init__(self) -> None:
        if len(self.committee) > COMMITTEE_MAX:
            raise ValueError(f"committee of {len(self.committee)}")
        if not 0 < self.burn <= self.value:
            raise ValueError(f"a slash burns {self.burn} of {self.value} sat")

    @classmethod
    def of_record(cls, record: StakeRecord, params: Params, anchor: Height) -> "StakeTerms":
        """The terms of a registered stake of the first template, which has no fraud leaves."""
        keys = record.bundle.keys
        return cls(
            keys.owner,
            keys.consensus,
            tuple(entry.cosign_key for entry in record.committee),
            params.refund_height(anchor, record.bundle.last_epoch),
            record.value,
            params.burn_amount(record.value),
        )

    @property
    def bond_script(self) -> bytes:
        """The only leaf of S."""
        return bond_leaf(self.committee, self.owner)

    @cached_property
    def bond(self) -> TaprootOutput:
        """S."""
        return TaprootOutput.of_scripts([self.bond_script])

    @property
    def owner_script(self) -> bytes:
        return owner_leaf(self.owner, self.refund_height)

    @property
    def key_leak_script(self) -> bytes:
        return key_leak_leaf(self.consensus)

    @cached_property
    def connector(self) -> TaprootOutput:
        """F."""
        own = (leaf_hash(self.owner_script), leaf_hash(self.key_leak_script))
        return TaprootOutput(own + self.fraud_leaves)

    @property
    def spent_outputs(self) -> tuple[TxOut, TxOut]:
        """S and F, what slash and refund spend."""
        return (
            TxOut(self.value, self.bond.script),
            TxOut(CONNECTOR_VALUE, self.connector.script),
        )

    @property
    def burn_output(self) -> TxOut:
        """Output 0 of every slash."""
        return TxOut(self.burn, pay_to_taproot(BURN_KEY))

    def connector_spend(self, witness: Sequence[bytes]) -> ConnectorSpend:
        """What the witness of a confirmed spend of F means: any leaf but the owner's is a slash."""
        spend = read_leaf_spend(witness)
        if spend is not None and spend.script == self.owner_script:
            return ConnectorSpend.OWNER
        if spend is not None and spend.script == self.key_leak_script:
            return ConnectorSpend.KEY_LEAK
        return ConnectorSpend.FRAUD


@dataclass(frozen=True, slots=True)
class StakeNote:
    """What the OP_RETURN of a stake says."""

    consensus: XOnlyKey
    bundle: Hash32

    def script(self, network: str) -> bytes:
        """The OP_RETURN: tag4, consensus key 32, bundle hash 32."""
        writer = Writer().fixed(tag4(network, BitcoinTag.STAKE), 4)
        return op_return(writer.hash32(self.consensus).hash32(self.bundle).bytes())


def parse_stake_payload(payload: bytes) -> StakeNote | None:
    """The note in an OP_RETURN after its tag; None when it is malformed or its key is no point."""
    try:
        reader = Reader(payload)
        note = StakeNote(reader.xonly(), reader.hash32())
        reader.finish()
    except CodecError:
        return None
    return note if is_xonly_key(note.consensus) else None


def parse_stake_op_return(network: str, script: bytes) -> StakeNote | None:
    """The note in an output script; None for every script that is not a stake's OP_RETURN."""
    payload = op_return_payload(script)
    if payload is None or payload[:4] != tag4(network, BitcoinTag.STAKE):
        return None
    return parse_stake_payload(payload[4:])
