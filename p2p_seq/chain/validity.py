"""What makes a proposed block valid: the checks that need no I/O, one rule each.

Validity for everybody (`InvalidBlockError`) is kept apart from "this node cannot tell yet"
(`NotYetError`): the first nullifies the view at once, the second waits for the voter's own Bitcoin
node or for a parent (PROTOCOL.md section 4, origin validity).
"""

from dataclasses import dataclass

from p2p_seq.bitcoin.scan import L1Block
from p2p_seq.chain.types import BlockReason, ChainState, InvalidBlockError, NotYetError
from p2p_seq.consensus.origin import OriginRules, OriginVerdict, judge_origin
from p2p_seq.protocol.blocks import Block, BlockKind, Header
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.types import Epoch, Height


def origin_rules(params: Params, anchor: Height, epoch: Epoch) -> OriginRules:
    """The origin rule's parameters within an epoch."""
    border = params.epoch_start(anchor, Epoch(epoch + 1))
    return OriginRules(params.burial_depth, params.origin_step, border)


def check_header(parent: ChainState, header: Header, leader: int) -> None:
    """The header follows its parent, in the leader's turn, on the state that execution gives."""
    follows = (
        header.parent == parent.digest
        and header.height == parent.header.height + 1
        and header.epoch == parent.epoch
        and header.kind is not BlockKind.GENESIS
    )
    if not follows:
        raise InvalidBlockError(BlockReason.PARENT, f"height {header.height}")
    if header.leader != leader:
        raise InvalidBlockError(BlockReason.LEADER, f"{header.leader}, not {leader}")
    if header.state_root != parent.state_root:
        raise InvalidBlockError(
            BlockReason.STATE_ROOT, f"{header.state_root.hex()}, not {parent.state_root.hex()}"
        )


def check_origin_vote(
    rules: OriginRules, parent: ChainState, header: Header, tip: Height, own: L1Block | None
) -> None:
    """A voter's judgement of the origin; `own` is its block at that height, `tip` its best."""
    verdict = judge_origin(
        rules,
        parent.header.origin.height,
        header.origin.height,
        header.kind is BlockKind.SEAL,
        tip,
        own is not None and own.hash == header.origin.hash,
    )
    if verdict is OriginVerdict.INVALID_RANGE:
        raise InvalidBlockError(BlockReason.ORIGIN_RANGE, f"height {header.origin.height}")
    if verdict is OriginVerdict.INVALID_LAG:
        raise InvalidBlockError(BlockReason.ORIGIN_LAG, f"height {header.origin.height}")
    if verdict is OriginVerdict.WAIT:
        raise NotYetError(f"Bitcoin block {header.origin.height} is not buried here")


def check_origin_final(
    rules: OriginRules, parent: ChainState, header: Header, own: L1Block | None
) -> None:
    """The origin of a certified block: in range; known here before anything is derived from it."""
    height, base = header.origin.height, parent.header.origin.height
    in_range = base <= height <= rules.limit(base)
    if not in_range or (header.kind is BlockKind.SEAL) != (height == rules.border):
        raise InvalidBlockError(BlockReason.ORIGIN_RANGE, f"height {height}")
    if own is None or own.hash != header.origin.hash:
        raise NotYetError(f"Bitcoin block {height} is not known here")


def check_origin_time(header: Header, own: L1Block) -> None:
    """The ledger's clock is the median time past of the origin block."""
    if header.origin.median_time != own.median_time:
        raise InvalidBlockError(BlockReason.ORIGIN_TIME, f"{header.origin.median_time}")


@dataclass(frozen=True, slots=True)
class ExpectedContent:
    """What parent and origin fix of a block's content."""

    records: bytes
    seal: bytes


def check_content(block: Block, expected: ExpectedContent) -> None:
    """Records and seal are those that every node derives; a seal has no user transactions."""
    body = block.body
    if body.records != expected.records:
        raise InvalidBlockError(BlockReason.RECORDS, f"{len(body.records)} bytes")
    if body.seal != expected.seal:
        raise InvalidBlockError(BlockReason.SEAL, "another set or plan")
    if block.header.kind is BlockKind.SEAL and (body.transaction_count or body.transactions):
        raise InvalidBlockError(BlockReason.SEAL, "a seal carries no user transactions")
