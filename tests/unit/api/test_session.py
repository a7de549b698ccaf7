"""Who asks several nodes never sees time run backwards, however far behind one of them is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from p2p_seq.api.client import ApiClient, ApiError, open_client
from p2p_seq.api.http import open_api
from p2p_seq.api.session import AT_LEAST, HEIGHT, Session
from p2p_seq.protocol.types import BlockHeight
from tests.unit.api.support import ACCOUNT, DIGEST, STATUS, WrittenView
from tests.unit.mempool.support import key, transfer, unsigned_batch


@asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[WrittenView, ApiClient, ApiClient, Session]]:
    """The first is ahead at height 9; the second, whose view is given, is at 7."""
    ahead, behind, session = WrittenView(), WrittenView(), Session()
    ahead.height = BlockHeight(9)
    async with (
        open_api(ahead, "127.0.0.1", 0) as first,
        open_api(behind, "127.0.0.1", 0) as second,
        open_client(first, session=session) as one,
        open_client(second, session=session) as other,
    ):
        yield behind, one, other, session


async def test_a_node_that_is_behind_what_was_seen_does_not_answer_for_the_ledger() -> None:
    async with two_nodes() as (behind, one, other, session):
        assert await other.account(key(1).hex()) == ACCOUNT, "nothing newer was seen yet"
        assert await one.account(key(1).hex()) == ACCOUNT
        assert session.height == 9
        with pytest.raises(ApiError) as refusal:
            await other.account(key(1).hex())
        error = refusal.value
        assert (error.status, error.what, error.why, error.do) == (
            503,
            "this node is behind",
            "it does not show the final block 9, which was seen elsewhere",
            "ask another node, or wait until it has caught up",
        )
        with pytest.raises(ApiError):
            await other.transaction("ab" * 32)  # not: there is no such transaction
        behind.height = BlockHeight(9)
        assert await other.account(key(1).hex()) == ACCOUNT


async def test_what_a_node_says_of_itself_it_always_says() -> None:
    async with two_nodes() as (_, one, other, _):
        await one.block("latest")
        assert await other.status() == STATUS
        assert (await other.readiness()).is_ready
        assert len(await other.peers()) == 1
        assert (await other.submit(unsigned_batch(transfer(1, 0)))).accepted == 1


async def test_a_single_node_is_asked_without_conditions() -> None:
    """It may have lost its last blocks in a crash; its own client takes what it has."""
    view = WrittenView()
    async with open_api(view, "127.0.0.1", 0) as url, open_client(url) as client:
        assert await client.block(7) is not None
        view.height = BlockHeight(3)
        assert await client.block(7) is not None


async def test_the_height_is_named_and_a_strange_condition_refused() -> None:
    view = WrittenView()
    async with open_api(view, "127.0.0.1", 0) as url, httpx.AsyncClient(base_url=url) as raw:
        answer = await raw.get(f"/v1/blocks/{DIGEST.hex()}")
        assert answer.headers[HEIGHT] == "7"
        assert (await raw.get("/v1/blocks/7", headers={AT_LEAST: "7"})).status_code == 200
        assert (await raw.get("/v1/blocks/7", headers={AT_LEAST: "8"})).status_code == 503
        for strange in ("-1", "07", "7.0", "x", "9" * 30, ""):
            refused = await raw.get("/v1/blocks/7", headers={AT_LEAST: strange})
            assert refused.status_code == 400, strange
            assert refused.json()["what"] == f"{AT_LEAST} is not valid"


@pytest.mark.parametrize("height", ["²", "9" * 5_000, "-1", "0x9", "", "٣", str(2**64)])
async def test_a_height_that_is_no_number_is_not_believed(height: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        named = [(HEIGHT.encode(), height.encode("utf-8"))]
        return httpx.Response(404, headers=named, content=b"")

    session = Session(height=3)
    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(base_url="http://node", transport=transport) as http:
        assert await ApiClient(http, session).account(key(1).hex()) is None
    assert session.height == 3
