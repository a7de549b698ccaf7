"""What all tests share: one seed per run that is printed, and a summary of real-bitcoind tests."""

import hashlib
import os
import secrets
from collections.abc import Generator
from typing import Final

import hypothesis
import pytest

SEED_VARIABLE: Final = "P2PSEQ_TEST_SEED"
RUN_SEED: Final = int(os.environ.get(SEED_VARIABLE) or secrets.randbits(32))
REAL_BITCOIND: Final = "real_bitcoind"

hypothesis.settings.register_profile("house", deadline=None, print_blob=True)
hypothesis.settings.load_profile("house")


def pytest_report_header() -> str:
    return f"seed: {RUN_SEED} ({SEED_VARIABLE}={RUN_SEED} repeats this run)"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed of the test's own, 64 bits, a function of the run's seed and the test's name."""
    name = f"{RUN_SEED}/{request.node.nodeid}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Marks reports of real-bitcoind tests, for the summary."""
    report = yield
    if item.get_closest_marker(REAL_BITCOIND):
        report.user_properties.append((REAL_BITCOIND, "yes"))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many real-bitcoind tests ran or were skipped, and why: a skip must be seen."""
    ran = sum(
        1
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if getattr(report, "when", "") == "call" and _is_real_bitcoind(report)
    )
    skipped = [r for r in terminalreporter.getreports("skipped") if _is_real_bitcoind(r)]
    if not ran and not skipped:
        return
    reasons = sorted({_skip_reason(report) for report in skipped})
    why = f" ({'; '.join(reasons)})" if reasons else ""
    terminalreporter.write_line(f"real bitcoind: {ran} ran, {len(skipped)} skipped{why}")


def _is_real_bitcoind(report: object) -> bool:
    return (REAL_BITCOIND, "yes") in getattr(report, "user_properties", [])


def _skip_reason(report: object) -> str:
    place = getattr(report, "longrepr", None)
    text = place[2] if isinstance(place, tuple) else str(place)
    return str(text).removeprefix("Skipped: ")
