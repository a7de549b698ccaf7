"""Ledger transactions as a wallet makes them: an order, its id, and the owner's signature."""

from dataclasses import dataclass

from p2p_seq.protocol.transactions import (
    Order,
    SignedTransaction,
    Transfer,
    Withdraw,
    transaction_id,
)
from p2p_seq.protocol.types import Hash32, Sats, XOnlyKey
from p2p_seq.signer import schnorr


@dataclass(frozen=True, slots=True)
class LedgerChain:
    """What ties a signature to one chain."""

    network: str
    chain_id: Hash32


class LedgerAccount:
    """One account's secret. Makes signed transactions; keeps no nonce."""

    def __init__(self, chain: LedgerChain, secret: bytes) -> None:
        self._chain = chain
        self._secret = secret
        self.key: XOnlyKey = schnorr.public_key(secret)

    def transfer(self, nonce: int, fee: Sats, recipient: XOnlyKey, amount: Sats) -> "Signed":
        return self._sign(Transfer(self.key, nonce, fee, recipient, amount))

    def withdraw(self, nonce: int, fee: Sats, amount: Sats, script: bytes) -> "Signed":
        return self._sign(Withdraw(self.key, nonce, fee, amount, script))

    def _sign(self, order: Order) -> "Signed":
        chain = self._chain
        txid = transaction_id(chain.network, chain.chain_id, order.encode_unsigned())
        return Signed(txid, SignedTransaction(order, schnorr.sign(self._secret, txid)).encode())


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction that is ready to be submitted."""

    txid: Hash32
    encoded: bytes
