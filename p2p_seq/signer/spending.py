"""Signing of wallet transactions: every input a key-path spend of one of the given secrets."""

from collections.abc import Iterable

from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.bitcoin.wallet import UnsignedTransaction
from p2p_seq.protocol.errors import LocalError
from p2p_seq.signer.schnorr import public_key, sign_key_path


def sign_payment(unsigned: UnsignedTransaction, secrets: Iterable[bytes]) -> Transaction:
    """The complete transaction. Raises LocalError when an input belongs to none of the secrets."""
    secret_of = {key_path_script(public_key(secret)): secret for secret in secrets}
    signatures = []
    messages = unsigned.key_path_messages()
    for output, message in zip(unsigned.spent, messages, strict=True):
        secret = secret_of.get(output.script)
        if secret is None:
            raise LocalError("an input of the payment belongs to another wallet")
        signatures.append(sign_key_path(secret, message))
    return unsigned.with_key_path_signatures(signatures)
