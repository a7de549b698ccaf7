"""What a node's answer to a submission means for whoever keeps the transaction.

An accepted transaction waits in one node's memory and was offered to the others. A node that dies
in that moment takes it along, so the one who made it keeps it, and submits it again until a final
block has it. That is safe: a nonce is used once.
"""

from typing import Final

from p2p_seq.api.types import Submission
from p2p_seq.mempool.types import Rejection
from p2p_seq.protocol.errors import OperatorError

RESUBMIT_SECONDS: Final = 5.0
"""Pause before a transaction that was lost, or could not be taken yet, is submitted again."""

KNOWN_ALREADY: Final = frozenset({Rejection.DUPLICATE, Rejection.FINAL, Rejection.DECIDING})
"""The transaction, or one of its sender with its nonce, is on its way."""

PASSING: Final = frozenset(
    {
        *(Rejection.BUSY, Rejection.POOL_FULL, Rejection.SENDER_FULL),
        *(Rejection.ACCOUNT, Rejection.BALANCE, Rejection.NONCE_FAR),
    }
)
"""A node that is full, or that is behind after a restart; another node or another time will do."""


def refusal(item: Submission) -> OperatorError:
    """The error for a transaction that was not accepted."""
    return OperatorError(
        "the node does not take the transaction",
        item.why or str(item.reason),
        item.do or "change it and try again",
    )
