"""A founded network over a real regtest node, driven block by block without sockets.

`found_network` holds the genesis ceremony once; `NetworkTemplate.open` copies what it left on disk,
so that every test begins with a network of its own. Everything is real: the engine checks every
Bitcoin block, LMDB keeps the chain, keys sign. What tests do by hand is what consensus would do:
propose, judge, make final.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import trio

from p2p_seq.bitcoin.embedded.arguments import RpcError
from p2p_seq.bitcoin.embedded.node import RegtestNode
from p2p_seq.bitcoin.embedded.service import BlockTimes, NodeService
from p2p_seq.bitcoin.rpc import BitcoinRpcError
from p2p_seq.bitcoin.scan import WatchKind
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.bitcoin.watcher import BitcoinSource, Watcher
from p2p_seq.chain.chain import Accepted, Chain, Finalised
from p2p_seq.chain.types import ChainState
from p2p_seq.ledger.core import price
from p2p_seq.mempool.types import Selection, SelectionLimits
from p2p_seq.protocol.blocks import Block, BlockKind
from p2p_seq.protocol.genesis import Genesis, SignedGenesis
from p2p_seq.protocol.params import Params, load_params
from p2p_seq.protocol.transactions import (
    Order,
    SignedTransaction,
    Transfer,
    Withdraw,
    decode_transactions,
)
from p2p_seq.protocol.types import Epoch, Hash32, Height, Sats, SatsPerKvb, View, XOnlyKey
from p2p_seq.protocol.votes import (
    Certificate,
    SignatureCheck,
    VoteKind,
    VoteStatement,
    verify_signatures,
)
from p2p_seq.settlement.scripts import DepositRequest
from p2p_seq.settlement.transactions import Settlement, deposit_outputs
from p2p_seq.signer import schnorr
from p2p_seq.signer.keystore import Keystore
from p2p_seq.storage.chain_store import ChainStore
from p2p_seq.storage.store import Store
from testnet.ceremony import Faucet, Founder, hold_ceremony
from tests.support.keys import key, secret

PARAMS: Final = load_params(Path("configs/networks/regtest.toml"))
BOND: Final = Sats(1_000_000_000)
VAULT_VALUE: Final = Sats(2_000_000)
FOUNDERS: Final = 4
USER: Final = "user"


class NodeSource:
    """The embedded node's RPC without a socket."""

    def __init__(self, node: RegtestNode) -> None:
        self.node = node
        self._service = NodeService(node, BlockTimes(), time.time)

    async def call(self, method: str, *parameters: object) -> object:
        await trio.lowlevel.checkpoint()
        try:
            return await self._service.call(method, list(parameters))
        except RpcError as error:
            raise BitcoinRpcError(int(error.code), error.message, method) from error

    async def batch(self, calls: Sequence[tuple[str, tuple[object, ...]]]) -> list[object]:
        return [await self.call(method, *parameters) for method, parameters in calls]


@dataclass(frozen=True)
class NetworkTemplate:
    """What the ceremony left: a node's directory, the founders' homes and the genesis."""

    directory: Path
    signed: SignedGenesis
    seeds: tuple[Keystore, ...]
    faucet_secret: bytes

    @contextmanager
    def open(self, directory: Path) -> "Iterator[World]":
        shutil.copytree(self.directory, directory / "template")
        node = RegtestNode(directory / "template" / "bitcoin")
        world = World(self, node, directory)
        try:
            yield world
        finally:
            world.close()


def found_network(
    directory: Path,
    params: Params = PARAMS,
    count: int = FOUNDERS,
    vault_value: Sats = VAULT_VALUE,
) -> NetworkTemplate:
    """Hold the ceremony of `count` founders on a new node."""
    node = RegtestNode(directory / "bitcoin")
    source = NodeSource(node)
    faucet_secret = secret("faucet")
    keystores = tuple(Keystore(secret(f"founder {n}"), "regtest") for n in range(count))
    founders = [
        Founder(directory / "homes" / str(n), keystore) for n, keystore in enumerate(keystores)
    ]

    async def hold() -> SignedGenesis:
        faucet = Faucet(source, faucet_secret)
        return await hold_ceremony(source, faucet, params, founders, BOND, vault_value)

    signed = trio.run(hold)
    node.close()
    return NetworkTemplate(directory, signed, keystores, faucet_secret)


class World:
    """One network: its Bitcoin, its keys, and the participants that a test opens."""

    def __init__(self, template: NetworkTemplate, node: RegtestNode, directory: Path) -> None:
        self.genesis: Genesis = template.signed.genesis
        self.params = self.genesis.params
        self.node = node
        self.directory = directory
        self.source = NodeSource(node)
        self.faucet = Faucet(self.source, template.faucet_secret)
        self.keystores = template.seeds
        self.stakes = [keystore.stake(0) for keystore in template.seeds]
        self.secrets: dict[XOnlyKey, bytes] = {}
        for stake in self.stakes:
            for one in (stake.consensus, stake.vault):
                self.secrets[schnorr.public_key(one)] = one
        self._open: list[Participant] = []

    def close(self) -> None:
        for participant in self._open:
            participant.store.close()
        self.node.close()

    @property
    def height(self) -> int:
        return self.node.chain.tip().height

    def home(self, index: int) -> Path:
        return self.directory / "template" / "homes" / str(index)

    def mine(self, count: int = 1) -> None:
        for _ in range(count):
            self.node.generate(1, key_path_script(key("miner")))

    def reorg(self, depth: int, is_empty: bool = False) -> None:
        self.node.reorg(depth, is_empty, key_path_script(key("miner")))

    def participant(self, name: str = "one", source: BitcoinSource | None = None) -> "Participant":
        found = Participant(self, self.directory / name, source or self.source)
        self._open.append(found)
        return found

    def certificate(
        self, state: ChainState, statement: VoteStatement, absent: frozenset[int] = frozenset()
    ) -> Certificate:
        """The quorum of the set that votes on children of `state`, signed with real keys."""
        network, chain_id = self.params.network, self.genesis.chain_id
        members = state.members
        message = statement.message(network, chain_id, members.digest(network))
        signatures = {
            index: schnorr.sign(self.secrets[member.key], message)
            for index, member in enumerate(members.members)
            if index not in absent
        }
        formed = Certificate.form(statement, signatures, members)
        assert formed is not None
        return formed

    async def deposit(
        self, state: ChainState, amount: int, user: str = USER, count: int = 1
    ) -> Transaction:
        """A deposit to the active generation, in the mempool."""
        active = state.bridge.active
        request = DepositRequest(active.number, key(user), key(f"{user} timeout"))
        timeout = self.params.deposit_timeout
        network = self.params.network
        paid, note = deposit_outputs(network, active, request, Sats(amount), timeout)
        return await self.faucet.pay([paid] * count + [note])

    def settle(self, settlement: Settlement, absent: frozenset[int] = frozenset()) -> Transaction:
        """Sign a settlement with the vault keys of all founders but some."""
        messages = settlement.messages()
        collected = {}
        for index, stake in enumerate(self.stakes):
            public = schnorr.public_key(stake.vault)
            if index not in absent and settlement.inputs_of(public):
                collected[public] = {
                    at: schnorr.sign(stake.vault, messages[at])
                    for at in settlement.inputs_of(public)
                }
        signed = settlement.assemble(collected)
        assert signed is not None
        return signed


def nothing(_: SelectionLimits, __: Sequence[bytes]) -> Selection:
    """An empty mempool."""
    return Selection(b"", (), 0)


@dataclass
class Participant:
    """One node's watcher, store and chain."""

    world: World
    directory: Path
    source: BitcoinSource
    accepted: list[Accepted] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._start()

    def _start(self) -> None:
        genesis = self.world.genesis
        self.store = Store.open(self.directory)
        self.store.bind_chain(genesis.chain_id)
        watched = {genesis.vault: WatchKind.VAULT}
        for founder in genesis.founders:
            watched[founder.bond] = WatchKind.BOND
            watched[founder.connector] = WatchKind.CONNECTOR
        start = Height(max(0, genesis.draft.anchor_height - 2_016))
        network = genesis.params.network
        self.watcher = Watcher(self.source, self.store, network, start, watched)
        self.chain = Chain(
            genesis, ChainStore(self.store), self.watcher, self.check, self.accepted.append
        )

    async def check(self, transactions: bytes, txids: Sequence[bytes]) -> bool:
        """Every user's signature, by the twin."""
        await trio.lowlevel.checkpoint()
        return verify_signatures(
            SignatureCheck(item.order.sender, Hash32(txid), item.signature)
            for item, txid in zip(decode_transactions(transactions, len(txids)), txids, strict=True)
        )

    def restart(self) -> None:
        """Lose everything that is not on disk."""
        self.store.close()
        self._start()

    async def follow(self) -> None:
        while await self.watcher.step():
            pass

    @property
    def final(self) -> ChainState:
        return self.chain.final

    def leader(self, view: int) -> int:
        return self.chain.instance(frozenset()).schedule.leader(View(view))

    def build(
        self,
        parent: ChainState | None = None,
        view: int | None = None,
        transactions: Sequence[bytes] = (),
        required: bool = True,
        feerate: int = 1_000,
    ) -> Block | None:
        parent = parent or self.final
        inside = parent.header.kind is not BlockKind.SEAL and parent.header.height > 0
        view = view or (parent.header.view + 1 if inside else 1)
        leader = self.leader(view)
        chosen = Selection(b"", (), 0)
        if transactions:
            joined = b"".join(transactions)
            ids = tuple(Hash32(item[2]) for item in self.chain.parser.parse_batch(joined))
            chosen = Selection(joined, ids, 0)
        return self.chain.build(
            parent.digest,
            View(view),
            leader,
            lambda _, __: chosen,
            None,
            SatsPerKvb(feerate),
            required,
        )

    async def accept(self, block: Block, voting: bool = True) -> ChainState:
        return await self.chain.accept(block, self.leader(block.header.view), voting)

    def finality(self, block: Block) -> Certificate:
        reference = self.chain.reference(block)
        parent = self.chain.state(block.header.parent)
        assert parent is not None
        statement = reference.statement(VoteKind.FINALIZE, parent.epoch, block.header.view)
        return self.world.certificate(parent, statement)

    async def finalise(self, block: Block) -> Finalised:
        """Make an accepted child of the tip final."""
        digest = self.chain.digest(block.header)
        (done,) = await self.chain.finalise([digest], self.finality(block))
        return done

    async def extend(self, transactions: Sequence[bytes] = ()) -> Finalised:
        """Build, judge and finalise one block on the tip."""
        block = self.build(transactions=transactions)
        assert block is not None
        await self.accept(block)
        return await self.finalise(block)

    async def extend_until(self, origin: int) -> list[Finalised]:
        """Blocks until the finalised origin is there; Bitcoin must have it deep enough."""
        await self.follow()
        done: list[Finalised] = []
        while self.final.header.origin.height < origin:
            done.append(await self.extend())
        return done

    async def catch_up_with_bitcoin(self) -> list[Finalised]:
        """Blocks as long as Bitcoin gives a reason for one."""
        await self.follow()
        done: list[Finalised] = []
        while self.chain.has_origin_work(self.final):
            done.append(await self.extend())
        return done

    async def seal_epoch(self) -> Finalised:
        """Mine and finalise up to the running epoch's seal, and exactly to it."""
        epoch = self.final.epoch
        border = self.world.params.epoch_start(
            self.world.genesis.draft.anchor_height, Epoch(epoch + 1)
        )
        deepest = border + self.world.params.burial_depth
        while self.world.height < deepest - 1:
            self.world.mine(1)
            await self.follow()
            if self.chain.has_origin_work(self.final):
                await self.extend()
        self.world.mine(deepest - self.world.height)
        await self.follow()
        while True:
            done = await self.extend()
            if done.sealed is not None:
                assert done.sealed.epoch == epoch
                return done

    def signed(self, order: Order, user: str = USER) -> bytes:
        params = self.world.params
        unsigned = SignedTransaction(order, schnorr.sign(secret(user), Hash32(bytes(32))))
        txid = unsigned.id(params.network, self.world.genesis.chain_id)
        return replace(unsigned, signature=schnorr.sign(secret(user), txid)).encode()

    def transfer(
        self, to: str, amount: int, user: str = USER, at: ChainState | None = None
    ) -> bytes:
        state = at or self.final
        account = self.chain.ledger.account(key(user), state.digest)
        nonce = 0 if account is None else account.nonce
        fee = Sats(self.world.params.fee_transfer)
        return self.signed(Transfer(key(user), nonce, fee, key(to), Sats(amount)), user)

    def withdraw(self, amount: int, payee: str, user: str = USER) -> bytes:
        account = self.chain.ledger.account(key(user), self.final.digest)
        assert account is not None
        rate = self.chain.ledger.totals(self.final.digest).last_rate
        script = key_path_script(key(payee))
        order = Withdraw(key(user), account.nonce, Sats(0), Sats(amount), script)
        return self.signed(replace(order, fee=price(self.world.params, order.kind, rate)), user)
