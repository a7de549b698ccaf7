"""The act `peg`: bitcoin goes in, moves a thousand times, and comes back out.

Each step is checked where it counts: stakes and payouts on Bitcoin itself, the ledger's part
through the nodes' API, and at the end (in `acts`) by re-execution from genesis.
"""

from functools import partial
from typing import Any, Final

import trio

from p2p_seq.api.client import ApiClient
from p2p_seq.api.types import DepositReport, DepositState, WithdrawalReport, WithdrawalState
from p2p_seq.bitcoin.address import encode_address
from p2p_seq.bitcoin.rpc import satoshi
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.protocol.transactions import ReceiptCode
from p2p_seq.protocol.types import Epoch, Sats, display_id
from p2p_seq.settlement.scripts import parse_settlement_op_return
from p2p_seq.settlement.transactions import NOTE_OUTPUT
from p2p_seq.signer import schnorr
from p2p_seq.wallet.orders import LedgerAccount, Signed
from testnet.stage import ActFailedError, Stage, require
from testnet.traffic import derive_accounts, fly, ring_transfers

DEPOSIT: Final = Sats(100_000_000)
"""One bitcoin."""

ACCOUNTS: Final = 100
TRANSFERS: Final = 1_000
ACCOUNT_FUNDS: Final = Sats(200_000)
TRANSFER_AMOUNT: Final = Sats(1_000)
WITHDRAWAL: Final = Sats(25_000_000)

PACE_S: Final = 0.1
"""Between two batches: 200 transfers a second."""

PATIENCE_BLOCKS: Final = 60
"""Bitcoin blocks within which every peg step must be done; they need about 15."""

TRAFFIC_PATIENCE_S: Final = 60.0

RECEIPT_LANES: Final = 4
"""Questions about receipts that are open at one time."""


async def play_peg(stage: Stage) -> None:
    """Raises ActFailedError."""
    patience = max(60.0, PATIENCE_BLOCKS * stage.testnet.plan.block_interval)
    await _show_stakes(stage)
    credited = await _deposit(stage, patience)
    alice = LedgerAccount(stage.chain, stage.dev_wallet("alice")[0].account)
    spent = await _move(stage, alice)
    await _show_election(stage, Epoch(1), patience)
    await _withdraw(stage, alice, credited - spent, patience)
    await _show_settlements(stage)


async def _show_stakes(stage: Stage) -> None:
    """Every founder's bond is on Bitcoin, unspent and buried."""
    for founder in stage.testnet.genesis.genesis.founders:
        bond = founder.bond
        coin: Any = await stage.bitcoin.call("gettxout", display_id(bond.txid), bond.vout)
        require(coin is not None, f"the bond {bond} is not unspent on Bitcoin")
        require(satoshi(coin["value"]) == founder.value, f"the bond {bond} has another value")
        depth = int(coin["confirmations"])
        require(depth >= stage.params.burial_depth, f"the bond {bond} is not buried")
        stage.step("stake", outpoint=str(bond), value_sats=founder.value, confirmations=depth)
    await _show_election(stage, Epoch(0), 30.0)


async def _show_election(stage: Stage, epoch: Epoch, patience_s: float) -> None:
    """The set of an epoch is that of all founders: nobody was slashed, everybody is eligible."""

    async def look() -> Any:
        return await stage.ask(lambda client: client.epoch(epoch))

    report = await stage.wait_for(f"epoch {epoch}", patience_s, look)
    founders = {f.consensus_key.hex() for f in stage.testnet.genesis.genesis.founders}
    require(set(report.members) == founders, f"the set of epoch {epoch} is not the founders'")
    require(all(weight > 0 for weight in report.weights), "a member has no weight")
    stage.step("election", epoch=epoch, members=report.members, weights=report.weights)


async def _deposit(stage: Stage, patience_s: float) -> int:
    """Lock one bitcoin; returns the satoshi that the ledger credited."""
    begun = trio.current_time()
    made = await stage.with_wallet("alice", lambda wallet: wallet.deposit(DEPOSIT))
    outpoint = str(made.outpoint)
    stage.step("deposit", outpoint=outpoint, amount_sats=DEPOSIT)
    reached: list[DepositState] = []

    async def minted() -> DepositReport | None:
        report = await stage.ask(lambda client: client.deposit(outpoint))
        if report is not None and report.state not in reached:
            reached.append(report.state)
            stage.step(f"deposit is {report.state}", height=report.confirmed_height)
        if report is not None and report.state is DepositState.REFUSED:
            raise ActFailedError(f"the deposit is refused: {report.why}")
        return report if report is not None and report.credited_sats is not None else None

    report = await stage.wait_for("the mint", patience_s, minted)
    stage.report.figures["deposit_to_mint_s"] = round(trio.current_time() - begun, 3)
    credited = report.credited_sats or 0
    require(0 < credited <= DEPOSIT, f"{credited} sat were credited for {DEPOSIT}")
    require(report.settlement is not None, "the mint names no settlement")
    await _require_swept(stage, outpoint, str(report.settlement))
    account = await stage.ask(lambda client: client.account(made.recipient.hex()))
    require(account is not None and account.balance_sats == credited, "the balance is another one")
    stage.step("mint", credited_sats=credited, settlement=report.settlement)
    return credited


async def _require_swept(stage: Stage, outpoint: str, settlement: str) -> None:
    """Bitcoin itself says that the settlement spent the deposit, buried."""
    raw: Any = await stage.bitcoin.call("getrawtransaction", settlement, 1)
    spent = {f"{item['txid']}:{item['vout']}" for item in raw["vin"]}
    require(outpoint in spent, "the settlement does not spend the deposit")
    depth = int(raw.get("confirmations", 0))
    require(depth >= stage.params.burial_depth, "the sweeping settlement is not buried")


async def _move(stage: Stage, alice: LedgerAccount) -> int:
    """Make the accounts, then the transfers; returns what alice paid."""
    status = await stage.ask(lambda client: client.status())
    fee = Sats(status.prices.transfer_sats)
    funder = await stage.ask(lambda client: client.account(alice.key.hex()))
    if funder is None:
        raise ActFailedError("the depositor has no account")
    keys, _ = stage.dev_wallet("alice")
    accounts = derive_accounts(stage.chain, keys.keystore.secret("demo", funder.nonce), ACCOUNTS)
    gifts = [
        alice.transfer(funder.nonce + index, fee, account.key, ACCOUNT_FUNDS)
        for index, account in enumerate(accounts)
    ]
    await fly(stage, gifts, PACE_S, TRAFFIC_PATIENCE_S)
    await _check_receipts(stage, gifts)
    stage.step("accounts", count=len(accounts), funds_sats=ACCOUNT_FUNDS)
    nonces = []
    for account in accounts:
        report = await stage.ask(partial(ApiClient.account, key=account.key.hex()))
        require(report is not None, "a funded account does not exist")
        nonces.append(0 if report is None else report.nonce)
    transfers = ring_transfers(accounts, nonces, TRANSFERS // ACCOUNTS, fee, TRANSFER_AMOUNT)
    flight = await fly(stage, transfers, PACE_S, TRAFFIC_PATIENCE_S)
    await _check_receipts(stage, transfers)
    await _check_balances(stage, accounts, fee)
    latencies = sorted(flight.latencies_ms())
    figures = stage.report.figures
    figures["transfer_finality_p50_ms"] = round(latencies[len(latencies) // 2], 1)
    figures["transfer_finality_p99_ms"] = round(latencies[len(latencies) * 99 // 100], 1)
    stage.step(
        "transfers",
        count=len(transfers),
        accounts=len(accounts),
        first_height=min(flight.heights.values()),
        last_height=max(flight.heights.values()),
        finality_p50_ms=figures["transfer_finality_p50_ms"],
        finality_p99_ms=figures["transfer_finality_p99_ms"],
        first=transfers[0].txid.hex(),
        last=transfers[-1].txid.hex(),
    )
    return len(gifts) * (ACCOUNT_FUNDS + fee)


async def _check_receipts(stage: Stage, transactions: list[Signed]) -> None:
    """Every transaction is in a final block with receipt OK."""
    waiting = list(transactions)

    async def lane() -> None:
        while waiting:
            txid = waiting.pop().txid.hex()
            report = await stage.ask(partial(ApiClient.transaction, txid=txid))
            receipt = None if report is None else report.receipt
            require(receipt == ReceiptCode.OK.name, f"transaction {txid} has receipt {receipt}")

    async with trio.open_nursery() as nursery:
        for _ in range(RECEIPT_LANES):
            nursery.start_soon(lane)


async def _check_balances(stage: Stage, accounts: list[LedgerAccount], fee: Sats) -> None:
    """In the ring everybody receives what it sent, so only the fees are gone."""
    expected = ACCOUNT_FUNDS - TRANSFERS // ACCOUNTS * fee
    for account in accounts:
        report = await stage.ask(partial(ApiClient.account, key=account.key.hex()))
        balance = None if report is None else report.balance_sats
        require(balance == expected, f"an account has {balance} sat, not {expected}")


async def _withdraw(stage: Stage, alice: LedgerAccount, left: int, patience_s: float) -> None:
    """Burn on the ledger, and see the very output arrive on Bitcoin, buried."""
    keys, _ = stage.dev_wallet("alice")
    account = await stage.ask(lambda client: client.account(alice.key.hex()))
    require(account is not None and account.balance_sats == left, "alice has another balance")
    nonce = 0 if account is None else account.nonce
    # An address that nobody has paid to before: what arrives there is this payout.
    script = key_path_script(schnorr.public_key(keys.keystore.secret("payout", nonce)))
    status = await stage.ask(lambda client: client.status())
    fee = Sats(status.prices.withdraw_sats)
    begun = trio.current_time()
    signed = alice.withdraw(nonce, fee, WITHDRAWAL, script)
    await fly(stage, [signed], PACE_S, TRAFFIC_PATIENCE_S)
    await _check_receipts(stage, [signed])
    report = await stage.ask(lambda client: client.transaction(signed.txid.hex()))
    if report is None or report.withdrawal is None:
        raise ActFailedError("the withdrawal's receipt names no payout")
    number = report.withdrawal
    stage.step(
        "withdrawal",
        transaction=signed.txid.hex(),
        payout=number,
        amount_sats=WITHDRAWAL,
        address=encode_address(script, stage.params.bitcoin_chain),
        height=report.height,
        epoch=report.epoch,
    )
    reached: list[WithdrawalState] = []

    async def paid() -> WithdrawalReport | None:
        found = await stage.ask(lambda client: client.withdrawal(number))
        if found is not None and found.state not in reached:
            reached.append(found.state)
            stage.step(f"withdrawal is {found.state}", settlement=found.settlement)
        return found if found is not None and found.state is WithdrawalState.PAID else None

    found = await stage.wait_for("the payout", patience_s, paid)
    await _require_arrived(stage, found, script)
    stage.report.figures["withdraw_to_payout_s"] = round(trio.current_time() - begun, 3)


async def _require_arrived(stage: Stage, found: WithdrawalReport, script: bytes) -> None:
    """Bitcoin itself has the coin, unspent, with exactly the amount, D deep."""
    coin: Any = await stage.bitcoin.call("gettxout", found.settlement, found.output, False)
    require(coin is not None, "the payout is not unspent on Bitcoin")
    require(coin["scriptPubKey"]["hex"] == script.hex(), "the payout is somebody else's")
    require(satoshi(coin["value"]) == WITHDRAWAL, "the payout has another amount")
    depth = int(coin["confirmations"])
    require(depth >= stage.params.burial_depth, f"the payout is only {depth} deep")
    stage.step(
        "payout",
        settlement=found.settlement,
        output=found.output,
        amount_sats=WITHDRAWAL,
        confirmations=depth,
    )


async def _show_settlements(stage: Stage) -> None:
    """Each settled epoch's transaction is on Bitcoin and commits to its state."""
    status = await stage.ask(lambda client: client.status())
    require(status.settled_epoch is not None, "nothing was settled")
    seen: set[str] = set()
    for epoch in range((status.settled_epoch or 0) + 1):
        report = await stage.ask(partial(ApiClient.epoch, epoch=epoch))
        if report is None or report.settlement is None:
            raise ActFailedError(f"epoch {epoch} is settled and names no settlement")
        raw: Any = await stage.bitcoin.call("getrawtransaction", report.settlement, 1)
        script = bytes.fromhex(raw["vout"][NOTE_OUTPUT]["scriptPubKey"]["hex"])
        note = parse_settlement_op_return(stage.params.network, script)
        if note is None or note.last_epoch < epoch:
            raise ActFailedError(f"settlement {report.settlement} does not cover epoch {epoch}")
        if note.last_epoch == epoch:
            require(note.state_root.hex() == report.state_after, "it commits to another state")
        if report.settlement not in seen:
            seen.add(report.settlement)
            stage.step(
                "settlement",
                transaction=report.settlement,
                last_epoch=note.last_epoch,
                state_root=note.state_root.hex(),
                confirmations=int(raw.get("confirmations", 0)),
            )
