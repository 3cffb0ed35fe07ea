"""Layers taken over from one half of the classes to the other: which tensors are whose, and the accuracy against B."""

import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.cli import main
from convsmith.nets.zoo import network
from convsmith.runs.directory import open_run
from convsmith.runs.subject import open_subject
from convsmith.series.drawing import picture, series_of
from convsmith.series.experiment import chosen
from convsmith.series.member import seeded
from convsmith.series.running import train_series
from convsmith.series.running import trained as read
from convsmith.work.prepare import RENEWED, make_model, prepare
from convsmith_textbook.questions import transferability
from convsmith_textbook.questions.transferability import EXPERIMENTS, halves_of, layers

EXPERIMENT = EXPERIMENTS["transferability"]
ON_DIGITS = {
    "quick": True, "network": "mlp_cifar", "edits": (), "data__source": "digits", "data__images": None, "data__size": 8,
}  # fmt: skip


def members(cuts=(), **more):
    return chosen(EXPERIMENT, lambda recipe: recipe.edit(**(ON_DIGITS | more)), cuts)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transferability") / "runs"
    those = members()
    done = train_series(series_of("transferability", EXPERIMENT, those, 1), folder, quiet=True)
    return folder, those, done.summary


def test_members_and_their_classes(trained):
    _, those, _ = trained
    names = ["base-A", "base-B", "A1B", "B1B", "A1B-tuned", "B1B-tuned", "random-1"]
    assert [member.name for member in those] == names
    assert those[0].recipe.data.classes == tuple("01234")
    assert {member.recipe.data.classes for member in those[1:]} == {tuple("56789")}
    assert [member.after for member in those[2:]] == ["base-A", "base-B", "base-A", "base-B", None]


@pytest.mark.parametrize(("name", "base"), [("A1B", "base-A"), ("B1B", "base-B")])
def test_the_layers_below_the_cut_are_taken_over_and_stay(trained, name, base):
    folder, _, _ = trained
    after, before = (open_subject(folder / f"{run}-seed0").module.state_dict() for run in (name, base))
    tuned = open_subject(folder / f"{name}-tuned-seed0").module.state_dict()
    for key, value in after.items():
        assert torch.equal(value, before[key]) == key.startswith("head.linear1"), key
    assert not torch.equal(tuned["head.linear1.weight"], before["head.linear1.weight"])


def test_the_layers_above_the_cut_are_drawn_by_another_seed(trained):
    folder, those, _ = trained
    recipe = those[2].recipe.edit(weights=str(folder / "base-A-seed0"))
    plan = prepare(recipe)
    notes = []
    begun = make_model(plan, notes).state_dict()
    fresh = plan.network.make(RENEWED).state_dict()
    base = open_subject(folder / "base-A-seed0").module.state_dict()
    assert all(torch.equal(begun[key], (base if "linear1" in key else fresh)[key]) for key in begun)
    assert notes[-1] == r"2 of its 4 tensors are drawn anew (^(head\.linear2)\.)"


def test_random_layers_stay_as_they_were_drawn(trained):
    folder, those, _ = trained
    after = open_subject(folder / "random-1-seed0").module.state_dict()
    drawn = prepare(those[-1].recipe).network.make(0).state_dict()
    assert torch.equal(after["head.linear1.weight"], drawn["head.linear1.weight"])
    assert not torch.equal(after["head.linear2.weight"], drawn["head.linear2.weight"])


def test_the_picture_is_the_accuracy_above_the_base_of_b(trained):
    folder, those, _ = trained
    runs = [read(member, open_run(folder / member.name)) for member in seeded(those, 1)]
    errors = {t.member.recipe.name: 1 - t.numbers["val"]["accuracy"] for t in runs}
    drawn = picture(EXPERIMENT, runs)
    assert "accuracy against base-B over layers taken over" in drawn
    for name, series in (("A1B", "AnB: layers of A, kept as they are"), ("random-1", "layers that were never trained")):
        assert f"{series}: 0 0.0%, 1 {errors['base-B'] - errors[name]:.1%}" in drawn


def test_cuts():
    names = [layer.name for layer in layers(network("lenet5"))]
    assert names == ["stage1.conv", "stage2.conv", "stage3.conv", "head.linear1", "head.linear2"]
    resnet = layers(network("resnet20_cifar"))
    assert [layer.name for layer in resnet[:3]] == ["stem.conv", "stage1.unit1", "stage1.unit2"]
    assert resnet[0].paths == ("stem.conv", "stem.norm", "stem.act")
    assert len(resnet) == 11
    lenet = members(("1", "head.linear1"), network="lenet5", data__size=32)
    assert [member.name for member in lenet if member.name.startswith("A")] == ["A1B", "A1B-tuned", "A4B", "A4B-tuned"]
    with pytest.raises(UsageError, match=r"lenet5 cannot be cut after 'stage9'; it can after 1 stage1.conv, 2 stage2"):
        members(("stage9",), network="lenet5", data__size=32)
    with pytest.raises(UsageError, match="cannot be cut after '5'"):
        members(("5",), network="lenet5", data__size=32)
    with pytest.raises(UsageError, match="perceptron has one layer only"):
        members(network="perceptron")
    with pytest.raises(UsageError, match=r"is not a convsmith network; .* so it has no layers to cut after$"):
        members(network="torchvision:alexnet")


def test_halves():
    assert halves_of("abcde") == (("a", "b", "c"), ("d", "e"))
    with pytest.raises(UsageError, match="expected at least 4 classes, two in each half, received a, b, c"):
        halves_of("abc")
    own = members(data__classes=("7", "1", "3", "9"))
    assert [member.recipe.data.classes for member in own[:2]] == [("7", "1"), ("3", "9")]


def test_the_defaults_are_lenet_and_digits():
    those = transferability.transfers()
    assert len(those) == 2 + 4 * 5
    assert those[0].recipe.network == "lenet5"
    assert those[1].recipe.data.classes == tuple("56789")


def test_wrong_cuts_at_the_command(tmp_path, capsys):
    out = ["--out", str(tmp_path / "x")]
    assert main(["reproduce", "transferability", "--data", "digits", "--quick", "--cuts", "conv9", *out]) == 2
    assert "lenet5 cannot be cut after 'conv9'" in capsys.readouterr().err
    assert main(["reproduce", "se", "--cuts", "1", *out]) == 2
    assert "--cuts is for an experiment that cuts networks, and se does not" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_renew_says_what_is_wrong(tmp_path):
    recipe = members()[0].recipe
    with pytest.raises(UsageError, match="'head' is left out of weights to start from, and there are none"):
        prepare(recipe.edit(renew="head"))
    own = prepare(recipe).network.make(0)
    from convsmith.work.start import renew

    with pytest.raises(UsageError, match=r"unknown part of the network in renew: 'head.linear9'; nearest: head.linear"):
        renew(own, "head.linear9", own)
    with pytest.raises(UsageError, match=r"renew: '\(' is not a regular expression"):
        renew(own, "(", own)
