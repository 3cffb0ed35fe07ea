"""Auxiliary heads in training: their losses reach the step, evaluation runs without them, resume stays exact."""

import math
from dataclasses import replace

import pytest
import torch

from convsmith.data.loaders import Batch
from convsmith.nets.ops import AdaptiveAvgPool, Flatten, Linear
from convsmith.nets.tree import seq
from convsmith.nets.zoo import network
from convsmith.recipes.recipe import Recipe
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import RunDirectory
from convsmith.training import fit
from convsmith.training.evaluate import evaluate
from convsmith.training.gradient import backward
from convsmith.training.interrupt import Interrupted
from convsmith.training.job import new_state
from convsmith.training.step import train_step
from convsmith.work.prepare import auxiliary_heads, make_job, make_model, prepare
from convsmith.work.run import resume, train

TREE = """
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm, Conv
from convsmith.nets.parts import RELU, conv_norm_act, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import Keep, Use, seq


def two(classes, channels, size=12):
    first = seq(body=conv_norm_act(6, 3, 2), keep=Keep("early"))
    early = seq(use=Use("early"), norm=BatchNorm(), pooled=pooled_head(classes))
    return Network(
        name="two", family="own", input=Shape(channels, (size, size)),
        stages=(("first", first), ("second", conv_norm_act(8, 3, 2))),
        heads=(("head", pooled_head(classes)), ("early_head", early)),
    )
"""


@pytest.fixture
def recipe(tmp_path, pictures, given):
    """A tree with an auxiliary head on 48 images: 6 steps an epoch."""
    path = tmp_path / "two.py"
    path.write_text(TREE)
    return Recipe(network=given(f"{path}:two")).edit(
        data__source=str(pictures), length="2ep", batch=8, engine__precision="fp32", engine__threads=1,
        optimizer__lr=0.05, checkpoint_every="2steps",
    )  # fmt: skip


def begin(recipe):
    plan = prepare(recipe)
    job = make_job(plan)
    return new_state(make_model(plan, []).train(), job.optimizer, plan.engine), job


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 3, 12, 12, generator=generator), torch.randint(3, (8,), generator=generator)


def batch_of(images, targets):
    places = torch.arange(len(images))
    return Batch(images, targets, places, places)


def watched(state):
    """A list that gets True whenever the state's auxiliary head runs."""
    calls = []
    state.model.early_head.register_forward_hook(lambda *_: calls.append(True))
    return calls


def test_auxiliary_heads_are_those_with_the_main_heads_output():
    assert auxiliary_heads(network("googlenet")) == ("aux1", "aux2")
    assert auxiliary_heads(network("inception_v3")) == ("aux1",)
    assert len(auxiliary_heads(network("nasnet_a_6_768_cifar"))) == 1
    assert auxiliary_heads(network("resnet18")) == ()
    plain = network("resnet20_cifar")
    other = seq(pool=AdaptiveAvgPool(1), flatten=Flatten(), out=Linear(4))
    assert auxiliary_heads(replace(plain, heads=(*plain.heads, ("angle", other)))) == ()


@pytest.mark.parametrize("weight", [0.3, 1.5])
@pytest.mark.parametrize("kind", ["cross_entropy", "bce"])
def test_the_loss_is_the_formula_and_its_gradient_reaches_the_head(recipe, weight, kind):
    state, job = begin(recipe.edit(loss__auxiliary=weight, loss__kind=kind))
    images, targets = batch()
    main, others = state.model(images, at=["early_head"])
    expected = job.task.loss(main, targets) + weight * job.task.loss(others["early_head"], targets)
    calls = watched(state)
    loss, correct, parts = backward(state, batch_of(images, targets), job)
    assert parts == {}
    assert calls == [True]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert correct == job.task.correct(main, targets), "the main head's answers count"
    gradients = {name: p.grad for name, p in state.model.named_parameters()}
    wanted = torch.autograd.grad(expected, list(state.model.parameters()))
    for (name, found), gradient in zip(gradients.items(), wanted, strict=True):
        assert found is not None, name
        torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-6)
    assert any(g.abs().max() > 0 for name, g in gradients.items() if name.startswith("early_head"))


def test_at_0_the_heads_are_not_run(recipe):
    state, job = begin(recipe.edit(loss__auxiliary=0))
    images, targets = batch()
    calls = watched(state)
    loss = backward(state, batch_of(images, targets), job).total
    assert calls == []
    expected = job.task.loss(state.model(images), targets)
    assert torch.equal(loss, expected.detach())
    before = {name: p.clone() for name, p in state.model.named_parameters()}
    for part in job.training.epoch(0):
        train_step(state, part, job)
    moved = {name for name, p in state.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if not name.startswith("early_head")}


def test_an_evaluation_runs_the_main_head_alone(recipe):
    state, job = begin(recipe)
    calls = watched(state)
    evaluate(state.model, job.validation, job.task, job.preprocess, job.engine)
    assert calls == []


def test_a_guess_counts_the_heads_in(recipe):
    _, job = begin(recipe.edit(loss__auxiliary=0.4))
    assert job.guess_loss == pytest.approx(1.4 * math.log(3))
    _, job = begin(recipe.edit(loss__auxiliary=0))
    assert job.guess_loss == math.log(3)


@pytest.mark.parametrize(
    "options",
    [{}, {"optimizer__sam": 0.05, "optimizer__accumulate": 2, "loss__kind": "bce", "loss__class_weights": "effective"}],
)
def test_a_run_that_dies_ends_with_the_bits_of_one_that_did_not(recipe, options, tmp_path, monkeypatch):
    recipe = recipe.edit(augment="crop(2),flip", **options)
    straight = train(recipe, out=tmp_path / "straight", quiet=True).run
    honest = fit.train_step

    def dying(state, batch, job, asked):
        if state.step == 9:
            raise KeyboardInterrupt
        return honest(state, batch, job, asked)

    monkeypatch.setattr(fit, "train_step", dying)
    with pytest.raises(Interrupted):
        train(recipe, out=tmp_path / "broken", quiet=True)
    monkeypatch.setattr(fit, "train_step", honest)
    resume(tmp_path / "broken", quiet=True)
    one, other = load_checkpoint(straight), load_checkpoint(RunDirectory(tmp_path / "broken"))
    for found, wanted in ((other.model, one.model), (other.state, one.state)):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert any("early_head" in key and "::" in key for key in one.state), "the optimizer moves the auxiliary head"


def test_class_weights_come_from_the_training_images(recipe, write_pictures, tmp_path):
    folder = write_pictures(tmp_path / "uneven")
    for path in sorted((folder / "flat").glob("*.png"))[5:]:
        path.unlink()
    plan = prepare(recipe.edit(data__source=str(folder), loss__class_weights="balanced"))
    counts = [int((plan.dataset.train.labels == i).sum()) for i in range(3)]
    assert counts[1] < counts[0]
    assert make_job(plan).task.class_weights == pytest.approx([sum(counts) / (3 * n) for n in counts])
    assert make_job(prepare(recipe)).task.class_weights == ()


@pytest.mark.parametrize("kind", ["cross_entropy", "bce", "focal", "hinge"])
def test_every_loss_learns_the_pictures(recipe, kind, command, tmp_path):
    words = ["--data", recipe.data.source, "--epochs", "12", "--batch", "8", "--lr", "0.1", "--precision", "fp32"]
    chosen = ["--loss.kind", kind, "--loss.class_weights", "balanced", "--label_smoothing", "0", "--quiet", "--json"]
    answer = command("train", recipe.network, *words, *chosen, "--engine.threads", 1, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert answer.json["metrics"]["val"]["accuracy"] == 1.0
    assert RunDirectory(tmp_path / "run").record("recipe")["recipe"]["loss"]["kind"] == kind


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label_smoothing", "0.1"], "received shares of several by label_smoothing; leave that out"),
        (
            ["--augment", "flip,mixup(0.2),cutmix", "--label_smoothing", "0"],
            "received shares of several by mixup, cutmix",
        ),
    ],
)
def test_hinge_refuses_shares(refused, here, words, message):
    text = refused("train", "digits", "--loss.kind", "hinge", *words)
    assert text.startswith("loss.kind hinge: expected one class for each image, ")
    assert message in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--loss.kind", "focl"], "focal"),
        (["--loss.class_weights", "balance"], "balanced"),
        (["--loss.gamma", "-1"], "loss.gamma: expected a number from 0, received -1"),
        (["--loss.auxiliary", "nan"], "loss.auxiliary"),
    ],
)
def test_wrong_values_are_one_line(refused, here, words, message):
    assert message in refused("train", "digits", *words)


def test_googlenet_trains_with_its_heads(tmp_path, write_pictures):
    data = str(write_pictures(tmp_path / "larger", 12, 64))
    recipe = Recipe(network="googlenet").edit(
        data__source=data, quick=True, batch=4, engine__threads=1, engine__precision="fp32", optimizer__lr=0.01
    )
    state, job = begin(recipe)
    assert (job.auxiliary, job.auxiliary_weight) == (("aux1", "aux2"), 0.3)
    before = {name: p.clone() for name, p in state.model.named_parameters()}
    train_step(state, next(iter(job.training.epoch(0))), job)
    still = [name for name, p in state.model.named_parameters() if torch.equal(p, before[name])]
    assert still == []
    # Three heads that know nothing yet, two of them at 0.3.
    assert state.start_loss == pytest.approx(job.guess_loss, rel=0.5)
