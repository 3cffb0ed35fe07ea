"""How often a class is seen in an epoch."""

import numpy as np
import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.data.examples import Examples, from_arrays
from convsmith.data.keys import epoch_order
from convsmith.data.loaders import class_counts, training_loader
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput
from convsmith.data.targets import SeveralLabels

COUNTS = (400, 100, 16, 4)
PREPROCESS = ImageInput(mode="L", size=(2, 2), mean=(0.5,), std=(0.5,))


@pytest.fixture
def uneven() -> Examples:
    """520 images of four classes; the pixels of each are its number."""
    labels = np.repeat(np.arange(4), COUNTS)
    return from_arrays(np.zeros((len(labels), 2, 2), np.uint8), labels, "uneven")


def epoch(examples: Examples, sampling: str, number: int, batch: int = 40, seed: int = 0) -> torch.Tensor:
    loader = training_loader(examples, PREPROCESS, DataOptions(sampling=sampling), batch=batch, seed=seed)
    assert (loader.examples, loader.steps) == (520, 13)
    return torch.cat([b.samples for b in loader.epoch(number)])


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [("natural", [400, 100, 16, 4]), ("balanced", [130] * 4), ("square_root", [289, 144, 58, 29])],
)
def test_each_class_is_seen_as_often_as_its_share_says(uneven: Examples, sampling: str, expected: list[int]) -> None:
    seen = epoch(uneven, sampling, 0)
    assert np.bincount(uneven.labels[seen.numpy()]).tolist() == expected
    roots = np.sqrt(COUNTS)
    assert class_counts(uneven, "square_root") == pytest.approx((520 * roots / roots.sum()).tolist(), abs=1)
    # The images of a class take turns: none is seen twice more often than another.
    times = np.bincount(seen.numpy(), minlength=520)
    for label in range(4):
        own = times[uneven.labels == label]
        assert own.max() - own.min() <= 1


def test_an_epoch_is_a_function_of_seed_and_number(uneven: Examples) -> None:
    assert torch.equal(epoch(uneven, "balanced", 3), epoch(uneven, "balanced", 3))
    assert not torch.equal(epoch(uneven, "balanced", 3), epoch(uneven, "balanced", 4))
    assert not torch.equal(epoch(uneven, "balanced", 3), epoch(uneven, "balanced", 3, seed=1))
    assert torch.equal(epoch(uneven, "natural", 3), epoch_order(520, 0, 3))
    # Over epochs every image of the large class has its turn.
    seen = torch.cat([epoch(uneven, "balanced", n) for n in range(12)]).unique()
    assert (seen < 400).sum() > 380


def test_classes_are_mixed_within_the_epoch(uneven: Examples) -> None:
    labels = uneven.labels[epoch(uneven, "balanced", 0).numpy()]
    for part in np.split(labels, 4):
        assert np.bincount(part, minlength=4).min() > 15


def test_a_start_gives_the_tail(uneven: Examples) -> None:
    for loader in ("resident", "streaming"):
        options = DataOptions(sampling="square_root", loader=loader, workers=0)
        made = training_loader(uneven, PREPROCESS, options, batch=40, seed=0)
        whole, tail = list(made.epoch(2)), list(made.epoch(2, start=9))
        assert torch.equal(torch.cat([b.samples for b in whole[9:]]), torch.cat([b.samples for b in tail]))


def test_sampling_that_cannot_be_is_refused(uneven: Examples) -> None:
    with pytest.raises(UsageError, match=r"unknown value for data\.sampling: 'even'; known: balanced, natural, sq"):
        DataOptions(sampling="even")  # type: ignore[arg-type]
    several = Examples(uneven.images, SeveralLabels(np.zeros((520, 3), np.uint8)))
    with pytest.raises(UsageError, match="sampling balanced: images with several labels each belong to no one class"):
        training_loader(several, PREPROCESS, DataOptions(sampling="balanced"), batch=4, seed=0)
