"""A node dies at every single persist point of a run, and comes back with what was durable."""

from dataclasses import replace

import pytest

from p2p_seq.sim.scenario import Crash, Scenario, make_scenario
from p2p_seq.sim.world import World


def calm(crashes: tuple[Crash, ...] = ()) -> Scenario:
    """Four equal members, two epochs, a transaction now and then, nothing else goes wrong."""
    return replace(
        make_scenario(0, allow_byzantine=False),
        weights=(1, 1, 1, 1),
        heal_ms=4_000,
        delay_ms=(1, 4),
        loss_percent=0,
        duplicate_percent=0,
        slow_kind=None,
        crashes=crashes,
        partitions=(),
        depth=2,
        step=16,
        blocks_per_epoch=3,
        bitcoin=tuple((time, "mine", 1) for time in range(0, 4_000, 700)),
        bitcoin_lag_ms=(0, 0, 0, 0),
        transactions=((300, 0), (1_100, 1), (2_500, 2)),
    )


def points_of(node: int) -> int:
    world = World(calm())
    outcome = world.run()
    assert outcome.violation is None
    assert outcome.epochs >= 1
    assert outcome.heights >= 6
    return world.processes[node][0].points


def crash_at(node: int, point: int, down_ms: int) -> None:
    world = World(calm((Crash(node, 1, point, down_ms),)))
    outcome = world.run()
    assert outcome.crashes == 1, f"point {point} was not reached"
    assert outcome.violation is None, f"point {point}: {outcome.describe()}"


def test_a_crash_at_every_persist_point_loses_nothing() -> None:
    points = points_of(0)
    assert points > 60
    for point in range(1, points - 8):
        crash_at(0, point, 300)


@pytest.mark.slow
@pytest.mark.parametrize("node", range(4))
@pytest.mark.parametrize("down_ms", [1, 300, 2_500])
def test_every_node_at_every_point(node: int, down_ms: int) -> None:
    for point in range(1, points_of(node) - 8):
        crash_at(node, point, down_ms)
