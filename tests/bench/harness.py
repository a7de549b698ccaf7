"""What a benchmark is, and what it yields.

A module says `BENCHMARKS = [Benchmark("tree.update", measure_updates)]`, and `measure_updates`
returns `[Figure("tree.update.rate", "leaves/s", leaves / best_of(3, update), 1e6, Better.HIGHER)]`.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Better(StrEnum):
    """In which direction a figure improves."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    name: str
    """Dotted, unique over all benchmarks: `tree.update.rate`."""
    unit: str
    """What one of it is: `tx/s`, `ms`, `MB`."""
    value: float
    goal: float | None
    """The number of the design, or None where there is none."""
    better: Better

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"{self.name}: {self.value} is not a measurement")

    @property
    def reached(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        if self.better is Better.HIGHER:
            return self.value >= self.goal
        return self.value <= self.goal


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named measurement. `run` may take seconds, sets up what it needs, leaves nothing behind."""

    name: str
    """Dotted; `./dev bench tree` selects every benchmark whose name starts with `tree`."""
    run: Callable[[], list[Figure]]
    slow: bool = field(default=False, kw_only=True)
    """Runs only when it is named: minutes, or whole testnets."""


def best_of(repetitions: int, action: Callable[[], object]) -> float:
    """Shortest time of `action` in seconds: the least disturbed run is the truest."""
    if repetitions < 1:
        raise ValueError("at least one repetition")
    shortest = math.inf
    for _ in range(repetitions):
        start = time.perf_counter()
        action()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def percentile(samples: list[float], share: float) -> float:
    """Nearest-rank percentile; `share` in [0, 1]. Raises ValueError without samples."""
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]
