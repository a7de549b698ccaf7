"""Branches: the tree moves between them, and every block's state can be asked for."""

import random

import pytest

from p2p_seq.ledger.executor import Ledger
from p2p_seq.ledger.types import LedgerReason
from p2p_seq.protocol.errors import LocalError, RemoteError
from p2p_seq.protocol.state import Account, BlockContext
from p2p_seq.protocol.transactions import Order
from p2p_seq.protocol.types import BlockHeight, Epoch, Hash32, Sats
from tests.unit.ledger.chains import (
    KEYS,
    LEADER,
    Chain,
    genesis_state,
    random_order,
    settlement,
    signed,
)

Snapshot = tuple[object, ...]


def named(number: int) -> Hash32:
    return Hash32(b"\x02" + number.to_bytes(31, "big"))


def execute(
    ledger: Ledger, chain: Chain, block: Hash32, parent: Hash32, orders: list[Order]
) -> None:
    context = BlockContext(Epoch(chain.epoch), BlockHeight(9), chain.origin, LEADER)
    body = b"".join(signed(order) for order in orders)
    ledger.execute(block, parent, context, b"", body, len(orders))


def snapshot(ledger: Ledger, at: Hash32) -> Snapshot:
    """Everything that queries say of one state."""
    return (
        ledger.root_after(at),
        ledger.totals(at),
        ledger.accumulator(at),
        ledger.vault(at),
        ledger.pending_payouts(at),
        tuple(ledger.account(key, at) for key in (*KEYS, LEADER)),
    )


def grown(seed: int) -> tuple[Chain, dict[Hash32, Snapshot], dict[Hash32, Hash32]]:
    """A random tree of 14 blocks above a finalised one; each state noted when it was fresh."""
    rng = random.Random(seed)
    chain = Chain()
    chain.fund(50_000, 10**6, 10**6)
    ledger = chain.ledger
    ledger.finalise(chain.head)
    states = {chain.head: snapshot(ledger, chain.head)}
    parents: dict[Hash32, Hash32] = {}
    for number in range(14):
        parent = rng.choice(list(states))
        orders = [random_order(rng, chain, {}) for _ in range(rng.randint(0, 6))]
        execute(ledger, chain, named(number), parent, orders)
        states[named(number)] = snapshot(ledger, named(number))
        parents[named(number)] = parent
    return chain, states, parents


def test_every_state_is_the_same_wherever_the_tree_stands(seed: int) -> None:
    chain, states, _ = grown(seed)
    blocks = list(states)
    random.Random(seed).shuffle(blocks)
    for standing in blocks:
        chain.ledger.move_to(standing)
        assert chain.ledger.native.root == chain.ledger.root_after(standing)
        for block in blocks:
            assert snapshot(chain.ledger, block) == states[block]


def test_finalising_forgets_other_branches_only(seed: int) -> None:
    chain, states, parents = grown(seed)
    ledger = chain.ledger
    target = max(parents, key=lambda block: len(ancestors(parents, block)))
    line = ancestors(parents, target)
    stored = ledger.finalise(target)
    assert [changes.block for changes in stored] == line
    assert ledger.base == target
    for block, state in states.items():
        if target in ancestors(parents, block):
            assert snapshot(ledger, block) == state
        else:
            assert not ledger.knows(block)
            with pytest.raises(RemoteError) as caught:
                ledger.root_after(block)
            assert caught.value.reason is LedgerReason.UNKNOWN_BLOCK
    assert ledger.finalise(target) == ()


def ancestors(parents: dict[Hash32, Hash32], block: Hash32) -> list[Hash32]:
    """The block and what is below it, oldest first, without the finalised one."""
    line = []
    while block in parents:
        line.append(block)
        block = parents[block]
    return line[::-1]


def test_stored_changes_restore_the_same_ledger(seed: int) -> None:
    rng = random.Random(seed)
    chain = Chain()
    store: dict[bytes, bytes] = {
        bytes([kind]) + key: value for kind, key, value in genesis_state().leaves()
    }
    chain.fund(50_000, 10**6, 10**6)
    for _ in range(6):
        chain.block([], [random_order(rng, chain, {}) for _ in range(8)])
    pending = [payout.payout_id for payout in chain.ledger.pending_payouts(chain.head)]
    chain.seal(*settlement(chain, [], payouts=tuple(pending[:1])))
    for changes in chain.ledger.finalise(chain.head):
        for name, value in changes:
            if value is None:
                store.pop(name, None)
            else:
                store[name] = value
    root = chain.ledger.root_after(chain.head)
    again = Ledger.restore(chain.constants, store.items(), chain.head, root)
    assert snapshot(again, chain.head) == snapshot(chain.ledger, chain.head)
    execute(again, chain, named(1), chain.head, [])
    execute(chain.ledger, chain, named(1), chain.head, [])
    assert again.root_after(named(1)) == chain.ledger.root_after(named(1))


def test_damaged_leaves_are_not_restored() -> None:
    chain = Chain()
    store = {bytes([kind]) + key: value for kind, key, value in genesis_state().leaves()}
    store[b"\x01" + KEYS[0]] = Account(balance=Sats(1), nonce=0).encode()
    with pytest.raises(LocalError, match="stored state has root"):
        Ledger.restore(
            chain.constants, store.items(), chain.head, chain.ledger.root_after(chain.head)
        )


def test_a_block_on_an_unknown_parent_is_refused() -> None:
    chain = Chain()
    with pytest.raises(RemoteError) as caught:
        execute(chain.ledger, chain, named(1), named(2), [])
    assert caught.value.reason is LedgerReason.UNKNOWN_BLOCK


def test_executing_a_block_again_is_free_and_gives_the_same() -> None:
    chain = Chain()
    chain.fund(50_000)
    context = BlockContext(Epoch(1), BlockHeight(2), chain.origin, LEADER)
    first = chain.ledger.execute(named(1), chain.head, context, b"", b"", 0)
    again = chain.ledger.execute(named(1), chain.head, context, b"", b"", 0)
    assert first == again
    assert chain.ledger.executed_count == 3


@pytest.mark.parametrize(
    ("body", "count"),
    [(b"", 1), (b"\x00" * 154, 1), (b"\x01\x03" + bytes(152), 1), (bytes(10), 0)],
    ids=["missing", "version", "kind", "left over"],
)
def test_malformed_bodies_are_refused(body: bytes, count: int) -> None:
    chain = Chain()
    context = BlockContext(Epoch(0), BlockHeight(2), chain.origin, LEADER)
    with pytest.raises(RemoteError, match="block-format"):
        chain.ledger.execute(named(1), chain.head, context, b"", body, count)
    with pytest.raises(RemoteError, match="block-format"):
        chain.ledger.execute(named(1), chain.head, context, b"\x06" + bytes(90), b"", 0)
    assert not chain.ledger.knows(named(1))
