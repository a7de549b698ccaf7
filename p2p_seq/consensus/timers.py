"""How long a view may take (consensus.md C.4, pitfall B5).

Only liveness depends on these numbers, so they are a node's configuration and no rule of the
protocol. They grow while nothing is finalised, because the true delays may be longer than anybody
assumed.
"""

from dataclasses import dataclass

from p2p_seq.protocol.errors import OperatorError


@dataclass(frozen=True, slots=True)
class TimerConfig:
    """Delays in milliseconds."""

    leader_ms: int = 1_000
    """Wait for the proposal. At least 1 s on one machine: the network's p99 is 0.1-0.4 s there."""
    advance_ms: int = 1_500
    """Wait for a certificate of the view, counted from the same moment."""
    require_ms: int = 400
    """The leader of an unfinalised block waits so long for its finality before it adds an empty
    block.
    """
    growth_percent: int = 150
    """Factor per view without finality (alpha)."""
    patience_views: int = 2
    """Views without finality before the delays grow: one dead leader is no reason."""
    cap_ms: int = 60_000
    """No delay grows beyond this."""
    standstill_ms: int = 3_000
    """Without new finality for so long everything above the last finality is said again."""
    standstill_cap_ms: int = 15_000
    """The period of saying it again doubles up to this."""

    def __post_init__(self) -> None:
        ordered = 0 < self.require_ms < self.leader_ms <= self.advance_ms <= self.cap_ms
        if not ordered or self.growth_percent <= 100 or self.patience_views < 0:
            raise OperatorError(
                "the consensus timers contradict themselves",
                "require_ms < leader_ms <= advance_ms <= cap_ms and growth_percent > 100 must hold",
                "correct the [consensus] section",
                code=2,
            )
        if not 0 < self.standstill_ms <= self.standstill_cap_ms:
            raise OperatorError(
                "the consensus timers contradict themselves",
                "0 < standstill_ms <= standstill_cap_ms must hold",
                "correct the [consensus] section",
                code=2,
            )

    def stretched(self, delay_ms: int, views_without_finality: int) -> int:
        """The delay after so many views without finality: grows by alpha, up to the cap."""
        for _ in range(max(0, views_without_finality - self.patience_views)):
            delay_ms = delay_ms * self.growth_percent // 100
            if delay_ms >= self.cap_ms:
                return self.cap_ms
        return delay_ms

    def standstill(self, attempt: int) -> int:
        """Delay before the repetition number `attempt`, from 0."""
        return min(self.standstill_cap_ms, self.standstill_ms << min(attempt, 16))
