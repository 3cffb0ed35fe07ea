"""Runs whose images are no squares, or are bordered: from the folder to the bundle one record."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import convsmith as cs
from convsmith.base.errors import UsageError
from convsmith.data.augment import augment
from convsmith.data.augmentations import Crop, Flip, ResizedCrop, ScaleCrop
from convsmith.data.preprocess import ImageInput
from convsmith.data.suit import check_augments
from convsmith.data.views import price, read_views, scaled_records
from convsmith.recipes.finetune import FineTuning, finetuning_recipe
from convsmith.runs.bundle import open_bundle
from convsmith.training.options import Progressive
from convsmith.training.resizing import sizes
from convsmith.work.prepare import prepare

WIDE = ImageInput(size=(32, 128), resize=(37, 148), mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wide") / "marks"
    random = np.random.default_rng(0)
    for number, name in enumerate(("left", "right")):
        (root / name).mkdir(parents=True)
        for i in range(12):
            pixels = random.integers(90, 140, (16, 48 + i % 3, 3), dtype=np.uint8)
            pixels[:, number * 38 : number * 38 + 10] = 250
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> cs.Run:
    out = tmp_path_factory.mktemp("runs") / "wide"
    options = {"data": str(root), "size": "16x48", "data__fit": "pad", "augment": "none", "batch": 8, "epochs": 2}
    return cs.train("resnet20_cifar", out=out, quiet=True, lr=0.01, **options)


def test_a_run_keeps_its_shape_and_fit(run: cs.Run, root: Path, tmp_path: Path) -> None:
    record = run.directory.record("preprocess")
    assert (record["size"], record["resize"], record["fit"]) == ([16, 48], None, "pad")
    assert run.directory.record("recipe")["recipe"]["data"]["size"] == "16x48"
    answer = run.predict(root / "left" / "0.png")[0]
    path = tmp_path / "wide.safetensors"
    run.export(path, to="bundle")
    assert open_bundle(path).preprocess == run.subject().preprocess
    assert json.loads(json.dumps(open_bundle(path).preprocess.to_json()))["fit"] == "pad"
    assert run.predict(root / "left" / "0.png")[0] == answer
    assert 0 <= run.evaluate(views="mirror").result.accuracy <= 1


def test_finetuning_keeps_the_shape_and_fit(run: cs.Run, root: Path) -> None:
    data = finetuning_recipe(str(run.path), str(root), FineTuning(), None).data
    assert (data.size, data.fit) == ("16x48", "pad")


def test_preparing_says_what_is_cut(root: Path) -> None:
    recipe = cs.Recipe().edit(network="resnet20_cifar", data__source=str(root), data__size=32, augment=())
    notes = prepare(recipe).notes
    assert (
        "the center 24% of the median picture is used (32x32), 24% of the worst (16x50); --data.fit pad or squash "
        "keeps all"
    ) in notes
    assert not [note for note in prepare(recipe.edit(data__fit="squash")).notes if "center" in note]


@pytest.mark.parametrize("step", [Crop(4), Flip(), ResizedCrop(), ScaleCrop(40, 60)])
def test_augmentations_keep_the_shape(step: object) -> None:
    batch = torch.randint(0, 256, (3, 3, 37, 148), dtype=torch.uint8)
    check_augments((step,), WIDE)  # type: ignore[arg-type]
    found = augment(batch, (step,), 0, 0, torch.arange(3), WIDE)  # type: ignore[arg-type]
    assert found.shape == (3, 3, 32, 128)


def test_views_keep_the_shape() -> None:
    assert [r.size for r in scaled_records(read_views("ten_crop"), WIDE)] == [(37, 148)]
    records = scaled_records(read_views("multi_scale(32, 64),mirror"), WIDE)
    assert [(r.size, r.resize) for r in records] == [((32, 128), (32, 128)), ((64, 256), (64, 256))]
    assert price(read_views("multi_scale(32, 64),dense"), WIDE).pixels == 5
    padded = ImageInput(size=(32, 128), fit="pad", mean=(0.5,) * 3, std=(0.25,) * 3)
    records = scaled_records(read_views("multi_scale(64)"), padded)
    assert [(r.size, r.resize, r.fit) for r in records] == [((64, 256), None, "pad")]
    with pytest.raises(UsageError, match="images scaled to 16; give lengths of at least 32"):
        scaled_records(read_views("multi_scale(16)"), WIDE)


def test_growing_images_keep_the_shape() -> None:
    seen = sizes(Progressive(first=0.5, multiple=16), (32, 128))
    assert (seen[0], seen[-1]) == ((16, 64), (32, 128))


def test_a_function_gets_both_sides(root: Path, tmp_path: Path, given) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "import torch\n\ndef make(classes, channels, size):\n    assert size == (16, 48), size\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(channels * 16 * 48, classes))\n"
    )
    recipe = cs.Recipe().edit(network=given(f"{own}:make"), data__source=str(root), data__size="16x48", augment=())
    assert prepare(recipe).dataset.preprocess.resize == (18, 54)


def test_the_size_of_networks_is_a_pair_too(capsys: pytest.CaptureFixture[str]) -> None:
    from convsmith.cli import main

    assert main(["show", "resnet18", "--size", "32x128", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["input"] == [3, 32, 128]
    assert main(["compare", "resnet18", "lenet5", "--size", "32x64", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["input"][1:] for row in (rows if isinstance(rows, list) else rows["networks"])] == [[32, 64]] * 2
    assert main(["show", "resnet18", "--size", "32x"]) == 2
    assert "argument --size: expected a whole number of pixels, or height x width" in capsys.readouterr().err
