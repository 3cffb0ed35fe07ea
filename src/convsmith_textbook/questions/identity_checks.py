"""Compares a network that starts from another run with the network of that run, before training."""

from collections.abc import Sequence

import torch

from convsmith.data.augment import normalize
from convsmith.data.examples import spread
from convsmith.data.loaders import decode_all
from convsmith.recipes.choose import run_recipe
from convsmith.report.text import many
from convsmith.runs.subject import open_subject
from convsmith.series.results import Trained
from convsmith.work.prepare import make_model, prepare

IMAGES = 256


def beginnings(runs: Sequence[Trained]) -> list[str]:
    """For each run that starts from another: the largest difference of their outputs before training."""
    return [_line(trained) for trained in runs if trained.member.after is not None]


def _line(trained: Trained) -> str:
    difference, images, largest = difference_at_start(trained)
    return (
        f"{trained.run.path.name} begins as {trained.member.after}: outputs differ by at most {difference:.3g} "
        f"on {many(images, 'validation image')} (the largest output is {largest:.3g})"
    )


def difference_at_start(trained: Trained) -> tuple[float, int, float]:
    """The largest difference of outputs in evaluation, the number of images, and the largest output."""
    recipe = run_recipe(trained.run.path)
    plan = prepare(recipe)
    begun = make_model(plan, []).eval()
    shallow = open_subject(str(recipe.weights))
    few = plan.dataset.val.subset(spread(len(plan.dataset.val), IMAGES))
    images = normalize(decode_all(few, plan.dataset.preprocess, workers=1), plan.dataset.preprocess)
    with torch.no_grad():
        ours, theirs = begun(images), shallow.module(images)
    return float((ours - theirs).abs().max()), len(images), float(theirs.abs().max())
