"""Whatever a proposer sends: `accept` refuses it, waits, or takes it; nothing else comes out."""

import random
from dataclasses import replace
from typing import Any

import pytest

from p2p_seq.chain.derive import stake_leaf
from p2p_seq.chain.types import BlockReason, ChainState, InvalidBlockError, NotYetError
from p2p_seq.protocol.blocks import Block, BlockKind, Body, Header
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.records import EpochRecord, PayoutRecord, decode_records, encode_records
from p2p_seq.protocol.seals import SealBody
from p2p_seq.protocol.stakes import StakeRecord
from p2p_seq.protocol.types import (
    BlockHeight,
    Epoch,
    Hash32,
    Height,
    Sats,
    SatsPerKvb,
)
from tests.support.keys import key
from tests.support.networks import Participant, World


def remade(world: World, header: Header, body: Body) -> Block:
    """The header with the digests of `body`: what a leader can always do."""
    network = world.params.network
    return Block(
        replace(
            header,
            body_digest=body.body_digest(network),
            records_digest=body.records_digest(network),
            seal_digest=body.seal_digest(network),
        ),
        body,
    )


async def refusal(one: Participant, block: Block, voting: bool = True) -> BlockReason:
    with pytest.raises(InvalidBlockError) as caught:
        await one.accept(block, voting)
    assert isinstance(caught.value.reason, BlockReason)
    assert one.chain.state(one.chain.digest(block.header)) is None
    return caught.value.reason


@pytest.fixture
async def one(world: World) -> Participant:
    started = world.participant()
    world.mine(4)
    await started.follow()
    return started


async def seal_of(one: Participant) -> Block:
    """The seal of the running epoch, not yet accepted, on the finalised tip."""
    start = one.world.genesis.draft.anchor_height
    border = one.world.params.epoch_start(start, Epoch(one.final.epoch + 1))
    one.world.mine(max(0, border + one.world.params.burial_depth - one.world.height))
    await one.follow()
    block = one.build()
    assert block is not None
    assert block.header.kind is BlockKind.SEAL
    return block


async def test_a_header_that_does_not_follow_is_refused(one: Participant) -> None:
    block = one.build()
    assert block is not None
    for wrong, reason in (
        ({"height": BlockHeight(2)}, BlockReason.PARENT),
        ({"epoch": Epoch(1)}, BlockReason.PARENT),
        ({"kind": BlockKind.GENESIS}, BlockReason.PARENT),
        ({"leader": (block.header.leader + 1) % 4}, BlockReason.LEADER),
        ({"state_root": Hash32(b"\x01" * 32)}, BlockReason.STATE_ROOT),
    ):
        assert await refusal(one, Block(replace(block.header, **wrong), block.body)) is reason
    with pytest.raises(NotYetError, match="is not known here"):
        await one.accept(Block(replace(block.header, parent=Hash32(bytes(32))), block.body))


async def test_an_origin_outside_its_bounds_is_refused(one: Participant, world: World) -> None:
    await one.catch_up_with_bitcoin()
    block = one.build()
    assert block is not None
    origin = block.header.origin
    border = world.params.epoch_start(world.genesis.draft.anchor_height, Epoch(1))
    for height in (origin.height - 1, border + 1, 2**32 - 1, border):
        wrong = replace(block.header, origin=replace(origin, height=Height(height)))
        for voting in (True, False):
            assert await refusal(one, Block(wrong, block.body), voting) is BlockReason.ORIGIN_RANGE
    later = replace(origin, height=Height(origin.height), median_time=origin.median_time + 1)
    wrong = replace(block.header, origin=later)
    assert await refusal(one, Block(wrong, block.body)) is BlockReason.ORIGIN_TIME
    elsewhere = replace(block.header, origin=replace(origin, hash=Hash32(b"\x07" * 32)))
    for voting in (True, False):
        with pytest.raises(NotYetError, match=r"is not (buried|known) here"):
            await one.accept(Block(elsewhere, block.body), voting)


async def test_a_block_that_does_not_follow_bitcoin_is_refused(
    one: Participant, world: World
) -> None:
    await one.catch_up_with_bitcoin()
    stays = one.build()
    assert stays is not None
    world.mine(world.params.burial_depth + 12)
    await one.follow()
    assert await refusal(one, stays) is BlockReason.ORIGIN_LAG
    await one.accept(stays, voting=False)  # a quorum may have seen less of Bitcoin


async def test_contents_that_bitcoin_does_not_give_are_refused(
    one: Participant, world: World
) -> None:
    block = one.build()
    assert block is not None
    more = replace(block.body, records=encode_records([PayoutRecord(1)]))
    assert await refusal(one, remade(world, block.header, more)) is BlockReason.RECORDS
    seal = await seal_of(one)
    body = SealBody.decode(seal.body.seal)
    (record,) = decode_records(seal.body.records)
    assert isinstance(record, EpochRecord)
    wrong_outputs = encode_records([replace(record, outputs=Hash32(b"\x09" * 32))])
    for body_now, reason in (
        (replace(seal.body, records=wrong_outputs), BlockReason.RECORDS),
        (replace(seal.body, seal=replace(body, plan=b"").encode()), BlockReason.SEAL),
        (replace(seal.body, seal=replace(body, epoch=Epoch(1)).encode()), BlockReason.SEAL),
        (
            replace(seal.body, seal=replace(body, next_set=body.next_set[:-1]).encode()),
            BlockReason.SEAL,
        ),
        (
            replace(seal.body, seal=replace(body, feerate=SatsPerKvb(999)).encode()),
            BlockReason.FEERATE,
        ),
        (
            replace(seal.body, seal=replace(body, feerate=SatsPerKvb(2_001)).encode()),
            BlockReason.FEERATE,
        ),
        (replace(seal.body, seal=b"\x00"), BlockReason.SEAL),
        (replace(seal.body, transaction_count=1), BlockReason.SEAL),
        (replace(seal.body, transactions=b"\x01"), BlockReason.SEAL),
    ):
        assert await refusal(one, remade(world, seal.header, body_now)) is reason
    await one.accept(seal)


async def test_wrong_user_transactions_are_refused(one: Participant, world: World) -> None:
    block = one.build()
    assert block is not None
    good = one.transfer("somebody", 5_000)
    bad_signature = good[:-1] + bytes([good[-1] ^ 1])
    for transactions, count, reason in (
        (good[:-1], 1, BlockReason.TRANSACTIONS),
        (good + b"\x00", 1, BlockReason.TRANSACTIONS),
        (good, 2, BlockReason.TRANSACTIONS),
        (good + good, 1, BlockReason.TRANSACTIONS),
        (b"\x02" + good[1:], 1, BlockReason.TRANSACTIONS),
        (bad_signature, 1, BlockReason.SIGNATURE),
    ):
        body = replace(block.body, transactions=transactions, transaction_count=count)
        assert await refusal(one, remade(world, block.header, body)) is reason
    dropped = replace(block.body, transactions=good, transaction_count=1)
    state = await one.accept(remade(world, block.header, dropped))
    assert one.accepted[-1].block.body.transactions == good
    assert state.state_root != one.final.state_root


async def test_a_block_over_the_epochs_budget_is_refused(one: Participant, world: World) -> None:
    room = one.chain.room(one.final).cycles
    assert room > world.params.epoch_cycle_limit // 10 * 8
    most = room // world.params.cycles_transfer
    block = one.build()
    assert block is not None
    order = one.transfer("somebody", 5_000)
    for count, is_over in ((most + 1, True), (most, False)):
        body = replace(block.body, transactions=order * count, transaction_count=count)
        candidate = remade(world, block.header, body)
        if is_over:
            assert await refusal(one, candidate) is BlockReason.BUDGET
        else:
            await one.accept(candidate)


def hostile_records(world: World) -> list[StakeRecord]:
    founder = world.genesis.founders[0]
    bundle = founder.bundle
    stranger = replace(bundle.keys, consensus=key("stranger"))
    top = Epoch(2**64 - 1)
    return [
        founder,
        replace(founder, bundle=replace(bundle, keys=stranger)),
        replace(founder, bundle=replace(bundle, keys=stranger, first_epoch=top, last_epoch=top)),
        replace(
            founder,
            bundle=replace(bundle, keys=stranger, first_epoch=Epoch(9), last_epoch=top),
        ),
        replace(
            founder, bundle=replace(bundle, keys=stranger, first_epoch=Epoch(9)), value=Sats(0)
        ),
        replace(founder, bundle=replace(bundle, keys=stranger, first_epoch=Epoch(9)), committee=()),
        replace(
            founder,
            bundle=replace(bundle, keys=replace(stranger, owner=key("x")), first_epoch=Epoch(9)),
        ),
    ]


async def test_hostile_stake_records_are_refused(one: Participant, world: World) -> None:
    block = one.build()
    assert block is not None
    anchor = world.genesis.draft.anchor_height
    for record in hostile_records(world):
        body = replace(block.body, stake_record=record.encode())
        if record.bundle.last_epoch < 2**32:  # what every node would derive from it
            leaf = encode_records([stake_leaf(record, world.params, anchor)])
            body = replace(body, records=block.body.records + leaf)
        assert await refusal(one, remade(world, block.header, body)) is BlockReason.STAKE_RECORD
    body = replace(block.body, stake_record=b"\x00" * 40)
    assert await refusal(one, remade(world, block.header, body)) is BlockReason.STAKE_RECORD


def mutated(world: World, draw: random.Random, block: Block) -> Block | None:
    """One or two bytes changed somewhere; the header commits to the result where that can be."""
    encoded = bytearray(block.encode())
    for _ in range(draw.choice((1, 1, 2))):
        encoded[draw.randrange(len(encoded))] ^= 1 << draw.randrange(8)
    try:
        return Block.decode(bytes(encoded), world.params.network)
    except RemoteError:
        pass
    part = draw.choice(("records", "transactions", "seal", "stake_record"))
    value = bytearray(getattr(block.body, part) or bytes(draw.randrange(1, 80)))
    match draw.randrange(3):
        case 0:
            value[draw.randrange(len(value))] ^= 1 << draw.randrange(8)
        case 1:
            del value[draw.randrange(len(value)) :]
        case _:
            value += bytes(draw.randrange(256) for _ in range(draw.randrange(1, 90)))
    changed: dict[str, Any] = {part: bytes(value)}
    made = remade(world, block.header, replace(block.body, **changed))
    try:
        return Block.decode(made.encode(), world.params.network)
    except RemoteError:
        return None


async def test_mutated_blocks_never_crash_a_voter(
    one: Participant, world: World, seed: int
) -> None:
    draw = random.Random(seed)
    plain = one.build(transactions=[one.transfer("somebody", 5_000)])
    assert plain is not None
    record = replace(hostile_records(world)[1], txid=Hash32(bytes(32)))
    with_stake = remade(world, plain.header, replace(plain.body, stake_record=record.encode()))
    seal = await seal_of(one)
    outcomes: dict[str, int] = {}
    for number in range(400):
        block = mutated(world, draw, (plain, with_stake, seal)[number % 3])
        if block is None:
            continue
        view = block.header.view
        leader = one.leader(view) if 1 <= view < 1_000 else 0  # frames bound the view
        for voting in (True, False):
            outcome = "taken"
            try:
                state = await one.chain.accept(block, leader, voting)
                assert isinstance(state, ChainState)
            except (InvalidBlockError, NotYetError) as error:
                outcome = type(error).__name__
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert outcomes["InvalidBlockError"] > 100, outcomes
