"""Domain separation: every hash that is signed has a tag of its own, and all tags stand here.

`H_T(x) = SHA256(SHA256(T) || SHA256(T) || x)` with `T = p2pseq/<network>/<type>/v1` (PROTOCOL.md,
conventions; the construction is BIP340's). SHA-256 and not BLAKE3, so that foreign chains can check
what we sign for a few hundred gas (shared reference relay.md, section 0).
"""

import hashlib
import re
from enum import StrEnum, unique
from functools import lru_cache

from p2p_seq.protocol.types import Hash32


@unique
class Tag(StrEnum):
    """The `<type>` part of a tag."""

    DRAFT = "draft"
    GENESIS = "genesis"
    FOUNDER = "founder"
    """A founder's signature over the genesis file."""
    TX = "tx"
    """A ledger transaction: what its sender signs, and its id."""
    BODY = "body"
    """The transactions of a block."""
    RECORDS = "records"
    """The Bitcoin-derived records of a block."""
    BLOCK = "block"
    """A block header; the block digest that votes name."""
    SEAL = "seal"
    """The body of a seal block."""
    VOTE = "vote"
    PROPOSAL = "proposal"
    """The leader's signature over a proposal."""
    SET = "set"
    SEED = "seed"
    INPUTS = "inputs"
    L1_INPUTS = "l1-inputs"
    TRANSACTIONS = "transactions"
    """The running digest of an epoch's transactions."""
    BATCH = "batch-inputs"
    """The inputs of one batch: constants and blocks, as its guest run read them."""
    ENDORSED = "endorsed"
    """M(e): all that is signed one-time of an epoch."""
    TRACE_SALT = "trace-salt"
    """The salt of a batch's trace tree; the one tag that stands in a BLAKE3 hash."""
    OUTPUTS = "outputs"
    STATEMENT = "statement"
    PROGRAM = "program"
    CERTIFICATES = "certs"
    HISTORY = "history"
    CHANNEL = "channel"
    WITHDRAWAL = "withdrawal"
    """A leaf of the tree of an epoch's Bitcoin payouts."""
    GENERATION = "generation"
    """The digest of a vault generation."""
    COMMIT = "commit"
    """What a settlement's OP_RETURN commits to."""
    PLAN = "plan"
    BUNDLE = "bundle"
    STAKE_RECORD = "stake-record"
    POSSESSION = "possession"
    """Proof of possession of a registered key."""
    COSIGN = "cosign"
    """A member's statement that a fresh co-signing key is its own."""
    PEER = "peer"
    """The binding of a peer id to a consensus key."""
    REQUEST = "request"
    """A signed statement of a member outside votes."""


class BitcoinTag(StrEnum):
    """The kinds of OP_RETURN that the network writes on Bitcoin; their first four bytes are
    `tag4`.
    """

    STAKE = "stake"
    DEPOSIT = "deposit"
    SETTLE = "settle"
    FORCED = "forced"


NETWORK_NAME = re.compile(r"[a-z0-9-]{1,32}\Z")
"""Network names are ASCII in one spelling: they are hashed."""


def tag_text(network: str, tag: str) -> bytes:
    """T. Raises ValueError."""
    if not NETWORK_NAME.match(network):
        raise ValueError(f"not a network name: {network!r}")
    return f"p2pseq/{network}/{tag}/v1".encode("ascii")


@lru_cache(maxsize=256)
def tag_prefix(network: str, tag: str) -> bytes:
    """The 64-byte prefix `SHA256(T) || SHA256(T)` of a tagged hash."""
    digest = hashlib.sha256(tag_text(network, tag)).digest()
    return digest + digest


@lru_cache(maxsize=256)
def _midstate(network: str, tag: str) -> "hashlib._Hash":
    return hashlib.sha256(tag_prefix(network, tag))


def tagged_hash(network: str, tag: Tag, *parts: bytes) -> Hash32:
    """`H_tag` over the concatenation of `parts`."""
    state = _midstate(network, tag.value).copy()
    for part in parts:
        state.update(part)
    return Hash32(state.digest())


def tag4(network: str, tag: BitcoinTag) -> bytes:
    """The first four bytes of an OP_RETURN of the network:
    `SHA256("p2pseq/<network>/<type>/v1")[:4]`.
    """
    return hashlib.sha256(tag_text(network, tag.value)).digest()[:4]
