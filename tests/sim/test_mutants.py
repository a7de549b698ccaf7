"""The simulator can fail: each broken rule is found, by the invariant that names it.

A mutant that survives means that the campaign of seeds proves nothing about that rule.
"""

from collections.abc import Iterable

import pytest

from p2p_seq.consensus.core import Simplex
from p2p_seq.consensus.timers import TimerConfig
from p2p_seq.consensus.types import ROOT_VIEW, Instance, Proposal, Record
from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.types import Hash32, View
from p2p_seq.protocol.votes import VoteStatement
from p2p_seq.sim.invariants import Invariant
from p2p_seq.sim.scenario import make_scenario
from p2p_seq.sim.world import World

SEEDS = range(60)


class HalfQuorumSet(SequencerSet):
    """More than one half instead of two thirds."""

    def is_quorum(self, signed: int) -> bool:
        return 2 * signed > self.total


class FinalizesAfterNullify(Simplex):
    def _forbids_finalize(self, view: View) -> bool:
        return False


class ForgetsItsNullify(Simplex):
    """The core's own check is gone too: only the guard is left."""

    def _forbids_finalize(self, view: View) -> bool:
        self.state.own_votes(view).nullify = None
        return False


class SkipsUnproven(Simplex):
    """Proposes and believes proposals that skip views without proof."""

    def _unproven(self, proposal: Proposal) -> list[View]:
        return []


class Amnesiac(Simplex):
    """Starts without the votes that the guard holds."""

    @classmethod
    def restore(
        cls,
        instance: Instance,
        timers: TimerConfig,
        records: Iterable[Record],
        own_votes: Iterable[VoteStatement],  # noqa: ARG003 (what it forgets)
        tip: Hash32 | None = None,
        tip_view: View = ROOT_VIEW,
    ) -> Simplex:
        return super().restore(instance, timers, records, (), tip, tip_view)


def first_violation(
    simplex: type[Simplex] = Simplex, kind_of_set: type[SequencerSet] = SequencerSet
) -> tuple[int, Invariant] | None:
    """The first seed that breaks, and the invariant."""
    for seed in SEEDS:
        outcome = World(make_scenario(seed), simplex, kind_of_set.ordered).run()
        if outcome.violation is not None:
            return seed, outcome.violation.invariant
    return None


FORK = {Invariant.AGREEMENT, Invariant.FORK_CLAIM}
"""Two final blocks at one height, or a node that saw the finality of both."""


def test_half_quorum_forks() -> None:
    found = first_violation(kind_of_set=HalfQuorumSet)
    assert found is not None
    assert found[1] in FORK


@pytest.mark.parametrize(
    ("mutant", "invariants"),
    [
        (FinalizesAfterNullify, {Invariant.LOCAL_ERROR}),
        (ForgetsItsNullify, {Invariant.GUARD}),
        (SkipsUnproven, FORK),
        (Amnesiac, {Invariant.GUARD}),
    ],
)
def test_mutant_is_found(mutant: type[Simplex], invariants: set[Invariant]) -> None:
    found = first_violation(mutant)
    assert found is not None, f"{mutant.__name__} survived {len(SEEDS)} seeds"
    assert found[1] in invariants
