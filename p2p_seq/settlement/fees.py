"""What a settlement costs, in integers that every signer computes alike (PROTOCOL.md section 7).

Rates are sat/kvB. The fee is computed on the worst-case size, in which every key of every input
signs: otherwise it would depend on who signs. A version b is a replacement of the same settlement
by a higher fee; versions differ in the value of output 0 alone.
"""

from typing import Final

from p2p_seq.bitcoin.taproot import TaprootOutput
from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.bitcoin.wallet import fee_for
from p2p_seq.bitcoin.wire import WITNESS_SCALE, write_compact_size
from p2p_seq.protocol.types import Sats, SatsPerKvb
from p2p_seq.settlement.generation import VaultGeneration
from p2p_seq.settlement.scripts import (
    VAULT_LEAF,
    RecoveryLeaf,
    vault_leaf,
    vault_output,
)

SETTLEMENT_VSIZE_MAX: Final = 95_000
"""Virtual bytes: below the 100 kvB that relays accept, with room."""

_FRAME_VSIZE: Final = 200
"""Version, counts, lock time, vault output and OP_RETURN of a settlement, rounded up."""

PAYOUT_VSIZE: Final = 43
"""Virtual bytes of the largest payout output (34-byte script)."""

VERSIONS_MAX: Final = 32
"""Versions of one settlement: 1.5^32 is far beyond any ratio of f_max to f_min."""

_INPUT_BYTES: Final = 41
_SIGNATURE_BYTES: Final = 64
_CONTROL_BASE: Final = 33


def feerate_of_version(base: SatsPerKvb, maximum: SatsPerKvb, version: int) -> SatsPerKvb:
    """`min(f_max, f_0 * 3^b div 2^b)`."""
    if not 0 <= version <= VERSIONS_MAX:
        raise ValueError(f"settlement version {version}")
    return SatsPerKvb(min(maximum, base * 3**version // 2**version))


def settlement_fee(vsize: int, base: SatsPerKvb, maximum: SatsPerKvb, version: int) -> Sats:
    """Fee of version b for a worst-case size, rounded up."""
    return fee_for(vsize, feerate_of_version(base, maximum, version))


def is_feerate_allowed(
    proposed: SatsPerKvb, last: SatsPerKvb, minimum: SatsPerKvb, maximum: SatsPerKvb
) -> bool:
    """Whether a seal may propose this f_0: in bounds and within a factor 2 of the last buried
    rate.
    """
    return minimum <= proposed <= maximum and last <= 2 * proposed and proposed <= 2 * last


def _input_weight(generation: VaultGeneration, depth: int) -> int:
    """Weight of an input that spends by the threshold leaf with every key signing."""
    keys = len(generation.members)
    script = len(vault_leaf(generation))
    control = _CONTROL_BASE + 32 * depth
    witness = len(write_compact_size(keys + 2)) + keys * (1 + _SIGNATURE_BYTES)
    witness += len(write_compact_size(script)) + script
    witness += len(write_compact_size(control)) + control
    return WITNESS_SCALE * _INPUT_BYTES + witness


def _depth(output: TaprootOutput) -> int:
    return (len(output.control_block(VAULT_LEAF)) - _CONTROL_BASE) // 32


def vault_input_weight(generation: VaultGeneration, recovery: RecoveryLeaf | None = None) -> int:
    """Worst-case weight of the input that spends the vault coin."""
    return _input_weight(generation, _depth(vault_output(generation, recovery)))


def deposit_input_weight(generation: VaultGeneration) -> int:
    """Worst-case weight of an input that sweeps a deposit; its tree has two leaves."""
    return _input_weight(generation, 1)


def vsize(weight: int) -> int:
    """Virtual bytes of a weight, rounded up."""
    return -(-weight // WITNESS_SCALE)


def outputs_bytes(outputs: list[TxOut]) -> int:
    """Serialised bytes of a list of outputs with its count."""
    return len(write_compact_size(len(outputs))) + sum(len(item.serialize()) for item in outputs)


def settlement_limits(
    generation: VaultGeneration, recovery: RecoveryLeaf | None = None
) -> tuple[int, int]:
    """I_MAX and P_MAX, the most deposits and payouts of one settlement (PROTOCOL.md section 1).

    With B = 95,000 vB minus the vault input minus 200: three quarters of B for deposits, one for
    payouts.
    """
    room = SETTLEMENT_VSIZE_MAX - vsize(vault_input_weight(generation, recovery)) - _FRAME_VSIZE
    return (
        3 * room // (4 * vsize(deposit_input_weight(generation))),
        room // (4 * PAYOUT_VSIZE),
    )


def withdrawal_charge(last_buried: SatsPerKvb, script: bytes) -> Sats:
    """What a withdrawal pays for its output: its bytes at twice the last buried rate."""
    return fee_for(len(TxOut(0, script).serialize()), SatsPerKvb(2 * last_buried))


def deposit_charge(last_buried: SatsPerKvb, generation: VaultGeneration) -> Sats:
    """What a deposit pays for its input, deducted from what is minted (section 7)."""
    return fee_for(vsize(deposit_input_weight(generation)), SatsPerKvb(2 * last_buried))
