"""The files of the pictures that a verb writes."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from convsmith.base.errors import MissingPath, UsageError
from convsmith.base.files import write_files
from convsmith.cli.arguments import say


def picture_file(text: str) -> Path:
    """The path of a picture to write, which must end in .svg."""
    path = Path(text)
    if path.suffix.lower() != ".svg":
        what = f"files of the kind {path.suffix!r} cannot be written" if path.suffix else "the file has no ending"
        raise argparse.ArgumentTypeError(f"{what}; expected a name that ends in .svg, received {text!r}")
    return path


def check_folders(paths: list[Path | None]) -> None:
    """Raise MissingPath for files whose folder does not exist, before anything is computed."""
    for path in paths:
        if path is not None and not os.path.isdir(path.parent):
            raise MissingPath(f"{path}: there is no folder {path.parent} to write it into; make it first")
        if path is not None and os.path.isdir(path):
            raise UsageError(f"{path}: is a folder; expected the name of a file")


def write_picture(path: Path | None, draw: Callable[[], str]) -> None:
    """Write a picture to `path` and say so; nothing if `path` is None."""
    if path is not None:
        write_files({path: draw().encode()})
        say(f"drawn into {path}")
