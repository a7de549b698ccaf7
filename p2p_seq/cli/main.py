"""The `p2pseq` program: finds the command, runs it, turns errors into lines and exit codes."""

import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, NoReturn

from cyclopts import App, CycloptsError

from p2p_seq import __version__
from p2p_seq.cli.common import Exit, chatter, report_operator_error
from p2p_seq.protocol.errors import OperatorError


class Command(NamedTuple):
    """One line of `p2pseq --help`."""

    target: str
    """`module:function`, or `module:app` for a group; imported when needed."""
    help: str
    """First what it does, in one sentence; then an example, which `--help` of the command shows."""


COMMANDS: Final[dict[str, Command]] = {
    "init": Command(
        "p2p_seq.cli.init:init",
        "Make a home: configuration and keystore; what exists is never overwritten.\n\n"
        "Example: p2pseq init --role sequencer --home /var/lib/p2pseq --network signet",
    ),
    "config": Command("p2p_seq.cli.config:app", "Show and check the configuration."),
    "start": Command(
        "p2p_seq.cli.start:start",
        "Run the node of a home until it is told to stop.\n\n"
        "Example: p2pseq start --home /var/lib/p2pseq",
    ),
    "status": Command(
        "p2p_seq.cli.status:status",
        "Show the state of the running node.\n\nExample: p2pseq status --home /var/lib/p2pseq",
    ),
    "stake": Command(
        "p2p_seq.cli.stake:app", "The operator's bonds: what they are and how to get them back."
    ),
    "wallet": Command("p2p_seq.cli.wallet:app", "Coins on Bitcoin, an account on the ledger."),
    "proof": Command("p2p_seq.cli.proof:app", "Proof files: what they say, whether it is proven."),
    "vm": Command("p2p_seq.cli.vm:app", "The zkVM: run programs, see their rows, prove runs."),
    "epoch": Command("p2p_seq.cli.epoch:app", "Sealed epochs of a home: prove and verify them."),
    "testnet": Command("p2p_seq.cli.testnet:app", "A whole network on this machine."),
    "version": Command("p2p_seq.cli.version:version", "Show what runs here."),
}


def build_app() -> App:
    """The command tree. Nothing of a command is imported here."""
    app = App(
        name="p2pseq",
        help="A peer-to-peer, decentralized sequencer network for Bitcoin rollups.",
        version=__version__,
        backend="trio",
    )
    for name, command in COMMANDS.items():
        app.command(command.target, name=name, help=command.help)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    is_json = "--json" in arguments
    try:
        outcome: Any = build_app()(
            list(arguments), exit_on_error=False, print_error=True, result_action="return_value"
        )
    except CycloptsError:
        return Exit.USAGE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except OperatorError as error:
        report_operator_error(error, is_json=is_json)
        return int(error.code)
    except BaseExceptionGroup as group:
        return _from_group(group, is_json=is_json)
    except BrokenPipeError:
        # The reader of our output left; what it read was right.
        sys.stderr.close()
        return Exit.OK
    return outcome if isinstance(outcome, int) else Exit.OK


def _from_group(group: BaseExceptionGroup[BaseException], *, is_json: bool) -> int:
    """Tasks fail in groups: one that holds nothing but a person's errors is reported like one."""
    leaves = list(_leaves(group))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return Exit.INTERRUPTED
    operator_errors = [leaf for leaf in leaves if isinstance(leaf, OperatorError)]
    if len(operator_errors) != len(leaves):
        raise group
    report_operator_error(operator_errors[0], is_json=is_json)
    for further in operator_errors[1:]:
        chatter(f"also: {further}")
    return int(operator_errors[0].code)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def main() -> NoReturn:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
