"""Transactions, a ledger that is a dictionary, and a parser made of the pure codec."""

import hashlib
from collections.abc import Sequence

from p2p_seq.mempool.types import Account, Parsed, Prices
from p2p_seq.protocol.codec import Reader
from p2p_seq.protocol.transactions import Order, SignedTransaction, Transfer, Withdraw
from p2p_seq.protocol.types import Hash32, Sats, Signature, XOnlyKey
from p2p_seq.signer.schnorr import public_key, sign

NETWORK = "mempool-test"
CHAIN_ID = Hash32(bytes.fromhex("c4" * 32))
PRICES = Prices(
    transfer=100,
    withdraw=500,
    cycles_transfer=6_000,
    cycles_other=10_000,
    payout_minimum=1_000,
    account_minimum=1_000,
)
P2TR_SCRIPT = b"\x51\x20" + bytes(range(32))


def secret_of(name: int) -> bytes:
    return hashlib.sha256(b"mempool test %d" % name).digest()


def key(name: int) -> XOnlyKey:
    """A key without a secret: enough for the core, which sees no signatures."""
    return XOnlyKey(hashlib.sha256(b"account %d" % name).digest())


def signed_key(name: int) -> XOnlyKey:
    return public_key(secret_of(name))


class DictLedger:
    """The account view of a ledger whose state is a dictionary."""

    def __init__(self, accounts: dict[bytes, Account] | None = None) -> None:
        self.accounts = accounts or {}
        self.reads = 0

    def account(self, key: bytes) -> Account | None:
        self.reads += 1
        return self.accounts.get(key)

    def execute(self, parsed: Parsed) -> bool:
        """Apply one transaction's effect on its sender. False when the ledger would drop it."""
        _, _, _, sender, _, nonce, fee, amount = parsed
        account = self.accounts.get(sender)
        if account is None or account.nonce != nonce or account.balance < fee + amount:
            return False
        self.accounts[sender] = Account(account.balance - fee - amount, nonce + 1)
        return True


def transfer(
    sender: int, nonce: int, fee: int = 100, amount: int = 1_000, recipient: int = 999
) -> Transfer:
    return Transfer(key(sender), nonce, Sats(fee), key(recipient), Sats(amount))


def withdraw(
    sender: int, nonce: int, fee: int = 500, amount: int = 1_000, script: bytes = P2TR_SCRIPT
) -> Withdraw:
    return Withdraw(key(sender), nonce, Sats(fee), Sats(amount), script)


def unsigned_batch(*orders: Order) -> bytes:
    """Concatenated encodings with a signature of zeros."""
    return b"".join(SignedTransaction(order, Signature(bytes(64))).encode() for order in orders)


def signed_transfer(
    sender: int, nonce: int, fee: int = 100, amount: int = 1_000, recipient: int = 999
) -> bytes:
    """The encoding of a transfer that is really signed."""
    order = Transfer(signed_key(sender), nonce, Sats(fee), key(recipient), Sats(amount))
    bare = SignedTransaction(order, Signature(bytes(64)))
    signature = sign(secret_of(sender), bare.id(NETWORK, CHAIN_ID))
    return SignedTransaction(order, signature).encode()


def parse(payload: bytes) -> Sequence[Parsed]:
    """The parser's contract in pure Python. Raises CodecError."""
    reader = Reader(payload)
    parsed: list[Parsed] = []
    offset = 0
    while not reader.at_end():
        transaction = SignedTransaction.read(reader)
        order = transaction.order
        length = len(transaction.encode())
        txid = transaction.id(NETWORK, CHAIN_ID)
        parsed.append(
            (
                offset,
                length,
                txid,
                order.sender,
                int(order.kind),
                order.nonce,
                order.fee,
                order.amount,
            )
        )
        offset += length
    return parsed
