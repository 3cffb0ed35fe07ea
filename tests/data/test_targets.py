"""Targets: what a batch holds of them, what a split keeps in proportion, what a head is told."""

import numpy as np
import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.data.examples import Examples, from_arrays, join
from convsmith.data.image_sets import ArrayImages
from convsmith.data.loaders import Batch, evaluation_loader, training_loader
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput
from convsmith.data.targets import (
    ClassLabels,
    Facts,
    ImageTargets,
    NoTargets,
    SeveralLabels,
    Targets,
    TextTargets,
)

NAMES = ("cat", "dog", "emu")
CLASSES = ClassLabels(np.asarray([2, 0, 2, 1], np.int64), NAMES)
SEVERAL = SeveralLabels(np.asarray([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], np.uint8), NAMES)
TEXTS = TextTargets(np.asarray([[1, 2, 0], [3, 0, 0], [1, 1, 1], [2, 3, 0]], np.int64), ("", "a", "cat", "sat"))
KINDS: list[Targets] = [CLASSES, SEVERAL, TEXTS, NoTargets(4), ImageTargets(4)]
RECORD = ImageInput(mode="L", size=(4, 4), mean=(0.5,), std=(0.5,))


def kind(targets: Targets) -> str:
    return targets.kind


@pytest.mark.parametrize("targets", KINDS, ids=kind)
def test_a_subset_holds_what_was_picked_in_that_order(targets: Targets) -> None:
    whole = targets.stack(range(4))
    assert (len(targets), len(whole)) == (4, 4)
    some = targets.subset([3, 1, 1])
    assert type(some) is type(targets)
    assert len(some) == 3
    np.testing.assert_array_equal(some.stack(range(3)), whole[[3, 1, 1]])
    np.testing.assert_array_equal(some.stack([2, 0]), whole[[1, 3]])
    again = targets.subset([]).followed_by([some, targets])
    assert (type(again), len(again)) == (type(targets), 7)
    np.testing.assert_array_equal(again.stack(range(7)), np.concatenate([whole[[3, 1, 1]], whole]))


@pytest.mark.parametrize("targets", KINDS, ids=kind)
@pytest.mark.parametrize("other", KINDS, ids=kind)
def test_kinds_are_joined_with_their_own_alone(targets: Targets, other: Targets) -> None:
    if targets.kind == other.kind:
        assert len(targets.followed_by([other])) == 8
    else:
        with pytest.raises(UsageError, match="cannot be joined"):
            targets.followed_by([other])


def test_what_a_batch_holds() -> None:
    assert (CLASSES.stack([0]).dtype, SEVERAL.stack([0]).dtype) == (np.int64, np.uint8)
    assert NoTargets(9).stack([1, 5]).shape == ImageTargets(9).stack([1, 5]).shape == (2, 0)
    assert TEXTS.stack([0, 3]).tolist() == [[1, 2, 0], [2, 3, 0]]
    assert [targets.kind for targets in KINDS] == ["class", "labels", "text", "none", "image"]
    assert not any(targets.moves for targets in KINDS)


def test_strata_and_facts() -> None:
    assert CLASSES.strata() is CLASSES.labels
    assert SEVERAL.strata() is SEVERAL.labels
    assert [targets.strata() for targets in KINDS[2:]] == [None] * 3
    assert [targets.facts() for targets in KINDS] == [
        Facts("class", 4, NAMES, (1, 1, 2)),
        Facts("labels", 4, NAMES, (2, 2, 2)),
        Facts("text", 4, vocabulary=4, length=3),
        Facts("none", 4),
        Facts("image", 4),
    ]
    assert ClassLabels(np.asarray([0, 3])).facts() == Facts("class", 2, ("0", "1", "2", "3"), (1, 0, 0, 1))


def test_texts_are_checked() -> None:
    with pytest.raises(UsageError, match=r"expected tokens from 0 to 1, the last of the vocabulary, received 0 to 2"):
        TextTargets(np.asarray([[0, 2]]), ("", "a"))
    with pytest.raises(UsageError, match=r"expected tokens int64 \(N, length\), received int32 \(1, 2\)"):
        TextTargets(np.asarray([[0, 1]], np.int32), ("", "a"))
    longer = TextTargets(np.asarray([[1, 2, 3, 3, 3]]), TEXTS.vocabulary)
    assert TEXTS.followed_by([longer]).tokens[[0, 4]].tolist() == [[1, 2, 0, 0, 0], [1, 2, 3, 3, 3]]
    with pytest.raises(UsageError, match="cannot be joined with those of other vocabularies"):
        TEXTS.followed_by([TextTargets(np.asarray([[1]]), ("", "b"))])


def test_examples_join_images_and_targets() -> None:
    first = from_arrays(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), np.asarray([1, 0]), "first")
    other = from_arrays(np.full((1, 2, 2), 9, np.uint8), np.asarray([2]), "other")
    both = join([first, other]).subset([2, 0])
    assert both.labels.tolist() == [2, 1]
    assert [both.name(i) for i in range(2)] == ["other #0", "first #0"]
    assert np.asarray(both.read(0)).max() == 9
    assert (both.images.stores(), both.images.slot(0)) == ({}, None)
    with pytest.raises(ValueError, match="expected as many targets as images, received 4 and 2"):
        Examples(first.images, CLASSES)
    with pytest.raises(UsageError, match="expected images with classes, received images with targets of kind 'text'"):
        Examples(first.images, TEXTS.subset([0, 1])).labels  # noqa: B018


@pytest.mark.parametrize("loader", ["resident", "streaming"])
@pytest.mark.parametrize("targets", KINDS, ids=kind)
def test_loaders_give_the_targets_of_the_samples(targets: Targets, loader: str) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(4, 4, 4, 1)
    examples = Examples(ArrayImages(pixels, "made", np.arange(4)), targets)
    options = DataOptions(loader=loader, workers=0)  # type: ignore[arg-type]
    whole = torch.from_numpy(targets.stack(range(4)))
    for made in (
        training_loader(examples, RECORD, options, batch=2, seed=3),
        evaluation_loader(examples, RECORD, options, batch=3),
    ):
        for batch in made.epoch(1):
            assert torch.equal(batch.targets, whole[batch.samples])
            assert torch.equal(batch.images[:, 0, 0, 0], batch.samples.to(torch.uint8) * 16)


def test_a_batch_is_cut_and_moved_whole() -> None:
    images, numbers = torch.rand(5, 1, 2, 2), torch.arange(5)
    batch = Batch({"picture": images, "tokens": numbers[:, None]}, numbers * 2, numbers + 7, numbers)
    parts = batch.chunk(2)
    assert [len(part.targets) for part in parts] == [len(part) for part in numbers.chunk(2)] == [3, 2]
    assert isinstance(parts[1].inputs, dict)
    assert torch.equal(parts[1].inputs["picture"], images[3:])
    assert parts[1].inputs["tokens"].tolist() == [[3], [4]]
    assert (parts[1].targets.tolist(), parts[1].positions.tolist()) == ([6, 8], [10, 11])
    assert [len(part.targets) for part in batch.chunk(4)] == [2, 2, 1] == [len(p) for p in numbers.chunk(4)]
    assert batch.slice(1, 3).samples.tolist() == [1, 2]
    assert batch.to("meta").positions.device.type == "meta"
    with pytest.raises(UsageError, match="expected one input, received 2: picture, tokens"):
        batch.images  # noqa: B018
    assert torch.equal(Batch(images, *batch[1:]).images, images)
