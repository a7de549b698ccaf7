"""The ledger as a program of the machine: trace rows per transfer.

The batch is 1,000 transfers between 1,000 accounts out of 2^20 in four blocks, not the first batch
of its epoch and not the last. Rows include those of the hash instruction; what the proof pays for a
hash is not in this number.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cython_core.guest.program import ledger_program
from cython_core.ledger._ledger import NativeLedger
from cython_core.merkle._tree import StateTree
from cython_core.vm.run import execute
from p2p_seq.ledger.guest import GuestRun, prepare_run
from p2p_seq.ledger.witness import BatchBlock
from p2p_seq.protocol.blocks import Origin
from p2p_seq.protocol.params import Params, load_params
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
from tests.bench.harness import Benchmark, Better, Figure

LARGE, SMALL = 1 << 20, 1 << 16
"""Accounts of the state."""
BALANCE = 1_000_000
BLOCKS = 4
TRANSFERS = 1_000
GOAL = 1_500.0
STRETCH = 500.0
CHAIN_ID = Hash32(b"\x11" * 32)
ORIGIN = Origin(Height(100), Hash32(b"\x33" * 32), 1_700_000_000)
LEADER = XOnlyKey((7).to_bytes(32, "little"))


def account_key(number: int) -> XOnlyKey:
    return XOnlyKey(number.to_bytes(32, "little"))


def batch_params(transfers: int) -> Params:
    """Batches that hold exactly BLOCKS blocks of so many transfers."""
    params = load_params(Path("configs/networks/ordering.toml"))
    limit = transfers * params.cycles_transfer + (BLOCKS + 2) * params.cycles_other
    return replace(params, epoch_cycle_limit=4 * limit, batches_per_epoch=4)


def loaded_ledger(params: Params, accounts: int) -> NativeLedger:
    """A ledger before its genesis block, with its accounts."""
    money = accounts * BALANCE
    totals = Totals(
        Sats(money), Sats(0), Sats(0), Sats(0), Sats(money), SatsPerKvb(1_000), 1, accounts
    )
    genesis = GenesisState(OutPoint(Hash32(bytes(32)), 0), Sats(0), SatsPerKvb(1_000))
    leaves = {bytes([kind]) + key: value for kind, key, value in genesis.leaves()}
    leaves[bytes([LeafKind.TOTALS]) + numbered_key(0)] = totals.encode()
    names = b"".join(leaves) + b"".join(b"\x01" + account_key(number) for number in range(accounts))
    ledger = NativeLedger(StateTree(), ledger_constants(params, CHAIN_ID))
    ledger.load(names, b"".join(leaves.values()) + Account(Sats(BALANCE), 0).encode() * accounts)
    return ledger


def block(height: int, orders: Sequence[tuple[int, int]], records: bytes = b"") -> BatchBlock:
    """Transfers from account to account; each sender's first."""
    body = b"".join(
        SignedTransaction(
            Transfer(account_key(sender), 0, Sats(100), account_key(recipient), Sats(2_000)),
            Signature(bytes(64)),
        ).encode()
        for sender, recipient in orders
    )
    context = BlockContext(Epoch(0), BlockHeight(height), ORIGIN, LEADER)
    return BatchBlock(context, records, body, len(orders))


def transfer_run(accounts: int, transfers: int) -> GuestRun:
    """The second batch of an epoch: `transfers` between as many accounts."""
    rng = random.Random(1)
    params = batch_params(transfers)
    ledger = loaded_ledger(params, accounts)
    chosen = rng.sample(range(8, accounts), 2 * transfers)
    fillers = [(number, chosen[0]) for number in chosen[transfers:]]
    parties = chosen[:transfers]
    orders = [(number, rng.choice(parties)) for number in parties]
    size = transfers // BLOCKS
    blocks = [
        block(2 + number, orders[number * size : (number + 1) * size]) for number in range(BLOCKS)
    ]
    opening = block(0, [], encode_records([genesis_epoch_record()]))
    for earlier in (opening, block(1, fillers[: transfers - 1])):
        ledger.execute(
            earlier.context.encode(),
            earlier.records,
            earlier.transactions,
            earlier.transaction_count,
        )
    return prepare_run(ledger.tree, ledger.constants, blocks, None)


def rows(run: GuestRun) -> int:
    outcome = execute(ledger_program(), run.inputs, run.answers)
    if outcome.statement != run.statement:
        raise AssertionError("the machine and the native program disagree")
    return outcome.cycles


def measure() -> list[Figure]:
    large, small = (rows(transfer_run(count, TRANSFERS)) / TRANSFERS for count in (LARGE, SMALL))
    return [
        Figure("guest.transfer.rows", "rows", large, GOAL, Better.LOWER),
        Figure("guest.transfer.rows_stretch", "rows", large, STRETCH, Better.LOWER),
        Figure("guest.transfer.rows_small_state", "rows", small, STRETCH, Better.LOWER),
    ]


BENCHMARKS = [Benchmark("guest", measure)]
