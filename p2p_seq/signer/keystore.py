"""One seed per operator on disk, every other secret derived from it.

The file is JSON in the shape of EIP-2335: a key-derivation module (Argon2id, RFC 9106 second
recommended option) and a cipher module (ChaCha20-Poly1305, whose tag is the checksum). A store made
without a password says "regtest only" and no other network opens it: test keys must never hold real
money (pitfall E2).
"""

import hmac
import json
import os
import secrets
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from p2p_seq.protocol.errors import LocalError, OperatorError
from p2p_seq.protocol.stakes import KeyRole, RegisteredKeys
from p2p_seq.protocol.types import XOnlyKey
from p2p_seq.signer import schnorr

KEYSTORE_VERSION: Final = 1
SEED_BYTES: Final = 32
ARGON2_MEMORY_KIB: Final = 65_536
ARGON2_PASSES: Final = 3
ARGON2_LANES: Final = 4
REGTEST: Final = "regtest"


@dataclass(frozen=True, slots=True)
class StakeSecrets:
    """The secrets of one stake of an operator. `owner` is the same for all of an operator's
    stakes.
    """

    owner: bytes
    consensus: bytes
    vault: bytes
    reward: bytes
    peer: bytes

    def public(self) -> RegisteredKeys:
        return RegisteredKeys(
            owner=schnorr.public_key(self.owner),
            consensus=schnorr.public_key(self.consensus),
            vault=schnorr.public_key(self.vault),
            reward=schnorr.public_key(self.reward),
            peer=schnorr.public_key(self.peer),
        )

    def by_role(self) -> tuple[tuple[KeyRole, bytes], ...]:
        return (
            (KeyRole.OWNER, self.owner),
            (KeyRole.CONSENSUS, self.consensus),
            (KeyRole.VAULT, self.vault),
            (KeyRole.REWARD, self.reward),
            (KeyRole.PEER, self.peer),
        )

    def __repr__(self) -> str:
        return f"StakeSecrets({schnorr.public_key(self.consensus).hex()[:16]}…)"


class Keystore:
    """An operator's seed in memory. Build with `create` or `open_keystore`."""

    def __init__(self, seed: bytes, network: str) -> None:
        if len(seed) != SEED_BYTES:
            raise LocalError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        self._seed = seed
        self._network = network

    def __repr__(self) -> str:
        return f"Keystore({self._network})"

    def secret(self, purpose: str, index: int = 0) -> bytes:
        """The secret key for a purpose. Deterministic: the seed alone is a backup of all keys."""
        label = f"p2pseq/{self._network}/key/{purpose}/{index}".encode("ascii")
        for attempt in range(256):
            candidate = hmac.digest(self._seed, label + bytes([attempt]), sha256)
            if schnorr.is_secret(candidate):
                return candidate
        raise LocalError("no secret key in 256 draws of a keyed hash")

    def stake(self, index: int) -> StakeSecrets:
        """The secrets of the operator's stake number `index`; a renewal takes the next number.

        The peer key stays the operator's: peers must find a member across its renewals.
        """
        return StakeSecrets(
            owner=self.secret("owner"),
            consensus=self.secret("consensus", index),
            vault=self.secret("vault", index),
            reward=self.secret("reward"),
            peer=self.secret("peer"),
        )

    @property
    def wallet_secret(self) -> bytes:
        """The operator's Bitcoin wallet: pays for stakes, receives refunds."""
        return self.secret("wallet")

    @property
    def operator(self) -> XOnlyKey:
        return schnorr.public_key(self.secret("owner"))


def create_keystore(
    path: Path, network: str, password: str | None, bitcoin_chain: str | None = None
) -> Keystore:
    """Write a new store; never overwrites one. Raises OperatorError.

    `bitcoin_chain` is that of the network; without it only the network "regtest" is over regtest.
    """
    if password is None and (bitcoin_chain or network) != REGTEST:
        raise OperatorError(
            "a keystore without a password is for regtest only",
            f"this one is for network {network!r}",
            "give --password-file",
            code=2,
        )
    seed = secrets.token_bytes(SEED_BYTES)
    document: dict[str, Any] = {
        "version": KEYSTORE_VERSION,
        "network": network,
        "operator": Keystore(seed, network).operator.hex(),
        "crypto": _seal(seed, network, password) if password is not None else _plain(seed),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise OperatorError(
            f"{path} exists",
            "a keystore is never overwritten: it may hold the only copy of keys",
            "choose another home directory, or move the file away yourself",
            code=2,
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    return Keystore(seed, network)


def open_keystore(
    path: Path, network: str, password: str | None, bitcoin_chain: str | None = None
) -> Keystore:
    """Read a store. Raises OperatorError when it is missing, foreign, or the password is wrong."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version, stored, crypto = document["version"], document["network"], document["crypto"]
        kind = crypto["kdf"]["function"]
    except FileNotFoundError as error:
        raise OperatorError(
            f"there is no keystore at {path}",
            "the home directory was not set up",
            "run `p2pseq init` first; `start` never makes keys",
            code=2,
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"{path} is not a keystore",
            f"{type(error).__name__}: {error}",
            "restore it from your backup",
            code=2,
        ) from error
    if version != KEYSTORE_VERSION or stored != network:
        raise OperatorError(
            f"{path} is for network {stored!r}, version {version}",
            f"this node runs network {network!r}, version {KEYSTORE_VERSION}",
            "use the keystore that was made for this network",
            code=2,
        )
    if kind == "none":
        if (bitcoin_chain or network) != REGTEST:
            raise OperatorError(
                f"{path} is regtest only",
                "it was made without a password",
                "make a new keystore with `p2pseq init --password-file`",
                code=2,
            )
        return Keystore(_plain_seed(crypto, path), network)
    if password is None:
        raise OperatorError(
            f"{path} needs its password",
            "none was given",
            "give --password-file, or the systemd credential",
            code=2,
        )
    return Keystore(_unseal(crypto, network, password, path), network)


def _plain(seed: bytes) -> dict[str, Any]:
    return {"kdf": {"function": "none"}, "warning": "regtest only", "seed": seed.hex()}


def _plain_seed(crypto: dict[str, Any], path: Path) -> bytes:
    try:
        seed = bytes.fromhex(crypto["seed"])
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(path) from error
    if len(seed) != SEED_BYTES:
        raise _damaged(path)
    return seed


def _derive(password: str, salt: bytes) -> bytes:
    return Argon2id(
        salt=salt,
        length=32,
        iterations=ARGON2_PASSES,
        lanes=ARGON2_LANES,
        memory_cost=ARGON2_MEMORY_KIB,
    ).derive(password.encode("utf-8"))


def _seal(seed: bytes, network: str, password: str) -> dict[str, Any]:
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    cipher = ChaCha20Poly1305(_derive(password, salt))
    return {
        "kdf": {
            "function": "argon2id",
            "salt": salt.hex(),
            "memory_kib": ARGON2_MEMORY_KIB,
            "passes": ARGON2_PASSES,
            "lanes": ARGON2_LANES,
        },
        "cipher": {
            "function": "chacha20-poly1305",
            "nonce": nonce.hex(),
            "message": cipher.encrypt(nonce, seed, network.encode("ascii")).hex(),
        },
    }


def _unseal(crypto: dict[str, Any], network: str, password: str, path: Path) -> bytes:
    try:
        salt = bytes.fromhex(crypto["kdf"]["salt"])
        nonce = bytes.fromhex(crypto["cipher"]["nonce"])
        message = bytes.fromhex(crypto["cipher"]["message"])
        cipher = ChaCha20Poly1305(_derive(password, salt))
        return cipher.decrypt(nonce, message, network.encode("ascii"))
    except InvalidTag as error:
        raise OperatorError(
            f"cannot open {path}",
            "the password is wrong, or the file was changed",
            "try the right password, or restore the file from your backup",
            code=2,
        ) from error
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> OperatorError:
    return OperatorError(
        f"{path} is damaged",
        "a field is missing or malformed",
        "restore it from your backup",
        code=2,
    )
