"""The division of a source into train, val and test by shares, stratified by class or by groups."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convsmith.base.errors import UsageError
from convsmith.data.copies import Copies, copies_of, copy_notes
from convsmith.data.examples import Examples
from convsmith.data.folds import check_classes, check_groups, deal
from convsmith.data.groups import group_names
from convsmith.data.iterative import iterative
from convsmith.data.joined import TRAIN_VAL, stored_examples
from convsmith.data.options import DataOptions, fold_of, split_shares
from convsmith.data.restrict import fewer
from convsmith.data.sources.source import Source
from convsmith.report.text import many

_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Skipped:
    """A file that cannot be decoded and is left out: its stored split, its index there, its name, the problem."""

    split: str
    index: int
    file: str
    problem: str


@dataclass(frozen=True)
class Division:
    """The three splits of a run, and the JSON record from which `division_from_record` rebuilds them.

    `notes` are for the user, on images that occur more than once.

    The record holds `rule`, `seed`, `group`, `shares`, the chosen `classes` and `images` (null for all), `counts` of
    the stored splits, `skipped` files, and `parts`: for each split its stored split (`from`) and its `indices` there
    (`"all"`: all that are not skipped). `from` is "train+val" for indices into train followed by val. `fold` is the
    fold of these that val is, such as `2/5`, or null.
    """

    train: Examples
    val: Examples
    test: Examples | None
    record: dict[str, Any]
    notes: tuple[str, ...] = ()


def split_source(source: Source, options: DataOptions, skipped: Sequence[Skipped] = ()) -> Division:
    """The division of a source: a function of its labels (or groups), the shares and the seed.

    If only train is stored, all three splits are drawn from it. If only val is missing, its share is drawn from train.
    Otherwise stored splits are kept. With `fold`, train and val are divided anew together, and test is the same as
    without. Copies of an image stay in one split. Raises UsageError if a split would be empty.
    """
    shares = split_shares(options.split)
    stored = source.splits
    copies = copies_of(source)
    parts: dict[str, Any] = {name: {"from": name, "indices": "all"} for name in stored}
    if "val" in stored:
        rule = "as stored"
    else:
        wanted = (1 - shares[1], shares[1], 0.0) if "test" in stored else shares
        names = _PARTS[: 3 if wanted[2] else 2]
        kind = "whole groups" if options.group else "stratified by class"
        rule = f"{', '.join(names)} drawn from the stored train, {kind}"
        drawn = _draw(stored["train"], options, wanted, {s.index for s in skipped if s.split == "train"}, copies)
        for name, indices in zip(names, drawn, strict=False):
            parts[name] = {"from": "train", "indices": indices.tolist()}
    if options.fold:
        folded, parts["train"], parts["val"] = _folded(source, options, parts, skipped, copies)
        rule = f"{folded}; without folds: {rule}"
    images = None
    if options.images is not None:
        images, parts["train"] = _fewer(source, options, parts["train"], skipped)
    record = {
        "rule": rule,
        "seed": options.split_seed,
        "group": options.group,
        "fold": options.fold,
        "shares": list(shares),
        "classes": list(options.classes) or None,
        "images": images,
        "counts": {name: len(examples) for name, examples in stored.items()},
        "skipped": [{"split": s.split, "index": s.index, "file": s.file, "problem": s.problem} for s in skipped],
        "parts": {name: parts.get(name) for name in _PARTS},
    }
    return replace(division_from_record(source, record), notes=copy_notes(source, copies))


def division_from_record(source: Source, record: dict[str, Any]) -> Division:
    """The division that a record states. Raises UsageError if the source no longer has the counts of the record."""
    try:
        counts, parts, skipped = dict(record["counts"]), dict(record["parts"]), list(record["skipped"])
    except (KeyError, TypeError, ValueError):
        raise UsageError("split record: expected the fields counts, parts and skipped") from None
    now = {name: len(examples) for name, examples in source.splits.items()}
    if counts != now:
        raise UsageError(
            f"the split was made of {_tally(counts)}, and {source.card.name} now has {_tally(now)}; "
            "give the data it was made from, or start a new run"
        )
    built = {name: _part(source, parts.get(name), skipped, name) for name in _PARTS}
    train, val, test = built["train"], built["val"], built["test"]
    if train is None or val is None:
        raise UsageError("split record: expected the parts train and val")
    return Division(train, val, test, record)


def stratified(labels: np.ndarray, shares: Sequence[float], seed: int, allowed: np.ndarray) -> list[np.ndarray]:
    """The indices of each part, ascending; the count of each class in a part is within one of its share.

    `allowed` are the indices to draw from. A class of three or more images has at least one in each part with a share.
    If images may have several labels (N, classes), the counts are near the shares.
    """
    if labels.ndim == 2:
        return iterative(labels, sorted(allowed.tolist(), key=lambda i: _order(seed, i)), shares, apportion)
    parts: list[list[int]] = [[] for _ in shares]
    for label in np.unique(labels[allowed]):
        members = allowed[labels[allowed] == label].tolist()
        members.sort(key=lambda i: _order(seed, i))
        begin = 0
        for part, count in zip(parts, apportion(len(members), shares), strict=True):
            part += members[begin : begin + count]
            begin += count
    return [np.asarray(sorted(part), dtype=np.int64) for part in parts]


def apportion(count: int, shares: Sequence[float]) -> list[int]:
    """The counts of `count` items by shares that add up to 1: largest remainders, and no part empty if avoidable."""
    # 100 * 0.29 is 28.999999999999996 in floats: without 1e-9 it would count as 28 and a remainder of nearly 1.
    counts = [int(count * share + 1e-9) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda k: (counts[k] - count * shares[k], k))
    for k in by_remainder[: count - sum(counts)]:
        counts[k] += 1
    wanted = [k for k, share in enumerate(shares) if share > 0]
    # A small class would be absent from a small split. Each empty part takes one item from the largest part.
    if count >= len(wanted):
        for k in wanted:
            if counts[k] == 0:
                counts[k] += 1
                counts[max(wanted, key=lambda j: counts[j])] -= 1
    return counts


def grouped(groups: list[str], shares: Sequence[float], seed: int, allowed: np.ndarray) -> list[np.ndarray]:
    """The indices of each part, ascending, with whole groups: the largest group first, to the part that lacks most."""
    members: dict[str, list[int]] = {}
    for i in allowed.tolist():
        members.setdefault(groups[i], []).append(i)
    wanted = [k for k, share in enumerate(shares) if share > 0]
    if len(members) < len(wanted):
        raise UsageError(
            f"{many(len(members), 'group')} cannot fill {many(len(wanted), 'split')}; "
            "expected at least one group for each"
            + (f", or no test images: {_without_test(shares)}" if len(members) > 1 else "")
        )
    parts: list[list[int]] = [[] for _ in shares]
    order = sorted(members, key=lambda name: (-len(members[name]), _order(seed, name)))
    for place, name in enumerate(order):
        empty = [k for k in wanted if not parts[k]]
        # The last groups are reserved for splits that would otherwise stay empty.
        open_to = empty if len(order) - place == len(empty) else wanted
        best = max(open_to, key=lambda k: shares[k] * len(allowed) - len(parts[k]))
        parts[best] += members[name]
    return [np.asarray(sorted(part), dtype=np.int64) for part in parts]


def _draw(
    examples: Examples, options: DataOptions, shares: Sequence[float], bad: set[int], copies: Copies
) -> list[np.ndarray]:
    total = sum(shares)
    shares = [share / total for share in shares]
    allowed = np.asarray([i for i in range(len(examples)) if i not in bad], dtype=np.int64)
    if options.group:
        names = copies.merged(group_names(examples, options.group))
        return grouped(names, shares, options.split_seed, allowed)
    # One copy of each image is drawn, and the others follow it: so no image lies in two splits.
    heads = copies.heads(allowed)
    strata = _strata(examples)
    parts = stratified(strata, shares, options.split_seed, heads)
    if lacking := _empty(parts, shares):
        without = [shares[0], shares[1] + shares[2], 0.0]
        drawn = stratified(strata, without, options.split_seed, heads)
        needed = sum(share > 0 for share in shares)
        mend = f"a class of {many(needed, 'image')} or more gives each split one"
        if shares[2] and not _empty(drawn, without):
            mend += f"; without test images: {_without_test(shares)}"
        share = shares[_PARTS.index(lacking)]
        count, are = many(len(allowed), "image"), "is" if len(allowed) == 1 else "are"
        if len(heads) < len(allowed):
            count += f" ({len(heads)} different ones; copies stay in one split)"
        raise UsageError(f"{count} {are} too few for a {lacking} split of {share:.0%}; {mend}")
    return [copies.with_copies(part, allowed) for part in parts]


def _empty(parts: Sequence[np.ndarray], shares: Sequence[float]) -> str | None:
    """The first split that has a share and no image."""
    return next((n for n, part, share in zip(_PARTS, parts, shares, strict=True) if share and not len(part)), None)


def _without_test(shares: Sequence[float]) -> str:
    return f"--data.split {100 * shares[0]:.3g}/{100 * (shares[1] + shares[2]):.3g}/0"


def _fewer(
    source: Source, options: DataOptions, part: dict[str, Any], skipped: Sequence[Skipped]
) -> tuple[dict[str, int], dict[str, Any]]:
    """The number of chosen training images and of all, and the part of the chosen ones."""
    allowed, seed = _indices(source, part, skipped), options.split_seed
    strata = _strata(_pool(source, part["from"]))
    picked = fewer(strata, options.images or len(allowed), allowed, lambda i: _order(seed, i))
    return {"count": len(picked), "of": len(allowed)}, {"from": part["from"], "indices": picked.tolist()}


def _folded(
    source: Source, options: DataOptions, parts: dict[str, Any], skipped: Sequence[Skipped], copies: Copies
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The rule in words, and the parts train and val: val is the chosen fold of both, train all other folds."""
    number, count = fold_of(options.fold or "")
    if parts["val"]["from"] == "val":
        pool = TRAIN_VAL
        allowed = _indices(source, {"from": pool, "indices": "all"}, skipped)
    else:
        pool = parts["train"]["from"]
        allowed = np.sort(np.concatenate([_indices(source, parts[name], skipped) for name in ("train", "val")]))
    examples, seed, where = _pool(source, pool), options.split_seed, f"train and val of {source.card.name}"
    if options.group:
        groups = copies.merged(group_names(examples, options.group))
        check_groups([groups[i] for i in allowed.tolist()], count, where)
        folds = grouped(groups, [1 / count] * count, seed, allowed)
    else:
        heads = copies.heads(allowed)
        strata = _strata(examples)
        if source.card.classes:
            check_classes(strata[heads], source.card.classes, count, where)
        if strata.ndim == 2:
            folds = stratified(strata, [1 / count] * count, seed, heads)
        else:
            folds = deal(strata, count, heads, lambda i: _order(seed, i))
        folds = [copies.with_copies(fold, allowed) for fold in folds]
    rest = np.sort(np.concatenate([fold for k, fold in enumerate(folds, 1) if k != number]))
    kind = "whole groups" if options.group else "stratified by class"
    train, val = ({"from": pool, "indices": indices.tolist()} for indices in (rest, folds[number - 1]))
    return f"val is fold {number} of {count} of train and val, {kind}, and train is the others", train, val


def _pool(source: Source, name: str) -> Examples:
    examples = stored_examples(source, name)
    if examples is None:
        raise UsageError(f"{source.card.name} has no stored {name}")
    return examples


def _indices(source: Source, part: dict[str, Any], skipped: Sequence[Skipped]) -> np.ndarray:
    """The indices of a part; for "all" the indices that are not skipped."""
    if part["indices"] != "all":
        return np.asarray(part["indices"], dtype=np.int64)
    bad, begin = set[int](), 0
    for name in part["from"].split("+"):
        bad |= {begin + s.index for s in skipped if s.split == name}
        begin += len(source.splits[name])
    return np.asarray([i for i in range(begin) if i not in bad], dtype=np.int64)


def _part(source: Source, part: Any, skipped: Iterable[dict[str, Any]], name: str) -> Examples | None:
    if part is None:
        return None
    examples = stored_examples(source, part["from"])
    if examples is None:
        raise UsageError(f"split record: {name} is drawn from {part['from']!r}, which {source.card.name} does not have")
    bad = {int(s["index"]) for s in skipped if s["split"] == part["from"]}
    if part["indices"] == "all":
        if not bad:
            return examples
        return examples.subset([i for i in range(len(examples)) if i not in bad])
    indices = np.asarray(part["indices"], dtype=np.int64)
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(examples):
        raise UsageError(
            f"split record: {name} has indices outside the {many(len(examples), 'image')} of {part['from']}"
        )
    return examples.subset(indices)


def _strata(examples: Examples) -> np.ndarray:
    """The labels that parts keep in proportion; zeros, one class for all, if the targets have no classes."""
    strata = examples.targets.strata()
    return np.zeros(len(examples), np.int64) if strata is None else strata


def _order(seed: int, key: int | str) -> bytes:
    # A hash, not a generator: the place of an image depends only on the seed and its own index or group. So images that
    # are left out, or added at the end, do not reorder the others.
    return hashlib.blake2b(f"{seed}/{key}".encode(errors="surrogateescape"), digest_size=8).digest()


def _tally(counts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "nothing"
