"""The group of each example, by a regular expression on its path or by a CSV file."""

import csv
import re
from pathlib import Path, PurePath

from convsmith.base.errors import BadFile, MissingPath, UsageError
from convsmith.data.examples import Examples


def group_names(examples: Examples, group: str) -> list[str]:
    """The group of every example: by the CSV file `group` (columns file, group), else by the regex `group`."""
    if group.lower().endswith(".csv"):
        return _by_table(examples, Path(group).expanduser())
    return _by_regex(examples, group)


def _by_regex(examples: Examples, text: str) -> list[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"group: {text!r} is not a regular expression ({error}), nor a .csv file") from None
    groups: list[str] = []
    for i in range(len(examples)):
        match = pattern.search(examples.place(i))
        if match is None:
            raise UsageError(f"group: {text!r} does not match {examples.place(i)}; expected a match for every file")
        groups.append((match[1] if pattern.groups else match[0]) or "")
    return groups


def _by_table(examples: Examples, path: Path) -> list[str]:
    table = _read(path)
    groups: list[str] = []
    for i in range(len(examples)):
        parts = PurePath(examples.place(i)).parts
        # The table may name a file by its path or by any end of the path; the longest end that it names counts.
        ends = ("/".join(parts[k:]).replace("//", "/") for k in range(len(parts)))
        listed = next((end for end in ends if end in table), None)
        if listed is None:
            raise BadFile(path, f"has no row for {examples.name(i)}; expected one for every file")
        groups.append(table[listed])
    return groups


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise MissingPath(f"group: no such file: {path}")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadFile(path, f"cannot be read as CSV ({error})") from None
    if not rows or not {"file", "group"} <= set(rows[0]):
        raise BadFile(path, f"expected a header with file,group and rows below, found {list(rows[0]) if rows else []}")
    return {PurePath(row["file"] or "").as_posix(): row["group"] or "" for row in rows}
