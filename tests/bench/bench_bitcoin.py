"""The embedded Bitcoin node: blocks, transactions, script checks, and calls over HTTP."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from p2p_seq.bitcoin.embedded.node import MINE_BATCH, RegtestNode
from p2p_seq.bitcoin.engine import verify_transaction
from p2p_seq.bitcoin.rpc import BitcoinRpc
from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.protocol.types import OutPoint
from tests.bench.harness import Benchmark, Better, Figure, best_of
from tests.support.bitcoind import ANYONE, spend, start_embedded

SINGLE_BLOCKS = 300
BATCHED_BLOCKS = 500
FAN_OUT = 1_500
"""Transactions of the measured block."""


@contextmanager
def _open_node() -> Iterator[RegtestNode]:
    with tempfile.TemporaryDirectory(prefix="p2pseq-bench-") as directory:
        node = RegtestNode(Path(directory))
        try:
            yield node
        finally:
            node.close()


def _mine(node: RegtestNode, count: int, batch: int) -> float:
    """Blocks per second."""
    start = time.perf_counter()
    for _ in range(count // batch):
        node.generate(batch, ANYONE)
    return count / (time.perf_counter() - start)


def measure_blocks() -> list[Figure]:
    with _open_node() as node:
        single = _mine(node, SINGLE_BLOCKS, 1)
        batched = _mine(node, BATCHED_BLOCKS, MINE_BATCH)
    return [
        Figure("bitcoin.embedded.blocks.single", "blocks/s", single, None, Better.HIGHER),
        Figure("bitcoin.embedded.blocks.batched", "blocks/s", batched, None, Better.HIGHER),
    ]


def measure_transactions() -> list[Figure]:
    """Admit a block full of transactions, mine them, undo the block."""
    with _open_node() as node:
        for _ in range(3):
            node.generate(MINE_BATCH, ANYONE)
        coins = node.chain.index.coins()
        outpoint, coin = next(item for item in coins if item[1].height == 1)
        fan_out = spend([outpoint], coin.output.value, 200_000, [TxOut(10_000, ANYONE)] * FAN_OUT)
        node.accept(fan_out.serialize())
        node.generate(1, ANYONE)
        spends = [
            spend([OutPoint(fan_out.txid, vout)], 10_000, 1_000).serialize()
            for vout in range(FAN_OUT)
        ]
        start = time.perf_counter()
        for encoded in spends:
            node.accept(encoded)
        admitted = FAN_OUT / (time.perf_counter() - start)
        start = time.perf_counter()
        node.generate(1, ANYONE)
        mined = (time.perf_counter() - start) * 1_000
        start = time.perf_counter()
        node.reorg(1, is_empty=True, reward_script=ANYONE)
        undone = (time.perf_counter() - start) * 1_000
        assert len(node.mempool.entries) == FAN_OUT, "the undone transactions wait again"
    checked = best_of(3, lambda: [verify_transaction(e, [TxOut(10_000, ANYONE)]) for e in spends])
    name = "bitcoin.embedded"
    return [
        Figure(f"{name}.admission", "tx/s", admitted, None, Better.HIGHER),
        Figure(f"{name}.block1500.mine", "ms", mined, None, Better.LOWER),
        Figure(f"{name}.block1500.reorg", "ms", undone, None, Better.LOWER),
        Figure("bitcoin.engine.checks", "tx/s", FAN_OUT / checked, None, Better.HIGHER),
    ]


async def _call(client: BitcoinRpc, calls: int) -> float:
    await client.call("getblockcount")
    start = time.perf_counter()
    for _ in range(calls):
        await client.call("getblockcount")
    return calls / (time.perf_counter() - start)


def measure_calls() -> list[Figure]:
    """One client and the node's process: start, calls one by one, calls in batches."""
    with tempfile.TemporaryDirectory(prefix="p2pseq-bench-") as directory:
        start = time.perf_counter()
        node = start_embedded(Path(directory))
        ready = (time.perf_counter() - start) * 1_000
        try:
            single, batched = trio.run(_measure_calls, node.client())
        finally:
            node.stop()
    name = "bitcoin.rpc"
    return [
        Figure("bitcoin.embedded.start", "ms", ready, None, Better.LOWER),
        Figure(f"{name}.calls.single", "calls/s", single, None, Better.HIGHER),
        Figure(f"{name}.calls.batched", "calls/s", batched, None, Better.HIGHER),
    ]


async def _measure_calls(client: BitcoinRpc) -> tuple[float, float]:
    async with client:
        single = await _call(client, 500)
        start = time.perf_counter()
        await client.batch([("getblockcount", ())] * 2_000)
        return single, 2_000 / (time.perf_counter() - start)


BENCHMARKS = [
    Benchmark("bitcoin.embedded.blocks", measure_blocks),
    Benchmark("bitcoin.embedded.transactions", measure_transactions),
    Benchmark("bitcoin.rpc", measure_calls),
]
