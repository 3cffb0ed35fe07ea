"""Which of an evaluation's numbers says how good a network is, and what it is called."""

from collections.abc import Container

# The first that is there counts. The log of several labels has an accuracy too: the share of images that are all right.
SCORES = {"map": "Mean average precision", "accuracy": "Accuracy", "score": "Score"}
SHARES = ("map", "accuracy")


def score_of(names: Container[str]) -> str | None:
    """The number that counts among those that are there; None where there is none of `SCORES`."""
    return next((what for what in SCORES if what in names), None)


def short_name(what: str) -> str:
    """A number's name where there is little room."""
    return {"map": "mAP"}.get(what, what)
