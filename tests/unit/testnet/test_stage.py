"""An act of the demo asks whichever node answers, and never takes an old answer for a new one."""

from typing import TYPE_CHECKING, cast

from p2p_seq.api.client import ApiClient
from p2p_seq.api.http import open_api
from p2p_seq.api.types import TransactionReport
from p2p_seq.protocol.types import BlockHeight, Hash32
from testnet.stage import ActReport, Stage, open_clients
from tests.unit.api.support import DIGEST, TRANSACTION, WrittenView

if TYPE_CHECKING:
    from testnet.launch import Testnet

NO_TESTNET = cast("Testnet", None)


class BehindView(WrittenView):
    """A node that was just restarted: it has lost nothing, and has not caught up yet."""

    def __init__(self) -> None:
        super().__init__()
        self.height = BlockHeight(3)

    def transaction(self, txid: Hash32) -> TransactionReport | None:
        return None


async def test_a_node_that_is_behind_is_passed_over() -> None:
    async with (
        open_api(BehindView(), "127.0.0.1", 0) as behind,
        open_api(WrittenView(), "127.0.0.1", 0) as ahead,
        open_clients([behind, ahead]) as clients,
    ):
        stage = Stage(NO_TESTNET, clients, ActReport("peg"), lambda _: None)

        async def find(client: ApiClient) -> TransactionReport | None:
            return await client.transaction(DIGEST.hex())

        assert await stage.ask(find) is None, "nothing tells yet that this is old"
        assert await clients[1].block("latest") is not None
        assert await stage.ask(find) == TRANSACTION
