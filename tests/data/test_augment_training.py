"""Augmentation inside training: from the text of a recipe to the labels of a step."""

import json
from pathlib import Path

import pytest
import torch

import convsmith as cs
from convsmith.data.augment import augment, mix, mixed_targets, normalize
from convsmith.recipes.builtin import RECIPES
from convsmith.work.prepare import make_job, make_model, prepare

GRAY = "crop(1),translate(1),rotate,elastic(0.5),noise,pixel_flip,blur,cutout(2),erase,mixup,cutmix"


@pytest.mark.parametrize("text", ["crop(1),mixup(1)", "cutmix(1, 1)", "mixup(1),cutmix(1, 1)"])
def test_a_step_learns_from_mixed_labels(text: str, tmp_path: Path) -> None:
    options = {"augment": text, "length": "1steps", "engine__precision": "fp32", "engine__threads": 1}
    cs.train("digits", quiet=True, out=tmp_path / "run", **options)
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])

    plan = prepare(RECIPES["digits"]().edit(**options))
    job, model = make_job(plan), plan.engine.place(make_model(plan, [])).train()
    batch = next(iter(job.training.epoch(0)))
    images = augment(batch.images, job.augment, job.seed, 0, batch.positions, job.preprocess)
    images, mixtures = mix(images, job.augment, job.seed, 0, batch.positions)
    targets = mixed_targets(batch.targets, mixtures, 10)
    assert (targets.max(1).values < 0.99).sum() > len(targets) / 3
    with torch.no_grad():
        outputs = model(normalize(images, job.preprocess, memory_format=plan.engine.memory_format))
    smooth = plan.recipe.label_smoothing
    expected = -((targets * (1 - smooth) + smooth / 10) * outputs.log_softmax(1)).sum(1).mean()
    assert row["train_loss"] == pytest.approx(expected.item(), rel=1e-4)
    right = (outputs.argmax(1) == targets.argmax(1)).sum().item()
    assert row["train_accuracy"] == pytest.approx(right / len(targets))


def test_training_takes_every_step_that_gray_images_can_have(tmp_path: Path) -> None:
    cs.train("digits", quick=True, quiet=True, out=tmp_path / "run", augment=GRAY)
    assert "train_loss" in json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
