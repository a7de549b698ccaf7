"""A wallet on disk: a keystore, and beside it the journal of deposits.

The keystore has one secret for each role (coins on Bitcoin, account on the ledger, timeout leaf of
each deposit), all derived from one seed, so the file with its password is the backup. The journal
grows by one line for each deposit, synced before the deposit is broadcast: without it the keys
alone could not find the way back.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from p2p_seq.protocol.errors import OperatorError
from p2p_seq.signer.keystore import Keystore, create_keystore, open_keystore
from p2p_seq.wallet.deposits import DepositNote

JOURNAL_SUFFIX = ".deposits"


@dataclass(frozen=True, slots=True)
class WalletKeys:
    """The secrets of a wallet."""

    keystore: Keystore

    @property
    def bitcoin(self) -> bytes:
        """Of its coins on Bitcoin."""
        return self.keystore.wallet_secret

    @property
    def account(self) -> bytes:
        """Of its account on the ledger."""
        return self.keystore.secret("account")

    def deposit(self, index: int) -> bytes:
        """Of the timeout leaf of deposit number `index`."""
        return self.keystore.secret("deposit", index)


class DepositJournal:
    """The deposits that a wallet has made, oldest first."""

    def __init__(self, wallet: Path) -> None:
        self._path = wallet.with_name(wallet.name + JOURNAL_SUFFIX)

    def notes(self) -> list[DepositNote]:
        """Raises OperatorError for a damaged journal. A last line that was cut short is left out:
        its deposit was never broadcast.
        """
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        whole, _, _ = text.rpartition("\n")
        try:
            return [DepositNote.from_json(line) for line in whole.splitlines()]
        except ValueError as error:
            raise OperatorError(
                f"the journal {self._path} is damaged",
                str(error),
                "restore it from your backup",
                code=2,
            ) from error

    def append(self, note: DepositNote) -> None:
        """Durable when it returns."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(note.to_json() + "\n")
            file.flush()
            os.fsync(file.fileno())


def create_wallet(path: Path, network: str, bitcoin_chain: str, password: str | None) -> WalletKeys:
    """A new wallet file; never overwrites one. Raises OperatorError."""
    return WalletKeys(create_keystore(path, network, password, bitcoin_chain))


def network_of(path: Path) -> str:
    """The network that a wallet file is for. Raises OperatorError."""
    try:
        network = json.loads(path.read_text(encoding="utf-8"))["network"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"cannot read the wallet {path}",
            str(error),
            "name a wallet with --wallet, or make one with `p2pseq wallet new`",
            code=2,
        ) from error
    return str(network)


def open_wallet(path: Path, bitcoin_chain: str, password: str | None) -> WalletKeys:
    """Raises OperatorError when it is missing, damaged, or the password is wrong."""
    return WalletKeys(open_keystore(path, network_of(path), password, bitcoin_chain))
