"""What the API shows of a node: reports read from the running parts, nothing kept here.

Implements `api.types.NodeView`. Everything is a function of the finalised chain and of this node's
Bitcoin tip; words for states are those of PROTOCOL.md section 4.
"""

import shutil
from collections.abc import Sequence
from statistics import median

import trio

from p2p_seq import __version__
from p2p_seq.api.submissions import submissions_of
from p2p_seq.api.types import (
    AccountReport,
    BlockReport,
    DepositReport,
    EpochReport,
    MempoolReport,
    NodeStatus,
    OriginReport,
    PeerReport,
    PriceReport,
    Readiness,
    Submission,
    SupplyReport,
    TransactionReport,
    TransactionState,
    VaultReport,
    WithdrawalReport,
)
from p2p_seq.node.journeys import Journeys
from p2p_seq.node.node import Node
from p2p_seq.protocol.blocks import Block, BlockKind, Origin
from p2p_seq.protocol.tags import BitcoinTag, tag4
from p2p_seq.protocol.transactions import (
    ReceiptCode,
    SignedTransaction,
    Transfer,
    decode_receipts,
    decode_transactions,
)
from p2p_seq.protocol.types import BlockHeight, Epoch, Hash32, OutPoint, XOnlyKey, display_id
from p2p_seq.settlement.fees import deposit_charge
from p2p_seq.settlement.scripts import vault_output

LOOP_PATIENCE_S = 5.0
"""A node whose loop did not turn for so long is not live."""


def origin_report(origin: Origin) -> OriginReport:
    return OriginReport(
        height=origin.height, hash=display_id(origin.hash), median_time=origin.median_time
    )


class ApiView:
    """Reads one running node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._journeys = Journeys(node)

    @property
    def height(self) -> BlockHeight:
        return self._node.chain.final.header.height

    async def shows(self, height: BlockHeight) -> bool:
        return await self._node.chain.is_durable(height)

    def status(self) -> NodeStatus:
        node, final = self._node, self._node.chain.durable
        bridge = final.bridge
        latencies = node.latencies.milliseconds
        members = final.members
        leader = node.consensus.leader
        is_following = node.consensus.view > 0 and leader < len(members)
        return NodeStatus(
            version=__version__,
            network=node.params.network,
            chain_id=node.chain.chain_id.hex(),
            role=node.loaded.config.node.role,
            is_ready=not self._reasons(),
            height=final.header.height,
            block=final.digest.hex(),
            state_root=final.state_root.hex(),
            epoch=final.epoch,
            view=node.consensus.view,
            leader=members.key(leader).hex() if is_following else None,
            finality_ms=round(median(latencies), 1) if latencies else None,
            origin=origin_report(final.header.origin),
            bitcoin_height=node.watcher.tip_height if node.watcher.reachable else None,
            settled_epoch=bridge.settled_through if bridge.settled_through >= 0 else None,
            peers=sum(peer.connected for peer in node.network.peers()),
            mempool=MempoolReport(count=len(node.mempool.pool), bytes=node.mempool.pool.size),
            prices=self._prices(),
            warnings=self._warnings(),
        )

    def _prices(self) -> PriceReport:
        prices, params = self._node.mempool.pool.prices, self._node.params
        return PriceReport(
            transfer_sats=prices.transfer,
            withdraw_sats=prices.withdraw,
            account_minimum_sats=prices.account_minimum,
            payout_minimum_sats=prices.payout_minimum,
            deposit_minimum_sats=params.deposit_minimum,
        )

    def _warnings(self) -> list[str]:
        node = self._node
        warnings: list[str] = []
        if node.consensus.halted is not None:
            warnings.append(f"consensus has halted: {node.consensus.halted}")
        if node.sync.halted is not None:
            warnings.append(f"following has halted: {node.sync.halted}")
        if not node.watcher.reachable:
            warnings.append("Bitcoin does not answer")
        if node.origin_is_orphaned():
            warnings.append("the finalised origin left the best chain: settlements are frozen")
        if len(node.chain.final.members) < 4:
            warnings.append("fewer than four sequencers: no fault is tolerated")
        if len(node.genesis.founders) == 1:
            warnings.append("one founder: its bond is not slashable against its owner")
        if node.settlement.last_refusal is not None:
            warnings.append(f"Bitcoin refused a settlement: {node.settlement.last_refusal}")
        if node.staking.problem:
            warnings.append(f"staking: {node.staking.problem}")
        for key, state in node.signer.guard_states(node.chain.final.epoch).items():
            if state.value != "ready":
                warnings.append(f"the signing guard of {key.hex()[:16]} is {state.value}")
        return warnings

    def _reasons(self) -> list[str]:
        node = self._node
        reasons = [] if node.is_ready else ["catching up with peers"]
        if not node.watcher.reachable:
            reasons.append("Bitcoin does not answer")
        if node.consensus.halted is not None:
            reasons.append("consensus has halted")
        return reasons

    def peers(self) -> Sequence[PeerReport]:
        return [
            PeerReport(
                peer=peer.peer,
                is_connected=peer.connected,
                is_sequencer=peer.is_member,
                address=peer.address,
                round_trip_ms=peer.rtt_ms,
                score=peer.score,
                banned_for_s=peer.banned_for_s,
            )
            for peer in self._node.network.peers()
        ]

    def is_live(self) -> bool:
        """The loop turned, or this could not be asked; a blocked loop shows as no answer."""
        return trio.current_time() - self._node.beat < LOOP_PATIENCE_S

    def readiness(self) -> Readiness:
        reasons = self._reasons()
        return Readiness(is_ready=not reasons, reasons=reasons)

    def metrics(self) -> bytes:
        node, figures = self._node, self._node.metrics
        totals = node.chain.ledger.totals()
        figures.height.set(node.chain.final.header.height)
        figures.epoch.set(node.chain.final.epoch)
        figures.view.set(node.consensus.view)
        figures.mempool_transactions.set(len(node.mempool.pool))
        figures.mempool_bytes.set(node.mempool.pool.size)
        figures.origin_height.set(node.chain.final.header.origin.height)
        figures.bitcoin_height.set(node.watcher.tip_height)
        figures.vault_sats.set(totals.vault)
        figures.fee_pool_sats.set(totals.fee_pool)
        figures.pending_payouts_sats.set(totals.pending)
        figures.peers.labels("member").set(sum(p.is_member for p in node.network.peers()))
        figures.peers.labels("other").set(sum(not p.is_member for p in node.network.peers()))
        figures.disk_free_bytes.set(shutil.disk_usage(node.loaded.home).free)
        return figures.render()

    def block(self, selector: BlockHeight | Hash32 | None) -> BlockReport | None:
        """By height, by digest, or the latest finalised one; only finalised blocks are shown."""
        node = self._node
        height = node.chain.durable.header.height if selector is None else selector
        if isinstance(height, bytes):
            block = node.chain.block(Hash32(height))
            if block is None:
                return None
            height = block.header.height
            if (node.store.digest_at(height) or (None,))[0] != selector:
                return None
        found = node.store.digest_at(BlockHeight(height))
        if found is None:
            return None
        block = node.chain.block(found[0])
        return None if block is None else self._block_report(found[0], block)

    def _block_report(self, digest: Hash32, block: Block) -> BlockReport:
        header = block.header
        parsed = self._node.chain.parser.parse_batch(block.body.transactions)
        members = self._node.chain.members_of(header.epoch)
        is_genesis = header.kind is BlockKind.GENESIS
        leader = None if is_genesis or members is None else members.key(header.leader).hex()
        return BlockReport(
            height=header.height,
            digest=digest.hex(),
            parent=header.parent.hex(),
            kind=header.kind.name.lower(),
            epoch=header.epoch,
            view=header.view,
            leader=leader,
            origin=origin_report(header.origin),
            state_root=header.state_root.hex(),
            transactions=[item[2].hex() for item in parsed],
            record_bytes=len(block.body.records),
        )

    def transaction(self, txid: Hash32) -> TransactionReport | None:
        node = self._node
        place = node.store.find_transaction(txid)
        if place is not None:
            return self._final_transaction(txid, *place)
        encoded = node.mempool.pool.encoded(txid)
        position = node.mempool.pool.position(txid)
        if encoded is None or position is None:
            return self._transaction_being_written(txid)
        state = TransactionState(position.value)
        return _transaction_report(txid, SignedTransaction.decode(encoded), state)

    def _transaction_being_written(self, txid: Hash32) -> TransactionReport | None:
        """It left the mempool and is not on disk yet: until then it is called proposed."""
        for item in self._node.chain.being_written:
            txids = [parsed[2] for parsed in item.parsed]
            if txid in txids:
                body = item.block.body
                signed = decode_transactions(body.transactions, body.transaction_count)
                index = txids.index(txid)
                return _transaction_report(txid, signed[index], TransactionState.PROPOSED)
        return None

    def _final_transaction(
        self, txid: Hash32, height: BlockHeight, index: int
    ) -> TransactionReport | None:
        node = self._node
        found = node.store.digest_at(height)
        block = None if found is None else node.chain.block(found[0])
        if block is None:
            return None
        body = block.body
        signed = decode_transactions(body.transactions, body.transaction_count)[index]
        receipt = decode_receipts(node.store.receipts(height) or b"")[index]
        settled = node.store.settlement_of(block.header.epoch)
        state = TransactionState.FINAL if settled is None else TransactionState.SETTLED
        return _transaction_report(
            txid,
            signed,
            state,
            height=height,
            epoch=block.header.epoch,
            receipt=receipt.code,
            withdrawal=receipt.payout_id or None,
            settlement=None if settled is None else display_id(settled[1]),
        )

    def account(self, key: XOnlyKey) -> AccountReport | None:
        account = self._node.chain.ledger.account(key)
        if account is None:
            return None
        waiting = self._node.mempool.pool.sender_status(key)
        return AccountReport(
            key=key.hex(),
            balance_sats=account.balance,
            nonce=account.nonce,
            next_nonce=account.nonce if waiting is None else waiting.next_nonce,
            pending_count=0 if waiting is None else waiting.pending_count,
            pending_cost_sats=0 if waiting is None else waiting.pending_cost,
        )

    async def submit(self, transactions: bytes) -> Sequence[Submission]:
        return submissions_of(await self._node.mempool.submit(transactions))

    def epoch(self, epoch: Epoch) -> EpochReport | None:
        return self._journeys.epoch(epoch)

    def withdrawal(self, payout_id: int) -> WithdrawalReport | None:
        return self._journeys.withdrawal(payout_id)

    def deposit(self, outpoint: OutPoint) -> DepositReport | None:
        return self._journeys.deposit(outpoint)

    def vault(self) -> VaultReport:
        node, bridge = self._node, self._node.chain.final.bridge
        generation = bridge.active
        return VaultReport(
            generation=generation.number,
            keys=[member.key.hex() for member in generation.members],
            weights=[member.weight for member in generation.members],
            threshold=generation.threshold,
            deposit_timeout=node.params.deposit_timeout,
            deposit_tag=tag4(node.params.network, BitcoinTag.DEPOSIT).hex(),
            deposit_minimum_sats=node.params.deposit_minimum,
            deposit_fee_sats=deposit_charge(bridge.last_rate, generation),
            script_pubkey=vault_output(generation).script.hex(),
            outpoint=str(bridge.vault),
            value_sats=bridge.vault_value,
            bitcoin_chain=node.params.bitcoin_chain,
            network=node.params.network,
        )

    def supply(self) -> SupplyReport:
        totals = self._node.chain.ledger.totals()
        return SupplyReport(
            height=self._node.chain.durable.header.height,
            wrapped_sats=totals.wrapped,
            pending_payouts_sats=totals.pending,
            fee_pool_sats=totals.fee_pool,
            insurance_sats=totals.insurance,
            vault_sats=totals.vault,
            is_balanced=totals.is_balanced
            and totals.vault == self._node.chain.final.bridge.vault_value,
        )


def _transaction_report(
    txid: Hash32,
    signed: SignedTransaction,
    state: TransactionState,
    *,
    height: int | None = None,
    epoch: int | None = None,
    receipt: ReceiptCode | None = None,
    withdrawal: int | None = None,
    settlement: str | None = None,
) -> TransactionReport:
    order = signed.order
    is_transfer = isinstance(order, Transfer)
    return TransactionReport(
        txid=txid.hex(),
        state=state,
        kind=order.kind.name.lower(),
        sender=order.sender.hex(),
        nonce=order.nonce,
        fee_sats=order.fee,
        amount_sats=order.amount,
        recipient=order.recipient.hex() if isinstance(order, Transfer) else None,
        script=None if is_transfer else order.script.hex(),  # type: ignore[union-attr]
        height=height,
        epoch=epoch,
        receipt=None if receipt is None else receipt.name,
        withdrawal=withdrawal,
        settlement=settlement,
    )
