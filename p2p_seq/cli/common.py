"""What all commands share: the options, the configuration they lead to, answers and errors."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import IO, Annotated, Any, Final

from cyclopts import Group, Parameter

from p2p_seq.protocol.errors import OperatorError


class Exit(IntEnum):
    """Exit codes of `p2pseq`."""

    OK = 0
    FAILED = 1
    """A check that was asked for failed, or the program has a bug."""
    USAGE = 2
    """Wrong arguments or configuration."""
    DISAGREEMENT = 3
    """Something that must not differ does, or a signature would be slashable."""
    UNREACHABLE = 4
    """The node or Bitcoin does not answer."""
    LOCKED = 5
    """Another process uses the data directory."""
    INTERRUPTED = 130


SHARED: Final = Group("Shared options", sort_key=90)
CONFIG_NAME: Final = "config.toml"


@Parameter(name="*", group=SHARED)
@dataclass(frozen=True, kw_only=True)
class Options:
    """Options that every command that needs a configuration has."""

    home: Annotated[Path | None, Parameter(help="The node's folder [key: node.home].")] = None
    network: Annotated[
        str | None, Parameter(help="Preset or network file [key: node.network].")
    ] = None
    config: Annotated[
        Path | None, Parameter(help="Configuration file; by default config.toml in the home.")
    ] = None
    set: Annotated[
        tuple[str, ...],
        Parameter(help="SECTION.KEY=VALUE, any setting; may be repeated.", negative=""),
    ] = ()
    json: Annotated[bool, Parameter(help="Answer in JSON.", negative="")] = False

    def flags(self) -> dict[str, str]:
        """The settings that the command line gives, by key path. Raises OperatorError."""
        chosen: dict[str, str] = {}
        for assignment in self.set:
            path, equals, text = assignment.partition("=")
            if not equals:
                raise OperatorError(
                    f"--set {assignment!r} sets nothing",
                    "it has no '='",
                    "write --set section.key=value",
                    code=Exit.USAGE,
                )
            chosen[path.strip()] = text.strip()
        if self.home is not None:
            chosen["node.home"] = str(self.home)
        if self.network is not None:
            chosen["node.network"] = self.network
        return chosen


def load(options: Options, environment: Mapping[str, str] | None = None) -> Any:
    """The `LoadedConfig` that the options lead to. Raises OperatorError.

    The file is the one that is named, else `config.toml` in the home that flags and environment
    lead to; it need not exist unless it is named.
    """
    from p2p_seq.node.config import load_config

    surroundings = os.environ if environment is None else environment
    flags = options.flags()
    file = options.config
    if file is None:
        implied = load_config(None, surroundings, flags).home / CONFIG_NAME
        file = implied if implied.is_file() else None
    loaded = load_config(file, surroundings, flags)
    if file is not None and not loaded.config.node.home:
        # A file that lies in a home means that home, whatever the default is.
        loaded = load_config(file, surroundings, {**flags, "node.home": str(file.parent)})
    return loaded


def answer_json(answer: Any, stream: IO[str] | None = None) -> None:
    """Write one JSON document to standard output."""
    json.dump(answer, stream or sys.stdout, indent=2, ensure_ascii=False)
    (stream or sys.stdout).write("\n")


def chatter(text: str) -> None:
    """A line for the person, not part of the answer."""
    print(text, file=sys.stderr)


def report_operator_error(error: OperatorError, *, is_json: bool) -> None:
    """Three lines: what, why, do; or the same as JSON on standard output."""
    if is_json:
        answer_json(
            {
                "error": {
                    "what": error.what,
                    "why": error.why,
                    "do": error.do,
                    "code": int(error.code),
                }
            }
        )
        return
    chatter(f"error: {error.what}")
    chatter(f"  why: {error.why}")
    chatter(f"   do: {error.do}")
