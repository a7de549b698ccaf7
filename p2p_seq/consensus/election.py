"""Who is in the set of an epoch, and the seed of its leaders (PROTOCOL.md section 5, consensus.md
C.3).

A pure function of buried Bitcoin blocks and finalised ledger records. The snapshot `s = a_e - 2D`
fixes the stakes before the block `r = a_e - D` that seeds the leaders exists, so a miner can only
permute phases.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from p2p_seq.protocol.params import Params
from p2p_seq.protocol.sets import SequencerSet, weigh
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import Epoch, Hash32, Height, OutPoint, Sats, XOnlyKey


@dataclass(frozen=True, slots=True)
class Stake:
    """One stake as the origin chain and the finalised ledger show it at the seal of epoch e - 1."""

    bond: OutPoint
    """S: names the stake."""
    owner: XOnlyKey
    """Names the operator."""
    consensus: XOnlyKey
    value: Sats
    """Value of S."""
    confirmed: Height
    """Height of the stake transaction."""
    position: int
    """Its index in that block."""
    spent: Height | None
    """Lowest height at which S or F is spent, if any."""
    first_epoch: Epoch
    last_epoch: Epoch
    """The key range."""
    refund: Height
    """T."""
    recorded: bool
    """Its `stake` record is finalised (founders: named in the genesis file)."""
    has_page: bool = True
    """Nonce page 0 of the epoch is finalised; true while nonces are not committed."""
    barred: bool = False
    """Slashed, jailed, or without its token bond."""


@dataclass(frozen=True, slots=True)
class Elected:
    """The set of an epoch, and the stake behind each member in set order."""

    members: SequencerSet
    stakes: tuple[Stake, ...]


def snapshot_height(params: Params, anchor: Height, epoch: Epoch) -> Height:
    """`s = max(G, a_e - 2D)`.

    Founder stakes need only be buried by G. Where 2D exceeds K the first epochs would look before G
    and lose founders that nothing disqualifies; they look at G instead.
    """
    return Height(max(anchor, params.epoch_start(anchor, epoch) - 2 * params.burial_depth))


def seed_height(params: Params, anchor: Height, epoch: Epoch) -> Height:
    """`r = a_e - D`: the seed takes the hashes of this block and of the one before."""
    return Height(params.epoch_start(anchor, epoch) - params.burial_depth)


def epoch_seed(
    network: str, block: Hash32, block_before: Hash32, seal_or_chain_id: Hash32, epoch: Epoch
) -> Hash32:
    """`seed_e = H_seed(hash(r) | hash(r-1) | seal_{e-1} or chain_id for epoch 0 | e)`."""
    number = epoch.to_bytes(8, "big")
    return tagged_hash(network, Tag.SEED, block, block_before, seal_or_chain_id, number)


def is_eligible(stake: Stake, params: Params, anchor: Height, epoch: Epoch) -> bool:
    """Whether this stake alone may serve the epoch."""
    snapshot = snapshot_height(params, anchor, epoch)
    border = params.epoch_start(anchor, Epoch(epoch + 1))
    window_end = border + params.challenge_window + params.window_margin
    return (
        stake.confirmed <= snapshot
        and (stake.spent is None or stake.spent > snapshot)
        and stake.first_epoch <= epoch <= stake.last_epoch
        and stake.refund >= window_end
        and stake.value >= params.stake_minimum
        and stake.recorded
        and (stake.has_page or epoch == 0)
        and not stake.barred
    )


def latest_per_operator(stakes: Iterable[Stake]) -> list[Stake]:
    """One stake per owner: the one that Bitcoin confirmed last."""
    latest: dict[XOnlyKey, Stake] = {}
    for stake in stakes:
        other = latest.get(stake.owner)
        if other is None or _age(stake) > _age(other):
            latest[stake.owner] = stake
    return list(latest.values())


def _age(stake: Stake) -> tuple[Height, int, OutPoint]:
    return (stake.confirmed, stake.position, stake.bond)


def elect(stakes: Iterable[Stake], params: Params, anchor: Height, epoch: Epoch) -> Elected | None:
    """The set of an epoch; None when fewer than the network's minimum are eligible (the chain
    halts).

    A consensus key serves once: of two operators that register the same key the earlier stake holds
    it.
    """
    eligible = [stake for stake in stakes if is_eligible(stake, params, anchor, epoch)]
    by_key: dict[XOnlyKey, Stake] = {}
    for stake in sorted(latest_per_operator(eligible), key=_age):
        by_key.setdefault(stake.consensus, stake)
    if len(by_key) < max(1, params.set_minimum):
        return None
    members = weigh(((key, stake.value) for key, stake in by_key.items()), params.set_maximum)
    return Elected(members, tuple(by_key[member.key] for member in members.members))
