"""Operating-system processes that outlive the terminal which started them.

A process is named by pid and start time, so that a number which the kernel gave to somebody else
meanwhile is never signalled.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from p2p_seq.protocol.errors import OperatorError
from testnet.state import ProcessRecord

STOP_PATIENCE_S: Final = 15.0
"""A process that was told to stop is killed after so long."""

POLL_SECONDS: Final = 0.05

REPOSITORY: Final = Path(__file__).resolve().parent.parent

CLI_ARGUMENTS: Final = 3
"""A record's command line is the interpreter, `-m`, the program's module, then its arguments."""

_children: dict[int, "subprocess.Popen[bytes]"] = {}
"""Processes that this one started, to be reaped."""


def start_time(pid: int) -> int:
    """When a process started, in ticks; 0 when it is gone (or where /proc is not)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def is_running(record: ProcessRecord) -> bool:
    """Whether exactly this process still runs."""
    if not record.pid:
        return False
    child = _children.get(record.pid)
    if child is not None and child.poll() is not None:
        del _children[record.pid]
        return False
    if Path("/proc/self/stat").exists():
        return start_time(record.pid) == record.started != 0
    try:
        os.kill(record.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def spawn(
    record: ProcessRecord,
    extra_environment: Mapping[str, str] | None = None,
    *,
    logs_output: bool = False,
) -> None:
    """Start a process in a session of its own: Ctrl-C is for the launcher alone.

    Standard error goes to its log, standard output too when `logs_output`.
    """
    log = Path(record.log)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            record.argv,
            stdin=subprocess.DEVNULL,
            stdout=output if logs_output else subprocess.DEVNULL,
            stderr=output,
            cwd=REPOSITORY,
            env={**os.environ, **(extra_environment or {})},
            start_new_session=True,
        )
    _children[child.pid] = child
    record.pid, record.started = child.pid, start_time(child.pid)


class Template:
    """A process that has loaded the program and waits to become several (`template.py`)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "testnet.template"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            start_new_session=True,
        )
        _children[self._process.pid] = self._process

    async def spawn(
        self, records: Sequence[ProcessRecord], environments: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Start all; `environments` are additions by name. Raises OperatorError.

        Not cancelled half-way: what runs must be known, so that it can be stopped.
        """
        jobs = [
            {
                "arguments": record.argv[CLI_ARGUMENTS:],
                "log": record.log,
                "environment": dict(environments.get(record.name, {})),
            }
            for record in records
        ]
        with trio.CancelScope(shield=True):
            answer = await trio.to_thread.run_sync(self._exchange, json.dumps(jobs).encode())
        try:
            pids: list[int] = json.loads(answer)
        except ValueError as error:
            raise OperatorError(
                "the sequencers do not start",
                "the program cannot be loaded; its error is above",
                "mend the installation: ./dev setup",
            ) from error
        for record, pid in zip(records, pids, strict=True):
            record.pid, record.started = pid, start_time(pid)

    def _exchange(self, jobs: bytes) -> bytes:
        assert self._process.stdin is not None, "made with pipes"
        assert self._process.stdout is not None, "made with pipes"
        with suppress(BrokenPipeError), self._process.stdin as jobs_in:
            jobs_in.write(jobs)
        with self._process.stdout as answers:
            return answers.readline()

    def abandon(self) -> None:
        """End it before it became anything; later it is only the parent of others."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.kill()


def send(record: ProcessRecord, number: signal.Signals) -> None:
    """Signal exactly this process, if it still runs."""
    if is_running(record):
        with suppress(ProcessLookupError):
            os.kill(record.pid, number)


async def wait_gone(records: Sequence[ProcessRecord], patience_s: float) -> bool:
    """Whether all were gone within the time."""
    with trio.move_on_after(patience_s):
        while any(is_running(record) for record in records):  # noqa: ASYNC110
            await trio.sleep(POLL_SECONDS)
    return not any(is_running(record) for record in records)


async def stop(records: Sequence[ProcessRecord], patience_s: float = STOP_PATIENCE_S) -> list[str]:
    """SIGTERM, wait, SIGKILL. Returns the names of those that had to be killed."""
    for record in records:
        send(record, signal.SIGTERM)
    if await wait_gone(records, patience_s):
        return []
    stubborn = [record for record in records if is_running(record)]
    for record in stubborn:
        send(record, signal.SIGKILL)
    await wait_gone(stubborn, patience_s)
    return [record.name for record in stubborn]
