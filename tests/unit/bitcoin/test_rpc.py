"""The JSON-RPC client against servers that behave badly on purpose."""

import functools
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest
import trio

from p2p_seq.bitcoin.rpc import (
    BitcoinRpc,
    BitcoinRpcError,
    BitcoinUnavailableError,
    RpcLimits,
    RpcReason,
    satoshi,
)
from p2p_seq.protocol.errors import OperatorError, RemoteError

Answer = Callable[[bytes], Awaitable[bytes | None]]
QUICK = RpcLimits(start_deadline_seconds=0.3, timeout_seconds=5, max_answer_bytes=10_000)


def http(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def result_of(request: bytes, result: object) -> bytes:
    call = json.loads(request)
    return http(json.dumps({"result": result, "error": None, "id": call["id"]}).encode())


class ScriptedServer:
    """Answers request by request; an answer of None closes the connection without one."""

    def __init__(self, *answers: Callable[[bytes], bytes | None]) -> None:
        self._answers = list(answers)
        self.heads: list[bytes] = []
        self.connections = 0

    async def start(self, nursery: trio.Nursery) -> str:
        listeners: list[trio.SocketListener] = await nursery.start(
            functools.partial(trio.serve_tcp, host="127.0.0.1"), self._serve, 0
        )
        return f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        received = b""
        async with stream:
            while self._answers:
                while b"\r\n\r\n" not in received:
                    chunk = await stream.receive_some(65_536)
                    if not chunk:
                        return
                    received += chunk
                head, _, body = received.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                while len(body) < length:
                    body += await stream.receive_some(65_536)
                received = b""
                self.heads.append(head)
                answer = self._answers.pop(0)(body)
                if answer is None:
                    return
                await stream.send_all(answer)


async def call_scripted(
    *answers: Callable[[bytes], bytes | None],
    method: str = "getblockcount",
    limits: RpcLimits = QUICK,
    calls: int = 1,
) -> tuple[object, ScriptedServer]:
    """Result of the last of `calls` calls, and the server."""
    server = ScriptedServer(*answers)
    answer: object = None
    async with trio.open_nursery() as nursery:
        url = await server.start(nursery)
        try:
            async with BitcoinRpc(url.replace("//", "//user:pass@"), limits=limits) as client:
                for _ in range(calls):
                    answer = await client.call(method)
        finally:
            nursery.cancel_scope.cancel()
    return answer, server


async def raised(
    *answers: Callable[[bytes], bytes | None],
    method: str = "getblockcount",
    limits: RpcLimits = QUICK,
    calls: int = 1,
) -> Exception:
    """The one error that a call ends with."""
    try:
        answer, _ = await call_scripted(*answers, method=method, limits=limits, calls=calls)
    except ExceptionGroup as group:
        (error,) = group.exceptions
        return error
    except (OperatorError, RemoteError) as error:
        return error
    raise AssertionError(f"no error but {answer!r}")


async def test_connection_is_kept() -> None:
    answer, server = await call_scripted(
        lambda body: result_of(body, 1), lambda body: result_of(body, 2), calls=2
    )
    assert answer == 2
    assert server.connections == 1
    assert b"Authorization: Basic dXNlcjpwYXNz" in server.heads[0]


async def test_dropped_connection_is_replaced() -> None:
    answer, server = await call_scripted(
        lambda body: result_of(body, 1), lambda _: None, lambda body: result_of(body, 3), calls=2
    )
    assert answer == 3
    assert server.connections == 2


async def test_dropped_mining_call_is_not_repeated() -> None:
    error = await raised(
        lambda _: None, lambda body: result_of(body, 3), method="generatetoaddress"
    )
    assert isinstance(error, BitcoinUnavailableError)
    assert error.why == "it closed the connection"


async def test_warm_up_is_waited_for() -> None:
    def starting(body: bytes) -> bytes:
        error = {"code": -28, "message": "Loading block index..."}
        return http(json.dumps({"error": error, "id": json.loads(body)["id"]}).encode(), 500)

    answer, _ = await call_scripted(
        starting, lambda _: http(b"Work queue depth exceeded", 503), lambda b: result_of(b, 7)
    )
    assert answer == 7


async def test_warm_up_ends_at_the_deadline() -> None:
    error = await raised(*[lambda _: http(b"", 503)] * 20)
    assert isinstance(error, BitcoinUnavailableError)
    assert error.why == "it is overloaded"
    assert isinstance(error, ConnectionError)


async def test_refused_connection() -> None:
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with BitcoinRpc(f"http://127.0.0.1:{port}", limits=QUICK) as client:
            with pytest.raises(BitcoinUnavailableError) as refused:
                await client.call("getblockcount")
    assert refused.value.what == f"cannot use the Bitcoin node at http://127.0.0.1:{port}"
    assert "refused" in refused.value.why


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _: b"SSH-2.0-nothing\r\n\r\n", RpcReason.NOT_HTTP),
        (lambda _: b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{", RpcReason.NOT_HTTP),
        (lambda _: http(b"<html>"), RpcReason.NOT_JSON_RPC),
        (lambda _: http(b"[" * 5_000), RpcReason.NOT_JSON_RPC),
        (lambda _: http(b'{"result":NaN,"id":1}'), RpcReason.NOT_JSON_RPC),
        (lambda _: http(b'{"result":1,"id":99}'), RpcReason.NOT_JSON_RPC),
        (lambda _: http(b'{"id":1}'), RpcReason.NOT_JSON_RPC),
        (lambda _: http(b'{"error":"no","id":1}'), RpcReason.NOT_JSON_RPC),
        (lambda _: http(b'{"error":{"code":"x","message":"y"},"id":1}'), RpcReason.NOT_JSON_RPC),
        (lambda _: http(b"1"), RpcReason.NOT_JSON_RPC),
        (lambda _: http(b" " * 10_001), RpcReason.TOO_LARGE),
    ],
)
async def test_answers_that_are_none(answer: Callable[[bytes], bytes], reason: RpcReason) -> None:
    def answer_and_close(body: bytes) -> bytes:
        return answer(body)

    error = await raised(answer_and_close)
    assert isinstance(error, RemoteError)
    assert error.reason is reason


async def test_answer_at_the_limit_is_taken() -> None:
    body = b'{"result":5,"error":null,"id":1}'
    answer, _ = await call_scripted(lambda _: http(body + b" " * (10_000 - len(body))))
    assert answer == 5


async def test_node_error_is_told() -> None:
    error = await raised(
        lambda _: http(b'{"error":{"code":-5,"message":"Block not found"},"id":1}', 500)
    )
    assert isinstance(error, BitcoinRpcError)
    assert (error.code, error.message, error.method) == (-5, "Block not found", "getblockcount")
    assert str(error) == "rpc-error: getblockcount: Block not found (-5)"


async def test_silent_node() -> None:
    silent = RpcLimits(start_deadline_seconds=0.3, timeout_seconds=0.1)
    error = await raised(lambda _: b"", lambda _: b"", limits=silent)
    assert isinstance(error, BitcoinUnavailableError)
    assert error.why == "no answer within 0.1 s"


async def test_amounts_are_exact() -> None:
    answer, _ = await call_scripted(
        lambda body: http(b'{"result":0.10000001,"id":%d}' % json.loads(body)["id"])
    )
    assert answer == Decimal("0.10000001")
    assert satoshi(answer) == 10_000_001
    assert satoshi(3) == 300_000_000
    for wrong in (0.1, True, "1", None, Decimal("0.000000001"), Decimal("NaN")):
        with pytest.raises((RemoteError, ArithmeticError)):
            satoshi(wrong)


async def test_cookie_is_read_again_when_the_node_restarts(tmp_path: Path) -> None:
    cookie = tmp_path / "cookie"
    cookie.write_text("__cookie__:old")

    def restart(_: bytes) -> bytes:
        cookie.write_text("__cookie__:new")
        return http(b"", 401)

    server = ScriptedServer(restart, lambda body: result_of(body, 4))
    async with trio.open_nursery() as nursery:
        url = await server.start(nursery)
        async with BitcoinRpc(url, cookie, QUICK) as client:
            assert await client.call("getblockcount") == 4
        nursery.cancel_scope.cancel()
    assert server.heads[0] != server.heads[1]


async def test_missing_cookie(tmp_path: Path) -> None:
    async with BitcoinRpc("http://127.0.0.1:1", tmp_path / "cookie", QUICK) as client:
        with pytest.raises(BitcoinUnavailableError) as refused:
            await client.call("getblockcount")
    assert refused.value.why == f"there is no cookie file {tmp_path / 'cookie'}"


@pytest.mark.parametrize("url", ["127.0.0.1:8332", "https://x", "http://", "http://u:p@x:port"])
def test_bad_urls(url: str) -> None:
    with pytest.raises(OperatorError) as refused:
        BitcoinRpc(url)
    assert refused.value.why == "it is not of the form http://HOST:PORT"
    assert "u:p" not in str(refused.value)


async def test_large_batches_are_split() -> None:
    def echo(body: bytes) -> bytes:
        calls = json.loads(body)
        replies = [{"result": call["params"][0], "id": call["id"]} for call in calls]
        return http(json.dumps(replies[::-1]).encode())

    server = ScriptedServer(echo, echo)
    async with trio.open_nursery() as nursery:
        url = await server.start(nursery)
        async with BitcoinRpc(url, limits=RpcLimits(max_batch=3)) as client:
            replies = await client.batch([("echo", (number,)) for number in range(5)])
        nursery.cancel_scope.cancel()
    assert replies == [0, 1, 2, 3, 4]
    assert len(server.heads) == 2
