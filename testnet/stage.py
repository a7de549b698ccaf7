"""What an act of the demo may use: nodes of which some may be down, Bitcoin, time, and a report.

An act must survive that any one sequencer is killed at any moment, so every question goes to
whichever node answers, and what was submitted is submitted again until a final block has it. The
clients share a session: a node that was restarted and is behind what the act has seen is passed
over, or the act would take what it saw final for lost.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from p2p_seq.api.client import ApiClient, ApiError, open_client
from p2p_seq.api.session import Session
from p2p_seq.bitcoin.rpc import BitcoinRpc
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.types import Hash32
from p2p_seq.wallet.file import DepositJournal, WalletKeys, open_wallet
from p2p_seq.wallet.orders import LedgerChain
from p2p_seq.wallet.service import Wallet
from testnet.launch import Testnet, keep_active

POLL_SECONDS: Final = 0.1

SOME_ANSWER_PATIENCE_S: Final = 30.0
"""A testnet of which no node answers for so long is broken."""

ACTIVITY_SECONDS: Final = 20

Answer = TypeVar("Answer")
Question = Callable[[ApiClient], Awaitable[Answer]]


class ActFailedError(Exception):
    """Something that the demo promises did not happen; says what."""


@dataclass(slots=True)
class ActReport:
    """What an act did, for the file of `--json`."""

    name: str
    steps: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    """Latencies in the unit that the name ends with."""


@dataclass(slots=True)
class Stage:
    """One running testnet, as an act sees it."""

    testnet: Testnet
    clients: list[ApiClient]
    report: ActReport
    say: Callable[[str], None]

    @property
    def params(self) -> Params:
        return self.testnet.params

    @property
    def bitcoin(self) -> BitcoinRpc:
        return self.testnet.bitcoin

    @property
    def chain(self) -> LedgerChain:
        genesis = self.testnet.genesis.genesis
        return LedgerChain(genesis.network, Hash32(genesis.chain_id))

    def step(self, name: str, **facts: Any) -> None:
        """A thing that was done and checked."""
        at = round(trio.current_time() - self.started, 3)
        self.report.steps.append({"step": name, "at_s": at, **facts})
        shown = ", ".join(f"{key} {value}" for key, value in facts.items() if _is_short(value))
        self.say(f"{at:7.1f} s  {name}" + (f": {shown}" if shown else ""))

    started: float = field(default_factory=trio.current_time)

    async def ask(self, question: Question[Answer]) -> Answer:
        """The answer of the first node that gives one, from a state no older than was seen before.

        Raises ApiError when a node refuses.
        """
        deadline = trio.current_time() + SOME_ANSWER_PATIENCE_S
        while True:
            for client in self.clients:
                try:
                    return await question(client)
                except ApiError as error:
                    if error.status is not None and error.status < 500:
                        raise
            if trio.current_time() > deadline:
                raise ActFailedError(f"no node answered for {SOME_ANSWER_PATIENCE_S:g} s")
            await trio.sleep(POLL_SECONDS)

    async def wait_for(
        self, what: str, patience_s: float, look: Callable[[], Awaitable[Answer | None]]
    ) -> Answer:
        """Look until there is something; Bitcoin keeps its quick pace. Raises ActFailedError."""
        deadline = trio.current_time() + patience_s
        reminded = 0.0
        while True:
            found = await look()
            if found is not None:
                return found
            now = trio.current_time()
            if now > deadline:
                raise ActFailedError(f"{what} did not happen within {patience_s:g} s")
            if now > reminded + ACTIVITY_SECONDS / 2:
                await keep_active(self.bitcoin, ACTIVITY_SECONDS)
                reminded = now
            await trio.sleep(POLL_SECONDS)

    def dev_wallet(self, name: str) -> tuple[WalletKeys, Path]:
        path = self.testnet.layout.wallet(name)
        return open_wallet(path, self.params.bitcoin_chain, None), path

    async def with_wallet(self, name: str, action: Callable[[Wallet], Awaitable[Answer]]) -> Answer:
        """Do something with a dev wallet over whichever node answers."""
        keys, path = self.dev_wallet(name)

        async def over(client: ApiClient) -> Answer:
            await client.status()  # nothing is begun with a node that is down
            chain = self.params.bitcoin_chain
            return await action(Wallet(keys, DepositJournal(path), self.bitcoin, client, chain))

        return await self.ask(over)


def require(holds: bool, what: str) -> None:
    """Raises ActFailedError."""
    if not holds:
        raise ActFailedError(what)


def _is_short(value: Any) -> bool:
    return isinstance(value, int | float | str) and len(str(value)) <= 80


@asynccontextmanager
async def open_clients(urls: list[str], timeout_s: float = 5.0) -> AsyncIterator[list[ApiClient]]:
    """One client a node, all in one session."""
    session = Session()
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_client(url, timeout_s, session)) for url in urls
        ]
