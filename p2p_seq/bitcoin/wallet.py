"""A small key-path wallet as pure code: which coins to spend, what fee, how much change.

For users, the faucet and stakers; the vault is no wallet. All coins are P2TR outputs without
scripts (`key_path_script`), so every input has one 64-byte signature and the size is known before
anybody signs. Signing is `p2p_seq.signer.spending`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from p2p_seq.bitcoin.script import dust_limit
from p2p_seq.bitcoin.sighash import TaprootSighash
from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.bitcoin.wire import WITNESS_SCALE, write_compact_size
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.types import Hash32, OutPoint, Sats, SatsPerKvb, Signature

TRANSACTION_VERSION: Final = 2
"""Relative lock times (BIP68) work from version 2 on."""

_KEY_PATH_WITNESS: Final = 1 + 1 + 64
"""Weight of one key-path witness: count, length, signature."""

_INPUT_BYTES: Final = 41
"""Outpoint, empty scriptSig, sequence."""


class WalletReason(StrEnum):
    """Why a payment cannot be built."""

    FUNDS = "insufficient-funds"
    """The coins do not cover outputs and fee."""
    DUST = "dust-output"
    """An output is too small to be relayed."""


@dataclass(frozen=True)
class Coin:
    """A spendable output of the wallet."""

    outpoint: OutPoint
    output: TxOut

    @property
    def value(self) -> int:
        return self.output.value


@dataclass(frozen=True)
class UnsignedTransaction:
    """A transaction without witnesses and the outputs that its inputs spend, in order."""

    transaction: Transaction
    spent: tuple[TxOut, ...]

    @property
    def fee(self) -> Sats:
        paid = sum(output.value for output in self.transaction.outputs)
        return Sats(sum(output.value for output in self.spent) - paid)

    @property
    def sighash(self) -> TaprootSighash:
        return TaprootSighash(self.transaction, self.spent)

    def key_path_messages(self) -> tuple[Hash32, ...]:
        """What each input's key signs, SIGHASH_DEFAULT."""
        sighash = self.sighash
        return tuple(sighash.key_path(index) for index in range(len(self.spent)))

    def with_key_path_signatures(self, signatures: Sequence[Signature]) -> Transaction:
        """The complete transaction: one signature an input."""
        return self.transaction.with_witnesses(tuple((bytes(item),) for item in signatures))


def fee_for(vsize: int, feerate: SatsPerKvb) -> Sats:
    """Fee of `vsize` virtual bytes, rounded up to a whole satoshi."""
    return Sats(-(-vsize * feerate // 1000))


def key_path_vsize(inputs: int, outputs: Iterable[TxOut]) -> int:
    """Virtual bytes of a transaction whose inputs are all key-path spends."""
    outputs = tuple(outputs)
    stripped = 4 + 4 + len(write_compact_size(inputs)) + inputs * _INPUT_BYTES
    stripped += len(write_compact_size(len(outputs)))
    stripped += sum(len(output.serialize()) for output in outputs)
    weight = WITNESS_SCALE * stripped + 2 + inputs * _KEY_PATH_WITNESS
    return -(-weight // WITNESS_SCALE)


def build_payment(
    coins: Iterable[Coin],
    outputs: Sequence[TxOut],
    change_script: bytes,
    feerate: SatsPerKvb,
) -> UnsignedTransaction:
    """Pay `outputs` in their order from `coins`; change, if it is worth an output, comes last.

    Coins are taken largest first, which needs the fewest inputs and is the same for the same coins
    whatever order they come in. Raises RemoteError with a WalletReason.
    """
    for output in outputs:
        if output.value < dust_limit(output.script):
            raise RemoteError(WalletReason.DUST, f"an output of {output.value} sat")
    wanted = sum(output.value for output in outputs)
    chosen: list[Coin] = []
    gathered = needed = 0
    for coin in sorted(coins, key=lambda item: (-item.value, item.outpoint)):
        chosen.append(coin)
        gathered += coin.value
        needed = wanted + fee_for(key_path_vsize(len(chosen), outputs), feerate)
        if gathered >= needed:
            return _with_change(chosen, outputs, change_script, feerate)
    raise RemoteError(
        WalletReason.FUNDS, f"{gathered} sat in {len(chosen)} coins, {max(needed, wanted)} needed"
    )


def _with_change(
    chosen: Sequence[Coin], outputs: Sequence[TxOut], change_script: bytes, feerate: SatsPerKvb
) -> UnsignedTransaction:
    total = sum(coin.value for coin in chosen) - sum(output.value for output in outputs)
    fee = fee_for(key_path_vsize(len(chosen), [*outputs, TxOut(0, change_script)]), feerate)
    change = total - fee
    # Change below the dust limit would not be relayed; it goes to the miner.
    final = list(outputs)
    if change >= dust_limit(change_script):
        final.append(TxOut(change, change_script))
    inputs = tuple(TxIn(coin.outpoint) for coin in chosen)
    transaction = Transaction(TRANSACTION_VERSION, inputs, tuple(final))
    return UnsignedTransaction(transaction, tuple(coin.output for coin in chosen))


def build_child(
    parent: UnsignedTransaction, parent_vsize: int, vout: int, script: bytes, feerate: SatsPerKvb
) -> UnsignedTransaction:
    """Spend output `vout` of an unconfirmed `parent` so that both together pay `feerate`.

    The way to hurry a transaction whose id must not change, such as a stake: miners take the pair.
    Raises RemoteError when the output does not hold that fee.
    """
    coin = Coin(parent.transaction.outpoint(vout), parent.transaction.outputs[vout])
    vsize = key_path_vsize(1, [TxOut(0, script)])
    # The child pays its own way even when the parent already pays enough.
    missing = max(fee_for(vsize, feerate), fee_for(parent_vsize + vsize, feerate) - parent.fee)
    paid = coin.value - missing
    if paid < dust_limit(script):
        raise RemoteError(WalletReason.FUNDS, f"{coin.value} sat, {missing} needed for the fee")
    transaction = Transaction(TRANSACTION_VERSION, (TxIn(coin.outpoint),), (TxOut(paid, script),))
    return UnsignedTransaction(transaction, (coin.output,))
