"""The node's RPC methods under one roof, with those that take time, and the clock that mines.

Every method but three runs to its end without yielding. `generatetoaddress` yields between batches
of blocks, the `waitfor...` methods wait for the tip; other calls may come in between, and each of
them leaves the node whole.
"""

import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
import trio

from p2p_seq import __version__
from p2p_seq.bitcoin.embedded import arguments
from p2p_seq.bitcoin.embedded.arguments import RpcCode, RpcError
from p2p_seq.bitcoin.embedded.chain_methods import ChainMethods
from p2p_seq.bitcoin.embedded.methods import MiningMethods, TransactionMethods
from p2p_seq.bitcoin.embedded.node import MINE_BATCH, RegtestNode
from p2p_seq.bitcoin.embedded.submission_methods import SubmissionMethods
from p2p_seq.bitcoin.embedded.views import JsonObject, bitcoin_amount
from p2p_seq.protocol.errors import OperatorError
from p2p_seq.protocol.types import Hash32, display_id

MAX_GENERATED: Final = 10_000
"""Blocks of one `generatetoaddress`."""

MAX_ACTIVITY_SECONDS: Final = 24 * 3600

MAX_WAIT_MS: Final = 24 * 3600 * 1000

_NODE_VERSION: Final = 310_000
"""What `getnetworkinfo` claims to be compatible with: Bitcoin Core 31."""

_PROTOCOL_VERSION: Final = 70_016

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True)
class BlockTimes:
    """When the node mines by itself; not at all when `active_seconds` is None."""

    active_seconds: float | None = None
    """Between blocks while a transaction waits or activity was asked for."""
    idle_seconds: float = 10.0
    """Between blocks otherwise."""
    reward_script: bytes = b"\x51"


class NodeService:
    """The RPC methods of one node."""

    def __init__(self, node: RegtestNode, times: BlockTimes, clock: Callable[[], float]) -> None:
        self._node = node
        self._times = times
        self._clock = clock
        self._started = clock()
        self._tip_changed = trio.Event()
        self._wake = trio.Event()
        self._active_until = -math.inf
        self.stop_requested = trio.Event()
        """Set by the RPC `stop`."""
        node.on_tip_changed = self._announce_tip
        groups = (ChainMethods, TransactionMethods, SubmissionMethods, MiningMethods)
        self._methods: dict[str, Callable[..., Any]] = {}
        for group in groups:
            methods = group(node, clock)
            self._methods |= {
                name: getattr(methods, name) for name in vars(group) if not name.startswith("_")
            }
        self._methods |= {
            "generatetoaddress": self._generate_to_address,
            "waitfornewblock": self._wait_for_new_block,
            "waitforblockheight": self._wait_for_block_height,
            "getnetworkinfo": self._network_info,
            "uptime": self._uptime,
            "help": self._help,
            "p2pseq_activity": self._activity,
            "stop": self._stop,
        }
        self._signatures = {
            name: inspect.signature(method) for name, method in self._methods.items()
        }

    async def call(self, method: str, parameters: object) -> object:
        """Run one RPC. Raises RpcError."""
        handler = self._methods.get(method)
        if handler is None:
            raise RpcError(RpcCode.METHOD_NOT_FOUND, "Method not found")
        positional, named = self._bind(method, parameters)
        try:
            answer = handler(*positional, **named)
            if isinstance(answer, Awaitable):
                answer = await answer
        except OperatorError as error:
            _log.error("bitcoin_rpc_refused", method=method, what=error.what, why=error.why)
            raise RpcError(RpcCode.OUT_OF_MEMORY, str(error)) from error
        self._wake.set()
        return answer

    def _bind(
        self, method: str, parameters: object
    ) -> tuple[Sequence[object], Mapping[str, object]]:
        """Match JSON parameters with a method's own, trailing nulls being left out."""
        signature = self._signatures[method]
        if isinstance(parameters, dict):
            for name in parameters:
                if name not in signature.parameters:
                    raise RpcError(
                        RpcCode.INVALID_PARAMETER, f"Unknown named parameter {name[:80]}"
                    )
            positional: list[object] = []
            named = {name: value for name, value in parameters.items() if value is not None}
        elif parameters is None or isinstance(parameters, list):
            positional = list(parameters or ())
            while positional and positional[-1] is None:
                positional.pop()
            named = {}
        else:
            raise RpcError(RpcCode.INVALID_REQUEST, "Params must be an array or object")
        try:
            signature.bind(*positional, **named)
        except TypeError:
            usage = " ".join([method, *(f'"{name}"' for name in signature.parameters)])
            raise RpcError(RpcCode.MISC_ERROR, usage) from None
        return positional, named

    def _announce_tip(self) -> None:
        self._tip_changed.set()
        self._tip_changed = trio.Event()

    # Methods that take time

    async def _generate_to_address(
        self, nblocks: object, address: object, maxtries: object = 1_000_000
    ) -> list[str]:
        """Mine blocks for an address, the mempool's transactions first."""
        count = arguments.integer(nblocks, 0, MAX_GENERATED, "nblocks")
        arguments.integer(maxtries, 0, 2**63 - 1, "maxtries")
        script = arguments.script_of_address(address)
        mined: list[Hash32] = []
        while len(mined) < count:
            mined += self._node.generate(min(MINE_BATCH, count - len(mined)), script)
            await trio.lowlevel.checkpoint()
        return [display_id(block_hash) for block_hash in mined]

    async def _wait_for_new_block(
        self, timeout: object = 0, current_tip: object = None
    ) -> JsonObject:
        """Wait until the tip is another one than `current_tip`; milliseconds, 0 is for ever."""
        known = self._node.chain.tip().hash
        if current_tip is not None:
            known = arguments.digest(current_tip, "current_tip")
        return await self._wait_until(timeout, lambda: self._node.chain.tip().hash != known)

    async def _wait_for_block_height(self, height: object, timeout: object = 0) -> JsonObject:
        """Wait until the tip has this height; milliseconds, 0 is for ever."""
        wanted = arguments.integer(height, 0, 2**31 - 1, "height")
        return await self._wait_until(timeout, lambda: self._node.chain.tip().height >= wanted)

    async def _wait_until(self, timeout: object, is_done: Callable[[], bool]) -> JsonObject:
        milliseconds = arguments.integer(timeout, 0, MAX_WAIT_MS, "timeout")
        seconds = milliseconds / 1000 if milliseconds else math.inf
        with trio.move_on_after(seconds):
            while not is_done():
                await self._tip_changed.wait()
        tip = self._node.chain.tip()
        return {"hash": display_id(tip.hash), "height": tip.height}

    # Methods about the process

    def _network_info(self) -> JsonObject:
        """Versions and fees; there is no peer-to-peer network."""
        fee = bitcoin_amount(self._node.mempool.policy.minimum_feerate)
        return {
            "version": _NODE_VERSION,
            "subversion": f"/p2pseq-embedded:{__version__}/",
            "protocolversion": _PROTOCOL_VERSION,
            "localservices": "0" * 16,
            "localservicesnames": [],
            "localrelay": False,
            "timeoffset": 0,
            "networkactive": False,
            "connections": 0,
            "connections_in": 0,
            "connections_out": 0,
            "networks": [],
            "relayfee": fee,
            "incrementalfee": fee,
            "localaddresses": [],
            "warnings": [],
        }

    def _uptime(self) -> int:
        """Seconds since the start."""
        return int(self._clock() - self._started)

    def _help(self, command: object = "") -> str:
        """Names of all methods, or the parameters of one."""
        name = arguments.text(command)
        if not name:
            return "\n".join(sorted(self._methods))
        if name not in self._methods:
            return f"help: unknown command: {name[:80]}"
        described = inspect.getdoc(self._methods[name]) or ""
        return f"{' '.join([name, *self._signatures[name].parameters])}\n\n{described}\n"

    def _activity(self, seconds: object) -> None:
        """Not bitcoind's: mine at the active interval for so long, also without transactions."""
        duration = arguments.integer(seconds, 0, MAX_ACTIVITY_SECONDS, "seconds")
        self._active_until = trio.current_time() + duration

    def _stop(self) -> str:
        """Stop the process after this answer."""
        self.stop_requested.set()
        return "Embedded Bitcoin node stopping"

    # Mining by the clock

    async def mine_by_the_clock(self) -> None:
        """Mine blocks at the configured intervals until cancelled."""
        if self._times.active_seconds is None:
            return
        last = trio.current_time()
        while True:
            due = last + self._interval(self._times.active_seconds)
            self._wake = trio.Event()
            with trio.move_on_at(due):
                await self._wake.wait()
            if trio.current_time() < last + self._interval(self._times.active_seconds):
                continue
            try:
                self._node.generate(1, self._times.reward_script)
            except OperatorError as error:
                # The disk may have room again later; meanwhile the node goes on answering.
                _log.error("bitcoin_block_not_mined", what=error.what, why=error.why, do=error.do)
            last = trio.current_time()

    def _interval(self, active_seconds: float) -> float:
        is_active = bool(self._node.mempool.entries) or trio.current_time() < self._active_until
        return active_seconds if is_active else max(self._times.idle_seconds, active_seconds)
