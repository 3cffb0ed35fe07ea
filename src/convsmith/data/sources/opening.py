"""From what a user names to a source: known names, and paths whose kind is recognised from what lies there."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from convsmith.base.errors import BadFile, MissingPath, nearest
from convsmith.base.table import Table
from convsmith.data.card import Card
from convsmith.data.examples import allow
from convsmith.data.options import DataOptions
from convsmith.data.sources import names
from convsmith.data.sources.cifar import download_cifar, is_cifar10, is_cifar100, open_cifar10, open_cifar100
from convsmith.data.sources.digits import open_digits
from convsmith.data.sources.download import download
from convsmith.data.sources.folder import is_folder, open_folder
from convsmith.data.sources.idx import is_idx, open_idx
from convsmith.data.sources.parquet import is_parquet, open_parquet
from convsmith.data.sources.source import Origin, Source
from convsmith.data.sources.table import is_table, open_table

_LOOKED_FOR = (
    "class folders with images, train/val/test folders of class folders, IDX files (train-images-idx3-ubyte), "
    "CIFAR binary files (data_batch_1.bin or train.bin), a CSV file of images and labels, Parquet files"
)
_KINDS = {
    "digits": "bundled digits",
    "idx": "IDX files",
    "cifar10": "CIFAR-10 binary files",
    "cifar100": "CIFAR-100 binary files",
    "parquet": "Parquet files",
    "folder": "folder of class folders",
    "table": "table of images and labels",
}
_OPENERS: dict[str, Callable[[Path, Origin], Source]] = {
    "parquet": open_parquet,
    "idx": open_idx,
    "cifar10": open_cifar10,
    "cifar100": open_cifar100,
    "folder": open_folder,
    "table": open_table,
}


def _open_mnist() -> Source:
    source = "Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist"
    return open_idx(download("mnist"), Origin("mnist", "idx", "CC BY-SA 3.0", source))


def _open_fashion_mnist() -> Source:
    source = "H. Xiao, K. Rasul, R. Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist"
    return open_idx(download("fashion_mnist"), Origin("fashion_mnist", "idx", "MIT", source))


def _open_cifar(name: str, opener: Callable[[Path, Origin], Source]) -> Source:
    source = "A. Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html"
    return opener(download_cifar(name), Origin(name, name, "none stated by the authors", source))


KNOWN: Table[Callable[[], Source]] = Table(
    "data set",
    dict(
        zip(
            names.SETS,
            (
                open_digits,
                _open_mnist,
                _open_fashion_mnist,
                partial(_open_cifar, "cifar10", open_cifar10),
                partial(_open_cifar, "cifar100", open_cifar100),
            ),
            strict=True,
        )
    ),
)


def open_source(options: DataOptions) -> Source:
    """The source that `options.source` names.

    A known name means that set, even where a file of that name lies in the working directory; write `./mnist` for
    the file. Anything else is a path. Raises MissingPath (with the nearest known names) and BadFile (with what was
    looked for and what was found).
    """
    text = options.source
    if text in KNOWN:
        return KNOWN[text]()
    path = Path(text).expanduser()
    if not path.exists():
        if text == names.IMAGENET:
            raise MissingPath(
                "ImageNet is not downloaded, as its owners want an agreement first: give your copy with --data FOLDER, "
                "in it train/ and val/ with a folder of images for each class"
            )
        near = nearest(text, KNOWN)
        hint = f"nearest names: {', '.join(near)}" if near else f"the names are {', '.join(KNOWN)}"
        raise MissingPath(
            f"no such path, and no data set of this name: {text!r}; {hint}; a folder of yours: --data PATH"
        )
    source = open_path(path)
    if options.max_megapixels is None:
        return source
    most = options.max_megapixels * 1_000_000
    return replace(source, splits={split: allow(examples, most) for split, examples in source.splits.items()})


def open_path(path: Path) -> Source:
    """The source that lies at `path`, its kind told by the files there."""
    kind = recognise(path)
    name = path.stem if path.is_file() else path.resolve().name
    return _OPENERS[kind](path, Origin(name, kind, source=f"local files in {name}"))


def recognise(path: Path) -> str:
    """The kind of what lies at `path`: parquet, table, idx, cifar10, cifar100 or folder. Raises BadFile."""
    if is_parquet(path):
        return "parquet"
    if is_table(path):
        return "table"
    if path.is_dir():
        for kind, is_kind in (
            ("idx", is_idx),
            ("cifar10", is_cifar10),
            ("cifar100", is_cifar100),
            ("folder", is_folder),
        ):
            if is_kind(path):
                return kind
    raise BadFile(path, f"no data set recognised; looked for {_LOOKED_FOR}; found {_found(path)}")


def describe(card: Card) -> str:
    """What was recognised, in one line: `folder of class folders: 3 classes, 120 images (train 100, test 20)`."""
    total = sum(card.counts.values())
    several = " (several to an image)" if card.multilabel else ""
    line = f"{_KINDS.get(card.kind, card.kind)}: {len(card.classes)} classes{several}, {total:,} images"
    if len(card.counts) > 1:
        line += f" ({', '.join(f'{split} {count:,}' for split, count in card.counts.items())})"
    return line


def _found(path: Path) -> str:
    if not path.is_dir():
        return f"a file of {path.stat().st_size} bytes; give its folder, a Parquet file or a CSV file"
    entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    if not entries:
        return "an empty folder"
    shown = ", ".join(entry.name + ("/" if entry.is_dir() else "") for entry in entries[:6])
    table = next((entry.path for entry in entries if is_table(Path(entry.path))), None)
    hint = f"; a table of images and labels is named itself: --data {table}" if table else ""
    return shown + (f" and {len(entries) - 6} more" if len(entries) > 6 else "") + hint
