"""Checks of every file of a data set, and a report of what is wrong or odd."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convsmith.base import config
from convsmith.base.errors import BadFile, ConvsmithError, UsageError
from convsmith.data.card import Card
from convsmith.data.copies import LOUD, two_labels_line
from convsmith.data.decoding import CHUNK, NOTHING, each_chunk
from convsmith.data.examples import Examples
from convsmith.data.findings import SKIPPED, SPOILS, STOPS, Finding, Kind, of_kinds
from convsmith.data.images import NotAnImage, blamed
from convsmith.data.oddities import oddities, pixels_digest
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import UNFIT, ImageInput, read_picture
from convsmith.data.restrict import of_classes
from convsmith.data.sources.opening import describe, open_source
from convsmith.data.sources.source import Source
from convsmith.data.split import Skipped, split_source
from convsmith.data.usable import check_usable

# The preprocessing before images are compared: in color, upright, at their own size.
_RECORD = ImageInput(mode="RGB", size=(1, 1), mean=(0.5,) * 3, std=(0.5,) * 3)


@dataclass(frozen=True)
class CheckReport:
    """The findings in a number of images. `ok` is false if training would stop, or its numbers would mislead.

    `card` is the source's, None if the source could not be opened; `skippable` says that the rest would train;
    `two_labels` counts the images that have a copy with another label.
    """

    files: int
    findings: tuple[Finding, ...]
    card: Card | None = None
    skippable: bool = False
    two_labels: int = 0

    @property
    def ok(self) -> bool:
        """Whether no finding stops training or makes its numbers misleading."""
        return not of_kinds(self.findings, SPOILS)

    @property
    def verdict(self) -> str:
        """A sentence that says whether the data is fit for training."""
        stops, skipped = of_kinds(self.findings, STOPS), of_kinds(self.findings, SKIPPED)
        if not stops:
            doubts = [] if self.ok else ["images lie in two splits, which flatters the numbers"]
            if self.two_labels > LOUD * self.files:
                doubts.append(two_labels_line(self.two_labels, self.files))
            return f"trains, but {', and '.join(doubts)}" if doubts else "fit for training"
        if not self.skippable:
            return "not fit for training as it is"
        these = f"these {len(skipped):,} files" if len(skipped) > 1 else "this file"
        return f"not fit for training as it is; --on-bad skip leaves {these} out"

    def to_json(self) -> dict[str, Any]:
        """The report as JSON data."""
        card = self.card
        return {
            "files": self.files,
            "classes": len(card.classes) if card else 0,
            "layout": describe(card) if card else None,
            "notes": list(card.notes) if card else [],
            "ok": self.ok,
            "verdict": self.verdict,
            "findings": config.plain(self.findings),
        }


def check_path(
    path_or_name: str | Path,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    classes: tuple[str, ...] = (),
    max_megapixels: int | None = None,
) -> CheckReport:
    """Decode every image of a source with `workers` threads; `progress` gets the files done and the files in all.

    With `classes`, only images of these classes. Whatever training would refuse is a finding of the kind `refused`
    with the same message, since both call the same code.
    """
    options = DataOptions(source=str(path_or_name), classes=classes, max_megapixels=max_megapixels)
    try:
        source = open_source(options)
        source = of_classes(source, classes) if classes else source
    except BadFile as error:
        return CheckReport(0, (Finding(error.path, "refused", error.problem),))
    findings = [*source.findings, *_refusals(source, options)]
    total = sum(len(examples) for examples in source.splits.values())
    done = 0
    seen: dict[bytes, _Seen] = {}
    labels: dict[bytes, list[str]] = {}
    skipped: list[Skipped] = []
    for split, examples in source.splits.items():
        at = 0
        for chunk in each_chunk(lambda begin, e=examples: _inspect(e, begin), range(0, len(examples), CHUNK), workers):
            for i, (name, found, digest) in enumerate(chunk, at):
                findings += found
                if digest is None:
                    skipped.append(Skipped(split, i, name, found[0].detail))
                else:
                    here = _Seen(name, split, _label(source.card, examples.labels[i]))
                    findings += _copies(here, seen.setdefault(digest, here))
                    labels.setdefault(digest, []).append(here.label)
            done, at = done + len(chunk), at + len(chunk)
            if progress is not None:
                progress(done, total)
    if total > 1 and len(seen) == 1:
        findings.append(Finding(str(path_or_name), "odd", f"all images are equal, pixel for pixel: {NOTHING}"))
    skippable = bool(of_kinds(findings, SKIPPED)) and not _others(findings)
    skippable = skippable and not _refusals(source, options, skipped)
    two = sum(len(found) for found in labels.values() if len(set(found)) > 1)
    return CheckReport(total, tuple(findings), source.card, skippable, two)


def _others(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that stop training and that `--on-bad skip` cannot leave out."""
    return [finding for finding in of_kinds(findings, STOPS) if finding.kind not in SKIPPED]


def _refusals(source: Source, options: DataOptions, skipped: Sequence[Skipped] | None = None) -> list[Finding]:
    """A finding if training would refuse the source before it reads an image, unless another finding states it.

    With `skipped`, a finding if training would refuse it even with `--on-bad skip`.
    """
    if skipped is None and of_kinds(source.findings, STOPS):
        return []
    try:
        check_usable(source, skip=skipped is not None)
        split_source(source, options, skipped or ())
    except BadFile as error:
        return [Finding(error.path, "refused", error.problem)]
    except UsageError as error:
        return [Finding(source.path or source.card.name, "refused", str(error))]
    return []


@dataclass(frozen=True)
class _Seen:
    """The name, the split and the label of an image."""

    name: str
    split: str
    label: str


def _label(card: Card, label: np.ndarray) -> str:
    if label.ndim == 0:
        return card.classes[int(label)]
    return ", ".join(card.classes[int(i)] for i in np.flatnonzero(label)) or "nothing"


def _inspect(examples: Examples, begin: int) -> list[tuple[str, list[Finding], bytes | None]]:
    """For each example of a chunk: its name, its findings, and a hash of its decoded pixels."""
    results: list[tuple[str, list[Finding], bytes | None]] = []
    for i in range(begin, min(begin + CHUNK, len(examples))):
        name = examples.name(i)
        try:
            image = examples.read(i)
            told = oddities(name, image) if isinstance(image, Image.Image) else []
            found = [Finding(name, "odd", detail) for detail in told]
            with blamed(name, UNFIT):
                digest = pixels_digest(read_picture(image, _RECORD, name))
        except ConvsmithError as error:
            kind: Kind = "not_an_image" if isinstance(error, NotAnImage) else "broken"
            results.append((name, [Finding(name, kind, str(error).removeprefix(f"{name}: "))], None))
            continue
        results.append((name, found, digest))
    return results


def _copies(here: _Seen, first: _Seen) -> list[Finding]:
    if first.name == here.name:
        return []
    found: list[Finding] = []
    if first.split != here.split:
        same = f"in {here.split}, and the same image as {first.name} in {first.split}"
        found.append(Finding(here.name, "leak", same))
    if first.label != here.label:
        labels = f"labeled {here.label}, and the same image as {first.name}, labeled {first.label}"
        found.append(Finding(here.name, "contradiction", labels))
    return found or [Finding(here.name, "duplicate", f"the same image as {first.name}")]
