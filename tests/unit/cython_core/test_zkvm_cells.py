"""What rows of the machine's chips cost is what is checked in."""

import json

from tests.vectors.make_zkvm_cells import FILE, costs


def test_cells_are_those_checked_in() -> None:
    known = {entry["chip"]: entry for entry in json.loads(FILE.read_text(encoding="utf-8"))}
    now = {entry["chip"]: entry for entry in costs()}
    changed = [entry for name, entry in now.items() if known.get(name) != entry]
    gone = sorted(known.keys() - now.keys())
    assert changed == [], "python -m tests.vectors.make_zkvm_cells writes what is now"
    assert gone == []
