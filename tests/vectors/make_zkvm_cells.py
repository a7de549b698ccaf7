"""Writes zkvm_cells.json, what a row of each chip costs: `python -m tests.vectors.make_zkvm_cells`.

Numbers are per row and in base field elements: `main` and `auxiliary` columns are what a prover
commits to and what its time goes with. A change of the chips shows here.
"""

import json
from pathlib import Path
from typing import Any

from cython_core.zkvm.buses import BUSES
from cython_core.zkvm.row_chip import RowChip
from cython_core.zkvm.row_chips import ROW_CHIPS

FILE = Path(__file__).with_name("zkvm_cells.json")


def cost(chip: RowChip) -> dict[str, Any]:
    table = chip.builder.build(BUSES)
    return {
        "chip": chip.name,
        "operations": [op.name for op in chip.ops],
        "main": table.main_width,
        "auxiliary": table.auxiliary_width,
        "cells": table.main_width + table.auxiliary_width,
        "constraints": len(table.constraints),
        "interactions": len(table.interactions),
    }


def costs() -> list[dict[str, Any]]:
    return [cost(chip) for chip in ROW_CHIPS]


if __name__ == "__main__":
    lines = ",\n".join(f" {json.dumps(entry)}" for entry in costs())
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
