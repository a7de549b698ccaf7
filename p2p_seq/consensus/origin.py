"""The origin rule: which Bitcoin block an L2 block may name (PROTOCOL.md section 4, pitfalls B1 and
B6).

`parent <= h <= min(parent + STEP, a_{e+1})`, on the voter's best chain with at least D
confirmations; a voter that does not see that yet waits. A block is invalid for lag only if the
deepest eligible block is more than D + 6 above the parent's origin **and** the block does not
advance as far as allowed. The seal has exactly `a_{e+1}`.

A proposer stays one block shallower than it may (D + 1), so that honest voters are normally there
already. "As far as allowed" therefore leaves a voter that one block of margin; and a proposer that
sees the lag itself drops the margin, so that a voter one block ahead still accepts it. 100 blocks
mined at once are crossed in steps of STEP.

Validity of finalised blocks never depends on this: it is a voter's rule, read against the voter's
own Bitcoin node.
"""

from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

from p2p_seq.protocol.types import Height

LAG_SLACK: Final = 6
"""Blocks above D that the origin may lag before a voter insists (PROTOCOL.md section 4)."""

PROPOSER_MARGIN: Final = 1
"""A proposer names blocks with D + 1 confirmations."""


@dataclass(frozen=True, slots=True)
class OriginRules:
    """The parameters of the rule within one epoch."""

    depth: int
    """D: confirmations of an origin; the tip has one."""
    step: int
    """STEP: the largest advance per block."""
    border: Height
    """a_{e+1}: no block of the epoch steps over it, its seal stands on it."""

    def limit(self, parent: Height) -> Height:
        """The highest origin that a child of `parent` may name, whatever Bitcoin has."""
        return Height(min(parent + self.step, self.border))

    def eligible(self, tip: Height) -> Height:
        """The deepest eligible height: the highest one with D confirmations."""
        return Height(tip - self.depth + 1)

    def lags(self, parent: Height, tip: Height) -> bool:
        """Whether a child of `parent` must advance."""
        return self.eligible(tip) - parent > self.depth + LAG_SLACK


@unique
class OriginVerdict(Enum):
    """What a voter says about the origin of a proposal."""

    VALID = "valid"
    WAIT = "wait"
    """Not on this node's best chain or not deep enough: perhaps in a moment."""
    INVALID_RANGE = "invalid-range"
    """Goes back, steps too far or over the border, or a seal that is not on the border."""
    INVALID_LAG = "invalid-lag"
    """Bitcoin is far ahead and the block does not follow."""


def propose_origin(rules: OriginRules, parent: Height, tip: Height) -> Height:
    """The origin that a proposer names, given its node's tip. At the border the block must be the
    seal.
    """
    margin = 0 if rules.lags(parent, tip) else PROPOSER_MARGIN
    return Height(max(parent, min(rules.limit(parent), rules.eligible(tip) - margin)))


def is_origin_work(rules: OriginRules, parent: Height, tip: Height) -> bool:
    """Whether a new eligible origin is a reason for a block."""
    return propose_origin(rules, parent, tip) > parent


def judge_origin(
    rules: OriginRules,
    parent: Height,
    proposed: Height,
    is_seal: bool,
    tip: Height,
    on_best_chain: bool,
) -> OriginVerdict:
    """A voter's judgement.

    `proposed`: the origin's height; `tip`: height of the voter's best block; `on_best_chain`:
    whether the voter's block at that height has the origin's hash (False also when it has none
    there).
    """
    if not parent <= proposed <= rules.limit(parent):
        return OriginVerdict.INVALID_RANGE
    if is_seal != (proposed == rules.border):
        return OriginVerdict.INVALID_RANGE
    if rules.lags(parent, tip):
        enough = min(rules.limit(parent), rules.eligible(tip) - PROPOSER_MARGIN)
        if proposed < enough:
            return OriginVerdict.INVALID_LAG
    if not on_best_chain or proposed > rules.eligible(tip):
        return OriginVerdict.WAIT
    return OriginVerdict.VALID
