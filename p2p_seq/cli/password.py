"""Where the keystore's password comes from: a file, the service manager, or the person.

Never an argument and never an environment variable: other users of the machine see the first, child
processes and crash reports the second.
"""

import getpass
import os
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from p2p_seq.cli.common import Exit
from p2p_seq.protocol.errors import OperatorError

CREDENTIAL: Final = "p2pseq-password"
"""Name of the systemd credential (`LoadCredential=p2pseq-password:/path`)."""

PASSWORD_BYTES_MAX: Final = 1_024
PASSWORD_CHARACTERS_MIN: Final = 8


def normalised(text: str) -> str:
    """One spelling of a password (NFKD, no control characters), as EIP-2335 has it."""
    spelt = unicodedata.normalize("NFKD", text)
    return "".join(character for character in spelt if unicodedata.category(character) != "Cc")


def find_password(password_file: str, environment: Mapping[str, str] | None = None) -> str | None:
    """The password from the file or the service manager; None when neither is set up."""
    surroundings = os.environ if environment is None else environment
    if password_file:
        return _from_file(Path(password_file).expanduser())
    folder = surroundings.get("CREDENTIALS_DIRECTORY")
    if folder and (Path(folder) / CREDENTIAL).exists():
        return _from_file(Path(folder) / CREDENTIAL)
    return None


def ask_password(*, is_new: bool) -> str:
    """Ask on the terminal; a new one twice. Raises OperatorError without a terminal."""
    if not sys.stdin.isatty():
        raise OperatorError(
            "the keystore needs a password",
            "there is no terminal to ask on",
            "give --set node.password_file=FILE",
            code=Exit.USAGE,
        )
    password = _checked(getpass.getpass("Password of the keystore: "), "the password")
    if is_new and normalised(getpass.getpass("Once more: ")) != password:
        raise OperatorError(
            "the two passwords differ", "one was mistyped", "try again", code=Exit.USAGE
        )
    return password


def _from_file(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(PASSWORD_BYTES_MAX + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise OperatorError(
            f"cannot read the password file {file}", reason, "check the path", code=Exit.USAGE
        ) from error
    if len(content) > PASSWORD_BYTES_MAX:
        raise OperatorError(
            f"{file} is not a password file",
            f"it is longer than {PASSWORD_BYTES_MAX} bytes",
            "put the password alone into it",
            code=Exit.USAGE,
        )
    return _checked(text.rstrip("\r\n"), f"the password in {file}")


def _checked(text: str, what: str) -> str:
    password = normalised(text)
    if len(password) < PASSWORD_CHARACTERS_MIN:
        raise OperatorError(
            f"{what} is too short",
            f"it has fewer than {PASSWORD_CHARACTERS_MIN} characters",
            "choose a longer one",
            code=Exit.USAGE,
        )
    return password
