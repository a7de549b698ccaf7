"""The shell of consensus: four nodes in one process, all real but wires and clock."""

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2p_seq.chain.chain import Finalised
from p2p_seq.consensus.messages import (
    CertificatesFrame,
    ProposalFrame,
    VotesFrame,
    decode_frame,
)
from p2p_seq.consensus.service import ConsensusService, Hooks
from p2p_seq.consensus.timers import TimerConfig
from p2p_seq.consensus.types import Evidence
from p2p_seq.mempool.types import Selection
from p2p_seq.network.identity import peer_id_of_xonly
from p2p_seq.network.sim import SimulatedNetwork, SimulatedWorld, open_simulated_world
from p2p_seq.network.types import Channel, PeerId
from p2p_seq.node.sync import SyncService
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.types import Epoch, SatsPerKvb, Signature
from p2p_seq.signer.signer import OperatorSigner, create_stake
from tests.support.networks import NetworkTemplate, Participant, World, found_network

PATIENCE_S = 120.0
"""Virtual seconds."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> NetworkTemplate:
    return found_network(tmp_path_factory.mktemp("founded"))


@pytest.fixture
def world(template: NetworkTemplate, tmp_path: Path) -> Iterator[World]:
    with template.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def autojump_clock() -> MockClock:
    """Jumps when nothing happens; patient, for final blocks are written in a thread."""
    return MockClock(autojump_threshold=0.002)


@dataclass
class Sequencer:
    """One node: chain, signer, consensus, sync; and what it was told."""

    one: Participant
    index: int
    signer: OperatorSigner
    network: SimulatedNetwork
    members: list[PeerId]
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    stopped: trio.Event = field(default_factory=trio.Event)
    finalised: list[Finalised] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)

    def __post_init__(self) -> None:
        hooks = Hooks(
            select=lambda _, __: Selection(b"", (), 0),
            stake_candidate=lambda: None,
            feerate=lambda: SatsPerKvb(1_000),
            finalised=self.finalised.extend,
            epoch_started=lambda: None,
            evidence=self.evidence.append,
            crash_point=lambda _: None,
        )
        self.service = ConsensusService(
            self.one.chain, self.network, self.signer, hooks, TimerConfig()
        )
        self.sync = SyncService(self.one.chain, self.network, self.finalised.extend)

    @property
    def height(self) -> int:
        return self.one.final.header.height

    async def run(self) -> None:
        with self.scope:
            await self.network.set_members(dict.fromkeys(self.members, ()))
            async with trio.open_nursery() as nursery:
                self.sync.serve()
                nursery.start_soon(self.one.watcher.run)
                nursery.start_soon(self.service.run)
        self.signer.close()
        self.stopped.set()


class Cluster:
    """Sequencers that can be stopped and started again from their disks."""

    def __init__(self, world: World, links: SimulatedWorld, nursery: trio.Nursery) -> None:
        self.world = world
        self.links = links
        self.nursery = nursery
        self.nodes: dict[int, Sequencer] = {}
        self._participants: dict[int, Participant] = {}

    def peer(self, index: int) -> PeerId:
        return peer_id_of_xonly(self.world.stakes[index].public().peer)

    def start(self, index: int) -> Sequencer:
        home = self.world.directory / "sequencers" / str(index)
        if index in self._participants:
            self._participants[index].restart()
        else:
            create_stake(home, self.world.keystores[index], 0)
            self._participants[index] = self.world.participant(f"node {index}")
        signer = OperatorSigner(home, self.world.keystores[index], lambda _: None)
        network = self.links.join(self.peer(index))
        members = [self.peer(number) for number in range(len(self.world.stakes))]
        node = Sequencer(self._participants[index], index, signer, network, members)
        self.nodes[index] = node
        self.nursery.start_soon(node.run)
        return node

    async def stop(self, index: int) -> None:
        node = self.nodes.pop(index)
        self.links.crash(self.peer(index))
        node.scope.cancel()
        await node.stopped.wait()

    async def until(self, holds: Callable[[], bool], mine: bool = True) -> None:
        """Wait; Bitcoin gives a block every two seconds."""
        with trio.fail_after(PATIENCE_S):
            while not holds():
                if mine:
                    self.world.mine()
                await trio.sleep(2)

    def check_agreement(self) -> None:
        """Every final block is the same wherever it is final."""
        chains = [node.one.chain.store for node in self.nodes.values()]
        lowest = min(node.height for node in self.nodes.values())
        for height in range(lowest + 1):
            found = {chain.digest_at(height) for chain in chains}  # type: ignore[arg-type]
            assert len(found) == 1, height
        assert all(node.service.halted is None for node in self.nodes.values())


def is_above(node: Sequencer, height: int) -> bool:
    return node.height >= height


@asynccontextmanager
async def open_cluster(world: World, indices: range | list[int]) -> AsyncIterator[Cluster]:
    async with open_simulated_world(seed=7) as links, trio.open_nursery() as nursery:
        cluster = Cluster(world, links, nursery)
        for index in indices:
            cluster.start(index)
        yield cluster
        nursery.cancel_scope.cancel()


async def test_four_nodes_finalise_epochs(world: World, autojump_clock: MockClock) -> None:
    async with open_cluster(world, range(4)) as cluster:
        await cluster.until(lambda: all(n.height >= 14 for n in cluster.nodes.values()))
        cluster.check_agreement()
        epochs = {node.one.final.epoch for node in cluster.nodes.values()}
        assert min(epochs) >= 2
        assert not any(node.evidence for node in cluster.nodes.values())
        for node in cluster.nodes.values():
            assert len(node.service._bodies) < 8


async def test_one_silent_node_is_no_obstacle_and_catches_up(
    world: World, autojump_clock: MockClock
) -> None:
    async with open_cluster(world, range(3)) as cluster:
        await cluster.until(lambda: all(n.one.final.epoch >= 2 for n in cluster.nodes.values()))
        late = cluster.start(3)
        await cluster.until(lambda: late.height >= cluster.nodes[0].height - 1)
        cluster.check_agreement()
        await cluster.stop(0)  # now the late one is needed
        height = late.height
        await cluster.until(lambda: late.height >= height + 4)
        cluster.check_agreement()


async def test_a_node_restarts_from_its_disk(world: World, autojump_clock: MockClock) -> None:
    async with open_cluster(world, range(4)) as cluster:
        await cluster.until(lambda: all(n.height >= 4 for n in cluster.nodes.values()))
        for index in (0, 3):
            height = cluster.nodes[index].height
            await cluster.stop(index)
            again = cluster.start(index)
            assert again.height >= height - 1  # the write that was cancelled may be missing
            await cluster.until(partial(is_above, again, height + 3))
        cluster.check_agreement()
        assert not any(node.evidence for node in cluster.nodes.values())


async def test_a_tip_that_came_from_a_peer_brings_its_finality_along(
    world: World, autojump_clock: MockClock
) -> None:
    """Consensus has written nothing about it: the node leads and answers from it all the same."""
    async with open_cluster(world, range(4)) as cluster:
        node = cluster.nodes[0]
        await cluster.until(lambda: node.height >= 4 and _is_inside_its_epoch(node), mine=True)
        node.one.chain.store.forget_records(Epoch(node.one.final.epoch + 1))
        await node.service.restart()
        assert node.service.core is not None
        finality = node.service.core.best_finality()
        assert finality is not None
        assert finality.statement.block == node.one.final.digest
        await cluster.until(partial(is_above, node, node.height + 3))
        cluster.check_agreement()


def _is_inside_its_epoch(node: Sequencer) -> bool:
    final = node.one.final
    return final.header.epoch == final.epoch and final.digest == node.one.chain.durable.digest


async def test_garbage_and_forgeries_change_nothing(
    world: World, autojump_clock: MockClock, seed: int
) -> None:
    draw = random.Random(seed)
    async with open_cluster(world, range(4)) as cluster:
        hostile = cluster.links.join(peer_id_of_xonly(world.genesis.vault.txid))
        seen: list[bytes] = []
        inner = cluster.nodes[0].network.broadcast

        def overheard(channel: Channel, payload: bytes) -> int:
            seen.append(payload)
            return inner(channel, payload)

        cluster.nodes[0].network.broadcast = overheard  # type: ignore[method-assign]
        for _ in range(12):
            world.mine()
            await trio.sleep(1)
            for payload in seen[-6:]:
                for forged in forgeries(draw, payload):
                    for index in range(4):
                        hostile.send(cluster.peer(index), Channel.CONSENSUS, forged)
        heights = {node.height for node in cluster.nodes.values()}
        assert min(heights) > 5
        cluster.check_agreement()
        assert not any(node.evidence for node in cluster.nodes.values())
        assert any(
            status.score > 0 or status.banned_for_s > 0
            for node in cluster.nodes.values()
            for status in node.network.peers()
            if status.peer == hostile.local_peer
        )


def forgeries(draw: random.Random, payload: bytes) -> Iterator[bytes]:
    """Cut, lengthened and flipped frames; frames whose signatures are another's."""
    yield payload[: draw.randrange(len(payload))]
    yield payload + b"\x00"
    flipped = bytearray(payload)
    flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
    yield bytes(flipped)
    try:
        frame = decode_frame(payload)
    except RemoteError:
        return
    wrong = Signature(bytes(64))
    if isinstance(frame, VotesFrame):
        yield VotesFrame(tuple(v._replace(signature=wrong) for v in frame.votes)).encode()
        yield VotesFrame(tuple(v._replace(signer=(v.signer + 1) % 4) for v in frame.votes)).encode()
    elif isinstance(frame, CertificatesFrame):
        changed = tuple(c._replace(signatures=(wrong,) * 3) for c in frame.certificates)
        if all(len(c.signers) == 3 for c in frame.certificates):
            yield CertificatesFrame(frame.epoch, changed).encode()
    elif isinstance(frame, ProposalFrame):
        yield ProposalFrame(frame.proposal, wrong, frame.certificates, frame.block).encode()
