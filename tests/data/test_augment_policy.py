"""Policies: the tables and operations against torchvision's, image by image, and which operations are drawn."""

import pytest
import torch
from sklearn.datasets import load_sample_image
from torchvision.transforms import AutoAugmentPolicy, InterpolationMode, v2

from convsmith.data.augment import operations, policy
from convsmith.data.augment.frame import Frame
from convsmith.data.augment.operations import (
    AUGMIX,
    AUTOAUGMENT,
    OPERATIONS,
    RANDAUGMENT,
    TRIVIALAUGMENT,
    apply,
    magnitudes,
)
from convsmith.data.augment.policies import POLICIES
from convsmith.data.augment.policy import augmix, autoaugment, randaugment, trivialaugment
from convsmith.data.augmentations import Augmix, Autoaugment, Randaugment, Trivialaugment
from convsmith.data.keys import fork, forks, integers, keys, uniform

BLACK = torch.zeros(3, dtype=torch.uint8)
FILL = torch.tensor([125, 123, 114], dtype=torch.uint8)
FRAME = Frame((36, 44), FILL)
# Our names of torchvision's operations.
PEERS = {
    "identity": "Identity", "shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX",
    "translate_y": "TranslateY", "rotate": "Rotate", "brightness": "Brightness", "saturation": "Color",
    "contrast": "Contrast", "sharpness": "Sharpness", "posterize": "Posterize", "solarize": "Solarize",
    "autocontrast": "AutoContrast", "equalize": "Equalize", "invert": "Invert",
}  # fmt: skip
SPACES = {
    "autoaugment": (AUTOAUGMENT, v2.AutoAugment._AUGMENTATION_SPACE, 10),
    "randaugment": (RANDAUGMENT, v2.RandAugment._AUGMENTATION_SPACE, 31),
    "trivialaugment": (TRIVIALAUGMENT, v2.TrivialAugmentWide._AUGMENTATION_SPACE, 31),
    "augmix": (AUGMIX, v2.AugMix._AUGMENTATION_SPACE, 10),
}


def pictures(count: int) -> torch.Tensor:
    """Windows of a photograph, uint8 (count, 3, 36, 44)."""
    photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)
    return torch.stack([photo[:, 2 * i : 2 * i + 180 : 5, 3 * i : 3 * i + 220 : 5] for i in range(count)])


def drawn(count: int) -> torch.Tensor:
    return keys(3, 1, torch.arange(count), 0)


def peer(image: torch.Tensor, name: str, magnitude: float, mode: str = "nearest") -> torch.Tensor:
    """torchvision's operation of its own magnitude on one image, black outside."""
    return v2.AutoAugment()._apply_image_or_video_transform(
        image, PEERS[name], magnitude, interpolation=InterpolationMode(mode), fill={torch.Tensor: None}
    )


def near(found: torch.Tensor, expected: torch.Tensor, name: str) -> bool:
    """Equal but for rounding: of two levels, or in few pixels of a place that falls between two pixels."""
    off = (found.int() - expected.int()).abs()
    if name.startswith(("shear", "translate", "rotate")):
        return bool((off > 0).double().mean() < 0.01)
    rounded = name in ("brightness", "saturation", "contrast", "sharpness")
    return int(off.max()) <= 2 * rounded


@pytest.mark.parametrize("name", POLICIES)
def test_policies_are_the_papers(name: str) -> None:
    expected = v2.AutoAugment(AutoAugmentPolicy(name))._policies
    found = [[(PEERS[c.operation], c.probability, c.magnitude or None) for c in row] for row in POLICIES[name]]
    # Magnitudes of operations that have none are None there.
    assert found == [[(o, p, m or None) for o, p, m in row] for row in expected]


@pytest.mark.parametrize("name", SPACES)
def test_spaces_are_the_papers(name: str) -> None:
    space, expected, bins = SPACES[name]
    assert {PEERS[o] for o in space} == set(expected) | {"Identity"}
    assert list(space)[-1] == "identity"
    table, signed = magnitudes(space, bins, (36, 44), torch.device("cpu"))
    for row, (operation, either) in enumerate(zip(space, signed.tolist(), strict=True)):
        values, peer_signed = expected.get(PEERS[operation], (lambda *_: None, False))
        assert either == peer_signed
        values = values(bins, 36, 44)
        if values is None:
            assert not table[row].any()
        elif operation == "solarize":
            # Ours counts levels, 256 being none of them; torchvision's 1.0 is white, which it makes black.
            torch.testing.assert_close(table[row] / 256, values.double(), rtol=0, atol=1e-6)
        else:
            found = table[row].round() if operation == "posterize" else table[row]
            torch.testing.assert_close(found, values.double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PEERS)
def test_operations_are_torchvisions(name: str) -> None:
    images = pictures(11)
    lowest, highest = {
        "posterize": (0, 8), "solarize": (0, 255), "rotate": (-135, 135), "translate_x": (-20, 20),
        "translate_y": (-20, 20),
    }.get(name, (-0.99, 0.99))  # fmt: skip
    amounts = torch.linspace(lowest, highest, 11, dtype=torch.float64)
    amounts = amounts.round() if name == "posterize" else amounts
    found = OPERATIONS[name].apply(images, amounts, Frame((36, 44), BLACK, sampling="nearest"))
    assert (found.dtype, found.shape) == (torch.uint8, images.shape)
    for i, amount in enumerate(amounts.tolist()):
        expected = peer(images[i], name, amount / 255 if name == "solarize" else amount)
        assert near(found[i], expected, name), (name, amount)
    assert name == "identity" or not torch.equal(found, images)


@pytest.mark.parametrize("name", ["shear_x", "shear_y", "rotate"])
def test_bilinear_operations_are_torchvisions(name: str) -> None:
    images, amounts = pictures(5), torch.linspace(-0.3, 0.3, 5, dtype=torch.float64)
    amounts = amounts * (100 if name == "rotate" else 1)
    found = OPERATIONS[name].apply(images, amounts, Frame((36, 44), BLACK))
    for i, amount in enumerate(amounts.tolist()):
        assert (found[i].int() - peer(images[i], name, amount, "bilinear").int()).abs().max() <= 1


def test_a_batch_of_different_operations_is_each_image_by_itself() -> None:
    images, names = pictures(30), tuple(OPERATIONS)
    numbers = integers(drawn(30), 0, len(names))
    amounts = torch.linspace(0.1, 0.9, 30, dtype=torch.float64)
    frame = Frame((36, 44), FILL, sampling="nearest")
    found = apply(images, names, numbers, amounts, frame)
    for i, number in enumerate(numbers.tolist()):
        expected = OPERATIONS[names[number]].apply(images[i : i + 1], amounts[i : i + 1], frame)
        assert torch.equal(found[i : i + 1], expected)


def test_solarize_of_no_strength_does_nothing() -> None:
    white = torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    assert torch.equal(operations.solarize(white, torch.tensor([256.0])), white)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, float]]]:
    """What each call of `apply` did to each image: its operation and magnitude; the images stay as they are."""
    calls: list[list[tuple[str, float]]] = []

    def note(images, names, numbers, amounts, frame):  # type: ignore[no-untyped-def]
        calls.append([(names[n], a) for n, a in zip(numbers.tolist(), amounts.tolist(), strict=True)])
        return images

    monkeypatch.setattr(policy, "apply", note)
    return calls


@pytest.mark.parametrize("name", POLICIES)
def test_autoaugment_does_a_pair_of_the_policy(name: str, recorded: list[list[tuple[str, float]]]) -> None:
    own, images = drawn(20_000), torch.zeros(1, 3, 36, 44, dtype=torch.uint8).expand(20_000, 3, 36, 44)
    autoaugment(images, own, Autoaugment(name), FRAME)  # type: ignore[arg-type]
    rows = integers(fork(own, 0), 0, 25).tolist()
    table, signed = magnitudes(AUTOAUGMENT, 10, (36, 44), torch.device("cpu"))
    known = list(AUTOAUGMENT)
    for place, done in enumerate(recorded):
        hits = {row: [0, 0, 0] for row in range(25)}
        for row, (operation, amount) in zip(rows, done, strict=True):
            chance = POLICIES[name][row][place]
            hits[row][0] += 1
            if operation == "identity":
                continue
            number = known.index(chance.operation)
            assert operation == chance.operation
            assert abs(amount) == float(table[number, chance.magnitude])
            assert signed[number] or amount >= 0
            hits[row][1] += 1
            hits[row][2] += amount < 0
        for row, (count, times, minus) in hits.items():
            chance = POLICIES[name][row][place]
            assert 650 < count < 950
            assert abs(times / count - chance.probability) < 0.08
            if times and chance.magnitude and signed[known.index(chance.operation)]:
                assert abs(minus / times - 0.5) < 0.2
    assert len(recorded) == 2


def test_randaugment_does_as_many_operations_as_asked(recorded: list[list[tuple[str, float]]]) -> None:
    own, images = drawn(7000), torch.zeros(1, 3, 36, 44, dtype=torch.uint8).expand(7000, 3, 36, 44)
    randaugment(images, own, Randaugment(3, 15), FRAME)
    table, _ = magnitudes(RANDAUGMENT, 31, (36, 44), torch.device("cpu"))
    assert len(recorded) == 3
    for done in recorded:
        for number, name in enumerate(RANDAUGMENT):
            amounts = [a for o, a in done if o == name]
            assert abs(len(amounts) - 500) < 110
            assert {abs(a) for a in amounts} == {float(table[number, 15])}
    assert sum(a == b for a, b in zip(recorded[0], recorded[1], strict=True)) < 700


def test_trivialaugment_does_one_operation_of_any_strength(recorded: list[list[tuple[str, float]]]) -> None:
    own, images = drawn(14_000), torch.zeros(1, 3, 36, 44, dtype=torch.uint8).expand(14_000, 3, 36, 44)
    trivialaugment(images, own, Trivialaugment(), FRAME)
    table, _ = magnitudes(TRIVIALAUGMENT, 31, (36, 44), torch.device("cpu"))
    (done,) = recorded
    for number, name in enumerate(TRIVIALAUGMENT):
        amounts = [a for o, a in done if o == name]
        assert abs(len(amounts) - 1000) < 160
        assert {abs(a) for a in amounts} == set(table[number].tolist())


def test_augmix_is_the_blend_of_its_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    images, own, step = pictures(40), drawn(40), Augmix(3, 2)
    share = uniform(fork(own, 0)).double()
    weights = -torch.log(uniform(forks(fork(own, 1), 2)).double() + 2.0**-25)
    weights = weights / weights.sum(1, keepdim=True) * (1 - share)[:, None]
    ends = policy._chains(images.repeat_interleave(2, 0), forks(fork(own, 2), 2).flatten(), 3, FRAME)
    expected = share.view(-1, 1, 1, 1) * images
    for chain in range(2):
        expected = expected + weights[:, chain].view(-1, 1, 1, 1) * ends[chain::2]
    found = augmix(images, own, step, FRAME)
    assert (found.double() - expected).abs().max() <= 0.51
    assert abs(uniform(fork(drawn(4000), 0)).mean() - 0.5) < 0.02


def test_augmix_chains_are_one_to_three_operations_long(recorded: list[list[tuple[str, float]]]) -> None:
    own, images = drawn(1300), torch.zeros(1, 3, 36, 44, dtype=torch.uint8).expand(1300, 3, 36, 44)
    augmix(images, own, Augmix(4, 3), FRAME)
    lengths = [sum(step[i][0] != "identity" for step in recorded) for i in range(3900)]
    assert len(recorded) == 3
    for length in (1, 2, 3):
        assert abs(lengths.count(length) - 1300) < 150
    table, _ = magnitudes(AUGMIX, 10, (36, 44), torch.device("cpu"))
    for number, name in enumerate(AUGMIX):
        if name != "identity":
            amounts = [a for o, a in recorded[0] if o == name]
            assert abs(len(amounts) - 300) < 80
            assert {abs(a) for a in amounts} == {abs(a) for a in table[number, :4].tolist()}
