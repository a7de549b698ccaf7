"""Dying on purpose at a named persist point, so that tests can prove that nothing is lost there.

`P2PSEQ_CRASH_AT=<point>:<n>` kills the process with SIGKILL the n-th time it passes the point. Only
networks over Bitcoin regtest obey: elsewhere the variable is an error, not a switch.
"""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Final

from p2p_seq.observability.logs import room_logger
from p2p_seq.protocol.errors import OperatorError
from p2p_seq.signer.guard import CRASH_POINTS as GUARD_POINTS

log = room_logger("node")

CRASH_VARIABLE: Final = "P2PSEQ_CRASH_AT"

VOTING_POINTS: Final = (
    "records-before-write",
    "records-after-write",
    "vote-before-guard",
    "vote-after-guard",
    "final-before-write",
    "final-after-write",
    *GUARD_POINTS,
)
"""Every durable write of consensus, before and after: passed all the time."""

REGISTRATION_POINTS: Final = (
    "cosign-before-write",
    "cosign-after-write",
    "stake-before-backup",
    "stake-after-backup",
    "stake-after-broadcast",
)
"""Every durable write of a stake's registration: passed when somebody joins or renews."""

CRASH_POINTS: Final = (*VOTING_POINTS, *REGISTRATION_POINTS)


def _live_on(_: str) -> None:
    """The hook of every real node."""


def crash_hook(environment: Mapping[str, str], bitcoin_chain: str) -> Callable[[str], None]:
    """The hook that persist points call; does nothing unless the variable is set."""
    wanted = environment.get(CRASH_VARIABLE)
    if wanted is None:
        return _live_on
    point, _, count = wanted.rpartition(":")
    if bitcoin_chain != "regtest" or point not in CRASH_POINTS or not count.isdigit():
        raise OperatorError(
            f"{CRASH_VARIABLE}={wanted} is not usable",
            "it is for regtest, as <point>:<n> with one of " + ", ".join(CRASH_POINTS),
            f"unset {CRASH_VARIABLE}",
            code=2,
        )
    left = int(count)

    def crash(passed: str) -> None:
        nonlocal left
        if passed == point:
            left -= 1
            if left <= 0:
                log.warning("crash_point_reached", point=point)
                os.kill(os.getpid(), signal.SIGKILL)

    return crash
