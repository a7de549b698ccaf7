"""Catching up from peers that may lie: nothing is believed, everything is re-executed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_seq.network.identity import peer_id_of_xonly
from p2p_seq.network.sim import SimulatedWorld, open_simulated_world
from p2p_seq.network.types import PeerId, RequestProtocol
from p2p_seq.node.sync import SyncService, decode_range, encode_range
from p2p_seq.protocol.types import Hash32, Signature, View
from p2p_seq.protocol.votes import Certificate
from tests.support.keys import key
from tests.support.networks import NetworkTemplate, Participant, World, found_network


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> NetworkTemplate:
    return found_network(tmp_path_factory.mktemp("founded"))


@pytest.fixture
def world(template: NetworkTemplate, tmp_path: Path) -> Iterator[World]:
    with template.open(tmp_path) as opened:
        yield opened


def peer(name: str) -> PeerId:
    return peer_id_of_xonly(key(name))


async def with_history(world: World, epochs: int = 3) -> Participant:
    one = world.participant("one")
    await one.follow()
    for _ in range(epochs):
        await one.seal_epoch()
    await one.extend()
    return one


def syncing(links: SimulatedWorld, one: Participant, name: str) -> SyncService:
    service = SyncService(one.chain, links.join(peer(name)), lambda _: None)
    service.serve()
    return service


async def test_an_empty_node_catches_up_over_epochs(world: World) -> None:
    one, new = await with_history(world), world.participant("new")
    await new.follow()
    async with open_simulated_world(seed=1) as links:
        syncing(links, one, "server")
        client = syncing(links, new, "client")
        assert await client.catch_up()
        assert new.final.digest == one.final.digest
        assert new.final.state_root == one.final.state_root
        assert not await client.catch_up()
        new.restart()
        assert new.final.state_root == one.final.state_root


LIES = [
    "signature",
    "view",
    "other-certificate",
    "other-epoch",
    "broken-link",
    "cut",
    "no-certificate",
    "garbage",
]


def lie(kind: str, blocks: list[bytes], certificate: bytes, later: tuple[bytes, ...]) -> bytes:
    honest = Certificate.decode(certificate)
    match kind:
        case "signature":
            wrong = honest._replace(signatures=(Signature(bytes(64)),) * len(honest.signers))
            return encode_range(blocks, wrong.encode())
        case "view":
            statement = honest.statement._replace(view=View(honest.statement.view + 1))
            return encode_range(blocks, honest._replace(statement=statement).encode())
        case "other-certificate":
            statement = honest.statement._replace(block=Hash32(b"\x01" * 32))
            return encode_range(blocks, honest._replace(statement=statement).encode())
        case "other-epoch":
            return encode_range([*blocks, *later], certificate)
        case "broken-link":
            return encode_range(blocks[1:], certificate)
        case "cut":
            return encode_range(blocks[:-1], certificate)
        case "no-certificate":
            return encode_range(blocks, None)
        case _:
            return b"\xff" * 40


@pytest.mark.parametrize("kind", LIES)
async def test_a_liar_changes_nothing_and_is_penalised(world: World, kind: str) -> None:
    one, new = await with_history(world, 2), world.participant("new")
    await new.follow()
    first = new.final.header.height + 1
    blocks, certificate = one.chain.store.final_range(first, 256, 1 << 21)  # type: ignore[arg-type]
    assert certificate is not None
    later, _ = one.chain.store.final_range(first + len(blocks), 1, 1)  # type: ignore[arg-type]
    answer = lie(kind, blocks, certificate, tuple(later))
    assert decode_range(encode_range(blocks, certificate)) == (tuple(blocks), certificate)
    async with open_simulated_world(seed=1) as links:
        liar = links.join(peer("liar"))

        async def serve(_: PeerId, __: bytes) -> bytes:
            return answer

        liar.serve(RequestProtocol.BLOCKS, serve)
        network = links.join(peer("client"))
        client = SyncService(new.chain, network, lambda _: None)
        before = new.final.digest
        assert not await client.catch_up()
        assert new.final.digest == before
        assert client.halted is None
        (status,) = [item for item in network.peers() if item.peer == liar.local_peer]
        assert status.score > 0
        links.crash(liar.local_peer)
        syncing(links, one, "server")
        assert await client.catch_up()
        assert new.final.digest == one.final.digest
