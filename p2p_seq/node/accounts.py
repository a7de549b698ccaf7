"""The finalised accounts as the mempool asks for them: two integers, no objects on the hot path."""

from p2p_seq.ledger.executor import Ledger
from p2p_seq.protocol.state import ACCOUNT_HEAD, LeafKind


class FinalAccounts:
    """Implements `mempool.types.AccountView`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def account(self, key: bytes) -> tuple[int, int] | None:
        """(balance in satoshi, next nonce) after the finalised tip; None without an account."""
        value = self._ledger.leaf(LeafKind.ACCOUNT, key)
        if value is None:
            return None
        balance, nonce = ACCOUNT_HEAD.unpack_from(value)
        return balance, nonce
