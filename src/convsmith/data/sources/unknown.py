"""Messages for a file or folder that is not a data set: what it seems to be, and what to give in its place."""

import re
from pathlib import Path

from convsmith.data.sources.archives import is_archive
from convsmith.data.sources.tree import Tree, is_image_name, kinds_of
from convsmith.report.text import many

_GOAL = re.compile(r"^\s*(path|train)\s*:\s*['\"]?([^'\"#\n]+)", re.MULTILINE)
_HINTS = {
    ".xlsx": "a spreadsheet; save it as CSV with the columns image,label and name that",
    ".xls": "a spreadsheet; save it as CSV with the columns image,label and name that",
    ".ods": "a spreadsheet; save it as CSV with the columns image,label and name that",
    ".json": "a JSON file; expected a table: CSV with the columns image,label, or .jsonl with an object on each line",
    ".txt": "a text; a table of images and labels is a CSV file with the columns image,label",
    ".pkl": "a pickled file, which could run code and is never read; write images as files, or Parquet",
    ".pt": "a PyTorch file, which is not a data set; write images as files, or Parquet",
    ".npz": "arrays of NumPy; write them as images in class folders, or Parquet",
    ".npy": "an array of NumPy; write it as images in class folders, or Parquet",
    ".h5": "an HDF5 file; write its images as files in class folders, or Parquet",
    ".tfrecord": "records of TensorFlow; write them as images in class folders, or Parquet",
    ".arrow": "an Arrow file; save it as Parquet (data_set.to_parquet)",
}


def found_file(path: Path) -> str:
    """What a file that is not a data set seems to be, and what to give in its place."""
    kind = path.suffix.lower()
    if kind in (".yaml", ".yml"):
        return f"a YAML file of Ultralytics, by its name; give the folder that it names, --data {_named_folder(path)}"
    if is_image_name(path.name):
        return f"one image; give the folder of class folders that it lies in, --data {path.parent.parent}"
    if kind in _HINTS:
        return _HINTS[kind]
    return f"a file of {many(path.stat().st_size, 'byte')}; give its folder, an archive, a Parquet file or a CSV file"


def found_folder(path: Path, tree: Tree) -> str:
    """What a folder without class folders holds, and what to do about it."""
    names = [folder.name + "/" for folder in tree.folders] + [*tree.images, *tree.others]
    if not names:
        return "an empty folder"
    if len(tree.images) > 1:
        return (
            f"{many(len(tree.images), 'image')} in the folder itself ({kinds_of(tree.images)}), which "
            f"{'has' if len(tree.images) == 1 else 'have'} no labels; move "
            "them into a folder for each class, or write a table of images and labels (image,label)"
        )
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    archive = next((name for name in tree.others if is_archive(path / name)), None)
    yaml = next((name for name in tree.others if name.lower().endswith((".yaml", ".yml"))), None)
    hint = f"; an archive is named itself: --data {path / archive}" if archive else ""
    hint += f"; {found_file(path / yaml)}" if yaml and not archive else ""
    return shown + hint


def _named_folder(path: Path) -> str:
    """The folder that a YAML file names, if it exists; else a placeholder that describes it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = _GOAL.findall(file.read(100_000))
    except OSError:
        found = []
    for _, text in sorted(found):
        folder = path.parent / text.strip()
        if folder.is_dir():
            return str(folder)
    return "FOLDER (in it train/ and val/ with a folder for each class)"
