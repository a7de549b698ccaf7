"""Writes proofs.json: two small proofs by the reference prover, with all that they are about.

`python -m tests.vectors.make_proofs`, when the format of proofs or keys gets a new version and only
then.
"""

import json
from pathlib import Path
from typing import Any

from tests.support.reference_systems import Case, fibonacci, mixed

FILE = Path(__file__).with_name("proofs.json")
CASES = (fibonacci(2), mixed())


def vector(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "key": case.key.hex(),
        "publics": list(case.publics),
        "interactions": [[i.bus, i.multiplicity, list(i.elements)] for i in case.interactions],
        "context": case.context.hex(),
        "proof": case.prove().hex(),
    }


def vectors() -> list[dict[str, Any]]:
    return [vector(case) for case in CASES]


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="utf-8")
