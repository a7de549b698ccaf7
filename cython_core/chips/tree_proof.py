"""Proofs of the statement "tree-update", from a batch to a file."""

from dataclasses import replace
from functools import lru_cache

from cython_core.chips.statements import TREE_UPDATE
from cython_core.chips.tree_batches import TreeBatch
from cython_core.chips.tree_trace import tree_update_trace
from cython_core.chips.tree_update import tree_update_system
from cython_core.stark.codewords import Options
from cython_core.stark.parameters import PROVEN
from cython_core.stark.proof import Proof
from cython_core.stark.prover import ProvingKey, make_proving_key, prove


@lru_cache(maxsize=1)
def tree_update_proving_key() -> ProvingKey:
    return make_proving_key(tree_update_system(), PROVEN)


def prove_tree_update(
    batch: TreeBatch, context: bytes = b"", options: Options | None = None
) -> Proof:
    """A proof of what the batch makes of the tree whose witness it brings.

    WitnessError when the witness is not the batch's, Cancelled when the options say so.
    """
    update = tree_update_trace(batch.updates, batch.proof)
    publics, tables = update.publics, list(update.matrices)
    del update
    chosen = replace(options or Options(), consumes_tables=True)
    body = prove(tree_update_proving_key(), tables, publics, context=context, options=chosen)
    return Proof(TREE_UPDATE.name, context, tuple(publics), body)
