"""The operator's signer: every secret of a running node, and the only doors to them.

A node holds the keys of one operator, and of each of its stakes (a renewal has new ones) a guard of
its own in `stakes/<number>/`. What a door signs is decided here, not by the caller: votes pass the
guard, proposals and statements have tags of their own, vault keys sign what the settlement rules
rebuilt (PROTOCOL.md sections 3, 5 and 10; pitfall U7: no key has two roles).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from p2p_seq.observability.logs import room_logger
from p2p_seq.protocol.errors import LocalError, OperatorError
from p2p_seq.protocol.types import Epoch, Hash32, Signature, XOnlyKey
from p2p_seq.protocol.votes import Vote, VoteStatement
from p2p_seq.signer import schnorr
from p2p_seq.signer.guard import GuardRefusal, GuardState, VoteGuard
from p2p_seq.signer.keystore import Keystore, StakeSecrets

log = room_logger("signer")

STAKE_FILE: Final = "stake.json"
"""Written in the same act as the guard: says which stake of the keystore the directory is for."""

STAKES_MAX: Final = 1_024
"""Stakes that one operator's home holds; old ones may be archived by hand."""


def create_stake(home: Path, keystore: Keystore, number: int) -> StakeSecrets:
    """Make the guard of a new stake together with its key's record. Raises OperatorError."""
    secrets = keystore.stake(number)
    public = schnorr.public_key(secrets.consensus)

    def write_key(directory: Path) -> None:
        document = {"number": number, "consensus_key": public.hex()}
        (directory / STAKE_FILE).write_text(json.dumps(document), encoding="utf-8")

    directory = home / "stakes" / str(number)
    directory.parent.mkdir(parents=True, exist_ok=True)
    second_copy = home / "guard-log" / f"{number}.log"
    second_copy.parent.mkdir(parents=True, exist_ok=True)
    VoteGuard.create(directory, second_copy, public, write_key)
    return secrets


class OperatorSigner:
    """Holds the secrets of one operator in memory and the guards on disk."""

    def __init__(self, home: Path, keystore: Keystore, crash_point: Callable[[str], None]) -> None:
        self._home = home
        self._keystore = keystore
        self._crash_point = crash_point
        self._stakes: dict[XOnlyKey, StakeSecrets] = {}
        self._guards: dict[XOnlyKey, VoteGuard] = {}
        self._vaults: dict[XOnlyKey, bytes] = {}
        self._numbers: list[int] = []
        for number in self._numbers_on_disk():
            self._open(number)

    def _numbers_on_disk(self) -> list[int]:
        directory = self._home / "stakes"
        if not directory.is_dir():
            return []
        numbers = sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())
        if len(numbers) > STAKES_MAX:
            raise OperatorError(
                f"{directory} holds {len(numbers)} stakes",
                f"at most {STAKES_MAX} are opened",
                "move the directories of refunded stakes away",
            )
        return numbers

    def _open(self, number: int) -> None:
        secrets = self._keystore.stake(number)
        public = schnorr.public_key(secrets.consensus)
        directory = self._home / "stakes" / str(number)
        try:
            stated = json.loads((directory / STAKE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OperatorError(
                f"{directory} is not a stake's directory",
                f"{STAKE_FILE} cannot be read: {error}",
                "restore the directory, or move it away if the stake is over",
            ) from error
        if stated.get("consensus_key") != public.hex():
            raise OperatorError(
                f"{directory} belongs to another keystore",
                f"it is for key {stated.get('consensus_key')}",
                "start with the keystore that made it",
            )
        guard = VoteGuard(
            directory, self._home / "guard-log" / f"{number}.log", public, self._crash_point
        )
        self._stakes[public] = secrets
        self._guards[public] = guard
        self._vaults[schnorr.public_key(secrets.vault)] = secrets.vault
        self._numbers.append(number)
        if guard.reason:
            log.critical("guard_silent", stake=number, why=guard.reason)

    def add_stake(self) -> tuple[int, StakeSecrets]:
        """Keys and guard of the next stake."""
        number = max(self._numbers, default=-1) + 1
        secrets = create_stake(self._home, self._keystore, number)
        self._open(number)
        return number, secrets

    def consensus_keys(self) -> frozenset[XOnlyKey]:
        return frozenset(self._stakes)

    def stake_numbers(self) -> Mapping[int, XOnlyKey]:
        """Every opened stake: its number in the keystore and its consensus key."""
        return dict(zip(self._numbers, self._stakes, strict=True))

    @property
    def peer_secret(self) -> bytes:
        """Identity on the peer-to-peer network; the network layer needs the secret itself."""
        return self._keystore.secret("peer")

    @property
    def operator(self) -> XOnlyKey:
        return self._keystore.operator

    def cast_vote(
        self, key: XOnlyKey, statement: VoteStatement, message: Hash32, signer: int
    ) -> Vote | None:
        """The vote, or None when the guard refuses."""
        secret = self._stakes[key].consensus
        try:
            return self._guards[key].sign(
                statement, message, signer, lambda digest: schnorr.sign(secret, digest)
            )
        except GuardRefusal as refusal:
            log.warning("vote_refused", why=str(refusal), statement=str(statement))
            return None

    def own_votes(self, key: XOnlyKey, epoch: Epoch) -> list[VoteStatement]:
        """What this key has signed in an epoch."""
        return self._guards[key].votes(epoch)

    def seal(self, epoch: Epoch) -> None:
        """The epoch's seal is final: nothing of it is ever signed again, by any key."""
        for guard in self._guards.values():
            guard.seal(epoch)

    def observe_epoch(self, highest: Epoch) -> None:
        """Both peers and Bitcoin were heard: a silent guard knows now how long to be silent."""
        for guard in self._guards.values():
            guard.observe_epoch(highest)

    def heard_own(self, key: XOnlyKey, statement: VoteStatement) -> None:
        """An authentic vote of an own key came from the network."""
        guard = self._guards.get(key)
        if guard is not None and guard.heard_own(statement) is GuardState.STOPPED:
            log.critical("own_key_signs_elsewhere", key=key.hex(), statement=str(statement))

    def guard_states(self, epoch: Epoch) -> Mapping[XOnlyKey, GuardState]:
        """What each key's guard does in an epoch, for the status."""
        return {key: guard.state(epoch) for key, guard in self._guards.items()}

    def sign_proposal(self, key: XOnlyKey, message: Hash32) -> Signature:
        """A leader's signature over its proposal (tag `proposal`, ordinary nonce)."""
        return schnorr.sign(self._stakes[key].consensus, message)

    def vault_keys(self) -> frozenset[XOnlyKey]:
        return frozenset(self._vaults)

    def sign_vault(self, key: XOnlyKey, messages: Sequence[Hash32]) -> tuple[Signature, ...]:
        """Signatures by a vault key over inputs of a settlement that the caller rebuilt itself."""
        secret = self._vaults.get(key)
        if secret is None:
            raise LocalError(f"no vault key {key.hex()} here")
        return tuple(schnorr.sign(secret, message) for message in messages)

    def secrets_of(self, key: XOnlyKey) -> StakeSecrets:
        """The secrets of an own stake, for `signer/registration.py`."""
        return self._stakes[key]

    def wallet_secret(self) -> bytes:
        """The operator's Bitcoin wallet, for stakes and refunds."""
        return self._keystore.wallet_secret

    def close(self) -> None:
        for guard in self._guards.values():
            guard.close()
