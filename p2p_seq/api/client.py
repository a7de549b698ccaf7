"""The API's client on trio: for the command line, wallets, the testnet and the demo."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import httpx
import msgspec

from p2p_seq.api.session import AT_LEAST, HEIGHT, Session
from p2p_seq.api.types import (
    AccountReport,
    BlockReport,
    DepositReport,
    EpochReport,
    NodeStatus,
    PeerReport,
    Problem,
    Readiness,
    SubmissionReport,
    SupplyReport,
    TransactionReport,
    VaultReport,
    WithdrawalReport,
)
from p2p_seq.protocol.errors import OperatorError

Report = TypeVar("Report")

ANSWER_BYTES_MAX: Final = 8_388_608
"""Bytes of an answer that is read; a node's longest is the report of a full submission."""

UNREACHABLE_CODE: Final = 4
"""Exit code of the command line when a node cannot be reached."""


class ApiError(OperatorError):
    """The node answered with an error, or not at all (`status` is None)."""

    def __init__(self, status: int | None, problem: Problem) -> None:
        code = UNREACHABLE_CODE if status is None else 1
        super().__init__(problem.what, problem.why, problem.do, code=code)
        self.status = status


class ApiClient:
    """One node's API. Open it with `open_client`."""

    def __init__(self, http: httpx.AsyncClient, session: Session | None = None) -> None:
        self._http = http
        self._session = session

    @property
    def url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    async def status(self) -> NodeStatus:
        return await self._get("/v1/status", NodeStatus)

    async def block(self, selector: int | str = "latest") -> BlockReport | None:
        """By height, by digest in hexadecimal, or `latest`; None when it is not final here."""
        return await self._find(f"/v1/blocks/{selector}", BlockReport)

    async def transaction(self, txid: str) -> TransactionReport | None:
        return await self._find(f"/v1/transactions/{txid}", TransactionReport)

    async def account(self, key: str) -> AccountReport | None:
        return await self._find(f"/v1/accounts/{key}", AccountReport)

    async def epoch(self, epoch: int) -> EpochReport | None:
        return await self._find(f"/v1/epochs/{epoch}", EpochReport)

    async def withdrawal(self, payout_id: int) -> WithdrawalReport | None:
        return await self._find(f"/v1/withdrawals/{payout_id}", WithdrawalReport)

    async def deposit(self, outpoint: str) -> DepositReport | None:
        return await self._find(f"/v1/deposits/{outpoint}", DepositReport)

    async def vault(self) -> VaultReport:
        return await self._get("/v1/vault", VaultReport)

    async def supply(self) -> SupplyReport:
        return await self._get("/v1/supply", SupplyReport)

    async def peers(self) -> list[PeerReport]:
        return await self._get("/v1/peers", list[PeerReport])

    async def readiness(self) -> Readiness:
        """Also when the node is not ready (which is status 503)."""
        response = await self._request("GET", "/readyz")
        return self._decode(response, Readiness)

    async def metrics(self) -> str:
        response = await self._request("GET", "/metrics")
        self._check(response)
        return response.text

    async def submit(self, transactions: bytes | Iterable[bytes]) -> SubmissionReport:
        """Submit encoded transactions, concatenated or one by one."""
        body = transactions if isinstance(transactions, bytes) else b"".join(transactions)
        headers = {"content-type": "application/octet-stream"}
        response = await self._request("POST", "/v1/transactions", body, headers)
        self._check(response)
        return self._decode(response, SubmissionReport)

    async def _get(self, path: str, kind: type[Report]) -> Report:
        response = await self._request("GET", path)
        self._check(response)
        return self._decode(response, kind)

    async def _find(self, path: str, kind: type[Report]) -> Report | None:
        """None for a 404: the node is there, the thing is not."""
        response = await self._request("GET", path)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        self._check(response)
        return self._decode(response, kind)

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        session = self._session
        if session is not None:
            headers = {**(headers or {}), AT_LEAST: str(session.height)}
        try:
            async with self._http.stream(method, path, content=body, headers=headers) as response:
                parts, size = [], 0
                async for part in response.aiter_bytes():
                    size += len(part)
                    if size > ANSWER_BYTES_MAX:
                        raise self._unreachable(f"its answer is over {ANSWER_BYTES_MAX} bytes")
                    parts.append(part)
        except httpx.TimeoutException as error:
            raise self._unreachable("it did not answer in time") from error
        except httpx.HTTPError as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        if session is not None:
            session.saw(response.headers.get(HEIGHT, ""))
        return httpx.Response(response.status_code, content=b"".join(parts))

    def _unreachable(self, why: str) -> ApiError:
        return ApiError(
            None,
            Problem(
                what=f"the node at {self.url} cannot be reached",
                why=why,
                do="check that it runs and that the address is right",
            ),
        )

    def _check(self, response: httpx.Response) -> None:
        """Raises ApiError for an answer that is an error."""
        if response.is_success:
            return
        try:
            problem = msgspec.json.decode(response.content, type=Problem)
        except msgspec.MsgspecError:
            problem = Problem(
                what=f"the node at {self.url} answered with an error",
                why=f"HTTP status {response.status_code}",
                do="check that the address is that of a p2p-seq node",
            )
        raise ApiError(response.status_code, problem)

    def _decode(self, response: httpx.Response, kind: type[Report]) -> Report:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.MsgspecError as error:
            raise ApiError(
                response.status_code,
                Problem(
                    what=f"the answer of the node at {self.url} is not what it should be",
                    why=str(error),
                    do="use the client of the node's version",
                ),
            ) from error


@asynccontextmanager
async def open_client(
    url: str, timeout_s: float = 10.0, session: Session | None = None
) -> AsyncIterator[ApiClient]:
    """A client of the node at a base URL such as `http://127.0.0.1:9545`.

    Its methods raise ApiError; those that look for one thing give None when it is not there. With
    a session, the node only answers from a state that is not older than what the session has seen.
    """
    # The environment's proxies are for the world outside; nodes are asked directly.
    async with httpx.AsyncClient(base_url=url, timeout=timeout_s, trust_env=False) as http:
        yield ApiClient(http, session)
