"""The demo that the README names, from the command to the last check."""

import shutil
from pathlib import Path

import pytest

from p2p_seq.epochs.recompute import RecomputeError, recompute
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
