"""The pinned bytes and digests of the ledger."""

import json

from tests.vectors.make_ledger import OUTPUT, vectors


def test_ledger_vectors() -> None:
    assert json.loads(OUTPUT.read_text(encoding="ascii")) == vectors()
