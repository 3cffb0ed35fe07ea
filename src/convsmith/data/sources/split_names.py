"""The names of splits, of folders, tables and cells: `train`, `Training`, `test_set`, `val_images`, `seg_train`."""

import re
import unicodedata
from functools import lru_cache

SPLITS = ("train", "val", "test")
_WORDS = {
    "train": ("train", "training", "tr", "trn"),
    "val": ("val", "valid", "validation", "validate", "dev", "development"),
    "test": ("test", "testing", "tst", "holdout", "heldout", "eval", "evaluation"),
    # Images without labels, which some competitions add.
    "unlabeled": ("pred", "predict", "prediction", "unlabeled", "unlabeled", "submission", "inference"),
}
SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
# Words beside the name of a split that do not matter: `train_set`, `images_train`, `valdata`.
_BESIDE = frozenset(
    [
        "set",
        "sets",
        "split",
        "splits",
        "image",
        "images",
        "img",
        "imgs",
        "picture",
        "pictures",
        "pic",
        "pics",
        "photo",
        "photos",
        "data",
        "dataset",
        "folder",
        "dir",
        "files",
        "jpg",
        "jpeg",
        "png",
        "labels",
        "label",
        "labeled",
        "labeled",
        "annotations",
        "metadata",
    ]
)
_GLUED = re.compile(rf"^({'|'.join(sorted(SPLIT_OF, key=len, reverse=True))})(set|data|images|imgs|labels|split)?\d*$")


@lru_cache(4096)
def split_name(text: str) -> tuple[str, tuple[str, ...]] | None:
    """The split that a name states (`train`, `val`, `test`, `unlabeled`), and its other words; None if it states none.

    `seg_train` gives ("train", ("seg",)). Folders are the splits of one set if their other words are equal.
    """
    plain = unicodedata.normalize("NFC", text).strip().lower()
    words = [word for word in re.split(r"[\s_\-.()]+", re.sub(r"h[oe]ld[\s_-]?out", "holdout", plain)) if word]
    found: str | None = None
    rest: list[str] = []
    for word in words:
        match = _GLUED.match(word)
        if match and found is None:
            found = SPLIT_OF[match[1]]
        elif word not in _BESIDE and not word.isdigit():
            rest.append(word)
    return None if found is None else (found, tuple(rest))


def cell_split(text: str) -> str | None:
    """The split that a cell of a table names; None if it names none of the three."""
    named = split_name(text)
    return named[0] if named and not named[1] and named[0] in SPLITS else None
