"""Three kinds of failure, decided where they are raised, so that nobody guesses later.

`LocalError` is our own bug or a broken machine: the task stops. `RemoteError` is a peer's (or
Bitcoin's, or a user's) bytes: dropped, counted, never a crash. `OperatorError` is something that a
person can mend: printed as what, why and what to do.
"""

from enum import StrEnum


class LocalError(Exception):
    """An invariant of this process is broken. Never caught to go on."""


class RemoteError(Exception):
    """Bytes from outside are wrong. `reason` is an enum member, so that tests and counters can
    name it.
    """

    def __init__(self, reason: StrEnum, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class CodecReason(StrEnum):
    """Why bytes do not decode."""

    TRUNCATED = "truncated"
    """The input ends before the field does."""
    TRAILING = "trailing-bytes"
    """The input goes on after the last field."""
    LENGTH = "length-out-of-bounds"
    """A length or count is over its limit."""
    VALUE = "value-out-of-bounds"
    """An integer, tag or flag has a value that the format does not know."""


class CodecError(RemoteError):
    """Bytes that are not the canonical encoding of what they claim to be."""


class OperatorError(Exception):
    """Something that a person can mend. The CLI prints the three lines and exits with `code`."""

    def __init__(self, what: str, why: str, do: str, code: int = 1) -> None:
        super().__init__(f"{what}: {why} ({do})")
        self.what = what
        self.why = why
        self.do = do
        self.code = code
