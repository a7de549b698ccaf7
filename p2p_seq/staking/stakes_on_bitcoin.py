"""What Bitcoin says of registered stakes at a height: confirmed, unspent, refunded or slashed.

A pure function of the reduced blocks up to that height, so every node that has the same origin
finds the same. A stake exists when a transaction has exactly the outputs of its terms; a spend of F
by any leaf but the owner's is a slash, whatever happened to S (PROTOCOL.md section 2).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from p2p_seq.bitcoin.scan import L1Block, RelevantTransaction
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.genesis import Draft
from p2p_seq.protocol.stakes import StakeRecord
from p2p_seq.protocol.tags import BitcoinTag
from p2p_seq.protocol.types import Hash32, Height, OutPoint, XOnlyKey
from p2p_seq.staking.scripts import ConnectorSpend, StakeTerms
from p2p_seq.staking.transactions import check_stake


@dataclass(slots=True)
class StakeOnBitcoin:
    """One registered stake as Bitcoin shows it."""

    confirmed: Height | None = None
    """Height of the stake transaction."""
    position: int = 0
    """Its index in that block."""
    bond_spent: Height | None = None
    connector_spent: Height | None = None
    slashed: Height | None = None
    """Height at which F was spent by a leaf that is not the owner's."""

    @property
    def spent(self) -> Height | None:
        """Lowest height at which S or F was spent."""
        heights = [h for h in (self.bond_spent, self.connector_spent) if h is not None]
        return min(heights, default=None)

    @property
    def is_unspent(self) -> bool:
        return (
            self.confirmed is not None and self.bond_spent is None and self.connector_spent is None
        )


def find_stakes(
    draft: Draft,
    records: Mapping[XOnlyKey, StakeRecord],
    blocks: Iterable[L1Block],
) -> dict[XOnlyKey, StakeOnBitcoin]:
    """The state of every registered stake after `blocks` (ascending from the watcher's start).

    Several records may name one transaction: anyone can have a record co-signed for another's
    stake. Only the one whose terms it pays is confirmed by it, and hides nobody.
    """
    found = {key: StakeOnBitcoin() for key in records}
    by_txid: dict[Hash32, list[XOnlyKey]] = {}
    by_outpoint: dict[OutPoint, list[XOnlyKey]] = {}
    for key, record in records.items():
        by_txid.setdefault(record.txid, []).append(key)
        by_outpoint.setdefault(record.bond, []).append(key)
        by_outpoint.setdefault(record.connector, []).append(key)
    for block in blocks:
        for item in block.relevant:
            if item.announces is BitcoinTag.STAKE:
                for key in by_txid.get(item.transaction.txid, ()):
                    if _pays_terms(draft, records[key], item):
                        found[key].confirmed = block.height
                        found[key].position = item.index
            for outpoint in item.spends:
                for key in by_outpoint.get(outpoint, ()):
                    _note_spend(draft, records[key], found[key], item, block.height)
    return found


def _pays_terms(draft: Draft, record: StakeRecord, item: RelevantTransaction) -> bool:
    terms = StakeTerms.of_record(record, draft.params, draft.anchor_height)
    bundle = record.bundle.digest(draft.params.network)
    try:
        check_stake(draft.params.network, terms, bundle, item.transaction)
    except RemoteError:
        return False
    return True


def _note_spend(
    draft: Draft,
    record: StakeRecord,
    stake: StakeOnBitcoin,
    item: RelevantTransaction,
    height: Height,
) -> None:
    terms = StakeTerms.of_record(record, draft.params, draft.anchor_height)
    for spent in item.transaction.inputs:
        if spent.previous == record.bond:
            stake.bond_spent = height
        elif spent.previous == record.connector:
            stake.connector_spent = height
            if terms.connector_spend(spent.witness) is not ConnectorSpend.OWNER:
                stake.slashed = height
