"""`p2pseq status`: one screen about the running node, asked of its API."""

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from p2p_seq.cli.common import Exit, Options, answer_json, load
from p2p_seq.protocol.errors import OperatorError

STATUS_PATH: Final = "/v1/status"
ANSWER_BYTES_MAX: Final = 1 << 20
TIMEOUT_SECONDS: Final = 5.0
LIST_ITEMS_SHOWN: Final = 20

DEFAULTS = Options()


def status(*, options: Options = DEFAULTS) -> None:
    """Show the state of the running node."""
    loaded = load(options)
    listen = loaded.config.api.listen
    if not listen:
        raise OperatorError(
            "the node has no API to ask",
            "api.listen is empty",
            "set api.listen in the configuration and start the node again",
            code=Exit.USAGE,
        )
    answer = fetch(f"http://{listen}{STATUS_PATH}")
    if options.json:
        answer_json(answer)
    else:
        Console().print(render(answer))


def fetch(url: str) -> dict[str, Any]:
    """GET a JSON object. Raises OperatorError (exit code 4) when there is no proper answer."""
    import httpx

    try:
        with httpx.stream("GET", url, timeout=TIMEOUT_SECONDS, trust_env=False) as response:
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > ANSWER_BYTES_MAX:
                    raise _unreachable(url, f"the answer is over {ANSWER_BYTES_MAX} bytes")
            if response.status_code != httpx.codes.OK:
                raise _unreachable(url, f"it answers with HTTP status {response.status_code}")
    except httpx.TimeoutException as error:
        raise _unreachable(url, f"no answer within {TIMEOUT_SECONDS:g} s") from error
    except httpx.HTTPError as error:
        raise _unreachable(url, str(error) or type(error).__name__) from error
    return _parsed(url, body)


def _parsed(url: str, body: bytes) -> dict[str, Any]:
    import json

    try:
        answer = json.loads(body)
    except ValueError as error:
        raise _unreachable(url, "the answer is not JSON") from error
    if not isinstance(answer, dict):
        raise _unreachable(url, "the answer is not a JSON object")
    return answer


def _unreachable(url: str, why: str) -> OperatorError:
    return OperatorError(
        f"cannot read the status from {url}",
        why,
        "start the node with `p2pseq start`, or name its --home or --set api.listen=HOST:PORT",
        code=Exit.UNREACHABLE,
    )


def render(answer: Mapping[str, Any]) -> RenderableType:
    """Values first, then one table per nested object; keys become words."""
    plain = {key: value for key, value in answer.items() if not _is_nested(value)}
    parts: list[RenderableType] = []
    if plain:
        parts.append(_pairs(None, plain))
    for key, value in answer.items():
        if isinstance(value, Mapping):
            parts.append(_pairs(_words(key), value))
        elif _is_nested(value):
            parts.append(_rows(_words(key), value))
    return Group(*parts)


def _is_nested(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _cell(key: str, value: Any) -> Text:
    """One value. `Text`, so that nothing a peer chose is read as markup."""
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, int) and key.endswith("_sats"):
        return Text(f"{value / 100_000_000:.8f} BTC")
    if isinstance(value, list):
        return Text(", ".join(str(item) for item in value) or "none")
    if isinstance(value, Mapping):
        return Text(", ".join(f"{_words(str(k))} {v}" for k, v in value.items()))
    return Text(str(value))


def _pairs(title: str | None, values: Mapping[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in values.items():
        table.add_row(Text(_words(key)), _cell(key, value))
    return table


def _rows(title: str, values: list[Mapping[str, Any]]) -> Table:
    columns = list(dict.fromkeys(key for value in values for key in value))
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(Text(_words(column)))
    for value in values[:LIST_ITEMS_SHOWN]:
        table.add_row(*(_cell(column, value.get(column)) for column in columns))
    if len(values) > LIST_ITEMS_SHOWN:
        table.caption = f"and {len(values) - LIST_ITEMS_SHOWN} more"
    return table
