"""The real network on loopback: four nodes in one process, so one core does the work of all."""

import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import trio

from p2p_seq.network.libp2p_network import Libp2pNetwork, NetworkConfig, open_libp2p_network
from p2p_seq.network.types import Channel, RequestProtocol, Topic
from tests.bench.harness import Benchmark, Better, Figure, percentile

NODES = 4


@asynccontextmanager
async def four_nodes() -> AsyncIterator[list[Libp2pNetwork]]:
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(
                open_libp2p_network(NetworkConfig("bench"), (number + 1).to_bytes(32, "big"))
            )
            for number in range(NODES)
        ]
        members = {node.local_peer: node.listen_addresses() for node in nodes}
        for node in nodes:
            await node.set_members(members)
        with trio.fail_after(20):
            # Streams are open, and the mesh stands, when each has heard of each.
            while not all(is_linked(node) for node in nodes):  # noqa: ASYNC110
                await trio.sleep(0.05)
            for node in nodes:
                node.broadcast(Channel.STAKING, b"hello")
            for node in nodes:
                for _ in range(3):
                    await node.inbox(Channel.STAKING).receive()
        await trio.sleep(1.5)
        yield nodes


def is_linked(node: Libp2pNetwork) -> bool:
    return sum(status.connected for status in node.peers()) == NODES - 1


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def send_all(node: Libp2pNetwork, to: Libp2pNetwork, payload: bytes, count: int) -> None:
    for number in range(count):
        # A full queue has no event: its sender is meant to shed.
        while not node.send(to.local_peer, Channel.TRANSACTIONS, payload):  # noqa: ASYNC110
            await trio.sleep(0.02)
        if number % 32 == 0:
            await trio.lowlevel.checkpoint()


async def fan_out(size: int, count: int) -> tuple[float, float]:
    """Broadcasts per second that all three peers got, and CPU seconds per broadcast and node."""
    payload = bytes(size)
    async with four_nodes() as nodes:

        async def drain(node: Libp2pNetwork) -> None:
            for _ in range(count):
                await node.inbox(Channel.TRANSACTIONS).receive()

        started_at, cpu_before = time.perf_counter(), cpu_s()
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for node in nodes[1:]:
                    nursery.start_soon(drain, node)
                    nursery.start_soon(send_all, nodes[0], node, payload, count)
        elapsed = time.perf_counter() - started_at
        return count / elapsed, (cpu_s() - cpu_before) / count / NODES


async def gossip(size: int, count: int) -> tuple[float, float]:
    """Messages per second from one publisher to three peers, and CPU s per message and node."""
    payload = bytes(size)
    async with four_nodes() as nodes:

        async def drain(node: Libp2pNetwork) -> None:
            for _ in range(count):
                await node.subscription(Topic.BLOCKS).receive()

        started_at, cpu_before = time.perf_counter(), cpu_s()
        with trio.move_on_after(30) as scope:
            async with trio.open_nursery() as nursery:
                for node in nodes[1:]:
                    nursery.start_soon(drain, node)
                for _ in range(count):
                    while not await nodes[0].publish(Topic.BLOCKS, payload):  # noqa: ASYNC110
                        await trio.sleep(0.001)
        if scope.cancelled_caught:
            raise RuntimeError("gossip lost messages")
        elapsed = time.perf_counter() - started_at
        return count / elapsed, (cpu_s() - cpu_before) / count / NODES


async def round_trips(count: int, load_per_s: int) -> list[float]:
    """Seconds of `count` echoes of a 200-byte vote, beside 100 kB bodies to all at some rate."""
    samples: list[float] = []
    async with four_nodes() as nodes:

        async def echo() -> None:
            while True:
                received = await nodes[1].inbox(Channel.CONSENSUS).receive()
                nodes[1].send(received.peer, Channel.CONSENSUS, received.payload)

        async def load() -> None:
            body = bytes(100_000)
            while True:
                nodes[0].broadcast(Channel.BLOCKS, body)
                await trio.sleep(1 / load_per_s)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo)
            if load_per_s:
                nursery.start_soon(load)
            for _ in range(count):
                started_at = time.perf_counter()
                nodes[0].send(nodes[1].local_peer, Channel.CONSENSUS, bytes(200))
                await nodes[0].inbox(Channel.CONSENSUS).receive()
                samples.append(time.perf_counter() - started_at)
                await trio.sleep(0.002)
            nursery.cancel_scope.cancel()
    return samples


async def request_times(size: int, count: int) -> list[float]:
    samples: list[float] = []
    async with four_nodes() as nodes:
        answer = bytes(size)

        async def serve(_peer: object, _payload: bytes) -> bytes:
            return answer

        nodes[1].serve(RequestProtocol.BODIES, serve)
        for _ in range(count):
            started_at = time.perf_counter()
            await nodes[0].request(nodes[1].local_peer, RequestProtocol.BODIES, b"height", 10)
            samples.append(time.perf_counter() - started_at)
    return samples


def measure_fan_out() -> list[Figure]:
    return [
        *_rates("network.direct.200B", partial(fan_out, 200, 20_000), 1_000, 170),
        *_rates("network.direct.100kB", partial(fan_out, 100_000, 600), 460, 360),
    ]


def measure_gossip() -> list[Figure]:
    return [
        *_rates("network.gossip.200B", partial(gossip, 200, 1_000), 215, 1_160),
        *_rates("network.gossip.100kB", partial(gossip, 100_000, 200), 110, 2_280),
    ]


def _rates(
    name: str, run: Callable[[], Awaitable[tuple[float, float]]], rate_goal: float, cpu_goal: float
) -> list[Figure]:
    """Goals: what the unhardened library gave (shared reference network.md, B)."""
    rate, cpu = trio.run(run)
    return [
        Figure(f"{name}.rate", "msg/s to all 3", rate, rate_goal, Better.HIGHER),
        Figure(f"{name}.cpu", "us/msg/node", cpu * 1e6, cpu_goal, Better.LOWER),
    ]


def measure_latency() -> list[Figure]:
    figures = []
    for name, load in (("idle", 0), ("under-5MBps", 50)):
        samples = [seconds * 1e3 for seconds in trio.run(round_trips, 500, load)]
        goal = 1.0 if not load else 40.0
        figures += [
            Figure(f"network.rtt.{name}.p50", "ms", percentile(samples, 0.5), None, Better.LOWER),
            Figure(f"network.rtt.{name}.p99", "ms", percentile(samples, 0.99), goal, Better.LOWER),
        ]
    return figures


def measure_requests() -> list[Figure]:
    figures = []
    for name, size in (("1kB", 1_000), ("1MB", 1_000_000)):
        samples = [seconds * 1e3 for seconds in trio.run(request_times, size, 100)]
        p50 = percentile(samples, 0.5)
        figures.append(Figure(f"network.request.{name}.p50", "ms", p50, None, Better.LOWER))
    return figures


BENCHMARKS = [
    Benchmark("network.direct", measure_fan_out),
    Benchmark("network.gossip", measure_gossip),
    Benchmark("network.latency", measure_latency),
    Benchmark("network.requests", measure_requests),
]
