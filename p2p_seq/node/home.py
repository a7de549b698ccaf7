"""The home directory of a node: where things are, and that only one process uses it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2p_seq.protocol.errors import OperatorError


@contextmanager
def locked_home(home: Path) -> Iterator[None]:
    """Hold the home for this process. Raises OperatorError when another process has it."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OperatorError(
            f"cannot use the home {home}",
            error.strerror or str(error),
            "check that the directory exists and belongs to you",
            code=5,
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise OperatorError(
            f"the home {home} is in use",
            "another p2pseq process runs on it",
            "stop that process, or choose another --home",
            code=5,
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        yield
    finally:
        os.close(descriptor)
