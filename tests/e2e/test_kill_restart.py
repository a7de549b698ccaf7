"""Killing one sequencer at any moment of the demo loses nothing: it comes back to the same state.

A few cases run always; the full set (every persist point, fifty random times) is marked slow.
"""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from p2p_seq.node.crash import CRASH_POINTS
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


def play_with_crash(folder: Path, name: str, point: str, count: int, down_s: float) -> None:
    with running_demo(folder, "--crash-at", f"{name}={point}:{count}") as demo:
        wait_until((demo.folder / "testnet.json").exists, 60, "the state file")
        wait_until(lambda: demo.is_running(name), 60, f"{name} starts")
        wait_until(lambda: not demo.is_running(name), 120, f"{name} dies at {point}")
        assert demo.process.poll() is None, "the demo ended before the crash"
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


@pytest.mark.slow
@pytest.mark.parametrize("point", CRASH_POINTS)
@pytest.mark.parametrize("node", range(4))
def test_every_persist_point(tmp_path: Path, point: str, node: int) -> None:
    count = random.Random(f"{RUN_SEED}/{point}/{node}").randint(1, 60)
    play_with_crash(tmp_path, f"seq{node}", point, count, 2.0)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(50))
def test_fifty_random_times(tmp_path: Path, number: int) -> None:
    play_with_kill(tmp_path, (RUN_SEED << 8) + number)
