"""The Parquet files of a folder that make up a data set, and the split of each."""

import re
from pathlib import Path

from convsmith.base.errors import BadFile
from convsmith.data.sources.split_names import SPLITS, split_name
from convsmith.data.sources.tree import JUNK_FOLDERS, is_image_name

_SHARD = re.compile(r"^(.+?)(?:-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?)?\.parquet$", re.IGNORECASE)
_DEEPEST = 4  # as `cfg/default/train/0000.parquet`


def is_parquet(path: Path) -> bool:
    """Whether `path` is a Parquet file, or a folder that holds some: itself, in `data/`, or deeper and no images."""
    if path.is_file():
        return path.suffix.lower() == ".parquet"
    return path.is_dir() and bool(_files(path))


def shards(folder: Path) -> dict[str, list[Path]]:
    """The files of each split, in order. Raises BadFile if they are of several data sets, or a shard is missing."""
    files = _files(folder)
    homes = {_home(file) for file in files}
    if len(homes) > 1:
        names = sorted(str(home.relative_to(folder)) for home in homes)
        raise BadFile(folder, f"holds several data sets ({', '.join(names[:6])}); name one: --data {folder / names[0]}")
    if len(files) == 1 and _split(files[0]) is None:
        return {"train": files}
    found: dict[str, list[Path]] = {}
    for file in files:
        split = _split(file)
        if split not in SPLITS:
            raise BadFile(file, "expected a name such as train.parquet, val.parquet or test-00000-of-00002.parquet")
        found.setdefault(split, []).append(file)
    for part in found.values():
        _check_whole(part)
    return {split: found[split] for split in SPLITS if split in found}


def _files(folder: Path) -> list[Path]:
    for place in (folder, folder / "data"):
        if found := sorted(p for p in place.glob("*") if p.suffix.lower() == ".parquet" and p.is_file()):
            return found
    return _deeper(folder, _DEEPEST) or []


def _deeper(folder: Path, levels: int) -> list[Path] | None:
    """The Parquet files up to `levels` folders deep; None if there are images, which then are the data set."""
    files: list[Path] = []
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    if any(is_image_name(entry.name) for entry in entries):
        return None
    for entry in entries:
        if entry.suffix.lower() == ".parquet" and entry.is_file():
            files.append(entry)
        elif levels and entry.is_dir() and not entry.name.startswith(".") and entry.name.lower() not in JUNK_FOLDERS:
            inside = _deeper(entry, levels - 1)
            if inside is None:
                return None
            files += inside
    return files


def _home(file: Path) -> Path:
    """The folder of the file's data set: the folder above, if the file's own folder is named as a split."""
    return file.parent.parent if _by_folder(file) else file.parent


def _by_folder(file: Path) -> str | None:
    """The split of the folder that a file lies in, where its own name says none, as in `train/0000.parquet`."""
    match = _SHARD.match(file.name)
    if match and _named(match[1]):
        return None
    return _named(file.parent.name)


def _named(text: str) -> str | None:
    found = split_name(text)
    return found[0] if found and not found[1] else None


def _split(file: Path) -> str | None:
    match = _SHARD.match(file.name)
    return (_named(match[1]) if match else None) or _by_folder(file)


def _check_whole(part: list[Path]) -> None:
    if all(_by_folder(file) for file in part):
        return
    counts = {m[3] for file in part if (m := _SHARD.match(file.name))}
    wanted = int(next(iter(counts)) or 1)
    if len(counts) > 1 or len(part) != wanted:
        have = ", ".join(file.name for file in part)
        raise BadFile(part[0], f"expected all {wanted} shards of this split and nothing else, found {have}")
