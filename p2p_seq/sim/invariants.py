"""What must hold after every event (consensus.md D.3). Every violation names its invariant."""

from enum import StrEnum

from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.types import Hash32, XOnlyKey
from p2p_seq.protocol.votes import Certificate, Conflict, Vote, VoteError, VoteStatement, slot_of
from p2p_seq.sim.blocks import SimulatedBlock

VOTES_BOUND = 20_000
"""Votes that one node may hold: window of 129 views, 7 members, 6 statements, and room."""


class Invariant(StrEnum):
    AGREEMENT = "agreement"
    """Two honest nodes finalised different blocks at one height."""
    ANCESTRY = "ancestry"
    """A final block is not the child of the final block before it."""
    DOUBLE_SIGNATURE = "honest-double-signature"
    """An honest node signed two statements in one slot."""
    GUARD = "guard-refused"
    """An honest core asked for a vote that its guard refuses."""
    FRAMED = "honest-framed"
    """Evidence names an honest node."""
    CERTIFICATE = "certificate-invalid"
    """An honest node relies on a certificate that is no minimal quorum of votes that were cast."""
    REPEATED = "transaction-twice"
    """A transaction is in two final blocks."""
    MEMORY = "memory-bound"
    """A node holds more than the bounds allow."""
    FORK_CLAIM = "fork-claimed"
    """An honest node saw two contradicting finalities while less than a third was Byzantine."""
    STALL = "stall"
    """Not everything was final on every honest node within the bound after the healing."""
    LOCAL_ERROR = "local-error"
    """An honest core found its own invariants broken."""


class Violation(Exception):
    """An invariant is broken."""

    def __init__(self, invariant: Invariant, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail


class Monitor:
    """Sees every vote, certificate and finality of the run."""

    def __init__(self) -> None:
        self.chain: list[Hash32] = []
        """Final blocks by height, as the first honest node finalised them."""
        self.conflicts: list[Conflict] = []
        self._transactions: dict[int, Hash32] = {}
        self._slots: dict[tuple[XOnlyKey, int, int, int], VoteStatement] = {}
        self._cast: set[tuple[XOnlyKey, VoteStatement]] = set()
        self._checked: set[tuple[VoteStatement, tuple[int, ...]]] = set()

    def vote_cast(self, key: XOnlyKey, statement: VoteStatement, is_honest: bool) -> None:
        """Somebody signed a statement."""
        self._cast.add((key, statement))
        if is_honest:
            slot = (key, statement.epoch, statement.view, slot_of(statement.kind))
            earlier = self._slots.setdefault(slot, statement)
            if earlier != statement:
                raise Violation(Invariant.DOUBLE_SIGNATURE, f"{earlier} and {statement}")

    def certificate_used(self, certificate: Certificate, members: SequencerSet) -> None:
        """An honest node made a certificate durable."""
        known = (certificate.statement, certificate.signers)
        if known in self._checked:
            return
        try:
            certificate.check_quorum(members)
        except VoteError as error:
            raise Violation(Invariant.CERTIFICATE, str(error)) from error
        for signer in certificate.signers:
            if (members.key(signer), certificate.statement) not in self._cast:
                raise Violation(Invariant.CERTIFICATE, f"{signer} never cast {known[0]}")
        self._checked.add(known)

    def finalized(self, height: int, digest: Hash32, block: SimulatedBlock, parent: Hash32) -> None:
        """An honest node finalised its next block."""
        if block.parent != parent:
            raise Violation(Invariant.ANCESTRY, f"height {height}")
        if height < len(self.chain):
            if self.chain[height] != digest:
                raise Violation(Invariant.AGREEMENT, f"two final blocks at height {height}")
            return
        for transaction in block.transactions:
            if transaction in self._transactions:
                raise Violation(Invariant.REPEATED, f"transaction {transaction}")
            self._transactions[transaction] = digest
        self.chain.append(digest)

    def evidence(self, conflict: Conflict, key: XOnlyKey, is_honest: bool) -> None:
        """A node holds two contradicting votes of one member."""
        if is_honest:
            raise Violation(Invariant.FRAMED, f"{key.hex()[:8]}: {conflict}")
        self.conflicts.append(conflict)

    @staticmethod
    def votes_held(count: int) -> None:
        if count > VOTES_BOUND:
            raise Violation(Invariant.MEMORY, f"{count} votes")


def convicted(conflicts: list[Conflict]) -> set[int]:
    """Set positions of the members that the conflicts convict."""
    return {_signer(conflict.first) for conflict in conflicts}


def _signer(vote: Vote) -> int:
    return vote.signer
