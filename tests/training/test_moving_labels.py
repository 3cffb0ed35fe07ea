"""Masks move with their picture through a whole training step: augmentation, mixing, progressive resizing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from convsmith.data.augmentations import Cutmix
from convsmith.data.drawn import VOID, Masks
from convsmith.data.examples import Examples
from convsmith.data.image_sets import ArrayImages
from convsmith.data.loaders import training_loader
from convsmith.data.options import DataOptions
from convsmith.data.targets import ImageTargets
from convsmith.recipes.recipe import Recipe
from convsmith.tasks.task import Losses
from convsmith.training import step as steps
from convsmith.training.job import new_state
from convsmith.training.options import Progressive
from convsmith.work.prepare import make_job, make_model, prepare


@pytest.fixture
def begun():
    recipe = Recipe().edit(network="lenet5", data__source="digits", batch=8, length="2steps", engine__precision="fp32")
    plan = prepare(recipe.edit(augment="flip,crop(1),translate(2),cutmix(1, 1)"))
    job = make_job(plan)
    return new_state(make_model(plan, []).train(), job.optimizer, plan.engine), job


def seen_by_the_task(monkeypatch, state, job, targets_of, resize=None):
    """The batch that the task gets, of pictures with ids as gray levels and their targets."""
    height, width = job.preprocess.size
    ids = np.random.default_rng(0).integers(0, 200, (16, height, width), dtype=np.uint8)
    images = ArrayImages(ids[..., None], "made", np.arange(16))
    record = replace(job.preprocess, mean=(1.0,), std=(1.0,))  # the fill is void's id
    training = training_loader(Examples(images, targets_of(ids)), record, DataOptions(workers=0), batch=8, seed=0)
    job = replace(job, training=training, preprocess=record, resize=resize)
    batch, seen = next(iter(training.epoch(0))), []

    def backward(state, batch, job):
        seen.append(batch)
        return Losses(torch.tensor(1.0))

    monkeypatch.setattr(steps, "backward", backward)
    monkeypatch.setattr(steps, "limit_length", lambda state, clip: torch.tensor(0.0))
    monkeypatch.setattr(steps, "check", lambda *_: None)
    steps.train_step(state, batch, job)
    return batch, seen[0]


def test_masks_arrive_with_their_pixels(monkeypatch, begun):
    def masks(ids):
        return Masks(ArrayImages(ids[..., None], "masks", np.arange(len(ids))), tuple(map(str, range(200))))

    before, found = seen_by_the_task(monkeypatch, *begun, masks)
    assert isinstance(begun[1].augment[-1], Cutmix)
    levels = (found.images[:, 0] * 255 + 255).round().to(torch.uint8)
    assert torch.equal(found.targets, levels)
    assert not torch.equal(found.targets, before.targets)
    assert (found.targets == VOID).any()


def test_masks_shrink_with_their_picture(monkeypatch, begun):
    def masks(ids):
        ids[:, :, ids.shape[2] // 2 :] = ids[:, :, :1]  # one id each on the right half
        return Masks(ArrayImages(ids[..., None], "masks", np.arange(len(ids))), tuple(map(str, range(200))))

    state, job = begun
    half = Progressive(first=0.5, last=1.0, multiple=2)
    _, found = seen_by_the_task(monkeypatch, state, replace(job, augment=()), masks, half)
    assert found.targets.shape[1:] == found.images.shape[2:]
    assert found.images.shape[2] < job.preprocess.size[0]


def test_a_picture_is_its_own_target(monkeypatch, begun):
    _, found = seen_by_the_task(monkeypatch, *begun, lambda ids: ImageTargets(len(ids)))
    assert found.targets.shape == (8, 0)
    assert found.images.shape == (8, 1, *begun[1].preprocess.size)
