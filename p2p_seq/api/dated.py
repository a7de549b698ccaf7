"""Dates answers about the ledger, and refuses to answer from an older state than was demanded.

The server's half of `api/session.py`. What a node says of itself (its status, its peers, its
health) is never refused, and a submission needs no state.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from p2p_seq.api import arguments
from p2p_seq.api.problems import ApiProblem
from p2p_seq.api.session import AT_LEAST, HEIGHT
from p2p_seq.api.types import NodeView, Problem
from p2p_seq.protocol.types import BlockHeight

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIX: Final = "/v1/"
OF_THE_NODE: Final = frozenset({"/v1/status", "/v1/peers"})


class Dated:
    """An application whose answers about the ledger name their height."""

    def __init__(self, application: Application, view: NodeView) -> None:
        self._application = application
        self._view = view

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_about_the_ledger(scope):
            await self._application(scope, receive, send)
            return
        try:
            await self._check(scope)
        except ApiProblem as error:
            await send_problem(send, error.status, error.problem)
            return

        async def send_dated(message: Message) -> None:
            # Reports are made without a pause before this: the state is none that is newer.
            if message["type"] == "http.response.start":
                date = (HEIGHT.encode(), b"%d" % self._view.height)
                message["headers"] = [*message.get("headers", ()), date]
            await send(message)

        await self._application(scope, receive, send_dated)

    async def _check(self, scope: Scope) -> None:
        """Raises ApiProblem."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        wanted = next((value for name, value in headers if name == AT_LEAST.encode()), None)
        if wanted is None:
            return
        height = BlockHeight(arguments.number(AT_LEAST, wanted.decode("latin-1")))
        if not await self._view.shows(height):
            raise ApiProblem(
                503,
                "this node is behind",
                f"it does not show the final block {height}, which was seen elsewhere",
                "ask another node, or wait until it has caught up",
            )


def _is_about_the_ledger(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    path: str = scope["path"]
    return path.startswith(PREFIX) and path not in OF_THE_NODE


async def send_problem(send: Send, status: int, problem: Problem) -> None:
    """An error, where no router is near."""
    body = msgspec.json.encode(problem)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
