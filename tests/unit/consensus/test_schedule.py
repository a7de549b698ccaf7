"""Stride scheduling: exact shares, random phases, one answer everywhere."""

import hashlib

import pytest

from p2p_seq.consensus.schedule import LeaderSchedule
from p2p_seq.consensus.timers import TimerConfig
from p2p_seq.protocol.errors import OperatorError
from p2p_seq.protocol.types import Hash32, View
from tests.support.cores import digest, make_members


def leaders(weights: tuple[int, ...], seed: Hash32, views: int) -> list[int]:
    schedule = LeaderSchedule(make_members(weights), seed)
    return [schedule.leader(View(view)) for view in range(1, views + 1)]


def test_deadlines_follow_the_definition() -> None:
    members, seed = make_members((7, 3, 2, 1)), digest("seed")
    deadlines = []
    for index, weight in enumerate(members.weights):
        start = hashlib.sha256(seed + index.to_bytes(4, "big")).digest()[:8]
        phase = int.from_bytes(start, "big")
        deadlines += [((phase + turn * 2**64) // weight, index) for turn in range(80)]
    schedule = LeaderSchedule(members, seed)
    expected = [index for _, index in sorted(deadlines)[:100]]
    assert [schedule.leader(View(view)) for view in range(1, 101)] == expected


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (9, 5, 3, 2, 1), (30,) * 3 + (1,) * 7])
def test_shares_are_exact_within_three_turns(weights: tuple[int, ...]) -> None:
    total = sum(weights)
    for number in range(30):
        chosen = leaders(weights, digest(f"seed {number}"), 600)
        ordered = make_members(weights).weights
        for index, weight in enumerate(ordered):
            assert abs(chosen.count(index) - 600 * weight / total) <= 3


def test_any_order_of_questions_gives_the_same_leaders() -> None:
    schedule = LeaderSchedule(make_members(), digest("seed"))
    late = schedule.leader(View(50))
    assert [schedule.leader(View(view)) for view in range(1, 51)] == leaders(
        (1, 1, 1, 1), digest("seed"), 50
    )
    assert schedule.leader(View(50)) == late


def test_timers_grow_after_some_patience_up_to_the_cap() -> None:
    timers = TimerConfig()
    assert [timers.stretched(1_000, views) for views in range(6)] == [
        1_000,
        1_000,
        1_000,
        1_500,
        2_250,
        3_375,
    ]
    assert timers.stretched(1_000, 10**9) == 60_000
    assert [timers.standstill(attempt) for attempt in range(5)] == [
        3_000,
        6_000,
        12_000,
        15_000,
        15_000,
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"require_ms": 1_000},
        {"advance_ms": 900},
        {"growth_percent": 100},
        {"standstill_ms": 20_000},
        {"cap_ms": 10},
    ],
)
def test_contradicting_timers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(OperatorError):
        TimerConfig(**wrong)
