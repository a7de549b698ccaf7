"""Deposits: a node's description is checked, and the journal is enough to find the way back."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2p_seq.api.types import VaultReport
from p2p_seq.bitcoin.keys import verify
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.protocol.errors import OperatorError
from p2p_seq.protocol.tags import BitcoinTag, tag4
from p2p_seq.protocol.types import Hash32, OutPoint, Sats, SatsPerKvb, Signature, XOnlyKey
from p2p_seq.settlement.generation import VaultGeneration, VaultMember
from p2p_seq.settlement.scripts import deposit_output, parse_deposit_op_return, vault_output
from p2p_seq.signer import schnorr
from p2p_seq.wallet.deposits import DepositNote, generation_of, parse_outpoint, payments
from p2p_seq.wallet.file import DepositJournal, create_wallet, network_of, open_wallet

KEYS = [schnorr.public_key(bytes([n]) * 32) for n in range(1, 5)]
GENERATION = VaultGeneration(3, tuple(VaultMember(key, 25) for key in KEYS))
USER = schnorr.public_key(b"\x09" * 32)

REPORT = VaultReport(
    generation=3,
    keys=[key.hex() for key in KEYS],
    weights=[25, 25, 25, 25],
    threshold=67,
    deposit_timeout=60,
    deposit_tag=tag4("regtest", BitcoinTag.DEPOSIT).hex(),
    deposit_minimum_sats=50_000,
    deposit_fee_sats=300,
    script_pubkey=vault_output(GENERATION).script.hex(),
    outpoint="00" * 32 + ":0",
    value_sats=10_000_000,
    bitcoin_chain="regtest",
    network="regtest",
)


def note(index: int = 0) -> DepositNote:
    outpoint = OutPoint(Hash32(bytes([index + 1]) * 32), 0)
    return DepositNote(outpoint, Sats(100_000), GENERATION, 60, USER, index)


def test_the_wallet_rebuilds_what_the_node_describes() -> None:
    assert generation_of(REPORT) == GENERATION
    swept, announced = payments(REPORT, XOnlyKey(KEYS[0]), USER, Sats(50_000))
    assert (swept.value, swept.script) == (50_000, deposit_output(GENERATION, USER, 60).script)
    request = parse_deposit_op_return("regtest", announced.script)
    assert request is not None
    assert (request.generation, request.recipient, request.user_key) == (3, KEYS[0], USER)


@pytest.mark.parametrize(
    "lie",
    [
        {"keys": [key.hex() for key in reversed(KEYS)]},
        {"weights": [24, 26, 25, 25]},
        {"weights": [25, 25, 25]},
        {"weights": [26, 25, 25, 25]},
        {"threshold": 1},
        {"generation": 70_000},
        {"keys": ["zz", *(key.hex() for key in KEYS[1:])]},
        {"script_pubkey": key_path_script(USER).hex()},
        {"deposit_tag": "00000000"},
        {"deposit_timeout": 0},
        {"deposit_timeout": 70_000},
    ],
)
def test_a_description_that_does_not_hold_is_not_paid_to(lie: dict[str, object]) -> None:
    with pytest.raises(OperatorError) as caught:
        payments(replace(REPORT, **lie), USER, USER, Sats(100_000))  # type: ignore[arg-type]
    assert caught.value.what == "the node's description of the vault does not hold"
    assert caught.value.code == 3


def test_a_deposit_below_the_minimum_is_refused() -> None:
    with pytest.raises(OperatorError) as caught:
        payments(REPORT, USER, USER, Sats(49_999))
    assert caught.value.why == "the network's minimum is 50000 sat"


def test_the_journal_keeps_every_note(tmp_path: Path) -> None:
    journal = DepositJournal(tmp_path / "w.json")
    assert journal.notes() == []
    for index in range(3):
        journal.append(note(index))
    assert DepositJournal(tmp_path / "w.json").notes() == [note(0), note(1), note(2)]


def test_a_note_cut_short_by_a_crash_is_left_out(tmp_path: Path) -> None:
    journal = DepositJournal(tmp_path / "w.json")
    journal.append(note(0))
    path = tmp_path / "w.json.deposits"
    path.write_text(path.read_text(encoding="utf-8") + note(1).to_json()[:50], encoding="utf-8")
    assert journal.notes() == [note(0)]


def test_a_damaged_journal_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "w.json.deposits"
    path.write_text('{"outpoint": "x"}\n', encoding="utf-8")
    with pytest.raises(OperatorError, match="is damaged"):
        DepositJournal(tmp_path / "w.json").notes()


def test_the_way_back_is_signed_by_the_deposits_own_key(tmp_path: Path) -> None:
    keys = create_wallet(tmp_path / "w.json", "regtest", "regtest", None)
    secret = keys.deposit(0)
    user_key = schnorr.public_key(secret)
    assert user_key != schnorr.public_key(keys.deposit(1)), "each deposit has a key of its own"
    way_back = note().reclaim(user_key, key_path_script(USER), SatsPerKvb(1_000))
    transaction = way_back.complete(schnorr.sign(secret, way_back.message))
    assert transaction.inputs[0].sequence == 60
    signature = Signature(transaction.inputs[0].witness[0])
    assert verify(user_key, way_back.message, signature)


@pytest.mark.parametrize("text", ["", "00:0", "00" * 32, "00" * 32 + ":-1", "00" * 32 + ":1234567"])
def test_what_is_no_outpoint(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_outpoint(text)
    assert parse_outpoint("ab" * 31 + "cd:7") == OutPoint(
        Hash32(bytes.fromhex("cd" + "ab" * 31)), 7
    )


def test_wallet_files_open_with_their_password_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    made = create_wallet(path, "signet", "signet", "correct horse")
    assert network_of(path) == "signet"
    assert open_wallet(path, "signet", "correct horse").account == made.account
    with pytest.raises(OperatorError, match="password is wrong"):
        open_wallet(path, "signet", "wrong horse")
    with pytest.raises(OperatorError, match="for regtest only"):
        create_wallet(tmp_path / "x.json", "signet", "signet", None)


def test_a_plain_wallet_opens_over_regtest_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    create_wallet(path, "ordering", "regtest", None)
    open_wallet(path, "regtest", None)
    with pytest.raises(OperatorError):
        open_wallet(path, "main", None)
