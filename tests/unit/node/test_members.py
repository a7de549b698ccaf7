"""What peers say about addresses is a hint that cannot do harm."""

import coincurve

from p2p_seq.network.identity import peer_id_of, xonly_of
from p2p_seq.network.sim import SimulatedNetwork, open_simulated_world
from p2p_seq.network.types import PeerId, RequestProtocol
from p2p_seq.node.members import ADDRESSES_PER_PEER_MAX, MemberDirectory
from p2p_seq.protocol.codec import Reader, Writer
from tests.support.keys import secret


def name(of: str) -> PeerId:
    return peer_id_of(coincurve.PublicKey.from_secret(secret(of)).format())


MEMBER = name("member")
GOOD = f"/ip4/10.0.0.1/tcp/4001/p2p/{MEMBER}"


class Recorder:
    """Keeps what the directory tells the network."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self.members: dict[PeerId, tuple[str, ...]] = {}
        inner = network.set_members

        async def record(members: dict[PeerId, tuple[str, ...]]) -> None:
            self.members = dict(members)
            await inner(members)

        network.set_members = record  # type: ignore[method-assign, assignment]


async def told_by_a_liar(lies: list[bytes]) -> tuple[dict[PeerId, tuple[str, ...]], list[str]]:
    """The member addresses after a liar's answer, and what the node then tells others."""
    async with open_simulated_world(seed=1) as world:
        network, liar = world.join(name("own")), world.join(name("liar"))
        recorder = Recorder(network)
        writer = Writer()
        writer.sequence(lies, 256, lambda w, lie: w.var_bytes(lie, 256))

        async def lie(_: PeerId, __: bytes) -> bytes:
            return writer.bytes()

        liar.serve(RequestProtocol.STATUS, lie)
        directory = MemberDirectory(network, [GOOD], lambda: [xonly_of(MEMBER)])
        world.nursery.start_soon(directory.run)
        shown: tuple[bytes, ...] = ()
        for _ in range(3):
            directory.refresh()
            answer = await liar.request(name("own"), RequestProtocol.STATUS, b"", 1.0)
            reader = Reader(answer)
            shown = reader.sequence(256, lambda r: r.var_bytes(256))
        return recorder.members, [item.decode("ascii") for item in shown]


async def test_garbage_does_not_keep_members_from_being_set() -> None:
    lies = [
        b"garbage/p2p/" + MEMBER.encode(),
        b"\xff\xfe/p2p/" + MEMBER.encode(),
        b"/dns/\xc3\xa9/tcp/1/p2p/" + MEMBER.encode(),
        b"/ip4/10.0.0.1/tcp/99999/p2p/" + MEMBER.encode(),
    ]
    members, shown = await told_by_a_liar(lies)
    assert members == {MEMBER: (GOOD,)}
    assert GOOD in shown


async def test_lies_do_not_displace_the_operators_addresses() -> None:
    lies = [f"/ip4/10.6.6.6/tcp/{port}/p2p/{MEMBER}".encode() for port in range(1, 30)]
    members, _ = await told_by_a_liar(lies)
    assert members[MEMBER][0] == GOOD
    assert len(members[MEMBER]) == 1 + ADDRESSES_PER_PEER_MAX


async def test_addresses_of_strangers_are_not_kept() -> None:
    members, shown = await told_by_a_liar([f"/ip4/10.0.0.9/tcp/1/p2p/{name('x')}".encode()])
    assert members == {MEMBER: (GOOD,)}
    assert len(shown) == 2
