"""What ties the answers of several nodes together: nobody who asks them sees time run backwards.

Nodes are never all at the same block: one has just been restarted, another has seen the last block
a moment earlier. Every answer about the ledger names the height of its state (`HEIGHT`), and a
question may demand a state that is no older (`AT_LEAST`); a node that is behind answers 503, and
the next one is asked. A client of one node makes no demand: that node may have lost its last
blocks in a crash, and will fetch them again.

A session believes the heights that its nodes name, so it is for nodes that the user trusts.
"""

from dataclasses import dataclass
from typing import Final

from p2p_seq.api.arguments import NUMBER_DIGITS, NUMBER_MAX

HEIGHT: Final = "p2pseq-height"
"""Header of an answer: no newer block than this one is in it."""

AT_LEAST: Final = "p2pseq-at-least"
"""Header of a question: the state to answer from must include this final block."""


@dataclass(slots=True)
class Session:
    """What its clients have seen together."""

    height: int = 0
    """The newest final block."""

    def saw(self, named: str) -> None:
        """The height that an answer names; anything but a decimal u64 is not believed."""
        if named.isascii() and named.isdigit() and len(named) <= NUMBER_DIGITS:
            height = int(named)
            if height <= NUMBER_MAX:
                self.height = max(self.height, height)
