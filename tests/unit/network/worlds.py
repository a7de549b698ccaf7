"""Nodes for tests: the same four on either backend, and a hostile one."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import coincurve
import trio

from p2p_seq.network.identity import peer_id_of
from p2p_seq.network.libp2p_network import Libp2pNetwork, NetworkConfig, open_libp2p_network
from p2p_seq.network.limits import NetworkLimits
from p2p_seq.network.sim import open_simulated_world
from p2p_seq.network.types import Inbox, Network, PeerId, Received

PATIENCE_S = 15.0
"""Far above what anything here takes on an idle machine; only a hang or a loss reaches it."""


def secret_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def name_of(number: int) -> PeerId:
    return peer_id_of(coincurve.PublicKey.from_secret(secret_of(number)).format())


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - conditions here have no event
            await trio.sleep(0.005)


async def take(inbox: Inbox, count: int) -> list[Received]:
    got = []
    with trio.fail_after(PATIENCE_S):
        while len(got) < count:
            got.append(await inbox.receive())
    return got


def is_connected(node: Network, peer: PeerId) -> bool:
    return any(status.connected for status in node.peers() if status.peer == peer)


def connections(node: Network) -> int:
    return sum(status.connected for status in node.peers())


@asynccontextmanager
async def open_nodes(
    backend: str, count: int, limits: NetworkLimits | None = None, first: int = 1
) -> AsyncIterator[list[Network]]:
    """`count` nodes that are not yet connected (libp2p) or at once connected (simulated)."""
    async with AsyncExitStack() as stack:
        if backend == "simulated":
            world = await stack.enter_async_context(open_simulated_world(seed=1))
            yield [world.join(name_of(first + number), limits) for number in range(count)]
            return
        nodes: list[Network] = [
            await stack.enter_async_context(open_node(first + number, limits))
            for number in range(count)
        ]
        yield nodes


def open_node(number: int, limits: NetworkLimits | None = None, **config: Any) -> Any:
    return open_libp2p_network(
        NetworkConfig("test", limits=limits or NetworkLimits(), **config), secret_of(number)
    )


async def join_all(nodes: list[Network]) -> None:
    """Every node a member of every other, and connected."""
    members = {node.local_peer: node.listen_addresses() for node in nodes}
    for node in nodes:
        await node.set_members(members)
    await until(lambda: all(connections(node) == len(nodes) - 1 for node in nodes))


class Attacker:
    """A node that writes what it likes. Not a member of anything."""

    def __init__(self, node: Libp2pNetwork, victim: PeerId) -> None:
        self.node = node
        self.victim = victim

    @property
    def muxed(self) -> Any:
        state = self.node._peers.get(self.victim)
        assert state is not None
        return state.connections[-1].muxed_conn

    @property
    def is_connected(self) -> bool:
        return is_connected(self.node, self.victim)

    async def open(self, protocol: str) -> Any:
        state = self.node._peers.get(self.victim)
        assert state is not None
        return await self.node._host.new_stream(state.libp2p_id, [protocol])

    async def write(self, protocol: str, *pieces: bytes) -> Any:
        """Open a stream and write; a victim that cuts it off in between is no error here."""
        stream = await self.open(protocol)
        try:
            for piece in pieces:
                await stream.write(piece)
        except Exception:  # noqa: BLE001 - any of the library's many ways to say "closed"
            return stream
        return stream


@asynccontextmanager
async def open_attacker(number: int, victim: Network) -> AsyncIterator[Attacker]:
    async with open_node(number) as node:
        await node.connect(victim.listen_addresses()[0])
        await until(lambda: is_connected(victim, node.local_peer))
        # The attacker's own gossip stream must not replace the hostile one later.
        pubsub: Any = victim._pubsub  # type: ignore[attr-defined]
        await until(lambda: node._host.get_id() in pubsub._reading)
        yield Attacker(node, victim.local_peer)
