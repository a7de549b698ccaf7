"""Ceremonies between real services over a real Bitcoin engine; the ledger is a shared list.

The network is simulated and loses nothing; blocks are made by hand. What stands in for consensus
takes candidates from the services and checks them as a voter does.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from p2p_seq.bitcoin.coins import find_coins
from p2p_seq.bitcoin.rpc import BitcoinRpc
from p2p_seq.bitcoin.scan import L1Block, WatchKind
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.bitcoin.watcher import Watcher
from p2p_seq.network.identity import peer_id_of_xonly
from p2p_seq.network.sim import SimulatedNetwork, SimulatedWorld, open_simulated_world
from p2p_seq.network.types import Channel, PeerId
from p2p_seq.protocol.genesis import Genesis
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.stakes import StakeRecord
from p2p_seq.protocol.types import Epoch, Height, Sats, SatsPerKvb, XOnlyKey
from p2p_seq.signer.cosigner import Cosigner
from p2p_seq.signer.keystore import create_keystore
from p2p_seq.signer.schnorr import public_key
from p2p_seq.signer.signer import OperatorSigner
from p2p_seq.staking.ceremony import Admission, RenewalPolicy
from p2p_seq.staking.messages import CosignRequest, decode_request
from p2p_seq.staking.registration import check_record
from p2p_seq.staking.registry import Registry, founding_set
from p2p_seq.staking.service import StakingParts, StakingService, StakingSettings
from p2p_seq.storage.cosign_store import CosignStore
from p2p_seq.storage.stake_backups import StakeBackups
from p2p_seq.storage.store import Store
from testnet.ceremony import Faucet, Founder, hold_ceremony
from tests.support.bitcoind import start_embedded
from tests.support.keys import secret
from tests.support.staking_networks import short_params

BOND = Sats(1_000_000_000)
PARAMS = short_params(blocks_per_epoch=5, stake_epochs=10, challenge_window=4, window_margin=2)
WAIT_S = 20
EPOCH_ZERO = Epoch(0)
SAME = Sats(0)
"""The next bond is as large as the present one."""


class PowerCut(Exception):
    """A process ends at a persist point."""


@dataclass
class Ledger:
    """What all nodes have finalised."""

    genesis: Genesis
    registry: Registry
    epoch: Epoch = EPOCH_ZERO

    def admission(self) -> Admission:
        return Admission(
            self.genesis.draft, self.registry, self.epoch, (founding_set(self.genesis),)
        )

    def stake_feerate(self) -> SatsPerKvb:
        return SatsPerKvb(3_000)

    def record(self, record: StakeRecord) -> None:
        """Vote for a block with the record, as `Chain` does."""
        self.admission().check_record(record)
        check_record(record, self.genesis.draft)
        self.registry = self.registry.with_record(record)


@dataclass
class Node:
    """One sequencer's staking room and what it stands on."""

    home: Path
    signer: OperatorSigner
    store: Store
    watcher: Watcher
    network: SimulatedNetwork
    bitcoin: BitcoinRpc
    ledger: Ledger
    crash_at: str | None = None
    crashed: trio.Event = field(default_factory=trio.Event)
    service: StakingService | None = None

    def _crash_point(self, point: str) -> None:
        if point == self.crash_at:
            raise PowerCut(point)

    def make(self, bond: Sats = SAME, *, is_automatic: bool = True) -> StakingService:
        parts = StakingParts(
            self.network,
            self.signer,
            Cosigner("regtest", self.signer, CosignStore(self.store), self._crash_point),
            self.bitcoin,
            self.watcher,
            StakeBackups(self.home),
            self._crash_point,
        )
        settings = StakingSettings(RenewalPolicy(is_automatic, 5), bond)
        self.service = StakingService(self.ledger, parts, settings, lambda: None)
        return self.service

    async def run(self) -> None:
        """Until the nursery is cancelled, or the power is cut."""
        assert self.service is not None
        try:
            await self.service.run()
        except* PowerCut:
            self.crashed.set()

    def stakes_made(self) -> list[int]:
        return [backup.number for backup in StakeBackups(self.home).read_all()]


class Stage:
    """Founders on one Bitcoin, with the means to let time pass."""

    def __init__(self, faucet: Faucet, bitcoin: BitcoinRpc, genesis: Genesis) -> None:
        self.faucet = faucet
        self.bitcoin = bitcoin
        self.genesis = genesis
        self.ledger = Ledger(genesis, Registry.of_genesis(genesis))
        self.nodes: list[Node] = []

    @property
    def params(self) -> Params:
        return self.genesis.params

    def blocks(self) -> list[L1Block]:
        watcher = self.nodes[0].watcher
        found = [watcher.block(Height(h)) for h in range(watcher.start, watcher.tip_height + 1)]
        return [block for block in found if block is not None]

    async def mine_to(self, height: int) -> None:
        """Mine up to an epoch's blocks at a time, seen by everybody; take what candidates wait."""
        while (tip := int(await self.bitcoin.call("getblockcount"))) < height:
            count = min(self.params.blocks_per_epoch, height - tip)
            await self.faucet.mine(count)
            for node in self.nodes:
                while node.watcher.tip_height < tip + count:
                    await node.watcher.wait_changed()
            anchor = self.genesis.draft.anchor_height
            origin = Height(tip + count - self.params.burial_depth)
            self.ledger.epoch = self.params.epoch_of_height(anchor, origin)
            self.take_candidates()

    def take_candidates(self) -> None:
        for node in self.nodes:
            record = None if node.service is None else node.service.candidate()
            if record is not None and record.consensus_key not in self.ledger.registry.records:
                self.ledger.record(record)
                for each in self.nodes:
                    if each.service is not None:
                        each.service.finalised()

    def start_of(self, epoch: int) -> Height:
        return self.params.epoch_start(self.genesis.draft.anchor_height, Epoch(epoch))

    def keys_of(self, node: Node) -> frozenset[XOnlyKey]:
        return self.ledger.admission().keys_of(node.signer.operator)


async def until(condition: Callable[[], bool]) -> None:
    """Polls: what is waited for is in other rooms, and has no event."""
    with trio.fail_after(WAIT_S):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)


@asynccontextmanager
async def open_stage(folder: Path, count: int) -> AsyncIterator[tuple[Stage, trio.Nursery]]:
    """Founders with a second bond in each wallet."""
    process = start_embedded(folder / "bitcoin")
    async with AsyncExitStack() as stack:
        stack.callback(process.stop)
        bitcoin = await stack.enter_async_context(process.client())
        faucet = Faucet(bitcoin, secret("faucet"))
        founders = []
        for number in range(count):
            home = folder / f"home-{number}"
            home.mkdir()
            founders.append(Founder(home, create_keystore(home / "keystore", "regtest", None)))
        signed = await hold_ceremony(bitcoin, faucet, PARAMS, founders, BOND, Sats(10_000_000))
        stage = Stage(faucet, bitcoin, signed.genesis)
        wallets = [key_path_script(public_key(f.keystore.wallet_secret)) for f in founders]
        await faucet.pay([TxOut(BOND + 100_000, script) for script in wallets])
        world = await stack.enter_async_context(open_simulated_world(1))
        async with trio.open_nursery() as nursery:
            for founder in founders:
                node = _node(stage, world, founder)
                stack.callback(node.store.close)
                stack.callback(node.signer.close)
                nursery.start_soon(node.watcher.run)
                stage.nodes.append(node)
            members = {node.network.local_peer: () for node in stage.nodes}
            for node in stage.nodes:
                await node.network.set_members(members)
            await stage.mine_to(signed.genesis.draft.anchor_height + 2)
            yield stage, nursery
            nursery.cancel_scope.cancel()


def _node(stage: Stage, world: SimulatedWorld, founder: Founder) -> Node:
    genesis = stage.genesis
    store = Store.open(founder.home / "chain")
    signer = OperatorSigner(founder.home, founder.keystore, lambda _: None)
    watched = {}
    for record in genesis.founders:
        watched[record.bond] = WatchKind.BOND
        watched[record.connector] = WatchKind.CONNECTOR
    watcher = Watcher(stage.bitcoin, store, "regtest", Height(100), watched)
    network = world.join(peer_id_of_xonly(public_key(signer.peer_secret)))
    return Node(founder.home, signer, store, watcher, network, stage.bitcoin, stage.ledger)


async def test_four_operators_renew_serve_and_take_their_old_bonds_back(tmp_path: Path) -> None:
    async with open_stage(tmp_path, 4) as (stage, nursery):
        for node in stage.nodes:
            node.make()
            nursery.start_soon(node.run)
        # Stakes serve epochs 0 to 9 and are renewed within five epochs of the end.
        await stage.mine_to(stage.start_of(4) + stage.params.burial_depth - 1)
        assert all(not node.stakes_made() for node in stage.nodes)
        await stage.mine_to(stage.start_of(4) + stage.params.burial_depth)
        await until(lambda: all(node.stakes_made() == [1] for node in stage.nodes))
        await stage.mine_to(stage.start_of(4) + 5)
        await until(lambda: all(_has_candidates_done(stage, node) for node in stage.nodes))
        for node in stage.nodes:
            assert len(stage.keys_of(node)) == 2
        renewed = [stage.ledger.registry.records[_new_key(stage, n)] for n in stage.nodes]
        assert {(r.bundle.first_epoch, r.bundle.last_epoch) for r in renewed} == {(8, 17)}
        assert all(len(record.committee) == 3 for record in renewed)

        await stage.mine_to(stage.start_of(8))
        before = stage.ledger.registry.elect(stage.blocks(), Epoch(7))
        after = stage.ledger.registry.elect(stage.blocks(), Epoch(8))
        assert before is not None
        assert after is not None
        old = {record.consensus_key for record in stage.genesis.founders}
        assert {member.key for member in before.members.members} == old
        assert {m.key for m in after.members.members} == {r.consensus_key for r in renewed}

        expiry = stage.params.refund_height(stage.genesis.draft.anchor_height, Epoch(9))
        await stage.mine_to(expiry - 1)
        await trio.sleep(0.1)
        assert await stage.bitcoin.call("getrawmempool") == []
        await stage.mine_to(expiry)
        await _until_mempool_holds(stage, 4)
        await stage.mine_to(expiry + 2)
        for node in stage.nodes:
            script = key_path_script(public_key(node.signer.wallet_secret()))
            coins = await find_coins(stage.bitcoin, script)
            assert BOND < sum(coin.value for coin in coins) < BOND + 200_000
        for service in (node.service for node in stage.nodes):
            assert service is not None
            spent = [stake.on_bitcoin.spent is not None for stake in service.own_stakes()]
            assert spent == [True, False]
            assert service.problem is None


def _new_key(stage: Stage, node: Node) -> XOnlyKey:
    founding = {record.consensus_key for record in stage.genesis.founders}
    (key,) = stage.keys_of(node) - founding
    return key


def _has_candidates_done(stage: Stage, node: Node) -> bool:
    stage.take_candidates()
    return len(stage.keys_of(node)) == 2


async def _until_mempool_holds(stage: Stage, count: int) -> None:
    with trio.fail_after(WAIT_S):
        while len(await stage.bitcoin.call("getrawmempool")) < count:  # noqa: ASYNC110
            await trio.sleep(0.02)


async def _due(stage: Stage, nursery: trio.Nursery, joiner: Node) -> None:
    """Everybody serves; only `joiner` renews; its renewal is due."""
    for node in stage.nodes:
        if node is not joiner:
            node.make(is_automatic=False)
            nursery.start_soon(node.run)
    await stage.mine_to(stage.start_of(4) + stage.params.burial_depth)


async def test_a_crash_before_the_backup_leaves_nothing_on_bitcoin(tmp_path: Path) -> None:
    async with open_stage(tmp_path, 4) as (stage, nursery):
        joiner = stage.nodes[0]
        await _due(stage, nursery, joiner)
        joiner.crash_at = "stake-before-backup"
        joiner.make()
        nursery.start_soon(joiner.run)
        await until(joiner.crashed.is_set)
        assert joiner.stakes_made() == []
        assert await stage.bitcoin.call("getrawmempool") == []
        assert sorted(joiner.signer.stake_numbers()) == [0, 1]
        await _restart(stage, nursery, joiner)
        await until(lambda: joiner.stakes_made() == [1])
        # The keys of the stake that came to nothing are used, not two more.
        assert sorted(joiner.signer.stake_numbers()) == [0, 1]


async def test_a_crash_after_the_backup_resumes_the_same_stake(tmp_path: Path) -> None:
    async with open_stage(tmp_path, 4) as (stage, nursery):
        joiner = stage.nodes[0]
        await _due(stage, nursery, joiner)
        joiner.crash_at = "stake-after-backup"
        joiner.make()
        nursery.start_soon(joiner.run)
        await until(joiner.crashed.is_set)
        (backup,) = StakeBackups(joiner.home).read_all()
        assert await stage.bitcoin.call("getrawmempool") == []
        await _restart(stage, nursery, joiner)
        await _until_mempool_holds(stage, 1)
        await stage.mine_to(stage.nodes[0].watcher.tip_height + 1)
        await until(lambda: _has_candidates_done(stage, joiner))
        assert _new_key(stage, joiner) == backup.record.consensus_key
        assert joiner.stakes_made() == [1]


async def _restart(stage: Stage, nursery: trio.Nursery, node: Node) -> None:
    """The same home and network name, a new process: handlers are the new service's."""
    node.crash_at = None
    node.network._handlers.clear()
    node.make()
    nursery.start_soon(node.run)
    await trio.lowlevel.checkpoint()


async def test_a_member_that_does_not_sign_is_dropped(tmp_path: Path) -> None:
    async with open_stage(tmp_path, 7) as (stage, nursery):
        joiner = stage.nodes[0]
        await _due(stage, nursery, joiner)
        first = stage.ledger.admission().sets[0].members
        named = next(m.key for m in first if m.key not in stage.keys_of(joiner))
        silent = next(n for n in stage.nodes if named in stage.keys_of(n))
        asked = _refuse_to_sign(silent)
        joiner.make()
        nursery.start_soon(joiner.run)
        await until(lambda: joiner.stakes_made() == [1])
        assert asked
        (backup,) = StakeBackups(joiner.home).read_all()
        committee = {entry.member for entry in backup.record.committee}
        assert len(committee) == 5
        assert named not in committee


def _refuse_to_sign(node: Node) -> list[PeerId]:
    """The member offers keys and answers requests for signatures with noise."""
    asked: list[PeerId] = []
    (protocol, honest), *_ = node.network._handlers.items()

    async def handler(peer: PeerId, request: bytes) -> bytes:
        if isinstance(decode_request(request), CosignRequest):
            asked.append(peer)
            return bytes(128)
        return await honest(peer, request)

    node.network._handlers[protocol] = handler
    return asked


async def test_an_empty_wallet_costs_no_member_a_key(tmp_path: Path) -> None:
    async with open_stage(tmp_path, 4) as (stage, nursery):
        joiner = stage.nodes[0]
        await _due(stage, nursery, joiner)
        service = joiner.make(Sats(50 * 100_000_000))
        nursery.start_soon(joiner.run)
        await until(lambda: service.problem is not None)
        assert service.problem is not None
        assert service.problem.startswith("insufficient-funds: ")
        assert joiner.stakes_made() == []
        sent = [dict(node.network.counters()) for node in stage.nodes]
        assert all(not counters.get("request-served") for counters in sent)


async def test_records_with_a_wrong_signature_are_not_listed(tmp_path: Path) -> None:
    async with open_stage(tmp_path, 4) as (stage, nursery):
        joiner, leader = stage.nodes[0], stage.nodes[1]
        await _due(stage, nursery, joiner)
        joiner.crash_at = "stake-after-backup"
        joiner.make()
        nursery.start_soon(joiner.run)
        await until(joiner.crashed.is_set)
        (backup,) = StakeBackups(joiner.home).read_all()
        await stage.bitcoin.call("sendrawtransaction", backup.transaction.serialize().hex())
        await stage.mine_to(leader.watcher.tip_height + 1)
        entry = backup.record.committee[0]
        forged = replace(
            backup.record,
            committee=(replace(entry, refund=entry.slash), *backup.record.committee[1:]),
        )
        assert leader.service is not None
        for payload in (b"noise", forged.encode()):
            joiner.network.send(leader.network.local_peer, Channel.STAKING, payload)
        await until(lambda: _score(leader, joiner) > 0)
        joiner.network.send(leader.network.local_peer, Channel.STAKING, backup.record.encode())
        await until(lambda: leader.service is not None and leader.service.candidate() is not None)
        assert leader.service.candidate() == backup.record


def _score(judge: Node, other: Node) -> float:
    statuses = {status.peer: status for status in judge.network.peers()}
    return statuses[other.network.local_peer].score
