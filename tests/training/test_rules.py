"""Frozen parts of a network."""

import pytest
import torch
from torch import nn

from convsmith.cli import main
from convsmith.recipes.recipe import Recipe
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.training.options import Rule
from convsmith.training.rules import grouped, set_training
from convsmith.work.prepare import make_job, prepare
from convsmith.work.run import train


@pytest.fixture
def recipe(trees, pictures, given):
    """A tree with norms on 48 images: 6 steps an epoch."""
    return Recipe(network=given(f"{trees}:resnet8")).edit(
        data__source=str(pictures), length="1ep", batch=8, engine__precision="fp32", engine__threads=1
    )


@pytest.mark.parametrize("average", ["none", "swa('0%')", "ema(0.5)"])
def test_a_frozen_stage_keeps_every_bit_of_weights_and_statistics(average, recipe, tmp_path):
    frozen = "^(stem|stage1)"
    recipe = recipe.edit(optimizer__rules=f"rule('{frozen}', freeze=True)", optimizer__average=average, length="2ep")
    plan = prepare(recipe)
    first = plan.network.make(recipe.seed).state_dict()
    saved = load_checkpoint(train(recipe, out=tmp_path / "run", quiet=True).run)
    own = [name for name in first if name.startswith(("stem", "stage1"))]
    assert any("running_var" in name for name in own)
    for name in own:
        assert torch.equal(first[name], saved.model[name]), name
    moved = [name for name in first if name not in own and not torch.equal(first[name], saved.model[name])]
    assert any("running_mean" in name for name in moved)
    assert not any(key.startswith(tuple(own)) for key in saved.state if "::" in key)


def test_only_norms_of_frozen_parts_are_held():
    def part():
        return nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False), nn.Dropout(0.5))

    module = nn.Sequential(part(), part(), nn.BatchNorm2d(3, affine=False))
    grouped(module, (Rule("^0", freeze=True), Rule("^1.0", freeze=True)), 0.0)
    module.eval()
    set_training(module)
    # The norm after a frozen convolution trains on, and with it the one beside it that has no parameters.
    assert [layer.training for layer in module[0]] == [True, False, False, True]
    assert all(layer.training for layer in module[1])
    assert module[2].training


def test_evaluations_do_not_wake_what_is_frozen(recipe, tmp_path):
    from convsmith.training import fit

    seen = []
    plan = prepare(recipe.edit(optimizer__rules="rule('^stem', freeze=True)", length="3ep"))
    honest = fit.train_step

    def watching(state, batch, job, asked):
        norms = {n: m.training for n, m in state.model.named_modules() if isinstance(m, nn.BatchNorm2d)}
        seen.append(norms)
        return honest(state, batch, job, asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "train_step", watching)
        train(plan.recipe, out=tmp_path / "run", quiet=True)
    assert len(seen) == 3 * make_job(plan).span.steps_per_epoch
    assert all(norms == seen[0] for norms in seen)
    assert {name for name, training in seen[0].items() if not training} == {n for n in seen[0] if n.startswith("stem")}


def test_a_rule_that_matches_nothing_is_wrong_usage_with_the_nearest_names(refused, trees, pictures, tmp_path):
    message = refused(
        "train", f"{trees}:resnet8", "--data", pictures, "--optimizer.rules", "rule('stagge1', freeze=True)", "--quick",
        "--quiet", "--out", tmp_path / "run", code=2,
    )  # fmt: skip
    assert message.startswith("optimizer.rules: no parameter is called 'stagge1'; nearest: stage1")


def test_rules_of_a_run_are_text_and_data(recipe, tmp_path, trees, pictures):
    words = ["train", f"{trees}:resnet8", "--data", str(pictures), "--quick", "--quiet", "--out", str(tmp_path / "run")]
    text = "rule('norm|bias', weight_decay=0),rule('^head', lr=10),rule('^stem', freeze=True)"
    assert main([*words, "--optimizer.rules", text]) == 0
