"""Writes ledger.json: `python -m tests.vectors.make_ledger`.

Pins every layout of the ledger and the results of one short chain: transaction ids, record bytes,
constants, state roots, outputs digest, statement. A change of any of them is a change of the rules.
"""

import json
from pathlib import Path

from cython_core.ledger._ledger import run_transition
from p2p_seq.ledger.witness import build_witness
from p2p_seq.protocol.records import StakeLeafRecord, encode_records
from p2p_seq.protocol.state import BlockContext, ledger_constants
from p2p_seq.protocol.transactions import Order, SignedTransaction, Transfer, Withdraw
from p2p_seq.protocol.types import BlockHeight, Epoch, Hash32, Height, Sats, Signature
from tests.unit.ledger.chains import (
    ANCHOR,
    CHAIN_ID,
    KEYS,
    LEADER,
    PARAMS,
    SCRIPTS,
    Chain,
    settlement,
)

OUTPUT = Path(__file__).parent / "ledger.json"


def transaction_vectors() -> list[dict[str, object]]:
    """Encoded transactions and their ids."""
    orders: list[Order] = [
        Transfer(KEYS[0], 1 << 32, Sats(10), KEYS[1], Sats(2_000)),
        *(Withdraw(KEYS[2], 7, Sats(200), Sats(1_000), script) for script in SCRIPTS),
    ]
    return [
        {
            "encoded": SignedTransaction(order, Signature(b"\x5a" * 64)).encode().hex(),
            "id": SignedTransaction(order, Signature(bytes(64))).id(PARAMS.network, CHAIN_ID).hex(),
        }
        for order in orders
    ]


def chain_vectors() -> dict[str, object]:
    """Two epochs with every kind of record and transaction, to the statement of the second."""
    chain = Chain()
    roots = [chain.ledger.root_after(chain.head)]
    before = chain.head
    stake = StakeLeafRecord(KEYS[6], Hash32(b"\x12" * 32), Epoch(1), Epoch(256), Height(1_400))
    sealed = settlement(chain, [(KEYS[0], 60_000), (KEYS[1], 1_000_000)])
    roots.append(chain.seal(stake, *sealed).root)
    nonce = chain.model.state.accounts[KEYS[0]][1]
    orders: list[Order] = [
        Transfer(KEYS[0], nonce, Sats(2_000), KEYS[3], Sats(5_000)),
        Withdraw(KEYS[0], nonce + 1, Sats(200), Sats(4_000), SCRIPTS[4]),
        Transfer(KEYS[0], nonce + 2, Sats(10), KEYS[4], Sats(999)),
    ]
    summary = chain.block([], orders)
    roots.append(summary.root)
    batch = list(chain.batch)
    outputs, words = chain.ledger.outputs(chain.frame(), chain.head)
    chain.ledger.move_to(before)
    tree = chain.ledger.native.tree
    result = run_transition(build_witness(tree, chain.constants, batch, chain.frame()))
    assert result.outputs_digest == outputs
    roots.append(chain.seal(*settlement(chain, [], payouts=(1,))).root)
    return {
        "records": encode_records([stake, *sealed]).hex(),
        "roots": [root.hex() for root in roots],
        "receipts": summary.receipt_bytes.hex(),
        "outputs_words": words.hex(),
        "outputs_digest": outputs.hex(),
        "inputs_digest": result.inputs_digest.hex(),
        "statement": result.statement.hex(),
    }


def vectors() -> dict[str, object]:
    context = BlockContext(Epoch(3), BlockHeight(99), ANCHOR, LEADER)
    return {
        "constants": ledger_constants(PARAMS, CHAIN_ID).hex(),
        "context": context.encode().hex(),
        "transactions": transaction_vectors(),
        "chain": chain_vectors(),
    }


if __name__ == "__main__":
    OUTPUT.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="ascii")
