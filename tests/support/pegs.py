"""Vault generations, plans and contexts for the tests of the peg."""

from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.protocol.sets import vault_shares
from p2p_seq.protocol.types import Epoch, Hash32, OutPoint, Sats, SatsPerKvb, Signature, XOnlyKey
from p2p_seq.settlement.generation import VaultGeneration, VaultMember
from p2p_seq.settlement.plan import (
    PlannedDeposit,
    PlannedPayout,
    SettledEpoch,
    SettledFacts,
    SettlementPlan,
)
from p2p_seq.settlement.transactions import Settlement, SettlementContext
from p2p_seq.signer.schnorr import sign
from tests.support.keys import digest, key, secret

NETWORK = "regtest"
TIMEOUT = 60


def vault_names(number: int, count: int) -> list[str]:
    """Names of the members' keys, for `tests.support.keys.secret`."""
    return [f"vault {number} {position}" for position in range(count)]


def generation(number: int, weights: list[int]) -> VaultGeneration:
    shares = vault_shares(weights)
    members = zip(vault_names(number, len(weights)), shares, strict=True)
    return VaultGeneration(number, tuple(VaultMember(key(name), share) for name, share in members))


GENERATIONS = {0: generation(0, [40, 30, 20, 10]), 1: generation(1, [25, 25, 25, 25])}
CONTEXT = SettlementContext(NETWORK, GENERATIONS, TIMEOUT)


def deposit(name: str, value: int, holder: int = 1) -> PlannedDeposit:
    outpoint = OutPoint(digest(f"deposit {name}"), 0)
    return PlannedDeposit(
        outpoint, Sats(value), key(f"account {name}"), key(f"user {name}"), holder
    )


def payout(number: int, amount: int) -> PlannedPayout:
    return PlannedPayout(number, Sats(amount), key_path_script(key(f"payee {number}")))


def plan(
    deposits: tuple[PlannedDeposit, ...] = (),
    payouts: tuple[PlannedPayout, ...] = (),
    hand_over: VaultGeneration | None = None,
    vault_value: int = 50_000_000,
) -> SettlementPlan:
    return SettlementPlan(
        Epoch(3),
        Epoch(4),
        OutPoint(digest("vault"), 0),
        Sats(vault_value),
        1,
        deposits,
        payouts,
        SatsPerKvb(2_000),
        SatsPerKvb(50_000),
        8,
        hand_over,
    )


def facts() -> SettledFacts:
    epochs = (SettledEpoch(digest("statement 3")), SettledEpoch(digest("statement 4")))
    return SettledFacts(epochs, digest("next set"), GENERATIONS[1].digest(NETWORK))


def signatures_by(settlement: Settlement, names: list[str]) -> dict[XOnlyKey, dict[int, Signature]]:
    """What the named members contribute."""
    messages = settlement.messages()
    return {
        key(name): {
            index: sign(secret(name), messages[index]) for index in settlement.inputs_of(key(name))
        }
        for name in names
    }


STATE_ROOT = Hash32(digest("state root"))
