"""The role of each column of a table, by the names of Convsmith, Kaggle, Hugging Face and fastai."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convsmith.base.errors import BadFile, nearest
from convsmith.report.text import many

IMAGE_COLUMNS = ("image", "file", "path", "filename")
# The names of others, the clearest first; `_IDS` are columns with an image's name or number.
_OTHER_IMAGES = (
    "filepath", "filepaths", "file_path", "image_path", "img_path", "imagepath", "file_name", "filenames", "image_file",
    "image_filename", "image_file_name", "image_name", "imagename", "img_name", "img", "picture", "photo", "images",
)  # fmt: skip
_IDS = ("image_id", "imageid", "img_id", "id_code", "id", "uuid", "name")
LABEL_COLUMNS = ("label", "class", "labels")
_OTHER_LABELS = (
    "target", "category", "class_name", "classname", "label_name", "labelname", "class_label", "species", "breed",
    "diagnosis", "tag", "class_id", "classid", "category_id", "label_id", "class_index",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "data_set", "dataset", "subset", "partition", "set", "fold_name")
# Columns of true and false that say which rows are not for training, and the split of those rows.
FLAG_COLUMNS = {"is_valid": "val", "is_val": "val", "is_validation": "val", "valid": "val", "is_test": "test"}
MARKS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


@dataclass(frozen=True)
class Header:
    """The index of each column. `marks` are the columns of 0 and 1 by their class; `flags` the splits by their column.

    `notes` name the columns whose role was guessed.
    """

    width: int
    image: int
    label: int | None
    split: int | None
    flags: dict[int, str]
    marks: dict[str, int]
    unused: tuple[str, ...]
    notes: tuple[str, ...]


def has_images(names: Sequence[str]) -> bool:
    """Whether a column among these names holds images."""
    plain = _plain(names)
    return any(name in (*IMAGE_COLUMNS, *_OTHER_IMAGES, *_IDS) for name in plain)


def has_labels(names: Sequence[str]) -> bool:
    """Whether there is one column of images, and another one that may hold labels."""
    plain = _plain(names)
    images = _image(plain)
    others = [n for i, n in enumerate(plain) if n and images != [i] and n not in (*SPLIT_COLUMNS, *FLAG_COLUMNS)]
    return len(images) == 1 and bool(others)


def read_header(path: Path, names: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> Header:
    """The role of each column: by its name, else by its values in `rows`. Raises BadFile."""
    plain = _plain(names)
    if not any(names):
        raise BadFile(path, f"expected a header with {_expected()}, found none")
    twice = next((n for i, n in enumerate(plain) if n and n in plain[:i]), None)
    if twice is not None:
        raise BadFile(path, f"its header has two columns {twice!r}; expected each once")
    images = _image(plain)
    labels = _label(plain)
    if len(images) != 1 or len(labels) > 1:
        raise BadFile(path, f"expected a header with {_expected()}, found {_shown(names)}{_hint(plain, images, names)}")
    split = next(
        (plain.index(name) for name in SPLIT_COLUMNS if name in plain and plain.index(name) != images[0]), None
    )
    flags = {
        i: FLAG_COLUMNS[n] for i, n in enumerate(plain) if n in FLAG_COLUMNS and split is None and _holds_marks(rows, i)
    }
    taken = {images[0], split, *flags, *labels}
    others = {name: i for i, name in enumerate(names) if i not in taken}
    notes = [f"images are the column {names[images[0]]!r}"] if plain[images[0]] in _IDS else []
    notes += [f"labels are the column {names[i]!r}" for i in labels if plain[i] not in LABEL_COLUMNS]
    notes += [f"{names[i]!r} says which rows are {goal}" for i, goal in flags.items()]
    # A column without a name is the index that some programs write.
    named = {name: i for name, i in others.items() if name}
    marks = {name: i for name, i in named.items() if _holds_marks(rows, i)}
    if not labels and len(named) == 1 and not marks:
        labels = [_only(path, *next(iter(named.items())), rows)]
        notes.append(f"labels are the column {names[labels[0]]!r}, the only other one")
    if labels:
        unused = tuple(name or "(no name)" for name, i in others.items() if i != labels[0])
        return Header(len(names), images[0], labels[0], split, flags, {}, unused, tuple(notes))
    if not named:
        raise BadFile(path, f"expected a header with {_expected()}, found {_shown(names)}")
    unused = tuple("(no name)" for name in others if not name)
    return Header(len(names), images[0], None, split, flags, named, unused, tuple(notes))


def _plain(names: Sequence[str]) -> list[str]:
    return ["_".join(name.strip().lower().replace("-", " ").split()) for name in names]


def _image(plain: Sequence[str]) -> list[int]:
    own = [i for i, name in enumerate(plain) if name in IMAGE_COLUMNS]
    others = [plain.index(name) for name in (*_OTHER_IMAGES, *_IDS) if name in plain]
    return own or others[:1]


def _label(plain: Sequence[str]) -> list[int]:
    own = [i for i, name in enumerate(plain) if name in LABEL_COLUMNS]
    others = [plain.index(name) for name in _OTHER_LABELS if name in plain]
    return own or others[:1]


def _holds_marks(rows: Sequence[tuple[int, list[str]]], column: int) -> bool:
    return all(row[column].strip().lower() in MARKS for _, row in rows if column < len(row))


def _only(path: Path, name: str, column: int, rows: Sequence[tuple[int, list[str]]]) -> int:
    """The only other column, if its values repeat as classes do; texts about each image do not."""
    values = [row[column].strip() for _, row in rows if column < len(row)]
    if len(values) > 4 and 2 * len(set(values)) > len(values):
        raise BadFile(
            path,
            f"expected a column {'|'.join(LABEL_COLUMNS)}; {name!r} holds {len(set(values)):,} different texts in "
            f"{many(len(values), 'row')}, which are no classes; if they are, call the column label",
        )
    return column


def _expected() -> str:
    return (
        f"one column {'|'.join(IMAGE_COLUMNS)}, one column {'|'.join(LABEL_COLUMNS)} (or a column of 0 and 1 for each "
        f"class) and perhaps {SPLIT_COLUMNS[0]}"
    )


def _hint(plain: Sequence[str], images: Sequence[int], names: Sequence[str]) -> str:
    if images:
        return ""
    if any("." in name and name.rpartition(".")[2].lower() in ("jpg", "jpeg", "png") for name in names):
        return "; its first line looks like a row: put the line image,label above it"
    close = [(name, near[0]) for name in plain if (near := nearest(name, IMAGE_COLUMNS, 1))]
    return "".join(f"; {name!r} may be meant as {near!r}" for name, near in close[:1])


def _shown(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
