"""Seeds of the simulation: a quick part always, the 2,000 of the release in the slow suite."""

import pytest

from p2p_seq.sim.__main__ import main, parse_range
from p2p_seq.sim.scenario import Behaviour, make_scenario
from p2p_seq.sim.world import World

SLICE = 25


@pytest.mark.parametrize("first", range(0, 200, SLICE))
def test_quick_seeds_hold(first: int) -> None:
    for seed in range(first, first + SLICE):
        outcome = World(make_scenario(seed)).run()
        assert outcome.violation is None, outcome.describe()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(200, 2_000, 100))
def test_release_seeds_hold(first: int) -> None:
    for seed in range(first, first + 100):
        outcome = World(make_scenario(seed)).run()
        assert outcome.violation is None, outcome.describe()


@pytest.mark.parametrize("seed", [3, 7, 19])
def test_a_seed_repeats_exactly(seed: int) -> None:
    runs = [World(make_scenario(seed)) for _ in range(2)]
    outcomes = [world.run() for world in runs]
    assert outcomes[0] == outcomes[1]
    assert runs[0].monitor.chain == runs[1].monitor.chain


def test_scenarios_cover_every_fault() -> None:
    scenarios = [make_scenario(seed) for seed in range(200)]
    assert {kind for plan in scenarios for _, kind in plan.byzantine} == set(Behaviour)
    assert any(plan.loss_percent for plan in scenarios)
    assert any(plan.duplicate_percent for plan in scenarios)
    assert any(plan.partitions for plan in scenarios)
    assert any(crash.persist_point for plan in scenarios for crash in plan.crashes)
    kinds = {kind for plan in scenarios for _, kind, _ in plan.bitcoin}
    assert kinds == {"mine", "reorganise"}
    assert any(blocks == 100 for plan in scenarios for _, _, blocks in plan.bitcoin)
    for plan in scenarios:
        weight = sum(plan.weights[node] for node, _ in plan.byzantine)
        assert 3 * weight < sum(plan.weights)


def test_the_command_reports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "5..7", "--verbose"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("seed 5: ok")
    assert lines[1].startswith("seed 6: ok")
    assert lines[2].startswith("2 seeds, 0 failed")


def test_ranges_of_seeds() -> None:
    assert parse_range("3..6") == range(3, 6)
    assert parse_range("8") == range(8, 9)
