"""The guest's run over a witness against native execution: same roots, same outputs, or no run."""

import random

import blake3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cython_core.ledger._ledger import BatchRecorder, LedgerFault, run_transition
from p2p_seq.ledger.witness import HEAD_WORDS, BatchBlock, assemble_witness, build_witness
from p2p_seq.protocol.state import OutputsFrame
from p2p_seq.protocol.tags import Tag
from p2p_seq.protocol.transactions import decode_transactions
from p2p_seq.protocol.types import Hash32
from tests.unit.ledger.chains import PARAMS, SMALL, Chain, random_orders, random_seal
from tests.unit.ledger.ledger_model import chain_hash, orders_digest, tag_hash
from tests.unit.ledger.machine import run_both

CONSTANTS_AT = 4 * HEAD_WORDS
FRAME_AT = CONSTANTS_AT + 384
HEAD_END = FRAME_AT + 96


def random_batch(rng: random.Random) -> tuple[Chain, Hash32]:
    """A chain whose running batch has a few random blocks, and the block before the batch."""
    chain = Chain(params=SMALL if rng.random() < 0.3 else PARAMS)
    before = chain.head
    amounts = [rng.choice((1_500, 60_000, 10**6)) for _ in range(4)]
    chain.fund(*amounts)
    for _ in range(rng.randint(0, 8)):
        parent = chain.head
        if rng.random() < 0.3:
            chain.seal(*random_seal(rng, chain))
        else:
            chain.block([], random_orders(rng, chain, 10))
        if len(chain.batch) == 1:
            before = parent
    return chain, before


def witness_of(chain: Chain, before: Hash32, frame: OutputsFrame | None) -> bytes:
    chain.ledger.move_to(before)
    return build_witness(chain.ledger.native.tree, chain.constants, chain.batch, frame)


def inputs_digest(chain: Chain) -> bytes:
    """Over constants and blocks, as guest/transition.h says."""
    network = PARAMS.network
    digest = chain_hash(tag_hash(network, Tag.BATCH), chain.constants)
    for block in chain.batch:
        decoded = decode_transactions(block.transactions, block.transaction_count)
        orders = [signed.order for signed in decoded]
        length = len(block.records).to_bytes(4, "little")
        context = block.context.encode() + orders_digest(network, orders)
        digest = chain_hash(digest, context, length, block.records)
    return digest


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), is_last=st.booleans())
def test_witness_runs_agree_with_native_execution(seed: int, is_last: bool) -> None:
    rng = random.Random(seed)
    chain, before = random_batch(rng)
    frame = chain.frame() if is_last else None
    witness = witness_of(chain, before, frame)
    answers = b"\x01" * sum(block.transaction_count for block in chain.batch)
    outcome = run_both(witness, answers)
    assert outcome.pre_root == chain.ledger.root_after(before)
    assert outcome.post_root == chain.ledger.root_after(chain.head)
    outputs = bytes(32)
    if frame is not None:
        outputs, _ = chain.ledger.outputs(frame, chain.head)
    assert outcome.outputs_digest == outputs
    assert outcome.inputs_digest == inputs_digest(chain)
    message = outcome.pre_root + outcome.post_root + outcome.inputs_digest + outputs
    assert outcome.statement == blake3.blake3(message).digest()


def word_at(witness: bytes, index: int) -> int:
    return int.from_bytes(witness[4 * index : 4 * index + 4], "little")


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_a_changed_witness_never_gives_another_result_from_the_same_root(seed: int) -> None:
    rng = random.Random(seed)
    chain, before = random_batch(rng)
    witness = witness_of(chain, before, chain.frame())
    answers = b"\x01" * sum(block.transaction_count for block in chain.batch)
    honest = run_both(witness, answers)
    for _ in range(60):
        mutated = bytearray(witness)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            # What stands behind the frame is mostly free: the statement does not name it.
            start = HEAD_END if rng.random() < 0.7 else 0
            mutated[rng.randrange(start, len(witness))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.1:
            del mutated[4 * rng.randrange(len(mutated) // 4) :]
        try:
            outcome = run_both(bytes(mutated), answers)
        except LedgerFault:
            continue
        same_claim = (outcome.pre_root, outcome.inputs_digest) == (
            honest.pre_root,
            honest.inputs_digest,
        )
        if same_claim:
            assert outcome.post_root == honest.post_root
            frame = slice(FRAME_AT, HEAD_END)
            if mutated[frame] == witness[frame] and mutated[4:8] == witness[4:8]:
                assert outcome.statement == honest.statement
        else:
            assert outcome.statement != honest.statement


def one_block_chain() -> tuple[Chain, Hash32]:
    rng = random.Random(5)
    chain = Chain()
    before = chain.head
    chain.fund(60_000, 10**6)
    chain.block([], random_orders(rng, chain, 10))
    return chain, before


def test_a_wrong_signature_stops_the_run() -> None:
    chain, before = one_block_chain()
    count = sum(block.transaction_count for block in chain.batch)
    witness = witness_of(chain, before, None)
    right = bytes([1]) * count
    assert run_both(witness, right).statement == run_transition(witness).statement
    for index in range(count):
        answers = bytearray(right)
        answers[index] = 0
        with pytest.raises(LedgerFault) as caught:
            run_both(witness, bytes(answers))
        assert caught.value.code == 8
    for wrong in (right + b"\x01", right[:-1]):
        with pytest.raises(LedgerFault):
            run_transition(witness, wrong)


def test_trailing_and_missing_bytes_are_refused() -> None:
    chain, before = one_block_chain()
    witness = witness_of(chain, before, None)
    count = sum(block.transaction_count for block in chain.batch)
    for length in range(0, len(witness), 37):
        with pytest.raises(LedgerFault):
            run_both(witness[:length], b"\x01" * 100)
    for more in (b"\x00", bytes(4)):
        with pytest.raises(LedgerFault):
            run_both(witness + more, b"\x01" * count)


def test_the_second_half_of_a_batch_is_no_batch() -> None:
    chain, _ = one_block_chain()
    middle = chain.ledger._executed[chain.head].parent
    chain.ledger.move_to(middle)
    with pytest.raises(ValueError, match="block 0 does not continue one batch"):
        build_witness(chain.ledger.native.tree, chain.constants, chain.batch[1:], None)


def test_the_program_refuses_the_second_half_of_a_batch() -> None:
    chain, before = one_block_chain()
    chain.ledger.move_to(before)
    native = chain.ledger.native
    half = chain.batch[1:]
    first = chain.batch[0]
    native.execute(
        first.context.encode(), first.records, first.transactions, first.transaction_count
    )
    recorder = BatchRecorder(native.tree, chain.constants)
    for block in half:
        recorder.execute(
            block.context.encode(), block.records, block.transactions, block.transaction_count
        )
    witness = assemble_witness(recorder, native.tree, chain.constants, half, None)
    with pytest.raises(LedgerFault) as caught:
        run_both(witness, b"\x01" * sum(block.transaction_count for block in half))
    assert caught.value.code == 10


def test_a_hint_too_many_is_refused() -> None:
    chain, before = one_block_chain()
    witness = witness_of(chain, before, None)
    hints = word_at(witness, 4)
    end = FRAME_AT + 4 * hints
    longer = witness[:16] + (hints + 1).to_bytes(4, "little") + witness[20:end] + bytes(4)
    with pytest.raises(LedgerFault) as caught:
        run_transition(longer + witness[end:])
    assert caught.value.code == 9


def test_a_batch_ends_where_the_next_begins() -> None:
    chain, before = one_block_chain()
    earlier: list[BatchBlock] = list(chain.batch)
    chain.seal()
    chain.ledger.move_to(before)
    with pytest.raises(ValueError, match="block 2 does not continue one batch"):
        build_witness(chain.ledger.native.tree, chain.constants, [*earlier, *chain.batch], None)
