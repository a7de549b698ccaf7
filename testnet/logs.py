"""The logs of all processes of a testnet as one, in the order of their times."""

import heapq
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import trio
from rich.console import Console
from rich.text import Text

from testnet.state import require_state

FOLLOW_SECONDS: Final = 0.3

COLOURS: Final = ("cyan", "green", "magenta", "blue", "yellow", "white")

_HIDDEN: Final = frozenset({"timestamp", "event", "level", "room"})


async def print_logs(folder: Path, names: Sequence[str], follow: bool) -> None:
    """Everything so far, then what is new. Raises OperatorError for a name that is not there."""
    state = require_state(folder)
    records = [state.process(name) for name in names] if names else state.processes
    console = Console()
    readers = [_Reader(record.name, Path(record.log)) for record in records]
    colours = {reader.name: COLOURS[i % len(COLOURS)] for i, reader in enumerate(readers)}
    while True:
        for time, name, line in heapq.merge(*(list(reader.new_lines()) for reader in readers)):
            text = Text(f"{time[11:23]:<12} {name:<8} ", style=colours[name])
            console.print(text.append(line, style=""), soft_wrap=True)
        if not follow:
            return
        await trio.sleep(FOLLOW_SECONDS)


class _Reader:
    """One log file, read to its present end again and again."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._offset = 0
        self._time = ""

    def new_lines(self) -> Iterator[tuple[str, str, str]]:
        """(time, name, text) of whole lines; a line without a time has its predecessor's."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except OSError:
            return
        whole, newline, _ = content.rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        for line in whole.decode("utf-8", errors="replace").splitlines():
            self._time, text = _readable(line, self._time)
            yield self._time, self.name, text


def _readable(line: str, time: str) -> tuple[str, str]:
    """Time and words of one line of JSON; other lines as they are."""
    try:
        event: Any = json.loads(line)
    except ValueError:
        return time, line
    if not isinstance(event, dict) or "event" not in event:
        return time, line
    facts = " ".join(f"{key}={value}" for key, value in event.items() if key not in _HIDDEN)
    head = f"{event.get('level', ''):<7} {event.get('room', ''):<10} {event['event']}"
    return str(event.get("timestamp", time)), f"{head} {facts}".rstrip()
