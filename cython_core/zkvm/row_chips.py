"""All chips whose rows are steps of the machine, in the order of their tables."""

from typing import Final

from cython_core.zkvm.families import FAMILY_CHIPS
from cython_core.zkvm.row_chip import RowChip
from cython_core.zkvm.wide import WIDE_CHIPS
from cython_core.zkvm.wide_numbers import NUMBER_CHIPS

ROW_CHIPS: Final[tuple[RowChip, ...]] = (*FAMILY_CHIPS, *WIDE_CHIPS, *NUMBER_CHIPS)
