"""Errors of the API: always JSON, always what, why and what to do."""

from http import HTTPStatus
from typing import Final

from p2p_seq.api.types import Problem


class ApiProblem(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, what: str, why: str, do: str) -> None:
        super().__init__(f"{status} {what}: {why}")
        self.status = status
        self.problem = Problem(what=what, why=why, do=do)


def not_found(what: str, why: str, do: str) -> ApiProblem:
    return ApiProblem(HTTPStatus.NOT_FOUND, what, why, do)


HTTP_HELP: Final[dict[int, tuple[str, str, str]]] = {
    404: ("there is nothing here", "no such path", "see /openapi.json for all paths"),
    405: (
        "this method is not allowed here",
        "the path answers to another method",
        "see /openapi.json for all paths and methods",
    ),
}
"""What the router's own errors say."""

INTERNAL: Final = Problem(
    what="the node failed to answer",
    why="an internal error; it is in the node's log",
    do="try again; if it stays, report it with the log",
)


def wrong_argument(name: str, why: str, do: str) -> ApiProblem:
    return ApiProblem(HTTPStatus.BAD_REQUEST, f"{name} is not valid", why, do)
