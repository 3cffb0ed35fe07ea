"""Fine-tuning: what stands still, what is new, at which rates; the choice of a mode; the recipe that repeats it."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

import convsmith as cs
from convsmith.base.errors import CheckFailed, UsageError
from convsmith.base.user_code import give
from convsmith.data.augmentations import Crop, Lighting, Noise
from convsmith.nets.modules.build import build
from convsmith.nets.weights.carry import carry
from convsmith.nets.zoo import edit, network
from convsmith.recipes.choose import choose
from convsmith.recipes.finetune import (
    FineTuning,
    check_tuning,
    finetuning_recipe,
    last_layer,
    stages_with_weights,
    with_tuning,
)
from convsmith.recipes.recipe import Recipe
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.subject import open_subject
from convsmith.training import logistic
from convsmith.training.logistic import STRENGTHS, Inputs, regression
from convsmith.training.options import Rule
from convsmith.training.rules import grouped
from convsmith.work.prepare import make_model, prepare
from convsmith.work.run import train
from convsmith.work.similarity import Similarity, measure_similarity, probe_accuracy
from convsmith.work.transfer import choose_mode, prepare_finetuning

ENGINE = {"precision": "fp32", "engine__threads": 1, "quiet": True}
STILL = {"epochs": 1, "batch": 8, **ENGINE}


@pytest.fixture(scope="module")
def others(tmp_path_factory, photo_run):
    """The images of the source run under other class names: as many classes, another task by name."""
    root = tmp_path_factory.mktemp("others") / "pets"
    root.mkdir()
    for old, new in (("bent", "owl"), ("flat", "cat"), ("round", "dog")):
        (root / new).symlink_to(photo_run[1] / old)
    return root


def rates(network, tuning):
    """Each parameter's share of the rate by name, 0 where it is frozen."""
    recipe = with_tuning(Recipe(), network, tuning)
    for text in recipe.edits:
        network = edit(network, text)
    module = build(network, device="meta")
    names = {p: name for name, p in module.named_parameters()}
    found = dict.fromkeys(names.values(), 0.0)
    for _, share, parameters in grouped(module, recipe.optimizer.rules, 0.0):
        found |= {names[p]: share for p in parameters}
    return found


def by_part(found):
    """The one share that all parameters of a stage or head have."""
    parts = {}
    for name, share in found.items():
        parts.setdefault(name.partition(".")[0], set()).add(share)
    assert all(len(shares) == 1 for shares in parts.values())
    return {name: shares.pop() for name, shares in parts.items()}


# Rates ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tuning", "expected"),
    [
        (FineTuning("probe"), {"stem": 0, "stage1": 0, "stage2": 0, "stage3": 0, "stage4": 0, "head": 1}),
        (FineTuning("partial"), {"stem": 0, "stage1": 0, "stage2": 0, "stage3": 0, "stage4": 0.1, "head": 1}),
        (
            FineTuning(unfreeze=3),
            {"stem": 0, "stage1": 0, "stage2": 0.01, "stage3": 0.1, "stage4": 0.1, "head": 1},
        ),
        (FineTuning("full"), {"stem": 0.01, "stage1": 0.01, "stage2": 0.01, "stage3": 0.1, "stage4": 0.1, "head": 1}),
        (
            FineTuning(decay=0.5),
            {"stem": 0.03125, "stage1": 0.0625, "stage2": 0.125, "stage3": 0.25, "stage4": 0.5, "head": 1},
        ),
        (FineTuning("full", at="stage1"), {"stem": 0.01, "stage1": 0.1, "head": 1}),
        (FineTuning(at="stage2"), {"stem": 0, "stage1": 0, "stage2": 0, "head": 1}),
    ],
    ids=["probe", "partial", "three", "full", "decay", "full at", "probe at"],
)
def test_each_mode_has_its_rates(tuning, expected):
    assert by_part(rates(network("resnet18", classes=5), tuning)) == expected


@pytest.mark.parametrize("name", ["vgg11", "lenet5", "googlenet", "mobilenet_v2", "squeezenet1_1"])
def test_a_probe_learns_the_last_layer_alone_whatever_comes_before_it_in_the_head(name):
    tree = network(name)
    free = {key for key, share in rates(tree, FineTuning("probe")).items() if share}
    assert free == {f"{last_layer(tree)}.weight", f"{last_layer(tree)}.bias"}


def test_stages_without_weights_are_not_counted():
    assert stages_with_weights(network("resnet18")) == ("stem", "stage1", "stage2", "stage3", "stage4")
    assert stages_with_weights(network("perceptron")) == ()
    assert (
        rates(network("perceptron"), FineTuning("probe")).keys()
        == rates(network("perceptron"), FineTuning("full")).keys()
    )


def test_own_rules_come_first():
    own = Rule("norm", weight_decay=0.0)
    recipe = replace(Recipe(), optimizer=replace(Recipe().optimizer, rules=(own,)))
    assert with_tuning(recipe, network("resnet18"), FineTuning("partial")).optimizer.rules[0] == own


# What stands still ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"mode": "probe"}, {"unfreeze": 1}, {"classifier": "logistic"}])
def test_frozen_stages_keep_every_bit_of_weights_and_statistics(how, photo_run, others, tmp_path):
    options = ENGINE if "classifier" in how else STILL
    run = cs.finetune(photo_run[0], data=others, out=tmp_path / "run", **how, **options)
    before, after = (open_subject(path).module.state_dict() for path in (photo_run[0], run.path))
    assert before.keys() == after.keys()
    frozen = ("stem.", "stage1.", "stage2.") + (() if "unfreeze" in how else ("stage3.",))
    held = [key for key in before if key.startswith(frozen)]
    assert any("running_mean" in key for key in held)
    assert any("num_batches_tracked" in key for key in held)
    assert all(torch.equal(before[key], after[key]) for key in held)
    assert all(not torch.equal(before[key], after[key]) for key in before if key.startswith("head."))
    if "unfreeze" in how:
        changed = [key for key in before if key.startswith("stage3.") and not torch.equal(before[key], after[key])]
        assert any("running_mean" in key for key in changed)
    assert run.subject().labels == ("cat", "dog", "owl")


def test_full_moves_every_stage(photo_run, others, tmp_path):
    run = cs.finetune(photo_run[0], data=others, mode="full", out=tmp_path / "run", **STILL)
    before, after = (open_subject(path).module.state_dict() for path in (photo_run[0], run.path))
    for key in ("stem.conv", *(f"stage{i}.unit1.branch.conv1" for i in (1, 2, 3)), "head.linear"):
        assert not torch.equal(before[f"{key}.weight"], after[f"{key}.weight"])


def test_the_last_layer_is_new_where_the_names_differ_and_stays_where_they_do_not(photo_run, others):
    source = open_subject(photo_run[0]).module.state_dict()
    for data, new in ((others, True), (photo_run[1], False)):
        tuning = FineTuning("probe")
        plan = prepare_finetuning(finetuning_recipe(str(photo_run[0]), str(data), tuning), tuning).plan
        notes = []
        state = make_model(plan, notes).state_dict()
        assert torch.equal(state["stem.conv.weight"], source["stem.conv.weight"])
        assert torch.equal(state["head.linear.weight"], source["head.linear.weight"]) != new
        assert ("with a new last layer" in notes[0]) == new


def test_weights_follow_to_an_earlier_stage(photo_run, others):
    tuning = FineTuning(at="stage1")
    plan = prepare_finetuning(finetuning_recipe(str(photo_run[0]), str(others), tuning), tuning).plan
    assert plan.recipe.edits == ("cut('stage1')",)
    whole, part = open_subject(photo_run[0]).module, make_model(plan, []).eval()
    images = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = whole.features(images, ["stage1"])["stage1"]
        assert torch.equal(part.features(images)["stage1"], features)
        expected = features.mean(dim=(2, 3)) @ part.head.linear.weight.T + part.head.linear.bias
        torch.testing.assert_close(part(images), expected)
    assert [name for name, _ in plan.network.stages] == ["stem", "stage1"]


def test_a_trained_network_cannot_be_cut_without_training_it():
    tree = network("resnet18", classes=5)
    with pytest.raises(CheckFailed, match=r"has no weights for 2 tensors, the first 'head\.linear\.bias'; train it"):
        carry(tree, build(tree).state_dict(), "cut=stage3")


def test_at_the_last_stage_nothing_is_cut_where_nothing_follows(photo_run, others):
    tuning = FineTuning(at="stage3")
    recipe = finetuning_recipe(str(photo_run[0]), str(others), tuning)
    assert prepare_finetuning(recipe, tuning).plan.recipe.edits == ()


def test_gray_images_reach_filters_for_color(photo_run, others, tmp_path):
    run = cs.finetune(
        photo_run[0], data=others, mode="probe", data__channels=1, out=tmp_path / "run", quick=True, **ENGINE
    )
    source, found = (open_subject(path).module.state_dict()["stem.conv.weight"] for path in (photo_run[0], run.path))
    torch.testing.assert_close(found, source.sum(dim=1, keepdim=True))


# A run as any other ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"unfreeze": 1, "at": "stage2"}, {"classifier": "logistic"}])
def test_the_runs_own_recipe_repeats_it(how, photo_run, others, tmp_path):
    options = ENGINE if "classifier" in how else STILL
    first = cs.finetune(photo_run[0], data=others, out=tmp_path / "first", **how, **options)
    again = cs.train(str(first.path), out=tmp_path / "again", quiet=True)
    saved = [load_checkpoint(run.directory).model for run in (first, again)]
    assert saved[0].keys() == saved[1].keys()
    assert all(torch.equal(value, saved[1][key]) for key, value in saved[0].items())
    assert first.directory.record("recipe")["recipe"] == again.directory.record("recipe")["recipe"]
    assert first.evaluate("val").result.accuracy == first.result["metrics"]["val"]["accuracy"]


def test_a_run_killed_before_its_first_checkpoint_begins_with_the_weights_again(photo_run, others, tmp_path):
    run = cs.finetune(photo_run[0], data=others, at="stage2", out=tmp_path / "run", quick=True, **ENGINE)
    model = load_checkpoint(run.directory).model
    for name in ("result.json", "metrics.jsonl", "best.json", "last.json"):
        (run.path / name).unlink()
    for folder in (run.path / "checkpoints").iterdir():
        shutil.rmtree(folder)
    run.directory.set_status("stopped")
    again = load_checkpoint(cs.resume(run.path, quiet=True).directory).model
    assert all(torch.equal(value, again[key]) for key, value in model.items())


def test_a_fine_tuned_run_is_fine_tuned_again(photo_run, others, tmp_path):
    first = cs.finetune(photo_run[0], data=others, at="stage2", out=tmp_path / "first", quick=True, **ENGINE)
    second = cs.finetune(first.path, data=photo_run[1], mode="full", out=tmp_path / "second", quick=True, **ENGINE)
    assert [name for name, _ in second.subject().network.stages] == ["stem", "stage1", "stage2"]


# Logistic regression --------------------------------------------------------------------------------------------------


def clusters(classes, count, seed, spread=1.0):
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(0, 2, (classes, 6))
    labels = np.arange(count) % classes
    return (centers[labels] + random.normal(0, spread, (count, 6))) * 50 + 7, labels


@pytest.mark.parametrize("classes", [2, 4])
def test_the_regression_is_scikit_learns_with_the_best_penalty_on_fifths(classes):
    train, val = clusters(classes, 60, 0, spread=2.0), clusters(classes, 40, 1, spread=2.0)
    found = regression(Inputs(train, val), classes)
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for rest, part in StratifiedKFold(5, shuffle=True, random_state=0).split(*train):
        for strength in STRENGTHS:
            losses[strength] += scikit_loss(take(train, rest), take(train, part), strength)[0]
    assert found.strength == min(losses, key=losses.get)
    assert found.why.endswith("on fifths of the training images that are left out in turn")
    _, probabilities = scikit_loss(train, val, found.strength)
    np.testing.assert_allclose(found.outputs(val[0]).softmax(dim=1).numpy(), probabilities, atol=1e-3)


@pytest.mark.parametrize("few", [59, 60])
def test_of_many_images_the_validation_images_choose_the_penalty(few, monkeypatch):
    monkeypatch.setattr(logistic, "FEW", few)
    train, val = clusters(3, 60, 0, spread=2.0), clusters(3, 40, 1, spread=2.0)
    found = regression(Inputs(train, val), 3)
    losses = {strength: scikit_loss(train, val, strength)[0] for strength in STRENGTHS}
    if few < 60:
        assert found.strength == min(losses, key=losses.get)
    assert found.why.endswith("lowest val loss") == (few < 60)


def test_a_class_of_fewer_than_five_images_has_no_fifths():
    train, val = clusters(8, 30, 0), clusters(8, 40, 1)  # two classes have 3
    assert regression(Inputs(train, val), 8).why.endswith("has the lowest val loss")


def take(pair, at):
    return pair[0][at], pair[1][at]


def scikit_loss(train, val, strength):
    """The sum of the cross-entropy on `val`, and the probabilities, of scikit-learn's regression."""
    mean, deviation = train[0].mean(0), train[0].std(0)
    model = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit((train[0] - mean) / deviation, train[1])
    probabilities = model.predict_proba((val[0] - mean) / deviation)
    return -np.log(probabilities[np.arange(len(val[1])), val[1]]).sum(), probabilities


def test_images_count_by_their_class_in_a_regression():
    train, val = clusters(3, 60, 0, spread=3.0), clusters(3, 60, 1, spread=3.0)
    weighted = regression(Inputs(train, val, (10.0, 0.1, 0.1)), 3).outputs(val[0]).argmax(dim=1)
    plain = regression(Inputs(train, val), 3).outputs(val[0]).argmax(dim=1)
    assert (weighted == 0).sum() > (plain == 0).sum()


def test_a_class_without_images_and_features_that_are_not_finite_are_refused():
    train, val = clusters(3, 30, 0), clusters(3, 30, 1)
    with pytest.raises(UsageError, match="class number 3 of 4 has no training image"):
        regression(Inputs(train, val), 4)
    with pytest.raises(UsageError, match="features hold values that are not finite"):
        regression(Inputs((train[0] * np.inf, train[1]), val), 3)


def test_a_logistic_run_says_what_it_found_and_resumes_to_the_same(photo_run, others, tmp_path, command):
    run = cs.finetune(photo_run[0], data=others, classifier="logistic", out=tmp_path / "run", **ENGINE)
    (row,) = run.metrics
    assert (row["epoch"], row["step"]) == (1, 1)
    assert row["val_accuracy"] == run.result["metrics"]["val"]["accuracy"]
    assert row["val_loss"] == pytest.approx(run.result["metrics"]["val"]["loss"], rel=1e-4)
    assert "logistic regression on 64 features: C = " in (run.path / "log.txt").read_text()
    # As after a kill before the regression was written: only the first checkpoint is there.
    model = load_checkpoint(run.directory).model
    for name in ("result.json", "metrics.jsonl", "best.json"):
        (run.path / name).unlink()
    for folder in (run.path / "checkpoints").glob("*1"):
        shutil.rmtree(folder)
    run.directory.set_status("stopped")
    again = cs.resume(run.path, quiet=True)
    assert all(torch.equal(value, load_checkpoint(again.directory).model[key]) for key, value in model.items())


# The choice -----------------------------------------------------------------------------------------------------------

LIKE = Similarity({"stem": 0.4, "stage1": 0.6, "stage2": 0.8}, 100)
UNLIKE = Similarity({"stem": 0.4, "stage1": 0.8, "stage2": 0.6}, 100)


@pytest.mark.parametrize(
    ("per_class", "similarity", "expected"),
    [
        (99, LIKE, FineTuning("probe")),
        (99, UNLIKE, FineTuning("probe", at="stage1")),
        (100, LIKE, FineTuning("partial", unfreeze=1)),
        (100, UNLIKE, FineTuning("full")),
    ],
)
def test_the_table_of_two_by_two(per_class, similarity, expected):
    tuning, why = choose_mode(per_class, similarity)
    assert tuning == expected
    assert why.startswith(f"mode {expected.mode}")
    assert f"{per_class} training images per class are {'few' if per_class < 100 else 'many'} (many: from 100)" in why
    assert "linear probes on 100 validation images: stem 40%, stage1 " in why
    assert "\n" not in why


def test_the_last_stage_may_be_worse_by_a_standard_error():
    # The standard error of 80% of 100 is 4 points.
    assert Similarity({"a": 0.8, "b": 0.765}, 100).similar
    assert not Similarity({"a": 0.8, "b": 0.755}, 100).similar
    assert Similarity({"a": 0.8, "b": 0.8}, 100).best == "b"


def test_a_handful_of_validation_images_compares_no_stages():
    found = Similarity({"a": 1.0, "b": 0.5}, 49)
    assert found.similar
    tuning, why = choose_mode(5, found)
    assert tuning == FineTuning("probe")
    assert "49 validation images are too few to compare the stages' features (from 50)" in why


def test_a_class_that_groups_keep_out_of_train_is_named(photo_run, others):
    recipe = finetuning_recipe(str(photo_run[0]), str(others), FineTuning()).edit(data__group=r"^(\w+)/")
    with pytest.raises(UsageError) as caught:  # each class is a group of its own
        prepare_finetuning(recipe, FineTuning())
    assert re.fullmatch(
        r"the class '\w+' has no training image that can be read \(groups stay whole\); give it some, or try another "
        r"--data.split_seed, or name the other classes with --data.classes",
        str(caught.value),
    )


def test_a_probe_measures_what_is_linearly_there():
    assert probe_accuracy(clusters(3, 90, 0), clusters(3, 90, 1)) > 0.9
    train, val = clusters(3, 90, 0), clusters(3, 300, 1)
    shuffled = np.random.default_rng(0).permutation(train[1])
    assert probe_accuracy((train[0], shuffled), val) < 0.6


def test_the_measurement_sees_every_stage_and_changes_nothing(photo_run, others):
    tuning = FineTuning("probe")
    plan = prepare_finetuning(finetuning_recipe(str(photo_run[0]), str(others), tuning), tuning).plan
    first, second = measure_similarity(plan), measure_similarity(plan)
    assert first == second
    assert list(first.accuracies) == ["stem", "stage1", "stage2", "stage3"]
    assert first.count == 6


def test_without_a_mode_the_images_choose(photo_run, others):
    prepared = prepare_finetuning(finetuning_recipe(str(photo_run[0]), str(others), FineTuning()), FineTuning())
    assert prepared.tuning.mode == "probe"  # 16 images per class are few
    assert prepared.images_per_class == 16
    assert prepared.plan.notes[-1].startswith("mode probe")
    assert prepared.to_json()["similarity"]["count"] == 6


# The recipe -----------------------------------------------------------------------------------------------------------


def test_the_recipe_of_a_run_sees_images_as_the_run_does(photo_run, others):
    recipe = finetuning_recipe(str(photo_run[0]), str(others), FineTuning())
    assert (recipe.network, recipe.weights, recipe.stem) == (str(photo_run[0]), str(photo_run[0]), "large")
    assert (recipe.data.size, recipe.data.source, recipe.edits) == (12, str(others), ())
    assert (recipe.optimizer.lr, recipe.batch, str(recipe.length)) == (0.05, 32, "300ep")  # 48 images are one step


def test_a_fold_of_the_run_is_not_one_of_the_other_images(photo_run, others, tmp_path):
    give(f"{photo_run[0].parent / 'trees.py'}:resnet8")
    recipe = choose(str(photo_run[0]), None).edit(data__fold="2/3", length="1steps")
    run = train(recipe, out=tmp_path / "fold2", quiet=True).run
    found = finetuning_recipe(str(run.path), str(others), FineTuning())
    assert found.data.fold is None
    assert found == replace(
        finetuning_recipe(str(photo_run[0]), str(others), FineTuning()), network=str(run.path), weights=str(run.path)
    )


def test_a_runs_flip_is_not_for_images_that_must_not_be_mirrored(photo_run, tmp_path):
    give(f"{photo_run[0].parent / 'trees.py'}:resnet8")
    run, folder = photo_run
    recipe = choose(str(run), None).edit(augment="crop(1),flip,noise", length="1steps")
    mirrored = train(recipe, out=tmp_path / "mirrored", quiet=True).run.path
    assert finetuning_recipe(str(mirrored), str(folder), FineTuning()).augment == recipe.augment
    for name, kept in (("svhn", False), ("birds", True)):
        (tmp_path / name).mkdir()
        for label in ("bent", "flat", "round"):
            (tmp_path / name / label).symlink_to(folder / label)
        found = finetuning_recipe(str(mirrored), str(tmp_path / name), FineTuning()).augment
        assert found == (recipe.augment if kept else (Crop(1), Noise()))


def test_the_colors_of_the_runs_images_are_not_those_of_others(photo_run, others, write_pictures, tmp_path):
    give(f"{photo_run[0].parent / 'trees.py'}:resnet8")
    given = Lighting(0.2, (1.0, 0.5, 0.1), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    recipe = replace(choose(str(photo_run[0]), None).edit(length="1steps"), augment=(Lighting(0.1), given))
    run = train(recipe, out=tmp_path / "run", quiet=True).run
    measured, kept = choose(str(run.path), None).augment
    assert measured.measured
    assert kept == given
    bright = write_pictures(tmp_path / "bright", 9, 12, ("a", "b"))
    for file in bright.rglob("*.png"):
        pixels = np.asarray(Image.open(file))
        Image.fromarray(255 - pixels[..., ::-1] // 3).save(file)
    tuning = FineTuning("full")
    tuned = prepare_finetuning(finetuning_recipe(str(run.path), str(bright), tuning), tuning).plan
    again = prepare(choose(str(run.path), str(bright)))
    fresh = prepare(replace(recipe, data=replace(recipe.data, source=str(bright))))
    fold = prepare(choose(str(run.path), None).edit(data__fold="1/2"))
    assert tuned.recipe.augment[0] == again.recipe.augment[0] == fresh.recipe.augment[0]
    assert len({plan.recipe.augment[0] for plan in (again, fold)} | {measured}) == 3
    assert all(plan.recipe.augment[1] == given for plan in (tuned, again, fold))
    assert prepare(choose(str(run.path), None)).recipe.augment == (measured, given)


def test_the_recipe_of_a_network_has_the_size_that_it_is_made_for(others):
    for name, size, rate in (("resnet18", 224, 0.02), ("resnet20_cifar", 32, 0.02), ("vgg11", 224, 0.01)):
        recipe = finetuning_recipe(name, str(others), FineTuning(), "DEFAULT")
        assert (recipe.data.size, recipe.optimizer.lr, recipe.stem) == (size, rate, "large")


@pytest.mark.parametrize(
    ("name", "weights", "size"),
    [("efficientnet_b3", "DEFAULT", 300), ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1", 384), ("resnet18", "own.pt", 224)],
)
def test_a_network_of_torchvisions_gets_the_size_of_its_weights(name, weights, size, others):
    recipe = finetuning_recipe(f"torchvision:{name}", str(others), FineTuning(), weights)
    assert recipe.data.size == size


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"mode": "probe", "unfreeze": 2}, "--unfreeze belongs to --mode partial, not to probe"),
        ({"mode": "full", "classifier": "logistic"}, "--classifier belongs to --mode probe, not to full"),
        ({"mode": "probe", "decay": 0.5}, "--decay belongs to --mode partial and full, not to probe"),
        ({"classifier": "linear", "unfreeze": 1}, "--classifier belongs to --mode probe, not to --unfreeze"),
        ({"unfreeze": 0}, "unfreeze: expected a whole number from 1, received 0; --mode probe unfreezes no stage"),
        ({"decay": 1.5}, "decay: expected a number above 0, at most 1, received 1.5"),
        ({"decay": float("nan")}, "decay: expected a number above 0, at most 1, received nan"),
    ],
)
def test_options_that_contradict_each_other(words, message):
    with pytest.raises(UsageError, match=message):
        FineTuning(**words)


def test_options_choose_their_mode():
    assert FineTuning(at="stage1").mode == FineTuning(classifier="logistic").mode == "probe"
    assert FineTuning(unfreeze=2).mode == FineTuning(unfreeze=2, decay=0.5).mode == "partial"
    assert FineTuning(decay=0.5).mode == "full"
    assert FineTuning().mode is None


def test_modules_that_are_no_trees(modules, others, tmp_path):
    source = cs.train(f"{modules}:make", data=str(others), quick=True, out=tmp_path / "source", **ENGINE)
    tuned = cs.finetune(source.path, data=others, mode="probe", out=tmp_path / "tuned", quick=True, **ENGINE)
    before, after = (open_subject(run.path).module.state_dict() for run in (source, tuned))
    assert {key for key in before if not torch.equal(before[key], after[key])} == {"out.weight", "out.bias"}
    recipe = finetuning_recipe(str(source.path), str(others), FineTuning())
    for tuning, message in (
        (FineTuning(), "so its stages cannot be compared; say --mode probe or full"),
        (FineTuning(at="stage1"), "so it has no stages for --at"),
        (FineTuning("partial"), "so it has no stages for --mode partial"),
    ):
        with pytest.raises(UsageError, match=message):
            check_tuning(recipe, tuning)
