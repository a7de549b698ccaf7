"""Many ledger accounts and their transfers, and how soon these become final.

Finality is measured from outside: a submission's time against the moment at which a poll of the
newest final blocks shows the transaction, so the figure includes the way through the API and up to
one pause between two polls.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final

import trio

from p2p_seq.api.client import ApiClient, ApiError
from p2p_seq.api.types import Submission
from p2p_seq.mempool.types import Rejection
from p2p_seq.protocol.types import Sats
from p2p_seq.wallet.orders import LedgerAccount, LedgerChain, Signed
from p2p_seq.wallet.submitting import KNOWN_ALREADY, PASSING, RESUBMIT_SECONDS
from testnet.stage import ActFailedError, Stage

BATCH: Final = 20
"""Transactions of one submission."""

BLOCK_POLL_SECONDS: Final = 0.02


def derive_accounts(chain: LedgerChain, seed: bytes, count: int) -> list[LedgerAccount]:
    """Accounts that one seed names."""
    return [
        LedgerAccount(chain, hmac.digest(seed, b"account" + index.to_bytes(4, "big"), sha256))
        for index in range(count)
    ]


def ring_transfers(
    accounts: Sequence[LedgerAccount], nonces: Sequence[int], rounds: int, fee: Sats, amount: Sats
) -> list[Signed]:
    """In round r every account pays the r-th next one: `rounds` transfers an account."""
    count = len(accounts)
    return [
        account.transfer(
            nonces[index] + turn, fee, accounts[(index + turn + 1) % count].key, amount
        )
        for turn in range(rounds)
        for index, account in enumerate(accounts)
    ]


@dataclass(slots=True)
class Flight:
    """Submitted transactions until they are final."""

    submitted_at: dict[str, float] = field(default_factory=dict)
    final_at: dict[str, float] = field(default_factory=dict)
    heights: dict[str, int] = field(default_factory=dict)

    def latencies_ms(self) -> list[float]:
        return [(self.final_at[txid] - at) * 1_000 for txid, at in self.submitted_at.items()]


class BlockFollower:
    """Sees every final block once, in order, from whichever node answers."""

    def __init__(self, stage: Stage, height: int) -> None:
        self._stage = stage
        self.height = height
        """The last block that was seen."""

    async def next_blocks(self) -> list[tuple[int, list[str]]]:
        """(height, transaction ids) of blocks that are new; may be empty."""
        found: list[tuple[int, list[str]]] = []
        while True:
            # Not a node's own height: one that was restarted is behind what was seen already.
            report = await self._stage.ask(partial(ApiClient.block, selector=self.height + 1))
            if report is None:
                return found
            found.append((report.height, report.transactions))
            self.height = report.height


async def fly(
    stage: Stage, transactions: Sequence[Signed], pace_s: float, patience_s: float
) -> Flight:
    """Submit in batches, `pace_s` apart, round robin; return when all are final.

    Raises ActFailedError when some are not final in time, or when a node rejects one.
    """
    flight = Flight()
    status = await stage.ask(lambda client: client.status())
    follower = BlockFollower(stage, status.height)
    with trio.move_on_after(patience_s):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_submit_all, stage, transactions, pace_s, flight)
            await _follow(follower, flight, {item.txid.hex() for item in transactions})
            nursery.cancel_scope.cancel()
    missing = len(transactions) - len(flight.final_at)
    if missing:
        raise ActFailedError(f"{missing} of {len(transactions)} were not final in {patience_s:g} s")
    return flight


async def _follow(follower: BlockFollower, flight: Flight, wanted: set[str]) -> None:
    while wanted:
        for height, txids in await follower.next_blocks():
            now = trio.current_time()
            for txid in wanted.intersection(txids):
                flight.final_at[txid], flight.heights[txid] = now, height
            wanted.difference_update(txids)
        await trio.sleep(BLOCK_POLL_SECONDS)


async def _submit_all(
    stage: Stage, transactions: Sequence[Signed], pace_s: float, flight: Flight
) -> None:
    turn = 0
    start = trio.current_time()
    for first in range(0, len(transactions), BATCH):
        batch = transactions[first : first + BATCH]
        # Open loop: the pace does not wait for the nodes.
        await trio.sleep_until(start + turn * pace_s)
        now = trio.current_time()
        for item in batch:
            flight.submitted_at[item.txid.hex()] = now
        await _submit(stage, batch, turn)
        turn += 1
    while True:
        await trio.sleep(RESUBMIT_SECONDS)
        late = [item for item in transactions if item.txid.hex() not in flight.final_at]
        for first in range(0, len(late), BATCH):
            await _submit(stage, late[first : first + BATCH], turn)
        turn += 1


async def _submit(stage: Stage, batch: Sequence[Signed], turn: int) -> None:
    """To the node whose turn it is, or the next that takes it."""
    count = len(stage.clients)
    for offset in range(count):
        client: ApiClient = stage.clients[(turn + offset) % count]
        try:
            report = await client.submit(item.encoded for item in batch)
        except ApiError as error:
            if error.status is not None and error.status < 500:
                raise
            continue
        reasons = {_judge(item) for item in report.items}
        if not reasons & PASSING:
            return


def _judge(item: Submission) -> Rejection | None:
    """Why it was not taken, if trying again may help. Raises ActFailedError otherwise."""
    if item.accepted or item.reason is None:
        return None
    reason = Rejection(item.reason)
    # A used nonce is this very transaction's, final: these accounts make no other one.
    if reason in KNOWN_ALREADY or reason in PASSING or reason is Rejection.NONCE_USED:
        return reason
    raise ActFailedError(f"a node rejects {item.txid}: {item.why}")
