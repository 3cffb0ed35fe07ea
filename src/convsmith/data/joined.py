"""Two stored splits as one, for folds over both. No torch here."""

from convsmith.data.examples import Examples, join
from convsmith.data.sources.source import Source

# What a division's record calls the stored train and the stored val, one after the other.
TRAIN_VAL = "train+val"


def stored_examples(source: Source, name: str) -> Examples | None:
    """A stored split, or train and val as one."""
    if name == TRAIN_VAL and {"train", "val"} <= set(source.splits):
        return join([source.splits["train"], source.splits["val"]])
    return source.splits.get(name)
