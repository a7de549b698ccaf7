"""The API over real sockets: every path, every kind of bad request, load, stop and failure."""

import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from p2p_seq.api.client import ApiClient, ApiError, open_client
from p2p_seq.api.http import ApiLimits, open_api
from p2p_seq.api.types import Problem, Readiness, Submission
from p2p_seq.protocol.errors import LocalError, OperatorError
from tests.unit.api import support
from tests.unit.api.support import BROKEN, DIGEST, OUTPOINT, WrittenView
from tests.unit.mempool.support import key, parse, transfer, unsigned_batch

ROOT = Path(__file__).resolve().parents[3]
BINARY = {"content-type": "application/octet-stream"}
JSON = {"content-type": "application/json"}


@asynccontextmanager
async def serving(limits: ApiLimits | None = None) -> AsyncIterator[tuple[WrittenView, ApiClient]]:
    view = WrittenView()
    async with open_api(view, "127.0.0.1", 0, limits) as url, open_client(url) as client:
        yield view, client


async def problem_of(response: httpx.Response, status: int) -> dict[str, str]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    problem: dict[str, str] = response.json()
    assert set(problem) == {"what", "why", "do"}
    return problem


async def test_every_read_comes_back_as_it_was_written() -> None:
    async with serving() as (_, client):
        assert await client.status() == support.STATUS
        for selector in ("latest", 7, DIGEST.hex()):
            assert await client.block(selector) == support.BLOCK
        assert await client.transaction(DIGEST.hex()) == support.TRANSACTION
        assert await client.account(key(1).hex()) == support.ACCOUNT
        assert await client.epoch(2) == support.EPOCH
        assert await client.withdrawal(4) == support.WITHDRAWAL
        assert await client.deposit(str(OUTPOINT)) == support.DEPOSIT
        assert await client.vault() == support.VAULT
        assert await client.supply() == support.SUPPLY
        assert await client.peers() == [support.PEER]
        assert await client.metrics() == "p2pseq_height 7\n"


async def test_what_is_not_there_is_none_for_the_client_and_says_why() -> None:
    async with serving() as (_, client), httpx.AsyncClient(base_url=client.url) as http:
        assert await client.block(8) is None
        assert await client.transaction("00" * 32) is None
        assert await client.account("00" * 32) is None
        assert await client.epoch(3) is None
        assert await client.withdrawal(5) is None
        assert await client.deposit("00" * 32 + ":0") is None
        assert await problem_of(await http.get("/v1/blocks/8"), 404) == {
            "what": "no such block here",
            "why": "it is unknown or not final yet",
            "do": "see /v1/blocks/latest",
        }


async def test_amounts_are_integers_and_ids_hexadecimal() -> None:
    async with serving() as (_, client), httpx.AsyncClient(base_url=client.url) as http:
        answer = (await http.get(f"/v1/transactions/{DIGEST.hex()}")).json()
        assert answer["amount_sats"] == 2_100_000_000_000_000
        assert isinstance(answer["amount_sats"], int)
        assert answer["txid"] == DIGEST.hex()
        assert answer["state"] == "final"


BAD_ARGUMENTS = [
    ("/v1/blocks/-1", "block is not valid", "'-1' is no number"),
    ("/v1/blocks/007", "block is not valid", "'007' is no number"),
    ("/v1/blocks/18446744073709551616", "block is not valid",
     "'18446744073709551616' is no number"),
    ("/v1/blocks/" + "G" * 64, "block is not valid", f"'{'G' * 64}' is no 32-byte id"),
    ("/v1/transactions/" + "AB" * 32, "txid is not valid", f"'{'AB' * 32}' is no 32-byte id"),
    ("/v1/transactions/00", "txid is not valid", "'00' is no 32-byte id"),
    ("/v1/accounts/" + "0" * 100, "key is not valid", f"'{'0' * 77}'... is no 32-byte id"),
    ("/v1/epochs/1e3", "epoch is not valid", "'1e3' is no number"),
    ("/v1/epochs/%D9%A3", "epoch is not valid", "'٣' is no number"),
    ("/v1/withdrawals/+4", "withdrawal is not valid", "'+4' is no number"),
    ("/v1/deposits/" + "00" * 32, "outpoint is not valid", f"'{'00' * 32}' has no colon"),
    ("/v1/deposits/" + "00" * 32 + ":4294967296", "outpoint is not valid",
     "4294967296 is no output index"),
    ("/v1/status?verbose=1", "there is an unknown query parameter",
     "'verbose' is not known here"),
    ("/v1/blocks/latest?=", "there is an unknown query parameter", "'' is not known here"),
    ("/readyz?x", "there is an unknown query parameter", "'x' is not known here"),
]  # fmt: skip
"""Path, what and why."""


async def test_bad_arguments_are_refused() -> None:
    async with serving() as (_, client), httpx.AsyncClient(base_url=client.url) as http:
        for path, what, why in BAD_ARGUMENTS:
            problem = await problem_of(await http.get(path), 400)
            assert (problem["what"], problem["why"]) == (what, why), path
            assert problem["do"]


async def test_unknown_paths_and_methods() -> None:
    async with serving() as (_, client), httpx.AsyncClient(base_url=client.url) as http:
        for path in ("/v2/status", "/v1/status/", "/docs", "/v1"):
            problem = await problem_of(await http.get(path), 404)
            assert problem["what"] == "there is nothing here"
        problem = await problem_of(await http.post("/v1/status"), 405)
        assert problem["what"] == "this method is not allowed here"


async def test_a_binary_batch_gets_one_outcome_for_each_item() -> None:
    payload = unsigned_batch(transfer(1, 0), transfer(1, 0), transfer(2, 0), transfer(1, 1))
    async with serving() as (view, client):
        report = await client.submit(payload)
        assert (report.accepted, report.rejected) == (2, 2)
        ids = [one[2].hex() for one in parse(payload)]
        assert [item.txid for item in report.items] == ids
        assert [item.reason for item in report.items] == [
            None,
            "duplicate",
            "no-such-account",
            None,
        ]
        assert report.items[2] == Submission(
            txid=ids[2],
            accepted=False,
            reason="no-such-account",
            why="the sender has no account",
            do="fund it with a deposit or a transfer",
        )
        assert len(view.pool) == 2
        again = await client.submit(
            [unsigned_batch(transfer(1, 2)), unsigned_batch(transfer(1, 3))]
        )
        assert again.accepted == 2


async def test_a_json_batch_keeps_a_bad_item_from_the_others() -> None:
    good = unsigned_batch(transfer(1, 0)).hex()
    texts = ["zz", good, good[:-2], "00" * 400, unsigned_batch(transfer(1, 1)).hex().upper()]
    async with serving() as (view, client), httpx.AsyncClient(base_url=client.url) as http:
        response = await http.post("/v1/transactions", json={"transactions": texts})
        assert response.status_code == 200
        items = response.json()["items"]
        assert [item["reason"] for item in items] == [
            "malformed",
            None,
            "malformed",
            "malformed",
            None,
        ]
        assert items[0]["txid"] is None
        assert len(view.pool) == 2
        only_bad = await http.post("/v1/transactions", json={"transactions": ["00"]})
        assert only_bad.json()["rejected"] == 1


BAD_SUBMISSIONS = [
    (BINARY, b"", 400, "the body is empty"),
    (BINARY, b"\x01", 400, "malformed: truncated: 1 bytes wanted at 1"),
    (JSON, b"{", 400, "Input data was truncated"),
    (JSON, b"[]", 400, "Expected `object`, got `array`"),
    (JSON, b'{"transactions":[],"x":1}', 400, "Object contains unknown field `x`"),
    (JSON, b'{"transactions":[1]}', 400, "Expected `str`, got `int` - at `$.transactions[0]`"),
    (JSON, b'{"transactions":[]}', 400, "0 is not in [1, 1000]"),
    (JSON, json.dumps({"transactions": ["00"] * 1_001}).encode(), 400,
     "1001 is not in [1, 1000]"),
    ({"content-type": "text/plain"}, b"x", 415, "content-type is 'text/plain'"),
    ({}, b"x", 415, "content-type is ''"),
    (BINARY, bytes(200_001), 413, "it has more than 200000 bytes"),
]  # fmt: skip
"""Headers, body, status and why."""


async def test_bad_submissions() -> None:
    limits = ApiLimits(body_bytes_max=200_000)
    async with serving(limits) as (view, client), httpx.AsyncClient(base_url=client.url) as http:
        for headers, body, status, why in BAD_SUBMISSIONS:
            response = await http.post("/v1/transactions", content=body, headers=headers)
            assert (await problem_of(response, status))["why"] == why
        assert len(view.pool) == 0


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50_000_000:
            sent += 65_536
            yield bytes(65_536)

    limits = ApiLimits(body_bytes_max=200_000)
    async with serving(limits) as (_, client), httpx.AsyncClient(base_url=client.url) as http:
        try:
            response = await http.post("/v1/transactions", content=endless(), headers=BINARY)
            assert response.status_code == 413
        except httpx.TransportError:
            pass  # The server closed the connection while the client was still sending.
        assert sent < 50_000_000
        assert (await client.status()).height == 7


async def test_health_follows_the_node() -> None:
    async with serving() as (view, client), httpx.AsyncClient(base_url=client.url) as http:
        assert (await http.get("/livez")).text == "ok\n"
        assert (await http.get("/readyz")).status_code == 200
        view.is_alive = False
        view.ready = Readiness(is_ready=False, reasons=["syncing: 5 blocks behind"])
        assert (await problem_of(await http.get("/livez"), 503))["what"]
        assert (await http.get("/readyz")).status_code == 503
        assert await client.readiness() == view.ready


async def test_requests_over_the_limit_are_turned_away_at_once() -> None:
    async with serving(ApiLimits(requests_max=1)) as (_, client):
        host, port = client.url.removeprefix("http://").split(":")
        stream = await trio.open_tcp_stream(host, int(port))
        async with stream:
            head = (
                "POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n"
                "content-type: application/octet-stream\r\n\r\n"
            )
            await stream.send_all(head.encode())
            with trio.fail_after(5):
                while True:
                    try:
                        await client.status()
                    except ApiError as error:
                        assert error.status == 503
                        assert error.what == "the node has too much to do"
                        break
        with trio.fail_after(5):
            while True:
                try:
                    assert (await client.status()).height == 7
                    break
                except ApiError as error:
                    assert error.status == 503


async def test_garbage_on_the_socket_hurts_nobody() -> None:
    async with serving() as (_, client):
        host, port = client.url.removeprefix("http://").split(":")
        for garbage in (b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"A" * 100_000, b"GET"):
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await stream.send_all(garbage)
        assert (await client.status()).height == 7


async def test_an_internal_error_is_told_without_details() -> None:
    async with serving() as (view, client), httpx.AsyncClient(base_url=client.url) as http:
        view.status_error = RuntimeError("secret detail")
        response = await http.get("/v1/status")
        assert await problem_of(response, 500) == {
            "what": "the node failed to answer",
            "why": "an internal error; it is in the node's log",
            "do": "try again; if it stays, report it with the log",
        }
        view.status_error = None
        assert (await client.status()).height == 7


async def test_a_broken_invariant_stops_the_server_loudly() -> None:
    async def ask() -> None:
        view = WrittenView()
        view.status_error = BROKEN
        async with open_api(view, "127.0.0.1", 0) as url:
            with suppress(httpx.HTTPError):
                await httpx.AsyncClient().get(f"{url}/v1/status")
            await trio.sleep(5)

    with pytest.raises(LocalError, match=r"^an invariant does not hold$"):
        await ask()


async def test_the_server_stops_within_its_grace_even_with_idle_clients() -> None:
    view = WrittenView()
    limits = ApiLimits(graceful_s=0.3)
    start = trio.current_time()
    async with open_api(view, "127.0.0.1", 0, limits) as url:
        host, port = url.removeprefix("http://").split(":")
        stream = await trio.open_tcp_stream(host, int(port))
        async with open_client(url) as client:
            await client.status()
    assert trio.current_time() - start < 5
    await stream.aclose()
    with pytest.raises(OSError):
        await trio.open_tcp_stream(host, int(port))


async def test_a_busy_port_is_an_operator_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError) as caught:
            async with open_api(WrittenView(), "127.0.0.1", port):
                pass
    error = caught.value
    assert (error.what, error.why, error.do, error.code) == (
        f"the API cannot listen on 127.0.0.1:{port}",
        "another program listens there",
        "stop it, or set another api.listen",
        2,
    )


async def test_a_node_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with open_client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ApiError) as caught:
            await client.status()
    assert caught.value.status is None
    assert caught.value.code == 4
    assert caught.value.what == f"the node at http://127.0.0.1:{port} cannot be reached"


async def test_an_answer_of_something_else_is_refused() -> None:
    async def other(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/vault":
            return httpx.Response(500, text="<html>")
        return httpx.Response(200, json={"height": 1})

    transport = httpx.MockTransport(other)
    async with httpx.AsyncClient(base_url="http://node", transport=transport) as http:
        client = ApiClient(http)
        with pytest.raises(ApiError) as caught:
            await client.status()
        assert caught.value.what == "the answer of the node at http://node is not what it should be"
        with pytest.raises(ApiError) as caught:
            await client.vault()
        assert caught.value.why == "HTTP status 500"


async def test_the_description_names_every_path_and_shape() -> None:
    async with serving() as (_, client), httpx.AsyncClient(base_url=client.url) as http:
        document: dict[str, Any] = (await http.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        "/livez",
        "/metrics",
        "/readyz",
        "/v1/accounts/{key}",
        "/v1/blocks/{selector}",
        "/v1/deposits/{outpoint}",
        "/v1/epochs/{epoch}",
        "/v1/peers",
        "/v1/status",
        "/v1/supply",
        "/v1/transactions",
        "/v1/transactions/{txid}",
        "/v1/vault",
        "/v1/withdrawals/{payout}",
    }
    schemas = document["components"]["schemas"]
    assert {"NodeStatus", "EpochReport", "SubmissionReport", "Problem"} <= set(schemas)
    submit = document["paths"]["/v1/transactions"]["post"]["requestBody"]["content"]
    assert set(submit) == {"application/octet-stream", "application/json"}


def test_a_problem_is_plain_json() -> None:
    error = ApiError(400, Problem(what="a", why="b", do="c"))
    assert str(error) == "a: b (c)"


def test_the_client_loads_no_server() -> None:
    check = (
        "import sys, p2p_seq.api.client;"
        "banned = {'fastapi', 'hypercorn', 'libp2p', 'pydantic'};"
        "print(sorted(banned.intersection(name.split('.')[0] for name in sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", check],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert finished.stdout == "[]\n"
