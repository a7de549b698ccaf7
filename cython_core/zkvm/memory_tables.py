"""The tables that open and close the bus MEMORY: "image", "memory" and "registers".

Each address that a run touches has one row in one of them. It sends what is there at clock 0 and
receives what is there at the end. In between, rows of steps receive the last access and send a
later one, with clocks that only grow: so the accesses to an address are one chain, from the row
here to the row here, if no address is opened twice. That is what these tables are about.

- "image": the words of the program's image; addresses and values are part of the key.
- "registers": registers 1 to 31, zero at first; part of the key. There is no register 0.
- "memory": words outside of the image that the run touches, zero at first.

Rows of "memory" are in use up to some row before the last one, and their addresses grow. An
address is low + 2^16 high, where RANGE shows low and ALIGNED shows high: 4 high is a multiple of 4
below 2^16, so that high is below 2^14 and the address an integer below 2^30. That one is greater
than the one before is shown limb by limb, with a borrow: all terms are integers of at most 18 bits,
so that none is equal to another modulo p only. (Of the whole addresses it would not be enough that
their difference is below 2^30 modulo p: p is so near to 2^31 that they could wrap.)

One row in use stands for the whole image: its address is the image's first, and the next row's is
not below the image's end. It opens nothing. `is_above` counts these rows and is 1 in the last row,
so there is exactly one; addresses before it are below the image, those after it above.
"""

from collections.abc import Sequence
from typing import Final

from cython_core.air.language import TableBuilder
from cython_core.vm.program import Program
from cython_core.zkvm.buses import ALIGNED, MEMORY, RANGE, SPACE_MEMORY, SPACE_REGISTER
from cython_core.zkvm.program_table import power_of_two
from cython_core.zkvm.words import LIMB_LIMIT

REGISTERS: Final = 32
EDGE_LIMBS: Final = 4
"""Of the image's first word address and of its end: low, high, low, high."""


def image_of(program: Program) -> tuple[int, tuple[int, ...]]:
    """First word address and words of the image, without the zeros at its end: these are as if
    outside, and so the table follows from the program's root (which pads with them)."""
    count = len(program.image.rstrip(b"\0")) + 3 & ~3
    return program.image_base // 4, program.image_words[: count // 4]


def image_edges(program: Program) -> tuple[int, ...]:
    """The limbs of the image's first word address and of its end."""
    first, words = image_of(program)
    return tuple(
        limb for edge in (first, first + len(words)) for limb in divmod(edge, LIMB_LIMIT)[::-1]
    )


def image_table(program: Program) -> TableBuilder:
    """Of at least one row, which is not in use where there is no image."""
    table = TableBuilder("image")
    first, words = image_of(program)
    height = power_of_two(len(words))
    padding = [0] * (height - len(words))
    is_used = table.preprocessed("is_used", [1] * len(words) + padding)
    address = table.preprocessed("address", [*range(first, first + len(words)), *padding])
    low = table.preprocessed("low", [word % LIMB_LIMIT for word in words] + padding)
    high = table.preprocessed("high", [word // LIMB_LIMIT for word in words] + padding)
    table.send(MEMORY, [SPACE_MEMORY, address, 0, low, high], is_used, "the first state")
    final = [table.main(f"final {name}") for name in ("clock", "low", "high")]
    table.receive(MEMORY, [SPACE_MEMORY, address, *final], is_used, "the last state")
    return table


def registers_table() -> TableBuilder:
    table = TableBuilder("registers")
    register = table.preprocessed("register", range(REGISTERS))
    is_used = table.preprocessed("is_used", [0] + [1] * (REGISTERS - 1))
    table.send(MEMORY, [SPACE_REGISTER, register, 0, 0, 0], is_used, "the first state")
    final = [table.main(f"final {name}") for name in ("clock", "low", "high")]
    table.receive(MEMORY, [SPACE_REGISTER, register, *final], is_used, "the last state")
    return table


def memory_table(edges: Sequence[int]) -> TableBuilder:
    """`edges`: places of `image_edges` among the public values."""
    table = TableBuilder("memory")
    is_used, is_image = table.main("is_used"), table.main("is_image")
    is_above, borrow = table.main("is_above"), table.main("borrow")
    low, high = table.main("low"), table.main("high")
    final = [table.main(f"final {name}") for name in ("clock", "low", "high")]
    first_low, first_high, end_low, end_high = (table.public(place) for place in edges)
    for flag in (is_used, is_image, borrow):
        table.require_boolean(flag)
    table.require_transition(is_used.next * (1 - is_used), "no row is in use after one that is not")
    table.require_last(is_used, "the last row is not in use")
    table.require(is_image * (1 - is_used), "the image's row is in use")
    table.require_first(is_above, "no image before the first row")
    table.require_transition(is_above.next - is_above - is_image, "is_above counts image rows")
    table.require_last(is_above - 1, "one row is the image's")
    table.require(is_image * (low - first_low), "the image's first address, low limb")
    table.require(is_image * (high - first_high), "the image's first address, high limb")
    table.receive(RANGE, [low], is_used, "the low limb of an address")
    table.receive(ALIGNED, [high * 4, 0], is_used, "the high limb of an address")
    # The next row's address, less the least that it may be: the row's plus one, or the image's end.
    above_low = low.next - low - 1 - is_image * (end_low - first_low - 1) + borrow * LIMB_LIMIT
    above_high = high.next - high - is_image * (end_high - first_high) - borrow
    # Zero in the last row, where there is no next one, since that is not in use.
    both = is_used * is_used.next
    table.receive(RANGE, [above_low], both, "addresses grow, low limb")
    table.receive(RANGE, [above_high], both, "addresses grow, high limb")
    is_opened = is_used - is_image
    address = low + high * LIMB_LIMIT
    table.send(MEMORY, [SPACE_MEMORY, address, 0, 0, 0], is_opened, "the first state")
    table.receive(MEMORY, [SPACE_MEMORY, address, *final], is_opened, "the last state")
    return table
