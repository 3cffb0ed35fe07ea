"""The files below a folder, listed once: images, other files, and what systems leave behind. No file is opened."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convsmith.base.errors import BadFile
from convsmith.data.formats import is_image_name, is_unread_picture, mends
from convsmith.report.text import many

# Folders that operating systems, archivers and file servers (Synology's) leave behind; none holds a user's own images.
JUNK_FOLDERS = frozenset(
    ("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__")
)
JUNK_FILES = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"))
DEEPEST = 200


@dataclass(frozen=True)
class Tree:
    """A folder: its name, its path below the root (`place`, with slashes), and the names of what lies in it.

    Hidden files and junk are left out; `junk` counts the latter in this folder. `gone` are links to nothing or to
    themselves, pipes and devices. `count` is the number of images at any depth.
    """

    name: str
    place: str
    folders: tuple["Tree", ...]
    images: tuple[str, ...]
    others: tuple[str, ...]
    gone: tuple[str, ...]
    junk: int
    count: int

    def walk(self) -> Iterator["Tree"]:
        """This folder and all below it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    def all_images(self) -> list[str]:
        """The paths of the images at any depth, relative to the root, in byte order."""
        return sorted((joined(t.place, name) for t in self.walk() for name in t.images), key=os.fsencode)

    def all_others(self) -> list[str]:
        """The paths of the other files at any depth, as `all_images`."""
        return sorted((joined(t.place, name) for t in self.walk() for name in t.others), key=os.fsencode)

    def all_gone(self) -> list[str]:
        """The paths of links to nothing, pipes and devices at any depth, as `all_images`."""
        return sorted((joined(t.place, name) for t in self.walk() for name in t.gone), key=os.fsencode)

    def all_junk(self) -> int:
        """The number of files and folders at any depth that systems leave behind."""
        return sum(tree.junk for tree in self.walk())

    def filled(self) -> tuple["Tree", ...]:
        """The folders directly in it that hold images at any depth."""
        return tuple(folder for folder in self.folders if folder.count)


def read_tree(root: Path) -> Tree:
    """Everything below `root`. Links are followed, since class folders often are links; a loop of links is cut.

    Raises BadFile for a folder that cannot be listed, and for one more than DEEPEST folders deep.
    """
    return _read(str(root), "", root.name, frozenset())


def joined(place: str, name: str) -> str:
    """A path below the root: `place` is the folder there, empty for the root itself."""
    return f"{place}/{name}" if place else name


def kinds_of(names: Iterable[str], most: int = 6) -> str:
    """How many names have each extension, the most frequent first: `10 .avif, 10 .heic, 1 without extension`."""
    tally = Counter(os.path.splitext(name)[1].lower() or "without extension" for name in names)
    ordered = sorted(tally.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {kind}" for kind, count in ordered[:most]]
    rest = sum(count for _, count in ordered[most:])
    return ", ".join([*shown, *([f"{rest:,} of other kinds"] if rest else [])])


def left_out_line(names: list[str], images: int) -> str:
    """The line about the files `names` that are not read, beside `images` that are; a warning if many are pictures."""
    total = len(names) + images
    line = f"{len(names):,} of {many(total, 'file')} left out: {kinds_of(names)}"
    pictures = [name for name in names if is_unread_picture(name)]
    if 10 * len(pictures) >= total:
        line = f"WARNING: {line}; these are pictures in a format that is not read{mends(pictures)}"
    return line


def _kind(entry: "os.DirEntry[str]") -> Literal["folder", "file", "gone"]:
    """What an entry, or what it links to, is; a link to itself leads nowhere, as one to nothing does."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "gone"
    except OSError:
        return "gone"


def _read(path: str, place: str, name: str, above: frozenset[tuple[int, int]]) -> Tree:
    folders: list[Tree] = []
    images: list[str] = []
    others: list[str] = []
    gone: list[str] = []
    junk = 0
    if len(above) > DEEPEST:
        raise BadFile(path, f"lies more than {DEEPEST} folders deep; expected class folders near the top")
    try:
        status = os.stat(path)
        key = (status.st_dev, status.st_ino)
        entries = [] if key in above else sorted(os.scandir(path), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise BadFile(path, f"cannot be listed ({error.strerror})") from None
    for entry in entries:
        lower = entry.name.lower()
        if lower in JUNK_FOLDERS or lower in JUNK_FILES or lower.startswith("._"):
            junk += 1
        elif entry.name.startswith("."):
            continue
        elif (kind := _kind(entry)) == "folder":
            folders.append(_read(entry.path, joined(place, entry.name), entry.name, above | {key}))
        elif kind == "gone":
            gone.append(entry.name)
        else:
            (images if is_image_name(entry.name) else others).append(entry.name)
    count = len(images) + sum(folder.count for folder in folders)
    return Tree(name, place, tuple(folders), tuple(images), tuple(others), tuple(gone), junk, count)
