"""Log events: a name, typed fields, a room. Human on a terminal, else one JSON object per line.

    log = room_logger("consensus")
    log.info("block_finalised", height=12, latency_ms=83)

Levels are set per room (`consensus=debug,*=info`). Secrets are not to be logged at all; as a second
line of defence a field whose name sounds like a secret is replaced before anything is written, and
so is the text of bytes, which become hexadecimal. Rotation is the service manager's work: events go
to stderr. Records of libraries that use the standard logging module come out in the same form.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from enum import IntEnum
from typing import IO, Any, Final, cast

import structlog

from p2p_seq.protocol.errors import OperatorError

HIDDEN: Final = "<hidden>"

SECRET_NAMES: Final = re.compile(
    r"secret|password|passphrase|mnemonic|private_key|(^|_)(seed|cookie|token)$"
)
"""Names of fields whose value never leaves the process."""

TEXT_MAX: Final = 2_048
"""Characters of one field; peers' words end up in logs and must not fill a disk."""


class Level(IntEnum):
    """How much an event matters."""

    DEBUG = logging.DEBUG
    INFO = logging.INFO
    WARNING = logging.WARNING
    ERROR = logging.ERROR


LIBRARY_ROOM: Final = "library"
"""Outer room of libraries' records that come through the standard logging module."""

OWN_PACKAGE: Final = "p2p_seq"


class Levels:
    """The lowest level that is written, per room."""

    def __init__(self, default: Level, rooms: Mapping[str, Level]) -> None:
        self._default = default
        self._rooms = dict(rooms)
        self.lowest = min([default, *rooms.values()])

    def of(self, room: str) -> Level:
        """A room's level; `consensus.guard` falls back to `consensus`, then to the default."""
        while room:
            if room in self._rooms:
                return self._rooms[room]
            room = room.rpartition(".")[0]
        return self._default


def parse_levels(text: str) -> Levels:
    """`info` or `consensus=debug,*=warning`. Raises OperatorError (exit code 2)."""
    default, rooms = Level.INFO, {}
    for part in text.split(","):
        room, has_room, name = part.strip().rpartition("=")
        if name.upper() not in Level.__members__:
            raise OperatorError(
                f"there is no log level {name!r}",
                f"log.level is {text!r}",
                "use debug, info, warning or error, or per room: consensus=debug,*=info",
                code=2,
            )
        if has_room and room != "*":
            rooms[room] = Level[name.upper()]
        else:
            default = Level[name.upper()]
    return Levels(default, rooms)


def _guarded(name: str, value: Any) -> Any:
    """One field as it may be written."""
    if SECRET_NAMES.search(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(key): _guarded(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value[: TEXT_MAX // 2]).hex()
    if isinstance(value, str) and len(value) > TEXT_MAX:
        return value[:TEXT_MAX] + "…"
    return value


def _guard_fields(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for name in list(event):
        event[name] = _guarded(name, event[name])
    return event


class _RoomFilter:
    """Drops events below their room's level."""

    def __init__(self, levels: Levels) -> None:
        self._levels = levels

    def __call__(
        self, _logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        level = Level.__members__.get(method.upper(), Level.ERROR)
        if level < self._levels.of(str(event.get("room", ""))):
            raise structlog.DropEvent
        return event


def room_of_record(name: str) -> str:
    """Our own modules' records belong to their room, all others to their library."""
    parts = name.split(".")
    if parts[0] == OWN_PACKAGE and len(parts) > 1:
        return parts[1]
    return f"{LIBRARY_ROOM}.{parts[0]}"


class _RecordHandler(logging.Handler):
    """Turns records of the standard logging module into events."""

    def emit(self, record: logging.LogRecord) -> None:
        level = max(level for level in Level if level <= max(record.levelno, Level.DEBUG))
        log = room_logger(room_of_record(record.name))
        log.log(
            level,
            "library_record",
            logger=record.name,
            text=record.getMessage(),
            exc_info=record.exc_info,
        )


def _processors(levels: Levels, *, is_json: bool, colors: bool) -> list[Any]:
    """Tracebacks are plain text: the richer ones print local variables, secrets among them."""
    shared: list[Any] = [
        _RoomFilter(levels),
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _guard_fields,
    ]
    if is_json:
        return [
            *shared,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    return [
        *shared,
        structlog.dev.ConsoleRenderer(
            colors=colors,
            pad_event_to=28,
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def configure_logs(
    level: str = "info",
    form: str = "auto",
    stream: IO[str] | None = None,
    node: str | None = None,
) -> None:
    """Set up logging for the process. `form` is auto, human or json; `node` is put on every event.

    Raises OperatorError for a level that is none.
    """
    target = stream if stream is not None else sys.stderr
    levels = parse_levels(level)
    is_terminal = target.isatty()
    is_json = form == "json" or (form == "auto" and not is_terminal)
    structlog.configure(
        processors=_processors(levels, is_json=is_json, colors=is_terminal),
        wrapper_class=structlog.make_filtering_bound_logger(int(levels.lowest)),
        logger_factory=structlog.WriteLoggerFactory(file=cast("Any", target)),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    if node is not None:
        structlog.contextvars.bind_contextvars(node=node)
    root = logging.getLogger()
    root.handlers = [_RecordHandler()]
    root.setLevel(logging.WARNING)
    logging.getLogger(OWN_PACKAGE).setLevel(int(levels.lowest))


def room_logger(room: str) -> Any:
    """The logger of a room. Events below the room's level cost about a microsecond."""
    return structlog.get_logger(room=room)
