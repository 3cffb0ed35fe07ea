"""From what a user names to a source: known names, and paths whose kind is recognized from what lies there."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from convsmith.base.errors import BadFile, MissingPath, nearest
from convsmith.base.table import Table
from convsmith.data.card import Card
from convsmith.data.image_sets import allow
from convsmith.data.options import DataOptions
from convsmith.data.restrict import of_seen_classes
from convsmith.data.sources import names
from convsmith.data.sources.archives import is_archive, unpacked
from convsmith.data.sources.cifar import download_cifar, is_cifar10, is_cifar100, open_cifar10, open_cifar100
from convsmith.data.sources.digits import open_digits
from convsmith.data.sources.download import download
from convsmith.data.sources.folder import open_folder
from convsmith.data.sources.folder_tables import beside_line, find_tables, is_table
from convsmith.data.sources.idx import is_idx, open_idx
from convsmith.data.sources.layout import Layout, find_layout
from convsmith.data.sources.parquet import is_parquet, open_parquet
from convsmith.data.sources.source import Origin, Source
from convsmith.data.sources.table import open_tables
from convsmith.data.sources.tree import read_tree
from convsmith.data.sources.unknown import found_file, found_folder
from convsmith.report.text import clean, many

_LOOKED_FOR = (
    "class folders with images, train/val/test folders of class folders, IDX files (train-images-idx3-ubyte), "
    "CIFAR binary files (data_batch_1.bin or train.bin), a CSV file of images and labels, Parquet files, "
    "a zip or tar of these"
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
_ARRAYS: dict[str, tuple[Callable[[Path], bool], Callable[[Path, Origin], Source]]] = {
    "idx": (is_idx, open_idx),
    "cifar10": (is_cifar10, open_cifar10),
    "cifar100": (is_cifar100, open_cifar100),
}
SHOWN = 6  # classes that are named


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
    source = open_path(path, options)
    if options.max_megapixels is None:
        return source
    most = options.max_megapixels * 1_000_000
    splits = {split: replace(e, images=allow(e.images, most)) for split, e in source.splits.items()}
    return replace(source, splits=splits)


def open_path(path: Path, options: DataOptions | None = None) -> Source:
    """The source at `path`; its kind follows from the files there, or from the files in the archive."""
    options = options or DataOptions(source=str(path))
    if not is_archive(path):
        name = path.stem if path.is_file() else path.resolve().name
        return _open(path, name, options)
    folder, line = unpacked(path)
    try:
        source = _open(folder, path.name.partition(".")[0] or path.name, options)
    except BadFile as error:
        if error.path != str(folder):
            raise
        raise BadFile(path, error.problem) from None  # what the user named, not its place in the cache
    return replace(source, card=replace(source.card, notes=(line, *source.card.notes)))


def _open(path: Path, name: str, options: DataOptions) -> Source:
    def origin(kind: str) -> Origin:
        return Origin(name, kind, source=f"local files in {name}")

    if is_parquet(path):
        return of_seen_classes(open_parquet(path, origin("parquet")))
    if is_table(path):
        return open_tables(path, {path: "train"}, origin("table"), options.labels)
    if not path.is_dir():
        raise BadFile(path, f"no data set recognized: found {found_file(path)}; looked for {_LOOKED_FOR}")
    for kind, (is_kind, opener) in _ARRAYS.items():
        if is_kind(path):
            return of_seen_classes(opener(path, origin(kind)))
    return _open_folder(path, origin, options)


def _open_folder(path: Path, origin: Callable[[str], Origin], options: DataOptions) -> Source:
    """The source of a folder: its class folders if they lie directly in it, else its tables, else its other folders."""
    tree = read_tree(path)
    layout: Layout | None = None
    refusal: BadFile | None = None
    try:
        layout = find_layout(path, tree, options.classes)
    except BadFile as error:
        refusal = error
    several = layout is not None and len(layout.class_names()) > 1
    if layout is None or layout.tree is not tree or not several:
        tables = find_tables(path, tree, deeper=not several)
        if tables is not None:
            source = open_tables(path, tables.paths, origin("table"), options.labels)
            card = replace(source.card, layout=tables.words, notes=(*tables.notes, *source.card.notes))
            return replace(source, card=card)
    if refusal is not None:
        raise refusal
    if layout is None:
        raise BadFile(path, f"no data set recognized: found {found_folder(path, tree)}; looked for {_LOOKED_FOR}")
    source = open_folder(path, origin("folder"), layout)
    line = beside_line(path, layout.tree)
    return replace(source, card=replace(source.card, notes=(*source.card.notes, line))) if line else source


def describe(card: Card) -> str:
    """One line on what was recognized: `split folders Train, Test: 2 classes (cat, dog), 120 images (...)`."""
    total = sum(card.counts.values())
    what = card.layout or _KINDS.get(card.kind, card.kind)
    line = f"{what}: {many(len(card.classes), 'class', 'classes')}{_named(card)}, {many(total, 'image')}"
    if len(card.counts) > 1:
        line += f" ({', '.join(f'{split} {count:,}' for split, count in card.counts.items())})"
    return line


def _named(card: Card) -> str:
    """The names of the classes, or of the first of many, and whether an image may have several, in brackets."""
    told = ["several to an image"] if card.multilabel else []
    if card.kind in ("folder", "table", "parquet") and card.classes:
        shown = card.classes if len(card.classes) <= SHOWN else (*card.classes[:3], "...")
        told.insert(0, ", ".join(clean(name, 40) for name in shown))
    return f" ({'; '.join(told)})" if told else ""
