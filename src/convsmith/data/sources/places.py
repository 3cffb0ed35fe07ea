"""The places of the images that a table names: the path as written, or completed; at most beside the table's folder."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from convsmith.base.errors import BadFile
from convsmith.data.sources.same_names import nfc
from convsmith.data.sources.split_names import split_name
from convsmith.data.sources.tree import read_tree
from convsmith.report.text import many

# A path that needs no normalizing: relative, with slashes, without `.` and `..`.
_PLAIN = re.compile(r"(?!/)(?!.*//)(?!(.*/)?\.{1,2}(/|$))[^\\\0]+$")


@dataclass
class Places:
    """The images of a table in `folder`. `completed` counts the names that were not paths as they stood."""

    folder: Path
    completed: int = 0
    example: tuple[str, str] | None = None
    _index: dict[str, list[str]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._top = os.path.abspath(self.folder)
        # Beside the folder of a table that lies in the home folder, or in /, is nearly everything.
        above = os.path.dirname(self._top)
        self._beside = os.path.dirname(above) != above and above != os.path.expanduser("~")

    def find(self, text: str, split: str) -> tuple[str, str]:
        """The path relative to the folder (`../images/1.png` beside it) and what is wrong, one of them empty.

        A name that is not a path there is looked up by its end, with or without an extension. `split` decides between
        two files.
        """
        if not text or "\0" in text:
            return "", "names no image"
        if _PLAIN.match(text) and os.path.isfile(f"{self._top}/{text}"):
            return text, ""  # most are, in tables of 100,000
        for written in dict.fromkeys((text, text.replace("\\", "/"))):
            for start in (self.folder, self.folder.parent):
                file = self._relative(start / written)
                if file is not None and os.path.isfile(self.folder / file):
                    return self._found(text, file, as_written=written == text and start == self.folder), ""
        near = self._near(nfc(text.replace("\\", "/")), split)
        if len(near) == 1:
            return self._found(text, near[0], as_written=False), ""
        if near:
            return "", f"{text!r:.80} may be {near[0]} or {near[1]}; write the path"
        if self._relative(self.folder / text) is None:
            return "", f"leads outside the table's folder: {text!r:.200}"
        return "", ""

    def note(self) -> str:
        """Notes on names that were completed."""
        if self.example is None:
            return ""
        text, file = self.example
        return f"{many(self.completed, 'name is', 'names are')} completed: {text} is {file}"

    def _found(self, text: str, file: str, as_written: bool) -> str:
        if not as_written:
            self.completed += 1
            self.example = self.example or (text, file)
        return file

    def _relative(self, path: Path) -> str | None:
        """The path relative to the folder, with slashes; None if it leads further away than beside the folder."""
        parts = os.path.relpath(os.path.abspath(path), self._top).split(os.sep)
        away = parts.count("..")
        return None if parts == ["."] or len(parts) == away or away > int(self._beside) else "/".join(parts)

    def _near(self, text: str, split: str) -> list[str]:
        """The images below the folder whose path shares the most last parts with the text."""
        parts = [part for part in PurePosixPath(text).parts if part not in ("/", ".", "..")]
        if not parts:
            return []
        if self._index is None:
            self._index = _index(self.folder)
        near = self._index.get(parts[-1].casefold(), [])
        outside = self._relative(self.folder / text) is None
        for count in range(2, len(parts) + 1):
            folders = [part.casefold() for part in parts[-count:-1]]
            longer = [f for f in near if [p.casefold() for p in nfc(f).split("/")[-count:-1]] == folders]
            # A path of another machine may end in the name alone; one of this folder names a folder that is not here.
            near = longer or (near if count > 2 or outside else [])
        if len(near) > 1:
            own = [file for file in near if _of_split(file, split)]
            near = own or near
        return near


def links_out(folder: Path, files: Sequence[str]) -> list[str]:
    """The files that are links, or lie behind links, that lead out of the folder's parent."""
    top = os.path.realpath(folder.parent if any(file.startswith("../") for file in files) else folder)
    inside: dict[str, bool] = {}
    found: list[str] = []
    for file in files:
        path = os.path.join(folder, file)
        parent = os.path.dirname(path)
        if parent not in inside:
            inside[parent] = _is_below(os.path.realpath(parent), top)
        if not inside[parent] or (os.path.islink(path) and not _is_below(os.path.realpath(path), top)):
            found.append(file)
    return found


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip(os.sep) + os.sep)


def _index(folder: Path) -> dict[str, list[str]]:
    """The images below the folder by their names, with and without extension."""
    found: dict[str, list[str]] = {}
    try:
        images = read_tree(folder).all_images()
    except BadFile:
        return {}
    for file in images:
        name = nfc(file.rpartition("/")[2]).casefold()
        for key in {name, name.rpartition(".")[0]}:
            found.setdefault(key, []).append(file)
    return found


def _of_split(file: str, split: str) -> bool:
    return any((named := split_name(part)) and named[0] == split for part in file.split("/")[:-1])
