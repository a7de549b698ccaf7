"""An embedded node without its process, with coins of anyone's."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2p_seq.bitcoin.embedded.node import NodeOptions, RegtestNode
from p2p_seq.bitcoin.embedded.policy import Policy
from p2p_seq.protocol.types import OutPoint
from tests.support.bitcoind import ANYONE


class Purse:
    """Coins of `ANYONE`, each given once, and the node that has them."""

    def __init__(self, node: RegtestNode) -> None:
        self.node = node
        self._coins = iter(
            [
                (outpoint, coin.output.value)
                for outpoint, coin in node.chain.index.coins()
                if node.chain.tip().height - coin.height >= 100
            ]
        )

    def take(self) -> tuple[OutPoint, int]:
        """A mature coin and its value, sat."""
        return next(self._coins)


def mine_blocks(node: RegtestNode, count: int) -> None:
    while count:
        batch = min(count, 50)
        node.generate(batch, ANYONE)
        count -= batch


@pytest.fixture
def open_purse(tmp_path: Path) -> Iterator[Callable[[Policy], Purse]]:
    """Opens a node with a policy of the test's own."""
    nodes: list[RegtestNode] = []

    def open_node(policy: Policy) -> Purse:
        node = RegtestNode(tmp_path, NodeOptions(policy=policy))
        nodes.append(node)
        mine_blocks(node, 120)
        return Purse(node)

    yield open_node
    for node in nodes:
        node.close()


@pytest.fixture
def purse(open_purse: Callable[[Policy], Purse]) -> Purse:
    return open_purse(Policy())
