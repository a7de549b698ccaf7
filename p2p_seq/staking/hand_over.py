"""When the vault changes hands (PROTOCOL.md section 6)."""

from collections.abc import Mapping
from typing import Final

from p2p_seq.protocol.params import VAULT_WEIGHT_TOTAL
from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.types import Epoch, Height, XOnlyKey
from p2p_seq.settlement.bridge import BridgeState
from p2p_seq.settlement.generation import VaultGeneration
from p2p_seq.staking.registry import Registry

MOVED_PERCENT_MAX: Final = 20
"""Vault weight that may move between members before a hand-over is due."""

GENERATION_BLOCKS_MAX: Final = 4_320
"""A generation older than 30 days (in Bitcoin blocks) is replaced."""


def due_hand_over(
    registry: Registry,
    bridge: BridgeState,
    next_set: SequencerSet,
    origin: Height,
) -> VaultGeneration | None:
    """The successor generation that a seal must plan, or None.

    `bridge` and `origin` are those of the seal's parent; `next_set` serves the next epoch.
    Never while another settlement, and so perhaps another hand-over, is unburied.
    """
    if bridge.in_flight is not None:
        return None
    successor = registry.generation(bridge.active.number + 1, next_set)
    if _shares(successor) == _shares(bridge.active):
        return None
    staying = _staying_keys(registry, next_set, origin)
    leaving = any(member.key not in staying for member in bridge.active.members)
    old, new = _shares(bridge.active), _shares(successor)
    moved = sum(abs(old.get(key, 0) - new.get(key, 0)) for key in {*old, *new}) // 2
    aged = origin - bridge.eras[-1].activation >= GENERATION_BLOCKS_MAX
    if leaving or aged or 100 * moved > MOVED_PERCENT_MAX * VAULT_WEIGHT_TOTAL:
        return successor
    return None


def _shares(generation: VaultGeneration) -> Mapping[XOnlyKey, int]:
    return {member.key: member.weight for member in generation.members}


def _staying_keys(registry: Registry, next_set: SequencerSet, origin: Height) -> set[XOnlyKey]:
    """Vault keys of members of the next set whose range does not end within W."""
    params, anchor = registry.draft.params, registry.draft.anchor_height
    staying: set[XOnlyKey] = set()
    for member in next_set.members:
        bundle = registry.records[member.key].bundle
        end = params.epoch_start(anchor, Epoch(bundle.last_epoch + 1))
        if end > origin + params.challenge_window:
            staying.add(bundle.keys.vault)
    return staying
