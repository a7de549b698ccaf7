"""The paths of the API. Each reads its arguments strictly, asks the view and encodes the answer."""

from typing import Any, Final

import msgspec
import trio
from fastapi import APIRouter, Request, Response

from p2p_seq.api import arguments, problems
from p2p_seq.api.problems import ApiProblem, not_found
from p2p_seq.api.submissions import submit_binary, submit_json
from p2p_seq.api.types import (
    AccountReport,
    BlockReport,
    DepositReport,
    EpochReport,
    NodeStatus,
    NodeView,
    PeerReport,
    Problem,
    Readiness,
    SubmissionReport,
    SupplyReport,
    TransactionReport,
    VaultReport,
    WithdrawalReport,
)
from p2p_seq.protocol.types import Epoch, XOnlyKey

BODY_PATIENCE_S: Final = 10.0
"""Seconds within which a request's body must have arrived whole."""

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": Problem, "description": "An argument or the body is not valid."},
    404: {"model": Problem, "description": "There is no such thing here."},
    503: {"model": Problem, "description": "The node has too much to do or is not ready."},
}

_SUBMISSION_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "Concatenated canonical transactions.",
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["transactions"],
                    "properties": {
                        "transactions": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 1000,
                            "items": {"type": "string", "pattern": "^([0-9a-fA-F]{2})+$"},
                        }
                    },
                }
            },
        },
    }
}


def answer(report: object, status: int = 200) -> Response:
    """A report as JSON."""
    return Response(msgspec.json.encode(report), status, media_type="application/json")


def view_of(request: Request) -> NodeView:
    view: NodeView = request.app.state.view
    return view


async def read_body(request: Request) -> bytes:
    """The whole body, at most `body_bytes_max`. Raises ApiProblem."""
    limit: int = request.app.state.limits.body_bytes_max
    parts: list[bytes] = []
    size = 0
    with trio.move_on_after(BODY_PATIENCE_S) as patience:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise ApiProblem(
                    413,
                    "the body is too large",
                    f"it has more than {limit} bytes",
                    "submit fewer transactions at a time",
                )
            parts.append(part)
    if patience.cancelled_caught:
        raise ApiProblem(
            408,
            "the body did not arrive",
            f"it was not complete after {BODY_PATIENCE_S:g} s",
            "send the request again",
        )
    return b"".join(parts)


reads = APIRouter(prefix="/v1", responses=_ERRORS, tags=["v1"])
health = APIRouter(tags=["health"])


@reads.get("/status", response_model=NodeStatus, summary="One screen about this node")
async def get_status(request: Request) -> Response:
    return answer(view_of(request).status())


@reads.get("/blocks/{selector}", response_model=BlockReport, summary="A finalised block")
async def get_block(request: Request, selector: str) -> Response:
    """`selector` is `latest`, a height or a digest."""
    report = view_of(request).block(arguments.block_selector(selector))
    if report is None:
        raise not_found(
            "no such block here",
            "it is unknown or not final yet",
            "see /v1/blocks/latest",
        )
    return answer(report)


@reads.get(
    "/transactions/{txid}", response_model=TransactionReport, summary="A transaction's journey"
)
async def get_transaction(request: Request, txid: str) -> Response:
    report = view_of(request).transaction(arguments.digest("txid", txid))
    if report is None:
        raise not_found(
            "no such transaction here",
            "it is neither waiting nor in a block that this node keeps",
            "check the id, or submit the transaction again",
        )
    return answer(report)


@reads.post(
    "/transactions",
    response_model=SubmissionReport,
    summary="Submit transactions",
    openapi_extra=_SUBMISSION_BODY,
)
async def post_transactions(request: Request) -> Response:
    """Answers when every item has been accepted into the mempool or rejected."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/octet-stream", "application/json"):
        raise ApiProblem(
            415,
            "the body's type is not supported",
            f"content-type is {arguments.shown(kind)}",
            "send application/octet-stream or application/json",
        )
    body = await read_body(request)
    submit = submit_binary if kind == "application/octet-stream" else submit_json
    return answer(await submit(view_of(request), body))


@reads.get("/accounts/{key}", response_model=AccountReport, summary="An account")
async def get_account(request: Request, key: str) -> Response:
    """`key` is an x-only public key."""
    report = view_of(request).account(XOnlyKey(arguments.digest("key", key)))
    if report is None:
        raise not_found(
            "no such account", "the key has no balance in the last final state", "fund it first"
        )
    return answer(report)


@reads.get("/epochs/{epoch}", response_model=EpochReport, summary="An epoch's state")
async def get_epoch(request: Request, epoch: str) -> Response:
    """The state and what it rests on."""
    report = view_of(request).epoch(Epoch(arguments.number("epoch", epoch)))
    if report is None:
        raise not_found("no such epoch here", "it has not begun", "see `epoch` in /v1/status")
    return answer(report)


@reads.get("/withdrawals/{payout}", response_model=WithdrawalReport, summary="A withdrawal")
async def get_withdrawal(request: Request, payout: str) -> Response:
    """`payout` is the number in the receipt of the withdrawal's transaction."""
    report = view_of(request).withdrawal(arguments.number("withdrawal", payout))
    if report is None:
        raise not_found(
            "no such withdrawal here",
            "no final transaction made it",
            "see `withdrawal` of its transaction",
        )
    return answer(report)


@reads.get("/deposits/{outpoint}", response_model=DepositReport, summary="A deposit")
async def get_deposit(request: Request, outpoint: str) -> Response:
    """`outpoint` is `<txid>:<output>`."""
    report = view_of(request).deposit(arguments.outpoint(outpoint))
    if report is None:
        raise not_found(
            "no such deposit here",
            "this node has not seen that output on Bitcoin as a deposit of this network",
            "wait for its block, or check the OP_RETURN of the transaction",
        )
    return answer(report)


@reads.get("/vault", response_model=VaultReport, summary="What a deposit is made of")
async def get_vault(request: Request) -> Response:
    return answer(view_of(request).vault())


@reads.get("/supply", response_model=SupplyReport, summary="The supply rule")
async def get_supply(request: Request) -> Response:
    return answer(view_of(request).supply())


@reads.get("/peers", response_model=list[PeerReport], summary="Peers")
async def get_peers(request: Request) -> Response:
    return answer(list(view_of(request).peers()))


@health.get("/livez", summary="Whether the node's tasks make progress")
async def get_live(request: Request) -> Response:
    if view_of(request).is_live():
        return Response("ok\n", media_type="text/plain")
    return answer(
        Problem(
            what="the node makes no progress",
            why="its tasks have not run for too long",
            do="see its log; restart it",
        ),
        503,
    )


@health.get("/readyz", response_model=Readiness, summary="Whether to send clients here")
async def get_ready(request: Request) -> Response:
    readiness = view_of(request).readiness()
    return answer(readiness, 200 if readiness.is_ready else 503)


@health.get("/metrics", summary="Prometheus metrics")
async def get_metrics(request: Request) -> Response:
    return Response(view_of(request).metrics(), headers={"content-type": METRICS_TYPE})


async def refuse_unknown_query(request: Request) -> None:
    """No path has query parameters: a misspelt one must not be ignored in silence.

    Async only because the framework sends plain functions to a thread.
    """
    if request.url.query:
        name = next(iter(request.query_params), request.url.query)
        raise problems.ApiProblem(
            400,
            "there is an unknown query parameter",
            f"{arguments.shown(name)} is not known here",
            "remove it; this path has no query parameters",
        )
