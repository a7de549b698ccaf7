"""Registration: the bundle that a joiner publishes and the `stake` record that enters the ledger.

The bundle names keys and ranges and is hashed into the stake transaction's OP_RETURN; the
pre-signatures depend on that transaction's id, so they travel beside the bundle, in the record
(pitfall R5). A voter votes for a block with a record only after checking all of it on the engine
(PROTOCOL.md section 5).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import Epoch, Hash32, OutPoint, Sats, Signature, XOnlyKey

TEMPLATE_VERSION: Final = 1
"""Version of the stake template (instruction set, record layout, leaves of F)."""

COMMITTEE_MAX: Final = 100
"""Co-signers of one stake: at most the largest possible set."""

BOND_OUTPUT: Final = 0
"""S is output 0 of the stake transaction."""

CONNECTOR_OUTPUT: Final = 1
"""F is output 1."""


class KeyRole(IntEnum):
    """What a registered key is for; no key has two roles (pitfall U7)."""

    OWNER = 1
    CONSENSUS = 2
    VAULT = 3
    REWARD = 4
    PEER = 5


@dataclass(frozen=True, slots=True)
class RegisteredKeys:
    """The keys of one stake."""

    owner: XOnlyKey
    """Cold: refund and the owner leaf of F. Names the operator."""
    consensus: XOnlyKey
    """Names the stake; votes; leaks on equivocation."""
    vault: XOnlyKey
    """Signs settlements."""
    reward: XOnlyKey
    """Ledger account of the leader's fees."""
    peer: XOnlyKey
    """Identity on the peer-to-peer network (even-Y lift of this key)."""

    def by_role(self) -> tuple[tuple[KeyRole, XOnlyKey], ...]:
        """Every key with its role, in the order of the encoding."""
        return (
            (KeyRole.OWNER, self.owner),
            (KeyRole.CONSENSUS, self.consensus),
            (KeyRole.VAULT, self.vault),
            (KeyRole.REWARD, self.reward),
            (KeyRole.PEER, self.peer),
        )

    def write(self, writer: Writer) -> Writer:
        for _, key in self.by_role():
            writer.hash32(key)
        return writer

    @classmethod
    def read(cls, reader: Reader) -> "RegisteredKeys":
        owner, consensus, vault, reward, peer = (reader.xonly() for _ in range(5))
        return cls(owner, consensus, vault, reward, peer)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a joiner publishes before anybody co-signs; its hash is in the stake's OP_RETURN."""

    draft_id: Hash32
    template: int
    keys: RegisteredKeys
    first_epoch: Epoch
    """First epoch of the key range."""
    last_epoch: Epoch
    one_time_root: Hash32
    """Root of the one-time public keys; zeros while the list is empty (no fraud leaves yet)."""
    nonce_page_root: Hash32
    """Root of nonce page 0; zeros while nonces are not committed."""
    possession: tuple[Signature, ...]
    """One signature by each key over `possession_message`, in the order of
    `RegisteredKeys.by_role`.
    """

    def encode(self) -> bytes:
        writer = Writer().hash32(self.draft_id).u16(self.template)
        self.keys.write(writer)
        writer.u64(self.first_epoch).u64(self.last_epoch)
        writer.hash32(self.one_time_root).hash32(self.nonce_page_root)
        for signature in self.possession:
            writer.fixed(signature, 64)
        return writer.bytes()

    @classmethod
    def read(cls, reader: Reader) -> "Bundle":
        return cls(
            reader.hash32(),
            reader.u16(),
            RegisteredKeys.read(reader),
            Epoch(reader.u64()),
            Epoch(reader.u64()),
            reader.hash32(),
            reader.hash32(),
            tuple(reader.signature() for _ in KeyRole),
        )

    def digest(self, network: str) -> Hash32:
        """The bundle hash."""
        return tagged_hash(network, Tag.BUNDLE, self.encode())


def possession_message(
    network: str, draft_id: Hash32, owner: XOnlyKey, role: KeyRole, key: XOnlyKey
) -> Hash32:
    """What `key` signs to show that the registering operator holds it in this role."""
    return tagged_hash(network, Tag.POSSESSION, draft_id, owner, bytes([role]), key)


def cosign_message(
    network: str, draft_id: Hash32, bundle: Hash32, member: XOnlyKey, cosign_key: XOnlyKey
) -> Hash32:
    """What a committee member signs with its consensus key: this fresh key is mine, for this
    bundle.
    """
    return tagged_hash(network, Tag.COSIGN, draft_id, bundle, member, cosign_key)


@dataclass(frozen=True, slots=True)
class CommitteeEntry:
    """One co-signer of a stake: its fresh key and its two pre-signatures over S. 256 bytes."""

    member: XOnlyKey
    """Consensus key of the member."""
    cosign_key: XOnlyKey
    """One-use key, deleted after signing."""
    statement: Signature
    """By `member` over `cosign_message`."""
    slash: Signature
    """By `cosign_key`, SIGHASH_SINGLE, on input 0 of the slash transaction."""
    refund: Signature
    """By `cosign_key`, SIGHASH_NONE, on input 0 of the refund transaction."""

    def write(self, writer: Writer) -> Writer:
        writer.hash32(self.member).hash32(self.cosign_key)
        for signature in (self.statement, self.slash, self.refund):
            writer.fixed(signature, 64)
        return writer

    @classmethod
    def read(cls, reader: Reader) -> "CommitteeEntry":
        return cls(
            reader.xonly(),
            reader.xonly(),
            reader.signature(),
            reader.signature(),
            reader.signature(),
        )


@dataclass(frozen=True, slots=True)
class StakeRecord:
    """A registered stake: everything that a slash or refund needs, and everything that a voter
    checks.
    """

    bundle: Bundle
    txid: Hash32
    """The stake transaction; S is its output 0, F its output 1."""
    value: Sats
    """Value of S."""
    committee: tuple[CommitteeEntry, ...]
    """In the order of the keys in S's leaf: heaviest member first."""
    owner_slash: Signature
    """By the owner, SIGHASH_SINGLE, on input 0 of the slash transaction."""

    @property
    def bond(self) -> OutPoint:
        return OutPoint(self.txid, BOND_OUTPUT)

    @property
    def connector(self) -> OutPoint:
        return OutPoint(self.txid, CONNECTOR_OUTPUT)

    @property
    def consensus_key(self) -> XOnlyKey:
        return self.bundle.keys.consensus

    def write(self, writer: Writer) -> Writer:
        writer.var_bytes(self.bundle.encode(), 4_096).hash32(self.txid).u64(self.value)
        writer.sequence(self.committee, COMMITTEE_MAX, lambda w, entry: entry.write(w))
        return writer.fixed(self.owner_slash, 64)

    def encode(self) -> bytes:
        return self.write(Writer()).bytes()

    @classmethod
    def read(cls, reader: Reader) -> "StakeRecord":
        bundle_reader = Reader(reader.var_bytes(4_096))
        bundle = Bundle.read(bundle_reader)
        bundle_reader.finish()
        return cls(
            bundle,
            reader.hash32(),
            Sats(reader.u64()),
            reader.sequence(COMMITTEE_MAX, CommitteeEntry.read),
            reader.signature(),
        )

    @classmethod
    def decode(cls, encoded: bytes) -> "StakeRecord":
        """Strict inverse of `encode`. Raises CodecError."""
        reader = Reader(encoded)
        record = cls.read(reader)
        reader.finish()
        return record

    def digest(self, network: str) -> Hash32:
        """What the ledger keeps of the record."""
        return tagged_hash(network, Tag.STAKE_RECORD, self.encode())
