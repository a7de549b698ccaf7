"""Backups of own stakes: whole or not at all, and nothing else is taken for one."""

import json
from pathlib import Path

import pytest

from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.protocol.errors import OperatorError
from p2p_seq.protocol.types import Height, OutPoint
from p2p_seq.storage.stake_backups import StakeBackup, StakeBackups
from tests.support.keys import digest
from tests.support.registrations import Founded, bundle_of, signed_record

FOUNDED = Founded()


def _backup(number: int) -> StakeBackup:
    stake = FOUNDED.stores[0].stake(number)
    coin = OutPoint(digest(f"coin {number}"), 0)
    transaction = Transaction(2, (TxIn(coin, b"", 0xFFFFFFFD, (bytes(64),)),), (TxOut(1, b""),))
    record = signed_record(
        stake, bundle_of(stake, 110), FOUNDED.committee_for(stake), transaction.txid
    )
    return StakeBackup(number, record, transaction, Height(900))


def test_backups_come_back_by_number(tmp_path: Path) -> None:
    backups = StakeBackups(tmp_path)
    assert backups.read_all() == []
    written = [_backup(2), _backup(1)]
    for backup in written:
        backups.write(backup)
    assert StakeBackups(tmp_path).read_all() == written[::-1]
    assert backups.path(1).stat().st_mode & 0o777 == 0o600


def test_an_interrupted_write_is_no_backup(tmp_path: Path) -> None:
    backups = StakeBackups(tmp_path)
    backups.write(_backup(1))
    torn = backups.path(2).with_suffix(".new")
    torn.write_bytes(backups.path(1).read_bytes()[:100])
    assert [backup.number for backup in backups.read_all()] == [1]
    backups.write(_backup(2))
    assert [backup.number for backup in backups.read_all()] == [1, 2]


@pytest.mark.parametrize("change", ["record", "transaction", "number", "json"])
def test_a_file_that_is_no_backup_is_named(tmp_path: Path, change: str) -> None:
    backups = StakeBackups(tmp_path)
    backups.write(_backup(1))
    path = backups.path(1)
    document = json.loads(path.read_text(encoding="utf-8"))
    if change == "number":
        document["stake"] = 2
    elif change == "transaction":
        document["transaction"] = _backup(3).transaction.serialize().hex()
    elif change == "record":
        document["record"] = document["record"][:-2]
    path.write_text("{" if change == "json" else json.dumps(document), encoding="utf-8")
    with pytest.raises(OperatorError) as refusal:
        backups.read_all()
    assert refusal.value.what == f"{path} is not a backup of a stake"
    assert refusal.value.code == 5


def test_a_folder_that_cannot_be_written_stops_the_ceremony(tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("a file", encoding="utf-8")
    with pytest.raises(OperatorError, match="the stake was not broadcast"):
        StakeBackups(tmp_path).write(_backup(1))
