"""Taproot (BIP341) and leaf hashes (BIP342): trees, output keys, control blocks, and reading a
spend back.

All outputs of the network have an internal key that nobody can know (`NUMS_KEY`), so only their
leaves spend them. A tree is built from leaf hashes alone: scripts may be large and many, and pass
through memory one at a time. Its shape is fixed: leaves in order, neighbours joined level by
level, an odd last node moves up.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

from p2p_seq.bitcoin.keys import tweak_add
from p2p_seq.bitcoin.script import pay_to_taproot
from p2p_seq.bitcoin.wire import write_var_bytes
from p2p_seq.protocol.errors import CodecError
from p2p_seq.protocol.types import Hash32, XOnlyKey

NUMS_KEY: Final = XOnlyKey(
    bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
)
"""H of BIP341: x of the point hashed from the generator; nobody knows its secret."""

LEAF_VERSION: Final = 0xC0
"""Tapscript (BIP342)."""

MAX_TREE_DEPTH: Final = 128
"""Longest Merkle path of a control block (BIP341)."""

_ANNEX_PREFIX: Final = 0x50


@lru_cache(maxsize=8)
def _tag_state(tag: str) -> "hashlib._Hash":
    digest = hashlib.sha256(tag.encode("ascii")).digest()
    return hashlib.sha256(digest + digest)


def bitcoin_tagged_hash(tag: str, preimage: bytes) -> Hash32:
    """BIP340's tagged hash with one of Bitcoin's own tags."""
    state = _tag_state(tag).copy()
    state.update(preimage)
    return Hash32(state.digest())


def leaf_hash(script: bytes) -> Hash32:
    """TapLeaf hash of a tapscript."""
    return bitcoin_tagged_hash("TapLeaf", bytes([LEAF_VERSION]) + write_var_bytes(script))


def branch_hash(one: bytes, other: bytes) -> Hash32:
    """TapBranch hash: children in lexicographic order."""
    return bitcoin_tagged_hash("TapBranch", one + other if one < other else other + one)


def tap_tweak(internal_key: XOnlyKey, merkle_root: bytes) -> Hash32:
    """TapTweak hash; an empty root means an output without scripts."""
    return bitcoin_tagged_hash("TapTweak", internal_key + merkle_root)


class LeafTree:
    """The Merkle tree over leaf hashes in the network's fixed shape."""

    def __init__(self, leaf_hashes: Iterable[Hash32]) -> None:
        level = list(leaf_hashes)
        if not level:
            raise ValueError("a tree needs a leaf")
        self._levels = [level]
        while len(level) > 1:
            joined = [branch_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            if len(level) % 2:
                joined.append(level[-1])
            level = joined
            self._levels.append(level)

    @property
    def root(self) -> Hash32:
        return self._levels[-1][0]

    def path(self, index: int) -> tuple[Hash32, ...]:
        """Siblings of leaf `index` from the bottom up."""
        if not 0 <= index < len(self._levels[0]):
            raise ValueError(f"leaf {index} of {len(self._levels[0])}")
        siblings = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                siblings.append(level[sibling])
            index >>= 1
        return tuple(siblings)


@dataclass(frozen=True)
class TaprootOutput:
    """A P2TR output made of leaf hashes."""

    leaves: tuple[Hash32, ...]
    internal_key: XOnlyKey = NUMS_KEY

    @classmethod
    def of_scripts(
        cls, scripts: Sequence[bytes], internal_key: XOnlyKey = NUMS_KEY
    ) -> "TaprootOutput":
        return cls(tuple(leaf_hash(script) for script in scripts), internal_key)

    @cached_property
    def _tree(self) -> LeafTree:
        return LeafTree(self.leaves)

    @cached_property
    def _tweaked(self) -> tuple[XOnlyKey, int]:
        return tweak_add(self.internal_key, tap_tweak(self.internal_key, self._tree.root))

    @property
    def merkle_root(self) -> Hash32:
        return self._tree.root

    @property
    def output_key(self) -> XOnlyKey:
        return self._tweaked[0]

    @cached_property
    def script(self) -> bytes:
        """The scriptPubKey."""
        return pay_to_taproot(self.output_key)

    def control_block(self, index: int) -> bytes:
        """What a spend by leaf `index` shows after its script: 33 + 32 * depth bytes."""
        header = bytes([LEAF_VERSION | self._tweaked[1]]) + self.internal_key
        return header + b"".join(self._tree.path(index))


def key_path_script(internal_key: XOnlyKey) -> bytes:
    """The P2TR script of a wallet key without scripts (BIP341 recommends the empty-root tweak)."""
    output_key, _ = tweak_add(internal_key, tap_tweak(internal_key, b""))
    return pay_to_taproot(output_key)


class LeafSpend(NamedTuple):
    """What a script-path spend reveals."""

    stack: tuple[bytes, ...]
    script: bytes
    control_block: bytes


def read_leaf_spend(witness: Sequence[bytes]) -> LeafSpend | None:
    """The leaf that an input's witness reveals; None for key-path spends and odd witnesses."""
    elements = list(witness)
    if len(elements) >= 2 and elements[-1][:1] == bytes([_ANNEX_PREFIX]):
        elements.pop()
    if len(elements) < 2:
        return None
    control_block = elements.pop()
    script = elements.pop()
    depth, rest = divmod(len(control_block) - 33, 32)
    if rest or not 0 <= depth <= MAX_TREE_DEPTH:
        return None
    return LeafSpend(tuple(elements), script, control_block)


def commits_to_leaf(output_script: bytes, script: bytes, control_block: bytes) -> bool:
    """Whether a P2TR output commits to a tapscript by this control block (BIP341, script
    validation).
    """
    depth, rest = divmod(len(control_block) - 33, 32)
    if rest or not 0 <= depth <= MAX_TREE_DEPTH or control_block[0] & 0xFE != LEAF_VERSION:
        return False
    node = leaf_hash(script)
    for start in range(33, len(control_block), 32):
        node = branch_hash(node, control_block[start : start + 32])
    internal_key = XOnlyKey(control_block[1:33])
    try:
        output_key, parity = tweak_add(internal_key, tap_tweak(internal_key, node))
    except CodecError:
        return False
    return pay_to_taproot(output_key) == output_script and parity == control_block[0] & 1
