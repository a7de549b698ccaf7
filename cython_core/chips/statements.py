"""The statements that can be proven, by name: what each says, its key and its public values."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from cython_core.air.key import encode_key
from cython_core.air.table import PublicInteraction
from cython_core.chips.tree_update import PUBLIC_COUNT, tree_update_meaning, tree_update_system
from cython_core.stark.parameters import PROVEN
from cython_core.stark.statement import Description, LabelledValue, Statement


@lru_cache(maxsize=1)
def _tree_update_key() -> bytes:
    return encode_key(tree_update_system(), PROVEN)


class TreeUpdateStatement:
    """A batch of updates leads from the old root of the state tree to the new one."""

    name: Final = "tree-update"

    def describe(self) -> Description:
        return Description(
            summary=(
                "The batch of leaf updates with this digest leads from the old root of the state "
                "tree to the new root."
            ),
            proven=(
                (
                    "The prover knows a batch of updates with the public digest: for each leaf its "
                    "hash before and after, of which either may be absent."
                ),
                (
                    "If the old root is that of a well-formed tree, each leaf was as the batch "
                    "says before it, or absent where it says so; no path is updated twice."
                ),
                "The new root is that of the tree with exactly these leaves changed.",
            ),
            not_proven=(
                (
                    "Why the leaves changed: no transaction, signature or rule of the ledger "
                    "is checked."
                ),
                "That the old root is the root of a well-formed tree, or of the ledger's.",
                "What the batch contains: who wants to know compares its digest.",
            ),
        )

    def key(self) -> bytes:
        return _tree_update_key()

    def public_count(self) -> int:
        return PUBLIC_COUNT

    def label(self, publics: Sequence[int]) -> list[LabelledValue]:
        names = ("old root", "new root", "batch digest")
        meaning = tree_update_meaning(publics)
        return [LabelledValue(name, part.hex()) for name, part in zip(names, meaning, strict=True)]

    def interactions(self, publics: Sequence[int]) -> list[PublicInteraction]:
        tree_update_meaning(publics)
        return []


TREE_UPDATE: Final = TreeUpdateStatement()
STATEMENTS: Final[Mapping[str, Statement]] = MappingProxyType({TREE_UPDATE.name: TREE_UPDATE})
