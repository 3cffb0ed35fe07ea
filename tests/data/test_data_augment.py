"""Keys and augmentation: frozen numbers, statistics, identity, independence from batch and order."""

import numpy as np
import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.data import preprocess as reference
from convsmith.data.augment import augment, center, crop, flip, normalize
from convsmith.data.augment.frame import Frame
from convsmith.data.augmentations import Augment, Crop, Flip
from convsmith.data.keys import epoch_order, fork, integers, keys, uniform
from convsmith.data.preprocess import ImageInput

RECORD = ImageInput(size=(32, 32), mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))
FILL = torch.tensor([125, 123, 114], dtype=torch.uint8)
FRAME = Frame((32, 32), FILL)


def images(count: int, side: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def splitmix64(state: int) -> int:
    """The reference of Steele, Lea and Flood, on Python's integers: the output for a state."""
    mask = 2**64 - 1
    z = state & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_keys_are_frozen() -> None:
    found = keys(0, 0, torch.arange(4), 0)
    assert found.dtype == torch.int64
    # Frozen: other numbers would change what every recipe has trained on.
    assert found.tolist() == [
        -8995600720072774737,
        2391539541053276776,
        920862675595841680,
        -6081368185890229076,
    ]
    assert epoch_order(8, 0, 0).tolist() == [4, 2, 3, 5, 0, 1, 7, 6]


def test_keys_are_splitmix64() -> None:
    golden, mask, state = 0x9E3779B97F4A7C15, 2**64 - 1, 0
    for number in (7, 3, 2):
        state = splitmix64((state ^ number) + golden)
    expected = [splitmix64(state + position * golden) for position in (0, 1, 10**6)]
    found = keys(7, 3, torch.tensor([0, 1, 10**6]), 2)
    assert [value & mask for value in found.tolist()] == expected
    assert splitmix64(1234567 + golden) == 6457827717110365317, "the published first output for the seed 1234567"


def test_every_part_of_a_key_counts() -> None:
    positions = torch.arange(1000)
    variants = [keys(s, e, positions, d) for s in (0, 1) for e in (0, 1) for d in (0, 1)]
    variants += [fork(variants[0], 0), fork(variants[0], 1)]
    together = torch.cat(variants)
    assert len(together.unique()) == len(together)


def test_uniform_and_integers_are_even() -> None:
    drawn = keys(3, 1, torch.arange(100_000), 5)
    values = uniform(drawn)
    assert values.dtype == torch.float32
    assert 0 <= values.min() < 1e-4
    assert 0.9999 < values.max() < 1
    assert abs(values.mean() - 0.5) < 0.003
    assert abs(values.std() - 12**-0.5) < 0.002
    whole = integers(drawn, -2, 7)
    counts = torch.bincount(whole + 2, minlength=9)
    assert len(counts) == 9
    assert ((counts - 100_000 / 9).abs() < 450).all()
    # Neighboring positions and the two forks have nothing to do with each other.
    other = uniform(fork(drawn, 1))
    for a, b in ((values[1:], values[:-1]), (values, other), (uniform(fork(drawn, 0)), other)):
        assert abs(np.corrcoef(a.numpy(), b.numpy())[0, 1]) < 0.012


def test_an_order_is_a_permutation_that_each_epoch_changes() -> None:
    first = epoch_order(1000, 0, 0)
    assert first.sort().values.tolist() == list(range(1000))
    assert first.tolist() == epoch_order(1000, 0, 0).tolist()
    assert (first == epoch_order(1000, 0, 1)).sum() < 10
    assert (first == epoch_order(1000, 1, 0)).sum() < 10
    assert epoch_order(0, 0, 0).tolist() == []


def test_flip_mirrors_what_its_keys_choose() -> None:
    batch = images(400)
    drawn = keys(0, 0, torch.arange(400), 0)
    found = flip(batch, drawn, Flip(0.5), FRAME)
    chosen = uniform(drawn) < 0.5
    assert 160 < int(chosen.sum()) < 240
    assert torch.equal(found[chosen], batch[chosen].flip(-1))
    assert torch.equal(found[~chosen], batch[~chosen])
    assert torch.equal(flip(batch, drawn, Flip(0), FRAME), batch)
    assert torch.equal(flip(batch, drawn, Flip(1), FRAME), batch.flip(-1))


@pytest.mark.parametrize("mode", ["mean", "reflect"])
def test_crop_cuts_windows_of_the_padded_image(mode: str) -> None:
    batch, step = images(64), Crop(4, mode)  # type: ignore[arg-type]
    drawn = keys(0, 0, torch.arange(64), 1)
    found = crop(batch, drawn, step, FRAME)
    if mode == "reflect":
        padded = np.pad(batch.numpy(), ((0, 0), (0, 0), (4, 4), (4, 4)), mode="reflect")
    else:
        padded = np.empty((64, 3, 40, 40), np.uint8)
        padded[:] = FILL.numpy()[:, None, None]
        padded[:, :, 4:36, 4:36] = batch.numpy()
    tops, lefts = integers(fork(drawn, 0), 0, 9).tolist(), integers(fork(drawn, 1), 0, 9).tolist()
    assert len(set(tops)) == len(set(lefts)) == 9
    for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        np.testing.assert_array_equal(found[i].numpy(), padded[i, :, top : top + 32, left : left + 32])


def test_crop_from_a_margin_reaches_every_corner() -> None:
    batch = images(1, 34).repeat(300, 1, 1, 1)
    found = crop(batch, keys(0, 0, torch.arange(300), 0), Crop(0), FRAME)
    windows = {found[i].numpy().tobytes() for i in range(300)}
    expected = {batch[0, :, y : y + 32, x : x + 32].contiguous().numpy().tobytes() for y in range(3) for x in range(3)}
    assert windows == expected


def test_crop_errors() -> None:
    drawn = keys(0, 0, torch.arange(2), 0)
    with pytest.raises(UsageError, match=r"cannot cut \(32, 32\) from images of \(20, 20\) padded by 2"):
        crop(images(2, 20), drawn, Crop(2), FRAME)
    with pytest.raises(UsageError, match="a reflection of 4 pixels needs larger images than 4x4"):
        crop(images(2, 4), drawn, Crop(4, "reflect"), Frame((4, 4), FILL))


def test_padding_is_nearly_zero_after_normalization() -> None:
    padding = FILL.view(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert normalize(padding, RECORD).abs().max() < 0.5 / 255 / 0.243


@pytest.mark.parametrize("steps", [(), (Flip(0.0),), (Crop(0),), (Crop(0, "reflect"), Flip(0.0))])
def test_strength_zero_is_the_identity(steps: tuple[Augment, ...]) -> None:
    batch = images(8)
    assert torch.equal(augment(batch, steps, 0, 0, torch.arange(8), RECORD), batch)


def test_a_margin_without_a_crop_is_cut_at_the_center() -> None:
    record = ImageInput(size=(32, 30), resize=37, mean=(0.5,) * 3, std=(0.5,) * 3)
    batch = images(3, 37)
    found = augment(batch, (), 0, 0, torch.arange(3), record)
    expected = [reference.center(image.permute(1, 2, 0).numpy(), (32, 30)) for image in batch]
    np.testing.assert_array_equal(found.permute(0, 2, 3, 1).numpy(), np.stack(expected))
    assert center(found, (32, 30)) is found


def test_a_sample_depends_on_its_position_alone() -> None:
    steps = (Crop(4), Flip(), Crop(2, "reflect"))
    batch, positions = images(64), torch.arange(100, 164)
    whole = augment(batch, steps, 5, 2, positions, RECORD)
    assert not torch.equal(whole, batch)
    for size in (1, 7, 64):
        parts = [
            augment(b, steps, 5, 2, p, RECORD) for b, p in zip(batch.split(size), positions.split(size), strict=True)
        ]
        assert torch.equal(torch.cat(parts), whole)
    back = torch.arange(63, -1, -1)
    assert torch.equal(augment(batch[back], steps, 5, 2, positions[back], RECORD)[back], whole)
    assert not torch.equal(augment(batch, steps, 5, 3, positions, RECORD), whole)
    assert not torch.equal(augment(batch, steps, 6, 2, positions, RECORD), whole)


def test_two_steps_of_one_kind_draw_apart() -> None:
    batch = images(200)
    twice = augment(batch, (Flip(), Flip()), 0, 0, torch.arange(200), RECORD)
    assert not torch.equal(twice, batch)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_normalize_equals_the_reference(memory_format: torch.memory_format) -> None:
    batch = images(4)
    found = normalize(batch, RECORD, memory_format=memory_format)
    expected = np.stack([reference.normalize(image.permute(1, 2, 0).numpy(), RECORD) for image in batch])
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=memory_format)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)
    half = normalize(batch, RECORD, torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, normalize(batch, RECORD).to(torch.bfloat16))
