"""The watcher over a real node: it follows, goes back, starts again, and doubts what it is told."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from p2p_seq.bitcoin.embedded.node import RegtestNode
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.watcher import BitcoinSource, BitcoinUnreachableError, Watcher
from p2p_seq.network.types import NetworkReason
from p2p_seq.protocol.errors import LocalError, RemoteError
from p2p_seq.protocol.types import Height
from p2p_seq.storage.store import Store
from tests.support.keys import key
from tests.support.networks import NodeSource

MINER = key_path_script(key("miner"))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RegtestNode]:
    opened = RegtestNode(tmp_path / "node")
    opened.generate(40, MINER)
    yield opened
    opened.close()


class Liar:
    """Answers as the node does, except where a test says otherwise."""

    def __init__(self, node: RegtestNode) -> None:
        self._inner = NodeSource(node)
        self.answers: dict[str, Callable[[object], object]] = {}

    async def call(self, method: str, *parameters: object) -> object:
        answer = await self._inner.call(method, *parameters)
        return self.answers[method](answer) if method in self.answers else answer

    async def batch(self, calls: Sequence[tuple[str, tuple[object, ...]]]) -> list[object]:
        answers = [await self.call(method, *parameters) for method, parameters in calls]
        return answers[:-1] if "short" in self.answers else answers


def watcher(source: BitcoinSource, store: Store, start: int = 5) -> Watcher:
    return Watcher(source, store, "regtest", Height(start), {})


async def follow(one: Watcher) -> None:
    while await one.step():
        pass


def check(one: Watcher, node: RegtestNode) -> None:
    """Every block is the node's, with bitcoind's own median time."""
    assert one.tip_height == node.chain.tip().height
    for height in range(one.start, one.tip_height + 1):
        block = one.block(Height(height))
        assert block is not None
        assert block.hash == node.chain.hash_at(height)
        assert block.median_time == node.chain.median_time_past(block.hash)
        assert one.confirmations(block.height, block.hash) == one.tip_height - height + 1
    assert one.block(Height(one.start - 1)) is None
    assert one.block(Height(one.tip_height + 1)) is None


@pytest.mark.parametrize("start", [0, 5, 40, 41])
async def test_it_follows_in_batches_with_the_right_medians(
    node: RegtestNode, tmp_path: Path, start: int
) -> None:
    one = watcher(NodeSource(node), Store.open(tmp_path / "store"), start)
    await follow(one)
    node.generate(5, MINER)
    await follow(one)
    check(one, node)


@pytest.mark.parametrize("depth", [1, 3, 20, 34, 38])
async def test_it_goes_back_to_the_fork_however_deep(
    node: RegtestNode, tmp_path: Path, depth: int
) -> None:
    store = Store.open(tmp_path / "store")
    one = watcher(NodeSource(node), store)
    await follow(one)
    node.reorg(depth, True, MINER)
    await follow(one)
    check(one, node)
    assert one.reorg_depth_max == min(depth, 36)
    check(watcher(NodeSource(node), store), node)


async def test_a_reorg_while_it_was_away(node: RegtestNode, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    await follow(watcher(NodeSource(node), store))
    node.reorg(7, True, MINER)
    again = watcher(NodeSource(node), store)
    assert again.tip_height == 40
    await follow(again)
    check(again, node)


async def test_a_store_of_another_start_is_refused(node: RegtestNode, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    await follow(watcher(NodeSource(node), store))
    with pytest.raises(LocalError, match="stored Bitcoin block 5 does not follow"):
        watcher(NodeSource(node), store, start=6)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("getbestblockhash", lambda _: "nonsense"),
        ("getbestblockhash", lambda _: None),
        ("getblockcount", lambda _: "many"),
        ("getblockcount", lambda _: None),
        ("getblockhash", lambda _: "00" * 32),
        ("getblockhash", lambda _: 7),
        ("getblock", lambda _: "zz"),
        ("getblock", lambda answer: str(answer)[:-2]),
        ("getblock", lambda answer: "01" + str(answer)[2:]),
        ("getblockheader", lambda _: "00" * 79),
        ("getblockheader", lambda _: "00" * 80),
        ("getblockheader", lambda _: {"hash": 1}),
        ("short", lambda _: None),
    ],
)
async def test_nonsense_is_trouble_that_passes(
    node: RegtestNode, tmp_path: Path, method: str, answer: Callable[[object], object]
) -> None:
    liar = Liar(node)
    one = watcher(liar, Store.open(tmp_path / "store"))
    liar.answers[method] = answer
    try:
        await follow(one)
    except BitcoinUnreachableError:
        pass
    else:
        raise AssertionError("the lie was believed")
    liar.answers.clear()
    await follow(one)
    check(one, node)


async def test_bitcoin_that_goes_away_in_the_middle_leaves_memory_and_disk_alike(
    node: RegtestNode, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "store")
    liar = Liar(node)
    one = watcher(liar, store)

    def gone(_: object) -> object:
        raise RemoteError(NetworkReason.CLOSED)

    await one.step()
    reached = one.tip_height
    liar.answers["getblock"] = gone
    with pytest.raises(BitcoinUnreachableError, match="getblock"):
        await follow(one)
    assert watcher(liar, store).tip_height == one.tip_height == reached
