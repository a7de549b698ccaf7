"""The simulation: the same run from the same seed, and what its adversity does."""

import pytest
import trio
import trio.testing

from p2p_seq.network.sim import Conditions, SimulatedNetwork, SimulatedWorld, open_simulated_world
from p2p_seq.network.types import Channel, NetworkReason, PeerId, RequestProtocol, Topic
from p2p_seq.protocol.errors import RemoteError
from tests.unit.network.worlds import name_of

ROUGH = Conditions(delay_min_s=0.01, delay_max_s=0.3, loss=0.2, duplication=0.2)


async def join(world: SimulatedWorld, count: int = 4) -> list[SimulatedNetwork]:
    nodes = [world.join(name_of(number + 1)) for number in range(count)]
    for node in nodes:
        await node.set_members({peer.local_peer: () for peer in nodes})
    return nodes


async def record_run(seed: int) -> list[tuple[float, int, bytes]]:
    """What arrived when and where, from the start of the run."""
    trace: list[tuple[float, int, bytes]] = []
    started_at = trio.current_time()

    async def listen(index: int, node: SimulatedNetwork) -> None:
        while True:
            received = await node.inbox(Channel.CONSENSUS).receive()
            elapsed = round(trio.current_time() - started_at, 6)
            trace.append((elapsed, index, received.payload))

    async with trio.open_nursery() as nursery, open_simulated_world(seed, ROUGH) as world:
        nodes = await join(world)
        for index, node in enumerate(nodes):
            nursery.start_soon(listen, index, node)
        for number in range(50):
            nodes[number % 4].broadcast(Channel.CONSENSUS, bytes([number]))
            await nodes[number % 4].publish(Topic.BLOCKS, bytes([number]))
            await trio.sleep(0.01)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    return trace


async def test_one_seed_gives_one_run(autojump_clock: trio.testing.MockClock) -> None:
    first, again, other = await record_run(7), await record_run(7), await record_run(8)
    assert first == again
    assert first != other
    assert 80 < len(first) < 150  # of 150, a fifth lost


async def test_a_partition_loses_what_is_under_way_and_heals(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_simulated_world(1, Conditions(delay_min_s=1, delay_max_s=1)) as world:
        nodes = await join(world)
        assert nodes[0].broadcast(Channel.CONSENSUS, b"under way") == 3
        world.partition({nodes[0].local_peer, nodes[1].local_peer})
        await trio.sleep(2)
        assert [len(node.inbox(Channel.CONSENSUS)) for node in nodes] == [0, 1, 0, 0]
        assert not nodes[0].send(nodes[2].local_peer, Channel.CONSENSUS, b"x")
        assert nodes[2].send(nodes[3].local_peer, Channel.CONSENSUS, b"the rest is one group")
        with pytest.raises(RemoteError) as caught:
            await nodes[0].request(nodes[2].local_peer, RequestProtocol.STATUS, b"", 10)
        assert caught.value.reason is NetworkReason.NOT_CONNECTED
        world.heal()
        assert nodes[0].broadcast(Channel.CONSENSUS, b"again") == 3


async def test_a_crash_drops_queues_and_the_name_may_return(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_simulated_world(1, Conditions(delay_min_s=1, delay_max_s=1)) as world:
        nodes = await join(world)
        victim = nodes[3]
        nodes[0].send(victim.local_peer, Channel.CONSENSUS, b"to the dead")
        victim.send(nodes[0].local_peer, Channel.CONSENSUS, b"from the dead")
        world.crash(victim.local_peer)
        reborn = world.join(victim.local_peer)
        await trio.sleep(2)
        assert len(reborn.inbox(Channel.CONSENSUS)) == 0
        assert len(nodes[0].inbox(Channel.CONSENSUS)) == 0
        assert nodes[0].counters()["direct-lost"] == 1
        assert not victim.send(nodes[0].local_peer, Channel.CONSENSUS, b"ghost")
        assert nodes[0].send(reborn.local_peer, Channel.CONSENSUS, b"hello")
        assert (await reborn.inbox(Channel.CONSENSUS).receive()).payload == b"hello"


async def test_bandwidth_delays_bodies_and_not_votes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    slow = Conditions(delay_min_s=0.001, delay_max_s=0.001, bytes_per_s=1e6)
    async with open_simulated_world(1, slow) as world:
        nodes = await join(world, 2)
        started_at = trio.current_time()
        for _ in range(2):
            nodes[0].send(nodes[1].local_peer, Channel.BLOCKS, bytes(1_000_000))
        nodes[0].send(nodes[1].local_peer, Channel.CONSENSUS, b"vote")
        await nodes[1].inbox(Channel.CONSENSUS).receive()
        assert trio.current_time() - started_at == pytest.approx(0.001, abs=1e-4)
        for seconds in (1.001, 2.001):
            await nodes[1].inbox(Channel.BLOCKS).receive()
            assert trio.current_time() - started_at == pytest.approx(seconds)


async def test_lost_requests_time_out(autojump_clock: trio.testing.MockClock) -> None:
    async with open_simulated_world(1, Conditions(loss=1.0)) as world:
        nodes = await join(world, 2)

        async def answer(_peer: PeerId, payload: bytes) -> bytes:
            return payload

        nodes[1].serve(RequestProtocol.STATUS, answer)
        with pytest.raises(RemoteError, match=r"^timeout: status after 5 s$"):
            await nodes[0].request(nodes[1].local_peer, RequestProtocol.STATUS, b"", 5)
