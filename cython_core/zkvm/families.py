"""The chips of the machine's rows, by families of operations; wide ones are in `wide` and
`wide_numbers`.

What an operation computes is written in `vm/semantics.py`; here it is decided which operations
share a table. A row of a frequent operation should carry no column that only rare ones need.
"""

from collections.abc import Callable, Iterable
from typing import Final

from cython_core.vm.operations import Op
from cython_core.vm.semantics import (
    ACCESS_BYTES,
    ARITHMETIC_STEPS,
    BRANCH_STEPS,
    LOAD_STEPS,
    STORE_STEPS,
)
from cython_core.zkvm.algebra import AirAlgebra
from cython_core.zkvm.buses import ALIGNED, OUT, RANGE
from cython_core.zkvm.cells import ZERO, Cell
from cython_core.zkvm.fill import part
from cython_core.zkvm.row_chip import LIMB, At, RowChip, Second
from cython_core.zkvm.words import (
    LIMB_LIMIT,
    NOTHING,
    Bounds,
    Word,
    bit_word,
    plus,
    word_address,
    word_of,
)

Step = Callable[[AirAlgebra, Op], Word]

PLACE: Final = Bounds(0, 3)


def every_form(ops: Iterable[Op]) -> list[tuple[Op, bool]]:
    """Operations with a second register and without (an immediate, or x0)."""
    return [(op, has_second) for op in ops for has_second in (False, True)]


def results(chip: RowChip, step: Step) -> Word:
    """What the operations compute, in two columns that each of them sets."""
    made = []
    for op in chip.ops:
        algebra = AirAlgebra(chip, chip.scope(op))
        made.append((algebra, step(algebra, op)))
    only = made[0][1]
    if len(made) == 1 and only.is_canonical and only.degree <= 1:
        return only
    for algebra, word in made:
        algebra.write(word)
    low, high = chip.pooled("result")
    if not all(word.is_canonical for _, word in made):
        for limb in (low, high):
            chip.everywhere.fact(RANGE, [limb])
    return word_of(low, high)


def arithmetic(name: str, accepts: Iterable[tuple[Op, bool]], second: Second) -> RowChip:
    chip = RowChip(name, accepts, second=second)
    # Either the second register's value is zero or the immediate: nothing is carried.
    operand = plus(chip.v2, chip.imm)
    b = word_of(operand.low, operand.high, shared=True)
    chip.finish(results(chip, lambda algebra, op: ARITHMETIC_STEPS[op](algebra, chip.v1, b)))
    return chip


def branches() -> RowChip:
    chip = RowChip("branch", every_form(BRANCH_STEPS), second=Second.ANY, writes=False)
    taken = results(chip, lambda algebra, op: BRANCH_STEPS[op](algebra, chip.v1, chip.v2)).low
    following = chip.column("npc", taken.fill.choose(part(At.IMM, 2), (chip.pc + 1).fill))
    ahead = chip.pc + 1
    step = taken * (word_address(chip.imm) - ahead)
    chip.everywhere.equal(following, ahead + step, "the next pc")
    chip.finish(following=following)
    return chip


def jumps() -> RowChip:
    """JAL and JALR: the next instruction's address is written, 4 * (pc + 1) in limbs."""
    chip = RowChip("jump", every_form([Op.JAL, Op.JALR]), second=Second.IMMEDIATE)
    address = ((chip.pc + 1) * 4).fill
    link = word_of(
        chip.column("link.low", address & LIMB), chip.column("link.high", address >> 16 & LIMB)
    )
    chip.everywhere.fact(ALIGNED, [link.low, ZERO])
    chip.everywhere.fact(RANGE, [link.high])
    chip.everywhere.equal(word_address(link), chip.pc + 1, "the link")
    following = chip.column("npc", part(3, 2))
    static = chip.scope(Op.JAL)
    static.equal(following, word_address(chip.imm), "a static target")
    computed = chip.scope(Op.JALR)
    algebra = AirAlgebra(chip, computed)
    place = algebra.canonical(plus(chip.v1, chip.imm))
    # Bit 0 is dropped; what is left is the address of a word.
    odd = computed.bit(place.low.fill & 1)
    computed.fact(ALIGNED, [place.low, odd])
    computed.equal(
        following, word_address(word_of(place.low - odd, place.high)), "a computed target"
    )
    chip.finish(link, following=following)
    return chip


def memory_word(chip: RowChip, place: Cell) -> Cell:
    """The word address of rs1 + imm, whose two lowest bits are `place`."""
    everywhere = chip.everywhere
    place_word = plus(chip.v1, chip.imm)
    carry = everywhere.bit(place_word.low.fill >> 16)
    low = place_word.low - carry * LIMB_LIMIT
    above = place_word.high + carry
    over = everywhere.bit(above.fill >> 16)
    high = above - over * LIMB_LIMIT
    everywhere.fact(ALIGNED, [low, place])
    everywhere.fact(RANGE, [high])
    return word_address(word_of(low - place, high))


def loads(name: str, ops: Iterable[Op]) -> RowChip:
    chip = RowChip(name, every_form(ops), second=Second.IMMEDIATE)
    place = access_place(chip)
    address = memory_word(chip, place.low)
    before = chip.words("word", At.WORD_BEFORE)
    chip.memory_access(address, before, before)
    chip.finish(results(chip, lambda algebra, op: LOAD_STEPS[op](algebra, before, place)))
    return chip


def stores(name: str, ops: Iterable[Op]) -> RowChip:
    chip = RowChip(name, every_form(ops), second=Second.ANY, writes=False)
    place = access_place(chip)
    address = memory_word(chip, place.low)
    before = chip.words("word", At.WORD_BEFORE)
    after = results(chip, lambda algebra, op: STORE_STEPS[op](algebra, before, place, chip.v2))
    chip.memory_access(address, before, after)
    chip.finish()
    return chip


def access_place(chip: RowChip) -> Word:
    """The byte of the word that is accessed; an access is aligned to its size."""
    sizes = {op: ACCESS_BYTES[op] for op in chip.ops}
    if set(sizes.values()) == {4}:
        return bit_word(ZERO)
    fill = plus(chip.v1, chip.imm).value & 3
    place = Word(chip.column("place", fill), ZERO, PLACE, NOTHING, shared=True)
    bits = chip.places(place)
    for op, size in sizes.items():
        if size == 2:
            chip.scope(op).require(bits[1] + bits[3], "a half word is aligned")
    return place


def inputs() -> RowChip:
    """IN: any word."""
    chip = RowChip("input", every_form([Op.IN]), second=Second.IMMEDIATE, reads=False)
    answer = chip.words("answer", At.RESULT)
    for limb in (answer.low, answer.high):
        chip.everywhere.fact(RANGE, [limb])
    chip.finish(answer)
    return chip


def hosts() -> RowChip:
    """SIG, OUT and HALT."""
    chip = RowChip("host", every_form([Op.SIG, Op.OUT, Op.HALT]), second=Second.IMMEDIATE)
    answer = chip.column("answer", part(At.RESULT, 0, 1))
    chip.everywhere.require(answer * (answer - 1), "an answer is zero or one")
    is_shown = chip.selectors[Op.OUT]
    chip.builder.send(OUT, [chip.imm.low.air, chip.v1.low.air, chip.v1.high.air], is_shown.air)
    chip.finish(bit_word(answer), goes_on=chip.is_real - chip.selectors[Op.HALT])
    return chip


FAMILY_CHIPS: Final = (
    arithmetic("add-immediate", [(Op.ADD, False)], Second.IMMEDIATE),
    arithmetic("add", [(Op.ADD, True), *every_form([Op.SUB])], Second.REGISTER),
    arithmetic("bitwise", every_form([Op.XOR, Op.OR, Op.AND]), Second.ANY),
    arithmetic("shift", every_form([Op.SLL, Op.SRL, Op.SRA]), Second.ANY),
    arithmetic("less", every_form([Op.SLT, Op.SLTU]), Second.ANY),
    arithmetic("multiply", every_form([Op.MUL]), Second.REGISTER),
    arithmetic("multiply-high", every_form([Op.MULH, Op.MULHSU, Op.MULHU]), Second.REGISTER),
    arithmetic("divide", every_form([Op.DIV, Op.DIVU, Op.REM, Op.REMU]), Second.REGISTER),
    branches(),
    jumps(),
    loads("load-word", [Op.LW]),
    loads("load-part", [Op.LB, Op.LH, Op.LBU, Op.LHU]),
    stores("store-word", [Op.SW]),
    stores("store-part", [Op.SB, Op.SH]),
    inputs(),
    hosts(),
)
"""Each operation of a narrow row is accepted by one chip."""
