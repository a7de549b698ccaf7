"""The API's server: FastAPI under Hypercorn's trio worker.

The one module that knows Hypercorn. Traps that it avoids:
- the server is asked to stop by its `shutdown_trigger` and given `graceful_s`, because cancelling
  the task leaves clients hanging with half an answer;
- Hypercorn swallows what an application raises. A `LocalError` must stop the node, so it is kept
  and raised again from `open_api`;
- at most `requests_max` requests are worked on at a time, the next one gets 503 at once;
- interactive documentation would load code from elsewhere and is off; `/openapi.json` is there.
"""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import structlog
import trio
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.exceptions import HTTPException

from p2p_seq import __version__
from p2p_seq.api.dated import Application, Dated, Receive, Scope, Send, send_problem
from p2p_seq.api.problems import HTTP_HELP, INTERNAL, ApiProblem
from p2p_seq.api.routes import answer, health, reads, refuse_unknown_query
from p2p_seq.api.types import NodeView, Problem
from p2p_seq.protocol.errors import LocalError, OperatorError

HEAD_BYTES_MAX: Final = 16_384
"""Bytes of a request's line and headers."""

BACKLOG: Final = 128
"""Connections that wait to be accepted."""

_log = structlog.get_logger("api")


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """Bounds of the server."""

    requests_max: int = 64
    """Answered at one time."""
    body_bytes_max: int = 4_194_304
    keep_alive_s: float = 30.0
    """An idle connection is closed after it."""
    graceful_s: float = 2.0
    """Time that running requests get when the server stops."""


class Gate:
    """Lets `requests_max` requests in at a time, and notes an error that must stop the node."""

    def __init__(self, application: Application, requests_max: int) -> None:
        self._application = application
        self._free = requests_max
        self.failure: LocalError | None = None
        self.failed = trio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
        elif self._free <= 0:
            await send_problem(
                send,
                503,
                Problem(
                    what="the node has too much to do",
                    why="as many requests as it allows are being answered",
                    do="try again in a moment; submit transactions in batches",
                ),
            )
        else:
            self._free -= 1
            try:
                await self._application(scope, receive, send)
            except LocalError as error:
                self.failure = error
                self.failed.set()
            finally:
                self._free += 1


def build_application(view: NodeView, limits: ApiLimits | None = None) -> FastAPI:
    """The ASGI application that answers from `view`."""
    application = FastAPI(
        title="p2p-seq node",
        version=__version__,
        summary="Read a node's final state and submit transactions.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(refuse_unknown_query)],
    )
    application.state.view = view
    application.state.limits = limits or ApiLimits()
    application.include_router(reads)
    application.include_router(health)
    application.add_exception_handler(ApiProblem, _answer_problem)
    application.add_exception_handler(HTTPException, _answer_http_exception)
    application.add_exception_handler(RequestValidationError, _answer_validation)
    application.add_exception_handler(Exception, _answer_internal)
    return application


def _answer_problem(_: Request, error: Exception) -> Response:
    problem = cast("ApiProblem", error)
    return answer(problem.problem, problem.status)


def _answer_http_exception(_: Request, error: Exception) -> Response:
    raised = cast("HTTPException", error)
    fallback = ("the request is refused", str(raised.detail), "see /openapi.json")
    what, why, do = HTTP_HELP.get(raised.status_code, fallback)
    return answer(Problem(what=what, why=why, do=do), raised.status_code)


def _answer_validation(_: Request, error: Exception) -> Response:
    why = "; ".join(str(one["msg"]) for one in cast("RequestValidationError", error).errors())
    return answer(Problem(what="the request is not valid", why=why, do="see /openapi.json"), 400)


def _answer_internal(request: Request, error: Exception) -> Response:
    _log.error("request_failed", path=request.url.path, error=repr(error))
    return answer(INTERNAL, 500)


def _configuration(listener: socket.socket, limits: ApiLimits) -> Config:
    config = Config()
    # The server owns the descriptor from here on and closes it.
    config.bind = [f"fd://{listener.detach()}"]
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.keep_alive_timeout = limits.keep_alive_s
    config.graceful_timeout = limits.graceful_s
    config.h11_max_incomplete_size = HEAD_BYTES_MAX
    return config


@asynccontextmanager
async def open_api(
    view: NodeView, host: str, port: int, limits: ApiLimits | None = None
) -> AsyncIterator[str]:
    """Serve until the block is left; gives the base URL. Port 0 takes any free port.

    Raises OperatorError when the address cannot be had. A request's LocalError cancels the block
    and is raised in its place.
    """
    limits = limits or ApiLimits()
    dated = Dated(cast("Application", build_application(view, limits)), view)
    gate = Gate(dated, limits.requests_max)
    listener = _bound_socket(host, port)
    shown_host = f"[{host}]" if ":" in host else host
    url = f"http://{shown_host}:{listener.getsockname()[1]}"
    stop = trio.Event()
    start = partial(
        serve,
        cast("Any", gate),
        _configuration(listener, limits),
        shutdown_trigger=stop.wait,
        mode="asgi",
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(start)
        watch = trio.CancelScope()
        nursery.start_soon(_cancel_on_failure, gate, watch, nursery.cancel_scope)
        try:
            yield url
        finally:
            watch.cancel()
            stop.set()
    if gate.failure is not None:
        raise gate.failure


async def _cancel_on_failure(
    gate: Gate, watch: trio.CancelScope, everything: trio.CancelScope
) -> None:
    with watch:
        await gate.failed.wait()
        everything.cancel()


def _bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket of our own: the server would wrap the error of a busy port."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why, do = "another program listens there", "stop it, or set another api.listen"
        else:
            why, do = error.strerror or str(error), "set api.listen to an address of this machine"
        what = f"the API cannot listen on {host}:{port}"
        raise OperatorError(what, why, do, code=2) from error
