"""Writes trace_tree.json from the twin: `python -m tests.vectors.make_trace_tree`.

Pins the trace tree over a run of the example guest in several shapes, openings of it, the salt of a
batch, and M(e).
"""

import json
from pathlib import Path

from cython_core.vm.machine import run_reference
from cython_core.vm.program import load_elf
from cython_core.vm.records import Row, WideRow
from cython_core.vm.tree import PARTS, OpenedRow, Shape, Tree, nonce_salt, trace_root
from p2p_seq.protocol.endorsement import EndorsedBatch, endorsed_digest, trace_salt
from p2p_seq.protocol.types import Hash32

OUTPUT = Path(__file__).parent / "trace_tree.json"
EXAMPLE = Path(__file__).parents[2] / "cython_core/guest/example/hash.elf"
INPUT = (2).to_bytes(4, "little") + bytes(range(128))
SEAL = Hash32(bytes(range(32)))
NETWORK = "regtest"
SHAPES = (Shape(3, 4), Shape(20, 2), Shape(64, 1), Shape(64, 6), Shape(64, 9))
OPENED_SHAPE = Shape(20, 2)


def example_rows() -> list[Row]:
    return run_reference(load_elf(EXAMPLE.read_bytes()), INPUT)[0]


def tree_vector(tree: Tree) -> dict[str, object]:
    """Groups that are nothing but PAD are alike: roots and nonces end with the first of them."""
    full = -(-(len(tree.rows) + 1) // tree.shape.group_slots)
    return {
        "groups": tree.shape.groups,
        "depth": tree.shape.depth,
        "roots": [root.hex() for root in tree.roots[: full + 1]],
        "nonces": list(tree.nonces[: full + 1]),
        "trace_root": trace_root(tree.roots).hex(),
    }


def opening_vectors(opened: OpenedRow) -> list[str]:
    views = (None, *PARTS) if isinstance(opened.row, WideRow) else (None,)
    return [opened.opening(view).encode().hex() for view in views]


def trees() -> dict[str, object]:
    """The run in all shapes, and openings of a narrow and a wide slot, a last one and a PAD."""
    rows, salt = example_rows(), trace_salt(NETWORK, SEAL, 0)
    opened = Tree(OPENED_SHAPE, salt, rows)
    wide = next(at for at, row in enumerate(rows, 1) if isinstance(row, WideRow))
    indices = (0, 1, wide, OPENED_SHAPE.group_slots - 1, len(rows), OPENED_SHAPE.capacity - 1)
    return {
        "salt": salt.hex(),
        "rows": len(rows),
        "pads": [pad.hex() for pad in Tree(Shape(1, 9), salt, []).groups[0].pads],
        "nonce_salts": {str(c): nonce_salt(salt, c).hex() for c in (0, 1, 258)},
        "trees": [tree_vector(Tree(shape, salt, rows)) for shape in SHAPES],
        "opened": {
            "groups": OPENED_SHAPE.groups,
            "depth": OPENED_SHAPE.depth,
            "openings": [e for at in indices for e in opening_vectors(opened.open_row(at))],
        },
    }


def endorsement() -> dict[str, object]:
    """M(e) of an epoch of two batches, and their salts."""
    batches = [
        EndorsedBatch(Hash32(bytes([n]) * 32), bytes([n + 1]) * 16, Hash32(bytes([n + 2]) * 32))
        for n in (1, 4)
    ]
    return {
        "network": NETWORK,
        "seal": SEAL.hex(),
        "salts": [trace_salt(NETWORK, SEAL, batch).hex() for batch in range(4)],
        "batches": [
            {"trace_root": b.trace_root.hex(), "program_root": b.program_root.hex(),
             "statement": b.statement.hex()}
            for b in batches
        ],
        "statement": SEAL.hex(),
        "endorsed": endorsed_digest(NETWORK, batches, SEAL).hex(),
    }  # fmt: skip


def main() -> None:
    vectors = {"trace": trees(), "endorsement": endorsement()}
    OUTPUT.write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
