"""`p2pseq start`: run the node of a home until it is told to stop.

Never makes or rewrites a key.
"""

import importlib
import signal
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter

from p2p_seq.cli.common import Options, load

DEFAULTS = Options()

GENESIS_POLL_SECONDS = 0.02


async def start(
    *,
    wait_genesis: Annotated[
        int, Parameter(help="Seconds to wait for the genesis file, while founders still make it.")
    ] = 0,
    options: Options = DEFAULTS,
) -> None:
    """Run the node until SIGTERM or Ctrl-C; a second one stops it at once."""
    from p2p_seq.cli.password import ask_password, find_password
    from p2p_seq.node.node import load_genesis, run_node
    from p2p_seq.observability.logs import configure_logs
    from p2p_seq.signer.keystore import open_keystore

    loaded = load(options)
    configure_logs(loaded.config.log.level, loaded.config.log.format)
    if wait_genesis:
        await _wait_for(loaded.in_home(loaded.config.node.genesis_file), wait_genesis)
    genesis = load_genesis(loaded).genesis
    keystore_file: Path = loaded.in_home(loaded.config.node.keystore_file)
    password = find_password(loaded.config.node.password_file)
    if password is None and genesis.params.bitcoin_chain != "regtest":
        password = ask_password(is_new=False)
    params = genesis.params
    keystore = open_keystore(keystore_file, params.network, password, params.bitcoin_chain)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, stop, nursery.cancel_scope)
        await run_node(loaded, keystore, stop)
        nursery.cancel_scope.cancel()


async def _wait_for(genesis_file: Path, seconds: int) -> None:
    """Return when the file is there or the time is over; meanwhile load what takes longest."""
    for module in ("p2p_seq.network.libp2p_network", "p2p_seq.api.http", "p2p_seq.node.view"):
        importlib.import_module(module)
    with trio.move_on_after(seconds):
        # Founders put the file there whole, by a rename; the file system has no portable event.
        while not genesis_file.exists():  # noqa: ASYNC110, ASYNC240
            await trio.sleep(GENESIS_POLL_SECONDS)


async def _stop_on_signal(stop: trio.Event, scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            if stop.is_set():
                scope.cancel()
                return
            stop.set()
