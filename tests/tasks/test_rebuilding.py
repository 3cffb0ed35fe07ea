"""Autoencoders: closed forms, draws by key, whole runs that resume bit for bit, what such a run cannot do."""

import json
import math
import re

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from convsmith.base.errors import UsageError
from convsmith.cli.repeat import _out_of_fold
from convsmith.data import keys as counter
from convsmith.data.loaders import Batch
from convsmith.data.preprocess import ImageInput
from convsmith.deploy.predict import predict
from convsmith.nets.zoo import network
from convsmith.recipes.builtin import RECIPES
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run
from convsmith.runs.subject import open_subject
from convsmith.series.kfold import cross_validate
from convsmith.series.running import train_series
from convsmith.tasks.autoencode import latent_plane
from convsmith.tasks.vae import Vae, binarized, kl
from convsmith.training.engine import resolve
from convsmith.training.gradient import Forward
from convsmith.training.options import EngineOptions
from convsmith.work.evaluate import calibrate_run, ensemble, evaluate_run
from convsmith.work.run import resume, train

PLAIN = ImageInput(size=(28, 28), resize=(28, 28), mode="L", mean=(0.0,), std=(1.0,))


def small(task, **changes):
    """The recipe of MNIST on 64 digits of another set, which is at hand."""
    name = {"vae": "vae-mnist", "autoencode": "autoencoder-mnist"}[task]
    fields = {
        "data__source": "digits", "data__images": 64, "batch": 16, "length": "3ep", "engine__threads": 1,
        "schedule__warmup": "0ep",
    }  # fmt: skip
    return RECIPES[name]().edit(**{**fields, **changes})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of each task."""
    folder = tmp_path_factory.mktemp("rebuilt")
    return {task: train(small(task), out=folder / task, quiet=True).run.path for task in ("vae", "autoencode")}


def begun(seed=0, epoch=-1):
    """The network of the VAE as a task calls it, and a batch of 6 images for it."""
    torch.manual_seed(0)
    module = network("vae_mnist").make(0).eval()
    images = torch.rand(6, 1, 28, 28)
    places = torch.arange(6)
    engine = resolve(EngineOptions(device="cpu", precision="fp32"))
    run = Forward(module, engine, PLAIN, seed=seed, epoch=epoch)
    return run, Batch(images, torch.arange(6) % 3, places, places)


def test_the_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(5, 7), torch.randn(5, 7)
    wanted = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl(mean, log_variance), wanted)
    assert kl(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0.0, 0.0]


def test_pixels_are_one_as_often_as_they_are_bright():
    shares = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3).expand(4000, 1, 1, 3)
    drawn = binarized(shares, counter.keys(0, 0, torch.arange(4000), 1))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    means = drawn.mean(dim=0).flatten().tolist()
    assert (means[0], means[2]) == (0.0, 1.0)
    assert means[1] == pytest.approx(0.25, abs=0.03)


def test_draws_belong_to_the_image_and_not_to_its_batch():
    run, batch = begun()
    task = Vae()
    whole = task.measure(run, batch)
    halves = [task.measure(run, part) for part in batch.chunk(2)]
    for number in range(3):
        torch.testing.assert_close(whole[number], torch.cat([half[number] for half in halves]))
    other = task.measure(begun(epoch=0)[0], batch)
    assert not torch.equal(whole[0], other[0])


def test_the_loss_is_the_mean_of_its_parts_and_has_a_gradient():
    run, batch = begun(epoch=0)
    run.module.train()
    losses = Vae().losses(run, batch)
    torch.testing.assert_close(losses.total, losses.parts["reconstruction"] + losses.parts["kl"])
    losses.total.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in run.module.parameters())


def test_the_tighter_bound_is_below_the_mean_of_its_draws():
    run, batch = begun()
    one, many = (Vae(draws=draws).measure(run, batch)[4] for draws in (1, 200))
    assert many.mean() < one.mean()
    tally = Vae(("a", "b", "c"), 200).tally("cpu")
    with torch.no_grad():
        tally.update(*Vae(draws=200).measure(run, batch))
    result = tally.result()
    assert [n.name for n in result.numbers] == ["loss", "reconstruction", "kl", "iwae"]
    assert result.iwae < result.loss
    assert result.loss == pytest.approx(result.reconstruction + result.kl, rel=1e-5)


def test_one_draw_of_the_bound_is_the_negative_elbo_of_that_draw():
    run, batch = begun()
    pixels = binarized(run.pixels(batch.images), counter.keys(0, -1, batch.samples, 1_000))
    _, at = run(pixels, at=("mean", "log_variance"), noise=torch.zeros(6, run.noise))
    mean, log_variance = at["mean"].flatten(1), at["log_variance"].flatten(1)
    noise = counter.noise(counter.keys(0, -1, batch.samples, 1_002), run.noise)
    latent = mean + (log_variance / 2).exp() * noise
    logits = run(latent, after="latent")[0]
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits, pixels, reduction="none").flatten(1).sum(1)
    wanted = wanted - Normal(0.0, 1.0).log_prob(latent).sum(1)
    wanted = wanted + Normal(mean, (log_variance / 2).exp()).log_prob(latent).sum(1)
    torch.testing.assert_close(Vae(draws=1).measure(run, batch)[4], wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("task", ["vae", "autoencode"])
def test_a_paused_run_goes_on_to_the_same_bits(runs, task, tmp_path):
    rows = []
    paused = train(
        small(task), out=tmp_path / "run", quiet=True, after_epoch=lambda row: rows.append(row) or len(rows) == 2
    )
    assert (paused.result, open_run(tmp_path / "run").status().state) == ({}, "paused")
    assert [row["epoch"] for row in rows] == [1, 2]
    resume(tmp_path / "run", quiet=True)
    straight, resumed = (load_checkpoint(open_run(path)) for path in (runs[task], tmp_path / "run"))
    assert all(torch.equal(value, resumed.model[name]) for name, value in straight.model.items())
    assert all(torch.equal(value, resumed.state[name]) for name, value in straight.state.items())
    times = ("seconds", "images_per_second", "data_wait")
    logs = [
        [{k: v for k, v in row.items() if k not in times} for row in open_run(p).metrics()]
        for p in (runs[task], tmp_path / "run")
    ]
    assert logs[0] == logs[1]


def test_folds_of_images_to_rebuild_are_pooled(tmp_path):
    summary = train_series(cross_validate(small("autoencode", length="1ep"), 2), tmp_path / "set", quiet=True).summary
    records = [open_run(tmp_path / "set" / f"fold{n}").record("result")["metrics"]["val"] for n in (1, 2)]
    count = sum(record["count"] for record in records)
    pooled = summary["out_of_fold"]
    assert pooled == {"loss": pytest.approx(sum(r["loss"] * r["count"] for r in records) / count), "count": count}
    said = f"out of fold  loss {pooled['loss']:.4f}  ({count:,} images, each by the run that did not train on it)"
    assert _out_of_fold(summary) == [said]


def test_the_parts_of_a_bound_are_pooled_too():
    parts = [{"loss": 4.0, "reconstruction": 3.0, "kl": 1.0, "count": 3, "iwae": 2.0}]
    parts += [{"loss": 8.0, "reconstruction": 5.0, "kl": 3.0, "count": 1, "iwae": 2.0}]
    assert Vae().pooled(parts) == {"loss": 5.0, "reconstruction": 3.5, "kl": 1.5, "count": 4}


def test_the_parts_are_logged_and_the_page_shows_what_was_rebuilt(runs):
    row = open_run(runs["vae"]).metrics()[-1]
    assert row["train_loss"] == pytest.approx(row["train_reconstruction"] + row["train_kl"], rel=1e-6)
    assert {"val_loss", "val_reconstruction", "val_kl"} <= row.keys()
    assert "train_accuracy" not in row
    for task, titles in {
        "vae": ("new images", "Latent plane", "tighter bound"),
        "autoencode": ("rebuilt", "Latent"),
    }.items():
        page = (runs[task] / "report.html").read_text()
        assert all(title in page for title in titles)
        assert len(re.findall("data:image", page)) >= 24
    assert json.loads((runs["autoencode"] / "result.json").read_text())["metrics"]["val"].keys() == {"loss", "count"}


def test_an_evaluation_gives_the_numbers_of_the_run_again(runs):
    for task, path in runs.items():
        stored = json.loads((path / "result.json").read_text())["metrics"]["val"]
        again = evaluate_run(path, split="val").result.to_json()
        assert again == pytest.approx(stored, rel=1e-5), task


def test_what_is_for_classes_is_refused(runs):
    subject = open_subject(runs["vae"])
    with pytest.raises(UsageError, match="gives images of shape 1x28x28 and names no classes"):
        list(predict(subject, [np.zeros((28, 28), np.uint8)], resolve(EngineOptions())))
    with pytest.raises(UsageError, match=r"a temperature is for one label.*and this run has images to rebuild"):
        calibrate_run(runs["vae"])
    with pytest.raises(UsageError, match="images to rebuild"):
        ensemble([evaluate_run(runs["autoencode"], split="val")] * 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"network": "resnet20_cifar"},
            "it has no latent and no mean and no log_variance; take",
        ),
        ({"network": "autoencoder_mnist"}, "it has no mean and no log_variance"),
        ({"augment": "mixup"}, "augment mixup: is for classes, and the task vae rebuilds images"),
        ({"solver": "logistic"}, "solver: is for one label for each image"),
        ({"views": "mirror"}, "views: is for one label for each image, and this run has images to rebuild"),
        ({"loss__kind": "bce"}, "loss.kind: the task vae has a loss of its own"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(tmp_path, changes, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        train(small("vae").edit(**changes), out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_what_is_for_classes_alone_is_said_to_have_no_use(tmp_path):
    said = []
    train(small("vae", label_smoothing=0.1, length="1ep"), out=tmp_path / "run", quiet=True, say=said.append)
    assert "label_smoothing is not used: the task vae has no classes" in said


def test_a_loss_that_joins_the_images_of_a_batch_is_not_split(tmp_path, monkeypatch):
    monkeypatch.setattr(Vae, "whole_batch", True)
    with pytest.raises(UsageError, match="joins the images of a batch, which cannot be split"):
        train(small("vae", optimizer__accumulate=2), out=tmp_path / "run", quiet=True)
    train(small("vae", length="1ep"), out=tmp_path / "run", quiet=True)


def test_the_latent_plane_is_the_same_whatever_the_sign_of_its_directions():
    torch.manual_seed(1)
    values, kinds = torch.randn(50, 4) * torch.tensor([3.0, 2.0, 0.1, 0.1]), torch.arange(50) % 2
    (plane,) = latent_plane(values, kinds, ("a", "b"))
    assert plane.points.shape == (50, 2)
    assert plane.axes[0].startswith("direction 1, ")
    (again,) = latent_plane(values.flip(1).flip(1), kinds, ("a", "b"))
    assert np.array_equal(plane.points, again.points)
    assert latent_plane(values[:2], kinds[:2], ()) == ()
    assert latent_plane(torch.full((9, 4), math.nan), kinds[:9], ()) == ()
