"""The blocks above the last final one, and the way from it to a certified block."""

from dataclasses import dataclass
from typing import Final

from p2p_seq.consensus.types import ROOT_VIEW, BlockReference
from p2p_seq.protocol.types import Hash32, View

HISTORY_BLOCKS: Final = 256
"""Final blocks whose views are remembered, so that an old contradicting finality is recognised."""


@dataclass(frozen=True, slots=True)
class Path:
    """Blocks from the child of the tip to the target, oldest first."""

    blocks: tuple[BlockReference, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """The walk stops at a block that is not here."""

    digest: Hash32


@dataclass(frozen=True, slots=True)
class Detached:
    """The target does not descend from the tip: two finalised branches."""


class BlockTree:
    """References of known blocks above the tip. The caller bounds what it adds."""

    def __init__(self, tip: Hash32, tip_view: View = ROOT_VIEW) -> None:
        self.tip = tip
        self.tip_view = tip_view
        self._blocks: dict[Hash32, BlockReference] = {}
        self._final: dict[View, Hash32] = {tip_view: tip}

    def add(self, block: BlockReference) -> None:
        if block.view > self.tip_view:
            self._blocks[block.digest] = block

    def get(self, digest: Hash32) -> BlockReference | None:
        return self._blocks.get(digest)

    def knows(self, digest: Hash32) -> bool:
        return digest == self.tip or digest in self._blocks

    def path(self, target: Hash32) -> Path | Missing | Detached:
        """The way from the tip to `target`."""
        blocks: list[BlockReference] = []
        digest = target
        while digest != self.tip:
            block = self._blocks.get(digest)
            if block is None:
                return Detached() if digest in self._final.values() else Missing(digest)
            blocks.append(block)
            digest = block.parent
        return Path(tuple(reversed(blocks)))

    def finalize(self, path: Path) -> None:
        """Move the tip to the end of `path` and forget what can no longer be final."""
        for block in path.blocks:
            self._final[block.view] = block.digest
            self.tip, self.tip_view = block.digest, block.view
        self._blocks = {
            digest: block for digest, block in self._blocks.items() if block.view > self.tip_view
        }
        for view in sorted(self._final)[:-HISTORY_BLOCKS]:
            del self._final[view]

    def contradicts(self, view: View, digest: Hash32) -> bool:
        """Whether a finality of `digest` in a view at or below the tip cannot be true."""
        is_remembered = min(self._final) <= view <= self.tip_view
        return is_remembered and digest not in self._final.values()

    def __len__(self) -> int:
        return len(self._blocks)
