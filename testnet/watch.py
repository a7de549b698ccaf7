"""What goes on in a testnet: one look at every node, at Bitcoin's settlements and at the pegs.

Deposits are found where they are made, in Bitcoin's blocks; withdrawals are counted up from the
first. Both tell whether something is pending, and then the embedded node mines at its quick pace.
"""

from dataclasses import dataclass, field
from typing import Final

import trio

from p2p_seq.api.client import ApiClient, ApiError
from p2p_seq.api.types import (
    DepositReport,
    DepositState,
    NodeStatus,
    WithdrawalReport,
    WithdrawalState,
)
from p2p_seq.bitcoin.block import Block
from p2p_seq.bitcoin.rpc import BitcoinRpc
from p2p_seq.bitcoin.scan import announcement
from p2p_seq.protocol.tags import BitcoinTag
from p2p_seq.protocol.types import OutPoint
from testnet.launch import Testnet, keep_active
from testnet.layout import node_name

LOOK_SECONDS: Final = 0.5
"""Between two looks."""

ACTIVITY_SECONDS: Final = 10
"""The quick pace is kept so long after each look that found something pending."""

LISTED_MAX: Final = 6
"""Settlements and pegs that are shown, newest last."""

OPEN_DEPOSITS: Final = frozenset({DepositState.SEEN, DepositState.BURIED, DepositState.PLANNED})

BLOCKS_PER_LOOK: Final = 20


@dataclass(slots=True)
class View:
    """The last look."""

    nodes: dict[str, NodeStatus | None] = field(default_factory=dict)
    """By name; None for a node that does not answer."""
    bitcoin_height: int | None = None
    settlements: list[tuple[int, str]] = field(default_factory=list)
    """(epoch, Bitcoin txid), ascending; one settlement may cover several epochs."""
    deposits: dict[str, DepositReport] = field(default_factory=dict)
    withdrawals: dict[int, WithdrawalReport] = field(default_factory=dict)

    @property
    def is_pending(self) -> bool:
        return any(item.state in OPEN_DEPOSITS for item in self.deposits.values()) or any(
            item.state is not WithdrawalState.PAID for item in self.withdrawals.values()
        )


class Watch:
    """Looks again and again; `view` is the newest."""

    def __init__(self, testnet: Testnet, clients: list[ApiClient]) -> None:
        self._network = testnet.params.network
        self._bitcoin: BitcoinRpc = testnet.bitcoin
        self._clients = clients
        self._scanned = testnet.genesis.genesis.draft.anchor_height
        self._announced: list[str] = []
        self.view = View()

    async def run(self) -> None:
        while True:
            await self.look()
            await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        async with trio.open_nursery() as nursery:
            for index, client in enumerate(self._clients):
                nursery.start_soon(self._ask, node_name(index), client)
        try:
            await self._scan_bitcoin()
            foremost = self._foremost()
            if foremost is not None:
                await self._ask_pegs(foremost)
            if self.view.is_pending:
                await keep_active(self._bitcoin, ACTIVITY_SECONDS)
        except (ApiError, ConnectionError):
            return  # gone in this moment: the next look says who

    def _foremost(self) -> ApiClient | None:
        """The node with the newest block: one that was just restarted knows less."""
        heights = {
            index: status.height
            for index in range(len(self._clients))
            if (status := self.view.nodes.get(node_name(index))) is not None
        }
        if not heights:
            return None
        return self._clients[max(heights, key=lambda index: heights[index])]

    async def _ask(self, name: str, client: ApiClient) -> None:
        try:
            self.view.nodes[name] = await client.status()
        except ApiError:
            self.view.nodes[name] = None

    async def _scan_bitcoin(self) -> None:
        """Outpoints that announced deposits, of blocks that were not looked at yet."""
        tip = int(await self._bitcoin.call("getblockcount"))
        self.view.bitcoin_height = tip
        for height in range(self._scanned + 1, min(tip, self._scanned + BLOCKS_PER_LOOK) + 1):
            block_hash = await self._bitcoin.call("getblockhash", height)
            encoded = await self._bitcoin.call("getblock", block_hash, 0)
            for transaction in Block.parse(bytes.fromhex(encoded)).transactions:
                if announcement(self._network, transaction)[0] is BitcoinTag.DEPOSIT:
                    self._announced += [
                        str(OutPoint(transaction.txid, vout))
                        for vout in range(len(transaction.outputs))
                    ]
            self._scanned = type(self._scanned)(height)

    async def _ask_pegs(self, client: ApiClient) -> None:
        view = self.view
        for outpoint in list(self._announced):
            known = view.deposits.get(outpoint)
            if known is None or known.state in OPEN_DEPOSITS:
                report = await client.deposit(outpoint)
                if report is not None:
                    view.deposits[outpoint] = report
                elif outpoint.partition(":")[0] in {key.partition(":")[0] for key in view.deposits}:
                    self._announced.remove(outpoint)  # change of a deposit that was found
        number = 1
        while (known_payout := view.withdrawals.get(number)) is None or (
            known_payout.state is not WithdrawalState.PAID
        ):
            found = await client.withdrawal(number)
            if found is None:
                break
            view.withdrawals[number] = found
            number += 1
        await self._ask_settlements(client)

    async def _ask_settlements(self, client: ApiClient) -> None:
        statuses = [status for status in self.view.nodes.values() if status is not None]
        settled = max(
            (s.settled_epoch for s in statuses if s.settled_epoch is not None), default=-1
        )
        known = self.view.settlements[-1][0] if self.view.settlements else -1
        for epoch in range(known + 1, settled + 1):
            report = await client.epoch(epoch)
            if report is None or report.settlement is None:
                return
            self.view.settlements.append((epoch, report.settlement))
