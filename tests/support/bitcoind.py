"""Bitcoin nodes as processes for tests: the embedded one and a real bitcoind, and a tiny wallet."""

import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from p2p_seq.bitcoin.address import encode_address
from p2p_seq.bitcoin.rpc import BitcoinRpc, BitcoinRpcError, RpcLimits, satoshi
from p2p_seq.bitcoin.transaction import SEQUENCE_REPLACEABLE, Transaction, TxIn, TxOut
from p2p_seq.protocol.types import OutPoint, parse_display_id

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 30.0

ANYONE: Final = b"\x00\x20" + hashlib.sha256(b"\x51").digest()
"""P2WSH of OP_TRUE: a standard output that needs no signature."""

ANYONE_WITNESS: Final = (b"\x51",)
ANYONE_ADDRESS: Final = encode_address(ANYONE, "regtest")


@dataclass
class NodeProcess:
    """A running Bitcoin node."""

    process: subprocess.Popen[str]
    directory: Path
    url: str
    cookie: Path | None
    ready: dict[str, Any] = field(default_factory=dict)
    """The embedded node's first line."""

    @property
    def is_embedded(self) -> bool:
        return bool(self.ready)

    def client(self, limits: RpcLimits | None = None) -> BitcoinRpc:
        return BitcoinRpc(self.url, self.cookie, limits)

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As an operator would; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(START_SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


def start_embedded(directory: Path, *options: str) -> NodeProcess:
    """The embedded node on a free port; waits until it answers."""
    command = [sys.executable, "-m", "p2p_seq.bitcoin.embedded", "--datadir", str(directory)]
    process = subprocess.Popen(
        [*command, "--port", "0", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, errors = process.communicate()
        raise AssertionError(f"the embedded node ended with {process.returncode}: {errors}")
    ready = json.loads(line)
    return NodeProcess(process, directory, ready["url"], Path(ready["cookie"]), ready)


def run_embedded(*options: str) -> subprocess.CompletedProcess[str]:
    """An embedded node that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "p2p_seq.bitcoin.embedded", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def find_bitcoind() -> tuple[Path | None, str]:
    """A real bitcoind, or why there is none."""
    found = subprocess.run(
        [str(ROOT / "scripts" / "find_bitcoind")], capture_output=True, text=True, check=False
    )
    if found.returncode:
        return None, found.stderr.strip() or "scripts/find_bitcoind failed"
    return Path(found.stdout.strip()), ""


def start_bitcoind(program: Path, directory: Path, *options: str) -> NodeProcess:
    """A real bitcoind on regtest with a random port and random credentials."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    user, password = secrets.token_hex(8), secrets.token_hex(16)
    directory.mkdir(parents=True, exist_ok=True)
    version = subprocess.run(
        [str(program), "-version"], capture_output=True, text=True, check=True
    ).stdout
    # Bitcoin Knots has a policy of its own; Bitcoin Core does not know these options.
    policy = ["-corepolicy=1", "-blockmaxsize=4000000"] if "Knots" in version else []
    command = [
        str(program),
        "-regtest",
        f"-datadir={directory}",
        f"-rpcport={port}",
        "-rpcbind=127.0.0.1",
        "-rpcallowip=127.0.0.1",
        f"-rpcuser={user}",
        f"-rpcpassword={password}",
        "-listen=0",
        "-connect=0",
        "-dnsseed=0",
        "-discover=0",
        "-txindex=1",
        "-server=1",
        "-disablewallet=1",
        "-checkblockindex=0",
        "-blockmaxweight=4000000",
        "-printtoconsole=0",
        *policy,
        *options,
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(directory)},
    )
    return NodeProcess(process, directory, f"http://{user}:{password}@127.0.0.1:{port}", None)


async def mine(client: BitcoinRpc, count: int = 1) -> list[str]:
    hashes: list[str] = await client.call("generatetoaddress", count, ANYONE_ADDRESS)
    return hashes


async def reorg(node: NodeProcess, client: BitcoinRpc, depth: int) -> None:
    """Replace `depth` blocks by `depth` + 1 empty ones."""
    if node.is_embedded:
        await client.call("p2pseq_reorg", depth)
        return
    height = await client.call("getblockcount")
    await client.call("invalidateblock", await client.call("getblockhash", height - depth + 1))
    for _ in range(depth + 1):
        await client.call("generateblock", ANYONE_ADDRESS, [])


class CoinPurse:
    """Mature coins of `ANYONE` on one node, and transactions that spend them."""

    def __init__(self, client: BitcoinRpc) -> None:
        self._client = client
        self._taken: set[OutPoint] = set()

    async def take(self) -> tuple[OutPoint, int]:
        """A confirmed coin of its own and its value, sat."""
        height = await self._client.call("getblockcount")
        found = await self._client.call("scantxoutset", "start", [f"addr({ANYONE_ADDRESS})"])
        for coin in sorted(found["unspents"], key=lambda item: -satoshi(item["amount"])):
            outpoint = OutPoint(parse_display_id(coin["txid"]), coin["vout"])
            is_mature = height - coin["height"] >= 100 or not coin["coinbase"]
            if is_mature and outpoint not in self._taken and satoshi(coin["amount"]) > 1_000_000:
                self._taken.add(outpoint)
                return outpoint, satoshi(coin["amount"])
        raise AssertionError("no mature coin is left")

    async def payment(
        self, fee: int = 2_000, outputs: Sequence[TxOut] = (), sequence: int = SEQUENCE_REPLACEABLE
    ) -> Transaction:
        """A transaction that spends a coin of its own to `outputs` and back to `ANYONE`."""
        outpoint, value = await self.take()
        return spend([outpoint], value, fee, outputs, sequence)


def spend(
    outpoints: Sequence[OutPoint],
    value: int,
    fee: int,
    outputs: Sequence[TxOut] = (),
    sequence: int = SEQUENCE_REPLACEABLE,
    lock_time: int = 0,
    version: int = 2,
) -> Transaction:
    """Spend `ANYONE` outputs of together `value` sat to `outputs` and the rest to `ANYONE`."""
    change = value - fee - sum(output.value for output in outputs)
    inputs = tuple(TxIn(item, b"", sequence, ANYONE_WITNESS) for item in outpoints)
    return Transaction(version, inputs, (*outputs, TxOut(change, ANYONE)), lock_time)


async def refusal(client: BitcoinRpc, method: str, *parameters: object) -> tuple[int, str]:
    """Code and message of a call that the node must refuse."""
    try:
        answer = await client.call(method, *parameters)
    except BitcoinRpcError as error:
        return error.code, error.message
    raise AssertionError(f"{method} was not refused: {answer!r}")


def wait_for_exit(process: subprocess.Popen[str], seconds: float) -> int:
    """The exit code of a process that should end; polls because pytest owns the signals."""
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        assert time.monotonic() < deadline, "the process did not end"
        time.sleep(0.01)
    return process.returncode
