"""Backups of an operator's own stakes: what the way back to the bond needs besides the keys.

One file a stake, `backups/stake-<number>.json` in the home, written and synced before the stake is
broadcast (pitfall R3c). With the keystore's seed and this file the bond can be refunded when the
node, the network and the ledger are gone. It holds no secret; the bytes count, the rest is for the
person who reads it. The file is also the durable state of a registration: a stake that has one may
be on Bitcoin, a stake that has none is not.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.protocol.errors import OperatorError, RemoteError
from p2p_seq.protocol.stakes import StakeRecord
from p2p_seq.protocol.types import Height, display_id

DIRECTORY: Final = "backups"
FILE_BYTES_MAX: Final = 1 << 20
"""A record with a committee of 100 and a stake with 400 inputs, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class StakeBackup:
    """One own stake whose pre-signatures were all checked."""

    number: int
    """Of the keystore's stakes."""
    record: StakeRecord
    transaction: Transaction
    """The signed stake transaction."""
    refund_height: Height
    """T."""


class StakeBackups:
    """The folder of backups below a home."""

    def __init__(self, home: Path) -> None:
        self._directory = home / DIRECTORY

    def path(self, number: int) -> Path:
        return self._directory / f"stake-{number}.json"

    def write(self, backup: StakeBackup) -> None:
        """Durable and whole when it returns. Raises OperatorError."""
        record = backup.record
        document = {
            "stake": backup.number,
            "bond": str(record.bond),
            "value_sats": record.value,
            "first_epoch": record.bundle.first_epoch,
            "last_epoch": record.bundle.last_epoch,
            "refund_height": backup.refund_height,
            "consensus_key": record.consensus_key.hex(),
            "txid": display_id(record.txid),
            "record": record.encode().hex(),
            "transaction": backup.transaction.serialize().hex(),
        }
        path = self.path(backup.number)
        fresh = path.with_suffix(".new")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(document, stream, indent=2)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.rename(path)
            folder = os.open(self._directory, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise OperatorError(
                f"cannot write the backup {path}",
                error.strerror or str(error),
                "free space or mend the disk; the stake was not broadcast",
                code=5,
            ) from error

    def read_all(self) -> list[StakeBackup]:
        """Every backup by number. Raises OperatorError for a file that is none."""
        if not self._directory.is_dir():
            return []
        found = [self._read(path) for path in self._directory.glob("stake-*.json")]
        return sorted(found, key=lambda backup: backup.number)

    def _read(self, path: Path) -> StakeBackup:
        try:
            if path.stat().st_size > FILE_BYTES_MAX:
                raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
            document = json.loads(path.read_text(encoding="utf-8"))
            number = int(path.stem.removeprefix("stake-"))
            record = StakeRecord.decode(bytes.fromhex(document["record"]))
            transaction = Transaction.parse(bytes.fromhex(document["transaction"]))
            if document["stake"] != number or transaction.txid != record.txid:
                raise ValueError("its parts belong to different stakes")
            return StakeBackup(number, record, transaction, Height(document["refund_height"]))
        except (OSError, ValueError, KeyError, TypeError, RemoteError) as error:
            raise OperatorError(
                f"{path} is not a backup of a stake",
                str(error),
                "restore it from a copy, or move it away if its bond was refunded",
                code=5,
            ) from error
