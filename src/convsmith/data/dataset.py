"""`open_data`: from the data options to splits of examples that loaders can read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from convsmith.base.errors import BadFile
from convsmith.data.card import Card
from convsmith.data.decoding import find_bad, measure
from convsmith.data.examples import Examples
from convsmith.data.formats import is_image_name
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput, preprocess_for
from convsmith.data.restrict import of_classes
from convsmith.data.sources.names import SETS
from convsmith.data.sources.opening import open_source
from convsmith.data.sources.source import Source
from convsmith.data.split import Skipped, division_from_record, split_source
from convsmith.data.usable import check_usable
from convsmith.report.text import many


@contextmanager
def offering_skip(options: DataOptions) -> Iterator[None]:
    """Add to the error for an image that cannot be decoded how to leave such images out."""
    try:
        yield
    except BadFile as error:
        if options.on_bad == "skip" or not is_image_name(PurePath(error.path).name):
            raise
        raise BadFile(error.path, f"{error.problem} (--on-bad skip leaves such files out)") from None


@dataclass(frozen=True)
class Dataset:
    """A data set as a run uses it: the card of what is stored, the preprocessing, three splits and their record.

    `warnings` are about the training images, if mean and std were measured in this call.
    """

    card: Card
    preprocess: ImageInput
    train: Examples
    val: Examples
    test: Examples | None
    split: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Notes on what the source and the options leave out of the data or change."""
        classes, images = self.split.get("classes"), self.split.get("images")
        notes = [f"only the classes {', '.join(classes)}"] if classes else []
        if images:
            notes.append(f"only {images['count']:,} of {many(images['of'], 'training image')}")
        return (*self.notes, *notes)


def open_data(
    options: DataOptions, *, split: dict[str, Any] | None = None, preprocess: ImageInput | None = None
) -> Dataset:
    """Open, divide and measure what `options` names; a resumed run gives its own `split` and `preprocess` records.

    With `on_bad=skip` every file is decoded once before the split is made; files that fail are left out and recorded.
    Raises UsageError if a given split was made of other counts than the source has.
    """
    source = open_usable(options)
    if split is not None:
        division = division_from_record(source, split)
    else:
        division = split_source(source, options, skipped_files(source, options))
    warnings: tuple[str, ...] = ()
    if preprocess is None:
        preprocess = _neutral(source.card, options)
        measured = measure(division.train, preprocess, options.workers, options.cache)
        preprocess, warnings = replace(preprocess, mean=measured.mean, std=measured.std), measured.warnings
    # The known data sets need no notes on their sizes and modes.
    notes = division.notes if options.source in SETS else (*source.card.notes, *division.notes)
    notes = (*notes, *warnings)
    return Dataset(source.card, preprocess, division.train, division.val, division.test, division.record, notes)


def open_usable(options: DataOptions) -> Source:
    """The source with the chosen classes, checked for training. Raises BadFile if training cannot use it."""
    source = open_source(options)
    if options.classes:
        source = of_classes(source, options.classes)
    check_usable(source, skip=options.on_bad == "skip")
    return source


def skipped_files(source: Source, options: DataOptions) -> list[Skipped]:
    """The files that cannot be decoded and that `on_bad=skip` leaves out; empty without `on_bad=skip`."""
    if options.on_bad != "skip":
        return []
    record = _neutral(source.card, options)
    return [
        Skipped(split, index, file, problem)
        for split, examples in source.splits.items()
        for index, file, problem in find_bad(examples, record, options.workers, options.cache)
    ]


def _neutral(card: Card, options: DataOptions) -> ImageInput:
    """The preprocessing record with neutral mean and std, for use before these are measured."""
    channels = options.channels or card.channels
    return preprocess_for(card, options, ((0.5,) * channels, (0.5,) * channels))
