"""Runs the embedded regtest node as a process.

`python -m p2p_seq.bitcoin.embedded --datadir DIR --port N [--block-interval SECONDS]`. Prints one
JSON line when it answers; ends cleanly on SIGTERM, SIGINT and the RPC `stop`. An error that a
person can mend is printed as three lines and an exit code.
"""

import argparse
import errno
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import trio

from p2p_seq.bitcoin.embedded.arguments import RpcError, script_of_descriptor
from p2p_seq.bitcoin.embedded.chain import StorageLimits
from p2p_seq.bitcoin.embedded.node import NodeOptions, RegtestNode
from p2p_seq.bitcoin.embedded.policy import Policy
from p2p_seq.bitcoin.embedded.server import RpcServer
from p2p_seq.bitcoin.embedded.service import BlockTimes, NodeService
from p2p_seq.protocol.errors import OperatorError

COOKIE_USER: Final = "__cookie__"
COOKIE_NAME: Final = ".cookie"


@dataclass(frozen=True)
class Settings:
    """The command line."""

    directory: Path
    host: str
    port: int
    times: BlockTimes
    node: NodeOptions


def parse_command_line(arguments: Sequence[str]) -> Settings:
    """Raises OperatorError for values that argparse cannot judge."""
    storage, policy, times = StorageLimits(), Policy(), BlockTimes()
    parser = argparse.ArgumentParser(
        prog="python -m p2p_seq.bitcoin.embedded",
        description="A Bitcoin regtest node in one process, for testnets and tests.",
    )
    add = parser.add_argument
    add("--datadir", type=Path, required=True, help="directory of the chain, made if missing")
    add("--host", default="127.0.0.1", help="address of the JSON-RPC (default %(default)s)")
    add("--port", type=int, default=18443, help="its port, 0 for any (default %(default)s)")
    add("--block-interval", type=float, help="mine this often, seconds; default: never")
    add(
        "--idle-interval",
        type=float,
        default=times.idle_seconds,
        help="mine this often while nothing waits, seconds (default %(default)s)",
    )
    add("--reward", default="raw(51)", help="address of mined coins (default: anyone's)")
    add("--accept-nonstandard", action="store_true", help="relay what Bitcoin would not")
    add("--minimum-feerate", type=int, default=policy.minimum_feerate, help="sat/kvB")
    add("--index-bytes", type=int, default=storage.map_bytes, help="largest index file")
    add(
        "--minimum-free-bytes",
        type=int,
        default=storage.minimum_free_bytes,
        help="take no block when the disk has less left (default %(default)s)",
    )
    add("--checkpoint-blocks", type=int, default=storage.checkpoint_blocks)
    options = parser.parse_args(arguments)
    try:
        reward = script_of_descriptor(options.reward)
    except RpcError as error:
        raise OperatorError(
            f"cannot mine for {options.reward!r}", error.message, "give a regtest address", 2
        ) from error
    if options.block_interval is not None and options.block_interval <= 0:
        raise OperatorError(
            f"cannot mine every {options.block_interval} s",
            "the interval is not positive",
            "give --block-interval a number above 0",
            2,
        )
    return Settings(
        options.datadir,
        options.host,
        options.port,
        BlockTimes(options.block_interval, options.idle_interval, reward),
        NodeOptions(
            StorageLimits(
                options.index_bytes, options.minimum_free_bytes, options.checkpoint_blocks
            ),
            Policy(options.accept_nonstandard, options.minimum_feerate),
        ),
    )


async def run(settings: Settings) -> None:
    """Open everything, answer until told to stop, close everything. Raises OperatorError."""
    listeners = await _listen(settings.host, settings.port)
    node = RegtestNode(settings.directory, settings.node)
    cookie = settings.directory / COOKIE_NAME
    try:
        password = secrets.token_hex(32)
        _write_cookie(cookie, password)
        service = NodeService(node, settings.times, time.time)
        server = RpcServer(service, COOKIE_USER, password)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.serve, listeners)
                nursery.start_soon(service.mine_by_the_clock)
                nursery.start_soon(_stop_on_signal, signals, service)
                _print_ready(settings, listeners, node, cookie)
                await service.stop_requested.wait()
                # Let the answer to the RPC that asked for it reach the caller.
                await trio.sleep(0.05)
                nursery.cancel_scope.cancel()
    finally:
        cookie.unlink(missing_ok=True)
        node.close()


async def _stop_on_signal(signals: AsyncIterator[int], service: NodeService) -> None:
    async for _ in signals:
        service.stop_requested.set()


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except (OSError, OverflowError) as error:
        is_busy = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        raise OperatorError(
            f"cannot listen on {host}:{port}",
            "another process uses this port" if is_busy else str(error),
            "stop that process, or choose another --port",
        ) from error


def _write_cookie(path: Path, password: str) -> None:
    """Readable by this user only, and never seen half-written."""
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(f"{COOKIE_USER}:{password}")
    draft.replace(path)


def _print_ready(
    settings: Settings, listeners: Sequence[trio.SocketListener], node: RegtestNode, cookie: Path
) -> None:
    port = listeners[0].socket.getsockname()[1]
    line = {
        "event": "ready",
        "url": f"http://{settings.host}:{port}",
        "cookie": str(cookie.absolute()),
        "height": node.chain.tip().height,
        "replayed_blocks": node.chain.replayed_blocks,
        "pid": os.getpid(),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The process's exit code."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    try:
        trio.run(run, parse_command_line(sys.argv[1:] if arguments is None else arguments))
    except OperatorError as error:
        sys.stderr.write(f"error: {error.what}\n  why: {error.why}\n  do:  {error.do}\n")
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
