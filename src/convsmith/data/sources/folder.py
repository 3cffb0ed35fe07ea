"""Folders of class folders, with or without folders of splits above (or below) them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from convsmith.data.examples import Examples
from convsmith.data.findings import Finding
from convsmith.data.formats import is_unread_picture, why_left_out
from convsmith.data.image_sets import FileImages
from convsmith.data.sources import fingerprint
from convsmith.data.sources.layout import Layout
from convsmith.data.sources.same_names import equal_names, matched
from convsmith.data.sources.source import Origin, Source, file_source
from convsmith.data.sources.tree import Tree, kinds_of, left_out_line
from convsmith.data.targets import ClassLabels
from convsmith.report.text import many

Files = dict[str, dict[str, list[str]]]


def open_folder(root: Path, origin: Origin, layout: Layout) -> Source:
    """The source of a folder: classes are the sorted names of the class folders that hold images, in any split.

    Whether training can use it is judged later, as an evaluation asks for less.
    """
    top = root / layout.tree.place
    files, findings, notes = _class_files(top, layout)
    classes = tuple(sorted({name for found in files.values() for name in found}))
    splits: dict[str, Examples] = {}
    for split, found in files.items():
        names = tuple(file for name in classes for file in found.get(name, ()))
        labels = np.repeat(np.arange(len(classes)), [len(found.get(name, ())) for name in classes])
        if names:
            splits[split] = Examples(FileImages(top, names), ClassLabels(labels.astype(np.int64), classes))
    others = layout.tree.all_others()
    findings += _findings(root, layout, others, classes)
    images = sum(len(examples) for examples in splits.values())
    notes += [left_out_line(others, images)] if others else []
    gone = layout.tree.all_gone()
    notes += [f"{many(len(gone), 'link to nothing is', 'links to nothing are')} left out ({gone[0]})"] if gone else []
    source = file_source(origin, classes, splits, fingerprint.of_examples(splits), (*layout.notes, *notes))
    card = replace(source.card, layout=layout.words)
    return replace(source, card=card, findings=(*source.findings, *findings), path=str(top))


def _class_files(top: Path, layout: Layout) -> tuple[Files, list[Finding], list[str]]:
    """The images of each split and class below `top`; the names of classes are those of train, in its Unicode form."""
    files: Files = {}
    findings: list[Finding] = []
    notes: list[str] = []
    for split, folders in layout.splits.items():
        known = files.get("train", {})
        files[split] = {}
        for name, tree in folders.items():
            place = _below(layout.tree, tree)
            if not tree.count:
                findings.append(_empty(top / place, name, tree))
                continue
            own = matched(name, known, folders)
            if own != name:
                notes.append(f"{place}: taken for the class {own}, whose name is the same but for its Unicode form")
            files[split][own] = [_within(layout.tree, image) for image in tree.all_images()]
    notes += [f"{Path(f.file).name}: no image, left out" for f in findings if f.kind == "empty_class"]
    notes += _lacking(files)
    return files, findings, notes


def _lacking(files: Files) -> list[str]:
    """Notes on the splits that have no image of some class."""
    train = files.get("train", {})
    lines: list[str] = []
    for split, found in files.items():
        lacks = sorted(set(train) - set(found))
        if split != "train" and lacks and found:
            more = f" and {len(lacks) - 6} more" if len(lacks) > 6 else ""
            lines.append(f"{split} has no image of {', '.join(lacks[:6])}{more}")
    return lines


def _empty(folder: Path, name: str, tree: Tree) -> Finding:
    others = tree.all_others()
    pictures = [other for other in others if is_unread_picture(other)]
    if pictures:
        none = f"none of its {len(others):,} files is an" if len(others) > 1 else "its only file is no"
        what = f"{none} image that is read ({kinds_of(others)})"
        return Finding(str(folder), "refused", f"{what}; convert them to .jpg or .png, or move the folder away")
    return Finding(str(folder), "empty_class", "has no image: left out")


def _findings(root: Path, layout: Layout, others: Sequence[str], classes: Sequence[str]) -> list[Finding]:
    """The findings of a layout, for `data check`."""
    found = [Finding(str(root / name), "left_out", why_left_out(name)) for name in others]
    gone = "is a link to nothing, or no file"
    found += [Finding(str(root / name), "missing", gone) for name in layout.tree.all_gone()]
    for tree in layout.loose:
        count = len(tree.images) or tree.count
        found.append(
            Finding(
                str(root / tree.place),
                "left_out",
                f"{many(count, 'image lies', 'images lie')} in it, in no class folder",
            )
        )
    if junk := layout.tree.all_junk():
        found.append(
            Finding(
                str(root), "left_out", f"{many(junk, 'file or folder', 'files and folders')} that systems leave behind"
            )
        )
    return found + [Finding(str(root), "odd", line) for line in equal_names(classes)]


def _below(top: Tree, tree: Tree) -> str:
    return _within(top, tree.place)


def _within(top: Tree, place: str) -> str:
    return place.removeprefix(f"{top.place}/") if top.place else place
