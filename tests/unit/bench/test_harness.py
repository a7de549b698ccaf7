"""The bench frame: goals, selection, the report. The benchmarks themselves are not run here."""

import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench import run as runner
from tests.bench.harness import Benchmark, Better, Figure, best_of, percentile


def figure(value: float, goal: float | None, better: Better) -> Figure:
    return Figure("a.b", "ms", value, goal, better)


@pytest.mark.parametrize(
    ("value", "goal", "better", "reached"),
    [
        (2.0, 1.0, Better.HIGHER, True),
        (1.0, 1.0, Better.HIGHER, True),
        (0.5, 1.0, Better.HIGHER, False),
        (2.0, 1.0, Better.LOWER, False),
        (0.5, 1.0, Better.LOWER, True),
        (0.5, None, Better.LOWER, None),
    ],
)
def test_goals(value: float, goal: float | None, better: Better, reached: bool | None) -> None:
    assert figure(value, goal, better).reached is reached


def test_what_is_not_a_number_is_no_measurement() -> None:
    with pytest.raises(ValueError) as caught:
        figure(math.nan, None, Better.LOWER)
    assert str(caught.value) == "a.b: nan is not a measurement"


def test_percentiles_and_repetitions() -> None:
    assert [percentile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 0.99)] == [1.0, 2.0, 3.0]
    calls: list[int] = []
    assert best_of(3, lambda: calls.append(1)) >= 0
    assert len(calls) == 3
    for wrong in (lambda: percentile([], 0.5), lambda: best_of(0, list)):
        with pytest.raises(ValueError):
            wrong()


def test_selection() -> None:
    quick, slow, other = (
        Benchmark("tree.update", list),
        Benchmark("tree.large", list, slow=True),
        Benchmark("treeless", list),
    )
    everything = [quick, slow, other]
    assert runner.selected(everything, []) == [quick, other]
    assert runner.selected(everything, ["tree"]) == [quick, slow]
    assert runner.selected(everything, ["treeless", "tree.update"]) == [quick, other]


def test_a_broken_benchmark_is_reported_and_stops_no_other() -> None:
    def broken() -> list[Figure]:
        raise RuntimeError("no disk")

    good = figure(1.0, 2.0, Better.LOWER)
    benchmarks = [Benchmark("broken", broken), Benchmark("good", lambda: [good])]
    figures, failures = runner.measure(benchmarks, Console(quiet=True))
    assert figures == [good]
    assert failures == [{"name": "broken", "error": "RuntimeError: no disk"}]


def test_machine_and_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = runner.machine()
    assert set(about) == {"cpu", "cores", "flags", "memory", "python", "date"}
    assert about["cores"] >= 1
    assert json.loads(json.dumps(about)) == about
    out = tmp_path / "out.json"
    assert runner.main(["no.such.benchmark", "--json", str(out)]) == 2
    assert not out.exists()
    assert runner.main(["--list"]) == 0
    listed = [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == sorted(set(listed))
