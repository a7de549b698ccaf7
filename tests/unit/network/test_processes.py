"""Peers that are killed, stopped, or come back: real processes, real signals."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from multiaddr import Multiaddr

from p2p_seq.network.limits import NetworkLimits
from p2p_seq.network.types import Channel, Network, PeerId
from tests.unit.network.worlds import PATIENCE_S, is_connected, name_of, open_node, take, until

ROOT = Path(__file__).parents[3]
QUICK = NetworkLimits(
    keepalive_interval_s=0.5, keepalive_patience_s=0.5, keepalive_misses=3, backoff_last_s=0.5
)


class Child:
    """One peer process."""

    def __init__(self, process: trio.Process, address: str) -> None:
        self.process = process
        self.address = address


@asynccontextmanager
async def open_child(number: int, listen: str, *members: str) -> AsyncIterator[Child]:
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.unit.network.peer_process", str(number), listen, *members],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        line = b""
        with trio.fail_after(4 * PATIENCE_S):
            while not line.endswith(b"\n"):
                piece = await process.stdout.receive_some(1_000)
                assert piece, "the child ended before it listened"
                line += piece
        yield Child(process, line.decode().strip())
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()


async def assert_echoes(node: Network, peer: PeerId, payload: bytes) -> None:
    """Votes repeat until answered, as consensus does."""
    with trio.fail_after(2 * PATIENCE_S):
        while True:
            node.send(peer, Channel.CONSENSUS, payload)
            with trio.move_on_after(0.2):
                while (await node.inbox(Channel.CONSENSUS).receive()).payload != payload:
                    pass
                return


async def test_a_killed_peer_is_noticed_and_its_next_life_delivers() -> None:
    peer = name_of(2)
    async with open_node(1, QUICK) as node:
        address = node.listen_addresses()[0]
        async with open_child(2, "/ip4/127.0.0.1/tcp/0", address) as child:
            await node.set_members({peer: (child.address,)})
            await assert_echoes(node, peer, b"first life")
            listen = child.address.split("/p2p/")[0]
            child.process.kill()
            await until(lambda: not is_connected(node, peer))
            assert not node.send(peer, Channel.CONSENSUS, b"to nobody")
        async with open_child(2, listen, address):
            await assert_echoes(node, peer, b"second life")
        # Third life, which dials nobody: the member's own dialler must find it.
        await until(lambda: not is_connected(node, peer))
        async with open_child(2, listen):
            await assert_echoes(node, peer, b"third life")


async def test_a_stopped_peer_is_cut_off_and_comes_back() -> None:
    peer = name_of(2)
    async with open_node(1, QUICK) as node, open_child(2, "/ip4/127.0.0.1/tcp/0") as child:
        await node.set_members({peer: (child.address,)})
        await assert_echoes(node, peer, b"before")
        status = node.peers()[0]
        assert status.rtt_ms is not None
        child.process.send_signal(signal.SIGSTOP)
        # Blocked writers must not keep the connection either.
        for _ in range(20):
            node.send(peer, Channel.BLOCKS, bytes(1 << 20))
        await until(lambda: not is_connected(node, peer))
        lost = node.counters()["keepalive-lost"] + node.counters()["write-stalled"]
        assert lost >= 1
        child.process.send_signal(signal.SIGCONT)
        await until(lambda: is_connected(node, peer))
        await assert_echoes(node, peer, b"after")


async def test_a_blocked_peer_can_be_disconnected_at_once() -> None:
    peer = name_of(2)
    async with open_node(1) as node, open_child(2, "/ip4/127.0.0.1/tcp/0") as child:
        await node.connect(child.address)
        child.process.send_signal(signal.SIGSTOP)
        for _ in range(8):
            node.send(peer, Channel.BLOCKS, bytes(1 << 20))
        await trio.sleep(0.2)
        with trio.fail_after(PATIENCE_S):
            await node.disconnect(peer)
        await until(lambda: not is_connected(node, peer))


async def test_the_same_identity_twice_probes_the_older_connection() -> None:
    """A machine that lost power leaves a connection behind that nobody closes."""
    limits = NetworkLimits(probe_s=0.3)
    async with open_node(1, limits) as node, open_child(2, "/ip4/127.0.0.1/tcp/0") as frozen:
        peer = await node.connect(frozen.address)
        frozen.process.send_signal(signal.SIGSTOP)
        async with open_child(2, "/ip4/127.0.0.1/tcp/0", node.listen_addresses()[0]):
            await until(lambda: node.counters()["connected"] == 2)
            await until(lambda: node.counters()["keepalive-lost"] == 1)
            await assert_echoes(node, peer, b"to the living one")


async def test_a_living_older_connection_survives_a_second_one() -> None:
    async with open_node(1) as node, open_node(2) as other:
        await node.connect(other.listen_addresses()[0])
        await until(lambda: is_connected(other, node.local_peer))
        state = node._peers.get(other.local_peer)
        assert state is not None
        first = state.connections[0]
        await other._swarm.dial_addr(
            Multiaddr(node.listen_addresses()[0].split("/p2p/")[0]),
            node._host.get_id(),
        )
        await until(lambda: len(state.connections) == 2)
        await trio.sleep(0.3)
        assert first in state.connections
        assert node.send(other.local_peer, Channel.BLOCKS, b"x")
        await take(other.inbox(Channel.BLOCKS), 1)
