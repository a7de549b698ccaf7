"""Log events: levels per room, one JSON object a line, and no secret in either form."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from p2p_seq.observability.logs import (
    HIDDEN,
    TEXT_MAX,
    Level,
    configure_logs,
    parse_levels,
    room_logger,
)
from p2p_seq.protocol.errors import OperatorError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("p2p_seq")
    handlers, level, own_level = list(root.handlers), root.level, own.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers, root.level = handlers, level
    own.setLevel(own_level)


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_piped_events_are_json_with_node_room_and_fields() -> None:
    stream = io.StringIO()
    configure_logs("info", stream=stream, node="seq0")
    room_logger("consensus").info("block_finalised", height=12, digest=b"\x01\xff")
    (event,) = events(stream)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "block_finalised",
        "level": "info",
        "room": "consensus",
        "node": "seq0",
        "height": 12,
        "digest": "01ff",
    }


def test_terminal_events_are_for_people() -> None:
    stream = Terminal()
    configure_logs("info", stream=stream)
    room_logger("ledger").info("supply_checked", height=3)
    assert "supply_checked" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_form_can_be_chosen() -> None:
    stream = Terminal()
    configure_logs("info", "json", stream)
    room_logger("ledger").info("x")
    assert events(stream)[0]["event"] == "x"


@pytest.mark.parametrize(
    ("levels", "written"),
    [
        ("info", ["a/info", "a/error", "a.b/info", "a.b/error", "c/info", "c/error"]),
        (
            "a=debug,*=error",
            ["a/debug", "a/info", "a/error", "a.b/debug", "a.b/info", "a.b/error", "c/error"],
        ),
        ("a=error,a.b=info", ["a/error", "a.b/info", "a.b/error", "c/info", "c/error"]),
    ],
)
def test_levels_are_per_room(levels: str, written: list[str]) -> None:
    stream = io.StringIO()
    configure_logs(levels, "json", stream)
    for room in ("a", "a.b", "c"):
        for level in ("debug", "info", "error"):
            getattr(room_logger(room), level)("tried")
    assert [f"{event['room']}/{event['level']}" for event in events(stream)] == written


def test_levels_fall_back_to_the_outer_room() -> None:
    levels = parse_levels("a=debug,*=warning")
    assert (levels.of("a.b.c"), levels.of("ab"), levels.of("")) == (
        Level.DEBUG,
        Level.WARNING,
        Level.WARNING,
    )


def test_unknown_level_is_refused() -> None:
    with pytest.raises(OperatorError) as caught:
        parse_levels("consensus=verbose")
    assert str(caught.value) == (
        "there is no log level 'verbose': log.level is 'consensus=verbose' "
        "(use debug, info, warning or error, or per room: consensus=debug,*=info)"
    )


@pytest.mark.parametrize("form", ["json", "human"])
def test_secrets_are_hidden_at_every_depth(form: str) -> None:
    stream = io.StringIO()
    configure_logs("debug", form, stream)
    room_logger("signer").info(
        "opened",
        seed=b"hunter2",
        vault_secret="hunter2",
        bitcoin={"password": "hunter2", "nested": {"cookie": "hunter2"}},
        token_count=5,
    )
    assert "hunter2" not in stream.getvalue()
    assert b"hunter2".hex() not in stream.getvalue()
    assert stream.getvalue().count(HIDDEN) == 4
    assert "token_count" in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "human"])
def test_tracebacks_do_not_show_local_variables(form: str) -> None:
    stream = io.StringIO()
    configure_logs("debug", form, stream)
    secret_local = "hunter" + str(2)
    try:
        raise RuntimeError(len(secret_local))
    except RuntimeError:
        room_logger("signer").exception("failed")
    assert "RuntimeError: 7" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_long_texts_are_cut() -> None:
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    room_logger("network").info("x", at_limit="a" * TEXT_MAX, over="a" * (TEXT_MAX + 1))
    (event,) = events(stream)
    assert event["at_limit"] == "a" * TEXT_MAX
    assert event["over"] == "a" * TEXT_MAX + "…"


def test_records_of_libraries_become_events() -> None:
    stream = io.StringIO()
    configure_logs("info,library.noisy=error", "json", stream)
    logging.getLogger("hypercorn.error").warning("peer %s left", "x")
    logging.getLogger("hypercorn.error").info("not shown")
    logging.getLogger("noisy.part").warning("not shown either")
    (event,) = events(stream)
    assert (event["event"], event["room"], event["logger"], event["text"], event["level"]) == (
        "library_record",
        "library.hypercorn",
        "hypercorn.error",
        "peer x left",
        "warning",
    )


def test_records_of_our_modules_belong_to_their_room() -> None:
    stream = io.StringIO()
    configure_logs("network=debug,*=error", "json", stream)
    logging.getLogger("p2p_seq.network.gossip").debug("heard")
    logging.getLogger("p2p_seq.bitcoin.rpc").warning("not shown")
    try:
        raise RuntimeError("gone")
    except RuntimeError:
        logging.getLogger("p2p_seq.network.direct").exception("lost")
    heard, lost = events(stream)
    assert (heard["room"], heard["level"], heard["text"]) == ("network", "debug", "heard")
    assert (lost["room"], lost["level"]) == ("network", "error")
    assert "RuntimeError: gone" in lost["exception"]
