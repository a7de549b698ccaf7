"""The wallet's shell: asks Bitcoin and a node, signs, sends.

Nothing is broadcast before what is needed to undo it is on disk. Errors are OperatorError in the
words of a user; BitcoinRpcError of a refused transaction becomes one.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import trio

from p2p_seq.api.client import ApiClient
from p2p_seq.api.types import (
    AccountReport,
    DepositReport,
    DepositState,
    TransactionReport,
    WithdrawalReport,
    WithdrawalState,
)
from p2p_seq.bitcoin.address import decode_address, encode_address
from p2p_seq.bitcoin.coins import find_coins
from p2p_seq.bitcoin.rpc import BitcoinRpc, BitcoinRpcError
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import Transaction, TxOut
from p2p_seq.bitcoin.wallet import build_payment
from p2p_seq.protocol.errors import CodecError, OperatorError, RemoteError
from p2p_seq.protocol.types import Hash32, OutPoint, Sats, SatsPerKvb, XOnlyKey, display_id
from p2p_seq.signer import schnorr
from p2p_seq.signer.spending import sign_payment
from p2p_seq.wallet.deposits import DEPOSIT_VOUT, DepositNote, generation_of, payments
from p2p_seq.wallet.file import DepositJournal, WalletKeys
from p2p_seq.wallet.orders import LedgerAccount, LedgerChain, Signed
from p2p_seq.wallet.submitting import KNOWN_ALREADY, PASSING, RESUBMIT_SECONDS, refusal

FEERATE: Final = SatsPerKvb(2_000)
"""What the wallet's Bitcoin transactions pay unless the user says otherwise."""

POLL_SECONDS: Final = 0.25
"""Pause between two looks at something that is awaited."""

LAST_STATES: Final = frozenset({DepositState.MINTED, DepositState.REFUSED, DepositState.RETURNED})
"""States of a deposit that do not change by waiting for the network."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Both sides of a wallet."""

    address: str
    """On Bitcoin."""
    bitcoin_sats: int
    account: str
    """On the ledger: its x-only key."""
    report: AccountReport | None
    """None when the account does not exist yet."""
    on_the_way_sats: int
    """In deposits that are neither swept nor taken back."""


@dataclass(frozen=True, slots=True)
class Deposited:
    """A deposit that Bitcoin has taken into its mempool."""

    outpoint: OutPoint
    amount: Sats
    recipient: XOnlyKey


class Wallet:
    """One wallet over one Bitcoin node and one node of the network."""

    def __init__(
        self,
        keys: WalletKeys,
        journal: DepositJournal,
        bitcoin: BitcoinRpc,
        api: ApiClient,
        bitcoin_chain: str,
    ) -> None:
        self._keys = keys
        self._journal = journal
        self._bitcoin = bitcoin
        self._api = api
        self._bitcoin_chain = bitcoin_chain
        self.script = key_path_script(schnorr.public_key(keys.bitcoin))
        self.address = encode_address(self.script, bitcoin_chain)
        self.account_key = schnorr.public_key(keys.account)

    async def balance(self) -> Balance:
        coins = await find_coins(self._bitcoin, self.script)
        on_the_way = 0
        for note in self._journal.notes():
            if await self._unspent(note.outpoint) is not None:
                on_the_way += note.amount
        return Balance(
            self.address,
            sum(coin.value for coin in coins),
            self.account_key.hex(),
            await self._api.account(self.account_key.hex()),
            on_the_way,
        )

    # To the ledger

    async def deposit(
        self, amount: Sats, recipient: XOnlyKey | None = None, feerate: SatsPerKvb = FEERATE
    ) -> Deposited:
        """Lock bitcoin for an account of the ledger, by default the wallet's own."""
        report = await self._api.vault()
        if report.bitcoin_chain != self._bitcoin_chain:
            raise OperatorError(
                f"the node is on Bitcoin's {report.bitcoin_chain!r}",
                f"the wallet is for {self._bitcoin_chain!r}",
                "name a node of the wallet's network with --api",
                code=2,
            )
        credited = self.account_key if recipient is None else recipient
        index = len(self._journal.notes())
        user_key = schnorr.public_key(self._keys.deposit(index))
        outputs = payments(report, credited, user_key, amount)
        transaction = await self._build(outputs, feerate)
        outpoint = transaction.outpoint(DEPOSIT_VOUT)
        generation, timeout = generation_of(report), report.deposit_timeout
        # On disk before it is on Bitcoin: the way back needs the generation's keys.
        self._journal.append(DepositNote(outpoint, amount, generation, timeout, credited, index))
        await self._broadcast(transaction)
        return Deposited(outpoint, amount, credited)

    async def follow_deposit(self, outpoint: OutPoint) -> AsyncIterator[DepositReport]:
        """Each new state until one that waiting does not change."""
        last: DepositState | None = None
        while last not in LAST_STATES:
            report = await self._api.deposit(str(outpoint))
            if report is not None and report.state is not last:
                last = report.state
                yield report
            await trio.sleep(POLL_SECONDS)

    async def reclaim(self, outpoint: OutPoint, feerate: SatsPerKvb = FEERATE) -> Transaction:
        """Take a deposit back that was not swept in time. Raises OperatorError when it is too
        early, or when the coin is gone.
        """
        note = next((n for n in self._journal.notes() if n.outpoint == outpoint), None)
        if note is None:
            raise OperatorError(
                f"this wallet made no deposit {outpoint}",
                "it is not in the wallet's journal",
                "name the wallet that made it, or an outpoint that `wallet balance` lists",
                code=2,
            )
        coin = await self._unspent(outpoint)
        if coin is None:
            raise OperatorError(
                f"the deposit {outpoint} cannot be taken back",
                "its coin is spent: it was swept into the vault, or taken back before",
                "see its state with `p2pseq wallet balance`",
            )
        missing = note.timeout - int(coin["confirmations"])
        if missing > 0:
            raise OperatorError(
                f"the deposit {outpoint} cannot be taken back yet",
                f"its timeout is {note.timeout} blocks, {missing} are missing",
                f"try again {missing} Bitcoin blocks later",
            )
        secret = self._keys.deposit(note.key_index)
        try:
            way_back = note.reclaim(schnorr.public_key(secret), self.script, feerate)
        except RemoteError as error:
            raise _refused("the deposit cannot pay its way back", str(error)) from error
        transaction = way_back.complete(schnorr.sign(secret, way_back.message))
        await self._broadcast(transaction)
        return transaction

    def notes(self) -> list[DepositNote]:
        """Every deposit of the journal, oldest first."""
        return self._journal.notes()

    # On the ledger and back

    async def transfer(self, recipient: XOnlyKey, amount: Sats, fee: Sats | None = None) -> Signed:
        """Pay another account. Raises OperatorError when the node does not take it."""
        chain, nonce, prices = await self._present()
        account = LedgerAccount(chain, self._keys.account)
        signed = account.transfer(nonce, fee or prices[0], recipient, amount)
        await self._submit(signed)
        return signed

    async def withdraw(self, address: str, amount: Sats, fee: Sats | None = None) -> Signed:
        """Burn here, to be paid to an address of Bitcoin by a settlement."""
        try:
            script = decode_address(address, self._bitcoin_chain)
        except CodecError as error:
            raise OperatorError(
                f"{address[:100]!r} is not an address of Bitcoin's {self._bitcoin_chain}",
                error.detail,
                "check every character",
                code=2,
            ) from error
        chain, nonce, prices = await self._present()
        account = LedgerAccount(chain, self._keys.account)
        signed = account.withdraw(nonce, fee or prices[1], amount, script)
        await self._submit(signed)
        return signed

    async def wait_final(self, signed: Signed) -> TransactionReport:
        """Return when a submitted transaction is in a final block.

        A node that does not know it any more (it was restarted, or was full) gets it again. Raises
        OperatorError when it does not take it now: another one with its nonce came first.
        """
        while True:
            report = await self._api.transaction(signed.txid.hex())
            if report is not None and report.height is not None:
                return report
            pause = POLL_SECONDS
            if report is None and not await self._submit_again(signed):
                pause = RESUBMIT_SECONDS
            await trio.sleep(pause)

    async def _submit_again(self, signed: Signed) -> bool:
        """Whether the node knows it now; False for a node that may take it later."""
        (item,) = (await self._api.submit(signed.encoded)).items
        if item.accepted or item.reason in KNOWN_ALREADY:
            return True
        if item.reason in PASSING:
            return False
        raise refusal(item)

    async def follow_withdrawal(self, signed: Signed) -> AsyncIterator[WithdrawalReport]:
        """Each new state until it is paid. Raises OperatorError when it failed on the ledger."""
        report = await self.wait_final(signed)
        number = report.withdrawal
        if number is None:
            raise _refused("the withdrawal failed on the ledger", str(report.receipt))
        last: WithdrawalState | None = None
        while last is not WithdrawalState.PAID:
            found = await self._api.withdrawal(number)
            if found is not None and found.state is not last:
                last = found.state
                yield found
            await trio.sleep(POLL_SECONDS)

    # Parts

    async def _present(self) -> tuple[LedgerChain, int, tuple[Sats, Sats]]:
        """Chain, next nonce, and prices of a transfer and a withdrawal."""
        status = await self._api.status()
        report = await self._api.account(self.account_key.hex())
        if report is None:
            raise OperatorError(
                "the wallet has no account on the ledger",
                f"{self.account_key.hex()} was never credited",
                "deposit first, or let somebody pay to it",
            )
        chain = LedgerChain(status.network, Hash32(bytes.fromhex(status.chain_id)))
        prices = status.prices
        fees = Sats(prices.transfer_sats), Sats(prices.withdraw_sats)
        return chain, report.next_nonce, fees

    async def _submit(self, signed: Signed) -> None:
        (item,) = (await self._api.submit(signed.encoded)).items
        if not item.accepted:
            raise refusal(item)

    async def _unspent(self, outpoint: OutPoint) -> dict[str, Any] | None:
        coin: Any = await self._bitcoin.call("gettxout", display_id(outpoint.txid), outpoint.vout)
        return coin if isinstance(coin, dict) else None

    async def _build(self, outputs: tuple[TxOut, ...], feerate: SatsPerKvb) -> Transaction:
        coins = await find_coins(self._bitcoin, self.script)
        try:
            unsigned = build_payment(coins, outputs, self.script, feerate)
        except RemoteError as error:
            raise OperatorError(
                "the wallet cannot pay that on Bitcoin",
                str(error),
                f"send bitcoin to {self.address} first, or choose another amount",
            ) from error
        return sign_payment(unsigned, [self._keys.bitcoin])

    async def _broadcast(self, transaction: Transaction) -> None:
        try:
            await self._bitcoin.call("sendrawtransaction", transaction.serialize().hex())
        except BitcoinRpcError as error:
            raise _refused("Bitcoin does not take the transaction", error.message) from error


def _refused(what: str, why: str) -> OperatorError:
    return OperatorError(what, why, "change it and try again")
