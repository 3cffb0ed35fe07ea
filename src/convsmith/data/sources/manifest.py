"""The list of an unpacked archive's files, kept in their folder: names, sizes and times, to see what was lost since."""

import json
import os
from pathlib import Path

from convsmith.base.files import read_regular
from convsmith.data.sources.tree import joined

# Hidden, so it is not a file of the data, and no member of an archive has its name: hidden members are not unpacked.
_NAME = ".unpacked.json"


def write_manifest(folder: Path) -> None:
    """Write the list of the files below the folder into it."""
    (folder / _NAME).write_text(json.dumps(_listed(folder)))


def changed(folder: Path) -> str | None:
    """The difference between the folder and its list; "" if there is no folder, None if no file has changed."""
    if not os.path.lexists(folder):
        return ""
    try:
        listed = json.loads(read_regular(folder / _NAME))
        if not isinstance(listed, dict):
            raise ValueError
    except (OSError, ValueError, RecursionError):
        return "the list of its files was lost"
    present = _listed(folder)
    lost = [name for name in listed if name not in present]
    other = [name for name, status in present.items() if listed.get(name) != status]
    if not lost and not other:
        return None
    parts = [
        f"{verb}: {len(names):,}, first {names[0]}" for verb, names in (("lost", lost), ("changed", other)) if names
    ]
    return f"files {'; '.join(parts)}"


def _listed(folder: Path, place: str = "") -> dict[str, list[int]]:
    """The size and the modification time of each file below the folder; a link is not a file that was unpacked."""
    files: dict[str, list[int]] = {}
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError:
        return files
    for entry in entries:
        name = joined(place, entry.name)
        if name == _NAME:
            continue
        if entry.is_dir(follow_symlinks=False):
            files |= _listed(Path(entry.path), name)
        else:
            status = entry.stat(follow_symlinks=False)
            files[name] = [status.st_size, status.st_mtime_ns]
    return files
