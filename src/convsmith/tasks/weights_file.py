"""What each class counts, from a file: JSON `{"cat": 1, "owl": 4}`, or CSV with class,weight."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile, MissingPath, nearest
from convsmith.base.files import read_json


def read_class_weights(path: Path, classes: Sequence[str]) -> tuple[float, ...]:
    """The weight of each of `classes`, all of which the file must name, and no other; numbers from 0, not all 0."""
    if not path.is_file():
        raise MissingPath(f"loss.class_weights: no such file: {path}")
    stated = _json(path) if path.suffix.lower() == ".json" else _csv(path)
    for name in stated:
        if name not in classes:
            near = nearest(name, classes) or list(classes[:6])
            raise BadFile(path, f"names {name!r}, which is not a class of the data; nearest: {', '.join(near)}")
    missing = [name for name in classes if name not in stated]
    if missing:
        shown = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
        raise BadFile(path, f"expected a weight for every class, found none for {shown}")
    weights = tuple(_weight(path, name, stated[name]) for name in classes)
    if not any(weights):
        raise BadFile(path, "every weight is 0, so that nothing would be learned; expected one above")
    return weights


def _weight(path: Path, name: str, value: Any) -> float:
    try:
        weight = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        weight = math.nan
    # Larger ones leave no digits for the others in float32.
    if not 0 <= weight <= 1e6:
        raise BadFile(path, f"{name}: expected a weight from 0 to 1,000,000, received {value!r:.60}")
    return weight


def _json(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict):
        raise BadFile(path, f'expected an object such as {{"cat": 1, "owl": 4}}, received {data!r:.60}')
    return data


def _csv(path: Path) -> dict[str, Any]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file, strict=True) if any(row)]
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise BadFile(path, f"cannot be read as CSV ({error})") from None
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if header != ["class", "weight"]:
        raise BadFile(path, f"expected the header class,weight, found {','.join(header) or 'nothing'}")
    found: dict[str, Any] = {}
    for row in rows[1:]:
        if len(row) != 2 or row[0].strip() in found:
            raise BadFile(
                path, f"expected a class and its weight in each row, each class once, found {','.join(row)!r:.60}"
            )
        found[row[0].strip()] = row[1]
    return found
