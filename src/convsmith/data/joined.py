"""Two stored splits as one, for folds over both."""

from convsmith.data.examples import Examples, join
from convsmith.data.sources.source import Source

# The name in a division's record of the stored train followed by the stored val.
TRAIN_VAL = "train+val"


def stored_examples(source: Source, name: str) -> Examples | None:
    """The examples of a stored split, or of train and val as one; None if the source lacks it."""
    if name == TRAIN_VAL and {"train", "val"} <= set(source.splits):
        return join([source.splits["train"], source.splits["val"]])
    return source.splits.get(name)
