"""The door for frames of peers: what is about the next epoch waits for it, within bounds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2p_seq.chain.chain import Chain
from p2p_seq.consensus.bodies import Bodies
from p2p_seq.consensus.core import Simplex
from p2p_seq.consensus.intake import HELD_BYTES_MAX, HELD_FRAMES_MAX, Intake
from p2p_seq.consensus.messages import CertificatesFrame, VotesFrame
from p2p_seq.consensus.peers import PeerNumbers
from p2p_seq.consensus.schedule import LeaderSchedule
from p2p_seq.consensus.types import CertificatesReceived, Input, Instance, VotesReceived
from p2p_seq.network.identity import peer_id_of_xonly
from p2p_seq.network.sim import SimulatedNetwork, open_simulated_world
from p2p_seq.network.types import PeerId
from p2p_seq.protocol.types import Epoch, View
from p2p_seq.protocol.votes import Vote, VoteStatement, nullify
from p2p_seq.signer import schnorr
from p2p_seq.signer.signer import OperatorSigner, create_stake
from tests.support.networks import NetworkTemplate, World, found_network


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> NetworkTemplate:
    return found_network(tmp_path_factory.mktemp("founded"))


@pytest.fixture
def world(template: NetworkTemplate, tmp_path: Path) -> Iterator[World]:
    with template.open(tmp_path) as opened:
        yield opened


class Host:
    """Runs whatever instance it is given, and notes what the core would be fed."""

    def __init__(self, chain: Chain, peers: list[PeerId]) -> None:
        self._chain = chain
        self.core: Simplex | None = None
        self.peers: PeerNumbers[PeerId] = PeerNumbers(peers)
        self.fed: list[Input] = []

    def start(self, epoch: int) -> None:
        final = self._chain.final
        schedule = LeaderSchedule(final.members, final.digest)
        self.core = Simplex(Instance(Epoch(epoch), final.members, schedule, final.digest, None))

    def feed(self, event: Input) -> None:
        self.fed.append(event)

    def update_work(self) -> None:
        return


class Door:
    """One node's intake, and members and a stranger that speak to it."""

    def __init__(self, world: World, network: SimulatedNetwork, others: list[SimulatedNetwork]):
        self.world = world
        self.network = network
        self.others = others
        chain = world.participant().chain
        home = world.directory / "sequencer"
        create_stake(home, world.keystores[0], 0)
        self.signer = OperatorSigner(home, world.keystores[0], lambda _: None)
        self.host = Host(chain, [one.local_peer for one in others[:4]])
        self.intake = Intake(chain, network, self.signer, Bodies(chain, network), self.host)
        self.members = chain.final.members

    def vote(self, signer: int, epoch: int, view: int = 1) -> Vote:
        network, chain_id = self.world.params.network, self.world.genesis.chain_id
        statement: VoteStatement = nullify(Epoch(epoch), View(view))
        message = statement.message(network, chain_id, self.members.digest(network))
        secret = self.world.secrets[self.members.key(signer)]
        return Vote(statement, signer, schnorr.sign(secret, message))

    def say(self, sender: int, frame: VotesFrame | CertificatesFrame) -> None:
        """As `read` takes a frame that arrives."""
        peer, encoded = self.others[sender].local_peer, frame.encode()
        self.intake._hold_if_early(peer, frame, len(encoded))
        self.intake._take(peer, frame)


async def play(world: World, act: Callable[[Door], None]) -> None:
    async with open_simulated_world(seed=3) as links:
        peers = [peer_id_of_xonly(stake.public().peer) for stake in world.stakes]
        others = [links.join(peer) for peer in peers]
        others.append(links.join(peer_id_of_xonly(world.genesis.vault.txid)))
        own = links.join(peer_id_of_xonly(world.genesis.chain_id))
        door = Door(world, own, others)
        try:
            act(door)
        finally:
            door.signer.close()


async def test_votes_about_the_next_epoch_are_taken_when_it_starts(world: World) -> None:
    def act(door: Door) -> None:
        door.host.start(4)
        early, later = door.vote(1, 5), door.vote(2, 6)
        door.say(1, VotesFrame((early,)))
        door.say(2, VotesFrame((later,)))
        assert door.host.fed == []
        door.host.start(5)
        door.intake.take_held()
        assert door.host.fed == [VotesReceived(1, (early,))]
        door.host.fed.clear()
        door.intake.take_held()
        assert door.host.fed == [], "once"

    await play(world, act)


async def test_certificates_about_the_next_epoch_are_taken_when_it_starts(world: World) -> None:
    def act(door: Door) -> None:
        door.host.start(4)
        statement = nullify(Epoch(5), View(1))
        certificate = door.world.certificate(door.host._chain.final, statement)
        door.say(3, CertificatesFrame(Epoch(5), (certificate,)))
        door.host.start(5)
        door.intake.take_held()
        assert door.host.fed == [CertificatesReceived(3, (certificate,))]

    await play(world, act)


async def test_a_member_is_held_up_to_the_limit_and_a_stranger_not_at_all(world: World) -> None:
    def act(door: Door) -> None:
        door.host.start(4)
        for view in range(1, HELD_FRAMES_MAX + 2):
            door.say(1, VotesFrame((door.vote(1, 5, view),)))
        door.say(4, VotesFrame((door.vote(2, 5),)))
        door.host.start(5)
        door.intake.take_held()
        views = [
            vote.statement.view
            for event in door.host.fed
            if isinstance(event, VotesReceived)
            for vote in event.votes
        ]
        assert views == list(range(1, HELD_FRAMES_MAX + 1))

    await play(world, act)


async def test_a_member_is_held_up_to_the_limit_of_bytes(world: World) -> None:
    def act(door: Door) -> None:
        door.host.start(4)
        frame = VotesFrame((door.vote(1, 5),))
        peer = door.others[1].local_peer
        door.intake._hold_if_early(peer, frame, HELD_BYTES_MAX - 10)
        door.intake._hold_if_early(peer, VotesFrame((door.vote(1, 5, 2),)), 11)
        door.intake._hold_if_early(peer, VotesFrame((door.vote(1, 5, 3),)), 10)
        door.host.start(5)
        door.intake.take_held()
        views = [e.votes[0].statement.view for e in door.host.fed if isinstance(e, VotesReceived)]
        assert views == [1, 3]

    await play(world, act)


async def test_a_forged_vote_about_the_next_epoch_is_found_when_it_is_taken(world: World) -> None:
    def act(door: Door) -> None:
        door.host.start(4)
        forged = door.vote(1, 5)._replace(signer=2)
        door.say(1, VotesFrame((forged,)))
        door.host.start(5)
        door.intake.take_held()
        assert door.host.fed == []

    await play(world, act)
