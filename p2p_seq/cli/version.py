"""`p2pseq version`: what runs here."""

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Annotated, Final

from cyclopts import Parameter

from p2p_seq import __version__
from p2p_seq.cli.common import answer_json

PARTS: Final = ("libp2p", "trio", "coincurve", "lmdb", "py-bitcoinkernel")
"""Packages whose version matters in a report of trouble."""


def version(
    *, json: Annotated[bool, Parameter(help="Answer in JSON.", negative="")] = False
) -> None:
    """Show the versions of the program, of Python and of the packages that matter."""
    versions = {"p2pseq": __version__, "python": platform.python_version()}
    for part in PARTS:
        try:
            versions[part] = installed_version(part)
        except PackageNotFoundError:
            versions[part] = "not installed"
    if json:
        answer_json(versions)
        return
    width = max(map(len, versions))
    for name, number in versions.items():
        print(f"{name:<{width}}  {number}")
