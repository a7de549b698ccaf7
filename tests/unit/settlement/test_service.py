"""Shares of a settlement: signed once, believed never, assembled by whoever has enough."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2p_seq.network.identity import peer_id_of_xonly
from p2p_seq.network.sim import SimulatedNetwork, SimulatedWorld, open_simulated_world
from p2p_seq.network.types import Channel, PeerId, RequestProtocol
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.types import Epoch, Hash32, Height, Signature, XOnlyKey
from p2p_seq.settlement.bridge import BridgeState
from p2p_seq.settlement.service import SHARES_MAX, SettlementService, Share, due_versions
from p2p_seq.signer import schnorr
from tests.support.keys import key
from tests.support.networks import NetworkTemplate, Participant, World, found_network


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> NetworkTemplate:
    return found_network(tmp_path_factory.mktemp("founded"))


@pytest.fixture
def world(template: NetworkTemplate, tmp_path: Path) -> Iterator[World]:
    with template.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0.002)


class OneKey:
    """A signer with the vault key of one founder; counts what it signs."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.key = schnorr.public_key(secret)
        self.signed: list[tuple[Hash32, ...]] = []

    def vault_keys(self) -> frozenset[XOnlyKey]:
        return frozenset({self.key})

    def sign_vault(self, key: XOnlyKey, messages: list[Hash32]) -> tuple[Signature, ...]:
        assert key == self.key
        self.signed.append(tuple(messages))
        return tuple(schnorr.sign(self._secret, message) for message in messages)


class Peg:
    """The finalised tip of one participant."""

    def __init__(self, one: Participant) -> None:
        self.one = one

    @property
    def bridge(self) -> BridgeState:
        return self.one.final.bridge

    @property
    def origin_height(self) -> Height:
        return self.one.final.header.origin.height

    def origin_is_orphaned(self) -> bool:
        return self.one.chain.is_orphaned(self.one.final.header.origin)


class Members:
    """Settlement services of some members over one chain, each with a network of its own."""

    def __init__(self, world: World, one: Participant, links: SimulatedWorld) -> None:
        self.world = world
        self.one = one
        self.links = links
        self.signers: dict[int, OneKey] = {}
        self.services: dict[int, SettlementService] = {}
        self.networks: dict[int, SimulatedNetwork] = {}

    def peer(self, index: int) -> PeerId:
        return peer_id_of_xonly(self.world.stakes[index].public().peer)

    async def start(self, index: int) -> SettlementService:
        network = self.links.join(self.peer(index))
        await network.set_members({self.peer(n): () for n in range(4) if n != index})
        signer = OneKey(self.world.stakes[index].vault)
        store = self.world.participant(f"member {index}").chain.store
        service = SettlementService(
            Peg(self.one),
            self.world.params,
            store,
            network,
            signer,
            self.world.source,
            self.one.watcher,
        )
        self.signers[index], self.services[index] = signer, service
        self.networks[index] = network
        self.links.nursery.start_soon(service.run)
        return service


@asynccontextmanager
async def open_members(world: World, indices: list[int]) -> AsyncIterator[Members]:
    one = world.participant()
    await one.follow()
    await one.seal_epoch()
    assert one.final.bridge.in_flight is not None
    async with open_simulated_world(seed=3) as links:
        members = Members(world, one, links)
        for index in indices:
            await members.start(index)
        yield members


def in_mempool(members: Members, version: int = 0) -> bool:
    settlement = members.one.final.bridge.versions(members.world.params)[version]
    return settlement.txid in members.world.node.mempool.entries


async def until_sent(members: Members, version: int = 0) -> None:
    with trio.fail_after(60):
        while not in_mempool(members, version):  # noqa: ASYNC110 - the mempool has no event
            await trio.sleep(0.1)


def share_of(members: Members, index: int, version: int = 0) -> Share:
    """A member's own share, made beside its service."""
    settlement = members.one.final.bridge.versions(members.world.params)[version]
    stake = members.world.stakes[index]
    public = schnorr.public_key(stake.vault)
    messages = settlement.messages()
    signatures = tuple(
        schnorr.sign(stake.vault, messages[at]) for at in settlement.inputs_of(public)
    )
    return Share(settlement.plan.last_epoch, version, public, signatures)


async def test_three_of_four_settle(world: World, autojump_clock: MockClock) -> None:
    async with open_members(world, [0, 1, 2]) as members:
        await until_sent(members)
        assert all(len(signer.signed) == 1 for signer in members.signers.values())


async def test_two_of_four_do_not_and_a_third_that_comes_late_pulls(
    world: World, autojump_clock: MockClock
) -> None:
    async with open_members(world, [0, 1]) as members:
        await trio.sleep(20)
        assert not in_mempool(members)
        await members.start(3)
        await until_sent(members)


async def test_shares_survive_heavy_loss(world: World, autojump_clock: MockClock) -> None:
    async with open_members(world, [0, 1, 2, 3]) as members:
        members.links.conditions.loss = 0.5
        await until_sent(members)


async def test_forged_shares_are_refused_and_penalised(
    world: World, autojump_clock: MockClock
) -> None:
    async with open_members(world, [0, 1]) as members:
        liar = members.links.join(members.peer(3))
        await liar.set_members({members.peer(0): ()})
        good = share_of(members, 2)
        wrong = Signature(bytes(64))
        service = members.services[0]
        for forged in (
            replace(good, signatures=(wrong,)),
            replace(good, signatures=()),
            replace(good, signatures=good.signatures * 2),
            replace(good, key=key("stranger")),
            replace(good, version=1),  # signed for version 0
        ):
            before = members.networks[0].counters().get("penalty", 0)
            liar.send(members.peer(0), Channel.SETTLEMENT, forged.encode())
            liar.send(members.peer(0), Channel.SETTLEMENT, forged.encode()[:-1])
            await trio.sleep(1)
            assert members.networks[0].counters().get("penalty", 0) >= before
            assert (forged.version, forged.key) not in service._shares
        for other in (replace(good, epoch=Epoch(9)), replace(good, version=32)):
            liar.send(members.peer(0), Channel.SETTLEMENT, other.encode())
        await trio.sleep(1)
        assert not in_mempool(members)
        (status,) = [s for s in members.networks[0].peers() if s.peer == liar.local_peer]
        assert status.score > 0 or status.banned_for_s > 0
        good_peer = members.links.join(members.peer(2))
        await good_peer.set_members({members.peer(0): ()})
        for _ in range(3):  # the same share again is nothing new
            good_peer.send(members.peer(0), Channel.SETTLEMENT, good.encode())
        await until_sent(members)


async def test_a_lying_answer_to_a_pull_changes_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    async with open_members(world, [0, 1]) as members:
        liar = members.links.join(members.peer(3))
        good = share_of(members, 2)
        answers = [
            b"\xff" * 9,
            Writer().u32(SHARES_MAX + 1).bytes(),
            Writer().u32(1).bytes() + replace(good, signatures=(Signature(bytes(64)),)).encode(),
        ]

        async def lie(_: PeerId, __: bytes) -> bytes:
            return answers[0] if len(answers) == 1 else answers.pop(0)

        liar.serve(RequestProtocol.SETTLEMENT, lie)
        await trio.sleep(20)
        assert not in_mempool(members)
        answers[:] = [Writer().u32(1).bytes() + good.encode()]
        await until_sent(members)


async def test_later_versions_wait_for_their_height_and_replace_the_first(
    world: World, autojump_clock: MockClock
) -> None:
    async with open_members(world, [0, 1, 2]) as members:
        one = members.one
        flight = one.final.bridge.in_flight
        assert flight is not None
        for passed, count in ((0, 1), (2, 1), (3, 2), (8, 3), (10_000, 33)):
            height = Height(flight.border + passed)
            versions = due_versions(one.final.bridge, world.params, height)
            assert len(versions) == min(count, flight.plan.maximum_version + 1)
        await until_sent(members)
        node = world.node
        stuck = one.final.bridge.versions(world.params)[0].txid
        # A miner that leaves the settlement out: empty blocks only.
        for _ in range(world.params.burial_depth + 4):
            node.reorg(1, True, b"\x51")
        await one.catch_up_with_bitcoin()
        assert 6 <= one.final.header.origin.height - flight.border < 9
        for service in members.services.values():
            service.finalised()
        await until_sent(members, version=2)
        assert stuck not in node.mempool.entries


async def test_a_signer_that_died_before_storing_signs_the_same_again(
    world: World, autojump_clock: MockClock
) -> None:
    async with open_members(world, [0]) as members:
        await trio.sleep(1)
        (first,) = members.signers[0].signed
        store = members.services[0]._store
        kept = [Share.decode(encoded) for _, _, encoded in store.shares(Epoch(0))]
        assert [share.key for share in kept] == [members.signers[0].key]
        again = OneKey(world.stakes[0].vault)
        members.links.crash(members.peer(0))
        network = members.links.join(members.peer(0))
        service = SettlementService(
            Peg(members.one),
            world.params,
            members.one.chain.store,  # a store without the share: it was never written
            network,
            again,
            world.source,
            members.one.watcher,
        )
        members.links.nursery.start_soon(service.run)
        await trio.sleep(1)
        assert again.signed == [first]


async def test_nothing_is_signed_on_an_orphaned_origin(
    world: World, autojump_clock: MockClock
) -> None:
    async with open_members(world, []) as members:
        world.reorg(world.params.burial_depth + 4)
        await members.one.follow()
        await members.start(0)
        await trio.sleep(20)
        assert members.signers[0].signed == []


def test_a_share_has_one_spelling() -> None:
    share = Share(Epoch(1), 2, key("v"), (Signature(bytes(64)),))
    encoded = share.encode()
    assert Share.decode(encoded) == share
    for length in range(len(encoded)):
        with pytest.raises(RemoteError):
            Share.decode(encoded[:length])
    with pytest.raises(RemoteError, match="trailing-bytes"):
        Share.decode(encoded + b"\x00")
    assert Reader(encoded).u64() == 1
