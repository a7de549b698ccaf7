"""Keystores are never overwritten, open only with their password, and stay on their network."""

import json
from pathlib import Path

import pytest

from p2p_seq.protocol.errors import OperatorError
from p2p_seq.signer.keystore import create_keystore, open_keystore


def test_a_sealed_store_gives_back_the_same_keys(tmp_path: Path) -> None:
    created = create_keystore(tmp_path / "k.json", "signet", "correct horse")
    opened = open_keystore(tmp_path / "k.json", "signet", "correct horse")
    assert opened.stake(3) == created.stake(3)
    assert "seed" not in (tmp_path / "k.json").read_text()
    assert (tmp_path / "k.json").stat().st_mode & 0o777 == 0o600


def test_roles_and_indices_never_share_a_key(tmp_path: Path) -> None:
    store = create_keystore(tmp_path / "k.json", "regtest", None)
    first, second = store.stake(0), store.stake(1)
    secrets = [secret for _, secret in first.by_role()] + [second.consensus, second.vault]
    assert len({*secrets, store.wallet_secret}) == 8
    assert first.owner == second.owner


def test_a_wrong_password_and_a_changed_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    create_keystore(path, "signet", "right")
    with pytest.raises(OperatorError, match="the password is wrong, or the file was changed"):
        open_keystore(path, "signet", "wrong")
    document = json.loads(path.read_text())
    message = document["crypto"]["cipher"]["message"]
    document["crypto"]["cipher"]["message"] = ("00" if message[:2] != "00" else "01") + message[2:]
    path.write_text(json.dumps(document))
    with pytest.raises(OperatorError, match="the password is wrong, or the file was changed"):
        open_keystore(path, "signet", "right")


def test_regtest_keys_do_not_leave_regtest(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="without a password is for regtest only"):
        create_keystore(tmp_path / "k.json", "mainnet", None)
    create_keystore(tmp_path / "k.json", "regtest", None)
    document = json.loads((tmp_path / "k.json").read_text())
    document["network"] = "mainnet"
    (tmp_path / "k.json").write_text(json.dumps(document))
    with pytest.raises(OperatorError, match="is regtest only"):
        open_keystore(tmp_path / "k.json", "mainnet", None)


def test_a_store_is_never_overwritten(tmp_path: Path) -> None:
    create_keystore(tmp_path / "k.json", "regtest", None)
    with pytest.raises(OperatorError, match="never overwritten"):
        create_keystore(tmp_path / "k.json", "regtest", None)
