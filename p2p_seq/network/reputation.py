"""Scores and bans: what a peer did, forgotten by half every minute.

Weights say how sure we are that no honest peer does such a thing. Faults that congestion can cause
(`STALLED`, `FLOOD`) never ban by themselves at a low rate; a broken frame, which authenticated and
encrypted streams cannot produce by accident, bans at the third. Bans double from one minute to an
hour, so that a peer with a mended program comes back by itself. Pure: time is an argument.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from p2p_seq.network.types import PeerId, PenaltyReason

BAN_SCORE: Final = 100.0
HALF_LIFE_S: Final = 60.0
FIRST_BAN_S: Final = 60.0
LAST_BAN_S: Final = 3_600.0
REMEMBERED_PEERS: Final = 4_096
"""Peers with a score; the longest untouched is forgotten first, a banned one never before its
term."""

WEIGHTS: Final[dict[PenaltyReason, float]] = {
    PenaltyReason.MALFORMED_FRAME: 40.0,
    PenaltyReason.OVERSIZED: 40.0,
    PenaltyReason.INVALID_MESSAGE: 20.0,
    PenaltyReason.INVALID_GOSSIP: 5.0,
    PenaltyReason.FLOOD: 0.2,
    PenaltyReason.STREAM_FLOOD: 1.0,
    PenaltyReason.STALLED: 2.0,
    PenaltyReason.EQUIVOCATION: BAN_SCORE,
}
assert set(WEIGHTS) == set(PenaltyReason)


@dataclass(slots=True)
class _Record:
    score: float = 0.0
    scored_at: float = 0.0
    banned_until: float = 0.0
    bans: int = 0


class Reputation:
    """Scores of all peers that ever misbehaved."""

    def __init__(self) -> None:
        self._records: OrderedDict[PeerId, _Record] = OrderedDict()

    def penalize(self, peer: PeerId, reason: PenaltyReason, now: float) -> bool:
        """Add the reason's weight; True when this bans the peer."""
        record = self._touch(peer, now)
        record.score = self._decayed(record, now) + WEIGHTS[reason]
        record.scored_at = now
        if record.score < BAN_SCORE or record.banned_until > now:
            return False
        self._ban(record, min(LAST_BAN_S, FIRST_BAN_S * 2.0**record.bans), now)
        return True

    def ban(self, peer: PeerId, duration_s: float, now: float) -> None:
        self._ban(self._touch(peer, now), duration_s, now)

    def score(self, peer: PeerId, now: float) -> float:
        record = self._records.get(peer)
        return self._decayed(record, now) if record else 0.0

    def banned_for(self, peer: PeerId, now: float) -> float:
        """Seconds left of the peer's ban; 0 when it is not banned."""
        record = self._records.get(peer)
        return max(0.0, record.banned_until - now) if record else 0.0

    def is_banned(self, peer: PeerId, now: float) -> bool:
        return self.banned_for(peer, now) > 0.0

    def _touch(self, peer: PeerId, now: float) -> _Record:
        record = self._records.get(peer)
        if record is None:
            self._forget(now)
            record = self._records[peer] = _Record(scored_at=now)
        self._records.move_to_end(peer)
        return record

    def _forget(self, now: float) -> None:
        if len(self._records) < REMEMBERED_PEERS:
            return
        for peer, record in self._records.items():
            if record.banned_until <= now:
                del self._records[peer]
                return
        # All are banned: the oldest ban is the one that costs least to forget.
        self._records.popitem(last=False)

    @staticmethod
    def _ban(record: _Record, duration_s: float, now: float) -> None:
        record.banned_until = max(record.banned_until, now + duration_s)
        # The slate is clean after the term; only the number of bans is remembered.
        record.score = 0.0
        record.bans += 1

    @staticmethod
    def _decayed(record: _Record, now: float) -> float:
        return record.score * math.exp2(-max(0.0, now - record.scored_at) / HALF_LIFE_S)
