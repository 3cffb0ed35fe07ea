"""The table of augmentations in the docs says every argument with its default and range."""

import dataclasses as dc
import re
import typing
from pathlib import Path

import pytest

from convsmith.base.config import kind_of
from convsmith.base.record import ranges
from convsmith.data.augmentations import Augment

PAGE = Path(__file__).parents[2] / "docs" / "augment.md"
# What a run measures, and no one types.
MEASURED = ("deviations", "components", "measured")


def arguments(record: type) -> str:
    """The cell of the table: `padding=4` (from 0), `mode=mean`."""
    cells: list[str] = []
    for field in dc.fields(record):
        default = f"{field.default:.4g}" if isinstance(field.default, float) else field.default
        limits = str(ranges(record)[field.name])
        cells += [] if field.name in MEASURED else [f"`{field.name}={default}`" + (f" ({limits})" if limits else "")]
    return ", ".join(cells)


@pytest.mark.parametrize("record", typing.get_args(Augment), ids=kind_of)
def test_each_row_says_the_arguments_and_their_ranges(record: type) -> None:
    rows = [re.split(r" *\| *", row)[1:-1] for row in PAGE.read_text().splitlines() if row.startswith("| `")]
    row = next(row for row in rows if f"`{kind_of(record)}`" in row[0])  # a later table has them for masks
    assert row[1] == arguments(record)
