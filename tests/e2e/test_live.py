"""One running testnet, treated badly: a node goes down, users and neighbours send nonsense."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from p2p_seq.bitcoin.rpc import BitcoinRpc
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.wallet import build_payment
from p2p_seq.protocol.types import Hash32, OutPoint, Sats, SatsPerKvb, XOnlyKey
from p2p_seq.settlement.scripts import DepositRequest
from p2p_seq.settlement.transactions import deposit_outputs
from p2p_seq.signer import schnorr
from p2p_seq.signer.spending import sign_payment
from p2p_seq.wallet.deposits import DepositNote, generation_of
from p2p_seq.wallet.file import DepositJournal, open_wallet
from p2p_seq.wallet.orders import LedgerAccount, LedgerChain
from testnet.layout import Layout
from testnet.state import require_state
from tests.support.testnets import (
    ROOT,
    error_of,
    free_port_base,
    p2pseq,
    running_testnet,
    status_of,
    testnet_command,
    wait_until,
    wallet_command,
)

pytestmark = pytest.mark.timeout(300)

FEERATE = SatsPerKvb(2_000)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running_testnet(tmp_path_factory.mktemp("live")) as folder:
        yield folder


@pytest.fixture(scope="module")
def layout(net: Path) -> Layout:
    return require_state(net).layout


@pytest.fixture(scope="module")
def rich(net: Path) -> LedgerAccount:
    """Alice, with half a bitcoin on the ledger."""
    wallet_command(net, "deposit", "0.5btc", "--wait", timeout=120)
    status = get(require_state(net).layout, "/v1/status")
    chain = LedgerChain(status["network"], Hash32(bytes.fromhex(status["chain_id"])))
    keys = open_wallet(require_state(net).layout.wallet("alice"), "regtest", None)
    return LedgerAccount(chain, keys.account)


def get(layout: Layout, path: str, node: int = 0) -> Any:
    answer = httpx.get(layout.api_url(node) + path, trust_env=False, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(layout: Layout, transactions: bytes, node: int = 0) -> httpx.Response:
    return httpx.post(
        f"{layout.api_url(node)}/v1/transactions",
        content=transactions,
        headers={"content-type": "application/octet-stream"},
        trust_env=False,
        timeout=20,
    )


def pay_oneself(layout: Layout, account: LedgerAccount, node: int) -> float:
    """Seconds until a transfer is final, as that node sees it."""
    report = get(layout, f"/v1/accounts/{account.key.hex()}", node)
    signed = account.transfer(report["next_nonce"], Sats(10), account.key, Sats(1))
    begun = time.monotonic()
    (item,) = post(layout, signed.encoded, node).json()["items"]
    assert item["accepted"], item
    path = f"/v1/transactions/{signed.txid.hex()}"
    wait_until(lambda: get(layout, path, node)["height"] is not None, 20, "finality")
    return time.monotonic() - begun


def finality_ms(layout: Layout, account: LedgerAccount, samples: int) -> list[float]:
    return [pay_oneself(layout, account, 0) * 1_000 for _ in range(samples)]


def test_three_of_four_go_on(net: Path, layout: Layout, rich: LedgerAccount) -> None:
    """All of the three are needed; finality gets slower by the dead leader's views, not more."""
    before = finality_ms(layout, rich, 8)
    testnet_command(net, "kill", "seq3")
    during = finality_ms(layout, rich, 12)
    testnet_command(net, "restart", "seq3")
    height = get(layout, "/v1/status")["height"]

    def has_caught_up() -> bool:
        status = next(e for e in status_of(net)["processes"] if e["name"] == "seq3")["status"]
        return status is not None and status["is_ready"] and status["height"] >= height

    wait_until(has_caught_up, 60, "seq3 catches up")
    after = finality_ms(layout, rich, 8)
    for name, sample in (("before", before), ("during", during), ("after", after)):
        middle, worst = statistics.median(sample), max(sample)
        print(f"finality with one of four down, {name}: median {middle:.0f} ms, max {worst:.0f} ms")
    assert max(during) < 10_000
    assert max(after) < 5_000
    reports = [get(layout, f"/v1/blocks/{height}", node) for node in range(4)]
    assert len({report["digest"] for report in reports}) == 1


def test_transactions_that_are_wrong_change_nothing(layout: Layout, rich: LedgerAccount) -> None:
    account = get(layout, f"/v1/accounts/{rich.key.hex()}")
    nonce, fee = account["next_nonce"], Sats(10)
    good = rich.transfer(nonce, fee, rich.key, Sats(1)).encoded
    withdraw_fee = Sats(10_000)
    wrong = {
        "bad-signature": good[:-1] + bytes([good[-1] ^ 1]),
        "nonce-used": rich.transfer(nonce - 1, fee, rich.key, Sats(2)).encoded,
        "nonce-too-far": rich.transfer(nonce + 5_000, fee, rich.key, Sats(1)).encoded,
        "balance-too-low": rich.transfer(
            nonce, fee, rich.key, Sats(account["balance_sats"])
        ).encoded,
        "fee-too-low": rich.transfer(nonce, Sats(1), rich.key, Sats(1)).encoded,
        "unpayable-script": rich.withdraw(nonce, withdraw_fee, Sats(5_000), b"\x6a\x01x").encoded,
        "payout-too-small": rich.withdraw(
            nonce, withdraw_fee, Sats(1), key_path_script(rich.key)
        ).encoded,
    }
    for reason, encoded in wrong.items():
        (item,) = post(layout, encoded).json()["items"]
        assert (item["accepted"], item["reason"]) == (False, reason)
        assert item["why"]
        assert item["do"]
    for body in (good[:-1], good + b"\x00", b"\x00" * 154, b"\xff" * 100_000):
        assert post(layout, body).status_code == 400
    assert post(layout, good * 40_000).status_code == 413
    assert get(layout, f"/v1/accounts/{rich.key.hex()}")["balance_sats"] == account["balance_sats"]
    assert pay_oneself(layout, rich, 1) < 20


async def deposit_by_hand(folder: Path, recipient: bytes, amount: int) -> OutPoint:
    """A deposit with a recipient that `wallet deposit` would refuse to pay to."""
    from p2p_seq.api.client import open_client
    from p2p_seq.bitcoin.coins import find_coins

    state = require_state(folder)
    path = state.layout.wallet("bob")
    keys, journal = open_wallet(path, "regtest", None), DepositJournal(path)
    async with (
        BitcoinRpc(state.bitcoin_url, Path(state.bitcoin_cookie)) as bitcoin,
        open_client(state.layout.api_url(0)) as api,
    ):
        report = await api.vault()
        generation = generation_of(report)
        index = len(journal.notes())
        user_key = schnorr.public_key(keys.deposit(index))
        request = DepositRequest(generation.number, XOnlyKey(recipient), user_key)
        timeout, sats = report.deposit_timeout, Sats(amount)
        outputs = deposit_outputs(report.network, generation, request, sats, timeout)
        script = key_path_script(schnorr.public_key(keys.bitcoin))
        coins = await find_coins(bitcoin, script)
        unsigned = build_payment(coins, outputs, script, FEERATE)
        transaction = sign_payment(unsigned, [keys.bitcoin])
        outpoint = transaction.outpoint(0)
        journal.append(DepositNote(outpoint, sats, generation, timeout, XOnlyKey(recipient), index))
        await bitcoin.call("sendrawtransaction", transaction.serialize().hex())
    return outpoint


async def test_a_deposit_to_nobody_returns_by_its_timeout(net: Path, layout: Layout) -> None:
    bob = ("--wallet", str(layout.wallet("bob")))
    had = wallet_command(net, "balance", *bob)["bitcoin_sats"]
    wrapped = get(layout, "/v1/supply")["wrapped_sats"]
    outpoint = await deposit_by_hand(net, b"\xff" * 32, 10_000_000)
    testnet_command(net, "mine", "1")
    early = p2pseq("wallet", "reclaim", str(outpoint), "--dir", str(net), *bob)
    code, what, why, _ = error_of(early)
    assert (code, what) == (1, f"the deposit {outpoint} cannot be taken back yet")
    assert why.startswith("its timeout is 60 blocks, ")
    testnet_command(net, "mine", "62")
    wallet_command(net, "reclaim", str(outpoint), *bob)
    testnet_command(net, "mine", "1")
    has = wallet_command(net, "balance", *bob)["bitcoin_sats"]
    assert had - 5_000 < has < had, "only the two fees are gone"
    again = p2pseq("wallet", "reclaim", str(outpoint), "--dir", str(net), *bob)
    assert error_of(again)[1] == f"the deposit {outpoint} cannot be taken back"
    # 64 Bitcoin blocks at once were no reason to stop.
    origin = get(layout, "/v1/status")["origin"]["height"]
    wait_until(
        lambda: get(layout, "/v1/status")["origin"]["height"] > origin + 5, 60, "the origin goes on"
    )
    assert get(layout, "/v1/supply")["wrapped_sats"] == wrapped
    assert get(layout, "/v1/supply")["is_balanced"]


def test_a_withdrawal_to_a_bad_address_is_refused_before_it_is_signed(
    net: Path, layout: Layout, rich: LedgerAccount
) -> None:
    account = get(layout, f"/v1/accounts/{rich.key.hex()}")
    refused = p2pseq("wallet", "withdraw", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "0.1btc",
                     "--dir", str(net))  # fmt: skip
    code, what, why, _ = error_of(refused)
    assert (code, why) == (2, "it belongs to another Bitcoin network than regtest")
    assert what.endswith("is not an address of Bitcoin's regtest")
    assert get(layout, f"/v1/accounts/{rich.key.hex()}") == account


def test_a_second_process_on_a_home_is_refused(net: Path, layout: Layout) -> None:
    second = p2pseq("start", "--home", str(layout.home(0)))
    code, what, why, _ = error_of(second)
    assert (code, what) == (5, f"the home {layout.home(0)} is in use")
    assert why == "another p2pseq process runs on it"
    assert get(layout, "/v1/status")["is_ready"]


def test_a_second_testnet_on_the_same_folder_is_refused(net: Path) -> None:
    base = str(free_port_base())
    second = p2pseq("testnet", "up", "--dir", str(net), "--port-base", base)
    code, what, _, _ = error_of(second)
    assert (code, what) == (5, f"a testnet runs in {net}")


def test_a_busy_port_is_named(net: Path, layout: Layout, tmp_path: Path) -> None:
    place = tmp_path / "other"
    second = p2pseq("testnet", "up", "--dir", str(place), "--port-base", str(layout.port_base))
    assert error_of(second) == (
        5,
        f"port {layout.peer_port(0)} is busy",
        "another process listens there",
        "stop that process, or choose another --port-base",
    )
    assert not place.exists()


def test_a_typo_in_a_configuration_is_refused(layout: Layout, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    text = (layout.home(0) / "config.toml").read_text(encoding="utf-8")
    (home / "config.toml").write_text(text.replace("poll_ms", "pol_ms"), encoding="utf-8")
    code, what, why, do = error_of(p2pseq("start", "--home", str(home)))
    assert code == 2
    assert "pol_ms" in what + why + do
    assert "poll_ms" in what + why + do


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
def test_a_full_disk_stops_a_node_and_loses_nothing(net: Path, layout: Layout) -> None:
    """A file-size limit is what a full disk looks like to one process."""
    testnet_command(net, "kill", "seq2")
    limited = subprocess.run(
        [
            *("prlimit", "--fsize=20000", sys.executable, "-m", "p2p_seq.cli", "start"),
            *("--home", str(layout.home(2))),
        ],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    code, what, why, do = error_of(limited)
    assert code == 5
    assert f"cannot write to {layout.home(2)}/" in what
    assert "File too large" in why
    assert do.startswith("free space or mend the disk, then start again; nothing that was ")
    assert "Traceback" not in limited.stderr
    testnet_command(net, "restart", "seq2")
    height = get(layout, "/v1/status")["height"]

    def is_back() -> bool:
        status = next(e for e in status_of(net)["processes"] if e["name"] == "seq2")["status"]
        return status is not None and status["height"] >= height

    wait_until(is_back, 60, "seq2 is back at the same chain")
    digest = get(layout, f"/v1/blocks/{height}", 2)["digest"]
    assert digest == get(layout, f"/v1/blocks/{height}", 0)["digest"]
