"""Finds the benchmarks, runs the named ones (by default all quick ones), prints and writes.

    python -m tests.bench.run [NAME ...] [--json OUT] [--list]

The JSON is `{machine: {cpu, cores, flags, memory, python, date}, figures: [{name, unit, value,
goal, better}], failures: [{name, error}]}`. Exit code 1 when a benchmark raised, 2 when a name
selects none.
"""

import argparse
import importlib
import json
import os
import platform
import sys
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.harness import Benchmark, Better, Figure

FOLDER = Path(__file__).resolve().parent
INTERESTING_FLAGS = ("sse4_1", "avx2", "avx512f", "avx512vl", "sha_ni", "bmi2", "adx")


def machine() -> dict[str, Any]:
    """The machine, as far as Linux tells; figures mean nothing without it."""
    cpu, flags = platform.processor() or platform.machine(), set[str]()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, text = line.partition(":")
            if key.strip() == "model name":
                cpu = text.strip()
            elif key.strip() in {"flags", "Features"}:
                flags = set(text.split())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in INTERESTING_FLAGS if flag in flags],
        "memory": memory,
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def discover() -> list[Benchmark]:
    """All benchmarks of all modules, by name. Raises ValueError when two have one name."""
    found: dict[str, Benchmark] = {}
    for path in sorted(FOLDER.glob("bench_*.py")):
        module = importlib.import_module(f"tests.bench.{path.stem}")
        for benchmark in module.BENCHMARKS:
            if benchmark.name in found:
                raise ValueError(f"two benchmarks are called {benchmark.name}")
            found[benchmark.name] = benchmark
    return [found[name] for name in sorted(found)]


def selected(benchmarks: Iterable[Benchmark], names: list[str]) -> list[Benchmark]:
    """Without names all that is not slow. A name selects itself and what stands below it."""
    if not names:
        return [benchmark for benchmark in benchmarks if not benchmark.slow]
    return [
        benchmark
        for benchmark in benchmarks
        if any(benchmark.name == name or benchmark.name.startswith(f"{name}.") for name in names)
    ]


def as_json(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "unit": figure.unit,
        "value": figure.value,
        "goal": figure.goal,
        "better": figure.better.value,
    }


def short(number: float) -> str:
    """Four significant digits, thousands separated."""
    if number and abs(number) < 1000:
        return f"{number:.4g}"
    return f"{number:,.0f}"


def table(figures: list[Figure], about: dict[str, Any]) -> Table:
    memory = f"{about['memory'] / 2**30:.0f} GiB"
    view = Table(
        title=f"{about['cpu']}, {about['cores']} cores, {memory}, Python {about['python']}",
        title_justify="left",
    )
    view.add_column("figure")
    view.add_column("measured", justify="right")
    view.add_column("goal", justify="right")
    view.add_column("unit")
    view.add_column("")
    marks = {True: "[green]reached[/]", False: "[red]missed[/]", None: ""}
    for figure in figures:
        sign = "≥ " if figure.better is Better.HIGHER else "≤ "
        goal = "" if figure.goal is None else sign + short(figure.goal)
        view.add_row(figure.name, short(figure.value), goal, figure.unit, marks[figure.reached])
    return view


def measure(chosen: list[Benchmark], console: Console) -> tuple[list[Figure], list[dict[str, str]]]:
    """Runs all; one that raises is reported and does not stop the others."""
    figures: list[Figure] = []
    failures: list[dict[str, str]] = []
    for benchmark in chosen:
        console.print(f"{benchmark.name} …", style="dim")
        try:
            figures += benchmark.run()
        except Exception as error:  # noqa: BLE001 - a broken benchmark is itself an outcome
            traceback.print_exc()
            failures.append({"name": benchmark.name, "error": f"{type(error).__name__}: {error}"})
    return figures, failures


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Run benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a benchmark or a prefix of some")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    benchmarks = discover()
    if options.list:
        for benchmark in benchmarks:
            print(benchmark.name + (" (slow: only by name)" if benchmark.slow else ""))
        return 0
    chosen = selected(benchmarks, options.names)
    if not chosen:
        known = ", ".join(benchmark.name for benchmark in benchmarks) or "none yet"
        wanted = " or ".join(options.names) or "quick"
        console.print(f"no benchmark is {wanted}; known: {known}")
        return 2
    about = machine()
    figures, failures = measure(chosen, console)
    if options.json:
        report = {"machine": about, "figures": [as_json(f) for f in figures], "failures": failures}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    Console().print(table(figures, about))
    for failure in failures:
        console.print(f"failed: {failure['name']}: {failure['error']}", style="red")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
