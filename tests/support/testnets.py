"""Testnets as a user starts them: the program in processes of its own, found by their folder."""

import fcntl
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]

BLOCK_INTERVAL = "1"
"""Seconds: half the default, so that a demo takes under a minute."""

STARTUP_PATIENCE_S = 90.0


_claims: list[IO[bytes]] = []
"""Locked files: a range that was given out stays this process's until it ends."""


def free_port_base() -> int:
    """The first port of a range that nobody uses, and that no other test run will take."""
    for base in range(23_000, 32_000, 100):
        claim = (Path(tempfile.gettempdir()) / f"p2pseq-test-ports-{base}").open("wb")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.close()
            continue
        if all(_is_free(base + offset) for offset in (*range(8), 43, *range(45, 53))):
            _claims.append(claim)
            return base
        claim.close()
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def p2pseq(*arguments: str, timeout: float = 60.0) -> "subprocess.CompletedProcess[str]":
    """Run the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "p2p_seq.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Demo:
    """One run of `testnet up --demo peg --exit`."""

    def __init__(self, folder: Path, *extra: str) -> None:
        self.folder = folder / "net"
        self.out = folder / "demo.json"
        self.log = folder / "demo.log"
        self._output = self.log.open("wb")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "p2p_seq.cli", "testnet", "up", "--demo", "peg", "--exit"),
                *("--json", str(self.out), "--dir", str(self.folder)),
                *("--port-base", str(free_port_base()), "--block-interval", BLOCK_INTERVAL),
                *extra,
            ],
            cwd=ROOT,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def wait(self, timeout: float) -> dict[str, Any]:
        """The report of a demo that must succeed."""
        code = self.process.wait(timeout)
        text = self.text()
        assert code == 0, f"exit code {code}\n{text}"
        report: dict[str, Any] = json.loads(self.out.read_text(encoding="utf-8"))
        assert report["is_successful"], text
        return report

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for_line(self, part: str, timeout: float = STARTUP_PATIENCE_S) -> None:
        wait_until(lambda: part in self.text() or self.process.poll() is not None, timeout, part)
        assert part in self.text(), self.text()

    def status(self) -> dict[str, Any]:
        return status_of(self.folder)

    def is_running(self, name: str) -> bool:
        return any(
            entry["is_running"] for entry in self.status()["processes"] if entry["name"] == name
        )

    def command(self, *arguments: str) -> str:
        return testnet_command(self.folder, *arguments)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        self._output.close()


@contextmanager
def running_demo(folder: Path, *extra: str) -> Iterator[Demo]:
    demo = Demo(folder, *extra)
    try:
        yield demo
    finally:
        demo.stop()


@contextmanager
def running_testnet(folder: Path, *extra: str) -> Iterator[Path]:
    """A detached testnet; its folder."""
    place = folder / "net"
    base = str(free_port_base())
    started = p2pseq(
        *("testnet", "up", "--detach", "--dir", str(place), "--port-base", base),
        *("--block-interval", BLOCK_INTERVAL, *extra),
        timeout=STARTUP_PATIENCE_S,
    )
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield place
    finally:
        stopped = p2pseq("testnet", "down", "--dir", str(place), timeout=90)
    assert stopped.returncode == 0, stopped.stderr


def testnet_command(folder: Path, *arguments: str) -> str:
    """Standard output of `p2pseq testnet ...`, which must succeed."""
    done = p2pseq("testnet", *arguments, "--dir", str(folder))
    assert done.returncode == 0, done.stderr
    return done.stdout


def wallet_command(folder: Path, *arguments: str, timeout: float = 60.0) -> dict[str, Any]:
    """The JSON answer of `p2pseq wallet ...`, which must succeed."""
    done = p2pseq("wallet", *arguments, "--dir", str(folder), "--json", timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def error_of(done: "subprocess.CompletedProcess[str]") -> tuple[int, str, str, str]:
    """Exit code and the three lines of a command that must fail with an error for a person.

    A node's log goes to the same place, a line of JSON for each event.
    """
    lines = [line for line in done.stderr.splitlines() if line.strip() and line[0] != "{"]
    assert len(lines) == 3, done.stdout + done.stderr
    texts = [line.partition(":")[2].strip() for line in lines]
    assert [line.partition(":")[0].strip() for line in lines] == ["error", "why", "do"]
    return done.returncode, texts[0], texts[1], texts[2]


def status_of(folder: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(testnet_command(folder, "status", "--json"))
    return answer


def wait_until(holds: Callable[[], bool], timeout: float, what: str) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.1)


def steps_of(report: dict[str, Any], name: str) -> Sequence[dict[str, Any]]:
    return [step for act in report["acts"] for step in act["steps"] if step["step"] == name]


testnet_command.__test__ = False  # type: ignore[attr-defined]  # not a test in spite of its name
