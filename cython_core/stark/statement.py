"""What a proof is about: the side of a proof that people read.

An AIR with its key says only "these tables satisfy these constraints". A statement says what that
means: what each public value is, what is proven, what is not. It also derives the public
interactions from the public values, so that no proof can bring its own. The
statements of this program are `cython_core.chips.statements.STATEMENTS`, by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cython_core.air.table import PublicInteraction


class LabelledValue(NamedTuple):
    """A group of public values as a person reads it, such as a root in hexadecimal."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Description:
    """What a valid proof of the statement shows, and what it leaves open."""

    summary: str
    proven: tuple[str, ...]
    not_proven: tuple[str, ...]


class Statement(Protocol):
    """One thing that can be proven. Methods are pure; `key` may be slow the first time."""

    @property
    def name(self) -> str:
        """Lower case letters, digits and hyphens; written into proof files."""

    def describe(self) -> Description:
        """In sentences, without the numbers of a single proof."""

    def key(self) -> bytes:
        """The encoded verification key."""

    def public_count(self) -> int:
        """How many field elements the public values are."""

    def label(self, publics: Sequence[int]) -> list[LabelledValue]:
        """The public values as a person reads them. ValueError when they are no possible ones."""

    def interactions(self, publics: Sequence[int]) -> list[PublicInteraction]:
        """The public interactions of these values. ValueError when they are no possible ones."""
