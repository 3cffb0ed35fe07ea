"""Reads the records of a run into their types, with errors that name the file and the key."""

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile, UsageError
from convsmith.base.result import is_small
from convsmith.data.card import Card
from convsmith.data.preprocess import ImageInput
from convsmith.runs.directory import RunDirectory
from convsmith.runs.seals import DamagedRecord, EditedRecord

KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
# The keys of the record `split` that are read; the others are for people.
SPLIT = {"counts": dict, "parts": dict, "skipped": list}
SKIPPED = {"split": str, "index": int, "file": str, "problem": str}
# Of a number a newer version may know further units and places, which are shown as plain ones.
NUMBER = {"name": str, "unit": str, "better": str, "label": str, "about": str, "place": str}
RESULT = {"ended": str, "epochs": int, "steps": int, "seconds": float, "metrics": dict}
VIEWS = {"views": str, "of_an_image": int, "metrics": dict}


def fields_of(run: RunDirectory, name: str, needed: Mapping[str, type]) -> dict[str, Any]:
    """The record `name`, an object with the keys `needed` of these types; BadFile names the key that is wrong."""
    return checked(run.path / f"{name}.json", run.record(name), needed)


def checked(path: Path, data: Any, needed: Mapping[str, type], where: str = "") -> dict[str, Any]:
    """`data`, checked to be an object with the keys `needed` of these types; `where` is its place in the file."""
    if not isinstance(data, dict):
        raise BadFile(
            path, f"expected {where or 'a JSON'}{' to be an' if where else ''} object, received {_shown(data)}"
        )
    for key, kind in needed.items():
        value = data.get(key)
        right = _is_number(value) if kind is float else type(value) is kind
        right &= type(value) is not int or is_small(value)
        if not right:
            received = _shown(value) if key in data else "none"
            raise BadFile(path, f"expected the key {_key(where, key)} with {KINDS[kind]}, received {received}")
    return data


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors about the content of the file at `path` into BadFile.

    These are UsageError, which each check of a record raises, and KeyError. Any other error is a fault of ours.
    """
    try:
        yield
    except BadFile:
        raise
    except UsageError as error:
        raise BadFile(path, str(error).removeprefix(f"{path}: ")) from None
    except KeyError as error:
        raise BadFile(path, f"the key {error} is missing") from None


def recipe_of(run: RunDirectory) -> dict[str, Any]:
    """The record `recipe`: the fields of the recipe (`recipe`) and of the engine (`engine`), and what was resolved."""
    return fields_of(run, "recipe", {"recipe": dict, "engine": dict})


def preprocess_of(run: RunDirectory) -> ImageInput:
    """The preprocessing of the run's images."""
    with reading(run.path / "preprocess.json"):
        return ImageInput.from_json(run.record("preprocess"))


def card_of(run: RunDirectory) -> Card:
    """The card of the run's data."""
    with reading(run.path / "data.json"):
        return Card.from_json(fields_of(run, "data", {"card": dict})["card"])


def result_of(run: RunDirectory) -> dict[str, Any]:
    """The record `result` of a run that has ended."""
    path, record = run.path / "result.json", fields_of(run, "result", RESULT)
    _check_numbers(path, record, "")
    if "views" in record:
        _check_numbers(path, checked(path, record["views"], VIEWS, "views"), "views.")
    return record


def _check_numbers(path: Path, record: Mapping[str, Any], where: str) -> None:
    """Refuse `metrics` and `numbers` of splits that are not as `results_to_json` gives them."""
    for split, metrics in record["metrics"].items():
        if metrics is not None:
            place = f"{where}metrics.{split}"
            counted = not isinstance(metrics, dict) or "count" in metrics  # older results of a user's task may lack it
            metrics = checked(path, metrics, {"count": int} if counted else {}, place)
            checked(
                path, metrics, {name: float for name, value in metrics.items() if type(value) in (int, float)}, place
            )
            _check_interval(path, metrics.get("interval"), place)
    numbers = record.get("numbers")
    for split, found in checked(path, {} if numbers is None else numbers, {}, "numbers").items():
        place = f"{where}numbers.{split}"
        if found is not None and (not isinstance(found, list) or not found):
            raise BadFile(path, f"expected the key {place} with a list of numbers, received {_shown(found)}")
        for at, number in enumerate(found or ()):
            checked(path, number, NUMBER, f"{place}[{at}]")
            if number.get("value") is not None:
                checked(path, number, {"value": float}, f"{place}[{at}]")
            _check_interval(path, number.get("interval"), f"{place}[{at}]")


def _check_interval(path: Path, ends: Any, where: str) -> None:
    if ends is not None and not (isinstance(ends, list) and len(ends) == 2 and all(map(_is_number, ends))):
        raise BadFile(path, f"expected the key {where}.interval with two numbers, received {_shown(ends)}")


def _is_number(value: Any) -> bool:
    return is_small(value) if type(value) is int else type(value) is float and math.isfinite(value)


def whole_result(run: RunDirectory, quiet: bool = False) -> dict[str, Any] | None:
    """The record `result`; None, with a warning but for `quiet`, if it is damaged: a resume makes it again."""
    path = run.path / "result.json"
    try:
        return result_of(run)
    except BadFile as error:
        if error.path != str(path):
            raise
        problem = "is not as it was written" if isinstance(error, EditedRecord) else error.problem
    if not quiet:
        warnings.warn(DamagedRecord(f"{path}: {problem} (it is made again from the last checkpoint)"), stacklevel=2)
    return None


def split_of(run: RunDirectory) -> dict[str, Any]:
    """The record `split`; BadFile if an index is outside the counts that it states."""
    path, record = run.path / "split.json", fields_of(run, "split", SPLIT)
    checked(path, record["counts"], dict.fromkeys(record["counts"], int), "counts")
    for number, skipped in enumerate(record["skipped"]):
        checked(path, skipped, SKIPPED, f"skipped[{number}]")
    for name, part in record["parts"].items():
        if part is not None:
            _check_part(path, f"parts.{name}", part, record["counts"])
    return record


def _check_part(path: Path, where: str, part: Any, counts: Mapping[str, int]) -> None:
    checked(path, part, {"from": str}, where)
    names = part["from"].split("+")
    if not all(name in counts for name in names):
        raise BadFile(path, f"expected the key {where}.from with one of {', '.join(counts)}, received {part['from']!r}")
    indices, total = part.get("indices"), sum(counts[name] for name in names)
    if indices == "all":
        return
    if not isinstance(indices, list):
        raise BadFile(path, f'expected the key {where}.indices with a list or "all", received {_shown(indices)}')
    wrong = [i for i in indices if type(i) is not int or not 0 <= i < total]
    if wrong:
        raise BadFile(path, f"expected the key {where}.indices from 0 to {total - 1}, received {_shown(wrong[0])}")


def _key(where: str, key: str) -> str:
    return f"{where}.{key}" if where else repr(key)


def _shown(value: Any) -> str:
    """A value as JSON, cut to 40 characters."""
    return f"{json.dumps(value):.40}"
