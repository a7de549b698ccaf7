"""The embedded node as a process: kills, locks, full disks, ports, garbage, mining by the clock."""

import base64
import contextlib
import random
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from p2p_seq.bitcoin.rpc import (
    BitcoinRpc,
    BitcoinRpcError,
    BitcoinUnavailableError,
    RpcLimits,
    satoshi,
)
from tests.support.bitcoind import (
    ANYONE_ADDRESS,
    CoinPurse,
    NodeProcess,
    mine,
    refusal,
    run_embedded,
    start_embedded,
)


@contextlib.asynccontextmanager
async def embedded(directory: Path, *options: str) -> AsyncIterator[tuple[NodeProcess, BitcoinRpc]]:
    node = start_embedded(directory, *options)
    try:
        async with node.client() as client:
            yield node, client
    finally:
        node.stop()


async def state_of(client: BitcoinRpc) -> tuple[str, int, int]:
    """Tip, number of coins and their sum, sat."""
    found = await client.call("scantxoutset", "start", [f"addr({ANYONE_ADDRESS})"])
    return found["bestblock"], found["txouts"], satoshi(found["total_amount"])


async def mine_without_end(client: BitcoinRpc) -> None:
    while True:
        await mine(client, 10)


async def test_kill_loses_nothing(tmp_path: Path) -> None:
    node = start_embedded(tmp_path)
    async with node.client() as client:
        await mine(client, 120)
        purse = CoinPurse(client)
        payment = await purse.payment()
        txid = await client.call("sendrawtransaction", payment.serialize().hex())
        await mine(client, 3)
        await client.call("p2pseq_reorg", 2)
        before = await state_of(client)
    node.kill()
    node.stop()
    async with embedded(tmp_path) as (again, client):
        assert again.ready["replayed_blocks"] == 126
        assert await state_of(client) == before
        assert (await client.call("getrawtransaction", txid, True))["confirmations"] == 4
        await mine(client)


async def test_kill_at_random_times_of_mining(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    reached = 0
    for _ in range(4):
        node = start_embedded(tmp_path, "--checkpoint-blocks", "20")
        async with node.client() as client:
            with trio.move_on_after(generator.uniform(0.02, 0.3)):
                while True:
                    count = generator.choice([1, 1, 7])
                    await client.call("generatetoaddress", count, ANYONE_ADDRESS)
                    reached = max(reached, await client.call("getblockcount"))
        node.kill()
        node.stop()
    async with embedded(tmp_path) as (_, client):
        # An answered block is never lost; one that was under way may have made it.
        assert await client.call("getblockcount") >= reached > 0
        tip, coins, total = await state_of(client)
        height = await client.call("getblockcount")
        assert coins == height
        assert total == sum(5_000_000_000 >> (number // 150) for number in range(1, height + 1))
        assert tip == await client.call("getbestblockhash")


async def test_checkpoint_bounds_the_replay(tmp_path: Path) -> None:
    node = start_embedded(tmp_path, "--checkpoint-blocks", "50")
    async with node.client() as client:
        await mine(client, 130)
    node.kill()
    node.stop()
    async with embedded(tmp_path) as (again, client):
        assert again.ready["replayed_blocks"] < 50
        assert await client.call("getblockcount") == 130


async def test_clean_stop_keeps_the_mempool(tmp_path: Path) -> None:
    async with embedded(tmp_path) as (node, client):
        await mine(client, 105)
        payment = await CoinPurse(client).payment()
        txid = await client.call("sendrawtransaction", payment.serialize().hex())
        assert node.stop() == 0
        assert not (tmp_path / ".cookie").exists()
    async with embedded(tmp_path) as (node, client):
        assert node.ready["replayed_blocks"] == 0
        assert await client.call("getrawmempool") == [txid]
        assert await client.call("stop") == "Embedded Bitcoin node stopping"
        assert await trio.to_thread.run_sync(node.process.wait, 10) == 0


async def test_second_process_on_the_directory(tmp_path: Path) -> None:
    async with embedded(tmp_path) as (node, client):
        second = run_embedded("--datadir", str(tmp_path), "--port", "0")
        assert second.returncode == 1
        assert second.stderr == (
            f"error: cannot use the data directory {tmp_path}\n"
            "  why: another Bitcoin node runs on it\n"
            "  do:  stop that process, or choose another --datadir\n"
        )
        assert node.cookie is not None
        assert node.cookie.exists()
        assert await client.call("getblockcount") == 0


async def test_busy_port(tmp_path: Path) -> None:
    async with embedded(tmp_path / "one") as (node, _):
        port = node.url.rpartition(":")[2]
        second = run_embedded("--datadir", str(tmp_path / "two"), "--port", port)
        assert second.returncode == 1
        assert second.stderr == (
            f"error: cannot listen on 127.0.0.1:{port}\n"
            "  why: another process uses this port\n"
            "  do:  stop that process, or choose another --port\n"
        )


def test_bad_command_lines(tmp_path: Path) -> None:
    common = ("--datadir", str(tmp_path), "--port", "0")
    negative = run_embedded(*common, "--block-interval", "-1")
    reward = run_embedded(*common, "--reward", "bc1qnonsense")
    assert (negative.returncode, reward.returncode) == (2, 2)
    assert "give --block-interval a number above 0" in negative.stderr
    assert "give a regtest address" in reward.stderr


async def test_disk_with_too_little_left(tmp_path: Path) -> None:
    node = start_embedded(tmp_path)
    async with node.client() as client:
        await mine(client, 3)
    node.stop()
    refused = run_embedded(
        "--datadir", str(tmp_path), "--port", "0", "--minimum-free-bytes", str(1 << 60)
    )
    assert refused.returncode == 1
    assert "why: the disk is full:" in refused.stderr
    async with embedded(tmp_path) as (_, client):
        assert await client.call("getblockcount") == 3


async def test_index_that_cannot_grow(tmp_path: Path) -> None:
    """LMDB's map is full: the block is refused, and everything before it is still there."""
    limit = ("--index-bytes", str(1 << 19))
    async with embedded(tmp_path, *limit) as (node, client):
        with pytest.raises(BitcoinRpcError, match="the disk is full"):
            await mine_without_end(client)
        before = await state_of(client)
        node.kill()
    async with embedded(tmp_path) as (_, client):
        tip, coins, _ = await state_of(client)
        # The block that did not fit may have been in the log already; it is on the chain then.
        assert coins >= before[1]
        assert tip == await client.call("getbestblockhash")
        await mine(client, 5)


async def test_file_system_that_refuses_to_write(tmp_path: Path) -> None:
    """A limit on file sizes fails as a full disk does, inside the write itself."""
    async with embedded(tmp_path) as (node, client):
        await mine(client, 20)
        before = await state_of(client)
        size = (tmp_path / "index" / "data.mdb").stat().st_size
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (size, size))
        with pytest.raises(BitcoinRpcError, match="the disk is full") as refused:
            await mine_without_end(client)
        assert refused.value.code == -7
        node.kill()
    async with embedded(tmp_path) as (_, client):
        assert (await state_of(client))[1] >= before[1]
        await mine(client, 5)


async def test_mining_by_the_clock(tmp_path: Path) -> None:
    options = ("--block-interval", "0.05", "--idle-interval", "600")
    async with embedded(tmp_path, *options) as (_, client):
        await mine(client, 101)
        started = time.monotonic()
        payment = await CoinPurse(client).payment()
        txid = await client.call("sendrawtransaction", payment.serialize().hex())
        mined = await client.call("waitforblockheight", 102, 10_000)
        assert mined["height"] == 102
        assert time.monotonic() - started < 5
        assert (await client.call("getrawtransaction", txid, True))["confirmations"] == 1
        assert (await client.call("waitfornewblock", 200))["height"] == 102
        await client.call("p2pseq_activity", 60)
        assert (await client.call("waitforblockheight", 104, 10_000))["height"] == 104


async def test_reorg_helper(tmp_path: Path) -> None:
    async with embedded(tmp_path) as (_, client):
        await mine(client, 110)
        payment = await CoinPurse(client).payment()
        txid = await client.call("sendrawtransaction", payment.serialize().hex())
        await mine(client, 2)
        mined = await client.call("p2pseq_reorg", 2, False)
        assert len(mined) == 3
        assert (await client.call("getrawtransaction", txid, True))["blockhash"] == mined[0]
        assert (await refusal(client, "p2pseq_reorg", 0))[0] == -8
        assert (await refusal(client, "p2pseq_reorg", 50))[0] == -8
        with pytest.raises(BitcoinRpcError):
            await client.call("p2pseq_reorg", "2")


def _exchange(url: str, sent: bytes, is_ended: bool = False) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent)
        if is_ended:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
            if b"\r\n\r\n" in received and not received.startswith(b"HTTP/1.1 100"):
                return received
    return received


async def test_garbage_http(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    async with embedded(tmp_path) as (node, client):
        garbage = [
            (b"\x00\xff" * 100 + b"\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
            (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", b"401"),
            (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", b"404"),
            (b"POST / HTTP/1.1\r\nX: " + b"y" * 20_000, b"431"),
            (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n{}", b"400"),
            (b"POST / HTTP/1.1\r\n\r\n", b"400"),
        ]
        for sent, status in garbage:
            answer = await trio.to_thread.run_sync(_exchange, node.url, sent)
            assert answer.startswith(b"HTTP/1.1 " + status), sent[:40]
        for _ in range(20):
            sent = generator.randbytes(generator.randrange(1, 2_000))
            await trio.to_thread.run_sync(_exchange, node.url, sent, True)
        assert await client.call("getblockcount") == 0


async def test_bodies_that_are_no_calls(tmp_path: Path) -> None:
    async with embedded(tmp_path) as (node, client):
        assert node.cookie is not None
        await client.call("getblockcount")
        cases = [
            (b"not json", b"500", b"-32700"),
            (b"[" * 100_000, b"500", b"-32700"),
            (b"9" * 10_000, b"500", b"-32700"),
            (b"NaN", b"500", b"-32700"),
            (b"\xff\xfe", b"500", b"-32700"),
            (b"1", b"400", b"-32600"),
            (b'{"id":1}', b"400", b"-32600"),
            (b'{"id":1,"method":7}', b"400", b"-32600"),
            (b'{"id":1,"method":"getblockcount","params":5}', b"400", b"-32600"),
            (b'{"id":1,"method":"none"}', b"404", b"-32601"),
            (b'{"id":1,"method":"__init__"}', b"404", b"-32601"),
            (b'{"id":1,"method":"_header"}', b"404", b"-32601"),
            (b'{"id":1,"method":"getblockhash","params":{"depth":1}}', b"500", b"-8"),
            (b'{"id":1,"method":"getblockhash","params":{"height":true}}', b"500", b"-3"),
            (b'{"jsonrpc":"2.0","id":1,"method":"none"}', b"200", b"-32601"),
            (b'{"jsonrpc":"2.0","method":"getblockcount"}', b"204", b""),
            (b"[]", b"200", b"[]"),
            (b"[1]", b"200", b"-32600"),
        ]
        for body, status, content in cases:
            head = _authorised_head(node.cookie, len(body))
            answer = await trio.to_thread.run_sync(_exchange, node.url, head + body)
            assert answer.startswith(b"HTTP/1.1 " + status), body[:60]
            assert content in answer, body[:60]
        head = _authorised_head(node.cookie, 33 << 20)
        answer = await trio.to_thread.run_sync(_exchange, node.url, head)
        assert answer.startswith(b"HTTP/1.1 413")
        assert await client.call("getblockcount") == 0


def _authorised_head(cookie: Path, length: int) -> bytes:
    token = base64.b64encode(cookie.read_bytes())
    head = b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nContent-Length: %d\r\n\r\n"
    return head % (token, length)


async def test_wrong_password(tmp_path: Path) -> None:
    async with embedded(tmp_path) as (node, _):
        address = node.url.removeprefix("http://")
        limits = RpcLimits(start_deadline_seconds=1)
        async with BitcoinRpc(f"http://user:wrong@{address}", limits=limits) as stranger:
            with pytest.raises(BitcoinUnavailableError) as refused:
                await stranger.call("getblockcount")
        assert refused.value.why == "it refuses the user and password"
        assert "wrong" not in str(refused.value)
        assert (node.directory / ".cookie").stat().st_mode & 0o777 == 0o600


async def test_interrupt_ends_cleanly(tmp_path: Path) -> None:
    async with embedded(tmp_path) as (node, client):
        await mine(client, 2)
        node.process.send_signal(signal.SIGINT)
        assert await trio.to_thread.run_sync(node.process.wait, 10) == 0
    async with embedded(tmp_path) as (node, client):
        assert node.ready["replayed_blocks"] == 0
        assert await client.call("getblockcount") == 2
