"""`p2pseq stake` on a home whose node does not run: Bitcoin and the files are enough."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_seq.bitcoin.coins import find_coins
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.cli.main import run
from p2p_seq.protocol.types import Epoch
from p2p_seq.signer.keystore import create_keystore
from p2p_seq.signer.schnorr import public_key
from testnet.ceremony import Faucet, Founder, hold_ceremony
from tests.support.bitcoind import NodeProcess, start_embedded
from tests.support.keys import secret
from tests.support.staking_networks import BOND, VAULT_VALUE, short_params

PARAMS = short_params(blocks_per_epoch=4, stake_epochs=2, challenge_window=4, window_margin=2)


class Home:
    """One founder's home and its Bitcoin."""

    def __init__(self, folder: Path, bitcoin: NodeProcess) -> None:
        self.folder = folder
        self.bitcoin = bitcoin
        self.keystore = create_keystore(folder / "keystore.json", "regtest", None)
        self.refund_height = 0
        self.tip = 0

    async def found(self) -> None:
        async with self.bitcoin.client() as client:
            faucet = Faucet(client, secret("faucet"))
            founders = [Founder(self.folder, self.keystore)]
            for number in range(1, 3):
                other = self.folder.parent / f"other-{number}"
                other.mkdir()
                founders.append(Founder(other, create_keystore(other / "keys", "regtest", None)))
            signed = await hold_ceremony(client, faucet, PARAMS, founders, BOND, VAULT_VALUE)
        anchor = signed.genesis.draft.anchor_height
        self.refund_height = PARAMS.refund_height(anchor, Epoch(1))
        self.tip = anchor
        (self.folder / "genesis.json").write_text(signed.to_json(), encoding="utf-8")
        (self.folder / "config.toml").write_text(
            f'[bitcoin]\nrpc_url = "{self.bitcoin.url}"\ncookie_file = "{self.bitcoin.cookie}"\n'
            '[api]\nlisten = ""\n',
            encoding="utf-8",
        )

    def mine(self, blocks: int) -> None:
        async def mine() -> None:
            async with self.bitcoin.client() as client:
                await Faucet(client, secret("faucet")).mine(blocks)

        trio.run(mine)
        self.tip += blocks

    def stake(self, *arguments: str) -> int:
        return run(["stake", *arguments, "--home", str(self.folder), "--json"])

    def wallet_value(self) -> int:
        async def look() -> int:
            async with self.bitcoin.client() as client:
                script = key_path_script(public_key(self.keystore.wallet_secret))
                return sum(coin.value for coin in await find_coins(client, script))

        return trio.run(look)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("operator")
    bitcoin = start_embedded(folder / "bitcoin")
    place = folder / "home"
    place.mkdir()
    made = Home(place, bitcoin)
    trio.run(made.found)
    yield made
    bitcoin.stop()


def _answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_a_bond_is_shown_refused_refunded_and_gone(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert home.stake("status") == 0
    (row,) = _answer(capsys)["stakes"]
    key = public_key(home.keystore.stake(0).consensus).hex()
    assert (row["stake"], row["consensus_key"], row["value_sats"]) == (0, key, BOND)
    assert (row["first_epoch"], row["last_epoch"]) == (0, 1)
    assert (row["state"], row["is_in_set"], row["is_refundable"]) == ("bonded", None, False)
    assert row["refund_height"] == home.refund_height

    home.mine(home.refund_height - 1 - home.tip)
    assert home.stake("refund") == 1
    assert _answer(capsys)["error"]["what"] == "no bond can be refunded now"

    home.mine(1)
    assert home.stake("status") == 0
    assert _answer(capsys)["stakes"][0]["is_refundable"] is True
    assert home.stake("refund", "--number", "7") == 1
    assert _answer(capsys)["error"]["what"] == "no bond can be refunded now"
    before = home.wallet_value()
    assert home.stake("refund") == 0
    (sent,) = _answer(capsys)["refunds"]
    assert sent["stake"] == 0
    home.mine(1)
    assert home.wallet_value() - before == pytest.approx(BOND, abs=2_000)
    assert home.stake("status") == 0
    (row,) = _answer(capsys)["stakes"]
    assert (row["state"], row["is_refundable"]) == ("gone", False)
    assert home.stake("refund") == 1
    assert _answer(capsys)["error"]["what"] == "no bond can be refunded now"


def test_a_broken_stake_file_is_named(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    file = home.folder / "stakes" / "0" / "stake.json"
    content = file.read_bytes()
    file.write_text("{", encoding="utf-8")
    try:
        assert home.stake("status") == 2
        assert _answer(capsys)["error"]["what"] == f"cannot read {file}"
    finally:
        file.write_bytes(content)
