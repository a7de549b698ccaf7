"""`p2pseq testnet`: a whole network on this machine, for trying things and for tests."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from p2p_seq.cli.common import Exit, answer_json, chatter
from p2p_seq.protocol.errors import OperatorError

app = App(name="testnet", help="A network of sequencers over Bitcoin regtest on this machine.")

Folder = Annotated[Path, Parameter(name="--dir", help="Folder of the testnet.")]
Json = Annotated[bool, Parameter(name="--json", help="Answer in JSON.", negative="")]

DEFAULT_FOLDER = Path("testnet-data")


@app.command
async def up(  # noqa: PLR0913 - each is one flag
    *acts: Annotated[str, Parameter(help="Acts of --demo; none: all.")],
    nodes: Annotated[int, Parameter(name=["--nodes", "-n"], help="Sequencers.")] = 4,
    folder: Folder = DEFAULT_FOLDER,
    port_base: Annotated[int, Parameter(help="First of 77 ports.")] = 9_500,
    block_interval: Annotated[float, Parameter(help="Seconds between Bitcoin blocks.")] = 2.0,
    preset: Annotated[
        Literal["regtest", "ordering"], Parameter(help="Parameters of the network.")
    ] = "regtest",
    bitcoin: Annotated[
        str | None,
        Parameter(help="http://USER:PASSWORD@HOST:PORT of a bitcoind -regtest; default: built in."),
    ] = None,
    detach: Annotated[
        bool, Parameter(help="Return when the first block is final; it runs on.", negative="")
    ] = False,
    demo: Annotated[
        bool, Parameter(help="Play the demo's acts once the network is up.", negative="")
    ] = False,
    exit_after: Annotated[
        bool, Parameter(name="--exit", help="Stop after the demo.", negative="")
    ] = False,
    json_file: Annotated[
        Path | None, Parameter(name="--json", help="Write what the demo did to this file.")
    ] = None,
    crash_at: Annotated[
        tuple[str, ...],
        Parameter(help="NAME=POINT:N: that process dies at a persist point.", negative=""),
    ] = (),
) -> int:
    """Start Bitcoin and sequencers here, anew; Ctrl-C stops all.

    What an earlier testnet left in the folder is removed. Example: p2pseq testnet up --demo peg
    --exit --json demo.json
    """
    from testnet.command import UpOptions, run_detached, run_up
    from testnet.launch import Plan

    place = folder.expanduser().resolve()
    plan = Plan(place, nodes, port_base, block_interval, preset, bitcoin)
    if acts and not demo:
        raise OperatorError(
            f"{acts[0]!r} is not understood", "acts belong to --demo", "add --demo", Exit.USAGE
        )
    options = UpOptions(demo, acts, exit_after, json_file, crash_at)
    if detach:
        return await run_detached(plan, sys.argv)
    return await run_up(plan, options)


@app.command
async def down(*, folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop a testnet; again is no error. Its files stay until the next `up`."""
    from testnet.command import stop_testnet

    await stop_testnet(folder.expanduser().resolve())


@app.command
async def status(*, folder: Folder = DEFAULT_FOLDER, is_json: Json = False) -> None:
    """Show what runs and how far every node is."""
    from testnet.command import describe_status, render_status

    answer = await describe_status(folder.expanduser().resolve())
    if is_json:
        answer_json(answer)
    else:
        render_status(answer)


@app.command
async def faucet(
    address: str, amount: str, *, folder: Folder = DEFAULT_FOLDER, is_json: Json = False
) -> None:
    """Pay regtest bitcoin to an address, in a block at once.

    Example: p2pseq testnet faucet bcrt1p... 0.5btc
    """
    from testnet.command import pay_from_faucet

    txid = await pay_from_faucet(folder.expanduser().resolve(), address, amount)
    if is_json:
        answer_json({"txid": txid})
    else:
        print(txid)


@app.command
async def mine(blocks: int = 1, *, folder: Folder = DEFAULT_FOLDER, is_json: Json = False) -> None:
    """Mine Bitcoin blocks now."""
    from testnet.command import mine_blocks

    height = await mine_blocks(folder.expanduser().resolve(), blocks)
    if is_json:
        answer_json({"height": height})
    else:
        print(f"Bitcoin is at height {height}")


@app.command
async def logs(
    *names: str,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], help="Wait for more.", negative="")
    ] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Print the logs of all processes, or of those that are named, merged by time."""
    from testnet.logs import print_logs

    await print_logs(folder.expanduser().resolve(), names, follow)


@app.command
async def kill(name: str, *, folder: Folder = DEFAULT_FOLDER) -> None:
    """Kill a process of the testnet with SIGKILL, as a power cut would."""
    from testnet.command import kill_process

    await kill_process(folder.expanduser().resolve(), name, signal.SIGKILL)
    chatter(f"killed {name}; bring it back with `p2pseq testnet restart {name}`")


@app.command
async def restart(name: str, *, folder: Folder = DEFAULT_FOLDER) -> None:
    """Start a process again; one that runs is stopped first."""
    from testnet.command import restart_process

    pid = await restart_process(folder.expanduser().resolve(), name)
    chatter(f"{name} is process {pid}")
