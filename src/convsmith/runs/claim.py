"""A folder for several runs: whose it is stands in it before the first begins. No torch here."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.base.files import json_bytes, write_files
from convsmith.runs.directory import is_run


@contextmanager
def claimed(folder: Path, record: str, stated: Any, what: str) -> Iterator[None]:
    """Make `folder` with the JSON file `record` that says whose it is, or go on in one that has that file.

    `stated` is what the file is to hold; None leaves it as it stands. Where no run could begin in a folder that was
    new, nothing of it is left. UsageError for a folder that holds something else than `what`.
    """
    path = folder / record
    new = not path.is_file()
    if new and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: expected a new or empty folder, or one of {what}; choose another with --out")
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    if stated is not None:
        write_files({path: json_bytes(stated)})
    try:
        yield
    except BaseException:
        if new and not any(map(is_run, folder.iterdir())):
            path.unlink(missing_ok=True)
            with suppress(OSError):  # something else may have come to lie there
                for place in missing:
                    place.rmdir()
        raise
