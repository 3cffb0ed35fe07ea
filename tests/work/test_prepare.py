"""From a recipe to data, network and engine: what is fitted, and what the user is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from convsmith.base.errors import BadFile, MissingPath, UsageError
from convsmith.base.user_code import give
from convsmith.nets.source import Foreign
from convsmith.recipes.recipe import QUICK_IMAGES, Recipe
from convsmith.work.estimate import estimate, evaluated_images, is_long
from convsmith.work.prepare import make_job, make_model, prepare, records
from convsmith.work.run import train


def plan(network, source, **fields):
    give(network)
    return prepare(Recipe(network=network).edit(data__source=str(source), engine__precision="fp32", **fields))


def test_a_network_for_large_images_gets_its_stem_for_small_ones(shared_pictures):
    fitted = plan("resnet18", shared_pictures)
    assert fitted.network.input.spatial == (12, 12)
    assert "small_images" in fitted.network.edits
    assert fitted.notes == ("resnet18 gets its stem for small images (12x12); --stem large keeps its own",)


def test_the_stem_can_be_kept_or_forced(shared_pictures):
    assert plan("resnet18", shared_pictures, stem="large").notes == ()
    assert "small_images" in plan("resnet18", shared_pictures, stem="small", data__size=80).network.edits
    assert "small_images" not in plan("resnet18", shared_pictures, data__size=65).network.edits
    with pytest.raises(UsageError, match="the family 'lenet5' has no rule for small images"):
        plan("lenet5", shared_pictures, stem="small", data__size=32)


def test_channels_and_classes_follow_the_data(shared_pictures):
    color = plan("lenet5", shared_pictures, data__size=32).network
    assert (color.input.channels, color.classes) == (3, 3)
    gray = plan("resnet20_cifar", "digits").network
    assert (gray.input.channels, gray.classes) == (1, 10)
    asked = plan("resnet20_cifar", shared_pictures, data__channels=1).network
    assert asked.input.channels == 1


def test_torchvisions_networks_get_color():
    fitted = plan("torchvision:resnet18", "digits", data__size=32)
    assert fitted.recipe.data.channels == fitted.dataset.preprocess.channels == 3
    assert isinstance(fitted.network, Foreign)


def test_images_too_small_for_a_network_are_enlarged_and_it_is_said(shared_pictures):
    fitted = plan("lenet5", shared_pictures)
    assert fitted.dataset.preprocess.size == (32, 32)
    assert fitted.notes == ("images are resized to 32x32 pixels, the smallest that lenet5 is made for",)
    with pytest.raises(UsageError, match="another size is set with --size"):
        plan("lenet5", shared_pictures, data__size=12)


def test_quick_takes_a_few_images_of_every_class():
    data = plan("lenet5", "digits", quick=True, data__size=32).dataset
    assert len(data.train) == QUICK_IMAGES
    assert len(data.val) == 180
    assert set(data.train.labels) == set(range(10))
    assert data.test is not None


def test_a_users_function_gets_the_numbers_that_it_takes(shared_pictures, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "from convsmith.nets.zoo import network\n"
        "def make(classes, channels, size):\n"
        "    assert (classes, channels, size) == (3, 3, 12)\n"
        "    return network('resnet20_cifar', classes=classes, channels=channels, size=size)\n"
        "def needy(classes, depth):\n"
        "    raise AssertionError\n"
        "def wrong():\n"
        "    return 3\n"
    )
    assert plan(f"{path}:make", shared_pictures).network.input.spatial == (12, 12)
    with pytest.raises(UsageError, match=r"own.py:needy needs depth, and only classes, channels, size can be given"):
        plan(f"{path}:needy", shared_pictures)
    with pytest.raises(UsageError, match=r"own.py:wrong gave a int; expected a torch.nn.Module or a Network"):
        plan(f"{path}:wrong", shared_pictures)


def test_a_module_is_no_tree_and_cannot_be_edited(modules, shared_pictures):
    said = r"modules.py:make is not a convsmith network; .* from modules.py, so it cannot be edited \(plain\)$"
    with pytest.raises(UsageError, match=said):
        plan(f"{modules}:make", shared_pictures, edits="plain")


BAD_MODULES = """
import torch
from torch import nn

class Fails(nn.Module):
    def forward(self, x):
        raise RuntimeError("first line\\nsecond line")

class Tuple(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)
    def forward(self, x):
        y = self.head(x.mean((2, 3)))
        return (y, y) if self.training else y

def fails(): return Fails()
def five(): return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
def two_outputs(): return Tuple()
"""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("fails", r"failed on images of shape \(2, 3, 12, 12\) in evaluation: RuntimeError: first line"),
        ("five", r"expected outputs of shape \(2, 3\) for 2 images, received \(2, 5\) in evaluation"),
        ("two_outputs", r"expected outputs of shape \(2, 3\) for 2 images, received tuple in training"),
    ],
)
def test_a_module_that_does_not_fit_is_refused_before_the_run(function, message, shared_pictures, tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(BAD_MODULES)
    with pytest.raises(UsageError, match=message):
        make_model(plan(f"{path}:{function}", shared_pictures), [])


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torchvision's own
def test_torchvisions_networks_with_auxiliary_heads_are_refused_before_the_run(shared_pictures):
    with pytest.raises(UsageError, match=r"expected outputs of shape .* received GoogLeNetOutputs in training"):
        make_model(plan("torchvision:googlenet", shared_pictures, data__size=32), [])


def test_an_unknown_network_of_torchvision_has_the_nearest_names(shared_pictures):
    with pytest.raises(UsageError, match="unknown torchvision network 'resnet19'; nearest: resnet"):
        make_model(plan("torchvision:resnet19", shared_pictures), [])


def test_paths_of_a_run_are_absolute(modules, write_tree, shared_pictures, monkeypatch):
    monkeypatch.chdir(modules.parent)
    recipe = plan("modules.py:make", shared_pictures).recipe
    assert recipe.network == f"{modules}:make"
    tree = write_tree("resnet20_cifar")
    assert plan(tree.name, shared_pictures).recipe.network == str(tree)


def test_the_first_weights_are_a_function_of_the_seed(trees, shared_pictures):
    weights = [make_model(plan(f"{trees}:resnet8", shared_pictures, seed=seed), []).state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not torch.equal(weights[0]["head.linear.weight"], weights[2]["head.linear.weight"])


def test_a_run_starts_from_another_runs_weights_with_a_new_head(photo_run, write_pictures, trees, tmp_path):
    run, folder = photo_run
    notes = []
    same = make_model(plan(f"{trees}:resnet8", folder, weights=str(run)), notes)
    assert notes[0].startswith(f"starts from {run}")
    from convsmith.runs.checkpoints import load_checkpoint
    from convsmith.runs.directory import open_run

    trained = load_checkpoint(open_run(run)).model
    assert all(torch.equal(value, trained[key]) for key, value in same.state_dict().items())
    other = write_pictures(tmp_path / "other", 4, 12, ("a", "b", "c", "d"))
    model = make_model(plan(f"{trees}:resnet8", other, weights=str(run)), [])
    assert torch.equal(model.state_dict()["stem.conv.weight"], trained["stem.conv.weight"])
    assert model.state_dict()["head.linear.weight"].shape == (4, 64)


def test_weights_that_are_not_there(shared_pictures, trees):
    with pytest.raises(MissingPath, match=r"nowhere.safetensors"):
        make_model(plan(f"{trees}:resnet8", shared_pictures, weights="nowhere.safetensors"), [])


def test_the_estimate_comes_from_a_few_steps_and_changes_nothing(trees, shared_pictures):
    fitted = plan(f"{trees}:resnet8", shared_pictures, batch=48, length="10ep", keep=2)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    expected = estimate(fitted)
    assert torch.equal(before, torch.random.get_rng_state())
    assert expected.steps == 10
    # The steps, and the evaluations.
    assert expected.seconds > 10 * 48 / expected.images_per_second
    assert expected.seconds < 30
    weights = sum(t.numel() * t.element_size() for t in make_model(fitted, []).state_dict().values())
    assert weights * 3 * 1.9 < expected.disk_bytes < weights * 3 * 2.1
    assert expected.memory_bytes > 50e6
    assert (expected.device, expected.compiled) == ("cpu", False)
    assert " images/s (measured on a few): about " in expected.text()
    assert " of memory, " in expected.text()
    there = replace(expected, compiled=True, device="cuda").text()
    assert " images/s (measured on a few, uncompiled): about " in there
    assert " of GPU memory, " in there


@pytest.mark.parametrize(
    ("fields", "images"),
    [
        # 48 images train (6 steps of an epoch), 6 validate, 6 test: 4 evaluations while training, and the end.
        ({}, 4 * 6 + 12),
        ({"evaluate_every": "3ep"}, 2 * 6 + 12),
        ({"views": "translate(1),mirror"}, 4 * 6 + 12 + 6 * 12),
        # The average begins with the third epoch.
        ({"optimizer__average": "swa('50%', '1ep')"}, 4 * 6 + 12 + 2 * 48),
        ({"optimizer__average": "swa('50%', '1ep')", "edits": "norm=none"}, 4 * 6 + 12),
        ({"optimizer__average": "ema(0.9)"}, 4 * 6 + 12),
    ],
)
def test_the_estimate_counts_every_image_that_is_evaluated(fields, images, trees, shared_pictures):
    fitted = plan(f"{trees}:resnet8", shared_pictures, batch=8, length="4ep", engine__threads=1, **fields)
    normed = any("running_mean" in key for key in make_model(fitted, []).state_dict())
    assert evaluated_images(fitted, make_job(fitted), normed) == images


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "sgd", "momentum": 0}, {"kind": "adam"}, {"kind": "muon"}, {"average": "swa('50%', '1ep')"},
        {"kind": "lamb", "average": "ema(0.9, '3ep')"}, {"kind": "rmsprop", "lookahead": "lookahead(2, 0.5)"},
        {"kind": "adamw", "rules": "rule('stem', freeze=true)"},
    ],
    ids=str,
)  # fmt: skip
def test_the_estimate_of_the_disk_is_what_a_run_then_takes(fields, trees, shared_pictures, tmp_path):
    given = {f"optimizer__{name}": value for name, value in fields.items()}
    recipe = plan(f"{trees}:resnet8", shared_pictures, batch=24, length="4ep", keep=1, explosion=0, **given).recipe
    expected = estimate(prepare(recipe)).disk_bytes / 2
    run = train(recipe, out=tmp_path / "run", quiet=True).run
    newest = max((run.path / "checkpoints").iterdir())
    found = sum(file.stat().st_size for file in newest.iterdir())
    # Names and shapes of the tensors take some too.
    assert expected < found < expected + 40_000


def test_what_is_long(shared_pictures):
    assert not is_long(plan("lenet5", "digits", data__size=32))
    assert is_long(plan("resnet50", "digits", data__size=224, length="9ep"))


def test_the_records_say_what_was_decided(trees, shared_pictures):
    found = records(plan(f"{trees}:resnet8", shared_pictures))
    assert found.keys() == {"recipe", "network", "data", "split", "preprocess", "env"}
    assert found["recipe"]["engine"]["precision"] == "fp32"
    assert found["network"]["kind"] == "tree"
    assert found["data"]["card"]["classes"] == ["bent", "flat", "round"]
    assert found["env"]["torch"] == torch.__version__
    assert [len(found["split"]["parts"][name]["indices"]) for name in ("train", "val", "test")] == [48, 6, 6]


def test_a_broken_image_is_named_or_left_out(pictures, trees, given, tmp_path):
    bad = sorted(pictures.rglob("*.png"))[3]
    bad.write_bytes(bad.read_bytes()[:60])
    recipe = Recipe(network=given(f"{trees}:resnet8")).edit(data__source=str(pictures), length="1ep", batch=8)
    with pytest.raises(BadFile, match=f"{bad}: the image is cut short or damaged.*--on-bad skip leaves such files out"):
        train(recipe, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    said = []
    run = train(recipe.edit(data__on_bad="skip"), out=tmp_path / "run", quiet=True, say=said.append).run
    assert any(text.startswith(f"files that cannot be read are left out: 1, first {bad} ") for text in said)
    assert [entry["file"] for entry in run.record("split")["skipped"]] == [str(bad)]
    parts = run.record("split")["parts"]
    assert sum(len(parts[name]["indices"]) for name in parts) == 59
    assert np.isfinite(run.metrics()[-1]["train_loss"])
