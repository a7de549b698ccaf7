"""The registered stakes that a chain of blocks knows, and the sets that follow from them.

The registry of a block holds the founders and every `stake` record of its ancestors. It is
immutable: each block has its own, and branches share what they have in common.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from p2p_seq.bitcoin.scan import L1Block
from p2p_seq.consensus.election import Elected, Stake, elect
from p2p_seq.protocol.genesis import Draft, Genesis
from p2p_seq.protocol.params import VAULT_WEIGHT_TOTAL
from p2p_seq.protocol.sets import SequencerSet, vault_weights, weigh
from p2p_seq.protocol.stakes import StakeRecord
from p2p_seq.protocol.types import Epoch, Height, Sats, XOnlyKey
from p2p_seq.settlement.generation import VaultGeneration, VaultMember
from p2p_seq.staking.stakes_on_bitcoin import StakeOnBitcoin, find_stakes


@dataclass(frozen=True, slots=True)
class Registry:
    """Registered stakes by consensus key."""

    draft: Draft
    records: Mapping[XOnlyKey, StakeRecord]

    @classmethod
    def of_genesis(cls, genesis: Genesis) -> "Registry":
        return cls(genesis.draft, _frozen({r.consensus_key: r for r in genesis.founders}))

    def with_record(self, record: StakeRecord) -> "Registry":
        """The registry after one more record; a key that is there already keeps its first
        record.
        """
        if record.consensus_key in self.records:
            return self
        return Registry(self.draft, _frozen({**self.records, record.consensus_key: record}))

    def stakes(self, found: Mapping[XOnlyKey, StakeOnBitcoin]) -> list[Stake]:
        """What the election sees: every record whose stake Bitcoin has confirmed."""
        params, anchor = self.draft.params, self.draft.anchor_height
        return [
            Stake(
                bond=record.bond,
                owner=record.bundle.keys.owner,
                consensus=key,
                value=record.value,
                confirmed=found[key].confirmed or Height(0),
                position=found[key].position,
                spent=found[key].spent,
                first_epoch=record.bundle.first_epoch,
                last_epoch=record.bundle.last_epoch,
                refund=params.refund_height(anchor, record.bundle.last_epoch),
                recorded=True,
            )
            for key, record in self.records.items()
            if found[key].confirmed is not None
        ]

    def elect(self, blocks: Iterable[L1Block], epoch: Epoch) -> Elected | None:
        """The set of an epoch from the reduced blocks up to the seal's parent's origin or beyond.

        Blocks above the snapshot do not matter, so any buried prefix that reaches it will do.
        """
        found = find_stakes(self.draft, self.records, blocks)
        return elect(self.stakes(found), self.draft.params, self.draft.anchor_height, epoch)

    def unspent_bonds(self, blocks: Iterable[L1Block]) -> dict[XOnlyKey, Sats]:
        """The unspent bond behind each vault key (the peg cap's base)."""
        found = find_stakes(self.draft, self.records, blocks)
        return {
            record.bundle.keys.vault: record.value
            for key, record in self.records.items()
            if found[key].is_unspent
        }

    def generation(self, number: int, members: SequencerSet) -> VaultGeneration:
        """The vault generation of a set: its vault keys in set order with quantised weights."""
        weights = vault_weights(members)
        assert sum(weights) == VAULT_WEIGHT_TOTAL
        return VaultGeneration(
            number,
            tuple(
                VaultMember(self.records[member.key].bundle.keys.vault, weight)
                for member, weight in zip(members.members, weights, strict=True)
            ),
        )


def founding_set(genesis: Genesis) -> SequencerSet:
    """The set of epoch 0: all founders (PROTOCOL.md section 5, genesis)."""
    return weigh(
        [(founder.consensus_key, founder.value) for founder in genesis.founders],
        genesis.params.set_maximum,
    )


def _frozen(records: dict[XOnlyKey, StakeRecord]) -> Mapping[XOnlyKey, StakeRecord]:
    return MappingProxyType(records)
