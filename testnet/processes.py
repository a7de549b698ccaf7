"""Operating-system processes that outlive the terminal which started them.

A process is named by pid and start time, so that a number which the kernel gave to somebody else
meanwhile is never signalled.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from testnet.state import ProcessRecord

STOP_PATIENCE_S: Final = 15.0
"""A process that was told to stop is killed after so long."""

POLL_SECONDS: Final = 0.05

REPOSITORY: Final = Path(__file__).resolve().parent.parent

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


def send(record: ProcessRecord, number: signal.Signals) -> None:
    """Signal exactly this process, if it still runs."""
    if is_running(record):
        with suppress(ProcessLookupError):
            os.kill(record.pid, number)


async def wait_gone(records: Sequence[ProcessRecord], patience_s: float) -> bool:
    """Whether all were gone within the time."""
    with trio.move_on_after(patience_s):
        while any(is_running(record) for record in records):  # noqa: ASYNC110 - not all are children
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
