"""Writes state_tree.json from the pure-Python twin: `python -m tests.vectors.make_state_tree`.

The file pins the format for every other implementation. It changes only together with the version
in the domain keys.
"""

import json
import random
from pathlib import Path

from cython_core.hash._reference import KEY_LEAF, KEY_NODE, KEY_PATH, KEY_VALUE, b3
from cython_core.merkle._reference import ReferenceTree, Slot, transition

OUTPUT = Path(__file__).parent / "state_tree.json"
Operations = list[tuple[bytes, bytes | None]]


def value_of(number: int) -> bytes:
    return number.to_bytes(64, "big")


def first_bits(bits: str) -> bytes:
    return (int(bits, 2) << (256 - len(bits))).to_bytes(32, "big")


def histories() -> dict[str, list[Operations]]:
    """Name -> batches, applied one after the other to an empty tree."""
    source = random.Random(20)
    accounts = [source.randbytes(32) for _ in range(24)]
    deep, deeper = bytes(32), (1).to_bytes(32, "big")
    return {
        "one leaf": [[(first_bits("1"), value_of(1))]],
        "one side only": [[(first_bits("110"), value_of(1)), (first_bits("111"), value_of(2))]],
        "last bit": [[(deep, value_of(1)), (deeper, value_of(2))], [(deep, None)]],
        "lift": [
            [(first_bits(bits), value_of(7)) for bits in ("000", "001", "1")],
            [(first_bits("001"), None)],
            [(first_bits("1"), None)],
            [(first_bits("000"), None)],
        ],
        "accounts": [
            [(path, source.randbytes(64)) for path in accounts],
            [(path, source.randbytes(64)) for path in accounts[:8]],
            [(path, None) for path in accounts[4:20]],
        ],
    }


def run_history(name: str, batches: list[Operations]) -> dict[str, object]:
    tree = ReferenceTree()
    steps = []
    for batch in batches:
        tree.update(
            b"".join(path for path, _ in batch),
            b"".join(value or bytes(64) for _, value in batch),
            bytes(value is not None for _, value in batch),
        )
        operations = [(path.hex(), value and value.hex()) for path, value in batch]
        steps.append({"operations": operations, "root": tree.root.hex()})
    return {"name": name, "steps": steps}


def word(item: int) -> bytes:
    return item.to_bytes(4, "little")


def witnesses() -> list[dict[str, object]]:
    """Hand-written proofs: an insert beside another leaf, and a delete that lifts it."""
    kept, moved = first_bits("01"), first_bits("00")
    other = word(2) + kept + b3(KEY_VALUE, value_of(1))
    cases = {
        "insert into the empty tree": ([Slot(moved, None, value_of(2))], word(0)),
        "insert beside another leaf": ([Slot(moved, None, value_of(2))], other),
        "delete and lift": (
            [Slot(moved, value_of(2), None)],
            word(3) + word(3) + word(1) + other + word(0),
        ),
    }
    written: list[dict[str, object]] = []
    for name, (slots, proof) in cases.items():
        before, after = transition(slots, proof)
        written.append(
            {
                "name": name,
                "slots": [
                    {
                        "path": slot.path.hex(),
                        "old": slot.old and slot.old.hex(),
                        "new": slot.new and slot.new.hex(),
                    }
                    for slot in slots
                ],
                "proof": proof.hex(),
                "before": before.hex(),
                "after": after.hex(),
            }
        )
    return written


def main() -> None:
    names = [bytes(64), bytes(range(64))]
    vectors = {
        "keys": {
            "value": KEY_VALUE.hex(),
            "leaf": KEY_LEAF.hex(),
            "node": KEY_NODE.hex(),
            "path": KEY_PATH.hex(),
        },
        "paths": [{"name": name.hex(), "path": b3(KEY_PATH, name).hex()} for name in names],
        "histories": [run_history(name, batches) for name, batches in histories().items()],
        "witnesses": witnesses(),
    }
    OUTPUT.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
