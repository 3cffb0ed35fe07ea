"""The tables in a folder that hold the labels of its images: one table, or one for each split."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convsmith.base.errors import BadFile
from convsmith.data.sources.cells import SUFFIXES, first_names
from convsmith.data.sources.header import has_images, has_labels
from convsmith.data.sources.split_names import SPLITS, split_name
from convsmith.data.sources.tree import Tree, joined

# Templates for submissions to competitions: tables whose labels are placeholders.
_SUBMISSION = re.compile(r"submi(t|ssion)", re.IGNORECASE)


@dataclass(frozen=True)
class Tables:
    """The tables that are read, each with the split of rows that name none, and what was recognized and left out."""

    paths: dict[Path, str]
    words: str
    notes: tuple[str, ...]


def is_table(path: Path) -> bool:
    """Whether `path` is a file with the suffix of a table."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def find_tables(root: Path, tree: Tree, deeper: bool = True) -> Tables | None:
    """The tables of images and labels in a folder, or in its folders of splits; None if there is no such table.

    With `deeper`, a folder that holds a single folder stands for that. Raises BadFile if one of several must be chosen.
    """
    names = [joined(t.place, name) for t in _near(tree) for name in t.others if Path(name).suffix.lower() in SUFFIXES]
    headers = {name: first_names(root / name) for name in names if not _SUBMISSION.search(name)}
    usable = [name for name, found in headers.items() if has_images(found) and has_labels(found)]
    if not usable:
        # Unzipping often puts everything into one folder of the archive's name.
        kids = tree.filled()
        return find_tables(root, kids[0]) if deeper and len(kids) == 1 and kids[0].filled() else None
    chosen = dict.fromkeys(usable, "train") if len(usable) == 1 else _by_split(root, usable)
    if len(chosen) == 1 and (split := _split(usable[0])) in SPLITS:
        chosen = {usable[0]: split}
    left = [name for name in names if name not in chosen]
    notes = [f"{', '.join(left[:4])}: no table of images and labels, left out"] if left else []
    words = f"table{'s' if len(chosen) > 1 else ''} {', '.join(chosen)}"
    return Tables({root / name: split for name, split in chosen.items()}, words, tuple(notes))


def beside_line(root: Path, tree: Tree) -> str:
    """Notes on tables beside class folders; the class folders are read, not the tables."""
    names = [name for name in tree.others if Path(name).suffix.lower() in SUFFIXES]
    usable = [
        n
        for n in names
        if has_images(found := first_names(root / n)) and has_labels(found) and not _SUBMISSION.search(n)
    ]
    if not usable:
        return ""
    return (
        f"the classes are those of the folders; the table {joined(tree.place, usable[0])} is read where --data names it"
    )


def _near(tree: Tree) -> list[Tree]:
    """The folder, and those of its folders that are named as splits or hold no images."""
    splits = [kid for kid in tree.folders if (found := split_name(kid.name)) and not found[1]]
    return [tree, *splits, *(kid for kid in tree.folders if not kid.count and kid not in splits)]


def _split(name: str) -> str | None:
    """The split of a table: by its own name, else by that of its folder."""
    path = Path(name)
    for text in (path.stem, path.parent.name):
        if text and (found := split_name(text)):
            return found[0]
    return None


def _by_split(root: Path, usable: Sequence[str]) -> dict[str, str]:
    splits = {name: _split(name) for name in usable}
    named = {name: split for name, split in splits.items() if split in SPLITS}
    if len(set(named.values())) == len(named) == len(usable) and "train" in named.values():
        return {name: split for split in SPLITS for name, own in named.items() if own == split}
    raise BadFile(
        root,
        f"holds several tables of images and labels ({', '.join(usable[:6])}); name one: --data {root / usable[0]}; or "
        "name them train.csv, val.csv and test.csv, and they are taken together",
    )
