"""`p2pseq stake`: the operator's bonds, from what does not depend on a running node.

The genesis file and the backups name the stakes, Bitcoin says what became of them; `refund` needs
the keystore besides. So a bond comes back also when the node, the network and the ledger are gone
(pitfall R3c).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Parameter

from p2p_seq.cli.common import Exit, Options, answer_json, chatter, load
from p2p_seq.protocol.errors import OperatorError

if TYPE_CHECKING:
    from p2p_seq.bitcoin.rpc import BitcoinRpc
    from p2p_seq.node.config import LoadedConfig
    from p2p_seq.protocol.genesis import Draft
    from p2p_seq.protocol.stakes import StakeRecord

app = App(name="stake", help="The operator's bonds: what they are and how to get them back.")

DEFAULTS = Options()

FEERATE_DEFAULT: Final = 2_000
"""sat/kvB of a refund when nothing is said."""


@dataclass(frozen=True, slots=True)
class Held:
    """One stake that this home has keys for."""

    number: int
    record: "StakeRecord"


@dataclass(frozen=True, slots=True)
class OnChain:
    """What Bitcoin says of a bond."""

    state: str
    """waiting: in the mempool. bonded: confirmed, unspent. gone: spent, or never broadcast."""
    confirmations: int


@app.command
async def status(*, options: Options = DEFAULTS) -> None:
    """Show every stake of this home: range, bond, refund height, and what Bitcoin says.

    Example: p2pseq stake status --home /var/lib/p2pseq
    """
    from rich.console import Console

    from p2p_seq.cli.status import render
    from p2p_seq.node.node import bitcoin_client, load_genesis

    loaded = load(options)
    draft = load_genesis(loaded).genesis.draft
    serving = _serving(loaded)
    async with bitcoin_client(loaded) as bitcoin:
        tip = int(await bitcoin.call("getblockcount"))
        rows = [
            _row(held, draft, tip, await _look(bitcoin, held), serving)
            for held in held_stakes(loaded)
        ]
    answer = {"bitcoin_height": tip, "stakes": rows}
    if options.json:
        answer_json(answer)
    else:
        Console().print(render(answer))


@app.command
async def refund(
    *,
    number: Annotated[
        int | None, Parameter(help="Only this stake; by default every one that can be refunded.")
    ] = None,
    to: Annotated[
        str | None, Parameter(help="Bitcoin address; by default the operator's wallet.")
    ] = None,
    feerate: Annotated[int, Parameter(help="sat per 1,000 virtual bytes.")] = FEERATE_DEFAULT,
    options: Options = DEFAULTS,
) -> None:
    """Take bonds back whose refund height has passed, and send them.

    Example: p2pseq stake refund --home /var/lib/p2pseq --number 0
    """
    from p2p_seq.bitcoin.address import decode_address
    from p2p_seq.bitcoin.taproot import key_path_script
    from p2p_seq.node.node import bitcoin_client, load_genesis
    from p2p_seq.protocol.types import SatsPerKvb, display_id
    from p2p_seq.signer.registration import sign_refund
    from p2p_seq.signer.schnorr import public_key

    loaded = load(options)
    draft = load_genesis(loaded).genesis.draft
    wanted = [h for h in held_stakes(loaded) if number is None or h.number == number]
    keystore = _open_keystore(loaded, draft)
    chain = draft.params.bitcoin_chain
    destination = (
        key_path_script(public_key(keystore.wallet_secret))
        if to is None
        else decode_address(to, chain)
    )
    sent: list[dict[str, Any]] = []
    async with bitcoin_client(loaded) as bitcoin:
        tip = int(await bitcoin.call("getblockcount"))
        for held in wanted:
            if not _is_refundable(held, draft, tip, await _look(bitcoin, held)):
                continue
            owner = keystore.stake(held.number).owner
            rate = SatsPerKvb(feerate)
            transaction = sign_refund(held.record, draft, owner, destination, rate)
            await bitcoin.call("sendrawtransaction", transaction.serialize().hex())
            sent.append({"stake": held.number, "txid": display_id(transaction.txid)})
    if not sent:
        raise OperatorError(
            "no bond can be refunded now",
            "each is spent, unconfirmed, or its refund height has not passed",
            "`p2pseq stake status` shows from which Bitcoin height on",
            code=Exit.FAILED,
        )
    if options.json:
        answer_json({"refunds": sent})
    for item in [] if options.json else sent:
        chatter(f"stake {item['stake']} is refunded by {item['txid']}")


def held_stakes(loaded: "LoadedConfig") -> list[Held]:
    """Stakes by number: a founder's from the genesis file, the others from the backups."""
    from p2p_seq.node.node import load_genesis
    from p2p_seq.storage.stake_backups import StakeBackups

    found = {b.number: b.record for b in StakeBackups(loaded.home).read_all()}
    founders = {r.consensus_key.hex(): r for r in load_genesis(loaded).genesis.founders}
    for number, key in _keys_on_disk(loaded.home).items():
        if key in founders:
            found[number] = founders[key]
    return [Held(number, found[number]) for number in sorted(found)]


def _keys_on_disk(home: Path) -> dict[int, str]:
    """Consensus key by stake number; no password is needed to read them."""
    from p2p_seq.signer.signer import STAKE_FILE

    keys: dict[int, str] = {}
    for path in (home / "stakes").glob(f"*/{STAKE_FILE}"):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            keys[int(path.parent.name)] = str(document["consensus_key"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OperatorError(
                f"cannot read {path}",
                str(error),
                "restore the directory of this stake, or move it away if the stake is over",
                code=Exit.USAGE,
            ) from error
    return keys


async def _look(bitcoin: "BitcoinRpc", held: Held) -> OnChain:
    from p2p_seq.protocol.types import display_id

    bond = held.record.bond
    found: Any = await bitcoin.call("gettxout", display_id(bond.txid), bond.vout)
    if found is None:
        return OnChain("gone", 0)
    confirmations = int(found["confirmations"])
    return OnChain("bonded" if confirmations else "waiting", confirmations)


def _refund_height(held: Held, draft: "Draft") -> int:
    return draft.params.refund_height(draft.anchor_height, held.record.bundle.last_epoch)


def _is_refundable(held: Held, draft: "Draft", tip: int, seen: OnChain) -> bool:
    """A lock time of T is met in a block above T (BIP65), so from a tip of T on."""
    return seen.state == "bonded" and tip >= _refund_height(held, draft)


def _row(
    held: Held, draft: "Draft", tip: int, seen: OnChain, serving: set[str] | None
) -> dict[str, Any]:
    bundle, key = held.record.bundle, held.record.consensus_key.hex()
    return {
        "stake": held.number,
        "consensus_key": key,
        "bond": str(held.record.bond),
        "value_sats": held.record.value,
        "first_epoch": bundle.first_epoch,
        "last_epoch": bundle.last_epoch,
        "state": seen.state,
        "confirmations": seen.confirmations,
        "is_in_set": None if serving is None else key in serving,
        "refund_height": _refund_height(held, draft),
        "is_refundable": _is_refundable(held, draft, tip, seen),
    }


def _serving(loaded: "LoadedConfig") -> set[str] | None:
    """Consensus keys of the running epoch's set, None when no node answers here."""
    from p2p_seq.cli.status import fetch

    listen = loaded.config.api.listen
    if not listen:
        return None
    try:
        epoch = fetch(f"http://{listen}/v1/status")["epoch"]
        return set(fetch(f"http://{listen}/v1/epochs/{epoch}")["members"])
    except OperatorError:
        return None


def _open_keystore(loaded: "LoadedConfig", draft: "Draft") -> Any:
    from p2p_seq.cli.password import ask_password, find_password
    from p2p_seq.signer.keystore import open_keystore

    params = draft.params
    password = find_password(loaded.config.node.password_file)
    if password is None and params.bitcoin_chain != "regtest":
        password = ask_password(is_new=False)
    keystore_file = loaded.in_home(loaded.config.node.keystore_file)
    return open_keystore(keystore_file, params.network, password, params.bitcoin_chain)
