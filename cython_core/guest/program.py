"""The ledger's program for the machine, as it is committed.

`ledger.elf` is built from `machine/program.c` by the command in docs/ledger.md; a test builds it
again where there is the compiler and compares the bytes.
"""

from functools import cache
from importlib.resources import files
from typing import Final

from cython_core.vm.program import Program, load_elf

ELF_NAME: Final = "ledger.elf"


@cache
def ledger_program() -> Program:
    """What proofs of batches are about."""
    return load_elf(files("cython_core.guest").joinpath(ELF_NAME).read_bytes())
