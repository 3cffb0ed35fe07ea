"""Checks whether training can use a source, for `data check`, `data stats` and `train`."""

import re

from convsmith.base.errors import BadFile
from convsmith.data.examples import images_of_classes
from convsmith.data.findings import STOPS, of_kinds
from convsmith.data.sources.same_names import twin
from convsmith.data.sources.source import Source
from convsmith.report.text import many

# What a class and a split are called, by the kind of the source.
_WORDS = {"folder": ("class folder", "a folder {}"), "table": ("class", "rows of the split {}")}
_ROW = re.compile(r"(.*), (line \d+)", re.DOTALL)
_OTHER = ("class", "a split {}")


def check_usable(source: Source, skip: bool = False) -> None:
    """Raise BadFile with the first reason why training cannot use the source. With `skip`, missing files are none."""
    check_whole(source, skip, "--on-bad skip leaves out what is not there")
    path, card = source.path or source.card.name, source.card
    noun, split_noun = _WORDS.get(card.kind, _OTHER)
    if "train" not in source.splits:
        if not source.splits:
            raise BadFile(path, "has no image that is there")
        found = ", ".join(source.splits)
        raise BadFile(path, f"expected {split_noun.format('train')}, found only {found}; eval takes it as it is")
    least = 1 if card.multilabel else 2
    if len(card.classes) < least:
        many = "es" if noun == "class" else "s"
        found = f"only {card.classes[0]!r}" if card.classes else "none"
        raise BadFile(
            path,
            f"expected at least {'two' if least == 2 else 'one'} {noun}{many if least == 2 else ''}, found {found}",
        )
    _check_learned(source, path)


def check_whole(source: Source, skip: bool = False, mend: str = "") -> None:
    """Raise BadFile with the first finding that stops every verb; `skip` as in `check_usable`.

    `mend` is added to the message if missing files are all that is wrong, so that `skip` would help.
    """
    stops = of_kinds(source.findings, STOPS)
    missing = of_kinds(stops, ("missing",))
    counted = [finding for finding in stops if not (skip and finding.kind == "missing")]
    if not counted:
        return
    first, more = counted[0], len(counted) - 1
    others = f" (and {more:,} more; `convsmith data check {source.path}` lists them)" if more else ""
    helps = f"; {mend}" if mend and source.splits and len(missing) == len(counted) else ""
    row = _ROW.fullmatch(first.file)
    where = f"{row[2]}: " if row else ""
    raise BadFile(row[1] if row else first.file, f"{where}{first.detail}{others}{helps}")


def _check_learned(source: Source, path: str) -> None:
    """Raise BadFile if val or test has images of a class that has none in train."""
    card = source.card
    trained = {name for name, n in zip(card.classes, card.class_counts["train"], strict=True) if n}
    for split, examples in source.splits.items():
        counts = images_of_classes(examples.labels, len(card.classes))
        for number, (name, count) in enumerate(zip(card.classes, counts, strict=True)):
            if not count or name in trained:
                continue
            place = next(
                i for i, label in enumerate(examples.labels) if (label == number if label.ndim == 0 else label[number])
            )
            other = twin(name, sorted(trained))
            mend = (
                f"train has {other!r}, the same but for case or spaces: give both one name"
                if other
                else f"--data.classes {','.join(c for c in card.classes if c in trained)} leaves it out"
                if len(trained) <= 12 and not card.multilabel
                else "name the other classes with --data.classes to leave it out"
            )
            raise BadFile(
                path,
                f"class {name!r} has {many(count, 'image')} in {split} ({examples.place(place)}) "
                f"and none in train, so it cannot be learned; {mend}",
            )
