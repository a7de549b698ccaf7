"""Protocol parameters: what founders agree on before any stake exists (PROTOCOL.md section 1).

All of it is hashed into the draft and so into every key derivation, bundle and possession proof.
The files in `configs/networks/` spell the presets; this module checks the relations between them
when they load.
"""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import OperatorError
from p2p_seq.protocol.tags import NETWORK_NAME
from p2p_seq.protocol.types import Epoch, Height, Sats

WEIGHT_UNIT_SATS = 100_000
"""Stake of one unit of weight: 0.001 BTC (PROTOCOL.md section 5)."""

VAULT_WEIGHT_TOTAL = 100
"""Vault weights of a generation sum to this."""

VAULT_THRESHOLD = 2 * VAULT_WEIGHT_TOTAL // 3 + 1
"""Weight that spends the vault: 67."""

DUST_MAX = 546
"""Dust limit of the output script with the highest one, P2PKH (Bitcoin Core, policy.cpp)."""

USER_BUDGET_PERCENT = 90
"""Share of an epoch's cycle budget that user transactions may use; the rest is for system
records.
"""


@dataclass(frozen=True, slots=True)
class Params:
    """One network's parameters. Heights and counts are Bitcoin blocks unless said."""

    network: str
    """ASCII name; part of every tag."""
    bitcoin_chain: str
    """"regtest", "signet" or "main": the address prefix and the proof-of-work rules."""
    burial_depth: int
    """D: an origin has at least this many confirmations."""
    blocks_per_epoch: int
    """K."""
    origin_step: int
    """STEP: the largest advance of the origin per L2 block."""
    challenge_window: int
    """W, counted from the height of the epoch's seal, a_{e+1}."""
    window_margin: int
    """Added to W when a stake's refund height is compared."""
    stake_epochs: int
    """Epochs in the key range of one stake."""
    batches_per_epoch: int
    epoch_cycle_limit: int
    """Guest cycles of an epoch, split evenly over its batches."""
    challenger_share_percent: int
    """r: what a slash leaves to the challenger; the rest burns."""
    stake_minimum: int
    """S_min in satoshi."""
    set_maximum: int
    """N_MAX."""
    set_minimum: int
    """Smallest set that may start an epoch."""
    deposit_timeout: int
    """CSV_USER: after so many confirmations the depositor alone may take an unswept deposit
    back.
    """
    idle_epochs: int
    """N_IDLE: a settlement is due at the latest after so many epochs."""
    enforcement: int
    """0: settlements are signed once the seal is final and pay after the window. 1: endorsements
    decide.
    """
    sweep_grace: int
    """Blocks after activation of generation v+1 during which deposits to v are still swept."""
    feerate_minimum: int
    """f_min in sat/vB."""
    feerate_maximum: int
    """f_max in sat/vB."""
    feerate_stress: int
    """f_cap in sat/vB: the feerate that S_min must be able to pay for the heaviest slash."""
    slash_vsize_maximum: int
    """Virtual bytes of the heaviest slash transaction."""
    deposit_minimum: int
    """Satoshi."""
    payout_minimum: int
    """Satoshi, after fee."""
    account_minimum: int
    """Satoshi that create an account."""
    fee_transfer: int
    """Ledger fee of a transfer, satoshi."""
    fee_withdraw: int
    """Ledger fee of a withdrawal, satoshi; it pays its output on Bitcoin besides."""
    cycles_transfer: int
    """Worst-case guest cycles of a transfer."""
    cycles_other: int
    """Worst-case guest cycles of every other transaction kind and record."""
    recovery_timeout: int
    """CSV of the vault's recovery leaf. 0: none; bridge and wallets build no other vault yet."""

    def __post_init__(self) -> None:
        for check, message in self._relations():
            if not check:
                raise OperatorError(
                    f"parameters of network {self.network!r} contradict themselves",
                    message,
                    "correct the network file; these values are consensus rules",
                    code=2,
                )

    def _relations(self) -> list[tuple[bool, str]]:
        heaviest_slash_fee = self.slash_vsize_maximum * self.feerate_stress
        return [
            (bool(NETWORK_NAME.match(self.network)), "network must match [a-z0-9-]{1,32}"),
            (self.bitcoin_chain in ("regtest", "signet", "main"), "bitcoin_chain is unknown"),
            (self.burial_depth >= 1, "burial_depth must be at least 1"),
            (self.blocks_per_epoch >= 1, "blocks_per_epoch must be at least 1"),
            (self.origin_step >= 1, "origin_step must be at least 1"),
            (
                1 <= self.set_minimum <= self.set_maximum <= 100,
                "1 <= set_minimum <= set_maximum <= 100",
            ),
            (self.batches_per_epoch >= 1, "batches_per_epoch must be at least 1"),
            (0 < self.challenger_share_percent < 100, "challenger_share_percent must be in 1..99"),
            (
                self.stake_minimum * self.challenger_share_percent >= 2 * 100 * heaviest_slash_fee,
                "stake_minimum must be at least 2 * slash_vsize_maximum * feerate_stress / r",
            ),
            (self.enforcement in (0, 1), "enforcement is 0 or 1"),
            (self.recovery_timeout == 0, "recovery_timeout must be 0: no recovery leaf exists yet"),
            (
                2 * self.burial_depth < self.deposit_timeout <= 0xFFFF,
                "deposit_timeout must exceed 2 D and fit the 16 bits of a relative lock",
            ),
            (
                1 <= self.feerate_minimum <= self.feerate_maximum <= 1_000_000,
                "1 <= feerate_minimum <= feerate_maximum <= 1000000",
            ),
            (
                self.payout_minimum >= DUST_MAX,
                f"payout_minimum must be at least {DUST_MAX}, or relays drop the settlement",
            ),
            (
                self.account_minimum < self.deposit_minimum,
                "deposit_minimum must exceed account_minimum",
            ),
            (
                min(self.stake_epochs, self.cycles_transfer, self.cycles_other) >= 1,
                "stake_epochs and cycle prices must be at least 1",
            ),
            (
                all(0 <= value < 2**48 for value in self._integers()),
                "numbers are in 0..2^48 - 1",
            ),
        ]

    def _integers(self) -> list[int]:
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if isinstance(value, int)]

    def epoch_start(self, anchor: Height, epoch: Epoch) -> Height:
        """`a_e`, the first origin height of an epoch: `G + e*K` (one piece of the table)."""
        return Height(anchor + epoch * self.blocks_per_epoch)

    def epoch_of_height(self, anchor: Height, height: Height) -> Epoch:
        """The epoch whose range `[a_e, a_{e+1})` holds `height`; heights before G count as epoch
        0.
        """
        return Epoch(max(0, height - anchor) // self.blocks_per_epoch)

    def refund_height(self, anchor: Height, last_epoch: Epoch) -> Height:
        """`T = a_{last+1} + W + margin`: from here on the owner may take the bond back."""
        border = self.epoch_start(anchor, Epoch(last_epoch + 1))
        return Height(border + self.challenge_window + self.window_margin)

    def burn_amount(self, bond: Sats) -> Sats:
        """What a slash burns of a bond: `floor(S * (1 - r))`."""
        return Sats(bond * (100 - self.challenger_share_percent) // 100)

    def encode(self) -> bytes:
        """Canonical bytes: the strings, then every integer as u64 in the order of the fields."""
        writer = Writer()
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                writer.var_bytes(value.encode("ascii"), 32)
            else:
                writer.u64(value)
        return writer.bytes()

    @classmethod
    def read(cls, reader: Reader) -> "Params":
        """Inverse of `encode`. Raises CodecError, or OperatorError when relations do not hold."""
        values: dict[str, str | int] = {}
        for field in fields(cls):
            if field.type in (str, "str"):
                values[field.name] = reader.var_bytes(32).decode("ascii", errors="replace")
            else:
                values[field.name] = reader.u64()
        return cls(**values)  # type: ignore[arg-type]  # the loop above is typed by the fields


def load_params(path: Path) -> Params:
    """Read a network preset. Every key must be there and known: these are consensus rules."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OperatorError(
            f"cannot read the network file {path}",
            str(error),
            "check the path and the syntax",
            code=2,
        ) from error
    return params_from_table(table, str(path))


def params_from_table(table: dict[str, object], source: str) -> Params:
    """Check names and types of a preset's keys. Raises OperatorError naming every wrong key."""
    known = {field.name: field.type for field in fields(Params)}
    problems = [f"unknown key {name!r}" for name in table if name not in known]
    for name, kind in known.items():
        value = table.get(name)
        wanted = str if kind in (str, "str") else int
        if value is None:
            problems.append(f"missing key {name!r}")
        elif type(value) is not wanted:
            problems.append(f"{name!r} must be {wanted.__name__}, not {type(value).__name__}")
    if problems:
        raise OperatorError(
            f"network file {source} is not valid",
            "; ".join(problems),
            "compare it with configs/networks/regtest.toml",
            code=2,
        )
    return Params(**table)  # type: ignore[arg-type]  # names and types were just checked
