"""Figures and the admin listener, over a real loopback socket."""

import contextlib
import json
from dataclasses import fields
from pathlib import Path

import pytest
import trio

from p2p_seq.node.config import configs_folder
from p2p_seq.observability.metrics import CONTENT_TYPE, Metrics
from p2p_seq.observability.server import CONNECTIONS_MAX, REQUEST_BYTES_MAX, serve_metrics
from p2p_seq.protocol.errors import OperatorError


def ready() -> tuple[str, ...]:
    return ()


async def asked(port: int, request: bytes) -> bytes:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(request)
        answer = b""
        async for part in stream:
            answer += part
        return answer


def test_each_node_has_its_own_figures() -> None:
    first, second = Metrics(), Metrics()
    first.height.set(7)
    first.transactions.labels("applied").inc(3)
    assert b"p2pseq_finalised_height 7.0" in first.render()
    assert b'p2pseq_transactions_finalised_total{outcome="applied"} 3.0' in first.render()
    assert b"p2pseq_finalised_height 0.0" in second.render()


def test_every_declared_figure_is_made_and_described() -> None:
    metrics = Metrics()
    for declared in fields(Metrics):
        assert getattr(metrics, declared.name) is not None
    families = list(metrics.registry.collect())
    assert len(families) == len(fields(Metrics)) - 1
    assert all(family.documentation for family in families)


@pytest.mark.parametrize("name", ["grafana/p2pseq.json", "prometheus/alerts.yml"])
def test_dashboard_and_alerts_name_only_figures_that_exist(name: str) -> None:
    import re

    known = set()
    for family in Metrics().registry.collect():
        known |= {family.name, f"{family.name}_total", f"{family.name}_bucket"}
    text = (configs_folder() / Path(name)).read_text(encoding="utf-8")
    used = set(re.findall(r"\bp2pseq_[a-z_]+", text))
    assert used, "the file names no figure at all"
    assert used - known == set()


async def test_listener_answers_and_says_what_is_missing(nursery: trio.Nursery) -> None:
    missing = ["bitcoin"]
    metrics = Metrics()
    port = await nursery.start(serve_metrics, "127.0.0.1", 0, metrics, lambda: tuple(missing))

    figures = await asked(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert figures.startswith(b"HTTP/1.1 200 ")
    assert CONTENT_TYPE.encode() in figures
    assert b"p2pseq_finalised_height 0.0" in figures

    assert (await asked(port, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(
        b"\r\n\r\nalive\n"
    )
    waiting = await asked(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert waiting.startswith(b"HTTP/1.1 503 ")
    assert json.loads(waiting.partition(b"\r\n\r\n")[2]) == {"ready": False, "missing": ["bitcoin"]}
    missing.clear()
    assert (await asked(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(
        b"HTTP/1.1 200 "
    )

    assert (await asked(port, b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b"\r\n\r\n")
    assert (await asked(port, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
    assert (await asked(port, b"POST /livez HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(
        b"HTTP/1.1 405 "
    )
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff" * 64 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 2 * REQUEST_BYTES_MAX + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\nHost: x\r\n\r\n",
    ],
    ids=["binary", "oversized", "contradicting"],
)
async def test_garbage_is_dropped_and_the_listener_lives(
    nursery: trio.Nursery, garbage: bytes
) -> None:
    port = await nursery.start(serve_metrics, "127.0.0.1", 0, Metrics(), ready)
    # Closed while we are still sending is as good as closed without an answer.
    with contextlib.suppress(trio.BrokenResourceError):
        assert await asked(port, garbage) == b""
    assert b" 200 " in await asked(port, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    nursery.cancel_scope.cancel()


async def test_too_many_connections_are_closed(nursery: trio.Nursery) -> None:
    port = await nursery.start(serve_metrics, "127.0.0.1", 0, Metrics(), ready)
    idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(CONNECTIONS_MAX)]
    one_more = await trio.open_tcp_stream("127.0.0.1", port)
    with trio.fail_after(2):
        assert await one_more.receive_some(1) == b""
    for stream in [*idle, one_more]:
        await stream.aclose()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert b" 200 " in await asked(port, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    nursery.cancel_scope.cancel()


async def test_taken_port_is_an_operator_error(nursery: trio.Nursery) -> None:
    port = await nursery.start(serve_metrics, "127.0.0.1", 0, Metrics(), ready)
    with pytest.raises(OperatorError) as caught:
        await serve_metrics("127.0.0.1", port, Metrics(), ready)
    assert caught.value.what == f"cannot listen on 127.0.0.1:{port} for metrics"
    assert caught.value.do == "choose another metrics.listen or stop what uses the port"
    nursery.cancel_scope.cancel()
