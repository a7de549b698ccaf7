"""What a node knows after a block, and why a block is refused."""

from dataclasses import dataclass
from enum import StrEnum

from p2p_seq.protocol.blocks import Header
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.types import Epoch, Hash32
from p2p_seq.settlement.bridge import BridgeState
from p2p_seq.staking.registry import Registry


@dataclass(frozen=True, slots=True)
class ChainState:
    """Everything that a block's children depend on, besides the ledger's accounts."""

    digest: Hash32
    header: Header
    state_root: Hash32
    """State root after this block: what its children's headers must say."""
    bridge: BridgeState
    registry: Registry
    epoch: Epoch
    """Epoch of the children: the next one after a seal."""
    members: SequencerSet
    """The set that votes on the children."""
    instance_root: Hash32
    """Digest of the seal (or genesis) on which the children's consensus instance stands."""


class BlockReason(StrEnum):
    """Why a block is invalid for everybody."""

    PARENT = "parent"
    """It does not follow its parent: height, epoch or digest."""
    LEADER = "leader"
    """Its leader is not the leader of its view."""
    STATE_ROOT = "state-root"
    """Its header does not have the root that its parent's execution gives."""
    ORIGIN_RANGE = "origin-range"
    """Its origin goes back, too far, over the border, or misses the border it must stand on."""
    ORIGIN_LAG = "origin-lag"
    """Bitcoin is far ahead and the block does not follow."""
    ORIGIN_TIME = "origin-time"
    """The origin's median time is not that block's."""
    RECORDS = "records"
    """Its records are not what Bitcoin and the finalised state give."""
    SEAL = "seal"
    """Its seal is not what the state gives, or a seal carries transactions."""
    FEERATE = "feerate"
    """The seal proposes a feerate out of bounds."""
    TRANSACTIONS = "transactions"
    """The bytes are not the stated number of canonical transactions."""
    SIGNATURE = "signature"
    """A user's signature does not verify."""
    BUDGET = "budget"
    """It would pass the epoch's cycle budget."""
    STAKE_RECORD = "stake-record"
    """The stake record does not hold, or is not alone."""
    FORMAT = "format"
    """The bytes are not a block."""


class InvalidBlockError(RemoteError):
    """A block that no honest leader builds."""


class NotYetError(Exception):
    """The block cannot be judged here yet: Bitcoin or a parent is missing on this node."""
