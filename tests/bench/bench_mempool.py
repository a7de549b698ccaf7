"""The mempool's cost for each transaction, and submissions through the API.

Signature checks have figures of their own (`signatures`). Here the signatures of a batch are
remembered before it is submitted, which is what "outside signatures" means: nothing else is left
out.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from cython_core.ledger._ledger import TransactionParser
from p2p_seq.api.client import open_client
from p2p_seq.api.http import open_api
from p2p_seq.api.submissions import submissions_of
from p2p_seq.api.types import Submission
from p2p_seq.mempool.core import Mempool
from p2p_seq.mempool.native import NativeMempool
from p2p_seq.mempool.service import MempoolService
from p2p_seq.mempool.types import (
    Account,
    Parsed,
    Prices,
    SelectionLimits,
    TransactionPool,
)
from p2p_seq.network.identity import peer_id_of_xonly
from p2p_seq.network.sim import open_simulated_world
from p2p_seq.node.workers import WorkerLimits, open_signature_workers
from p2p_seq.protocol.params import load_params
from p2p_seq.protocol.state import ledger_constants
from p2p_seq.protocol.transactions import SignedTransaction, Transfer
from p2p_seq.protocol.types import BlockHeight, Hash32, Sats, Signature, XOnlyKey
from p2p_seq.signer.schnorr import public_key
from tests.bench.harness import Benchmark, Better, Figure

CHAIN_ID = Hash32(bytes(32))
SENDERS = 100
BATCH = 1_000
ROUNDS = 7
BATCHES = 10
"""Batches that are submitted one after the other."""

FEE = Sats(100_000)
EVERYTHING = SelectionLimits(10_000, 10**9, 2**62)
KEYS = [public_key((index + 1).to_bytes(32, "big")) for index in range(SENDERS)]


class Accounts:
    """Rich senders in a dictionary."""

    def __init__(self) -> None:
        self.accounts: dict[bytes, Account] = {key: Account(10**15, 0) for key in KEYS}

    def account(self, key: bytes) -> Account | None:
        return self.accounts.get(key)


def transfers(first: int, count: int) -> bytes:
    """Transfers number `first` and following, round robin over the senders; signatures of zeros."""
    parts = []
    for number in range(first, first + count):
        recipient = XOnlyKey(KEYS[(number + 1) % SENDERS])
        order = Transfer(
            KEYS[number % SENDERS], number // SENDERS, FEE, recipient, Sats(1_000 + number)
        )
        parts.append(SignedTransaction(order, Signature(bytes(64))).encode())
    return b"".join(parts)


def parser_and_prices() -> tuple[TransactionParser, Prices]:
    params = load_params(Path(__file__).resolve().parents[2] / "configs/networks/regtest.toml")
    return TransactionParser(ledger_constants(params, CHAIN_ID)), Prices.from_params(params, 1_000)


def per_transaction_us(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) / BATCH * 1e6


def one_round(
    make: Callable[[Accounts, Prices], TransactionPool],
    parser: TransactionParser,
    prices: Prices,
    payload: bytes,
) -> dict[str, float]:
    """Microseconds for each transaction in each step of its way through one pool."""
    accounts = Accounts()
    pool = make(accounts, prices)
    parsed: Sequence[Parsed] = parser.parse_batch(payload)
    costs = {
        "parse": per_transaction_us(lambda: parser.parse_batch(payload)),
        "judge": per_transaction_us(lambda: pool.judge_batch(payload, parsed)),
        "admit": per_transaction_us(lambda: pool.admit_batch(payload, parsed)),
        "select": per_transaction_us(lambda: pool.select(EVERYTHING)),
        "include": per_transaction_us(
            lambda: pool.include(b"block", BlockHeight(1), payload, parsed)
        ),
    }
    if pool.select(EVERYTHING).count != BATCH:
        raise RuntimeError("the pool does not hold what was admitted")
    for key in KEYS:
        accounts.accounts[key] = Account(10**15, BATCH // SENDERS)
    costs["finalise"] = per_transaction_us(lambda: pool.finalise(b"block", BlockHeight(1), parsed))
    if len(pool):
        raise RuntimeError("the pool holds what is final")
    return costs


def measure_pool() -> list[Figure]:
    parser, prices = parser_and_prices()
    payload = transfers(0, BATCH)
    figures = []
    for name, make in (("native", NativeMempool), ("twin", Mempool)):
        rounds = [one_round(make, parser, prices, payload) for _ in range(ROUNDS)]
        best = {step: min(costs[step] for costs in rounds) for step in rounds[0]}
        goal = 10.0 if name == "native" else None
        admission = best["parse"] + best["judge"] + best["admit"]
        figures += [
            Figure(f"mempool.{name}.{step}", "us/tx", cost, None, Better.LOWER)
            for step, cost in best.items()
        ]
        figures.append(Figure(f"mempool.{name}.admission", "us/tx", admission, goal, Better.LOWER))
    return figures


class SubmitOnly:
    """The part of a node's view that takes submissions."""

    def __init__(self, service: MempoolService) -> None:
        self._service = service

    async def submit(self, transactions: bytes) -> list[Submission]:
        return submissions_of(await self._service.submit(transactions))


async def _submissions(through_http: bool) -> float:
    """CPU microseconds of this process for each transaction, client included."""
    parser, prices = parser_and_prices()
    payloads = [transfers(number * BATCH, BATCH) for number in range(BATCHES)]
    pool = NativeMempool(Accounts(), prices)
    async with (
        open_simulated_world(1) as world,
        open_signature_workers(WorkerLimits(workers=0)) as workers,
        trio.open_nursery() as nursery,
    ):
        network = world.join(peer_id_of_xonly(KEYS[0]))
        service = MempoolService(pool, parser, workers, network)
        for payload in payloads:
            service.remember_verified(payload, parser.parse_batch(payload))
        nursery.start_soon(service.run)
        if through_http:
            view = SubmitOnly(service)
            async with (
                open_api(view, "127.0.0.1", 0) as url,  # type: ignore[arg-type]  # only submit
                open_client(url) as client,
            ):
                start = time.process_time()
                for payload in payloads:
                    await client.submit(payload)
                spent = time.process_time() - start
        else:
            start = time.process_time()
            for payload in payloads:
                await service.submit(payload)
            spent = time.process_time() - start
        nursery.cancel_scope.cancel()
    if len(pool) != BATCH * BATCHES:
        raise RuntimeError(f"{len(pool)} of {BATCH * BATCHES} were admitted")
    return spent / (BATCH * BATCHES) * 1e6


def measure_service() -> list[Figure]:
    cost = min(trio.run(_submissions, False) for _ in range(3))
    return [
        Figure("mempool.service.submit", "us/tx", cost, None, Better.LOWER),
        Figure("mempool.service.rate", "tx/s/core", 1e6 / cost, 5_000.0, Better.HIGHER),
    ]


def measure_http() -> list[Figure]:
    cost = min(trio.run(_submissions, True) for _ in range(3))
    return [
        Figure("mempool.http.submit", "us/tx", cost, None, Better.LOWER),
        Figure("mempool.http.rate", "tx/s/core", 1e6 / cost, 5_000.0, Better.HIGHER),
    ]


BENCHMARKS = [
    Benchmark("mempool.pool", measure_pool),
    Benchmark("mempool.service", measure_service),
    Benchmark("mempool.http", measure_http),
]
