"""The table "program": the entries of a program, each sent as often as a row takes it.

Addresses are those of words, taken modulo p. A row shows that its pc is an entry's by receiving
that entry, and gets there by the next pc of the row before, which is one of these:

- pc + 1, or a computed target, which JALR's chip shows to be an integer below 2^30: then it equals
  an entry's pc as a number;
- a static target x of a branch or a JAL, as x / 4 in the field. Where x is a multiple of 4 that is
  an integer below 2^30 again. Another x is an address without an instruction, and x / 4 must be no
  entry's pc. It would be if x = 4 pc + k p with k not 0; since p is odd and the decoder writes even
  targets, k = 2 and x = 4 pc + 2^32 - 2^25 + 2. No executable has that: a target is at most 2^20
  bytes away from its jump, and code at most 2^21 bytes long. But a program can come from elsewhere,
  so `entries_of` looks at each target, and at what else the decoder sees to.

Entries behind the program are those of no operation, which no chip accepts.
"""

from typing import Final

from cython_core.air.language import TableBuilder
from cython_core.air.table import MODULUS
from cython_core.vm.decoder import ENTRY_BYTES, Entry
from cython_core.vm.operations import ARITHMETIC, BRANCHES, DUP, OP_MASK, WIDE, Op
from cython_core.vm.program import Program
from cython_core.zkvm.buses import PROGRAM, PROGRAM_FIELDS

CODE_END_MAX: Final = 1 << 31
"""Code lies below: then 4 (pc + 1), which JAL writes, is a word."""
FLAGS_MAX: Final = 0xFF
JUMPS: Final = BRANCHES | {Op.JAL}
"""Operations whose immediate is a target."""
QUARTER: Final = pow(4, -1, MODULUS)


def power_of_two(count: int) -> int:
    """The least one that is not below `count`, and not below 1."""
    return 1 << max(count - 1, 0).bit_length()


def entries_of(program: Program) -> tuple[Entry, ...]:
    """The program's entries without the empty ones at the end, so that they follow from its root
    (which pads with them); at least one. ValueError for a program that has no table.
    """
    base, entries = program.rom_base, program.entries
    count = len(entries)
    empty = bytes(ENTRY_BYTES)
    while count > 1 and program.rom[(count - 1) * ENTRY_BYTES : count * ENTRY_BYTES] == empty:
        count -= 1
    if base + 4 * count > CODE_END_MAX:
        raise ValueError(
            f"its code ends at {base + 4 * count:#x}; runs are proven of code below 0x80000000"
        )
    first = base // 4
    for place, entry in enumerate(entries[:count]):
        if not is_decoded(entry):
            raise ValueError(f"the entry at {base + 4 * place:#x} is none that the decoder makes")
        is_stray = entry.op & OP_MASK in JUMPS and entry.imm % 4
        if is_stray and 0 <= entry.imm * QUARTER % MODULUS - first < count:
            raise ValueError(
                f"the target {entry.imm:#x} at {base + 4 * place:#x} is no address of an "
                "instruction, but would be taken for one"
            )
    return entries[:count]


def is_decoded(entry: Entry) -> bool:
    """What the chips take for granted of an entry: a row touches a register once as a source, wide
    operations have two registers that are not x0 and no destination, flags of B3 are a byte (HASH
    packs them beside a limb), and of the second register's value and the immediate of arithmetic
    one is zero.
    """
    is_dup = entry.op & DUP != 0
    if entry.op & OP_MASK in WIDE and (is_dup or entry.rd or not entry.rs1 or not entry.rs2):
        return False
    if entry.op & OP_MASK == Op.B3 and entry.imm > FLAGS_MAX:
        return False
    if (is_dup and entry.rs2) or (entry.rs1 == entry.rs2 != 0):
        return False
    has_second = is_dup or entry.rs2 != 0
    return not (entry.op & OP_MASK in ARITHMETIC and has_second and entry.imm)


def fields_of(word_address: int, entry: Entry) -> tuple[int, ...]:
    """PROGRAM_FIELDS of an entry."""
    op, rd, rs1, rs2, imm = entry
    return (
        word_address,
        op & OP_MASK,
        op >> 7,
        rd,
        rs1,
        rs2,
        imm & 0xFFFF,
        imm >> 16,
        int(rs1 != 0),
        int(rs2 != 0),
        int(rd != 0),
        int(rd == rs1 != 0),
        int(rd == rs2 != 0),
    )


def program_table(program: Program) -> TableBuilder:
    """ValueError for a program of which no run can be proven."""
    table = TableBuilder("program")
    entries = entries_of(program)
    first, height = program.rom_base // 4, power_of_two(len(entries))
    rows = [fields_of(first + place, entry) for place, entry in enumerate(entries)]
    rows += [(int(Op.ILL),) * len(PROGRAM_FIELDS)] * (height - len(rows))
    columns = zip(*rows, strict=True)
    fields = [
        table.preprocessed(name, column)
        for name, column in zip(PROGRAM_FIELDS, columns, strict=True)
    ]
    table.send(PROGRAM, fields, table.main("times"))
    return table
