"""The state file: what runs, for a second terminal and for cleaning up after a crash.

Every change is a read, a change and an atomic replacement under a file lock, because the launcher
and commands of other terminals (`kill`, `restart`) both write.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from p2p_seq.protocol.errors import OperatorError
from testnet.layout import Layout

STATE_NAME: Final = "testnet.json"
LOCK_NAME: Final = "testnet.lock"
STATE_VERSION: Final = 1


@dataclass(slots=True)
class ProcessRecord:
    """One process, and how to start it again."""

    name: str
    argv: list[str]
    log: str
    pid: int = 0
    """0 when it does not run by intention."""
    started: int = 0
    """Its start time in the kernel's ticks: with the pid it names one process for good."""


@dataclass(slots=True)
class TestnetState:
    """What the file says."""

    folder: str
    port_base: int
    nodes: int
    preset: str
    bitcoin_url: str
    bitcoin_cookie: str
    """Empty when the URL has user and password."""
    launcher: ProcessRecord
    processes: list[ProcessRecord] = field(default_factory=list)
    is_ready: bool = False
    """Set when the first block was final."""

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.folder), self.port_base)

    def process(self, name: str) -> ProcessRecord:
        """Raises OperatorError for a name that the testnet has not."""
        for record in self.processes:
            if record.name == name:
                return record
        raise OperatorError(
            f"the testnet has no process {name!r}",
            "it has " + ", ".join(record.name for record in self.processes),
            "name one of them",
            code=2,
        )


def read_state(folder: Path) -> TestnetState | None:
    """None where no testnet was ever started. Raises OperatorError for a damaged file."""
    path = folder / STATE_NAME
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if table.pop("version") != STATE_VERSION:
            raise ValueError("it was written by another version")
        launcher = ProcessRecord(**table.pop("launcher"))
        processes = [ProcessRecord(**item) for item in table.pop("processes")]
        return TestnetState(**table, launcher=launcher, processes=processes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"cannot read the testnet's state in {path}",
            str(error),
            "stop its processes by hand and remove the folder",
            code=2,
        ) from error


def require_state(folder: Path) -> TestnetState:
    """The state of a testnet that was started. Raises OperatorError."""
    state = read_state(folder)
    if state is None:
        raise OperatorError(
            f"there is no testnet in {folder}",
            "its state file is missing",
            "start one with `p2pseq testnet up`, or name its folder with --dir",
            code=4,
        )
    return state


def write_state(state: TestnetState) -> None:
    """Replace the file. Use `change_state` where others may write too."""
    folder = Path(state.folder)
    draft = folder / (STATE_NAME + ".draft")
    draft.write_text(json.dumps({"version": STATE_VERSION, **asdict(state)}, indent=2))
    os.replace(draft, folder / STATE_NAME)


@contextmanager
def change_state(folder: Path) -> Iterator[TestnetState]:
    """Read, let the caller change, write back; alone."""
    with (folder / LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = require_state(folder)
        yield state
        write_state(state)
