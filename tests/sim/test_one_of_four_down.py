"""After one of four is gone the other three are all needed: no timeout may cost a second vote.

Work never ends, so every moment without finality counts. The dead leader's turns cost one leader
timer each until it is known to be silent, and nothing from then on; whatever it left half done
(a proposal that only one has, a vote that is on its way) costs at most the advance timer once.
"""

from dataclasses import replace
from itertools import pairwise

import pytest

from p2p_seq.protocol.types import Hash32
from p2p_seq.sim.blocks import SimulatedBlock
from p2p_seq.sim.invariants import Monitor
from p2p_seq.sim.scenario import SIMULATION_TIMERS, Crash, Scenario, make_scenario
from p2p_seq.sim.world import World

END_MS = 14_000
WORK_MS = 40
ROOM_MS = 250
"""Messages, the pause before a block, the next transaction."""

WORST_MS = SIMULATION_TIMERS.leader_ms + ROOM_MS
SETTLED_MS = 10_000
"""After so long the dead leader is skipped at once."""


class Clocked(Monitor):
    """Notes when each height became final first."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.chain = world.monitor.chain
        self.times = [0]
        self._world = world

    def finalized(self, height: int, digest: Hash32, block: SimulatedBlock, parent: Hash32) -> None:
        is_new = height == len(self.chain)
        super().finalized(height, digest, block, parent)
        if is_new:
            self.times.append(self._world.now)


def busy(crash: Crash) -> Scenario:
    """Four equal members with a transaction every moment; one dies and stays away."""
    return replace(
        make_scenario(crash.at_ms, allow_byzantine=False),
        weights=(1, 1, 1, 1),
        heal_ms=END_MS,
        delay_ms=(1, 4),
        loss_percent=0,
        duplicate_percent=0,
        slow_kind=None,
        crashes=(crash,),
        partitions=(),
        depth=2,
        step=16,
        blocks_per_epoch=5,
        bitcoin=tuple((time, "mine", 1) for time in range(0, END_MS, 1_000)),
        block_interval_ms=1_500,
        bitcoin_lag_ms=(0, 0, 0, 0),
        transactions=tuple((time, time // WORK_MS % 4) for time in range(0, END_MS, WORK_MS)),
    )


def gaps(crash: Crash) -> list[tuple[int, int]]:
    """(begin, length) of each time without finality while the dead one is away."""
    world = World(busy(crash))
    clocked = Clocked(world)
    world.monitor = clocked
    outcome = world.run()
    assert outcome.violation is None, outcome.describe()
    assert outcome.crashes == 1
    times = [time for time in clocked.times if time < END_MS] + [END_MS]
    found = [(begin, end - begin) for begin, end in pairwise(times) if end > crash.at_ms]
    assert len(found) > 50, "finality went on"
    return found


def check(crash: Crash) -> None:
    for begin, length in gaps(crash):
        assert length <= WORST_MS, f"{length} ms without finality from {begin} ms on, {crash}"
        if begin > crash.at_ms + SETTLED_MS:
            assert length <= ROOM_MS, f"{length} ms at {begin} ms: it is known to be silent"


@pytest.mark.parametrize("node", range(4))
def test_finality_goes_on_whenever_one_is_killed(node: int) -> None:
    for at_ms in range(20, 2_000, 660):
        check(Crash(node, at_ms + node * 40, None, END_MS))


@pytest.mark.slow
@pytest.mark.parametrize("node", range(4))
def test_finality_goes_on_after_a_death_at_every_persist_point(node: int) -> None:
    for point in range(1, 160):
        check(Crash(node, 1, point, END_MS))
