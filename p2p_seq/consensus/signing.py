"""The signer, as consensus sees it: a door that remembers what it has signed."""

from typing import Protocol

from p2p_seq.protocol.types import Epoch, Hash32, Signature, XOnlyKey
from p2p_seq.protocol.votes import Vote, VoteStatement


class VoteSigner(Protocol):
    """The signer, as far as consensus needs it. Every call is durable before it returns."""

    def cast_vote(
        self, key: XOnlyKey, statement: VoteStatement, message: Hash32, signer: int
    ) -> Vote | None:
        """The vote, or None when the guard refuses (another vote was signed, or silence)."""
        ...

    def heard_own(self, key: XOnlyKey, statement: VoteStatement) -> None:
        """An authentic vote of an own key came from the network."""
        ...

    def sign_proposal(self, key: XOnlyKey, message: Hash32) -> Signature: ...

    def own_votes(self, key: XOnlyKey, epoch: Epoch) -> list[VoteStatement]: ...

    def seal(self, epoch: Epoch) -> None:
        """The epoch is sealed and final: nothing of it is ever signed again."""
        ...

    def consensus_keys(self) -> frozenset[XOnlyKey]: ...
