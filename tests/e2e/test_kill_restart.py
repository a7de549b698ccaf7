"""Killing one sequencer at any moment of the demo loses nothing: it comes back to the same state.

A few cases run always; the full set (every persist point, fifty random times) is marked slow.
Nobody registers a stake during the demo: the persist points of a registration are in
`tests/unit/staking/test_service_processes.py`.
"""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from p2p_seq.node.crash import VOTING_POINTS
from testnet.processes import is_running
from testnet.state import read_state
from tests.conftest import RUN_SEED
from tests.support.testnets import Demo, running_demo, steps_of, wait_until

pytestmark = pytest.mark.timeout(420)

DEMO_PATIENCE_S = 300.0

DEMO_SECONDS = 45.0
"""What a demo takes from its first final block on; kills fall into this time."""


def check_whole(report: dict[str, Any], name: str) -> None:
    """The BTC arrived, and the node that was killed has the same states as the others."""
    assert steps_of(report, "payout")
    nodes = report["agreement"]["nodes"]
    assert len(nodes) == 4
    assert {node["state_root_at_height"] for node in nodes.values()} == {
        nodes[name]["state_root_at_height"]
    }


def has_died(demo: Demo, name: str) -> bool:
    """Whether a process was started and is gone, however soon that was."""
    assert demo.process.poll() is None, f"the demo ended before {name} died\n{demo.text()}"
    state = read_state(demo.folder)
    if state is None:
        return False
    record = state.process(name)
    return record.pid != 0 and not is_running(record)


def reached_points(demo: Demo, name: str) -> list[str]:
    """Persist points at which a sequencer has killed itself, by its own last words."""
    lines = (demo.folder / "logs" / f"{name}.log").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return [event["point"] for event in events if event["event"] == "crash_point_reached"]


def play_with_crash(folder: Path, name: str, point: str, count: int, down_s: float) -> None:
    print(f"{name} dies when it passes {point} for the {count}th time, for {down_s:.1f} s")
    with running_demo(folder, "--crash-at", f"{name}={point}:{count}") as demo:
        wait_until(lambda: has_died(demo, name), 180, f"{name} dies at {point}")
        assert reached_points(demo, name) == [point]
        time.sleep(down_s)
        demo.command("restart", name)
        check_whole(demo.wait(DEMO_PATIENCE_S), name)


def play_with_kill(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    name, when = f"seq{chance.randrange(4)}", chance.uniform(0.0, DEMO_SECONDS)
    down_s = chance.uniform(0.0, 8.0)
    print(f"seed {seed}: {name} is killed {when:.1f} s after the first block, for {down_s:.1f} s")
    with running_demo(folder) as demo:
        demo.wait_for_line("first block final")
        _sleep_while_running(demo, when)
        demo.command("kill", name)
        time.sleep(down_s)
        demo.command("restart", name)
        check_whole(demo.wait(DEMO_PATIENCE_S), name)


def _sleep_while_running(demo: Demo, seconds: float) -> None:
    """Until the time has come; a quick machine's demo is killed near its end instead."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and "withdrawal is planned" not in demo.text():
        assert demo.process.poll() is None, demo.text()
        time.sleep(0.1)


def test_a_sequencer_dies_between_its_vote_and_the_wire(tmp_path: Path) -> None:
    play_with_crash(tmp_path, "seq1", "vote-after-guard", 25, 3.0)


def test_a_sequencer_is_killed_at_a_random_time(tmp_path: Path, seed: int) -> None:
    play_with_kill(tmp_path, seed)


SEALS_MAX = 5
VOTES_MAX = 60
"""How often a demo surely passes a point of a seal, and one of a block or vote, while it runs."""


@pytest.mark.slow
@pytest.mark.parametrize("point", VOTING_POINTS)
@pytest.mark.parametrize("node", range(4))
def test_every_persist_point(tmp_path: Path, point: str, node: int) -> None:
    chance = random.Random(f"{RUN_SEED}/{point}/{node}")
    count = chance.randint(1, SEALS_MAX if point.endswith("-seal") else VOTES_MAX)
    play_with_crash(tmp_path, f"seq{node}", point, count, chance.uniform(0.0, 8.0))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(50))
def test_fifty_random_times(tmp_path: Path, number: int) -> None:
    play_with_kill(tmp_path, (RUN_SEED << 8) + number)
