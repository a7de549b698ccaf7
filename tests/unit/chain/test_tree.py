"""The tree of undecided blocks: forks, restarts, Bitcoin's reorganisations."""

from dataclasses import replace

import pytest
import trio

from p2p_seq.chain.chain import Finalised
from p2p_seq.chain.types import ChainState, NotYetError
from p2p_seq.protocol.blocks import Block, BlockKind
from p2p_seq.protocol.types import Epoch, Hash32, Sats
from p2p_seq.protocol.votes import Certificate, VoteKind
from p2p_seq.settlement.bridge import BridgeState
from tests.support.keys import key
from tests.support.networks import USER, Participant, World


def same(one: Participant, other: Participant) -> None:
    assert one.final.digest == other.final.digest
    assert one.final.state_root == other.final.state_root
    assert one.final.bridge == other.final.bridge
    assert one.final.members == other.final.members
    assert one.final.epoch == other.final.epoch
    assert one.final.instance_root == other.final.instance_root
    assert dict(one.final.registry.records) == dict(other.final.registry.records)


async def hand_over(block: Block, one: Participant, other: Participant) -> None:
    """`other` judges and finalises what `one` has just made final."""
    await other.follow()
    await other.accept(block)
    await other.finalise(block)
    same(one, other)


async def test_a_restart_after_every_block_changes_nothing(world: World) -> None:
    one, other = world.participant("one"), world.participant("other")
    await one.follow()
    await world.deposit(one.final, 5_000_000)
    blocks = 0
    while one.final.epoch < 3:
        world.mine()
        await one.follow()
        if one.final.bridge.in_flight is not None and blocks % 4 == 3:
            signed = world.settle(one.final.bridge.versions(world.params)[0])
            if signed.txid not in world.node.mempool.entries:
                coin = world.node.chain.index.coin(signed.inputs[0].previous)
                if coin is not None:
                    world.node.accept(signed.serialize())
        for done in await one.catch_up_with_bitcoin():
            blocks += 1
            other.restart()
            await hand_over(done.block, one, other)
            other.restart()
            same(one, other)
            assert BridgeState.decode(other.final.bridge.encode()) == other.final.bridge
    assert other.chain.ledger.account(key(USER), other.final.digest) is not None
    assert one.final.bridge.settled_through >= 0


async def test_two_blocks_at_one_height_and_a_switch_between_them(world: World) -> None:
    one = world.participant()
    world.mine(4)
    await one.follow()
    await one.extend()
    first = one.build(view=3)
    second = one.build(view=4)
    assert first is not None
    assert second is not None
    left, right = await one.accept(first), await one.accept(second)
    on_left, on_right = one.build(left, view=5), one.build(right, view=6)
    assert on_left is not None
    assert on_right is not None
    await one.accept(on_left)
    above = await one.accept(on_right)
    assert one.chain.undecided(above.digest) == [right.digest, above.digest]
    await one.finalise(second)
    assert one.chain.state(left.digest) is None
    assert one.chain.state(one.chain.digest(on_left.header)) is None
    assert one.chain.state(above.digest) is above
    with pytest.raises(NotYetError, match="is not known here"):
        await one.accept(on_left)
    await one.finalise(on_right)
    assert one.final is above
    assert one.chain.ledger.executed_count == 0
    one.restart()
    assert one.final.state_root == above.state_root


async def test_several_blocks_become_final_in_one_act(world: World) -> None:
    one, other = world.participant("one"), world.participant("other")
    world.mine(2)
    await one.follow()
    await other.follow()
    blocks: list[Block] = []
    tip: ChainState = one.final
    for view in (1, 2, 5):
        block = one.build(tip, view=view)
        assert block is not None
        blocks.append(block)
        tip = await one.accept(block)
        await other.accept(block)
    digests = [one.chain.digest(block.header) for block in blocks]
    certificate = one.finality(blocks[-1])
    assert [item.state.digest for item in await one.chain.finalise(digests, certificate)] == digests
    encoded, stored = one.chain.store.final_range(blocks[0].header.height, 16, 1 << 20)
    assert [Block.decode(item, world.params.network) for item in encoded] == blocks
    assert stored == certificate.encode()
    await other.chain.finalise(digests, certificate)
    same(one, other)


async def test_two_tasks_that_finalise_the_same_do_it_once(world: World) -> None:
    """Consensus and catching up may both learn of a finality; the disk writes off the loop."""
    one = world.participant()
    world.mine(2)
    await one.follow()
    first = one.build(view=1)
    assert first is not None
    state = await one.accept(first)
    second = one.build(state, view=2)
    assert second is not None
    await one.accept(second)
    digests = [one.chain.digest(block.header) for block in (first, second)]
    done: list[list[Finalised]] = []

    async def finalise(count: int, certificate: Certificate) -> None:
        done.append(await one.chain.finalise(digests[:count], certificate))

    certificates = [one.finality(first), one.finality(second)]
    async with trio.open_nursery() as nursery:
        for count in (1, 2, 1, 2):
            nursery.start_soon(finalise, count, certificates[count - 1])
    assert sorted(item.state.digest for part in done for item in part) == sorted(digests)
    assert one.final.digest == one.chain.durable.digest == digests[1]
    one.restart()
    assert one.final.digest == digests[1]


async def test_a_hundred_bitcoin_blocks_at_once_are_crossed_in_steps(world: World) -> None:
    one = world.participant()
    world.mine(100)
    await one.follow()
    assert one.watcher.tip_height == world.height
    done = await one.catch_up_with_bitcoin()
    seals = [item for item in done if item.sealed is not None]
    assert len(seals) == 100 // world.params.blocks_per_epoch - 1
    heights = [item.block.header.origin.height for item in done]
    assert heights == sorted(heights)
    assert one.final.header.origin.height >= world.height - world.params.burial_depth - 1
    assert one.chain.ledger.totals().is_balanced


async def test_nodes_with_other_tips_derive_the_same(world: World) -> None:
    one, other = world.participant("one"), world.participant("other")
    world.mine(9)
    await one.follow()
    blocks = [item.block for item in await one.catch_up_with_bitcoin()]
    world.mine(30)  # the other sees far more of Bitcoin when it judges the same blocks
    await other.follow()
    for block in blocks:
        await other.accept(block, voting=False)
        await other.finalise(block)
    same(one, other)


async def test_a_candidate_on_an_orphaned_origin_gets_no_second_vote(world: World) -> None:
    """A seal that is proposed again is judged again: its origin may have left the best chain."""
    one = world.participant()
    world.mine(4)
    await one.follow()
    block = one.build()
    assert block is not None
    assert block.header.origin.height > one.final.header.origin.height
    await one.accept(block)
    world.reorg(world.height - block.header.origin.height + 1)
    await one.follow()
    with pytest.raises(NotYetError, match="is not buried here"):
        await one.accept(block)
    state = await one.accept(block, voting=False)  # what it means does not change
    assert state.header == block.header


async def test_nobody_advances_from_an_orphaned_origin(world: World) -> None:
    one = world.participant()
    world.mine(4)
    await one.follow()
    block = one.build()
    assert block is not None
    parent = await one.accept(block)
    depth = world.height - block.header.origin.height + 1
    world.mine(2)
    await one.follow()
    child = one.build(parent)
    assert child is not None
    assert child.header.origin.height > parent.header.origin.height
    world.reorg(depth + 2)
    await one.follow()
    with pytest.raises(NotYetError, match="left this node's best chain"):
        await one.accept(child)
    idle = one.build(parent)  # ordering goes on (PROTOCOL.md section 8.1), with its origin frozen
    assert idle is not None
    assert idle.header.origin == parent.header.origin
    assert idle.header.kind is BlockKind.ORDINARY
    await one.accept(idle)
    assert not one.chain.has_origin_work(parent)
    assert one.build(parent, required=False) is None


async def test_a_reorg_below_the_seed_does_not_change_the_leaders(world: World) -> None:
    one = world.participant()
    await one.follow()
    await one.seal_epoch()
    leaders = [one.leader(view) for view in range(1, 40)]
    depth = world.height - one.final.header.origin.height + world.params.burial_depth + 2
    world.reorg(depth)
    await one.follow()
    one.restart()
    assert [one.leader(view) for view in range(1, 40)] == leaders


async def test_leaders_are_not_drawn_from_another_branch(world: World) -> None:
    """A node that finalised a seal and never drew its leaders waits, when the branch is gone."""
    one = world.participant()
    await one.follow()
    sealed = await one.seal_epoch()
    depth = world.height - one.final.header.origin.height + world.params.burial_depth + 2
    world.reorg(depth)
    await one.follow()
    assert sealed.sealed is not None
    with pytest.raises(NotYetError, match="left this node's best chain"):
        one.chain.instance(frozenset())


async def test_a_deposit_that_a_reorg_removed_is_not_credited(world: World) -> None:
    one = world.participant()
    await one.follow()
    transaction = await world.deposit(one.final, 5_000_000)
    world.mine(2)
    await one.follow()
    block = one.build()
    world.reorg(2, is_empty=True)
    await one.follow()
    assert block is not None
    world.mine(4)
    await one.follow()
    for done in await one.catch_up_with_bitcoin():
        heights = {item.height for item in done.state.bridge.deposits}
        if heights:
            (height,) = heights
            found = one.watcher.block(height)
            assert found is not None
            assert transaction.txid in {item.transaction.txid for item in found.relevant}


async def test_a_stated_block_is_read_back_as_it_was(world: World) -> None:
    one = world.participant()
    await one.follow()
    done = await one.seal_epoch()
    stored = one.chain.block(done.state.digest)
    assert stored == done.block
    assert done.sealed is not None
    reread = one.chain.store.sealed(Epoch(0))
    assert reread == done.sealed
    assert reread.statement(world.params.network) == one.final.bridge.unsettled[-1][1]
    assert one.chain.block(Hash32(bytes(32))) is None
    reference = one.chain.reference(done.block)
    assert reference.is_seal
    statement = reference.statement(VoteKind.FINALIZE, Epoch(0), done.block.header.view)
    parent = one.chain.members_of(Epoch(0))
    assert parent is not None
    assert statement.outputs == done.sealed.outputs
    assert replace(done.sealed, certificate=b"") != done.sealed
    assert Sats(one.final.bridge.vault_value) == world.genesis.vault_value
