"""The composition root: one process, one node.

Everything is made here, in the order in which it is needed, and runs in one nursery. Rooms know
one another only by what they are given; nothing else in the project imports this module but the
command line.
"""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import trio

from p2p_seq import __version__
from p2p_seq.bitcoin.rpc import BitcoinRpc
from p2p_seq.bitcoin.scan import WatchKind
from p2p_seq.bitcoin.watcher import Watcher
from p2p_seq.chain.chain import Accepted, Chain, Finalised
from p2p_seq.consensus.service import ConsensusService, Hooks
from p2p_seq.consensus.timers import TimerConfig
from p2p_seq.consensus.types import Evidence
from p2p_seq.mempool.native import NativeMempool
from p2p_seq.mempool.service import MempoolService
from p2p_seq.mempool.types import PoolLimits, Prices
from p2p_seq.network.limits import NetworkLimits
from p2p_seq.network.types import Network
from p2p_seq.node.accounts import FinalAccounts
from p2p_seq.node.announce import Announcer
from p2p_seq.node.config import LoadedConfig, parse_address
from p2p_seq.node.crash import crash_hook
from p2p_seq.node.home import locked_home
from p2p_seq.node.members import MemberDirectory
from p2p_seq.node.sync import POLL_SECONDS, SyncService
from p2p_seq.node.workers import SignatureWorkers, WorkerLimits, open_signature_workers
from p2p_seq.observability.logs import room_logger
from p2p_seq.observability.metrics import Metrics
from p2p_seq.protocol.errors import OperatorError, RemoteError
from p2p_seq.protocol.genesis import GENESIS_BYTES_MAX, Genesis, SignedGenesis
from p2p_seq.protocol.transactions import RECEIPT_BYTES
from p2p_seq.protocol.types import BlockHeight, Hash32, Height, Sats, SatsPerKvb
from p2p_seq.settlement.bridge import BridgeState
from p2p_seq.settlement.service import SettlementService
from p2p_seq.signer.cosigner import Cosigner
from p2p_seq.signer.keystore import Keystore
from p2p_seq.signer.signer import OperatorSigner
from p2p_seq.staking.ceremony import Admission, RenewalPolicy
from p2p_seq.staking.registration import check_genesis
from p2p_seq.staking.service import StakingParts, StakingService, StakingSettings
from p2p_seq.storage.chain_store import ChainStore
from p2p_seq.storage.cosign_store import CosignStore
from p2p_seq.storage.stake_backups import StakeBackups
from p2p_seq.storage.store import Store

if TYPE_CHECKING:
    from p2p_seq.network.libp2p_network import NetworkConfig

log = room_logger("node")

SCAN_BELOW_ANCHOR: Final = 2_016
"""Bitcoin blocks below G that are scanned: founders' stakes were made within two weeks of G."""

CATCH_UP_SECONDS: Final = 5.0
"""A starting sequencer looks for peers that are ahead so long before it takes part."""

LATENCY_SAMPLES: Final = 256
"""Blocks over which the status reports finality latency."""


def load_genesis(loaded: LoadedConfig) -> SignedGenesis:
    """Read and check the genesis file. Raises OperatorError."""
    path = loaded.in_home(loaded.config.node.genesis_file)
    try:
        if path.stat().st_size > GENESIS_BYTES_MAX:
            raise OperatorError(
                f"{path} is too large for a genesis file",
                f"it has more than {GENESIS_BYTES_MAX} bytes",
                "fetch the file again from a founder",
                code=2,
            )
        signed = SignedGenesis.from_json(path.read_text(encoding="utf-8"), str(path))
        check_genesis(signed)
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"cannot read the genesis file {path}",
            str(error),
            "put the network's genesis file there, or set node.genesis_file",
            code=2,
        ) from error
    except RemoteError as error:
        raise OperatorError(
            f"the genesis file {path} does not hold",
            str(error),
            "do not use it; fetch the file again from a founder",
            code=3,
        ) from error
    return signed


@dataclass(slots=True)
class Latencies:
    """Time from a block's acceptance here to its finality, newest last."""

    seen: dict[Hash32, float] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)

    def accepted(self, digest: Hash32) -> None:
        self.seen.setdefault(digest, trio.current_time())

    def finalised(self, digest: Hash32) -> float | None:
        """Seconds since the block was accepted here; None when it came by catching up."""
        began = self.seen.pop(digest, None)
        taken = None if began is None else trio.current_time() - began
        if taken is not None:
            self.milliseconds.append(taken * 1_000)
            del self.milliseconds[:-LATENCY_SAMPLES]
        if len(self.seen) > 4 * LATENCY_SAMPLES:  # proposals that were abandoned
            for stale in list(self.seen)[: 2 * LATENCY_SAMPLES]:
                del self.seen[stale]
        return taken


class Node:
    """The running parts of a node, for the API and the tests. Made by `run_node`."""

    def __init__(
        self,
        loaded: LoadedConfig,
        genesis: Genesis,
        network: Network,
        store: ChainStore,
        bitcoin: BitcoinRpc,
        signer: OperatorSigner,
        workers: SignatureWorkers,
    ) -> None:
        self.loaded = loaded
        self.genesis = genesis
        self.params = genesis.params
        self.network = network
        self.store = store
        self.bitcoin = bitcoin
        self.signer = signer
        self.workers = workers
        self.started_at = trio.current_time()
        self.latencies = Latencies()
        self.metrics = Metrics()
        self.metrics.build.labels(__version__, loaded.config.node.role).set(1)
        self.evidence: list[Evidence] = []
        self._crash_point = crash_hook(os.environ, self.params.bitcoin_chain)
        self.watcher = self._make_watcher()
        self.chain = Chain(
            genesis, store, self.watcher, self._check_signatures, self._accepted, self._decided
        )
        self.mempool = self._make_mempool()
        self.settlement = SettlementService(
            self, self.params, store, network, signer, bitcoin, self.watcher
        )
        self.staking = self._make_staking()
        self.consensus = self._make_consensus()
        self.sync = SyncService(self.chain, network, self._finalised)
        self.members = MemberDirectory(network, loaded.config.network.bootstrap, self._member_keys)
        self.announcer = Announcer(network)
        self.is_ready = False
        self.beat = trio.current_time()
        """When the loop last turned, by `_beat`."""

    def _make_watcher(self) -> Watcher:
        genesis = self.genesis
        anchor = genesis.draft.anchor_height
        watched = {genesis.vault: WatchKind.VAULT}
        for founder in genesis.founders:
            watched[founder.bond] = WatchKind.BOND
            watched[founder.connector] = WatchKind.CONNECTOR
        start = Height(max(0, anchor - SCAN_BELOW_ANCHOR))
        return Watcher(self.bitcoin, self.store.live, self.params.network, start, watched)

    def _make_mempool(self) -> MempoolService:
        section = self.loaded.config.mempool
        limits = PoolLimits(
            count_max=section.transactions_max,
            bytes_max=section.bytes_max,
            per_sender_max=section.account_max,
            nonce_window=section.account_max,
        )
        rate = self.chain.ledger.totals().last_rate
        pool = NativeMempool(
            FinalAccounts(self.chain.ledger), Prices.from_params(self.params, rate), limits
        )
        return MempoolService(pool, self.chain.parser, self.workers, self.network)

    def _make_staking(self) -> StakingService:
        section = self.loaded.config.staking
        is_automatic = section.auto_renew == "on" or (
            section.auto_renew == "auto" and self.params.bitcoin_chain == "regtest"
        )
        parts = StakingParts(
            network=self.network,
            signer=self.signer,
            cosigner=Cosigner(
                self.params.network, self.signer, CosignStore(self.store.store), self._crash_point
            ),
            bitcoin=self.bitcoin,
            watcher=self.watcher,
            backups=StakeBackups(self.loaded.home),
            crash_point=self._crash_point,
        )
        settings = StakingSettings(
            RenewalPolicy(is_automatic, section.renew_epochs), Sats(section.bond_sats)
        )
        return StakingService(self, parts, settings, self._stake_candidate_ready)

    def _stake_candidate_ready(self) -> None:
        self.consensus.work_arrived()

    def _make_consensus(self) -> ConsensusService:
        section = self.loaded.config.consensus
        timers = TimerConfig(
            leader_ms=section.leader_ms,
            advance_ms=section.advance_ms,
            require_ms=section.require_ms,
            growth_percent=section.growth_percent,
            patience_views=section.patience_views,
            cap_ms=section.cap_ms,
            standstill_ms=section.standstill_ms,
            standstill_cap_ms=section.standstill_cap_ms,
        )
        hooks = Hooks(
            select=self.mempool.pool.select,
            stake_candidate=self.staking.candidate,
            feerate=lambda: self.settlement.feerate,
            finalised=self._finalised,
            epoch_started=self._epoch_started,
            evidence=self.evidence.append,
            crash_point=self._crash_point,
        )
        return ConsensusService(self.chain, self.network, self.signer, hooks, timers)

    async def _check_signatures(self, transactions: bytes, txids: Sequence[bytes]) -> bool:
        try:
            await self.mempool.check_block(transactions, len(txids))
        except RemoteError:
            return False
        return True

    def _accepted(self, accepted: Accepted) -> None:
        self.latencies.accepted(accepted.digest)
        body = accepted.block.body
        height = accepted.block.header.height
        self.mempool.pool.include(accepted.digest, height, body.transactions, accepted.parsed)

    def _decided(self, blocks: Sequence[Finalised]) -> None:
        """The tip moved in memory: the mempool must not offer again what is final."""
        for item in blocks:
            height = item.block.header.height
            self.mempool.pool.finalise(item.state.digest, height, item.parsed)
        rate = self.chain.ledger.totals().last_rate
        self.mempool.pool.set_prices(Prices.from_params(self.params, rate))

    def _finalised(self, blocks: Sequence[Finalised]) -> None:
        """The blocks are final and on disk."""
        for item in blocks:
            header = item.block.header
            taken = self.latencies.finalised(item.state.digest)
            if taken is not None:
                self.metrics.finality_seconds.observe(taken)
            self.metrics.blocks.inc()
            self._count_receipts(item.receipts)
            if item.sealed is not None:
                log.info("epoch_sealed", epoch=header.epoch, height=header.height)
        last = blocks[-1]
        if last.block.header.leader == self.consensus.own_index:
            self.announcer.announce(last.block.header.height, last.state.digest)
        self.settlement.finalised()
        if any(item.block.body.stake_record or item.sealed is not None for item in blocks):
            self.staking.finalised()

    def _count_receipts(self, receipts: bytes) -> None:
        """Transactions by outcome: a receipt's first byte is its code, 0 for success."""
        codes = receipts[::RECEIPT_BYTES]
        succeeded = codes.count(0)
        if succeeded:
            self.metrics.transactions.labels("ok").inc(succeeded)
        if len(codes) > succeeded:
            self.metrics.transactions.labels("failed").inc(len(codes) - succeeded)

    def _tip_height(self) -> BlockHeight:
        return self.chain.final.header.height

    def _epoch_started(self) -> None:
        self.members.refresh()

    def _member_keys(self) -> list[bytes]:
        """Peer keys of everybody whose messages matter: the set, and holders of the vault."""
        final = self.chain.final
        return [record.bundle.keys.peer for record in final.registry.records.values()]

    @property
    def bridge(self) -> BridgeState:
        return self.chain.final.bridge

    @property
    def origin_height(self) -> Height:
        return self.chain.final.header.origin.height

    def origin_is_orphaned(self) -> bool:
        """Whether the finalised origin left this node's best chain: deeper than D, so frozen."""
        return self.chain.is_orphaned(self.chain.final.header.origin)

    def admission(self) -> Admission:
        """What decides whether the next block may take a stake record."""
        return self.chain.admission(self.chain.final)

    def stake_feerate(self) -> SatsPerKvb:
        """What a stake or refund should pay now."""
        return self.settlement.feerate

    async def run(self) -> None:
        """Run every service until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            nursery.start_soon(self.watcher.run)
            nursery.start_soon(self.members.run)
            nursery.start_soon(self.mempool.run)
            nursery.start_soon(self.settlement.run)
            self.sync.serve()
            with trio.move_on_after(CATCH_UP_SECONDS):
                await self._catch_up_at_start()
            if self.loaded.config.node.role == "full":
                nursery.start_soon(self.sync.follow, self.announcer.wait_heard)
                nursery.start_soon(self.announcer.listen, self._tip_height)
            else:
                nursery.start_soon(self._observe_epoch)
                nursery.start_soon(self.consensus.run)
                nursery.start_soon(self._wake_consensus)
                nursery.start_soon(self._follow_from_outside)
                nursery.start_soon(self.staking.run)
                nursery.start_soon(self.announcer.publish_forever)
            self.is_ready = True
            log.info("node_ready", height=self.chain.final.header.height)

    async def _catch_up_at_start(self) -> None:
        """Wait for Bitcoin and a first peer, then fetch what was finalised meanwhile."""
        while self.watcher.tip is None:
            await self.watcher.wait_changed()
        if len(self.chain.final.members) > 1:
            # The network has no event for its first connection.
            while not any(peer.connected for peer in self.network.peers()):  # noqa: ASYNC110
                await trio.sleep(0.05)
        await self.sync.catch_up()

    async def _follow_from_outside(self) -> None:
        """Members send votes to those whom a record names; who wants to join pulls what is final.

        Without it a newcomer would ask for co-signers with an epoch that is long over.
        """
        while True:
            await trio.sleep(POLL_SECONDS)
            is_outside = self.consensus.view > 0 and self.consensus.own_index is None
            if is_outside and await self.sync.catch_up():
                await self.consensus.restart()
                self._epoch_started()

    async def _observe_epoch(self) -> None:
        """Tell a silent guard how far the world is, once peers and Bitcoin were heard."""
        anchor = self.genesis.draft.anchor_height
        by_bitcoin = self.params.epoch_of_height(anchor, self.watcher.tip_height)
        self.signer.observe_epoch(max(self.chain.final.epoch, by_bitcoin))

    async def _beat(self) -> None:
        while True:
            self.beat = trio.current_time()
            await trio.sleep(1)

    async def _wake_consensus(self) -> None:
        while True:
            await self.mempool.wait_admitted()
            self.consensus.work_arrived()


def bitcoin_client(loaded: LoadedConfig) -> BitcoinRpc:
    """The client of the configured Bitcoin node."""
    section = loaded.config.bitcoin
    cookie = loaded.in_home(section.cookie_file) if section.cookie_file else None
    url = section.rpc_url
    if cookie is None and section.user:
        scheme, _, rest = url.partition("://")
        url = f"{scheme}://{quote(section.user)}:{quote(section.password)}@{rest}"
    return BitcoinRpc(url, cookie)


def _network_config(loaded: LoadedConfig, genesis: Genesis) -> "NetworkConfig":
    from p2p_seq.network.libp2p_network import NetworkConfig

    section = loaded.config.network
    limits = NetworkLimits(
        connections=section.connections,
        connections_per_address=section.connections_per_address,
    )
    bootstrap = tuple(section.bootstrap)
    return NetworkConfig(genesis.params.network, (section.listen,), bootstrap, limits)


async def run_node(
    loaded: LoadedConfig,
    keystore: Keystore,
    stop: trio.Event,
    ready: trio.Event | None = None,
) -> None:
    """Run a node until `stop`. Raises OperatorError for everything a person can mend."""
    from p2p_seq.network.libp2p_network import open_libp2p_network

    signed = load_genesis(loaded)
    genesis = signed.genesis
    home = loaded.home
    async with AsyncExitStack() as stack:
        stack.enter_context(locked_home(home))
        store = Store.open(home / "chain")
        stack.callback(store.close)
        live = Store.open(home / "live")
        stack.callback(live.close)
        store.bind_chain(genesis.chain_id)
        crash_point = crash_hook(os.environ, genesis.params.bitcoin_chain)
        signer = OperatorSigner(home, keystore, crash_point)
        stack.callback(signer.close)
        bitcoin = await stack.enter_async_context(bitcoin_client(loaded))
        workers = await stack.enter_async_context(
            open_signature_workers(WorkerLimits(workers=loaded.config.node.signature_workers))
        )
        config = _network_config(loaded, genesis)
        network = await stack.enter_async_context(open_libp2p_network(config, signer.peer_secret))
        node = Node(loaded, genesis, network, ChainStore(store, live), bitcoin, signer, workers)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run)
            async with _served_api(node):
                if ready is not None:
                    ready.set()
                await stop.wait()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def _served_api(node: Node) -> AsyncIterator[None]:
    """Serve the API inside the block, if the configuration wants one."""
    section = node.loaded.config.api
    if not section.listen:
        yield
        return
    from p2p_seq.api.http import ApiLimits, open_api
    from p2p_seq.node.view import ApiView

    limits = ApiLimits(section.requests_max, section.body_bytes_max)
    host, port = parse_address(section.listen)
    async with open_api(ApiView(node), host, port, limits) as url:
        log.info("api_listens", url=url)
        yield
