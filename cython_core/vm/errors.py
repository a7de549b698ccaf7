"""What can be wrong with a program or its run: each error says what, why and what to do."""

from enum import StrEnum


class VmError(Exception):
    """A program, its input or its run is wrong; the three lines are for a person."""

    def __init__(self, what: str, why: str, do: str) -> None:
        super().__init__(f"{what}: {why} ({do})")
        self.what = what
        self.why = why
        self.do = do


class ElfReason(StrEnum):
    """Why a file is no program of this machine."""

    SIZE = "size"
    """Longer than a program may be, or shorter than its headers say."""
    NOT_ELF = "not-elf"
    CLASS = "class"
    """Not 32 bits, little endian, version 1."""
    MACHINE = "machine"
    """Not a RISC-V executable."""
    FLAGS = "flags"
    """Compressed code, a floating-point ABI or an unknown flag."""
    HEADER = "header"
    """A field of the file header is impossible."""
    SEGMENT = "segment"
    """A segment is misaligned, out of the file, of an unknown kind or both written and executed."""
    OVERLAP = "overlap"
    """Two segments claim the same address."""
    CODE = "code"
    """Not exactly one executable segment, or one that is too large."""
    IMAGE = "image"
    """The data spans more addresses than the image tree has."""
    ENTRY = "entry"
    """The entry point is not an instruction of the executable segment."""


class InvalidElf(VmError):
    """The file is refused. `reason` is for tests and counters."""

    def __init__(self, reason: ElfReason, why: str, do: str) -> None:
        super().__init__("this is no program for the machine", why, do)
        self.reason = reason


class TrapKind(StrEnum):
    """Why a run ends without HALT. The order is that of `enum vm_trap` in vm.h, from 1 on."""

    ILLEGAL = "illegal-instruction"
    MISALIGNED = "misaligned-access"
    FETCH = "jump-out-of-program"
    HOST = "bad-host-operation"
    INPUT = "input-exhausted"
    MEMORY = "memory-limit"
    CYCLES = "cycle-limit"


ADVICE: dict[TrapKind, str] = {
    TrapKind.ILLEGAL: "build for rv32im without system calls; use the host operations instead",
    TrapKind.MISALIGNED: "align the access; build with -mstrict-align",
    TrapKind.FETCH: "look for a wrong function pointer, a smashed stack or a missing HALT",
    TrapKind.HOST: "look at the alignment and distance of the operands",
    TrapKind.INPUT: "give a longer --input, or let the program read less",
    TrapKind.MEMORY: "raise the memory limit, or let the program touch less memory",
    TrapKind.CYCLES: "raise the cycle limit, or look for an endless loop",
}

EXPLANATION: dict[TrapKind, str] = {
    TrapKind.ILLEGAL: "the word there is no instruction of the machine",
    TrapKind.MISALIGNED: "address 0x{address:08x} is not a multiple of the access's size",
    TrapKind.FETCH: "there is no instruction; the step before was at 0x{address:08x}",
    TrapKind.HOST: "the operand at 0x{address:08x} is misaligned or meets the other one",
    TrapKind.INPUT: "there is no further input word or signature answer",
    TrapKind.MEMORY: "the page of address 0x{address:08x} would exceed the memory limit",
    TrapKind.CYCLES: "the limit of cycles is reached",
}


class GuestTrap(VmError):
    """The guest did what has no step: there is no valid trace of this run.

    `pc` is the address of the step that cannot be made, `cycles` how many were made before it, and
    `address` what EXPLANATION says.
    """

    def __init__(self, kind: TrapKind, pc: int, cycles: int, address: int = 0) -> None:
        what = f"the guest stopped at pc 0x{pc:08x} after {cycles:,} cycles: {kind}"
        super().__init__(what, EXPLANATION[kind].format(address=address), ADVICE[kind])
        self.kind = kind
        self.pc = pc
        self.cycles = cycles
        self.address = address
