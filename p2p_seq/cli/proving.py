"""What commands that prove have in common: the payee, the bar, the file."""

import os
import sys
from pathlib import Path
from typing import Final

from p2p_seq.cli.common import Exit
from p2p_seq.protocol.errors import OperatorError

BAR_WIDTH: Final = 24


def context_of(payee: str | None) -> bytes:
    """Raises OperatorError for what is no payee."""
    from cython_core.stark.proof import CONTEXT_BYTES_MAX

    try:
        context = bytes.fromhex(payee or "")
    except ValueError:
        context = None
    if context is None or len(context) > CONTEXT_BYTES_MAX:
        raise OperatorError(
            f"--payee {payee} is none",
            f"it is not at most {CONTEXT_BYTES_MAX} bytes in hexadecimal",
            "write two digits for each byte, such as a public key",
            Exit.USAGE,
        )
    return context


def store_file(file: Path, encoded: bytes) -> None:
    """Writes beside the file first: who finds it finds all of it."""
    unfinished = file.with_name(file.name + ".unfinished")
    try:
        with unfinished.open("wb") as stream:
            stream.write(encoded)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
    except OSError as error:
        why = error.strerror or str(error)
        raise OperatorError(
            f"{file} cannot be written", why, "name another file", Exit.USAGE
        ) from None
    finally:
        unfinished.unlink(missing_ok=True)


def show_progress(stage: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        bar = "#" * (BAR_WIDTH * done // max(total, 1))
        print(f"\r[{bar:<{BAR_WIDTH}}] {stage:<8}\r", end="", file=sys.stderr, flush=True)


def clear_progress() -> None:
    if sys.stderr.isatty():
        print(f"\r{'':<{BAR_WIDTH + 12}}\r", end="", file=sys.stderr, flush=True)
