"""How far an epoch, a withdrawal or a deposit got, and on what it rests (PROTOCOL.md section 4)."""

from p2p_seq.api.types import (
    DepositReport,
    DepositState,
    EpochReport,
    EpochState,
    WithdrawalReport,
    WithdrawalState,
)
from p2p_seq.bitcoin.scan import RelevantTransaction
from p2p_seq.chain.chain import set_of_seal
from p2p_seq.node.node import Node
from p2p_seq.protocol.seals import SealedEpoch
from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.tags import BitcoinTag
from p2p_seq.protocol.types import BlockHeight, Epoch, Hash32, Height, OutPoint, Sats, display_id
from p2p_seq.settlement.bridge import has_time_left
from p2p_seq.settlement.plan import SettlementPlan
from p2p_seq.settlement.planning import is_withdrawable
from p2p_seq.settlement.scripts import FoundDeposit, deposits_in

RESTS_ON = {
    EpochState.OPEN: "finality: less than a third of the weight is Byzantine",
    EpochState.SEALED: "finality: less than a third of the weight is Byzantine",
    EpochState.COMMITTED: "Bitcoin: the settlement that commits to it is buried",
    EpochState.WITHDRAWABLE: (
        "the challenge window has passed; no endorsements or certificates exist yet"
        " (enforcement = 0), so payouts rest on the vault's honest weight"
    ),
    EpochState.PAID: "Bitcoin: every withdrawal of it is paid in a buried settlement",
}


class Journeys:
    """Answers from the finalised chain of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def _origin(self) -> Height:
        return self._node.chain.final.header.origin.height

    def epoch(self, epoch: Epoch) -> EpochReport | None:
        chain, params = self._node.chain, self._node.params
        if epoch > chain.final.epoch:
            return None
        anchor = self._node.genesis.draft.anchor_height
        sealed = self._node.store.sealed(epoch)
        before = self._node.store.sealed(Epoch(epoch - 1)) if epoch else None
        members = self._members(epoch, before)
        settled = self._node.store.settlement_of(epoch)
        state = self._epoch_state(epoch, sealed)
        border = params.epoch_start(anchor, Epoch(epoch + 1))
        return EpochReport(
            epoch=epoch,
            state=state,
            rests_on=[RESTS_ON[state]],
            start_height=params.epoch_start(anchor, epoch),
            border_height=border,
            seal=None if sealed is None else sealed.seal.hex(),
            outputs_digest=None if sealed is None else sealed.outputs.hex(),
            statement=None if sealed is None else sealed.statement(params.network).hex(),
            state_before=None if before is None else before.state_root.hex(),
            state_after=None if sealed is None else sealed.state_root.hex(),
            members=[member.key.hex() for member in members.members],
            weights=[member.weight for member in members.members],
            settlement=None if settled is None else display_id(settled[1]),
            window_end_height=border + params.challenge_window,
        )

    def _members(self, epoch: Epoch, before: SealedEpoch | None) -> SequencerSet:
        if before is not None:
            return set_of_seal(before.body)
        members = self._node.chain.members_of(epoch)
        return self._node.chain.final.members if members is None else members

    def _epoch_state(self, epoch: Epoch, sealed: SealedEpoch | None) -> EpochState:
        node, bridge = self._node, self._node.chain.final.bridge
        if sealed is None:
            return EpochState.OPEN
        if epoch > bridge.settled_through:
            return EpochState.SEALED
        anchor = node.genesis.draft.anchor_height
        if not is_withdrawable(node.params, anchor, bridge.settled_through, epoch, self._origin):
            return EpochState.COMMITTED
        waiting = any(item.epoch == epoch for item in node.chain.ledger.pending_payouts())
        return EpochState.WITHDRAWABLE if waiting else EpochState.PAID

    def withdrawal(self, payout_id: int) -> WithdrawalReport | None:
        node = self._node
        source = node.store.payout_source(payout_id)
        paid = node.store.payout_paid(payout_id)
        if paid is not None:
            return self._paid(payout_id, source, *paid)
        pending = next(
            (p for p in node.chain.ledger.pending_payouts() if p.payout_id == payout_id), None
        )
        if pending is None:
            return None
        state, settlement, output = self._planned_payout(payout_id)
        border = node.params.epoch_start(node.genesis.draft.anchor_height, Epoch(pending.epoch + 1))
        return WithdrawalReport(
            id=payout_id,
            state=state,
            txid=None if source is None else source[0].hex(),
            epoch=pending.epoch,
            amount_sats=pending.amount,
            script=pending.script.hex(),
            settlement=settlement,
            output=output,
            earliest_height=border + node.params.challenge_window,
        )

    def _planned_payout(self, payout_id: int) -> tuple[WithdrawalState, str | None, int | None]:
        """State, settlement and output of a payout that no buried settlement has paid."""
        bridge = self._node.chain.final.bridge
        if bridge.in_flight is None:
            return WithdrawalState.BURNED, None, None
        ids = [item.payout_id for item in bridge.in_flight.plan.payouts]
        if payout_id not in ids:
            return WithdrawalState.BURNED, None, None
        output = 2 + ids.index(payout_id)
        complete = self._node.store.settlements(bridge.in_flight.plan.last_epoch)
        if not complete:
            return WithdrawalState.PLANNED, None, output
        version = bridge.versions(self._node.params)[complete[-1][0]]
        return WithdrawalState.BROADCAST, display_id(version.txid), output

    def _paid(
        self,
        payout_id: int,
        source: tuple[Hash32, BlockHeight] | None,
        last_epoch: Epoch,
        output: int,
    ) -> WithdrawalReport | None:
        sealed = self._node.store.sealed(last_epoch)
        settled = self._node.store.settled(last_epoch)
        if sealed is None or settled is None:
            return None
        plan = SettlementPlan.decode(sealed.body.plan)
        payout = next(item for item in plan.payouts if item.payout_id == payout_id)
        burned = None if source is None else self._node.store.digest_at(source[1])
        block = None if burned is None else self._node.chain.block(burned[0])
        return WithdrawalReport(
            id=payout_id,
            state=WithdrawalState.PAID,
            txid=None if source is None else source[0].hex(),
            epoch=last_epoch if block is None else block.header.epoch,
            amount_sats=payout.amount,
            script=payout.script.hex(),
            settlement=display_id(settled[0]),
            output=output,
            earliest_height=None,
        )

    def deposit(self, outpoint: OutPoint) -> DepositReport | None:
        node, bridge = self._node, self._node.chain.final.bridge
        place = self._find_deposit(outpoint)
        if place is None:
            return None
        height, found = place
        timeout = Height(height + node.params.deposit_timeout)
        minted = node.store.minted(outpoint)
        settled = None if minted is None else node.store.settled(minted[0])
        state, why = DepositState.MINTED, ""
        if minted is None:
            state, why = self._unswept(outpoint, height, found)
        settlement = None if settled is None else display_id(settled[0])
        if state is DepositState.PLANNED and bridge.in_flight is not None:
            complete = node.store.settlements(bridge.in_flight.plan.last_epoch)
            if complete:
                version = bridge.versions(node.params)[complete[-1][0]]
                settlement = display_id(version.txid)
        return DepositReport(
            outpoint=f"{display_id(outpoint.txid)}:{outpoint.vout}",
            state=state,
            why=why,
            amount_sats=found.value,
            recipient=found.request.recipient.hex(),
            generation=found.request.generation,
            confirmed_height=height,
            timeout_height=timeout,
            settlement=settlement,
            credited_sats=None if minted is None else minted[1],
        )

    def _find_deposit(self, outpoint: OutPoint) -> tuple[Height, FoundDeposit] | None:
        """The deposit on this node's best chain, newest blocks first."""
        watcher, bridge = self._node.watcher, self._node.chain.final.bridge
        for number in range(watcher.tip_height, watcher.start - 1, -1):
            block = watcher.block(Height(number))
            for item in () if block is None else block.relevant:
                found = self._deposit_in(item, outpoint, bridge.generations)
                if found is not None:
                    return Height(number), found
        return None

    def _deposit_in(
        self, item: RelevantTransaction, outpoint: OutPoint, generations: object
    ) -> FoundDeposit | None:
        if item.announces is not BitcoinTag.DEPOSIT or item.transaction.txid != outpoint.txid:
            return None
        params = self._node.params
        for found in deposits_in(
            params.network,
            item.transaction,
            generations,  # type: ignore[arg-type]
            params.deposit_timeout,
        ):
            if found.vout == outpoint.vout:
                return found
        return None

    def _unswept(
        self, outpoint: OutPoint, height: Height, found: FoundDeposit
    ) -> tuple[DepositState, str]:
        node, bridge = self._node, self._node.chain.final.bridge
        if bridge.in_flight and any(
            item.outpoint == outpoint for item in bridge.in_flight.plan.deposits
        ):
            return DepositState.PLANNED, ""
        if self._is_spent(outpoint):
            return DepositState.RETURNED, ""
        if height > self._origin:
            return DepositState.SEEN, ""
        if any(item.deposit.outpoint == outpoint for item in bridge.deposits):
            return self._waiting(height, found.value)
        if found.value < node.params.deposit_minimum:
            return DepositState.REFUSED, f"below the minimum of {node.params.deposit_minimum} sat"
        return DepositState.REFUSED, "too late to be swept, or paid to an older generation"

    def _waiting(self, height: Height, value: Sats) -> tuple[DepositState, str]:
        if not has_time_left(self._node.params, height, self._origin):
            return DepositState.REFUSED, "too late to be swept before its timeout"
        return DepositState.BURIED, ""

    def _is_spent(self, outpoint: OutPoint) -> bool:
        watcher = self._node.watcher
        for number in range(watcher.tip_height, watcher.start - 1, -1):
            block = watcher.block(Height(number))
            if block and any(outpoint in item.spends for item in block.relevant):
                return True
        return False
