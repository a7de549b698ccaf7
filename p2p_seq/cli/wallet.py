"""`p2pseq wallet`: bitcoin in, transfers, bitcoin out, and the way back of a deposit."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Group, Parameter

from p2p_seq.cli.common import Exit, answer_json, chatter
from p2p_seq.protocol.errors import OperatorError

if TYPE_CHECKING:
    from p2p_seq.protocol.types import OutPoint, Sats, XOnlyKey
    from p2p_seq.wallet.service import Wallet

app = App(
    name="wallet",
    help="Coins on Bitcoin, an account on the ledger, and the ways between them.",
)

WALLET_VARIABLE: Final = "P2PSEQ_WALLET"
API_VARIABLE: Final = "P2PSEQ_API"
BITCOIN_VARIABLE: Final = "P2PSEQ_BITCOIN_RPC_URL"
COOKIE_VARIABLE: Final = "P2PSEQ_BITCOIN_COOKIE_FILE"

DEFAULT_API: Final = "http://127.0.0.1:9545"
DEFAULT_BITCOIN: Final = "http://127.0.0.1:18443"

SHARED: Final = Group("Where", sort_key=90)


@Parameter(name="*", group=SHARED)
@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the wallet, the node and Bitcoin are. A testnet in --dir fills what is not said."""

    wallet: Annotated[
        Path | None, Parameter(help="Wallet file; a testnet's default is alice's.")
    ] = None
    api: Annotated[str | None, Parameter(help="Base URL of a node's API.")] = None
    bitcoin_url: Annotated[
        str | None, Parameter(help="http://[USER:PASSWORD@]HOST:PORT of a Bitcoin node.")
    ] = None
    cookie: Annotated[Path | None, Parameter(help="Cookie file of the Bitcoin node.")] = None
    dir: Annotated[Path, Parameter(help="Folder of a local testnet.")] = Path("testnet-data")
    password_file: Annotated[
        Path | None, Parameter(help="Holds the wallet's password; else it is asked for.")
    ] = None
    json: Annotated[bool, Parameter(help="Answer in JSON.", negative="")] = False


DEFAULTS = Places()


@dataclass(frozen=True, slots=True)
class Resolved:
    """Places with every gap filled."""

    wallet: Path
    api: str
    bitcoin_url: str
    cookie: Path | None


def resolve(places: Places) -> Resolved:
    """Flags, then environment, then the testnet, then defaults. Raises OperatorError."""
    known = _testnet(places.dir)
    wallet = places.wallet or _variable(WALLET_VARIABLE)
    wallet = wallet or known.get("wallet")
    if wallet is None:
        raise OperatorError(
            "no wallet is named",
            f"there is no testnet in {places.dir} whose dev wallet could be meant",
            "give --wallet FILE, or make one with `p2pseq wallet new --wallet FILE`",
            code=Exit.USAGE,
        )
    url = places.bitcoin_url or os.environ.get(BITCOIN_VARIABLE)
    cookie: str | Path | None = places.cookie or os.environ.get(COOKIE_VARIABLE)
    if url is None and cookie is None:
        cookie = known.get("cookie")
    return Resolved(
        Path(wallet).expanduser(),
        places.api or os.environ.get(API_VARIABLE) or known.get("api", DEFAULT_API),
        url or known.get("bitcoin_url", DEFAULT_BITCOIN),
        None if not cookie else Path(cookie).expanduser(),
    )


def _variable(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None


def _testnet(folder: Path) -> dict[str, Any]:
    """What a testnet in the folder offers; empty when there is none."""
    from testnet.layout import DEV_WALLETS
    from testnet.state import read_state

    state = read_state(folder.expanduser().resolve())
    if state is None:
        return {}
    found = {
        "api": state.layout.api_url(0),
        "bitcoin_url": state.bitcoin_url,
        "cookie": state.bitcoin_cookie,
    }
    wallet = state.layout.wallet(DEV_WALLETS[0])
    return {**found, "wallet": wallet} if wallet.exists() else found


@asynccontextmanager
async def open_places(places: Places) -> AsyncIterator["Wallet"]:
    """The wallet over its connections. Raises OperatorError."""
    from p2p_seq.api.client import open_client
    from p2p_seq.bitcoin.rpc import BitcoinRpc, RpcLimits
    from p2p_seq.wallet.file import DepositJournal, open_wallet
    from p2p_seq.wallet.service import Wallet

    where = resolve(places)
    limits = RpcLimits(start_deadline_seconds=5.0)
    async with (
        BitcoinRpc(where.bitcoin_url, where.cookie, limits) as bitcoin,
        open_client(where.api) as api,
    ):
        chain = str((await bitcoin.call("getblockchaininfo"))["chain"])
        keys = open_wallet(where.wallet, chain, _password(places, where.wallet))
        yield Wallet(keys, DepositJournal(where.wallet), bitcoin, api, chain)


def _password(places: Places, wallet: Path) -> str | None:
    """None for a wallet that has none, which only regtest opens."""
    from p2p_seq.cli.password import ask_password, find_password

    found = find_password(str(places.password_file or ""))
    if found is None and _is_encrypted(wallet):
        found = ask_password(is_new=False)
    return found


def _is_encrypted(wallet: Path) -> bool:
    try:
        document = json.loads(wallet.read_text(encoding="utf-8"))
        return bool(document["crypto"]["kdf"]["function"] != "none")
    except (OSError, ValueError, KeyError, TypeError):
        return False  # opening it says what is wrong


@app.command
async def new(
    *,
    network: Annotated[str, Parameter(help="Preset or network file.")] = "regtest",
    places: Places = DEFAULTS,
) -> None:
    """Make a wallet file; one that exists is never overwritten.

    Example: p2pseq wallet new --wallet carol.json
    """
    from p2p_seq.bitcoin.address import encode_address
    from p2p_seq.bitcoin.taproot import key_path_script
    from p2p_seq.cli.password import ask_password, find_password
    from p2p_seq.node.config import network_file
    from p2p_seq.protocol.params import load_params
    from p2p_seq.signer import schnorr
    from p2p_seq.wallet.file import create_wallet

    path = places.wallet or _variable(WALLET_VARIABLE)
    if path is None:
        raise OperatorError(
            "no wallet is named",
            "a new wallet needs a file",
            "give --wallet FILE",
            code=Exit.USAGE,
        )
    params = load_params(network_file(network))
    password = find_password(str(places.password_file or ""))
    if password is None and params.bitcoin_chain != "regtest":
        password = ask_password(is_new=True)
    keys = create_wallet(path.expanduser(), params.network, params.bitcoin_chain, password)
    script = key_path_script(schnorr.public_key(keys.bitcoin))
    answer = {
        "wallet": str(path),
        "network": params.network,
        "address": encode_address(script, params.bitcoin_chain),
        "account": schnorr.public_key(keys.account).hex(),
    }
    _answer(places, answer)
    if password is None:
        chatter("REGTEST ONLY: the file holds its secret in the clear.")
    else:
        chatter("Back up the file: without it and the password the money is gone.")


@app.command
async def balance(*, places: Places = DEFAULTS) -> None:
    """Show what the wallet has on Bitcoin, on the ledger, and on the way between."""
    async with open_places(places) as wallet:
        found = await wallet.balance()
        report = found.report
        answer: dict[str, Any] = {
            "address": found.address,
            "bitcoin_sats": found.bitcoin_sats,
            "account": found.account,
            "ledger_sats": 0 if report is None else report.balance_sats,
            "pending_count": 0 if report is None else report.pending_count,
            "deposits_on_the_way_sats": found.on_the_way_sats,
            "deposits": [
                {"outpoint": str(note.outpoint), "amount_sats": note.amount}
                for note in wallet.notes()
            ],
        }
    _answer(places, answer)


@app.command
async def deposit(
    amount: str,
    *,
    to: Annotated[str | None, Parameter(help="Account to credit; default: the own one.")] = None,
    wait: Annotated[bool, Parameter(help="Follow it until it is minted.", negative="")] = False,
    places: Places = DEFAULTS,
) -> int:
    """Lock bitcoin in the vault; the ledger credits it when the sweep is buried.

    Example: p2pseq wallet deposit 0.5btc --wait
    """
    from p2p_seq.wallet.amounts import parse_amount

    sats = parse_amount(amount)
    recipient = None if to is None else _account(to)
    async with open_places(places) as wallet:
        made = await wallet.deposit(sats, recipient)
        answer: dict[str, Any] = {
            "outpoint": str(made.outpoint),
            "amount_sats": made.amount,
            "recipient": made.recipient.hex(),
        }
        code = Exit.OK
        if wait:
            chatter(f"deposit {made.outpoint}")
            async for report in wallet.follow_deposit(made.outpoint):
                chatter(f"{report.state} {report.why}".strip())
                answer = asdict(report)
                code = Exit.OK if report.state == "minted" else Exit.FAILED
    _answer(places, answer)
    return code


@app.command
async def transfer(
    account: str,
    amount: str,
    *,
    fee: Annotated[str | None, Parameter(help="Default: the present price.")] = None,
    wait: Annotated[bool, Parameter(help="Return when it is final.", negative="")] = False,
    places: Places = DEFAULTS,
) -> int:
    """Pay another account of the ledger. Example: p2pseq wallet transfer <account> 5000sat"""
    from p2p_seq.wallet.amounts import parse_amount

    recipient, sats = _account(account), parse_amount(amount)
    async with open_places(places) as wallet:
        signed = await wallet.transfer(recipient, sats, _fee(fee))
        answer: dict[str, Any] = {"txid": signed.txid.hex()}
        code = Exit.OK
        if wait:
            report = await wallet.wait_final(signed)
            answer = asdict(report)
            code = Exit.OK if report.receipt == "OK" else Exit.FAILED
    _answer(places, answer)
    return code


@app.command
async def withdraw(
    address: str,
    amount: str,
    *,
    fee: Annotated[str | None, Parameter(help="Default: the present price.")] = None,
    wait: Annotated[bool, Parameter(help="Follow it until it is paid.", negative="")] = False,
    places: Places = DEFAULTS,
) -> None:
    """Burn on the ledger; a settlement pays the address on Bitcoin after the window.

    Example: p2pseq wallet withdraw bcrt1p... 0.1btc --wait
    """
    from p2p_seq.wallet.amounts import parse_amount

    sats = parse_amount(amount)
    async with open_places(places) as wallet:
        signed = await wallet.withdraw(address, sats, _fee(fee))
        answer: dict[str, Any] = {"txid": signed.txid.hex()}
        if wait:
            chatter(f"withdrawal {signed.txid.hex()}")
            async for report in wallet.follow_withdrawal(signed):
                chatter(str(report.state))
                answer = asdict(report)
    _answer(places, answer)


@app.command
async def reclaim(outpoint: str, *, places: Places = DEFAULTS) -> None:
    """Take back a deposit that was not swept before its timeout. Needs no node of the network.

    Example: p2pseq wallet reclaim <txid>:0
    """
    from p2p_seq.protocol.types import display_id

    place = _outpoint(outpoint)
    async with open_places(places) as wallet:
        transaction = await wallet.reclaim(place)
    paid = transaction.outputs[0].value
    _answer(places, {"txid": display_id(transaction.txid), "amount_sats": paid})


def _account(text: str) -> "XOnlyKey":
    """An account's key. Raises OperatorError."""
    from p2p_seq.bitcoin.keys import is_xonly_key
    from p2p_seq.protocol.types import XOnlyKey

    try:
        key = XOnlyKey(bytes.fromhex(text))
        is_key = len(text) == 64 and is_xonly_key(key)
    except ValueError:
        is_key, key = False, XOnlyKey(b"")
    if not is_key:
        raise OperatorError(
            f"{text[:80]!r} is not an account",
            "an account is an x-only public key: 64 hexadecimal digits, a point of the curve",
            "copy it from `p2pseq wallet balance` of the recipient",
            code=Exit.USAGE,
        )
    return key


def _outpoint(text: str) -> "OutPoint":
    from p2p_seq.wallet.deposits import parse_outpoint

    try:
        return parse_outpoint(text)
    except ValueError as error:
        raise OperatorError(
            f"{text[:80]!r} is not an output",
            "it is not of the form <txid>:<number>",
            "copy it from `p2pseq wallet balance`",
            code=Exit.USAGE,
        ) from error


def _fee(text: str | None) -> "Sats | None":
    from p2p_seq.wallet.amounts import parse_amount

    return None if text is None else parse_amount(text)


def _answer(places: Places, answer: dict[str, Any]) -> None:
    """JSON, or a line for each value; satoshi as bitcoin for people."""
    from p2p_seq.wallet.amounts import format_amount

    if places.json:
        answer_json(answer)
        return
    for key, value in answer.items():
        name = key.removesuffix("_sats").replace("_", " ")
        if isinstance(value, list):
            print(f"{name}")
            for item in value:
                print("  " + "  ".join(str(part) for part in item.values()))
        elif key.endswith("_sats") and isinstance(value, int):
            print(f"{name:<24} {format_amount(value)}")
        else:
            print(f"{name:<24} {'-' if value is None else value}")
