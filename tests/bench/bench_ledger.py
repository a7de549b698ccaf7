"""Execution of transfers over a large state, parsing in bulk, the guest's run over a witness."""

import random
from dataclasses import replace
from pathlib import Path

from cython_core.ledger._ledger import NativeLedger, TransactionParser, run_transition
from cython_core.merkle._tree import StateTree
from p2p_seq.ledger.core import block_cycles
from p2p_seq.ledger.witness import BatchBlock, build_witness
from p2p_seq.protocol.blocks import Origin
from p2p_seq.protocol.params import load_params
from p2p_seq.protocol.records import encode_records, genesis_epoch_record
from p2p_seq.protocol.state import (
    Account,
    BlockContext,
    GenesisState,
    LeafKind,
    Totals,
    ledger_constants,
    numbered_key,
)
from p2p_seq.protocol.transactions import SignedTransaction, Transfer
from p2p_seq.protocol.types import (
    BlockHeight,
    Epoch,
    Hash32,
    Height,
    OutPoint,
    Sats,
    SatsPerKvb,
    Signature,
    XOnlyKey,
)
from tests.bench.harness import Benchmark, Better, Figure, best_of

ACCOUNTS = 1_000_000
BALANCE = 1_000_000
BLOCK = 2_500
ROUNDS = 6
GOAL_US = 10.0
"""Of the 25 us per transaction and node that DESIGN.md section 11 allows outside signatures."""

PARAMS = replace(load_params(Path("configs/networks/ordering.toml")), epoch_cycle_limit=1 << 40)
CHAIN_ID = Hash32(b"\x11" * 32)
ORIGIN = Origin(Height(100), Hash32(b"\x33" * 32), 1_700_000_000)
LEADER = XOnlyKey(b"\xee" * 32)


def account_key(number: int) -> XOnlyKey:
    """Spread over the tree by the path's hash, so that it needs no chance of its own."""
    return XOnlyKey(number.to_bytes(32, "little"))


def loaded_ledger() -> NativeLedger:
    """A ledger in epoch 0 with ACCOUNTS accounts."""
    money = ACCOUNTS * BALANCE
    outpoint = OutPoint(Hash32(bytes(32)), 0)
    genesis = GenesisState(outpoint, Sats(0), SatsPerKvb(1_000))
    totals = Totals(
        Sats(money), Sats(0), Sats(0), Sats(0), Sats(money), SatsPerKvb(1_000), 1, ACCOUNTS
    )
    leaves = {bytes([kind]) + key: value for kind, key, value in genesis.leaves()}
    leaves[bytes([LeafKind.TOTALS]) + numbered_key(0)] = totals.encode()
    account = Account(Sats(BALANCE), 0).encode()
    names = b"".join(leaves) + b"".join(b"\x01" + account_key(number) for number in range(ACCOUNTS))
    ledger = NativeLedger(StateTree(), ledger_constants(PARAMS, CHAIN_ID))
    ledger.load(names, b"".join(leaves.values()) + account * ACCOUNTS)
    opening = encode_records([genesis_epoch_record()])
    ledger.execute(context(0), opening, b"", 0)
    return ledger


def context(height: int) -> bytes:
    return BlockContext(Epoch(0), BlockHeight(height), ORIGIN, LEADER).encode()


def transfers(rng: random.Random, senders: list[int]) -> bytes:
    """One transfer of each sender to a random account; every sender's first."""
    return b"".join(
        SignedTransaction(
            Transfer(
                account_key(sender),
                0,
                Sats(100),
                account_key(rng.randrange(ACCOUNTS)),
                Sats(2_000),
            ),
            Signature(bytes(64)),
        ).encode()
        for sender in senders
    )


def measure() -> list[Figure]:
    rng = random.Random(1)
    ledger = loaded_ledger()
    senders = rng.sample(range(ACCOUNTS), BLOCK * ROUNDS)
    bodies = [
        transfers(rng, senders[start : start + BLOCK]) for start in range(0, len(senders), BLOCK)
    ]
    executions = []
    remaining = iter(enumerate(bodies, 1))

    def execute() -> None:
        height, body = next(remaining)
        executions.append(ledger.execute(context(height), b"", body, BLOCK))

    executing = best_of(ROUNDS, execute)
    if any(any(execution.receipts[::24]) for execution in executions):
        raise AssertionError("the benchmark's transfers must succeed")
    undoing = best_of(ROUNDS, lambda: ledger.undo(executions.pop()))
    parser = TransactionParser(ledger.constants)
    parsing = best_of(3, lambda: parser.parse_batch(bodies[0]))
    triples = best_of(3, lambda: parser.signing_triples(bodies[0]))
    return [
        per_transaction("ledger.execute", executing, GOAL_US),
        per_transaction("ledger.undo", undoing, None),
        per_transaction("ledger.parse", parsing, 2.0),
        per_transaction("ledger.triples", triples, None),
        *measure_witness(ledger, bodies[0]),
    ]


def measure_witness(ledger: NativeLedger, body: bytes) -> list[Figure]:
    """The same block as a batch of its own, over the same tree, as the guest runs it."""
    # The block just fits into a batch alone and not behind the epoch's opening.
    alone = block_cycles(PARAMS, BLOCK, 0, 0) + 2 * PARAMS.cycles_other
    tight = replace(PARAMS, epoch_cycle_limit=100 * alone, batches_per_epoch=100)
    constants = ledger_constants(tight, CHAIN_ID)
    block = BatchBlock(BlockContext(Epoch(0), BlockHeight(1), ORIGIN, LEADER), b"", body, BLOCK)
    witness = build_witness(ledger.tree, constants, [block], None)
    running = best_of(3, lambda: run_transition(witness))
    return [
        per_transaction("ledger.witness_run", running, None),
        Figure("ledger.witness_size", "B/tx", len(witness) / BLOCK, None, Better.LOWER),
    ]


def per_transaction(name: str, seconds: float, goal: float | None) -> Figure:
    return Figure(name, "us/tx", seconds / BLOCK * 1e6, goal, Better.LOWER)


BENCHMARKS = [Benchmark("ledger", measure)]
