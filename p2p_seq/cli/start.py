"""`p2pseq start`: run the node of a home until it is told to stop.

Never makes or rewrites a key.
"""

import signal
from pathlib import Path

import trio

from p2p_seq.cli.common import Options, load

DEFAULTS = Options()


async def start(*, options: Options = DEFAULTS) -> None:
    """Run the node until SIGTERM or Ctrl-C; a second one stops it at once."""
    from p2p_seq.cli.password import ask_password, find_password
    from p2p_seq.node.node import load_genesis, run_node
    from p2p_seq.observability.logs import configure_logs
    from p2p_seq.signer.keystore import open_keystore

    loaded = load(options)
    configure_logs(loaded.config.log.level, loaded.config.log.format)
    genesis = load_genesis(loaded).genesis
    keystore_file: Path = loaded.in_home(loaded.config.node.keystore_file)
    password = find_password(loaded.config.node.password_file)
    if password is None and genesis.params.bitcoin_chain != "regtest":
        password = ask_password(is_new=False)
    keystore = open_keystore(keystore_file, genesis.network, password)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, stop, nursery.cancel_scope)
        await run_node(loaded, keystore, stop)
        nursery.cancel_scope.cancel()


async def _stop_on_signal(stop: trio.Event, scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            if stop.is_set():
                scope.cancel()
                return
            stop.set()
