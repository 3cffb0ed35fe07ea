"""Folders of class folders, with or without train/val/test folders above them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convsmith.base.errors import BadFile
from convsmith.data.examples import FileExamples
from convsmith.data.formats import EXTENSIONS, is_image_name
from convsmith.data.sources import fingerprint
from convsmith.data.sources.source import SPLIT_NAMES, SPLITS, Origin, Source, file_source


@dataclass(frozen=True)
class Layout:
    """What lies in a folder: for each split its folder and, by class, the images; and the files left out."""

    folders: dict[str, Path]
    files: dict[str, dict[str, tuple[str, ...]]]
    others: tuple[str, ...]


def is_folder(root: Path) -> bool:
    """Whether `root` holds folders that hold, at some depth, an image."""
    return any(_is_image(name) for child in _folders(root) for name, _ in _walk(child))


def scan(root: Path) -> Layout:
    """Every file below `root`; paths are relative to `root`, with slashes, in byte order. Nothing is opened."""
    folders = _split_folders(root)
    files: dict[str, dict[str, tuple[str, ...]]] = {}
    others: list[str] = []
    for split, folder in folders.items():
        files[split] = {}
        for child in _folders(folder):
            found = sorted((path.relative_to(root).as_posix() for _, path in _walk(child)), key=os.fsencode)
            files[split][child.name] = tuple(name for name in found if _is_image(name))
            others += [name for name in found if not _is_image(name)]
        others += [p.relative_to(root).as_posix() for p in _children(folder) if p.is_file()]
    return Layout(folders, files, tuple(others))


def open_folder(root: Path, origin: Origin) -> Source:
    """The source of a folder; classes are the sorted names of the class folders and must agree between splits."""
    layout = scan(root)
    classes = tuple(sorted(layout.files["train"]))
    _check(root, layout, classes)
    splits: dict[str, FileExamples] = {}
    for split, found in layout.files.items():
        files = tuple(file for name in classes for file in found[name])
        labels = np.repeat(np.arange(len(classes)), [len(found[name]) for name in classes])
        splits[split] = FileExamples(root, files, labels.astype(np.int64))
    notes = (_left_out(layout.others),) if layout.others else ()
    return file_source(origin, classes, splits, fingerprint.of_files(splits), notes)


def _check(root: Path, layout: Layout, classes: tuple[str, ...]) -> None:
    if set(classes) in ({"images", "masks"}, {"images", "labels"}):
        raise BadFile(root, "this looks like image and mask folders, for segmentation; expected one folder per class")
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "none"
        raise BadFile(layout.folders["train"], f"expected at least two class folders, found {found}")
    for split, folder in layout.folders.items():
        missing = sorted(set(classes) - set(layout.files[split]))
        extra = sorted(set(layout.files[split]) - set(classes))
        if missing or extra:
            says = [f"{what} {', '.join(n)}" for what, n in (("lacks", missing), ("has besides", extra)) if n]
            raise BadFile(
                folder, f"its class folders differ from those of {layout.folders['train']}: {'; '.join(says)}"
            )
        for name in classes:
            if not layout.files[split][name]:
                raise BadFile(folder / name, f"this class folder has no image; expected {', '.join(EXTENSIONS)} files")


def _split_folders(root: Path) -> dict[str, Path]:
    children = {child.name: child for child in _folders(root)}
    named = [name for name in children if name.lower() in SPLIT_NAMES]
    stray = [name for name in children if name not in named]
    # One such name among others may be a class (trains, buses); two are splits.
    if stray and len(named) > 1:
        raise BadFile(root, f"{stray[0]} lies beside the splits {', '.join(named)}; move it away, or into a split")
    if stray or not named:
        return {"train": root}
    if not any(name.lower() == "train" for name in children):
        raise BadFile(root, f"expected a folder train beside {', '.join(children)}")
    found: dict[str, Path] = {}
    for name, child in children.items():
        split = SPLIT_NAMES[name.lower()]
        if split in found:
            raise BadFile(root, f"expected one folder for {split}, found {found[split].name} and {name}")
        found[split] = child
    return {split: found[split] for split in SPLITS if split in found}


def _left_out(others: tuple[str, ...]) -> str:
    kinds = sorted({os.path.splitext(name)[1].lower() or "without extension" for name in others})
    return f"{len(others)} files that are not images by their extension left out ({', '.join(kinds[:6])})"


def _is_image(name: str) -> bool:
    return is_image_name(name)


def _children(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name))
    except OSError as error:
        raise BadFile(folder, f"cannot be listed ({error.strerror})") from None
    return [path for path in found if not path.name.startswith(".")]


def _folders(folder: Path) -> list[Path]:
    return [path for path in _children(folder) if path.is_dir()]


def _walk(folder: Path, seen: frozenset[tuple[int, int]] = frozenset()) -> Iterator[tuple[str, Path]]:
    # Links are followed, as class folders often are links; `seen` holds the folders above, so that a loop ends.
    status = folder.stat()
    key = (status.st_dev, status.st_ino)
    if key in seen:
        return
    for child in _children(folder):
        if child.is_dir():
            yield from _walk(child, seen | {key})
        else:
            yield child.name, child
