"""The finalised accounts as the mempool asks for them: two integers, no objects on the hot path."""

from struct import Struct
from typing import Final

from p2p_seq.ledger.executor import Ledger
from p2p_seq.protocol.state import LeafKind

_HEAD: Final = Struct(">QQ")
"""balance u64, nonce u64: the first 16 bytes of an account's leaf."""


class FinalAccounts:
    """Implements `mempool.types.AccountView`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def account(self, key: bytes) -> tuple[int, int] | None:
        """(balance in satoshi, next nonce) after the finalised tip; None without an account."""
        value = self._ledger.leaf(LeafKind.ACCOUNT, key)
        return None if value is None else _HEAD.unpack_from(value)
