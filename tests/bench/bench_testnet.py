"""The four-process testnet under an open-loop load, in the preset `ordering`.

Transactions are signed beforehand and posted in binary batches at fixed times, each account always
to the same node, the nodes round robin. Latency counts from the time at which a batch was due, so a
node that makes the generator wait does not look quicker for it. The generator and all processes
share one machine: its cores are in the report.

The load doubles until the nodes fall behind: the most that became final in a second is the peak.
Then twice the peak is offered, and at least nine tenths of it must still become final. What a full
node turns away is posted again, as a wallet would: a transaction that is missing would hold up all
that its account sends after it.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import trio

from p2p_seq.api.client import ApiClient, ApiError, open_client
from p2p_seq.api.types import Submission
from p2p_seq.protocol.types import Hash32, Sats
from p2p_seq.wallet.orders import LedgerAccount, LedgerChain, Signed
from p2p_seq.wallet.submitting import KNOWN_ALREADY
from testnet.command import stop_testnet
from testnet.layout import Layout
from testnet.state import require_state
from testnet.traffic import derive_accounts
from tests.bench.harness import Benchmark, Better, Figure, percentile
from tests.support.testnets import ROOT, free_port_base

ACCOUNTS = 800
ACCOUNT_FUNDS = Sats(100_000)
DEPOSIT = "1btc"
AMOUNT = Sats(1_000)

TICK_S = 0.04
"""Between two batches; the nodes take turns."""

LOW_RATE = 50
RATE_GOAL = 2_000
LOW_SECONDS = 12.0
LOAD_SECONDS = 12.0
RATE_MAX = 16_000
SATURATED = 0.95
"""Nodes that finalise less than this part of a load have fallen behind."""
OVERLOAD = 2.0
OVERLOAD_GOAL = 0.9
RETRY_S = 0.25
"""What was turned away is posted again after it, until the load's end."""
WARM_UP_S = 2.0
"""Of each load's beginning, not counted."""

DRAIN_S = 20.0
"""What is still in the mempools may become final before the next load."""

BLOCK_POLL_S = 0.01


@dataclass(slots=True)
class Load:
    """One load and what became of it."""

    rate: int
    seconds: float
    due_at: dict[str, float] = field(default_factory=dict)
    final_at: dict[str, float] = field(default_factory=dict)
    rejected: int = 0
    """Answers that turned a transaction away."""
    given_up: int = 0
    """Transactions that no node had taken at the load's end."""

    def finalised_rate(self, start: float) -> float:
        first, last = start + WARM_UP_S, start + self.seconds
        return sum(first <= at < last for at in self.final_at.values()) / (last - first)

    def latencies_ms(self, start: float) -> list[float]:
        """Of what was due after the warm-up and became final."""
        return [
            (self.final_at[txid] - due) * 1_000
            for txid, due in self.due_at.items()
            if due >= start + WARM_UP_S and txid in self.final_at
        ]


class Generator:
    """Accounts with their nonces, and the nodes they talk to."""

    def __init__(self, accounts: Sequence[LedgerAccount], clients: list[ApiClient]) -> None:
        self._accounts = accounts
        self._clients = clients
        self._nonces = dict.fromkeys(range(len(accounts)), 0)
        self._turn = [0] * len(clients)

    async def learn_nonces(self) -> None:
        """After a load whose end was lost, the next nonce is what the ledger says."""
        for index, account in enumerate(self._accounts):
            report = await self._clients[0].account(account.key.hex())
            if report is None:
                raise RuntimeError("an account does not exist")
            self._nonces[index] = report.next_nonce

    def sign(self, rate: int, seconds: float, fee: Sats) -> list[list[Signed]]:
        """Batches in the order of their ticks."""
        ticks = round(seconds / TICK_S)
        return [
            [self._next(tick % len(self._clients), fee) for _ in range(size)]
            for tick, size in enumerate(_sizes(rate, ticks))
        ]

    def _next(self, node: int, fee: Sats) -> Signed:
        """A transfer of the next account that belongs to the node."""
        nodes, count = len(self._clients), len(self._accounts)
        index = (node + nodes * self._turn[node]) % count
        self._turn[node] += 1
        nonce = self._nonces[index]
        self._nonces[index] = nonce + 1
        recipient = self._accounts[(index + 1) % count].key
        return self._accounts[index].transfer(nonce, fee, recipient, AMOUNT)

    async def run(self, load: Load, batches: list[list[Signed]]) -> float:
        """Post every batch at its time; returns the start time once nothing more gets final."""
        height = (await self._clients[0].status()).height
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, load, height)
            start = trio.current_time()
            async with trio.open_nursery() as posts:
                for tick, batch in enumerate(batches):
                    due = start + tick * TICK_S
                    await trio.sleep_until(due)
                    load.due_at |= dict.fromkeys((item.txid.hex() for item in batch), due)
                    posts.start_soon(self._post, load, tick, batch, start + load.seconds)
            with trio.move_on_after(DRAIN_S):
                while len(load.final_at) + load.given_up < len(load.due_at):  # noqa: ASYNC110
                    await trio.sleep(BLOCK_POLL_S)
            nursery.cancel_scope.cancel()
        return start

    async def _post(self, load: Load, tick: int, batch: list[Signed], end: float) -> None:
        client = self._clients[tick % len(self._clients)]
        while True:
            try:
                report = await client.submit(item.encoded for item in batch)
                answers = zip(batch, report.items, strict=True)
                batch = [item for item, answer in answers if not _is_taken(answer)]
            except ApiError:
                pass  # a node that has too much to do took none of them
            load.rejected += len(batch)
            if not batch or trio.current_time() + RETRY_S > end:
                load.given_up += len(batch)
                return
            await trio.sleep(RETRY_S)

    async def _follow(self, load: Load, height: int) -> None:
        while True:
            try:
                report = await self._clients[0].block(height + 1)
            except ApiError:
                report = None  # an overloaded node says so; the load goes on
            if report is None:
                await trio.sleep(BLOCK_POLL_S)
                continue
            height = report.height
            now = trio.current_time()
            load.final_at |= dict.fromkeys(report.transactions, now)


def _is_taken(answer: Submission) -> bool:
    """Whether the node has the transaction now, or had it before."""
    return answer.accepted or answer.reason in KNOWN_ALREADY


def next_rate(rate: int, reached: float) -> int | None:
    """The next load on the way to the peak; None when the nodes have fallen behind."""
    is_saturated = reached < SATURATED * rate
    return None if is_saturated or 2 * rate > RATE_MAX else 2 * rate


def _sizes(rate: int, ticks: int) -> list[int]:
    """Batch sizes whose sum is the rate, also when a tick's share is no whole number."""
    total = [round(rate * TICK_S * tick) for tick in range(ticks + 1)]
    return [after - before for before, after in pairwise(total)]


@contextlib.asynccontextmanager
async def open_testnet(preset: str) -> AsyncIterator[tuple[Layout, float]]:
    """A detached testnet and the seconds until its first block was final."""
    with tempfile.TemporaryDirectory(prefix="p2pseq-bench-") as place:
        folder = Path(place) / "net"
        command = [
            *(sys.executable, "-m", "p2p_seq.cli", "testnet", "up", "--detach"),
            *("--preset", preset, "--dir", str(folder), "--port-base", str(free_port_base())),
        ]
        begun = time.perf_counter()
        try:
            done = await trio.run_process(
                command, cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False
            )
            seconds = time.perf_counter() - begun
            if done.returncode:
                raise RuntimeError(done.stderr.decode(errors="replace"))
            yield require_state(folder).layout, seconds
        finally:
            with trio.CancelScope(shield=True):
                await stop_testnet(folder)


async def _run(command: list[str]) -> None:
    done = await trio.run_process(
        [sys.executable, "-m", "p2p_seq.cli", *command],
        cwd=ROOT,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace"))


async def _fund(layout: Layout, clients: list[ApiClient]) -> Generator:
    """Deposit, and share it out over the accounts."""
    from p2p_seq.wallet.file import open_wallet

    await _run(["wallet", "deposit", DEPOSIT, "--wait", "--dir", str(layout.folder)])
    status = await clients[0].status()
    chain = LedgerChain(status.network, Hash32(bytes.fromhex(status.chain_id)))
    keys = open_wallet(layout.wallet("alice"), "regtest", None)
    alice = LedgerAccount(chain, keys.account)
    report = await clients[0].account(alice.key.hex())
    if report is None:
        raise RuntimeError("the depositor has no account")
    fee = Sats(status.prices.transfer_sats)
    accounts = derive_accounts(chain, keys.account, ACCOUNTS)
    gifts = [
        alice.transfer(report.nonce + index, fee, account.key, ACCOUNT_FUNDS)
        for index, account in enumerate(accounts)
    ]
    for first in range(0, ACCOUNTS, 200):
        await clients[0].submit(item.encoded for item in gifts[first : first + 200])
    with trio.fail_after(60):
        for client in clients:
            while await client.account(accounts[-1].key.hex()) is None:  # noqa: ASYNC110
                await trio.sleep(0.1)
    generator = Generator(accounts, clients)
    await generator.learn_nonces()
    return generator


async def _measure() -> list[Figure]:
    async with open_testnet("ordering") as (layout, seconds):
        figures = [Figure("testnet.first-final-block", "s", seconds, 10.0, Better.LOWER)]
        urls = [layout.api_url(index) for index in range(4)]
        async with contextlib.AsyncExitStack() as stack:
            # No session: each node is measured as it is.
            clients = [await stack.enter_async_context(open_client(url, 30.0)) for url in urls]
            generator = await _fund(layout, clients)
            fee = Sats((await clients[0].status()).prices.transfer_sats)
            await _apply(generator, fee, LOW_RATE, LOW_SECONDS)  # caches, and Python's own
            low, start = await _apply(generator, fee, LOW_RATE, LOW_SECONDS)
            figures += _latency_figures("low-load", low, start, 100.0)
            peak, rate = 0.0, RATE_GOAL
            while True:
                goal = RATE_GOAL * 0.99 if rate == RATE_GOAL else None
                reached = await _load_figures(generator, fee, f"load-{rate}", rate, goal, figures)
                peak = max(peak, reached)
                following = next_rate(rate, reached)
                if following is None:
                    break
                rate = following
            figures.append(Figure("testnet.peak", "tx/s", peak, float(RATE_GOAL), Better.HIGHER))
            rate, goal = round(OVERLOAD * peak), OVERLOAD_GOAL * peak
            figures.append(Figure("testnet.overload.offered", "tx/s", rate, None, Better.HIGHER))
            await _load_figures(generator, fee, "overload", rate, goal, figures)
    return figures


async def _load_figures(
    generator: Generator,
    fee: Sats,
    name: str,
    rate: int,
    goal: float | None,
    figures: list[Figure],
) -> float:
    """Apply a load and add what was seen; returns the rate at which transactions became final."""
    await generator.learn_nonces()
    load, start = await _apply(generator, fee, rate, LOAD_SECONDS)
    reached = load.finalised_rate(start)
    figures.append(Figure(f"testnet.{name}.finalised", "tx/s", reached, goal, Better.HIGHER))
    for what, count in (("rejected", load.rejected), ("given-up", load.given_up)):
        figures.append(Figure(f"testnet.{name}.{what}", "tx", count, None, Better.LOWER))
    figures += _latency_figures(name, load, start, None)
    return reached


async def _apply(generator: Generator, fee: Sats, rate: int, seconds: float) -> tuple[Load, float]:
    batches = await trio.to_thread.run_sync(generator.sign, rate, seconds, fee)
    load = Load(rate, seconds)
    return load, await generator.run(load, batches)


def _latency_figures(name: str, load: Load, start: float, goal: float | None) -> list[Figure]:
    latencies = load.latencies_ms(start)
    return [
        Figure(
            f"testnet.{name}.finality.p50", "ms", percentile(latencies, 0.5), goal, Better.LOWER
        ),
        Figure(
            f"testnet.{name}.finality.p99", "ms", percentile(latencies, 0.99), None, Better.LOWER
        ),
    ]


BENCHMARKS = [Benchmark("testnet", partial(trio.run, _measure), slow=True)]
