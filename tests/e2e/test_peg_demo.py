"""The demo that the README names, from the command to the last check."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from p2p_seq.epochs.recompute import BatchRun, RecomputeError, recompute
from p2p_seq.storage.store import Store
from p2p_seq.storage.tables import Table
from testnet.launch import genesis_of
from tests.support.testnets import running_demo, status_of, steps_of

pytestmark = pytest.mark.timeout(300)

BTC = 100_000_000


def test_bitcoin_goes_in_moves_and_comes_back(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        report = demo.wait(200)
        home = demo.folder / "seq0"
        names = {entry["name"] for entry in status_of(demo.folder)["processes"]}
        left = [entry for entry in status_of(demo.folder)["processes"] if entry["is_running"]]
    assert names == {"seq0", "seq1", "seq2", "seq3", "bitcoin"}
    assert not left, "processes outlive the launcher"
    assert len(steps_of(report, "stake")) == 4
    (deposit,), (mint,) = steps_of(report, "deposit"), steps_of(report, "mint")
    assert deposit["amount_sats"] == BTC
    assert BTC - 10_000 < mint["credited_sats"] < BTC
    (transfers,) = steps_of(report, "transfers")
    assert (transfers["count"], transfers["accounts"]) == (1_000, 100)
    (payout,) = steps_of(report, "payout")
    assert payout["amount_sats"] == 25_000_000
    assert payout["confirmations"] >= 2
    agreement = report["agreement"]
    assert {node["transactions"] for node in agreement["nodes"].values()} == {1_101}
    assert len({node["state_root_at_height"] for node in agreement["nodes"].values()}) == 1
    assert all(
        node["states_with_supply_checked"] == node["height"] + 1
        for node in agreement["nodes"].values()
    )
    assert len(agreement["seals"]) >= 5
    assert {"deposit_to_mint_s", "withdraw_to_payout_s"} <= set(report["acts"][0]["figures"])
    _check_that_recomputing_can_fail(home, tmp_path)
    _check_that_an_epoch_can_be_proven(demo.folder, tmp_path)


def _check_that_an_epoch_can_be_proven(testnet: Path, folder: Path) -> None:
    """One node's proof of an epoch of transfers convinces another node, and of no other epoch."""
    runs: list[BatchRun] = []
    recompute(testnet / "seq1", genesis_of(testnet / "seq1").genesis, runs.append)
    busiest = max(runs, key=lambda run: len(run.run.answers))
    assert len(busiest.run.answers) >= 100
    epoch, other = busiest.epoch, busiest.epoch + 1
    status, answer = _epoch("prove", str(epoch), "--home", str(testnet / "seq0"),
                            "--output", str(folder / "proofs"), "--payee", "0badf00d")  # fmt: skip
    assert status == 0, answer
    files = [batch["file"] for batch in answer["batches"]]
    statements = [batch["statement"] for batch in answer["batches"]]
    assert statements == [run.run.statement.hex() for run in runs if run.epoch == epoch]
    status, answer = _epoch("verify", str(epoch), *files, "--home", str(testnet / "seq1"))
    assert status == 0, answer
    assert {batch["payee"] for batch in answer["batches"]} == {"0badf00d"}
    status, answer = _epoch("verify", str(other), *files, "--home", str(testnet / "seq1"))
    assert status == 1
    assert "wrong-statement" in str(answer)
    status, answer = _epoch("verify", "99", *files, "--home", str(testnet / "seq1"))
    assert status == 1
    assert "it is not sealed in this store" in answer["error"]["why"]


def _epoch(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of `p2pseq epoch`."""
    done = subprocess.run(
        [sys.executable, "-m", "p2p_seq.cli", "epoch", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def _check_that_recomputing_can_fail(home: Path, folder: Path) -> None:
    """One changed byte anywhere in what the node derived is found."""
    genesis = genesis_of(home).genesis
    recompute(home, genesis)
    for number, (table, what) in enumerate(
        [
            (Table.FINAL, "the stored root is not the recomputed one"),
            (Table.RECEIPTS, "receipts differ"),
            (Table.SEALS, "the seal's"),
            (Table.CERTIFICATES, "VoteError"),
        ]
    ):
        copy = folder / f"copy{number}"
        shutil.copytree(home / "chain", copy / "chain")
        _flip_last_byte(copy, table)
        with pytest.raises(RecomputeError, match=what):
            recompute(copy, genesis)


def _flip_last_byte(home: Path, table: Table) -> None:
    store = Store.open(home / "chain")
    try:
        with store.write() as change:
            key, value = next(
                (key, value)
                for key, value in reversed(list(change.scan(table)))
                if value and (table is not Table.SEALS or int.from_bytes(key, "big") >= 1)
            )
            position = len(value) - 1 if table is not Table.SEALS else 8 + 32
            changed = bytearray(value)
            changed[position] ^= 1
            change.put(table, key, bytes(changed))
    finally:
        store.close()
