"""Every way in which a proof can be wrong, for all verifiers.

A verifier answers with nothing, or with `InvalidProof` and one of these reasons. Which reason is
part of what the verifiers agree on: they check in the order of the protocol, and the first thing
that is wrong is the answer.
"""

from enum import StrEnum, unique


@unique
class Reason(StrEnum):
    """What is wrong with a proof, or with what it is checked against."""

    BAD_KEY = "bad-key"
    """The verification key is no canonical encoding, or breaks a limit or a degree rule."""
    BAD_PUBLICS = "bad-publics"
    """Too few or too many public values, or one that is not below p."""
    BAD_INTERACTIONS = "bad-interactions"
    """A public interaction names no bus, has another width than its bus, or an element over p."""
    BAD_CONTEXT = "bad-context"
    """The context is longer than 1024 bytes."""
    BAD_MAGIC = "bad-magic"
    """The proof does not begin like a proof, or is of another version."""
    WRONG_KEY = "wrong-key"
    """The proof was made for another verification key."""
    BAD_HEIGHT = "bad-height"
    """A table's height is outside of the bounds that the key gives."""
    TOO_MANY_INTERACTIONS = "too-many-interactions"
    """A bus has p or more interactions: its multiplicities could wrap to zero."""
    TRUNCATED = "truncated"
    """The proof ends before everything has come."""
    TRAILING_BYTES = "trailing-bytes"
    """Something follows the proof."""
    NOT_CANONICAL = "not-canonical"
    """A field element of the proof is not below p, or a nonce of no grinding is not 0."""
    ZERO_DENOMINATOR = "zero-denominator"
    """The challenges make the denominator of a public interaction zero."""
    UNBALANCED_BUSES = "unbalanced-buses"
    """Terminals and public interactions do not sum to zero."""
    BAD_POINT = "bad-point"
    """The out-of-domain point lies in the domain."""
    CONSTRAINTS = "constraints"
    """The constraints do not hold at the out-of-domain point."""
    LAYER_GRINDING = "layer-grinding"
    """The nonce of a FRI layer does not have its work."""
    QUERY_GRINDING = "query-grinding"
    """The nonce before the queries does not have its work."""
    BAD_OPENING = "bad-opening"
    """Opened rows and digests do not lead to the root that was committed to."""
    BAD_FOLD = "bad-fold"
    """A FRI layer's row does not hold the value that the layer before it folds to."""
    BAD_FINAL = "bad-final"
    """The last folded value is not the final polynomial's."""
    NO_MEMORY = "no-memory"
    """The compiled verifier was given too little memory for this proof."""
    BAD_ENVELOPE = "bad-envelope"
    """The file around the proof is damaged, breaks a limit, or spells something in a second way."""
    UNKNOWN_STATEMENT = "unknown-statement"
    """No statement of this program has the name that the file says."""
    WRONG_STATEMENT = "wrong-statement"
    """It may be right, but proves something else than what was asked for."""


class InvalidProof(Exception):
    """A proof that proves nothing: why, and which part. Hostile bytes lead only here."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
