"""A wallet that waits for finality keeps its transaction until a final block has it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2p_seq.api.client import open_client
from p2p_seq.api.http import open_api
from p2p_seq.api.types import Submission, TransactionReport, TransactionState
from p2p_seq.bitcoin.rpc import BitcoinRpc
from p2p_seq.mempool.core import Mempool
from p2p_seq.mempool.types import Account
from p2p_seq.protocol.errors import OperatorError
from p2p_seq.protocol.types import Hash32, Sats
from p2p_seq.wallet import service
from p2p_seq.wallet.file import DepositJournal, create_wallet
from p2p_seq.wallet.orders import LedgerAccount, LedgerChain, Signed
from p2p_seq.wallet.service import Wallet
from tests.unit.api.support import TRANSACTION, WrittenView
from tests.unit.mempool.support import CHAIN_ID, NETWORK, PRICES, DictLedger, key


class RestartingView(WrittenView):
    """A node that can lose its memory, and then finalises what it is given again."""

    def __init__(self, owner: LedgerAccount) -> None:
        super().__init__()
        self._accounts = {owner.key: Account(10**9, 0), key(999): Account(1_000, 0)}
        self.final: set[Hash32] = set()
        self.restart()

    async def submit(self, transactions: bytes) -> Sequence[Submission]:
        outcomes = await super().submit(transactions)
        if outcomes[0].accepted:
            self.submitted.set()
        return outcomes

    def restart(self) -> None:
        self.submitted = trio.Event()
        self.pool = Mempool(DictLedger(dict(self._accounts)), PRICES)

    def finalise(self, owner: LedgerAccount, txid: Hash32 | None) -> None:
        """The nonce is used, by this transaction or by another one."""
        self._accounts[owner.key] = Account(10**9, 1)
        self.restart()
        self.final |= set() if txid is None else {txid}

    def transaction(self, txid: Hash32) -> TransactionReport | None:
        if txid in self.final:
            return replace(TRANSACTION, txid=txid.hex())
        if txid not in self.pool:
            return None
        return replace(
            TRANSACTION, txid=txid.hex(), state=TransactionState.PENDING, height=None, receipt=None
        )


@asynccontextmanager
async def waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[RestartingView, Wallet, LedgerAccount, Signed]]:
    """A wallet, and a transfer that its node has accepted."""
    for pause in ("POLL_SECONDS", "RESUBMIT_SECONDS"):
        monkeypatch.setattr(service, pause, 0.01)
    keys = create_wallet(tmp_path / "wallet.json", "regtest", "regtest", None)
    owner = LedgerAccount(LedgerChain(NETWORK, CHAIN_ID), keys.account)
    signed = owner.transfer(0, Sats(100), key(999), Sats(5_000))
    view = RestartingView(owner)
    bitcoin = BitcoinRpc("http://127.0.0.1:1", None)
    async with open_api(view, "127.0.0.1", 0) as url, open_client(url) as api:
        assert (await api.submit(signed.encoded)).accepted == 1
        journal = DepositJournal(tmp_path / "wallet.json")
        yield view, Wallet(keys, journal, bitcoin, api, "regtest"), owner, signed


async def test_a_transaction_that_died_with_its_node_is_submitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting(tmp_path, monkeypatch) as (view, wallet, owner, signed):

        async def lose_and_finalise() -> None:
            await trio.sleep(0.05)
            view.restart()
            await view.submitted.wait()
            view.finalise(owner, signed.txid)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lose_and_finalise)
            with trio.fail_after(5):
                report = await wallet.wait_final(signed)
        assert (report.txid, report.receipt) == (signed.txid.hex(), "OK")


async def test_a_node_that_is_behind_gets_it_when_it_has_caught_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting(tmp_path, monkeypatch) as (view, wallet, owner, signed):
        view.pool = Mempool(DictLedger({}), PRICES)  # no account yet

        async def catch_up() -> None:
            await trio.sleep(0.1)
            view.restart()
            await view.submitted.wait()
            view.finalise(owner, signed.txid)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(catch_up)
            with trio.fail_after(5):
                assert (await wallet.wait_final(signed)).receipt == "OK"


async def test_one_that_was_overtaken_by_another_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting(tmp_path, monkeypatch) as (view, wallet, owner, signed):
        view.finalise(owner, None)
        with trio.fail_after(5), pytest.raises(OperatorError) as refused:
            await wallet.wait_final(signed)
        assert (refused.value.what, refused.value.why, refused.value.do) == (
            "the node does not take the transaction",
            "a transaction with this nonce has been executed",
            "use `next_nonce` of the account",
        )
